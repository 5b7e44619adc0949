// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  to_thread: a function that blocks, awaited.
#pragma once

#include <rondo/context.hpp>
#include <rondo/coro.hpp>
#include <rondo/detail/job.hpp>
#include <rondo/event_loop.hpp>
#include <rondo/future.hpp>

#include <concepts>
#include <type_traits>
#include <utility>

namespace rondo {
inline namespace v0 {
namespace detail {

template <class R>
coro<R> await_in_thread(unsubmitted_job job) {
  event_loop& loop = get_running_loop();
  future<R> result(loop);
  job->bound_context = running_context().snapshot();
  loop.submit_job(nullptr, std::move(job), result);
  co_return co_await std::move(result);
}

}  // namespace detail

/// Calls `f(args...)` in a thread of the loop's default executor, in a copy of the running context,
/// and returns its result.
///
/// The call begins when the coroutine runs. Cancelled, the await ends at once; the call is not made
/// if it has not begun, else it goes on and its result is dropped.
/// @throws std::logic_error  no loop runs in this thread, or the executor is shut down
/// @throws std::system_error  there is no thread and none can be made
///
/// @par asyncio
/// `asyncio.to_thread`
/// @par Thread safety
/// The loop's thread; `f` and its arguments are moved to the other one and destroyed there.
template <class F, class... Args>
  requires std::invocable<std::decay_t<F>, std::decay_t<Args>...>
[[nodiscard]] coro<detail::call_result<F, Args...>> to_thread(F&& f, Args&&... args) {
  return detail::await_in_thread<detail::call_result<F, Args...>>(
      detail::make_job(std::forward<F>(f), std::forward<Args>(args)...));
}

}  // namespace v0
}  // namespace rondo
