// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  The transport of a stream socket.
#include "transport/socket_transport.hpp"

#include <rondo/errors.hpp>
#include <rondo/log.hpp>

#include "loop/slow_callbacks.hpp"
#include "os/syscalls.hpp"
#include "transport/raw_address.hpp"
#include "transport/receive_memory.hpp"

#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include <algorithm>
#include <any>
#include <cerrno>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <system_error>
#include <utility>

namespace rondo {
inline namespace v0 {
namespace detail {
namespace {

constexpr std::size_t default_high = 64 * 1024;
// As asyncio: the first few writes to a lost connection are no reason to complain.
constexpr std::uint32_t quiet_writes = 4;

}  // namespace

void set_no_delay(int fd) noexcept {
  const int on = 1;
  static_cast<void>(os::sys.setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on));
}

fd_state::stream_kind kind_of_family(int family) noexcept {
  switch (family) {
    case AF_INET:
    case AF_INET6:
      return fd_state::stream_kind::tcp;
    case AF_UNIX:
      return fd_state::stream_kind::local;
    default:
      return fd_state::stream_kind::unknown;
  }
}

class socket_transport::turn {
 public:
  explicit turn(socket_transport& transport) noexcept : transport_(transport) {}
  turn(const turn&) = delete;
  turn& operator=(const turn&) = delete;
  ~turn() {
    if (!transport_.ended_ &&
        (transport_.start_due_ || transport_.sent_due_ || transport_.other_due_)) {
      transport_.queue_event();
    }
    transport_.release_if_done();
  }

 private:
  socket_transport& transport_;
};

// ---- beginning ---------------------------------------------------------------------

std::shared_ptr<socket_transport> socket_transport::open(event_loop& loop, os::descriptor fd,
                                                         std::shared_ptr<base_protocol> attached,
                                                         transport_setup setup) {
  const fd_state::stream_kind kind = setup.kind;
  auto made = std::make_shared<socket_transport>(hidden(), loop, fd.get(), std::move(setup));
  begin_with(made, fd, std::move(attached), kind);
  return made;
}

void socket_transport::begin_with(const std::shared_ptr<socket_transport>& made, os::descriptor& fd,
                                  std::shared_ptr<base_protocol> attached,
                                  fd_state::stream_kind kind) {
  made->adopt_protocol(std::move(attached));
  made->io_.open(made->state_);
  made->state_.kind = kind;
  static_cast<void>(fd.release());
  link_resource(made->core_, *made);
  made->self_ = made;
  made->queue_event();
}

socket_transport::socket_transport(hidden, event_loop& loop, int fd, transport_setup&& setup)
    : core_(loop.core()),
      io_(*core_.io),
      state_(fd),
      entries_(*this),
      high_(default_high),
      low_(default_high / 4),
      context_(std::move(setup.context)),
      opened_(std::move(setup.opened)),
      owner_(setup.owner),
      peer_(std::move(setup.peer)) {
  ++core_.references;
  in_kernel_ = (io_.capabilities() & backend::completes_in_kernel) != 0;
  entries_.fd = fd;
  entries_.complete = &on_sent;
}

socket_transport::~socket_transport() { detail::release(core_); }

void socket_transport::adopt_protocol(std::shared_ptr<base_protocol> next) {
  auto* const buffered = dynamic_cast<buffered_protocol*>(next.get());
  auto* const plain = buffered == nullptr ? dynamic_cast<protocol*>(next.get()) : nullptr;
  if (buffered == nullptr && plain == nullptr) {
    throw std::invalid_argument(
        "a stream transport needs an object of a class that derives from protocol or "
        "buffered_protocol");
  }
  // The caller may be a callback of the old one.
  if (previous_protocol_ == nullptr) previous_protocol_ = std::move(protocol_);
  protocol_ = std::move(next);
  plain_ = plain;
  buffered_ = buffered;
  own_ = dynamic_cast<own_protocol*>(buffered);
  given_ = nullptr;
}

void socket_transport::set_protocol(std::shared_ptr<base_protocol> next) {
  // Afterwards nobody would ever drop it again.
  if (!ended_) adopt_protocol(std::move(next));
}

void socket_transport::queue_event() noexcept {
  if (event_queued_) return;
  event_queued_ = true;
  core_.ready.push(static_cast<event_node&>(entries_));
}

void socket_transport::run_event(ready_node& node, event_loop* loop) {
  socket_transport& self = from<event_node>(node);
  self.event_queued_ = false;
  const turn now(self);
  if (loop != nullptr && !self.ended_) self.on_event();
}

void socket_transport::on_event() {
  if (made_due_) {
    made_due_ = false;
    try {
      const protocol_scope scope(core_, context_, "protocol.connection_made()");
      if (plain_ != nullptr) {
        plain_->connection_made(self_);
      } else {
        buffered_->connection_made(self_);
      }
    } catch (...) {
      report_failed("Exception in callback protocol.connection_made()");
    }
    end_callback();
  }
  if (start_due_) {
    start_due_ = false;
    start_reading();
    const future<> opened = std::exchange(opened_, future<>());
    if (opened && !opened.done()) opened.set_result();
  }
  if (other_due_) [[unlikely]] {
    other_due_ = false;
    on_other_event();
  }
  if (sent_due_) {
    sent_due_ = false;
    sending_ = false;
    if (ending_) return;
    if (entries_.result < 0) {
      os_error(-entries_.result, "sending");
      return;
    }
    queue_.consume(static_cast<std::size_t>(entries_.result));
    send_queued();
    after_sending(true);
  }
}

// ---- reading -----------------------------------------------------------------------

void socket_transport::start_reading() {
  if (closing_ || reading_paused_ || eof_received_) return;
  try {
    begin_receiving();
  } catch (const std::system_error& error) {
    os_error(error.code().value(), "receiving");
  }
}

void socket_transport::stop_reading() noexcept {
  if (!receiving_) return;
  receiving_ = false;
  io_.stop_receiving(state_);
}

void socket_transport::pause_reading() {
  if (closing_ || reading_paused_) return;
  reading_paused_ = true;
  if (receiving_) io_.pause_receiving(state_);
}

void socket_transport::resume_reading() {
  if (closing_ || !reading_paused_) return;
  reading_paused_ = false;
  if (start_due_) return;
  if (receiving_) {
    io_.resume_receiving(state_);
  } else {
    start_reading();
  }
}

std::span<char> socket_transport::get_buffer(std::ptrdiff_t hint) {
  if (plain_ != nullptr) return shared_receive_buffer();
  if (own_ == nullptr) return ask_for_buffer(hint);
  try {
    const std::span<char> room = own_->get_buffer(hint);
    given_ = room.data();
    return room;
  } catch (...) {
    callback_failed("Fatal error: protocol.get_buffer() call failed.");
    return {};
  }
}

std::span<char> socket_transport::ask_for_buffer(std::ptrdiff_t hint) {
  while (plain_ == nullptr) {
    buffered_protocol* const asked = buffered_;
    std::span<char> room;
    try {
      const protocol_scope scope(core_, context_, "protocol.get_buffer()");
      room = asked->get_buffer(hint);
    } catch (...) {
      callback_failed("Fatal error: protocol.get_buffer() call failed.");
    }
    end_callback();
    if (closing_) return {};
    if (buffered_ != asked) continue;
    if (room.empty()) {
      fatal_error(
          std::make_exception_ptr(std::runtime_error("get_buffer() returned an empty buffer")),
          "Fatal error: protocol.get_buffer() call failed.");
      return {};
    }
    given_ = room.data();
    return room;
  }
  return shared_receive_buffer();
}

void socket_transport::on_bytes(std::span<char> bytes) {
  if (plain_ != nullptr) {
    try {
      const protocol_scope scope(core_, context_, "protocol.data_received()");
      plain_->data_received(std::string_view(bytes.data(), bytes.size()));
    } catch (...) {
      callback_failed("Fatal error: protocol.data_received() call failed.");
    }
  } else if (bytes.data() != given_) {
    copy_to_buffered(std::string_view(bytes.data(), bytes.size()));
  } else if (own_ != nullptr) {
    try {
      own_->buffer_updated(bytes.size());
    } catch (...) {
      callback_failed("Fatal error: protocol.buffer_updated() call failed.");
    }
  } else {
    try {
      const protocol_scope scope(core_, context_, "protocol.buffer_updated()");
      buffered_->buffer_updated(bytes.size());
    } catch (...) {
      callback_failed("Fatal error: protocol.buffer_updated() call failed.");
    }
  }
  end_callback();
}

// The backend received into memory of its own, or the protocol was exchanged since it gave its
// memory.
void socket_transport::copy_to_buffered(std::string_view bytes) {
  while (!bytes.empty() && !closing_) {
    const std::span<char> room = get_buffer(static_cast<std::ptrdiff_t>(bytes.size()));
    if (closing_) return;
    if (plain_ != nullptr) {
      const std::size_t count = std::min(bytes.size(), room.size());
      std::memmove(room.data(), bytes.data(), count);
      bytes.remove_prefix(count);
      on_bytes(room.first(count));
      continue;
    }
    const std::size_t count = std::min(bytes.size(), room.size());
    std::memcpy(room.data(), bytes.data(), count);
    bytes.remove_prefix(count);
    on_bytes(room.first(count));
  }
}

void socket_transport::on_eof() {
  eof_received_ = true;
  receiving_ = false;
  bool keep_open = false;
  try {
    const protocol_scope scope(core_, context_, "protocol.eof_received()");
    keep_open = plain_ != nullptr ? plain_->eof_received() : buffered_->eof_received();
  } catch (...) {
    callback_failed("Fatal error: protocol.eof_received() call failed.");
  }
  end_callback();
  if (!keep_open) close();
}

void socket_transport::end_with_eof(std::exception_ptr error) {
  receiving_ = false;
  eof_received_ = true;
  if (closing_) return;
  closing_ = true;
  schedule_end(std::move(error));
  try {
    const context_scope scope(core_, context_);
    static_cast<void>(plain_ != nullptr ? plain_->eof_received() : buffered_->eof_received());
  } catch (...) {
    report_failed("Fatal error: protocol.eof_received() call failed.");
    error_ = std::current_exception();
  }
  end_callback();
}

void socket_transport::on_error(int error) {
  receiving_ = false;
  os_error(error, "receiving");
}

// ---- writing -----------------------------------------------------------------------

bool socket_transport::may_send_now() noexcept {
  if (in_kernel_ || sending_ || !queue_.empty() || last_write_ == core_.iteration) return false;
  last_write_ = core_.iteration;
  return true;
}

void socket_transport::check_writable() const {
  if (eof_wanted_) throw std::logic_error("Cannot call write() after write_eof()");
}

void socket_transport::ignore_write() {
  if (++writes_after_end_ > quiet_writes) {
    log(log_level::warning, "socket.send() raised exception: the connection is closed");
  }
}

std::int64_t socket_transport::start_send(const char* data, std::size_t size) {
  operation& send = entries_;
  send.kind = send_kind_;
  send.buffer = const_cast<char*>(data);  // NOLINT: one member for both directions
  send.size = size;
  if (io_.start(send) == backend::start_result::done_inline) [[likely]]
    return send.result;
  sending_ = true;
  return 0;
}

std::int64_t socket_transport::start_gathered(std::span<::iovec> slices) {
  ::msghdr message{};
  message.msg_iov = slices.data();
  message.msg_iovlen = slices.size();
  operation& send = entries_;
  send.kind = gather_kind_;
  send.message = &message;
  if (io_.start(send) == backend::start_result::done_inline) [[likely]]
    return send.result;
  sending_ = true;
  return 0;
}

template <class Keep>
void socket_transport::keep_rest(std::int64_t sent, std::size_t size, Keep&& keep) {
  if (sent < 0) {
    os_error(-sent, "sending");
    return;
  }
  if (static_cast<std::size_t>(sent) == size) return;
  try {
    keep(static_cast<std::size_t>(sent));
  } catch (...) {
    // A pending send must not go on reading the caller's memory.
    if (sending_) io_.abandon(entries_);
    sending_ = false;
    throw;
  }
  if (sending_) {
    // It has not begun: a selector tries it when the descriptor is writable.
    const std::span<char> front = queue_.front();
    operation& send = entries_;
    send.kind = send_kind_;
    send.buffer = front.data();
    send.size = front.size();
  } else {
    send_queued();
    if (ending_) return;
  }
  check_high_mark();
}

void socket_transport::write(std::string_view data) {
  if (closing_ || eof_wanted_) [[unlikely]] {
    check_writable();
    if (!data.empty()) ignore_write();
    return;
  }
  if (data.empty()) return;
  if (may_send_now()) [[likely]] {
    const std::int64_t sent = start_send(data.data(), data.size());
    if (sent == static_cast<std::int64_t>(data.size())) [[likely]]
      return;
    keep_rest(sent, data.size(), [&](std::size_t count) { queue_.append(data.substr(count)); });
    return;
  }
  queue_.append(data);
  after_queueing();
}

void socket_transport::write_string(std::string&& data) {
  if (closing_ || eof_wanted_) [[unlikely]] {
    check_writable();
    if (!data.empty()) ignore_write();
    return;
  }
  if (data.empty()) return;
  if (may_send_now()) [[likely]] {
    const std::int64_t sent = start_send(data.data(), data.size());
    if (sent == static_cast<std::int64_t>(data.size())) [[likely]]
      return;
    keep_rest(sent, data.size(),
              [&](std::size_t count) { queue_.append_owned(std::move(data), count); });
    return;
  }
  queue_.append_owned(std::move(data));
  after_queueing();
}

void socket_transport::write_parts(std::span<const std::string_view> parts) {
  std::size_t size = 0;
  for (const std::string_view part : parts) size += part.size();
  if (closing_ || eof_wanted_) [[unlikely]] {
    check_writable();
    if (size != 0) ignore_write();
    return;
  }
  if (size == 0) return;
  const auto keep = [&](std::size_t skip) {
    for (const std::string_view part : parts) {
      const std::size_t skipped = std::min(skip, part.size());
      skip -= skipped;
      queue_.append(part.substr(skipped));
    }
  };
  if (!may_send_now()) {
    keep(0);
    after_queueing();
    return;
  }
  // As many parts a call as the kernel takes; what stays goes into the queue.
  const std::span<::iovec> slices = shared_slices();
  std::size_t sent = 0;
  auto next = parts.begin();
  while (next != parts.end()) {
    std::size_t count = 0;
    std::size_t offered = 0;
    for (; next != parts.end() && count < slices.size(); ++next) {
      if (next->empty()) continue;
      slices[count].iov_base = const_cast<char*>(next->data());  // NOLINT: the kernel only reads
      slices[count].iov_len = next->size();
      offered += next->size();
      ++count;
    }
    if (count == 0) break;
    const std::int64_t result = start_gathered(slices.first(count));
    if (result < 0) {
      os_error(-result, "sending");
      return;
    }
    sent += static_cast<std::size_t>(result);
    if (static_cast<std::size_t>(result) < offered) break;
  }
  keep_rest(static_cast<std::int64_t>(sent), size, keep);
}

void socket_transport::after_queueing() {
  if (queue_.size() > high_) [[unlikely]] {
    // Too much to hold back: what the kernel takes now does not count against the protocol.
    if (!in_kernel_ && !sending_) send_queued();
    if (ending_) return;
    check_high_mark();
  }
  if (!queue_.empty()) queue_flush();
}

void socket_transport::queue_flush() noexcept {
  if (sending_ || flush_queued_) return;
  flush_queued_ = true;
  core_.at_end.push(static_cast<flush_node&>(entries_));
}

void socket_transport::run_flush(ready_node& node, event_loop* loop) {
  socket_transport& self = from<flush_node>(node);
  self.flush_queued_ = false;
  const turn now(self);
  if (loop == nullptr || self.ending_ || self.sending_ || self.queue_.empty()) return;
  self.send_queued();
  self.after_sending(false);
}

// Sends what the kernel takes; the rest waits as a pending operation on the queue's own memory.
void socket_transport::send_queued() {
  while (!queue_.empty()) {
    if (in_kernel_) {
      start_in_kernel();
      if (sending_) return;
    }
    std::int64_t sent = entries_.result;
    if (!in_kernel_) {
      const std::span<::iovec> slices = shared_slices();
      const std::size_t count = queue_.gather(slices);
      if (count == 1) {
        const std::span<char> front = queue_.front();
        sent = start_send(front.data(), front.size());
      } else {
        sent = start_gathered(slices.first(count));
      }
      if (sending_) {
        const std::span<char> front = queue_.front();
        operation& send = entries_;
        send.kind = send_kind_;
        send.buffer = front.data();
        send.size = front.size();
        return;
      }
    }
    if (sent < 0) {
      os_error(-sent, "sending");
      return;
    }
    queue_.consume(static_cast<std::size_t>(sent));
    if (sent == 0) {
      queue_flush();
      return;
    }
  }
}

void socket_transport::start_in_kernel() {
  std::array<::iovec, 2> two;
  if (queue_.gather(two) == 1) {
    const std::span<char> front = queue_.front();
    static_cast<void>(start_send(front.data(), front.size()));
    return;
  }
  if (kernel_slices_ == nullptr) kernel_slices_ = std::make_unique<kernel_slices>();
  kernel_slices& stable = *kernel_slices_;
  stable.message = {};
  stable.message.msg_iov = stable.slices.data();
  stable.message.msg_iovlen = queue_.gather(stable.slices);
  operation& send = entries_;
  send.kind = gather_kind_;
  send.message = &stable.message;
  if (io_.start(send) == backend::start_result::pending) sending_ = true;
}

void socket_transport::on_sent(operation& op) noexcept {
  socket_transport& self = *static_cast<entries&>(op).owner;
  self.sent_due_ = true;
  self.queue_event();
}

void socket_transport::after_sending(bool from_completion) {
  if (ending_) return;
  check_low_mark();
  if (ending_ || sending_ || !queue_.empty()) return;
  kernel_slices_.reset();
  if (closing_) {
    if (from_completion) {
      ending_ = true;
      end();
    } else {
      schedule_end(nullptr);
    }
  } else if (eof_wanted_) {
    static_cast<void>(os::sys.shutdown(state_.fd, SHUT_WR));
  }
}

void socket_transport::write_eof() {
  if (closing_ || eof_wanted_) return;
  eof_wanted_ = true;
  // A connection that is gone is the reader's to report.
  if (queue_.empty() && !sending_) static_cast<void>(os::sys.shutdown(state_.fd, SHUT_WR));
}

// ---- flow control ------------------------------------------------------------------

void socket_transport::set_write_buffer_limits(buffer_limits limits) {
  std::size_t high = default_high;
  if (limits.high) {
    high = *limits.high;
  } else if (limits.low) {
    constexpr std::size_t most = std::numeric_limits<std::size_t>::max();
    high = *limits.low > most / 4 ? most : 4 * *limits.low;
  }
  const std::size_t low = limits.low.value_or(high / 4);
  if (low > high) {
    throw std::invalid_argument(fmt::format("high ({}) must be >= low ({})", high, low));
  }
  high_ = high;
  low_ = low;
  if (!closing_) check_high_mark();
}

void socket_transport::check_high_mark() {
  if (queue_.size() <= high_ || protocol_paused_) return;
  protocol_paused_ = true;
  try {
    protocol_->pause_writing();
  } catch (...) {
    report_failed("protocol.pause_writing() failed");
  }
}

void socket_transport::check_low_mark() {
  if (!protocol_paused_ || queue_.size() > low_) return;
  protocol_paused_ = false;
  try {
    const protocol_scope scope(core_, context_, "protocol.resume_writing()");
    protocol_->resume_writing();
  } catch (...) {
    report_failed("protocol.resume_writing() failed");
  }
  end_callback();
}

// ---- ending ------------------------------------------------------------------------

void socket_transport::close() {
  if (closing_) return;
  closing_ = true;
  stop_reading();
  if (queue_.empty() && !sending_) schedule_end(nullptr);
}

void socket_transport::abort() { force_close(nullptr); }

void socket_transport::force_close(std::exception_ptr error) {
  if (ending_) return;
  if (sending_ && !sent_due_) io_.abandon(entries_);
  sending_ = false;
  sent_due_ = false;
  queue_.clear();
  closing_ = true;
  stop_reading();
  schedule_end(std::move(error));
}

void socket_transport::schedule_end(std::exception_ptr error) {
  ending_ = true;
  error_ = std::move(error);
  end_queued_ = true;
  core_.ready.push(static_cast<end_node&>(entries_));
}

void socket_transport::run_end(ready_node& node, event_loop* loop) {
  socket_transport& self = from<end_node>(node);
  self.end_queued_ = false;
  const turn now(self);
  if (loop != nullptr && !self.ended_) self.end();
}

void socket_transport::end() {
  ended_ = true;
  // Also when keyboard_interrupt or system_exit passes.
  struct finally {
    socket_transport& self;
    ~finally() { self.let_go(); }
  } const last{*this};
  try {
    const protocol_scope scope(core_, context_, "protocol.connection_lost()");
    protocol_->connection_lost(std::exchange(error_, nullptr));
  } catch (...) {
    report_failed("Exception in callback protocol.connection_lost()");
  }
}

void socket_transport::let_go() noexcept {
  if (self_.use_count() > 1 && state_.kind != fd_state::stream_kind::plain) {
    // Somebody is left to ask for it.
    try {
      look_up_sockname();
    } catch (const std::exception&) {
      log(log_level::debug, "no memory for the address of a closed connection");
    }
  }
  let_go_ = true;
  io_.close(state_);
  close_descriptor();
  if (view_ != nullptr) view_->fd = -1;
  queue_.clear();
  unlink_resource(core_, *this);
  if (connection_owner* const owner = std::exchange(owner_, nullptr))
    owner->connection_ended(*this);
  plain_ = nullptr;
  buffered_ = nullptr;
  own_ = nullptr;
  const std::shared_ptr<base_protocol> previous = std::move(previous_protocol_);
  const std::shared_ptr<base_protocol> last = std::move(protocol_);
  if (state_.queued && !end_queued_) {
    // The ready queue still refers to the state: a node behind it tells when that is over.
    end_queued_ = true;
    core_.ready.push(static_cast<end_node&>(entries_));
  }
}

void socket_transport::close_descriptor() noexcept { os::descriptor::close_quietly(state_.fd); }

void socket_transport::release_if_done() noexcept {
  if (!ended_ || event_queued_ || end_queued_ || flush_queued_) return;
  const std::shared_ptr<socket_transport> last = std::move(self_);
}

void socket_transport::on_loop_close() noexcept {
  if (core_.debug) log(log_level::warning, "an open transport was closed by closing its loop");
  closing_ = true;
  ending_ = true;
  ended_ = true;
  opened_ = future<>();
  let_go();
  release_if_done();
}

// ---- errors ------------------------------------------------------------------------

std::string socket_transport::describe(const char* what) const {
  const std::optional<address> peer = peername();
  return peer && peer->family() != AF_UNIX
             ? fmt::format("{} on the connection with {}", what, peer->to_string())
             : fmt::format("{} on a connection", what);
}

void socket_transport::os_error(std::int64_t error, const char* what) {
  const std::system_error failure(static_cast<int>(error), std::system_category(), describe(what));
  if (core_.debug) log(log_level::debug, failure.what());
  force_close(std::make_exception_ptr(failure));
}

void socket_transport::fatal_error(std::exception_ptr error, const char* message) {
  force_close(error);
  report(message, std::move(error));
}

void socket_transport::callback_failed(const char* message) {
  try {
    throw;
  } catch (const keyboard_interrupt&) {
    throw;
  } catch (const system_exit&) {
    throw;
  } catch (...) {
    fatal_error(std::current_exception(), message);
  }
}

void socket_transport::report_failed(const char* message) {
  try {
    throw;
  } catch (const keyboard_interrupt&) {
    throw;
  } catch (const system_exit&) {
    throw;
  } catch (...) {
    report(message, std::current_exception());
  }
}

void socket_transport::report(const char* message, std::exception_ptr error) {
  exception_context context(message, std::move(error));
  context.transport = this;
  context.protocol = protocol_.get();
  core_.loop->call_exception_handler(context);
}

// ---- what is known -----------------------------------------------------------------

std::optional<address> socket_transport::peername() const {
  if (peer_.family() == AF_UNSPEC) return std::nullopt;
  return peer_;
}

void socket_transport::look_up_sockname() const {
  if (sockname_ != nullptr) return;
  if (const address* const known = owner_ != nullptr ? owner_->local_address() : nullptr) {
    sockname_ = std::make_unique<address>(*known);
    return;
  }
  raw_address raw;
  if (os::sys.getsockname(state_.fd, raw.get(), &raw.size) == 0) {
    sockname_ = std::make_unique<address>(to_address(raw));
  }
}

std::optional<address> socket_transport::sockname() const {
  if (!let_go_) look_up_sockname();
  if (sockname_ == nullptr) return std::nullopt;
  return *sockname_;
}

std::optional<transport_socket> socket_transport::socket() const {
  if (let_go_) return std::nullopt;
  if (view_ == nullptr) view_ = std::make_shared<shared_descriptor>(state_.fd);
  return transport_socket(view_);
}

std::any socket_transport::get_extra_info(std::string_view name) const {
  if (name == "peername") {
    if (const std::optional<address> known = peername()) return *known;
  } else if (name == "sockname") {
    if (const std::optional<address> known = sockname()) return *known;
  } else if (name == "socket") {
    if (const std::optional<transport_socket> view = socket()) return *view;
  }
  return {};
}

}  // namespace detail
}  // namespace v0
}  // namespace rondo
