// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  The intrusive queue of what a loop runs next.
#pragma once

#include <cstdint>

namespace rondo {
inline namespace v0 {
class event_loop;

namespace detail {

/// Something a loop will run once: it lives inside its owner, so queueing allocates nothing.
///
/// `run` is called with the loop, or with null when the loop closes and drops the node unrun; in
/// both cases the node is no longer linked, so that it may queue itself again or destroy its owner.
struct ready_node {
  using run_function = void (*)(ready_node& self, event_loop* loop);

  constexpr explicit ready_node(run_function function = nullptr) noexcept : run(function) {}
  ready_node(const ready_node&) = delete;
  ready_node& operator=(const ready_node&) = delete;

  ready_node* next = nullptr;
  run_function run;

 protected:
  ~ready_node() = default;
};

/// First in, first out; linking and unlinking at the ends are two stores each.
class ready_queue {
 public:
  ready_queue() = default;
  ready_queue(const ready_queue&) = delete;
  ready_queue& operator=(const ready_queue&) = delete;

  [[nodiscard]] bool empty() const noexcept { return head_ == nullptr; }
  [[nodiscard]] ready_node* back() const noexcept { return tail_; }

  void push(ready_node& node) noexcept {
    node.next = nullptr;
    if (head_ == nullptr) {
      head_ = &node;
    } else {
      tail_->next = &node;
    }
    tail_ = &node;
  }

  /// For what must come before everything else.
  void push_front(ready_node& node) noexcept {
    node.next = head_;
    if (head_ == nullptr) tail_ = &node;
    head_ = &node;
  }

  /// Moves all nodes of another queue behind those of this one.
  void append(ready_queue& other) noexcept {
    if (other.head_ == nullptr) return;
    if (head_ == nullptr) {
      head_ = other.head_;
    } else {
      tail_->next = other.head_;
    }
    tail_ = other.tail_;
    other.head_ = nullptr;
  }

  ready_node& pop() noexcept {
    ready_node& node = *head_;
    head_ = node.next;
    return node;
  }

 private:
  ready_node* head_ = nullptr;
  ready_node* tail_ = nullptr;
};

}  // namespace detail
}  // namespace v0
}  // namespace rondo
