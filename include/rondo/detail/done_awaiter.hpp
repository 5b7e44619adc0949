// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Waiting until a future is done, without its result and without
// cancelling it.
#pragma once

#include <rondo/detail/export.hpp>
#include <rondo/detail/task_core.hpp>
#include <rondo/event_loop.hpp>
#include <rondo/future.hpp>
#include <rondo/task.hpp>

#include <coroutine>
#include <type_traits>
#include <utility>

namespace rondo {
inline namespace v0 {
namespace detail {

RONDO_EXPORT bool cancel_done_awaiter(suspension& self, task_core& task);
RONDO_EXPORT void wake_done_awaiter(future_waiter& self, future_core* done);

class done_awaiter : public suspension, public future_waiter {
 public:
  using rondo_awaiter = void;

  explicit done_awaiter(core_ref<future_core> awaited) noexcept
      : suspension(&cancel_done_awaiter),
        future_waiter(&wake_done_awaiter),
        on(std::move(awaited)) {}
  ~done_awaiter() {
    if (linked()) remove_waiter(*on, *this);
  }

  [[nodiscard]] bool await_ready() const { return on->done(); }
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> frame) {
    task = frame.promise().task;
    add_waiter(*on, *this);
    task->suspend(frame.address(), *this);
  }
  void await_resume() const {
    if (task != nullptr) task->check_cancelled();
  }

  core_ref<future_core> on;
  task_core* task = nullptr;
};

/// A future of any awaitable: itself if it is one, else a new task of the running loop.
template <class A>
auto as_future(A&& awaitable) {
  using plain = std::remove_cvref_t<A>;
  if constexpr (is_coro<plain>) {
    return static_cast<future<typename plain::value_type>>(
        spawn(running_core(), std::forward<A>(awaitable), task_options()));
  } else if constexpr (requires {
                         awaitable.core();
                         typename plain::value_type;
                       }) {
    return static_cast<future<typename plain::value_type>>(std::forward<A>(awaitable));
  } else if constexpr (requires { awaitable.core(); }) {
    return future<void>(awaitable.core());
  } else {
    using result = awaited_value<plain>;
    return static_cast<future<result>>(spawn(
        running_core(), await_kept<result, plain>(std::forward<A>(awaitable)), task_options()));
  }
}

}  // namespace detail
}  // namespace v0
}  // namespace rondo
