// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  What a thread_pool_executor and its threads share.
#pragma once

#include <rondo/executor.hpp>
#include <rondo/threadsafe_promise.hpp>

#include "executor/jobs.hpp"
#include "os/fork.hpp"

#include <pthread.h>

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace rondo {
inline namespace v0 {
namespace detail {

/// Lives until the last thread has ended, and so may outlive the executor.
class thread_pool : public std::enable_shared_from_this<thread_pool> {
 public:
  thread_pool(std::size_t most, std::string name) : most_(most), name_(std::move(name)) {}

  void submit(executor_job job);
  /// Refuses jobs from now on.
  void stop();
  void shut_down(bool wait, bool cancel);
  /// Fulfils the promise when the last thread has ended; false if it has. Only after `stop`.
  [[nodiscard]] bool when_ended(const threadsafe_promise<void>& promise);

  [[nodiscard]] std::size_t most_threads() const noexcept { return most_; }
  [[nodiscard]] std::size_t threads() const;
  [[nodiscard]] std::size_t idle() const;
  /// The executor goes: waits for the threads, unless they were left alone or this is one of them.
  void abandon();
  [[nodiscard]] bool of_this_process() const noexcept { return forks_ == os::fork_generation(); }

 private:
  struct start_arguments;
  static void* thread_main(void* argument);

  [[nodiscard]] int start_thread();
  void serve() noexcept;

  const std::size_t most_;
  const std::string name_;
  const std::uint64_t forks_ = os::fork_generation();

  mutable std::mutex mutex_;
  std::condition_variable work_;
  std::condition_variable ended_;
  job_queue queue_;
  std::size_t threads_ = 0;
  std::size_t idle_ = 0;
  bool stopped_ = false;
  bool left_alone_ = false;  // shut down without waiting
  std::vector<pthread_t> joinable_;
  std::vector<threadsafe_promise<void>> told_at_end_;
};

}  // namespace detail
}  // namespace v0
}  // namespace rondo
