// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Sleeping and yielding.
#include <rondo/sleep.hpp>

#include <rondo/detail/loop_core.hpp>
#include <rondo/event_loop.hpp>

namespace rondo {
inline namespace v0 {
namespace detail {
namespace {

coro<void> yield_once() { co_await yield_awaiter(); }

coro<void> sleep_to(time_point when) { co_await sleep_awaiter(when); }

// The clock is read when the sleep begins, not when the coroutine is made.
coro<void> sleep_from_now(interval delay) {
  co_await sleep_awaiter(add_saturated(get_running_loop().time(), delay));
}

}  // namespace

bool cancel_sleep(suspension& self, task_core& task) {
  auto& awaiter = static_cast<sleep_awaiter&>(self);
  if (awaiter.armed()) task.core->timers.erase(awaiter);
  task.wake_cancelled();
  return true;
}

void wake_sleeper(ready_node& node, event_loop* loop) {
  if (loop != nullptr) static_cast<sleep_awaiter&>(node).task->wake();
}

coro<void> sleep_for(interval delay) {
  return delay.count() > 0 ? sleep_from_now(delay) : yield_once();
}

}  // namespace detail

coro<void> sleep_until(time_point when) { return detail::sleep_to(when); }

}  // namespace v0
}  // namespace rondo
