// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Servers: listening sockets and the connections they accepted.
#include <rondo/server.hpp>

#include <rondo/connections.hpp>
#include <rondo/errors.hpp>
#include <rondo/exception_context.hpp>

#include "loop/running_scope.hpp"
#include "os/descriptor.hpp"
#include "os/syscalls.hpp"
#include "server/server_state.hpp"
#include "transport/connect.hpp"
#include "transport/raw_address.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>

namespace rondo {
inline namespace v0 {
namespace detail {
namespace {

[[nodiscard]] std::exception_ptr error_of(int error, const std::string& what) {
  return std::make_exception_ptr(std::system_error(error, std::system_category(), what));
}

[[nodiscard]] bool is_wildcard(const address& where) {
  return where.family() == AF_UNIX || where.host() == "0.0.0.0" || where.host() == "::";
}

void set_flag(int fd, int level, int name) noexcept {
  const int on = 1;
  static_cast<void>(os::sys.setsockopt(fd, level, name, &on, sizeof on));
}

}  // namespace

// ---- listeners ---------------------------------------------------------------------

listener::listener(server_state& owner, rondo::socket given)
    : server(owner),
      bound(std::move(given)),
      state(bound.fileno()),
      where(bound.getsockname()),
      specific(!is_wildcard(where)),
      kind(kind_of_family(where.family())),
      view(std::make_shared<shared_descriptor>(bound.fileno())) {}

void listener::on_accept(int fd, const void* raw, std::size_t size) {
  server.on_accept(*this, fd, raw, size);
}

void listener::on_accept_error(int error, interval retry_after, bool fatal) {
  server.on_accept_error(*this, error, retry_after, fatal);
}

int listener::accept_budget() const noexcept { return server.backlog(); }

void listener::connection_ended(socket_transport& ended) noexcept {
  server.connection_ended(ended);
}

// ---- the server --------------------------------------------------------------------

server_state::server_state(event_loop& loop, std::shared_ptr<protocol_maker> maker,
                           std::vector<rondo::socket> sockets, const server_options& options)
    : ready_node(&run_node),
      core_(loop.core()),
      maker_(std::move(maker)),
      context_(running_context().snapshot()),
      backlog_(options.backlog) {
  listeners_.reserve(sockets.size());
  for (rondo::socket& each : sockets) {
    listeners_.push_back(std::make_unique<listener>(*this, std::move(each)));
    const listener& made = *listeners_.back();
    // Accepted sockets inherit both from their listener.
    if (made.kind == fd_state::stream_kind::tcp) set_no_delay(made.bound.fileno());
    if (options.keep_alive.value_or(false)) {
      set_flag(made.bound.fileno(), SOL_SOCKET, SO_KEEPALIVE);
    }
  }
  ++core_.references;
  link_resource(core_, *this);
}

server_state::~server_state() {
  if (!closed_) close_listeners();
  unlink_resource(core_, *this);
  detail::release(core_);
}

event_loop& server_state::loop() const {
  if (core_.loop == nullptr) throw std::logic_error("the server's loop is destroyed");
  return *core_.loop;
}

void server_state::start() {
  if (closed_) throw std::logic_error("the server is closed");
  if (serving_) return;
  try {
    for (const auto& each : listeners_) {
      if (os::sys.listen(each->bound.fileno(), backlog_) != 0) {
        os::throw_error(errno, fmt::format("cannot listen on {}", each->where.to_string()));
      }
      if (!each->state.open) core_.io->open(each->state);
      core_.io->start_accepting(each->state, *each);
    }
  } catch (...) {
    for (const auto& each : listeners_) {
      if (each->state.open) core_.io->stop_accepting(each->state);
    }
    throw;
  }
  serving_ = true;
  update_lifetime();
}

void server_state::close_listener(listener& closing) noexcept {
  if (closing.state.open) core_.io->close(closing.state);
  closing.bound.close();
  closing.view->fd = -1;
  if (closing.state.queued && !node_queued_ && !core_.closed) {
    // The ready queue still refers to the state, until a node behind it runs.
    node_queued_ = true;
    core_.ready.push(*this);
  }
}

void server_state::close_listeners() noexcept {
  closed_ = true;
  serving_ = false;
  for (const auto& each : listeners_) close_listener(*each);
}

void server_state::close() {
  if (closed_) return;
  const std::shared_ptr<server_state> alive = shared_from_this();
  close_listeners();
  if (forever && !forever.done()) forever.cancel();
  if (connections_ == nullptr) wake_waiters();
  update_lifetime();
}

void server_state::run_node(ready_node& node, event_loop* loop) {
  static_cast<void>(loop);
  auto& self = static_cast<server_state&>(node);
  self.node_queued_ = false;
  self.update_lifetime();
}

void server_state::on_loop_close() noexcept {
  close_listeners();
  update_lifetime();
}

// The last statement of whoever calls it, unless that one holds a reference.
void server_state::update_lifetime() noexcept {
  const bool needed = serving_ || connections_ != nullptr || node_queued_;
  if (needed) {
    if (self_ == nullptr) self_ = shared_from_this();
  } else {
    const std::shared_ptr<server_state> last = std::move(self_);
  }
}

std::vector<transport_socket> server_state::sockets() const {
  std::vector<transport_socket> result;
  if (closed_) return result;
  for (const auto& each : listeners_) result.emplace_back(each->view);
  return result;
}

// ---- connections -------------------------------------------------------------------

void server_state::on_accept(listener& from, int fd, const void* raw, std::size_t size) {
  os::descriptor accepted(fd);
  try {
    transport_setup setup;
    setup.kind = from.kind;
    setup.peer = to_address(raw, size);
    setup.context = context_;
    std::shared_ptr<base_protocol> made;
    {
      const context_scope scope(core_, setup.context);
      made = maker_->make();
    }
    if (closed_) return;
    setup.owner = &from;
    socket_transport* const opened =
        socket_transport::open(*core_.loop, std::move(accepted), std::move(made), std::move(setup))
            .get();
    if (connections_ == nullptr) {
      opened->next_connection = opened;
      opened->previous_connection = opened;
      connections_ = opened;
      update_lifetime();
    } else {
      socket_transport* const last = connections_->previous_connection;
      opened->next_connection = connections_;
      opened->previous_connection = last;
      last->next_connection = opened;
      connections_->previous_connection = opened;
    }
  } catch (const keyboard_interrupt&) {
    throw;
  } catch (const system_exit&) {
    throw;
  } catch (...) {
    accepted.reset();
    exception_context report(
        fmt::format("Error on transport creation for a connection accepted on {}",
                    from.where.to_string()),
        std::current_exception());
    report.socket = &from.bound;
    core_.loop->call_exception_handler(report);
  }
}

void server_state::connection_ended(socket_transport& ended) noexcept {
  if (ended.next_connection == &ended) {
    connections_ = nullptr;
  } else {
    ended.previous_connection->next_connection = ended.next_connection;
    ended.next_connection->previous_connection = ended.previous_connection;
    if (connections_ == &ended) connections_ = ended.next_connection;
  }
  if (connections_ != nullptr) return;
  if (closed_ && !core_.closed) wake_waiters();
  update_lifetime();
}

void server_state::on_accept_error(listener& from, int error, interval retry_after, bool fatal) {
  const std::shared_ptr<server_state> alive = shared_from_this();
  const std::string where = from.where.to_string();
  std::string message;
  std::exception_ptr failure;
  if (fatal) {
    message = fmt::format("Fatal: socket.accept() failed on {}, which is not listened on any more",
                          where);
    failure = error_of(error, fmt::format("accepting connections on {}", where));
    // The number may belong to somebody else by now.
    if (error == EBADF || error == ENOTSOCK) static_cast<void>(from.bound.release());
    close_listener(from);
    if (std::none_of(listeners_.begin(), listeners_.end(),
                     [](const auto& each) { return each->state.open; })) {
      if (forever && !forever.done()) forever.set_exception(failure);
      close();
    }
  } else {
    const auto seconds = static_cast<std::chrono::duration<double>>(retry_after);
    message = fmt::format("socket.accept() out of system resource on {}, tried again after {:g} s",
                          where, seconds.count());
    failure = error_of(error, fmt::format("accepting connections on {}", where));
  }
  exception_context report(message, failure);
  report.socket = &from.bound;
  core_.loop->call_exception_handler(report);
}

// What the clients' owners do meanwhile must not disturb the walk.
std::vector<std::shared_ptr<transport>> server_state::clients() const {
  std::vector<std::shared_ptr<transport>> result;
  if (const socket_transport* const first = connections_) {
    socket_transport* each = connections_;
    do {
      if (std::shared_ptr<transport> open = each->keep()) result.push_back(std::move(open));
      each = each->next_connection;
    } while (each != first);
  }
  return result;
}

void server_state::close_clients() {
  for (const std::shared_ptr<transport>& each : clients()) each->close();
}

void server_state::abort_clients() {
  for (const std::shared_ptr<transport>& each : clients()) each->abort();
}

future<> server_state::make_closed_waiter() {
  std::erase_if(closed_waiters_, [](const future<>& each) { return each.done(); });
  closed_waiters_.emplace_back(loop());
  return closed_waiters_.back();
}

void server_state::wake_waiters() {
  for (const future<>& each : std::exchange(closed_waiters_, {})) {
    if (!each.done()) each.set_result();
  }
}

// ---- making servers ----------------------------------------------------------------

namespace {

server make_server(event_loop& loop, std::shared_ptr<protocol_maker> maker,
                   std::vector<rondo::socket> sockets, const server_options& options) {
  auto state = std::make_shared<server_state>(loop, std::move(maker), std::move(sockets), options);
  if (options.start_serving) state->start();
  return server(std::move(state));
}

coro<server> serve_bound(event_loop& loop, std::shared_ptr<protocol_maker> maker,
                         coro<std::vector<rondo::socket>> binding, server_options options) {
  std::vector<rondo::socket> sockets = co_await std::move(binding);
  co_return make_server(loop, std::move(maker), std::move(sockets), options);
}

coro<server> serve_socket(event_loop& loop, std::shared_ptr<protocol_maker> maker,
                          rondo::socket bound, server_options options) {
  std::vector<rondo::socket> sockets;
  sockets.push_back(std::move(bound));
  co_return make_server(loop, std::move(maker), std::move(sockets), options);
}

coro<> start_state(std::shared_ptr<server_state> state) {
  state->start();
  co_return;
}

coro<> wait_until_over(std::shared_ptr<server_state> state) {
  if (state->over()) co_return;
  const future<> over = state->make_closed_waiter();
  co_await over;
}

coro<> serve_state_forever(std::shared_ptr<server_state> state) {
  if (state->closed()) throw std::logic_error("the server is closed");
  if (state->forever) throw std::logic_error("somebody awaits serve_forever() of this server");
  state->start();
  const future<> ended(state->loop());
  state->forever = ended;
  std::exception_ptr error;
  try {
    co_await ended;
  } catch (...) {
    error = std::current_exception();
  }
  state->forever = future<>();
  // As asyncio: a second cancellation, while it waits for the clients, takes the place of the
  // first.
  state->close();
  co_await wait_until_over(state);
  std::rethrow_exception(error);
}

}  // namespace

coro<server> open_server(event_loop& loop, std::shared_ptr<protocol_maker> maker,
                         host_list_argument hosts, const service_argument& service,
                         const server_options& options) {
  return serve_bound(loop, std::move(maker),
                     bind_listeners(loop, std::move(hosts.hosts), service.text, options), options);
}

coro<server> open_server(event_loop& loop, std::shared_ptr<protocol_maker> maker,
                         rondo::socket bound, const server_options& options) {
  check_server_options(options);
  check_stream_socket(bound);
  return serve_socket(loop, std::move(maker), std::move(bound), options);
}

void check_connect_options(const connect_options& options) { check_options(options); }
void check_server_options(const server_options& options) { check_options(options); }

void check_stream_socket(const rondo::socket& given) {
  if (given.type() != SOCK_STREAM) {
    throw std::invalid_argument("A Stream Socket was expected");
  }
}

coro<rondo::socket> open_socket(event_loop& loop, const host_argument& host,
                                const service_argument& service, const connect_options& options) {
  return connect_any(loop, host.text, service.text, options);
}

coro<std::shared_ptr<transport>> attach_transport(event_loop& loop, rondo::socket connected,
                                                  std::shared_ptr<base_protocol> attached) {
  transport_setup setup;
  raw_address raw;
  if (os::sys.getpeername(connected.fileno(), raw.get(), &raw.size) == 0) {
    setup.peer = to_address(raw);
    setup.kind = kind_of_family(setup.peer.family());
    if (setup.kind == fd_state::stream_kind::tcp) set_no_delay(connected.fileno());
  }
  setup.context = running_context().snapshot();
  setup.opened = loop.create_future<>();
  const future<> opened = setup.opened;
  const std::shared_ptr<transport> made = socket_transport::open(
      loop, os::descriptor(connected.release()), std::move(attached), std::move(setup));
  std::exception_ptr error;
  try {
    co_await opened;
  } catch (...) {
    error = std::current_exception();
  }
  if (error) {
    made->close();
    std::rethrow_exception(std::move(error));
  }
  co_return made;
}

}  // namespace detail

// ---- handles -----------------------------------------------------------------------

server::server(std::shared_ptr<detail::server_state> state) noexcept : state_(std::move(state)) {}
server::server(server&&) noexcept = default;
server& server::operator=(server&&) noexcept = default;
server::~server() = default;

detail::server_state& server::state() const {
  if (state_ == nullptr) throw std::logic_error("this server handle was moved from");
  return *state_;
}

void server::close() { state().close(); }
void server::close_clients() { state().close_clients(); }
void server::abort_clients() { state().abort_clients(); }
event_loop& server::get_loop() const { return state().loop(); }
bool server::is_serving() const { return state().serving(); }
std::vector<transport_socket> server::sockets() const { return state().sockets(); }
coro<> server::start_serving() { return detail::start_state(state().shared_from_this()); }
coro<> server::serve_forever() { return detail::serve_state_forever(state().shared_from_this()); }
coro<> server::wait_closed() { return detail::wait_until_over(state().shared_from_this()); }

}  // namespace v0
}  // namespace rondo
