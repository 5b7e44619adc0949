// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Waiting for time to pass.
#pragma once

#include <rondo/coro.hpp>
#include <rondo/detail/export.hpp>
#include <rondo/detail/task_core.hpp>
#include <rondo/interval.hpp>

#include <concepts>
#include <coroutine>
#include <utility>

namespace rondo {
inline namespace v0 {
namespace detail {

RONDO_EXPORT bool cancel_sleep(suspension& self, task_core& task);
RONDO_EXPORT void wake_sleeper(ready_node& node, event_loop* loop);

/// Lets everything else that is ready run once.
class [[nodiscard]] yield_awaiter {
 public:
  using rondo_awaiter = void;

  yield_awaiter() noexcept {}

  [[nodiscard]] bool await_ready() const noexcept { return false; }
  // It waits for nothing, so that a request to cancel stays pending until the next step, and may be
  // withdrawn.
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> frame) noexcept {
    task_ = frame.promise().task;
    task_->leaf = frame.address();
    task_->wake();
  }
  void await_resume() const { task_->check_cancelled(); }

 private:
  task_core* task_ = nullptr;
};

class [[nodiscard]] sleep_awaiter : public suspension, public timer_node {
 public:
  using rondo_awaiter = void;

  explicit sleep_awaiter(time_point when) noexcept
      : suspension(&cancel_sleep), timer_node(&wake_sleeper), when_(when) {}
  ~sleep_awaiter() {
    if (armed()) task->core->timers.erase(*this);
  }

  [[nodiscard]] bool await_ready() const noexcept { return false; }
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> frame) {
    task = frame.promise().task;
    task->core->timers.push(when_.time_since_epoch().count(), *this);
    task->suspend(frame.address(), *this);
  }
  void await_resume() const { task->check_cancelled(); }

  task_core* task = nullptr;

 private:
  time_point when_;
};

RONDO_EXPORT coro<void> sleep_for(interval delay);

template <class T>
coro<T> sleep_with_result(interval delay, T result) {
  co_await sleep_for(delay);
  co_return result;
}

}  // namespace detail

/// Lets everything else that is ready run once, then goes on.
///
/// @throws cancelled_error  the task was cancelled
///
/// @par asyncio
/// `asyncio.sleep(0)`
[[nodiscard]] inline detail::yield_awaiter yield_now() noexcept { return detail::yield_awaiter(); }

/// Suspends the task for `delay`; not positive: for one iteration.
///
/// @throws cancelled_error  the task was cancelled
///
/// @par asyncio
/// `asyncio.sleep`
[[nodiscard]] inline coro<void> sleep(interval delay) { return detail::sleep_for(delay); }

/// The same, and yields `result`.
template <class T>
[[nodiscard]] coro<T> sleep(interval delay, T result) {
  return detail::sleep_with_result<T>(delay, std::move(result));
}

/// Durations have units: `sleep(1s)`. The global `::sleep` is not meant either.
template <class N>
  requires std::integral<N>
coro<void> sleep(N) = delete;

/// Suspends the task until `when`, on `rondo::clock`.
[[nodiscard]] RONDO_EXPORT coro<void> sleep_until(time_point when);

}  // namespace v0
}  // namespace rondo
