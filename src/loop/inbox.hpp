// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Where other threads leave work for a loop: one compare-and-swap each.
#pragma once

#include <rondo/detail/ready_node.hpp>

#include <atomic>

namespace rondo {
inline namespace v0 {
class backend;

namespace detail {

/// A stack that many threads push to and one loop empties. Its head also says whether the loop sleeps, so that a push knows from the
/// same exchange whether it has to wake it.
class inbox {
 public:
  explicit inbox(backend& io) noexcept : io_(&io) {}
  inbox(const inbox&) = delete;
  inbox& operator=(const inbox&) = delete;
  ~inbox();

  /// Any thread: leaves a node; false if the loop is closed, and then nothing was done.
  [[nodiscard]] bool push(ready_node& node) noexcept;
  /// Any thread: leaves a node that has only to be dropped, also when the loop is closed; it is dropped
  /// by the loop's thread at the latest when the inbox goes.
  void push_for_disposal(ready_node& node) noexcept;

  // The loop's thread.
  [[nodiscard]] bool has_work() const noexcept {
    return head_.load(std::memory_order_relaxed) > closed_mark;
  }
  /// Moves what has arrived to the queue, oldest first.
  void drain(ready_queue& to) noexcept;
  /// Announces that the loop will sleep; false if there is work, so that it must not.
  [[nodiscard]] bool prepare_sleep() noexcept;
  /// Refuses everything from now on, waits for those who are just waking the loop, and drops what is queued.
  void close() noexcept;

 private:
  // Values of the head that are no node.
  static constexpr std::uintptr_t awake_mark = 0;
  static constexpr std::uintptr_t asleep_mark = 1;
  static constexpr std::uintptr_t closed_mark = 2;

  static void reverse_into(std::uintptr_t head, ready_queue& to) noexcept;
  static void drop_all(std::uintptr_t head) noexcept;

  backend* io_;
  std::atomic<std::uintptr_t> head_ = awake_mark;
  std::atomic<int> wakers_ = 0;
  std::atomic<std::uintptr_t> discarded_ = 0;
};

}  // namespace detail
}  // namespace v0
}  // namespace rondo
