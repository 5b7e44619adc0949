// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  The tasks that wait for a primitive, oldest first.
#pragma once

#include <rondo/coro.hpp>
#include <rondo/detail/export.hpp>
#include <rondo/detail/loop_core.hpp>
#include <rondo/detail/task_core.hpp>
#include <rondo/task.hpp>

#include <cstddef>
#include <cstdint>
#include <utility>

namespace rondo {
inline namespace v0 {
namespace detail {

/// A place in a circular list. Unlinking needs no list, so a waiter may outlive what it waited for.
struct waiter_link {
  waiter_link() noexcept = default;
  waiter_link(const waiter_link&) = delete;
  waiter_link& operator=(const waiter_link&) = delete;

  [[nodiscard]] bool linked() const noexcept { return next != nullptr; }
  void unlink() noexcept {
    next->previous = previous;
    previous->next = next;
    next = nullptr;
  }

  waiter_link* next = nullptr;
  waiter_link* previous = nullptr;

 protected:
  ~waiter_link() = default;
};

/// A task that waits for a primitive. It is part of the awaiter, which lives in the coroutine's
/// frame.
struct waiter : suspension, waiter_link {
  explicit waiter(cancel_function on_cancel) noexcept : suspension(on_cancel) {}
  // Awaiters move only before they are awaited, so there is nothing to take along.
  waiter(waiter&& other) noexcept : suspension(other.request_cancel), shielded(other.shielded) {}
  waiter& operator=(waiter&&) = delete;
  ~waiter() {
    if (linked()) unlink();
  }

  /// Queues the task; it finds out in await_resume what it was woken for.
  void wake() noexcept {
    woken = true;
    if (!task->core->closed) task->wake();
  }

  task_core* task = nullptr;
  bool woken = false;
  bool orphaned = false;  // the primitive was destroyed while this was linked
  bool shielded = false;  // cancellation has to wait
};

/// The waiters of a primitive. When it is destroyed the ones that are linked become orphans.
class waiter_list {
 public:
  waiter_list() noexcept {
    head_.next = &head_;
    head_.previous = &head_;
  }
  waiter_list(const waiter_list&) = delete;
  waiter_list& operator=(const waiter_list&) = delete;
  ~waiter_list() {
    if (!empty()) abandon();
  }

  [[nodiscard]] bool empty() const noexcept { return head_.next == &head_; }
  [[nodiscard]] waiter& front() const noexcept { return static_cast<waiter&>(*head_.next); }
  [[nodiscard]] RONDO_EXPORT std::size_t count() const noexcept;

  void push_back(waiter& last) noexcept {
    last.next = &head_;
    last.previous = head_.previous;
    head_.previous->next = &last;
    head_.previous = &last;
  }

  /// Calls `f(waiter&)` for each, oldest first. `f` may unlink the one it is given.
  template <class F>
  void for_each(F f) {
    for (waiter_link* each = head_.next; each != &head_;) {
      waiter_link* const following = each->next;
      f(static_cast<waiter&>(*each));
      each = following;
    }
  }

  /// In debug mode: throws std::logic_error in any thread but the one that runs the waiters' loop.
  void check_thread() const {
    if (!empty() && front().task->core->debug) [[unlikely]]
      check_thread_of_loop();
  }

 private:
  struct head : waiter_link {};

  RONDO_EXPORT void abandon() noexcept;
  RONDO_EXPORT void check_thread_of_loop() const;

  head head_;
};

/// The loop that a primitive belongs to from its first wait on; a number, as addresses are used
/// again.
class loop_binding {
 public:
  /// @throws std::logic_error  it belongs to another loop
  void bind(const task_core& by) {
    if (id_ != by.core->id) [[unlikely]]
      bind_to(by.core->id);
  }

 private:
  RONDO_EXPORT void bind_to(std::uint64_t id);

  std::uint64_t id_ = 0;
};

/// Takes a waiter that was not woken out of its list and wakes its task with the cancellation.
RONDO_EXPORT bool cancel_waiter(suspension& self, task_core& task);
/// What a task gets whose wake-up came from a primitive that is gone.
[[noreturn]] RONDO_EXPORT void throw_orphaned();

/// The conversions that make an awaiter as good as the coro that it stands for.
template <class Self, class T = void>
struct coro_like {
  using rondo_awaiter = void;

  operator coro<T>() && {  // NOLINT: implicit by design
    return await_kept<T, Self>(static_cast<Self&&>(*this));
  }
  /// For coroutines of other libraries.
  [[nodiscard]] foreign_task_awaiter<T> operator co_await() && {
    return foreign_task_awaiter<T>(static_cast<Self&&>(*this));
  }

 protected:
  coro_like() noexcept = default;
  coro_like(const coro_like&) noexcept = default;
  ~coro_like() = default;
};

}  // namespace detail
}  // namespace v0
}  // namespace rondo
