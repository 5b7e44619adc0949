// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  The threads that ask for names.
#pragma once

#include <rondo/detail/ready_node.hpp>
#include <rondo/detail/task_core.hpp>
#include <rondo/fwd.hpp>

#include <atomic>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

namespace rondo {
inline namespace v0 {
namespace detail {
class inbox;

/// A question that may block, asked in a thread of the resolver.
///
/// Shared by whoever awaits it and, until the answer has been delivered, by the pool. When nobody
/// awaits it any more the answer is thrown away; the loop waits for the thread in no case.
class resolver_job : public ready_node {
 public:
  explicit resolver_job(event_loop& loop);
  resolver_job(const resolver_job&) = delete;
  resolver_job& operator=(const resolver_job&) = delete;
  virtual ~resolver_job();

 private:
  friend class resolver_pool;
  friend class resolver_await;
  friend class job_owner;

  enum class stage : std::uint8_t { queued, running, answered };

  /// In the resolver's thread: asks, and keeps the answer or the exception.
  virtual void ask() noexcept = 0;

  static void deliver(ready_node& self, event_loop* loop);
  void release() noexcept;

  std::atomic<std::uint32_t> references_ = 1;
  std::shared_ptr<inbox> reply_to_;

  // Of the loop's thread.
  loop_core* core_;
  task_core* waiting_ = nullptr;
  bool delivered_ = false;

  // Guarded by the pool.
  class resolver_pool* pool_ = nullptr;
  resolver_job* later_ = nullptr;
  resolver_job* earlier_ = nullptr;
  stage stage_ = stage::queued;
  bool unwanted_ = false;
};

/// Owns a job on the side of the loop: hands it to the pool, and gives it up when it goes.
class job_owner {
 public:
  /// Takes over the only reference. @throws std::system_error  there is no thread and none can be
  /// made
  explicit job_owner(resolver_job* job);
  job_owner(const job_owner&) = delete;
  job_owner& operator=(const job_owner&) = delete;
  ~job_owner();

  [[nodiscard]] resolver_job& job() const noexcept { return *job_; }

 private:
  resolver_job* job_;
};

/// Waits until a job has been answered; a cancellation ends the await at once.
class resolver_await : suspension {
 public:
  using rondo_awaiter = void;

  explicit resolver_await(resolver_job& job) noexcept : suspension(&on_cancel), job_(&job) {}
  resolver_await(const resolver_await&) = delete;
  resolver_await& operator=(const resolver_await&) = delete;
  ~resolver_await() { job_->waiting_ = nullptr; }

  [[nodiscard]] bool await_ready() const noexcept { return job_->delivered_; }
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> frame) {
    task_ = frame.promise().task;
    job_->waiting_ = task_;
    task_->suspend(frame.address(), *this);
  }
  void await_resume() {
    if (task_ != nullptr) task_->check_cancelled();
  }

 private:
  static bool on_cancel(suspension& self, task_core& by);

  resolver_job* job_;
  task_core* task_ = nullptr;
};

}  // namespace detail
}  // namespace v0
}  // namespace rondo
