// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  What cancellation does not reach: shield and with_shield.
#pragma once

#include <rondo/coro.hpp>
#include <rondo/detail/export.hpp>
#include <rondo/detail/future_core.hpp>
#include <rondo/detail/ready_node.hpp>
#include <rondo/detail/task_core.hpp>
#include <rondo/ensure_future.hpp>
#include <rondo/event_loop.hpp>
#include <rondo/future.hpp>
#include <rondo/task.hpp>

#include <exception>
#include <functional>
#include <memory>
#include <new>
#include <string_view>
#include <type_traits>
#include <utility>

namespace rondo {
inline namespace v0 {
namespace detail {

/// The future that shield returns; it repeats what the inner one ends with.
struct shield_core : future_core, future_waiter, ready_node {
  shield_core(const future_table& operations, loop_core& where) noexcept;

  RONDO_EXPORT static bool cancel_kind(future_core& self, std::string_view message);
  RONDO_EXPORT static bool outlive_handles(future_core& self) noexcept;

  core_ref<future_core> inner;
  future_core* awaited = nullptr;                 // the same while linked
  void (*transfer)(shield_core& self) = nullptr;  // makes the value

 protected:
  RONDO_EXPORT ~shield_core();
};
RONDO_EXPORT void note_shielded_done(future_waiter& self, future_core* done);
RONDO_EXPORT void repeat_shielded(ready_node& node, event_loop* loop);
RONDO_EXPORT void begin_shield(shield_core& outer, core_ref<future_core> inner);
inline shield_core::shield_core(const future_table& operations, loop_core& where) noexcept
    : future_core(operations, where),
      future_waiter(&note_shielded_done),
      ready_node(&repeat_shielded) {}

template <class T>
void transfer_shielded(shield_core& outer) {
  if constexpr (!std::is_void_v<T>) {
    const future<T> inner(std::move(outer.inner));
    ::new (
        static_cast<void*>(std::addressof(static_cast<typed_core<T, shield_core>&>(outer).value)))
        T(take_result<T>(inner));
    outer.has_value = true;
  }
}

template <class T, class F, class... Args>
coro<T> run_shielded(F body, Args... args) {
  const shield_scope scope;
  co_return co_await std::invoke(std::move(body), std::move(args)...);
}

}  // namespace detail

/// A future of an awaitable that is not cancelled with it: a task that awaits the shield and is
/// cancelled leaves the awaitable running. A coroutine becomes a task, which the loop owns until it
/// is done.
///
/// Where the awaitable is a future that is done already, that is what is returned. Cancelling the
/// awaitable itself cancels the shield. An error that comes after the shield was cancelled is
/// reported if nobody else reads it.
///
/// @par asyncio
/// `asyncio.shield`
/// @par Thread safety
/// The loop's thread only.
template <class A>
[[nodiscard]] auto shield(A&& awaitable) {
  detail::check_awaitable<A>();
  auto inner = detail::as_future(std::forward<A>(awaitable));
  if (inner.done()) return inner;
  using value = typename decltype(inner)::value_type;
  using core = detail::typed_core<value, detail::shield_core>;
  core* const outer = core::make(*inner.core()->core);
  future<value> made(detail::core_ref<detail::future_core>::adopt(outer));
  outer->transfer = &detail::transfer_shielded<value>;
  detail::begin_shield(*outer, inner.core());
  return made;
}

/// Runs `body(args...)`, which returns a coro, and lets no cancellation from outside interrupt it:
/// for cleanup that awaits. Yields the body's result.
///
/// The body runs in this task. Requests to cancel the task are kept meanwhile, and counted by
/// `cancelling()`; afterwards they are delivered where the task next suspends, so that
/// `with_shield` itself still yields its result. Timeouts and task groups inside the body work as
/// ever: a cleanup that may hang should have a timeout of its own.
///
/// @par asyncio
/// There is none; anyio: `CancelScope(shield=True)`.
template <class F, class... Args>
  requires detail::coroutine_function<F, Args...>
[[nodiscard]] auto with_shield(F&& body, Args&&... args) {
  return detail::run_shielded<detail::coroutine_result<F, Args...>, std::decay_t<F>,
                              std::decay_t<Args>...>(std::forward<F>(body),
                                                     std::forward<Args>(args)...);
}

}  // namespace v0
}  // namespace rondo
