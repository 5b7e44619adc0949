// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  A future of whatever can be awaited.
#pragma once

#include <rondo/coro.hpp>
#include <rondo/detail/done_awaiter.hpp>
#include <rondo/detail/export.hpp>
#include <rondo/event_loop.hpp>
#include <rondo/future.hpp>
#include <rondo/task.hpp>

#include <cstddef>
#include <iterator>
#include <type_traits>
#include <utility>

namespace rondo {
inline namespace v0 {
namespace detail {

/// @throws std::invalid_argument
[[noreturn]] RONDO_EXPORT void throw_other_loop();

/// The loop of the futures, the running one where there are none.
/// @throws std::invalid_argument  they are of different loops
[[nodiscard]] RONDO_EXPORT loop_core& common_loop(const core_ref<future_core>* futures,
                                                  std::size_t count);

template <class A>
constexpr void check_awaitable() {
  static_assert(
      awaitable<A>,
      "this needs an awaitable: a coro, a future, a task, or another type that co_await takes");
  static_assert(!(is_coro<std::remove_cvref_t<A>> && std::is_lvalue_reference_v<A>),
                "a coro is awaited once: pass it by std::move(c)");
}

/// A range of awaitables. Elements of an owning range that is passed as an rvalue are moved out.
template <class R>
concept awaitable_range =
    std::ranges::input_range<R> && awaitable<std::ranges::range_reference_t<R>>;

template <class R>
using range_element =
    std::conditional_t<std::is_lvalue_reference_v<R> || std::ranges::view<std::remove_cvref_t<R>>,
                       std::ranges::range_reference_t<R>, std::ranges::range_rvalue_reference_t<R>>;

/// Calls `use` with each element, as an rvalue where it may be moved out.
template <class R, class F>
void for_each_awaitable(R&& range, F use) {
  for (auto&& each : range) use(static_cast<range_element<R>&&>(each));
}

/// The handle that names the future of an awaitable: what `as_future` gives, but a task where it is
/// one.
template <class A>
auto as_handle(A&& awaitable) {
  using plain = std::remove_cvref_t<A>;
  if constexpr (requires { awaitable.core(); }) {
    return plain(std::forward<A>(awaitable));
  } else if constexpr (is_coro<plain>) {
    return spawn(running_core(), std::forward<A>(awaitable), task_options());
  } else {
    using result = std::remove_cvref_t<awaited<plain&&>>;
    return spawn(running_core(), await_kept<result, plain>(std::forward<A>(awaitable)),
                 task_options());
  }
}

}  // namespace detail

/// A future of an awaitable: of a future or task itself, else of a new task of the running loop, or
/// of `loop`.
/// @throws std::invalid_argument  it is a future of another loop than `loop`
/// @throws std::logic_error  no loop runs in this thread
///
/// @par asyncio
/// `asyncio.ensure_future`
template <class A>
auto ensure_future(A&& awaitable) {
  detail::check_awaitable<A>();
  return detail::as_future(std::forward<A>(awaitable));
}
template <class A>
auto ensure_future(A&& awaitable, event_loop& loop) {
  detail::check_awaitable<A>();
  using plain = std::remove_cvref_t<A>;
  if constexpr (detail::is_coro<plain>) {
    return static_cast<future<typename plain::value_type>>(
        loop.create_task(std::forward<A>(awaitable)));
  } else if constexpr (requires { awaitable.core(); }) {
    if (awaitable.core()->core != &loop.core()) detail::throw_other_loop();
    return detail::as_future(std::forward<A>(awaitable));
  } else {
    using result = std::remove_cvref_t<detail::awaited<plain&&>>;
    return static_cast<future<result>>(
        loop.create_task(detail::await_kept<result, plain>(std::forward<A>(awaitable))));
  }
}

}  // namespace v0
}  // namespace rondo
