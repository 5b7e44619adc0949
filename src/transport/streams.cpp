// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Streams: reading and writing connections with co_await.
#include <rondo/streams.hpp>

#include <rondo/connections.hpp>
#include <rondo/errors.hpp>
#include <rondo/event_loop.hpp>
#include <rondo/exception_context.hpp>
#include <rondo/log.hpp>

#include "transport/stream_buffer.hpp"
#include "transport/stream_link.hpp"

#include <cerrno>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>

namespace rondo {
inline namespace v0 {
namespace detail {

client_handler::~client_handler() = default;

void throw_empty_writer() { throw std::logic_error("this stream_writer is empty"); }

// ---- the protocol ------------------------------------------------------------------

stream_link::stream_link(loop_core& core, std::size_t limit,
                         std::shared_ptr<client_handler> handler)
    : core_(core),
      buffer_(stream_buffer_ref::adopt(new stream_buffer(limit))),
      handler_(std::move(handler)) {
  ++core_.references;
  stream_buffer& buffer = buffer_of(buffer_);
  buffer.core = &core;
  buffer.fed_by_transport = true;
}

stream_link::~stream_link() {
  // The reader may live on, and be used in another loop.
  buffer_of(buffer_).core = nullptr;
  detail::release(core_);
}

stream_link_ref stream_link::reference() {
  if (references == 0) self_ = shared_from_this();
  return stream_link_ref(this);
}

stream_writer stream_link::writer() { return stream_writer(reference()); }

void stream_link::unreferenced() noexcept {
  const std::shared_ptr<stream_link> last = std::move(self_);
}

void destroy(stream_link_head& link) noexcept { static_cast<stream_link&>(link).unreferenced(); }

void stream_link::connection_made(std::shared_ptr<rondo::transport> connected) {
  transport_ = std::move(connected);
  buffer_of(buffer_).transport = transport_;
  if (handler_ != nullptr) run_handler();
}

std::span<char> stream_link::get_buffer(std::ptrdiff_t) { return buffer_of(buffer_).prepare(); }

void stream_link::buffer_updated(std::size_t count) { buffer_of(buffer_).commit(count); }

bool stream_link::eof_received() {
  buffer_of(buffer_).feed_eof();
  return true;
}

void stream_link::connection_lost(std::exception_ptr error) {
  lost_ = true;
  error_ = std::move(error);
  stream_buffer& buffer = buffer_of(buffer_);
  if (error_) {
    buffer.set_exception(error_);
  } else {
    buffer.feed_eof();
  }
  buffer.transport.reset();
  wake(true);
}

void stream_link::pause_writing() { paused_ = true; }

void stream_link::resume_writing() {
  paused_ = false;
  wake(false);
}

// ---- the server's handler ----------------------------------------------------------

void stream_link::run_handler() {
  const std::shared_ptr<client_handler> handler = std::move(handler_);
  any_task task;
  handler_runs_ = true;
  try {
    task = handler->call(reader(), writer());
  } catch (const keyboard_interrupt&) {
    throw;
  } catch (const system_exit&) {
    throw;
  } catch (...) {
    handler_runs_ = false;
    report_handler(std::current_exception());
    return;
  }
  if (!task) {
    handler_runs_ = false;
    if (writers == 0) close_forgotten();
    return;
  }
  // The callable lives as long as its last task: captures of a coroutine lambda are in it.
  task.add_done_callback([self = reference(), handler](const any_future& ended) {
    static_cast<stream_link&>(*self).handler_ended(ended);
  });
}

void stream_link::handler_ended(const any_future& handler) {
  handler_runs_ = false;
  if (handler.cancelled()) {
    transport_->close();
  } else if (const std::exception_ptr error = handler.exception()) {
    report_handler(error);
  } else if (writers == 0) {
    close_forgotten();
  }
}

void stream_link::report_handler(std::exception_ptr error) {
  // Closed first: the exception handler may throw.
  transport_->close();
  exception_context report("Unhandled exception in client_connected_cb", std::move(error));
  report.transport = transport_.get();
  report.protocol = this;
  core_.loop->call_exception_handler(report);
}

void stream_link::writers_gone() noexcept {
  // A handler that ends by an exception drops its writer, too: that is decided when it has ended.
  if (!handler_runs_) close_forgotten();
}

void stream_link::close_forgotten() noexcept {
  if (transport_ == nullptr || transport_->is_closing()) return;
  log(log_level::warning, "a stream_writer was dropped without close(): the connection is closed");
  transport_->close();
}

// ---- waiting -----------------------------------------------------------------------

void stream_link::wake(bool all) {
  // Waking only queues tasks: nobody joins or leaves the list meanwhile.
  const writer_awaiter* const last = waiting_ != nullptr ? waiting_->previous_ : nullptr;
  for (writer_awaiter* at = waiting_; at != nullptr;) {
    writer_awaiter* const next = at == last ? nullptr : at->next_;
    if (all || at->event_ == writer_event::drained) {
      at->unlink();
      at->task_->wake();
    }
    at = next;
  }
}

bool stream_link::ready(writer_awaiter& waiter) {
  if (waiter.event_ == writer_event::closed) return lost_;
  if (const std::exception_ptr& error = buffer_of(buffer_).error) [[unlikely]] {
    std::rethrow_exception(error);
  }
  if (paused_ && !lost_) return false;
  // A closing connection gets the chance to say that it is lost; and nobody writes for ever in one
  // step.
  if (transport_->is_closing() || --core_.inline_budget < 0) [[unlikely]] {
    waiter.yields_ = true;
    return false;
  }
  return true;
}

void stream_link::wait(writer_awaiter& waiter, task_core& by, void* frame) {
  waiter.task_ = &by;
  if (waiter.yields_) {
    by.suspend(frame, waiter);
    if (by.waiting_on == &waiter) by.wake();
    return;
  }
  if (waiting_ == nullptr) {
    waiter.next_ = &waiter;
    waiter.previous_ = &waiter;
    waiting_ = &waiter;
  } else {
    waiter.next_ = waiting_;
    waiter.previous_ = waiting_->previous_;
    waiting_->previous_->next_ = &waiter;
    waiting_->previous_ = &waiter;
  }
  by.suspend(frame, waiter);
}

void stream_link::finish(writer_awaiter& waiter) {
  if (waiter.task_ != nullptr) waiter.task_->check_cancelled();
  if (!lost_) return;
  if (error_) std::rethrow_exception(error_);
  if (waiter.yields_) {
    throw std::system_error(ECONNRESET, std::system_category(), "Connection lost");
  }
}

stream_link& writer_awaiter::link() const { return static_cast<stream_link&>(*link_); }

bool writer_awaiter::start(task_core& by, void* frame) {
  stream_link& waits_for = link();
  if (waits_for.ready(*this)) return false;
  waits_for.wait(*this, by, frame);
  return true;
}

void writer_awaiter::finish() { link().finish(*this); }

void writer_awaiter::unlink() noexcept {
  stream_link& from = static_cast<stream_link&>(*link_);
  if (next_ == this) {
    from.waiting_ = nullptr;
  } else {
    previous_->next_ = next_;
    next_->previous_ = previous_;
    if (from.waiting_ == this) from.waiting_ = next_;
  }
  next_ = nullptr;
  previous_ = nullptr;
}

bool writer_awaiter::on_cancel(suspension& self, task_core& by) {
  auto& waiter = static_cast<writer_awaiter&>(self);
  if (waiter.next_ != nullptr) waiter.unlink();
  by.wake_cancelled();
  return true;
}

// ---- making streams ----------------------------------------------------------------

namespace {

class stream_protocols final : public protocol_maker {
 public:
  stream_protocols(event_loop& loop, std::shared_ptr<client_handler> handler, std::size_t limit)
      : core_(loop.core()), handler_(std::move(handler)), limit_(limit) {}
  std::shared_ptr<base_protocol> make() override {
    return std::make_shared<stream_link>(core_, limit_, handler_);
  }

 private:
  loop_core& core_;
  std::shared_ptr<client_handler> handler_;
  std::size_t limit_;
};

void check_limit(std::size_t limit) {
  if (limit == 0) throw std::invalid_argument("Limit cannot be <= 0");
}

// The options with the texts that they point at.
struct kept_options {
  explicit kept_options(const connect_options& given)
      : options(given),
        server_hostname(given.server_hostname.value_or("")),
        local_host(given.local_addr ? given.local_addr->host : std::string_view()) {}

  // Only where it is kept: the views do not survive a move of short strings.
  const connect_options& get() {
    if (options.server_hostname) options.server_hostname = server_hostname;
    if (options.local_addr) options.local_addr->host = local_host;
    return options;
  }

  connect_options options;
  std::string server_hostname;
  std::string local_host;
};

coro<connection> open_stream(event_loop& loop, rondo::socket connected, std::size_t limit) {
  const auto link = std::make_shared<stream_link>(loop.core(), limit, nullptr);
  co_await attach_transport(loop, std::move(connected), link);
  co_return connection(link->reader(), link->writer());
}

coro<connection> connect_stream(host_argument host, service_argument port, kept_options kept) {
  event_loop& loop = get_running_loop();
  const connect_options& options = kept.get();
  rondo::socket connected = co_await open_socket(loop, host, port, options);
  co_return co_await open_stream(loop, std::move(connected), options.limit);
}

coro<connection> adopt_stream(rondo::socket connected, std::size_t limit) {
  co_return co_await open_stream(get_running_loop(), std::move(connected), limit);
}

coro<server> serve_hosts(std::shared_ptr<client_handler> handler, host_list_argument hosts,
                         service_argument port, server_options options) {
  event_loop& loop = get_running_loop();
  auto maker = std::make_shared<stream_protocols>(loop, std::move(handler), options.limit);
  co_return co_await open_server(loop, std::move(maker), std::move(hosts), port, options);
}

coro<server> serve_socket(std::shared_ptr<client_handler> handler, rondo::socket bound,
                          server_options options) {
  event_loop& loop = get_running_loop();
  auto maker = std::make_shared<stream_protocols>(loop, std::move(handler), options.limit);
  co_return co_await open_server(loop, std::move(maker), std::move(bound), options);
}

}  // namespace

coro<server> serve_streams(std::shared_ptr<client_handler> handler, host_list_argument hosts,
                           service_argument port, server_options options) {
  check_limit(options.limit);
  check_server_options(options);
  return serve_hosts(std::move(handler), std::move(hosts), std::move(port), options);
}

coro<server> serve_streams(std::shared_ptr<client_handler> handler, rondo::socket bound,
                           server_options options) {
  check_limit(options.limit);
  check_server_options(options);
  check_stream_socket(bound);
  return serve_socket(std::move(handler), std::move(bound), options);
}

}  // namespace detail

coro<connection> open_connection(detail::host_argument host, detail::service_argument port,
                                 connect_options options) {
  detail::check_limit(options.limit);
  detail::check_connect_options(options);
  return detail::connect_stream(std::move(host), std::move(port), detail::kept_options(options));
}

coro<connection> open_connection(rondo::socket connected, connect_options options) {
  detail::check_limit(options.limit);
  detail::check_connect_options(options);
  detail::check_stream_socket(connected);
  return detail::adopt_stream(std::move(connected), options.limit);
}

// ---- stream_reader -----------------------------------------------------------------

stream_reader::stream_reader(std::size_t limit)
    : buffer_(detail::stream_buffer_ref::adopt(new detail::stream_buffer(limit))) {}

bool stream_reader::at_eof() const {
  const detail::stream_buffer& buffer = detail::buffer_of(buffer_);
  return buffer.eof && buffer.size() == 0;
}

std::exception_ptr stream_reader::exception() const { return detail::buffer_of(buffer_).error; }

void stream_reader::feed_data(std::string_view data) const {
  detail::buffer_of(buffer_).append(data);
}

void stream_reader::feed_eof() const { detail::buffer_of(buffer_).feed_eof(); }

void stream_reader::set_exception(std::exception_ptr error) const {
  if (error == nullptr) detail::throw_null_exception();
  detail::buffer_of(buffer_).set_exception(std::move(error));
}

void stream_reader::set_transport(std::shared_ptr<read_transport> fed_by) const {
  detail::stream_buffer& buffer = detail::buffer_of(buffer_);
  if (buffer.fed_by_transport) throw std::logic_error("Transport already set");
  buffer.fed_by_transport = true;
  buffer.transport = std::move(fed_by);
}

// ---- stream_writer -----------------------------------------------------------------

transport& stream_writer::raw_transport() const {
  return *static_cast<detail::stream_link&>(*link()).transport();
}

void stream_writer::drop() noexcept {
  if (--link_->writers == 0) static_cast<detail::stream_link&>(*link_).writers_gone();
}

void stream_writer::write(std::string_view data) const { raw_transport().write(data); }

void stream_writer::close() const { raw_transport().close(); }

bool stream_writer::is_closing() const { return raw_transport().is_closing(); }

bool stream_writer::can_write_eof() const { return raw_transport().can_write_eof(); }

void stream_writer::write_eof() const { raw_transport().write_eof(); }

std::shared_ptr<transport> stream_writer::transport() const {
  return static_cast<detail::stream_link&>(*link()).transport();
}

std::any stream_writer::get_extra_info(std::string_view name) const {
  return raw_transport().get_extra_info(name);
}

}  // namespace v0
}  // namespace rondo
