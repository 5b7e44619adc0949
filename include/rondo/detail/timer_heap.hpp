// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  The timers of a loop: a 4-ary heap whose nodes know their place.
#pragma once

#include <rondo/detail/export.hpp>
#include <rondo/detail/ready_node.hpp>

#include <cstddef>
#include <cstdint>

namespace rondo {
inline namespace v0 {
namespace detail {

/// A node that can wait in the heap; when it is due it moves to the ready queue.
struct timer_node : ready_node {
  static constexpr std::uint32_t nowhere = 0xffffffffU;

  constexpr explicit timer_node(run_function function = nullptr) noexcept : ready_node(function) {}

  [[nodiscard]] bool armed() const noexcept { return place != nowhere; }

  std::uint32_t place = nowhere;

 protected:
  ~timer_node() = default;
};

/// Deadlines in nanoseconds of `rondo::clock`; equal ones leave in the order in which they came.
class timer_heap {
 public:
  timer_heap() noexcept = default;
  timer_heap(const timer_heap&) = delete;
  timer_heap& operator=(const timer_heap&) = delete;
  RONDO_EXPORT ~timer_heap();

  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] std::int64_t earliest() const noexcept { return entries_[0].when; }

  /// Timers are numbered as they are armed.
  [[nodiscard]] std::uint64_t earliest_sequence() const noexcept { return entries_[0].sequence; }
  [[nodiscard]] std::uint64_t next_sequence() const noexcept { return sequence_; }

  /// @throws std::bad_alloc  the heap cannot grow; the node is not armed
  RONDO_EXPORT void push(std::int64_t when, timer_node& node);
  RONDO_EXPORT void erase(timer_node& node) noexcept;
  RONDO_EXPORT timer_node& pop() noexcept;

 private:
  struct entry {
    std::int64_t when;
    std::uint64_t sequence;
    timer_node* node;
  };

  static bool before(const entry& a, const entry& b) noexcept {
    return a.when < b.when || (a.when == b.when && a.sequence < b.sequence);
  }
  void place(std::size_t at, const entry& item) noexcept;
  void sift_up(std::size_t hole, const entry& item) noexcept;
  void sift_down(std::size_t hole, const entry& item) noexcept;
  void grow();
  void shrink() noexcept;

  entry* entries_ = nullptr;
  std::size_t size_ = 0;
  std::size_t capacity_ = 0;
  std::uint64_t sequence_ = 0;
};

}  // namespace detail
}  // namespace v0
}  // namespace rondo
