// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Processes with streams.
#include <rondo/subprocess.hpp>

#include <rondo/event_loop.hpp>
#include <rondo/task.hpp>

#include "process/child.hpp"
#include "process/spawn_request.hpp"
#include "transport/pipe_transport.hpp"
#include "transport/stream_link.hpp"

#include <array>
#include <csignal>
#include <cstddef>
#include <exception>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

namespace rondo {
inline namespace v0 {
namespace detail {

/// What the handles of a process share: the child, and a stream for each pipe.
class process_state {
 public:
  explicit process_state(std::shared_ptr<child> started) noexcept : child_(std::move(started)) {}
  process_state(const process_state&) = delete;
  process_state& operator=(const process_state&) = delete;
  ~process_state() { close_pipes(); }

  /// Opens a stream for one end of a pipe; the future is done when it can be used.
  future<> open_pipe(event_loop& loop, std::size_t number, os::descriptor end, std::size_t limit);
  void close_pipes() const {
    for (const std::shared_ptr<transport>& each : pipes_) {
      if (each != nullptr) each->close();
    }
  }

  [[nodiscard]] const std::shared_ptr<child>& process() const noexcept { return child_; }
  [[nodiscard]] transport& input_pipe() const noexcept { return *pipes_[0]; }
  [[nodiscard]] stream_writer* writer() const noexcept { return writer_.get(); }
  [[nodiscard]] stream_reader* reader(std::size_t number) const noexcept {
    return readers_[number - 1].get();
  }

 private:
  std::shared_ptr<child> child_;
  std::array<std::shared_ptr<transport>, 3> pipes_;
  std::unique_ptr<stream_writer> writer_;
  std::array<std::unique_ptr<stream_reader>, 2> readers_;
};

future<> process_state::open_pipe(event_loop& loop, std::size_t number, os::descriptor end,
                                  std::size_t limit) {
  const auto link = std::make_shared<stream_link>(loop.core(), limit, nullptr);
  transport_setup setup;
  setup.kind = fd_state::stream_kind::plain;
  setup.context = running_context().snapshot();
  setup.opened = loop.create_future<>();
  future<> opened = setup.opened;
  if (number == 0) {
    pipes_[0] = write_pipe_transport::open(loop, std::move(end), false, link, std::move(setup));
    writer_ = std::make_unique<stream_writer>(link->writer());
  } else {
    pipes_[number] = read_pipe_transport::open(loop, std::move(end), false, link, std::move(setup));
    readers_[number - 1] = std::make_unique<stream_reader>(link->reader());
  }
  return opened;
}

namespace {

coro<int> wait_for_returncode(std::shared_ptr<process_state> state) {
  co_await wait_for_end(state->process());
  co_return *state->process()->returncode();
}

coro<std::string> read_all(stream_reader from) { co_return co_await from.read(); }

/// Reads both outputs side by side, so that a child that fills one of them can go on.
coro<std::pair<std::string, std::string>> read_outputs(const process_state& state) {
  std::pair<std::string, std::string> result;
  const stream_reader* const out = state.reader(1);
  const stream_reader* const err = state.reader(2);
  if (out != nullptr && err != nullptr) {
    const task<std::string> second = create_task(read_all(*err));
    second.core()->log_destroyed = false;
    std::exception_ptr error;
    try {
      result.first = co_await out->read();
      result.second = co_await second;
    } catch (...) {
      error = std::current_exception();
    }
    if (error) {
      // Whoever is cancelled leaves nothing behind that still reads.
      second.cancel();
      if (second.done() && !second.cancelled()) static_cast<void>(second.exception());
      std::rethrow_exception(std::move(error));
    }
  } else if (out != nullptr) {
    result.first = co_await out->read();
  } else if (err != nullptr) {
    result.second = co_await err->read();
  }
  co_return result;
}

coro<std::pair<std::string, std::string>> converse(std::shared_ptr<process_state> state,
                                                   std::optional<std::string> input) {
  if (const stream_writer* const writer = state->writer()) {
    // What the pipe does not take waits in the transport, which sends it while the outputs are
    // read. Whether the child wants all of it is the child's business.
    if (input && !writer->is_closing()) writer->write(std::move(*input));
    writer->close();
  }
  std::pair<std::string, std::string> result = co_await read_outputs(*state);
  co_await wait_for_end(state->process());
  // Somebody else may hold the pipe who never reads from it.
  if (state->writer() != nullptr) state->input_pipe().abort();
  co_return result;
}

coro<process> start_process_inner(spawn_request request, std::size_t limit) {
  event_loop& loop = get_running_loop();
  started_child started = start_child(loop, request.data(), rondo::subprocess::inherit);
  const auto state = std::make_shared<process_state>(started.process);
  std::exception_ptr error;
  try {
    std::array<future<>, 3> opened;
    for (std::size_t i = 0; i < 3; ++i) {
      if (started.pipes[i]) {
        opened[i] = state->open_pipe(loop, i, std::move(started.pipes[i]), limit);
      }
    }
    for (const future<>& each : opened) {
      if (each) co_await each;
    }
  } catch (...) {
    error = std::current_exception();
  }
  if (error) {
    state->close_pipes();
    if (started.process->kill()) co_await wait_for_end(started.process);
    std::rethrow_exception(std::move(error));
  }
  co_return process(state);
}

}  // namespace

coro<process> start_process(spawn_request request, std::size_t limit) {
  return start_process_inner(std::move(request), limit);
}

}  // namespace detail

coro<process> create_subprocess_shell(std::string_view command, subprocess_options options) {
  return detail::start_process(detail::shell_request(options, command), options.limit);
}

// ---- process -----------------------------------------------------------------------

process::process(std::shared_ptr<detail::process_state> state) noexcept
    : state_(std::move(state)) {}
process::process(const process&) noexcept = default;
process::process(process&&) noexcept = default;
process& process::operator=(const process&) noexcept = default;
process& process::operator=(process&&) noexcept = default;
process::~process() = default;

stream_writer* process::stdin_writer() const noexcept { return state_->writer(); }
stream_reader* process::stdout_reader() const noexcept { return state_->reader(1); }
stream_reader* process::stderr_reader() const noexcept { return state_->reader(2); }

int process::pid() const noexcept { return state_->process()->pid(); }
std::optional<int> process::returncode() const { return state_->process()->returncode(); }

coro<int> process::wait() const { return detail::wait_for_returncode(state_); }

coro<std::pair<std::string, std::string>> process::communicate(
    std::optional<std::string_view> input) const {
  std::optional<std::string> owned;
  if (input) owned = *input;
  return detail::converse(state_, std::move(owned));
}

coro<std::pair<std::string, std::string>> process::communicate_owned(std::string input) const {
  return detail::converse(state_, std::move(input));
}

void process::send_signal(int signal_number) const {
  state_->process()->send_signal(signal_number);
}
void process::terminate() const { send_signal(SIGTERM); }
void process::kill() const { send_signal(SIGKILL); }

}  // namespace v0
}  // namespace rondo
