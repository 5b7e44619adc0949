// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  The heap of timers.
#include <rondo/detail/timer_heap.hpp>

#include <algorithm>
#include <cstdlib>
#include <new>

namespace rondo {
inline namespace v0 {
namespace detail {
namespace {
constexpr std::size_t arity = 4;
constexpr std::size_t smallest_capacity = 64;
}  // namespace

timer_heap::~timer_heap() { std::free(entries_); }

void timer_heap::place(std::size_t at, const entry& item) noexcept {
  entries_[at] = item;
  item.node->place = static_cast<std::uint32_t>(at);
}

void timer_heap::sift_up(std::size_t hole, const entry& item) noexcept {
  while (hole > 0) {
    const std::size_t parent = (hole - 1) / arity;
    if (!before(item, entries_[parent])) break;
    place(hole, entries_[parent]);
    hole = parent;
  }
  place(hole, item);
}

void timer_heap::sift_down(std::size_t hole, const entry& item) noexcept {
  for (;;) {
    const std::size_t first = hole * arity + 1;
    if (first >= size_) break;
    const std::size_t end = std::min(first + arity, size_);
    std::size_t least = first;
    for (std::size_t child = first + 1; child < end; ++child) {
      if (before(entries_[child], entries_[least])) least = child;
    }
    if (!before(entries_[least], item)) break;
    place(hole, entries_[least]);
    hole = least;
  }
  place(hole, item);
}

void timer_heap::grow() {
  const std::size_t wanted = std::max(smallest_capacity, capacity_ * 2);
  if (wanted > timer_node::nowhere) throw std::bad_alloc();
  void* const memory = std::realloc(entries_, wanted * sizeof(entry));
  if (memory == nullptr) throw std::bad_alloc();
  entries_ = static_cast<entry*>(memory);
  capacity_ = wanted;
}

// A burst of timers must not keep its memory: what is three quarters empty is halved.
void timer_heap::shrink() noexcept {
  if (capacity_ <= smallest_capacity || size_ > capacity_ / 4) return;
  const std::size_t wanted = capacity_ / 2;
  if (void* const memory = std::realloc(entries_, wanted * sizeof(entry)); memory != nullptr) {
    entries_ = static_cast<entry*>(memory);
    capacity_ = wanted;
  }
}

void timer_heap::push(std::int64_t when, timer_node& node) {
  if (size_ == capacity_) grow();
  sift_up(size_++, entry{when, sequence_++, &node});
}

void timer_heap::erase(timer_node& node) noexcept {
  const std::size_t hole = node.place;
  node.place = timer_node::nowhere;
  const entry last = entries_[--size_];
  if (last.node != &node) {
    if (hole > 0 && before(last, entries_[(hole - 1) / arity])) {
      sift_up(hole, last);
    } else {
      sift_down(hole, last);
    }
  }
  shrink();
}

timer_node& timer_heap::pop() noexcept {
  timer_node& node = *entries_[0].node;
  erase(node);
  return node;
}

}  // namespace detail
}  // namespace v0
}  // namespace rondo
