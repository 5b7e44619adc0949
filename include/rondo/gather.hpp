// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  gather: the results of many awaitables in one.
#pragma once

#include <rondo/coro.hpp>
#include <rondo/detail/export.hpp>
#include <rondo/detail/future_core.hpp>
#include <rondo/detail/ready_node.hpp>
#include <rondo/ensure_future.hpp>
#include <rondo/event_loop.hpp>
#include <rondo/future.hpp>

#include <array>
#include <cstddef>
#include <exception>
#include <memory>
#include <optional>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace rondo {
inline namespace v0 {

/// How one of the awaitables of `gather_settled` ended: with a value, or with an exception (which
/// is a cancelled_error if it was cancelled).
///
/// @par asyncio
/// An element of what `gather(..., return_exceptions=True)` returns.
template <class T>
class outcome {
 public:
  using value_type = T;

  template <class... Args>
  explicit outcome(std::in_place_t, Args&&... args)
      : value_(std::in_place, std::forward<Args>(args)...) {}
  explicit outcome(std::exception_ptr error) noexcept : error_(std::move(error)) {}

  [[nodiscard]] bool has_value() const noexcept { return value_.has_value(); }
  explicit operator bool() const noexcept { return value_.has_value(); }

  /// The value. Throws the exception where there is none.
  const T& value() const& {
    if (!value_) std::rethrow_exception(error_);
    return *value_;
  }
  T& value() & {
    if (!value_) std::rethrow_exception(error_);
    return *value_;
  }
  T&& value() && {
    if (!value_) std::rethrow_exception(error_);
    return *std::move(value_);
  }

  /// Null where there is a value.
  [[nodiscard]] const std::exception_ptr& exception() const noexcept { return error_; }

 private:
  std::optional<T> value_;
  std::exception_ptr error_;
};

namespace detail {

template <class T>
struct copyable_trait<outcome<T>> : std::bool_constant<copyable<T>> {};

struct gather_children;

/// The future that gather returns: it is done when its children are, or when the first of them
/// failed.
struct gather_core : future_core, ready_node {
  gather_core(const future_table& operations, loop_core& where) noexcept;

  RONDO_EXPORT static bool cancel_kind(future_core& self, std::string_view message);
  RONDO_EXPORT static bool outlive_handles(future_core& self) noexcept;

  /// The n-th child, which is done; for `collect`.
  [[nodiscard]] RONDO_EXPORT core_ref<future_core> take_child(std::size_t n) noexcept;
  [[nodiscard]] RONDO_EXPORT std::size_t child_count() const noexcept;

  gather_children* children = nullptr;
  void (*collect)(gather_core& self) = nullptr;  // makes the value
  std::size_t unfinished = 0;
  future_core* failed_child = nullptr;  // the first one, which decides
  gather_core* next_deferred = nullptr;
  bool settled = false;           // failures are results
  bool cancel_requested = false;  // it ends cancelled, whatever the children do
  bool queued = false;            // it decides in the next iteration
  bool being_cancelled = false;

 protected:
  RONDO_EXPORT ~gather_core();
};
RONDO_EXPORT void decide_gather(ready_node& node, event_loop* loop);
inline gather_core::gather_core(const future_table& operations, loop_core& where) noexcept
    : future_core(operations, where), ready_node(&decide_gather) {}

/// Takes the children over and begins to wait for them.
RONDO_EXPORT void begin_gather(gather_core& outer, core_ref<future_core>* children,
                               std::size_t count);
/// What a child that is not finished ended with.
[[nodiscard]] RONDO_EXPORT std::exception_ptr failure_of(future_core& child);

template <class T>
using gathered = std::conditional_t<std::is_void_v<T>, std::monostate, T>;

template <class T>
gathered<T> take_gathered(core_ref<future_core> child) {
  const future<T> done(std::move(child));
  if constexpr (std::is_void_v<T>) {
    return std::monostate();
  } else {
    return take_result<T>(done);
  }
}

template <class T>
outcome<gathered<T>> take_outcome(core_ref<future_core> child) {
  if (child->state != future_state::finished) return outcome<gathered<T>>(failure_of(*child));
  if constexpr (std::is_void_v<T>) {
    return outcome<gathered<T>>(std::in_place);
  } else {
    return outcome<gathered<T>>(std::in_place, take_result<T>(future<T>(std::move(child))));
  }
}

template <bool settled, class T>
auto take_child_as(gather_core& from, std::size_t n) {
  if constexpr (settled) {
    return take_outcome<T>(from.take_child(n));
  } else {
    return take_gathered<T>(from.take_child(n));
  }
}

template <class R>
stored<R>* place_of(gather_core& outer) {
  return std::addressof(static_cast<typed_core<R, gather_core>&>(outer).value);
}

template <bool settled, class... Ts>
struct gather_tuple {
  using result = std::conditional_t<
      settled, std::tuple<outcome<gathered<Ts>>...>,
      std::conditional_t<(std::is_void_v<Ts> && ...), void, std::tuple<gathered<Ts>...>>>;

  static void collect(gather_core& outer) {
    if constexpr (!std::is_void_v<result>) fill(outer, std::index_sequence_for<Ts...>());
  }
  template <std::size_t... n>
  static void fill(gather_core& outer, std::index_sequence<n...>) {
    // Braces: in the order of the arguments.
    ::new (static_cast<void*>(place_of<result>(outer)))
        result{take_child_as<settled, Ts>(outer, n)...};
    outer.has_value = true;
  }
};

template <bool settled, class T>
struct gather_vector {
  using result =
      std::conditional_t<settled, std::vector<outcome<gathered<T>>>,
                         std::conditional_t<std::is_void_v<T>, void, std::vector<gathered<T>>>>;

  static void collect(gather_core& outer) {
    if constexpr (!std::is_void_v<result>) {
      result values;
      const std::size_t count = outer.child_count();
      values.reserve(count);
      for (std::size_t n = 0; n < count; ++n) values.push_back(take_child_as<settled, T>(outer, n));
      ::new (static_cast<void*>(place_of<result>(outer))) result(std::move(values));
      outer.has_value = true;
    }
  }
};

template <class Kind>
future<typename Kind::result> gather_as(bool settled, core_ref<future_core>* children,
                                        std::size_t count) {
  using core = typed_core<typename Kind::result, gather_core>;
  core* const outer = core::make(common_loop(children, count));
  future<typename Kind::result> made(core_ref<future_core>::adopt(outer));
  outer->settled = settled;
  outer->collect = &Kind::collect;
  begin_gather(*outer, children, count);
  return made;
}

template <class A>
using future_value = typename decltype(as_future(std::declval<A>()))::value_type;

template <bool settled, class... As>
auto gather_all(As&&... awaitables) {
  (check_awaitable<As>(), ...);
  // Braces: the children start in the order of the arguments.
  std::array<core_ref<future_core>, sizeof...(As)> children{
      as_future(std::forward<As>(awaitables)).core()...};
  return gather_as<gather_tuple<settled, future_value<As>...>>(settled, children.data(),
                                                               children.size());
}

template <bool settled, class R>
auto gather_range(R&& range) {
  using element = range_element<R>;
  check_awaitable<element>();
  std::vector<core_ref<future_core>> children;
  if constexpr (std::ranges::sized_range<R>) children.reserve(std::ranges::size(range));
  for_each_awaitable(std::forward<R>(range), [&children](element&& each) {
    children.push_back(as_future(static_cast<element&&>(each)).core());
  });
  return gather_as<gather_vector<settled, future_value<element>>>(settled, children.data(),
                                                                  children.size());
}

}  // namespace detail

/// Awaits several awaitables at once; yields their results in the order of the arguments, as a
/// tuple. Coroutines become tasks, in this order, at the call. A void result is a std::monostate,
/// and if all are void so is the whole.
///
/// The first exception is thrown at once; the others go on, and what they throw is dropped.
/// Cancelling the future cancels every child. A child that is cancelled alone is an exception,
/// cancelled_error, like any other.
/// @throws std::invalid_argument  futures of different loops
///
/// @par asyncio
/// `asyncio.gather`
/// @par Thread safety
/// The loop's thread only.
template <class... As>
  requires(!(sizeof...(As) == 1 && (detail::awaitable_range<As> && ...)))
[[nodiscard]] auto gather(As&&... awaitables) {
  return detail::gather_all<false>(std::forward<As>(awaitables)...);
}
/// The same for a range of awaitables of one type; yields a vector.
template <detail::awaitable_range R>
[[nodiscard]] auto gather(R&& range) {
  return detail::gather_range<false>(std::forward<R>(range));
}

/// As `gather`, but waits for all of them, whatever they end with, and yields an `outcome` for
/// each.
///
/// Cancelling the future cancels every child, waits for all, and throws cancelled_error.
///
/// @par asyncio
/// `asyncio.gather(..., return_exceptions=True)`
template <class... As>
  requires(!(sizeof...(As) == 1 && (detail::awaitable_range<As> && ...)))
[[nodiscard]] auto gather_settled(As&&... awaitables) {
  return detail::gather_all<true>(std::forward<As>(awaitables)...);
}
template <detail::awaitable_range R>
[[nodiscard]] auto gather_settled(R&& range) {
  return detail::gather_range<true>(std::forward<R>(range));
}

}  // namespace v0
}  // namespace rondo
