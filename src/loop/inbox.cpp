// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  The queue between threads and a loop.
#include "inbox.hpp"

#include <rondo/backend.hpp>

#include <cstdint>
#include <thread>

namespace rondo {
inline namespace v0 {
namespace detail {
namespace {

std::uintptr_t mark_of(const ready_node& node) noexcept {
  return reinterpret_cast<std::uintptr_t>(&node);
}
ready_node* node_of(std::uintptr_t mark) noexcept { return reinterpret_cast<ready_node*>(mark); }

}  // namespace

inbox::~inbox() {
  drop_all(discarded_.exchange(0, std::memory_order_acquire));
}

bool inbox::push(ready_node& node) noexcept {
  std::uintptr_t head = head_.load(std::memory_order_relaxed);
  for (;;) {
    if (head == closed_mark) return false;
    // Announced before the exchange that makes it this thread's duty to wake the loop: close() waits for it, so that
    // the wake-up never reaches a descriptor that was closed.
    const bool wakes = head == asleep_mark;
    if (wakes) wakers_.fetch_add(1, std::memory_order_seq_cst);
    node.next = head > closed_mark ? node_of(head) : nullptr;
    const bool pushed = head_.compare_exchange_weak(head, mark_of(node), std::memory_order_seq_cst,
                                                    std::memory_order_relaxed);
    if (wakes) {
      if (pushed) io_->wake();
      wakers_.fetch_sub(1, std::memory_order_release);
    }
    if (pushed) return true;
  }
}

void inbox::push_for_disposal(ready_node& node) noexcept {
  if (push(node)) return;
  std::uintptr_t head = discarded_.load(std::memory_order_relaxed);
  do {
    node.next = head == 0 ? nullptr : node_of(head);
  } while (!discarded_.compare_exchange_weak(head, mark_of(node), std::memory_order_release,
                                             std::memory_order_relaxed));
}

void inbox::reverse_into(std::uintptr_t head, ready_queue& to) noexcept {
  ready_node* oldest = nullptr;
  for (ready_node* node = node_of(head); node != nullptr;) {
    ready_node* const later = node->next;
    node->next = oldest;
    oldest = node;
    node = later;
  }
  while (oldest != nullptr) {
    ready_node* const node = oldest;
    oldest = node->next;
    to.push(*node);
  }
}

void inbox::drain(ready_queue& to) noexcept {
  const std::uintptr_t head = head_.exchange(awake_mark, std::memory_order_acquire);
  if (head > closed_mark) reverse_into(head, to);
}

bool inbox::prepare_sleep() noexcept {
  std::uintptr_t head = awake_mark;
  return head_.compare_exchange_strong(head, asleep_mark, std::memory_order_seq_cst,
                                       std::memory_order_relaxed) ||
         head == asleep_mark;
}

void inbox::drop_all(std::uintptr_t head) noexcept {
  ready_queue dropped;
  if (head > closed_mark) reverse_into(head, dropped);
  while (!dropped.empty()) {
    ready_node& node = dropped.pop();
    node.run(node, nullptr);
  }
}

void inbox::close() noexcept {
  const std::uintptr_t head = head_.exchange(closed_mark, std::memory_order_seq_cst);
  while (wakers_.load(std::memory_order_seq_cst) != 0) std::this_thread::yield();
  drop_all(head);
}

}  // namespace detail
}  // namespace v0
}  // namespace rondo
