// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  A child process of a loop: noticing its end, and taking its status.
#include "process/child.hpp"

#include <rondo/errors.hpp>
#include <rondo/event_loop.hpp>
#include <rondo/log.hpp>

#include "loop/inbox.hpp"
#include "loop/loop_internals.hpp"
#include "os/fork.hpp"
#include "os/syscalls.hpp"

#include <fmt/format.h>
#include <pthread.h>

#include <cerrno>
#include <csignal>
#include <stdexcept>
#include <system_error>
#include <utility>

namespace rondo {
inline namespace v0 {
namespace detail {
namespace {

constexpr auto by_pidfd = static_cast<::idtype_t>(3);  // P_PIDFD, which older headers lack
constexpr int unknown_status = 255;

int returncode_of(const ::siginfo_t& info) noexcept {
  return info.si_code == CLD_EXITED ? info.si_status : -info.si_status;
}

void warn_of_lost_status(::pid_t pid) noexcept {
  try {
    log(log_level::warning,
        fmt::format("the exit status of process {} is unknown, it is reported as {}: another part "
                    "of the program waited for it",
                    pid, unknown_status));
  } catch (const std::exception&) {
    log(log_level::warning, "the exit status of a process is unknown");
  }
}

// The status if the child has ended; `no_status` while it runs. `options`: WNOHANG, or 0 to wait.
int take_status(::pid_t pid, int pidfd, int options) noexcept {
  ::siginfo_t info = {};
  int result = -1;
  do {
    result = pidfd >= 0
                 ? os::sys.waitid(by_pidfd, static_cast<::id_t>(pidfd), &info, WEXITED | options)
                 : -1;
    // Linux before 5.4 has descriptors of processes, but does not wait for them.
    if (pidfd < 0 || (result != 0 && errno == EINVAL)) {
      result = os::sys.waitid(P_PID, static_cast<::id_t>(pid), &info, WEXITED | options);
    }
  } while (result != 0 && errno == EINTR);
  if (result != 0) {
    warn_of_lost_status(pid);
    return unknown_status;
  }
  return info.si_pid == 0 ? end_watcher::no_status : returncode_of(info);
}

}  // namespace

// ---- the thread --------------------------------------------------------------------

void end_watcher::start(std::shared_ptr<inbox> loop, ready_node* node) {
  loop_ = std::move(loop);
  node_ = node;
  ::pthread_attr_t attributes;
  ::pthread_attr_init(&attributes);
  ::pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  // It calls next to nothing, and there may be many of them.
  ::pthread_attr_setstacksize(&attributes, std::size_t{128} * 1024);
  // Handlers of the program run in its own threads.
  ::sigset_t all;
  ::sigset_t before;
  sigfillset(&all);
  os::sys.pthread_sigmask(SIG_SETMASK, &all, &before);
  auto* const kept = new std::shared_ptr<end_watcher>(shared_from_this());
  ::pthread_t thread = {};
  const int error = os::sys.pthread_create(
      &thread, &attributes,
      [](void* argument) -> void* {
        auto* const given = static_cast<std::shared_ptr<end_watcher>*>(argument);
        const std::shared_ptr<end_watcher> self = std::move(*given);
        delete given;
        self->watch();
        return nullptr;
      },
      kept);
  os::sys.pthread_sigmask(SIG_SETMASK, &before, nullptr);
  ::pthread_attr_destroy(&attributes);
  if (error != 0) {
    delete kept;
    loop_.reset();
    os::throw_error(error, "no thread to wait for a child process");
  }
}

void end_watcher::watch() noexcept {
  ::siginfo_t info;
  // Only looks: as long as nobody takes the status, the number belongs to this child.
  while (os::sys.waitid(P_PID, static_cast<::id_t>(pid_), &info, WEXITED | WNOWAIT) != 0 &&
         errno == EINTR) {
  }
  const std::lock_guard guard(lock_);
  ended_ = true;
  if (loop_ != nullptr && node_ != nullptr && loop_->push(*node_)) return;
  status_.store(take_status(pid_, -1, WNOHANG), std::memory_order_release);
}

bool end_watcher::leave() noexcept {
  const std::lock_guard guard(lock_);
  node_ = nullptr;
  return ended_ && status() == no_status;
}

// ---- the child ---------------------------------------------------------------------

child::child(hidden, event_loop& loop, ::pid_t pid, int pidfd)
    : ready_node(&run_node),
      core_(loop.core()),
      pid_(pid),
      state_(pidfd),
      forks_(os::fork_generation()) {
  ++core_.references;
  watch_.kind = operation_kind::poll_read;
  watch_.fd = pidfd;
  watch_.complete = &on_end;
  watch_.owner = this;
}

child::~child() { detail::release(core_); }

std::shared_ptr<child> child::adopt(event_loop& loop, ::pid_t pid, int pidfd) {
  os::descriptor owned(pidfd);
  std::shared_ptr<child> made;
  try {
    made = std::make_shared<child>(hidden(), loop, pid, pidfd);
    made->watch();
  } catch (...) {
    if (made != nullptr) made->core_.io->close(made->state_);
    os::sys.kill(pid, SIGKILL);
    static_cast<void>(take_status(pid, -1, 0));
    throw;
  }
  static_cast<void>(owned.release());
  link_resource(made->core_, *made);
  made->self_ = made;
  return made;
}

void child::watch() {
  backend& io = *core_.io;
  if (state_.fd >= 0) {
    if (!state_.open) {
      io.open(state_);
      state_.kind = fd_state::stream_kind::plain;
    }
    if (io.start(watch_) == backend::start_result::pending) return;
    if (watch_.result >= 0) {
      queue_node();
      return;
    }
    // The descriptor is still good for signals.
    io.close(state_);
  }
  watcher_ = std::make_shared<end_watcher>(pid_);
  watcher_->start(core_.loop->internals().from_threads, this);
}

event_loop& child::loop() const {
  if (core_.loop == nullptr) throw std::logic_error("the loop of this process is destroyed");
  return *core_.loop;
}

void child::queue_node() noexcept {
  node_queued_ = true;
  core_.ready.push(*this);
}

void child::on_end(operation& op) noexcept { static_cast<end_watch&>(op).owner->queue_node(); }

void child::run_node(ready_node& node, event_loop* loop) {
  child& self = static_cast<child&>(node);
  const std::shared_ptr<child> alive = self.self_;
  self.node_queued_ = false;
  if (loop == nullptr) return;
  if (self.done_) {
    self.self_.reset();
    return;
  }
  if (self.reap()) {
    self.end();
  } else {
    self.watch();
  }
}

bool child::reap() noexcept {
  if (returncode_) return true;
  const int status = take_status(pid_, state_.fd, WNOHANG);
  if (status == end_watcher::no_status) return false;
  returncode_ = status;
  return true;
}

void child::end() {
  // Also when keyboard_interrupt or system_exit passes.
  struct finally {
    child& self;
    ~finally() {
      self.let_go();
      // Unless the ready queue still refers to it.
      if (self.state_.queued && !self.node_queued_) self.queue_node();
      if (!self.node_queued_) self.self_.reset();
    }
  } const last{*this};
  for (const future<>& each : std::exchange(waiters_, {})) {
    if (!each.done()) each.set_result();
  }
  if (child_listener* const told = std::exchange(listener_, nullptr)) told->child_ended();
}

void child::let_go() noexcept {
  done_ = true;
  unlink_resource(core_, *this);
  if (state_.fd < 0) return;
  if (core_.io != nullptr) core_.io->close(state_);
  os::descriptor::close_quietly(std::exchange(state_.fd, -1));
}

void child::on_loop_close() noexcept {
  waiters_.clear();
  listener_ = nullptr;
  if (forks_ == os::fork_generation()) outlive_loop();
  let_go();
  const std::shared_ptr<child> last = std::move(self_);
}

// Somebody has to take its status when it ends: else it stays a zombie.
void child::outlive_loop() noexcept {
  if (watcher_ != nullptr) {
    // One of the two takes it, not both.
    if (watcher_->leave()) static_cast<void>(reap());
    return;
  }
  if (reap()) return;
  try {
    watcher_ = std::make_shared<end_watcher>(pid_);
    watcher_->start(nullptr, nullptr);
  } catch (const std::exception& error) {
    watcher_.reset();
    log(log_level::warning, error.what());
  }
}

std::optional<int> child::returncode() noexcept {
  if (!returncode_ && watcher_ != nullptr && watcher_->status() != end_watcher::no_status) {
    returncode_ = watcher_->status();
  }
  return returncode_;
}

future<> child::make_waiter() {
  std::erase_if(waiters_, [](const future<>& each) { return each.done(); });
  waiters_.emplace_back(loop());
  return waiters_.back();
}

void child::send_signal(int signal_number) {
  if (returncode()) return;
  int result = -1;
  if (state_.fd >= 0) {
    result = os::sys.pidfd_send_signal(state_.fd, signal_number);
  }
  if (state_.fd < 0 || (result != 0 && errno == ENOSYS)) {
    // Nobody else may have taken the status, or the number may be another process's by now.
    ::siginfo_t info;
    if (os::sys.waitid(P_PID, static_cast<::id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) != 0) {
      return;
    }
    result = os::sys.kill(pid_, signal_number);
  }
  if (result == 0 || errno == ESRCH) return;
  const int error = errno;
  if (error == EINVAL) {
    throw std::invalid_argument(fmt::format("there is no signal {}", signal_number));
  }
  os::throw_error(error, fmt::format("cannot send signal {} to process {}", signal_number, pid_));
}

bool child::kill() noexcept {
  try {
    send_signal(SIGKILL);
    return true;
  } catch (const std::exception& error) {
    // A program with the rights of somebody else.
    log(log_level::warning, error.what());
    return false;
  }
}

coro<> wait_for_end(std::shared_ptr<child> waited_for) {
  while (!waited_for->returncode()) {
    const future<> ended = waited_for->make_waiter();
    co_await ended;
  }
}

}  // namespace detail
}  // namespace v0
}  // namespace rondo
