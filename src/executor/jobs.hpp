// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  What executors of the library know about jobs.
#pragma once

#include <rondo/detail/job.hpp>
#include <rondo/executor.hpp>

#include <cstddef>
#include <utility>

namespace rondo {
inline namespace v0 {
namespace detail {

/// Owns one reference.
class job_ref {
 public:
  explicit job_ref(loop_job* owned) noexcept : job_(owned) {}
  job_ref(const job_ref&) = delete;
  job_ref& operator=(const job_ref&) = delete;
  ~job_ref() { release(*job_); }

 private:
  loop_job* job_;
};

/// Any thread: begins with a job; false if nobody wants it any more, or if it has begun.
[[nodiscard]] bool claim(loop_job& job) noexcept;

/// The loop's thread: gives the result, or `error`, to the future, and ends the loop's part.
void complete(loop_job& job);

/// Null if the job is not one of a loop.
[[nodiscard]] loop_job* loop_job_of(const executor_job& job) noexcept;

/// What was queued first leaves first.
class job_queue {
 public:
  job_queue() = default;
  job_queue(const job_queue&) = delete;
  job_queue& operator=(const job_queue&) = delete;
  ~job_queue() { clear(); }

  [[nodiscard]] bool empty() const noexcept { return first_ == nullptr; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  void push(executor_job job) noexcept {
    job_block* const block = job.detach();
    block->next_job = nullptr;
    (last_ != nullptr ? last_->next_job : first_) = block;
    last_ = block;
    ++size_;
  }
  [[nodiscard]] executor_job pop() noexcept {
    job_block* const block = first_;
    first_ = block->next_job;
    if (first_ == nullptr) last_ = nullptr;
    --size_;
    return executor_job(block);
  }
  void swap(job_queue& other) noexcept {
    std::swap(first_, other.first_);
    std::swap(last_, other.last_);
    std::swap(size_, other.size_);
  }
  void clear() noexcept {
    while (!empty()) static_cast<void>(pop());  // dropped
  }

 private:
  job_block* first_ = nullptr;
  job_block* last_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace detail
}  // namespace v0
}  // namespace rondo
