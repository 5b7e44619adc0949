// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  The processes of a process_pool_executor.
#include "executor/process_pool.hpp"

#include <rondo/errors.hpp>

#include "executor/jobs.hpp"
#include "executor/process_call.hpp"
#include "os/syscalls.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <optional>
#include <stdexcept>
#include <thread>
#include <utility>

namespace rondo {
inline namespace v0 {
namespace detail {

void process_pool::submit(executor_job job) {
  if (!of_this_process()) {
    throw std::logic_error("the executor was made before fork(): the child must make its own");
  }
  loop_job* const wanted = loop_job_of(job);
  if (wanted == nullptr) {
    throw std::invalid_argument("a process pool takes the jobs of run_in_executor only");
  }
  if (wanted->calls->bytes == nullptr) {
    throw std::invalid_argument(
        "a result of this type cannot come from another process: it must be void, std::string, or "
        "trivially copyable and no pointer");
  }
  const thread_state* const runs = wanted->target->core->thread.load(std::memory_order_relaxed);
  if (runs != nullptr && runs != &this_thread()) {
    throw std::logic_error("a process pool is used from the thread of the loop");
  }
  reap_orphans();
  auto call = std::make_unique<process_call>(shared_from_this(), std::move(job), *wanted);
  {
    const std::lock_guard lock(mutex_);
    if (stopped_) throw std::logic_error("cannot schedule new futures after shutdown");
    if (places_taken_ >= most_) {
      process_call* const queued = call.release();
      (last_ != nullptr ? last_->later : first_) = queued;
      last_ = queued;
      return;
    }
    ++places_taken_;
  }
  call.release()->begin();
}

bool process_pool::may_begin() const {
  const std::lock_guard lock(mutex_);
  return !cancelled_;
}

void process_pool::give_place() noexcept {
  for (;;) {
    process_call* next = nullptr;
    {
      const std::lock_guard lock(mutex_);
      if (first_ == nullptr) {
        --places_taken_;
        return;
      }
      next = first_;
      first_ = next->later;
      if (first_ == nullptr) last_ = nullptr;
    }
    if (next->send_to_loop()) return;
    delete next;  // its loop is closed
  }
}

void process_pool::add(std::unique_ptr<child_process> child) {
  const std::lock_guard lock(mutex_);
  children_.push_back(std::move(child));
}

void process_pool::begun(child_process& child, pid_t pid) noexcept {
  const std::lock_guard lock(mutex_);
  child.pid = pid;
  child.reaped = false;
}

bool process_pool::reap_locked(child_process& child) noexcept {
  if (child.reaped) return true;
  if (child.awaited) return false;
  const pid_t found = os::sys.waitpid(child.pid, &child.status, WNOHANG);
  if (found == 0 || (found < 0 && errno == EINTR)) return false;
  // ECHILD: SIGCHLD is ignored, or the program waits for whatever ends.
  child.status_known = found == child.pid;
  child.reaped = true;
  return true;
}

bool process_pool::reap(child_process& child) noexcept {
  const std::lock_guard lock(mutex_);
  return reap_locked(child);
}

void process_pool::forget(child_process& child) noexcept {
  const std::lock_guard lock(mutex_);
  std::erase_if(children_, [&](const auto& each) { return each.get() == &child; });
}

void process_pool::adopt(child_process& child) noexcept {
  {
    const std::lock_guard lock(mutex_);
    child.orphaned = true;
  }
  reap_orphans();
}

void process_pool::reap_orphans() noexcept {
  const std::lock_guard lock(mutex_);
  std::erase_if(children_,
                [this](const auto& each) { return each->orphaned && reap_locked(*each); });
}

// Children never block on this process: their results go into memory, not through a pipe that has
// to be read.
void process_pool::await_children() {
  std::unique_lock lock(mutex_);
  for (;;) {
    const auto found = std::find_if(children_.begin(), children_.end(), [](const auto& each) {
      return !each->reaped && !each->awaited;
    });
    if (found == children_.end()) break;
    child_process& child = **found;
    // Waited for without being reaped, so that its number cannot become that of another process
    // meanwhile.
    child.awaited = true;
    lock.unlock();
    ::siginfo_t info = {};
    int error = 0;
    do {
      const int result =
          os::sys.waitid(P_PID, static_cast<id_t>(child.pid), &info, WEXITED | WNOWAIT);
      error = result == 0 ? 0 : errno;
    } while (error == EINTR);
    lock.lock();
    child.awaited = false;
    static_cast<void>(reap_locked(child));
    if (child.orphaned) {
      std::erase_if(children_, [&](const auto& each) { return each.get() == &child; });
    }
  }
}

void process_pool::shut_down(bool wait, bool cancel) {
  if (!of_this_process()) return;
  process_call* dropped = nullptr;
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
    if (cancel) {
      cancelled_ = true;
      dropped = std::exchange(first_, nullptr);
      last_ = nullptr;
    }
  }
  while (dropped != nullptr) delete std::exchange(dropped, dropped->later);
  if (wait) await_children();
}

void process_pool::send(int signal_number) {
  if (!of_this_process()) return;
  shut_down(false, true);
  const std::lock_guard lock(mutex_);
  for (const auto& each : children_) {
    if (!each->reaped) static_cast<void>(os::sys.kill(each->pid, signal_number));
  }
}

std::size_t process_pool::processes() const {
  if (!of_this_process()) return 0;
  const std::lock_guard lock(mutex_);
  return static_cast<std::size_t>(std::count_if(children_.begin(), children_.end(),
                                                [](const auto& each) { return !each->reaped; }));
}

}  // namespace detail

namespace {

std::size_t most_processes(detail::worker_count wanted) {
  if (wanted.value < 0) throw std::invalid_argument("a process pool with fewer than no processes");
  if (wanted.value > 0) return static_cast<std::size_t>(wanted.value);
  return std::max(1U, std::thread::hardware_concurrency());
}

}  // namespace

broken_process_pool::broken_process_pool(const std::string& what, int killed_by,
                                         std::optional<int> exit_status)
    : std::runtime_error(what), signal(killed_by), exit_code(exit_status) {}
broken_process_pool::~broken_process_pool() = default;

process_pool_executor::process_pool_executor(detail::worker_count processes)
    : pool_(std::make_shared<detail::process_pool>(most_processes(processes))) {}
process_pool_executor::~process_pool_executor() { pool_->shut_down(true, true); }
void process_pool_executor::submit(executor_job job) { pool_->submit(std::move(job)); }
void process_pool_executor::shutdown(bool wait, bool cancel) { pool_->shut_down(wait, cancel); }
void process_pool_executor::terminate_workers() { pool_->send(SIGTERM); }
void process_pool_executor::kill_workers() { pool_->send(SIGKILL); }
std::size_t process_pool_executor::max_processes() const noexcept {
  return pool_->most_processes();
}
std::size_t process_pool_executor::processes() const { return pool_->processes(); }

}  // namespace v0
}  // namespace rondo
