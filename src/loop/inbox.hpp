// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Where other threads leave work for a loop: one compare-and-swap each.
#pragma once

#include <rondo/detail/ready_node.hpp>

#include <atomic>
#include <cstdint>
#include <thread>

namespace rondo {
inline namespace v0 {
class backend;

namespace detail {

/// What the inbox synchronises with; tests put in what tries every order of the threads' steps.
struct thread_primitives {
  template <class T>
  using atomic = std::atomic<T>;
  static void pause() noexcept { std::this_thread::yield(); }
};

/// A stack that many threads push to and one loop empties. Its head also says whether the loop
/// sleeps, so that a push knows from the same exchange whether it has to wake it.
template <class Sleeper, class Primitives = thread_primitives>
class basic_inbox {
 public:
  /// `io.wake()` ends the loop's sleep, from any thread.
  explicit basic_inbox(Sleeper& io) noexcept : io_(&io) {}
  basic_inbox(const basic_inbox&) = delete;
  basic_inbox& operator=(const basic_inbox&) = delete;
  ~basic_inbox() = default;

  /// Any thread: leaves a node; false if the loop is closed, and then nothing was done.
  [[nodiscard]] bool push(ready_node& node) noexcept;

  // The loop's thread.
  [[nodiscard]] bool has_work() const noexcept {
    return head_.load(std::memory_order_relaxed) > closed_mark;
  }
  /// Moves what has arrived to the queue, oldest first.
  void drain(ready_queue& to) noexcept;
  /// Announces that the loop will sleep; false if there is work, so that it must not.
  [[nodiscard]] bool prepare_sleep() noexcept;
  /// Refuses everything from now on, waits for those who are just waking the loop, and drops what
  /// is queued. `alone`: in a forked child, which has none of the other threads.
  void close(bool alone = false) noexcept;

 private:
  // Values of the head that are no node.
  static constexpr std::uintptr_t awake_mark = 0;
  static constexpr std::uintptr_t asleep_mark = 1;
  static constexpr std::uintptr_t closed_mark = 2;

  static std::uintptr_t mark_of(const ready_node& node) noexcept {
    return reinterpret_cast<std::uintptr_t>(&node);
  }
  static ready_node* node_of(std::uintptr_t mark) noexcept {
    return reinterpret_cast<ready_node*>(mark);
  }
  static void reverse_into(std::uintptr_t head, ready_queue& to) noexcept;

  Sleeper* io_;
  typename Primitives::template atomic<std::uintptr_t> head_{awake_mark};
  typename Primitives::template atomic<int> wakers_{0};
};

class inbox final : public basic_inbox<backend> {
 public:
  using basic_inbox::basic_inbox;
};

// ---- implementation ----------------------------------------------------------------

template <class Sleeper, class Primitives>
bool basic_inbox<Sleeper, Primitives>::push(ready_node& node) noexcept {
  std::uintptr_t head = head_.load(std::memory_order_relaxed);
  for (;;) {
    if (head == closed_mark) return false;
    // Announced before the exchange that makes it this thread's duty to wake the loop: close()
    // waits for it, so that the wake-up never reaches a descriptor that was closed.
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

template <class Sleeper, class Primitives>
void basic_inbox<Sleeper, Primitives>::reverse_into(std::uintptr_t head, ready_queue& to) noexcept {
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

template <class Sleeper, class Primitives>
void basic_inbox<Sleeper, Primitives>::drain(ready_queue& to) noexcept {
  const std::uintptr_t head = head_.exchange(awake_mark, std::memory_order_acquire);
  if (head > closed_mark) reverse_into(head, to);
}

template <class Sleeper, class Primitives>
bool basic_inbox<Sleeper, Primitives>::prepare_sleep() noexcept {
  std::uintptr_t head = awake_mark;
  return head_.compare_exchange_strong(head, asleep_mark, std::memory_order_seq_cst,
                                       std::memory_order_relaxed) ||
         head == asleep_mark;
}

template <class Sleeper, class Primitives>
void basic_inbox<Sleeper, Primitives>::close(bool alone) noexcept {
  const std::uintptr_t head = head_.exchange(closed_mark, std::memory_order_seq_cst);
  if (!alone) {
    while (wakers_.load(std::memory_order_seq_cst) != 0) Primitives::pause();
  }
  ready_queue dropped;
  if (head > closed_mark) reverse_into(head, dropped);
  while (!dropped.empty()) {
    ready_node& node = dropped.pop();
    node.run(node, nullptr);
  }
}

extern template class basic_inbox<backend>;

}  // namespace detail
}  // namespace v0
}  // namespace rondo
