// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  The transports of one end of a pipe, a FIFO or a terminal.
#include "transport/pipe_transport.hpp"

#include <rondo/errors.hpp>

#include "loop/running_scope.hpp"
#include "os/syscalls.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>

namespace rondo {
inline namespace v0 {
namespace detail {
namespace {

bool is_socket(int fd) noexcept {
  struct ::stat file = {};
  return os::sys.fstat(fd, &file) == 0 && S_ISSOCK(file.st_mode);
}

[[noreturn]] void not_for_reading(const char* member) {
  throw not_supported_error(fmt::format("a read pipe has no {}", member));
}

void lend(os::non_blocking_lease& lease, int fd) {
  if (const int error = lease.begin(fd); error != 0) {
    os::throw_error(error, fmt::format("file descriptor {} cannot be made non-blocking", fd));
  }
}

std::any extra_info(std::string_view name, std::optional<int> fd) {
  if (name == "pipe" && fd) return *fd;
  return {};
}

}  // namespace

// ---- the end to read from ----------------------------------------------------------

std::shared_ptr<read_pipe_transport> read_pipe_transport::open(
    event_loop& loop, os::descriptor fd, bool shared, std::shared_ptr<base_protocol> attached,
    transport_setup setup) {
  const fd_state::stream_kind kind = setup.kind;
  auto made = std::make_shared<read_pipe_transport>(hidden(), loop, fd.get(), std::move(setup));
  if (shared) lend(made->lease_, fd.get());
  begin_with(made, fd, std::move(attached), kind);
  return made;
}

std::optional<int> read_pipe_transport::pipe() const {
  if (let_go_of_descriptor()) return std::nullopt;
  return state().fd;
}

std::any read_pipe_transport::get_extra_info(std::string_view name) const {
  return extra_info(name, pipe());
}

void read_pipe_transport::write(std::string_view) { not_for_reading("write()"); }
void read_pipe_transport::write_string(std::string&&) { not_for_reading("write()"); }
void read_pipe_transport::write_parts(std::span<const std::string_view>) {
  not_for_reading("writelines()");
}
void read_pipe_transport::write_eof() { not_for_reading("write_eof()"); }

void read_pipe_transport::on_eof() { end_with_eof(nullptr); }

void read_pipe_transport::on_error(int error) {
  if (error != EIO) {
    socket_transport::on_error(error);
    return;
  }
  // How a terminal says that its other side is gone.
  end_with_eof(std::make_exception_ptr(
      std::system_error(error, std::system_category(), describe("receiving"))));
}

void read_pipe_transport::start_reading() {
  if (is_closing() || reading_paused()) return;
  if (!always_ready_) {
    try {
      begin_receiving();
      return;
    } catch (const std::system_error& error) {
      if (error.code().value() != EPERM) {
        os_error(error.code().value(), "receiving");
        return;
      }
    }
    always_ready_ = true;
  }
  queue_other_event();
}

void read_pipe_transport::resume_reading() {
  if (always_ready_ && !is_closing() && reading_paused()) queue_other_event();
  socket_transport::resume_reading();
}

// One read an iteration: such a device may have bytes without end.
void read_pipe_transport::on_other_event() {
  if (is_closing() || reading_paused()) return;
  const std::span<char> room = get_buffer(-1);
  if (is_closing()) return;
  const ssize_t count = os::sys.read(state().fd, room.data(), room.size());
  if (count == 0) {
    on_eof();
    return;
  }
  if (count < 0 && errno != EINTR && errno != EAGAIN) {
    on_error(errno);
    return;
  }
  queue_other_event();
  if (count > 0) on_bytes(room.first(static_cast<std::size_t>(count)));
}

void read_pipe_transport::close_descriptor() noexcept {
  lease_.end();
  socket_transport::close_descriptor();
}

std::string read_pipe_transport::describe(const char* what) const {
  return fmt::format("{} from a pipe", what);
}

// ---- the end to write to -----------------------------------------------------------

std::shared_ptr<write_pipe_transport> write_pipe_transport::open(
    event_loop& loop, os::descriptor fd, bool shared, std::shared_ptr<base_protocol> attached,
    transport_setup setup) {
  const fd_state::stream_kind kind = setup.kind;
  auto made = std::make_shared<write_pipe_transport>(hidden(), loop, fd.get(), std::move(setup));
  if (shared) lend(made->lease_, fd.get());
  begin_with(made, fd, std::move(attached), kind);
  return made;
}

write_pipe_transport::write_pipe_transport(hidden, event_loop& loop, int fd,
                                           transport_setup&& setup)
    : socket_transport(hidden(), loop, fd, std::move(setup)) {
  if (!is_socket(fd)) send_by_writing();
  watch_.kind = operation_kind::poll_end;
  watch_.fd = fd;
  watch_.complete = &on_end;
  watch_.owner = this;
}

std::optional<int> write_pipe_transport::pipe() const {
  if (let_go_of_descriptor()) return std::nullopt;
  return state().fd;
}

std::any write_pipe_transport::get_extra_info(std::string_view name) const {
  return extra_info(name, pipe());
}

// asyncio reads from it and takes whatever comes for the end; here only the end counts, so that
// sockets and terminals, from which somebody else may read, are no special case.
void write_pipe_transport::start_reading() {
  if (is_closing()) return;
  const bool ended = io().start(watch_) == backend::start_result::done_inline;
  // A device that cannot be watched has no other side.
  if (ended && watch_.result >= 0) queue_other_event();
}

void write_pipe_transport::stop_reading() noexcept { io().abandon(watch_); }

void write_pipe_transport::on_end(operation& op) noexcept {
  static_cast<end_watch&>(op).owner->queue_other_event();
}

void write_pipe_transport::on_other_event() {
  if (ending() || watch_.result < 0) return;
  if (unsent()) {
    os_error(EPIPE, "sending");
  } else {
    force_close(nullptr);
  }
}

void write_pipe_transport::close_descriptor() noexcept {
  lease_.end();
  socket_transport::close_descriptor();
}

std::string write_pipe_transport::describe(const char* what) const {
  return fmt::format("{} to a pipe", what);
}

// ---- connecting --------------------------------------------------------------------

pipe_end::pipe_end(int fd, pipe_side side) : fd_(fd), side_(side) {
  struct ::stat file = {};
  if (os::sys.fstat(fd, &file) != 0) {
    os::throw_error(errno, fmt::format("file descriptor {} cannot become a pipe transport", fd));
  }
  if (!S_ISFIFO(file.st_mode) && !S_ISSOCK(file.st_mode) && !S_ISCHR(file.st_mode)) {
    throw std::invalid_argument(fmt::format(
        "file descriptor {}: pipe transports are for pipes, sockets and character devices", fd));
  }
}

pipe_end::~pipe_end() {
  if (fd_ >= 0) os::descriptor::close_quietly(fd_);
}

coro<std::shared_ptr<transport>> attach_pipe(event_loop& loop, pipe_end end,
                                             std::shared_ptr<base_protocol> attached) {
  os::descriptor fd(end.release());
  transport_setup setup;
  if (!is_socket(fd.get())) setup.kind = fd_state::stream_kind::plain;
  setup.context = running_context().snapshot();
  setup.opened = loop.create_future<>();
  const future<> opened = setup.opened;
  std::shared_ptr<transport> made;
  if (end.side() == pipe_side::read) {
    made =
        read_pipe_transport::open(loop, std::move(fd), true, std::move(attached), std::move(setup));
  } else {
    made = write_pipe_transport::open(loop, std::move(fd), true, std::move(attached),
                                      std::move(setup));
  }
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
}  // namespace v0
}  // namespace rondo
