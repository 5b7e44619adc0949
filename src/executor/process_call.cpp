// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  One call of a process pool: forking, the child, its report.
#include "executor/process_call.hpp"

#include <rondo/errors.hpp>
#include <rondo/event_loop.hpp>

#include "executor/jobs.hpp"
#include "loop/loop_internals.hpp"
#include "loop/running_scope.hpp"
#include "os/syscalls.hpp"

#include <sys/mman.h>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <exception>
#include <mutex>
#include <new>
#include <stdexcept>
#include <string_view>
#include <system_error>
#include <utility>

namespace rondo {
inline namespace v0 {
namespace detail {
namespace {

constexpr interval longest_pause = std::chrono::milliseconds(50);
constexpr std::uint32_t report_mark = 0x726f6e64;

enum class outcome : std::uint32_t {
  value,
  system_error,
  generic_error,
  invalid_argument,
  out_of_range,
  logic_error,
  runtime_error,
  unwritten,  // the result, because of `code`
};

// A child that another thread forks between pipe2 and close here would hold the end that this one's
// child reports to.
constinit std::mutex fork_lock;

int write_all(int fd, std::string_view bytes) noexcept {
  while (!bytes.empty()) {
    const ssize_t count = os::sys.write(fd, bytes.data(), bytes.size());
    if (count > 0) {
      bytes.remove_prefix(static_cast<std::size_t>(count));
    } else if (count == 0 || errno != EINTR) {
      return count == 0 ? ENOSPC : errno;
    }
  }
  return 0;
}

// The exception that is being handled.
struct description {
  outcome kind = outcome::runtime_error;
  int code = 0;
  std::string text;
};

description describe() {
  try {
    throw;
  } catch (const std::system_error& error) {
    const bool system = error.code().category() == std::system_category();
    if (!system && error.code().category() != std::generic_category()) {
      return {outcome::runtime_error, 0, error.what()};
    }
    // The constructor appends the message of the code again.
    std::string text = error.what();
    const std::string message = ": " + error.code().message();
    if (text.ends_with(message)) text.resize(text.size() - message.size());
    return {system ? outcome::system_error : outcome::generic_error, error.code().value(),
            std::move(text)};
  } catch (const std::invalid_argument& error) {
    return {outcome::invalid_argument, 0, error.what()};
  } catch (const std::out_of_range& error) {
    return {outcome::out_of_range, 0, error.what()};
  } catch (const std::logic_error& error) {
    return {outcome::logic_error, 0, error.what()};
  } catch (const std::exception& error) {
    return {outcome::runtime_error, 0, error.what()};
  } catch (const cancelled_error& error) {
    return {outcome::runtime_error, 0, error.what()};
  } catch (...) {
    return {outcome::runtime_error, 0, "a call in another process threw something"};
  }
}

std::exception_ptr error_of(outcome kind, int code, const std::string& text) {
  switch (kind) {
    case outcome::system_error:
      return std::make_exception_ptr(std::system_error(code, std::system_category(), text));
    case outcome::generic_error:
      return std::make_exception_ptr(std::system_error(code, std::generic_category(), text));
    case outcome::invalid_argument:
      return std::make_exception_ptr(std::invalid_argument(text));
    case outcome::out_of_range:
      return std::make_exception_ptr(std::out_of_range(text));
    case outcome::logic_error:
      return std::make_exception_ptr(std::logic_error(text));
    default:
      return std::make_exception_ptr(std::runtime_error(text));
  }
}

std::exception_ptr broken(const std::string& why) {
  return std::make_exception_ptr(broken_process_pool(why));
}

std::string read_memory(int fd, std::uint64_t size) {
  std::string bytes(size, '\0');
  std::size_t have = 0;
  while (have < bytes.size()) {
    const ssize_t count =
        os::sys.pread(fd, bytes.data() + have, bytes.size() - have, static_cast<off_t>(have));
    if (count > 0) {
      have += static_cast<std::size_t>(count);
    } else if (count == 0 || errno != EINTR) {
      os::throw_error(count == 0 ? EIO : errno, "cannot read the result of another process");
    }
  }
  return bytes;
}

}  // namespace

// What the child writes into the pipe when everything else is in memory_; less than PIPE_BUF, so
// that it arrives whole.
struct process_call::report {
  std::uint32_t mark = report_mark;
  outcome kind = outcome::value;
  std::int32_t code = 0;
  std::uint32_t unused = 0;
  std::uint64_t size = 0;
};

process_call::process_call(std::shared_ptr<process_pool> pool, executor_job job, loop_job& wanted)
    : timer_node(&run_node),
      pool_(std::move(pool)),
      job_(std::move(job)),
      wanted_(&wanted),
      core_(wanted.target->core),
      inbox_(std::static_pointer_cast<inbox>(wanted.inbox)) {
  kind = operation_kind::poll_read;
  complete = &on_readable;
}

backend& process_call::io() const noexcept { return *core_->io; }

bool process_call::send_to_loop() noexcept { return inbox_->push(*this); }

void process_call::run_node(ready_node& node, event_loop* loop) {
  auto& self = static_cast<process_call&>(node);
  if (!self.begun_) {
    if (loop != nullptr) {
      self.begin();
      return;
    }
    const std::unique_ptr<process_call> owned(&self);
    self.pool_->give_place();
    return;
  }
  if (loop == nullptr) return;  // on_loop_close comes next
  if (self.pipe_) {
    self.read_report();
  } else {
    self.try_to_end();
  }
}

void process_call::begin() {
  begun_ = true;
  if (!pool_->may_begin() || !claim(*wanted_)) {
    const std::unique_ptr<process_call> owned(this);
    pool_->give_place();
    return;
  }
  try {
    make_child();
  } catch (...) {
    const std::unique_ptr<process_call> owned(this);
    stop_watching();
    wanted_->error = std::current_exception();
    finish_job();
    pool_->give_place();
    return;
  }
  link_resource(*core_, *this);
}

void process_call::make_child() {
  memory_.reset(os::sys.memfd_create("rondo result", MFD_CLOEXEC));
  if (!memory_) os::throw_error(errno, "cannot make memory for the result of a process");
  auto child = std::make_unique<child_process>();
  const std::lock_guard lock(fork_lock);
  std::array<int, 2> ends = {};
  if (os::sys.pipe2(ends.data(), O_CLOEXEC) != 0) {
    os::throw_error(errno, "cannot make a pipe to a process");
  }
  pipe_.reset(ends[0]);
  const os::descriptor theirs(ends[1]);
  if (const int error = os::set_non_blocking(pipe_.get()); error != 0) {
    os::throw_error(error, "cannot make a pipe to a process");
  }
  pipe_state_.fd = pipe_.get();
  fd = pipe_.get();
  // Before the fork: what can fail afterwards would leave a child that nobody waits for.
  io().open(pipe_state_);
  const bool readable = watch_pipe();
  // What is in the buffer would be written twice.
  std::fflush(stdout);
  child_ = child.get();
  pool_->add(std::move(child));
  const pid_t pid = os::sys.fork();
  if (pid == 0) run_child(theirs.get());
  if (pid < 0) {
    const int error = errno;
    pool_->forget(*std::exchange(child_, nullptr));
    os::throw_error(error, "cannot make a process for a call");
  }
  pool_->begun(*child_, pid);
  if (readable) core_->ready.push(*this);
}

// The child: nothing but the call, with what the parent had in memory.
void process_call::run_child(int pipe) noexcept {
  thread_state& thread = this_thread();
  thread.running = nullptr;
  thread.current = nullptr;
  report sent;
  std::string text;
  std::string_view bytes;
  try {
    const context_scope entered(thread, wanted_->bound_context);
    wanted_->calls->call(*wanted_);
    bytes = wanted_->calls->bytes(*wanted_);
  } catch (...) {
    description found = describe();
    sent.kind = found.kind;
    sent.code = found.code;
    text = std::move(found.text);
    bytes = text;
  }
  sent.size = bytes.size();
  if (const int error = write_all(memory_.get(), bytes); error != 0) {
    sent.kind = outcome::unwritten;
    sent.code = error;
  }
  std::fflush(stdout);
  static_cast<void>(write_all(pipe, {reinterpret_cast<const char*>(&sent), sizeof sent}));
  os::sys.exit_at_once(0);
  std::terminate();
}

void process_call::on_readable(operation& op) noexcept {
  auto& self = static_cast<process_call&>(op);
  self.core_->ready.push(self);
}

// True if it is readable now.
bool process_call::watch_pipe() {
  if (io().start(*this) == backend::start_result::pending) return false;
  if (operation::result < 0) {
    os::throw_error(static_cast<int>(-operation::result), "cannot watch the pipe to a process");
  }
  return true;
}

void process_call::stop_watching() noexcept {
  if (pipe_) io().close(pipe_state_);
  pipe_.reset();
}

void process_call::read_report() {
  report from;
  ssize_t count = 0;
  do {
    count = os::sys.read(pipe_.get(), &from, sizeof from);
  } while (count < 0 && errno == EINTR);
  if (count < 0 && errno == EAGAIN) {
    try {
      if (watch_pipe()) core_->ready.push(*this);
      return;
    } catch (...) {
      wanted_->error = std::current_exception();
      finish_job();
    }
  }
  stop_watching();
  if (!job_done_ && count == sizeof from && from.mark == report_mark) {
    take_result(from);
    memory_.reset();
  }
  try_to_end();
}

void process_call::take_result(const report& from) {
  try {
    if (from.kind == outcome::unwritten) {
      os::throw_error(from.code, "a process could not write its result");
    }
    std::string bytes = read_memory(memory_.get(), from.size);
    if (from.kind != outcome::value) {
      wanted_->error = error_of(from.kind, from.code, bytes);
    } else if (!wanted_->calls->take(*wanted_, std::move(bytes))) {
      wanted_->error = broken("the result of a process is not of the right size");
    }
  } catch (...) {
    wanted_->error = std::current_exception();
  }
  finish_job();
}

// The pipe is closed a moment before the process can be reaped; a process that closed it itself may
// live for long.
void process_call::try_to_end() {
  if (!pool_->reap(*child_)) {
    const interval pause = next_try_;
    next_try_ = std::min(longest_pause, interval(std::chrono::nanoseconds(pause.count() * 2)));
    try {
      core_->loop->arm_timer(*this, add_saturated(core_->loop->time(), pause));
    } catch (const std::bad_alloc&) {
      core_->ready.push(*this);
    }
    return;
  }
  const std::unique_ptr<process_call> owned(this);
  if (!job_done_) {
    wanted_->error = how_it_ended();
    finish_job();
  }
  unlink_resource(*core_, *this);
  pool_->forget(*child_);
  pool_->give_place();
}

std::exception_ptr process_call::how_it_ended() const {
  const int status = child_->status;
  if (!child_->status_known) {
    return broken("a process ended without a result; somebody else waited for it");
  }
  if (WIFSIGNALED(status)) {
    const int number = WTERMSIG(status);
    return std::make_exception_ptr(broken_process_pool(
        fmt::format("a process was killed by signal {} before it had a result", number), number));
  }
  const int code = WEXITSTATUS(status);
  return std::make_exception_ptr(broken_process_pool(
      fmt::format("a process left with exit code {} before it had a result", code), 0, code));
}

void process_call::finish_job() {
  job_done_ = true;
  wanted_->calls->forget(*wanted_);
  wanted_->state.store(job_state::finished, std::memory_order_relaxed);
  detail::complete(*wanted_);
  static_cast<void>(job_.detach());
  release(*wanted_);
}

void process_call::on_loop_close() noexcept {
  const std::unique_ptr<process_call> owned(this);
  stop_watching();
  memory_.reset();
  // A child of fork() has neither the children nor the threads of its parent.
  if (!pool_->of_this_process()) return;
  pool_->adopt(*child_);
  pool_->give_place();
}

}  // namespace detail
}  // namespace v0
}  // namespace rondo
