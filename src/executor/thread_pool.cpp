// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  The threads of a thread_pool_executor.
#include "executor/thread_pool.hpp"

#include <rondo/errors.hpp>

#include "os/descriptor.hpp"
#include "os/syscalls.hpp"

#include <algorithm>
#include <cerrno>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>

namespace rondo {
inline namespace v0 {
namespace detail {
namespace {

constexpr std::size_t longest_thread_name = 15;  // of Linux

constinit thread_local const thread_pool* serving = nullptr;

[[noreturn]] void throw_shut_down() {
  throw std::logic_error("cannot schedule new futures after shutdown");
}

void announce(const threadsafe_promise<void>& promise) noexcept {
  try {
    promise.set_result();
  } catch (const loop_closed_error&) {
    // Nobody waits any more.
  }
}

}  // namespace

struct thread_pool::start_arguments {
  std::shared_ptr<thread_pool> pool;
  std::string name;
};

void* thread_pool::thread_main(void* argument) {
  const std::unique_ptr<start_arguments> given(static_cast<start_arguments*>(argument));
  ::pthread_setname_np(::pthread_self(), given->name.c_str());
  serving = given->pool.get();
  given->pool->serve();
  return nullptr;
}

// Returns an errno value.
int thread_pool::start_thread() {
  auto given = std::make_unique<start_arguments>();
  given->pool = shared_from_this();
  const std::string number = '_' + std::to_string(threads_);
  given->name = name_.substr(0, longest_thread_name - std::min(number.size(), longest_thread_name));
  given->name += number;
  joinable_.reserve(joinable_.size() + 1);
  pthread_t made = {};
  const int error = os::sys.pthread_create(&made, nullptr, &thread_main, given.get());
  if (error != 0) return error;
  static_cast<void>(given.release());
  joinable_.push_back(made);
  ++threads_;
  return 0;
}

void thread_pool::submit(executor_job job) {
  if (!of_this_process()) {
    throw std::logic_error("the executor was made before fork(): the child must make its own");
  }
  const std::lock_guard lock(mutex_);
  if (stopped_) throw_shut_down();
  if (queue_.size() >= idle_ && threads_ < most_) {
    const int error = start_thread();
    if (error != 0 && threads_ == 0) os::throw_error(error, "cannot make a thread for an executor");
  }
  queue_.push(std::move(job));
  work_.notify_one();
}

void thread_pool::serve() noexcept {
  std::unique_lock lock(mutex_);
  for (;;) {
    while (!queue_.empty()) {
      executor_job job = queue_.pop();
      lock.unlock();
      job();
      lock.lock();
    }
    if (stopped_) break;
    ++idle_;
    work_.wait(lock, [this] { return stopped_ || !queue_.empty(); });
    --idle_;
  }
  if (--threads_ != 0) return;
  const auto told = std::exchange(told_at_end_, {});
  ended_.notify_all();
  lock.unlock();
  for (const threadsafe_promise<void>& each : told) announce(each);
}

void thread_pool::stop() {
  if (!of_this_process()) return;
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
  }
  work_.notify_all();
}

void thread_pool::shut_down(bool wait, bool cancel) {
  if (!of_this_process()) return;
  stop();
  job_queue dropped;  // what it holds is destroyed without the lock
  std::vector<pthread_t> mine;
  {
    const std::lock_guard lock(mutex_);
    if (cancel) dropped.swap(queue_);
    if (!wait) {
      left_alone_ = true;
      for (const pthread_t each : std::exchange(joinable_, {})) ::pthread_detach(each);
    }
  }
  dropped.clear();
  if (!wait || serving == this) return;
  {
    std::unique_lock lock(mutex_);
    ended_.wait(lock, [this] { return threads_ == 0; });
    mine = std::exchange(joinable_, {});
  }
  for (const pthread_t each : mine) ::pthread_join(each, nullptr);
}

void thread_pool::abandon() {
  if (!of_this_process()) return;
  bool wait = serving != this;
  {
    const std::lock_guard lock(mutex_);
    wait = wait && !left_alone_;
  }
  shut_down(wait, false);
}

bool thread_pool::when_ended(const threadsafe_promise<void>& promise) {
  const std::lock_guard lock(mutex_);
  if (threads_ == 0) return false;
  told_at_end_.push_back(promise);
  return true;
}

std::size_t thread_pool::threads() const {
  if (!of_this_process()) return 0;
  const std::lock_guard lock(mutex_);
  return threads_;
}

std::size_t thread_pool::idle() const {
  const std::lock_guard lock(mutex_);
  return idle_;
}

}  // namespace detail

namespace {

std::size_t most_threads(detail::worker_count wanted) {
  if (wanted.value < 0) throw std::invalid_argument("a thread pool with fewer than no threads");
  if (wanted.value > 0) return static_cast<std::size_t>(wanted.value);
  const std::size_t processors = std::max(1U, std::thread::hardware_concurrency());
  return std::min<std::size_t>(32, processors + 4);
}

}  // namespace

thread_pool_executor::thread_pool_executor(detail::worker_count threads, std::string_view name)
    : pool_(std::make_shared<detail::thread_pool>(most_threads(threads), std::string(name))) {}

thread_pool_executor::~thread_pool_executor() { pool_->abandon(); }

void thread_pool_executor::submit(executor_job job) { pool_->submit(std::move(job)); }
void thread_pool_executor::shutdown(bool wait, bool cancel) { pool_->shut_down(wait, cancel); }
std::size_t thread_pool_executor::max_threads() const noexcept { return pool_->most_threads(); }
std::size_t thread_pool_executor::threads() const { return pool_->threads(); }

}  // namespace v0
}  // namespace rondo
