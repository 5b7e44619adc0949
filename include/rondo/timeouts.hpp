// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Timeouts: a body is cancelled when its time is up.
#pragma once

#include <rondo/coro.hpp>
#include <rondo/detail/done_awaiter.hpp>
#include <rondo/detail/export.hpp>
#include <rondo/errors.hpp>
#include <rondo/interval.hpp>
#include <rondo/task.hpp>

#include <concepts>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

namespace rondo {
inline namespace v0 {
namespace detail {

struct timeout_state;
RONDO_EXPORT void retain(timeout_state& state) noexcept;
RONDO_EXPORT void release(timeout_state& state) noexcept;

}  // namespace detail

/// A deadline of a piece of a task. Copies name the same one.
///
/// When it is reached the task is cancelled, and `with_timeout` turns that cancellation, when it
/// comes back, into timeout_error. A cancellation from outside that arrives as well wins.
///
/// @par asyncio
/// `asyncio.Timeout`
/// @par Thread safety
/// The loop's thread only.
class RONDO_EXPORT timeout {
 public:
  /// After `delay` from when it is entered; nullopt: never, until rescheduled.
  explicit timeout(std::optional<interval> delay);
  /// At a time; nullopt: never, until rescheduled.
  [[nodiscard]] static timeout at(std::optional<time_point> when);

  timeout(const timeout& other) noexcept;
  timeout(timeout&& other) noexcept;
  timeout& operator=(timeout other) noexcept;
  ~timeout();

  /// The deadline; before it is entered only one that was given as a time.
  [[nodiscard]] std::optional<time_point> when() const noexcept;
  /// Moves the deadline; one in the past cancels in the next iteration.
  /// @throws std::logic_error  it is not entered, or it has expired or ended
  void reschedule(std::optional<time_point> when) const;
  /// True from the moment when the deadline was reached, also inside the body.
  [[nodiscard]] bool expired() const noexcept;

  // For the library.
  /// @throws std::logic_error  entered before, or outside a task
  void enter() const;
  /// Ends it. Throws timeout_error instead of a cancellation that is its own, `error` otherwise;
  /// returns if that is null.
  void leave(std::exception_ptr error) const;
  /// Ends it without a word, for a frame that is destroyed.
  void abandon() const noexcept;

 private:
  explicit timeout(detail::timeout_state* state) noexcept : state_(state) {}
  detail::timeout_state* state_;
};

namespace detail {

struct timeout_guard {
  timeout& scope;
  explicit timeout_guard(timeout& entered) : scope(entered) { scope.enter(); }
  timeout_guard(const timeout_guard&) = delete;
  timeout_guard& operator=(const timeout_guard&) = delete;
  ~timeout_guard() { scope.abandon(); }
};

/// Keeps what a body yields while its timeout ends.
template <class T>
class kept_result {
 public:
  void set(T value) {
    if constexpr (std::is_reference_v<T>) {
      value_.emplace(std::addressof(value));
    } else {
      value_.emplace(std::move(value));
    }
  }
  T take() { return static_cast<T&&>(result_in<T>(*value_)); }

 private:
  std::optional<stored<T>> value_;
};

template <class T, class F, class... Args>
coro<T> run_with_timeout(timeout scope, F body, Args... args) {
  static_assert(((alignof(F) <= 16) && ... && (alignof(Args) <= 16)),
                "g++ 12 and clang 16 misplace what is aligned to more than 16 bytes in a frame");
  const timeout_guard guard(scope);
  std::exception_ptr error;
  if constexpr (std::is_void_v<T>) {
    try {
      co_await std::invoke(std::move(body), scope, std::move(args)...);
    } catch (...) {
      error = std::current_exception();
    }
    scope.leave(std::move(error));
  } else {
    kept_result<T> result;
    try {
      result.set(co_await std::invoke(std::move(body), scope, std::move(args)...));
    } catch (...) {
      error = std::current_exception();
    }
    scope.leave(std::move(error));
    co_return result.take();
  }
}

template <class F, class... Args>
using timed_result = typename std::remove_cvref_t<
    std::invoke_result_t<std::decay_t<F>, timeout&, std::decay_t<Args>...>>::value_type;

template <class T, class A>
coro<T> run_wait_for(A awaitable, std::optional<interval> limit) {
  if (limit && limit->count() <= 0) {
    const auto running = as_future(std::move(awaitable));
    if (!running.done()) {
      running.cancel();
      co_await done_awaiter(running.core());
    }
    try {
      co_return take_result<T>(running);
    } catch (const cancelled_error&) {
      throw timeout_error();
    }
  }
  timeout scope(limit);
  const timeout_guard guard(scope);
  std::exception_ptr error;
  if constexpr (std::is_void_v<T>) {
    try {
      co_await std::move(awaitable);
    } catch (...) {
      error = std::current_exception();
    }
    scope.leave(std::move(error));
  } else {
    kept_result<T> result;
    try {
      result.set(co_await std::move(awaitable));
    } catch (...) {
      error = std::current_exception();
    }
    scope.leave(std::move(error));
    co_return result.take();
  }
}

}  // namespace detail

/// Runs `body(timeout&, args...)`, which returns a coro, with a deadline; yields its result.
///
/// The body runs in this task. It may reschedule the timeout that it is given.
/// @throws timeout_error  the deadline was reached and the body ended by the cancellation
/// @throws cancelled_error  the task was cancelled from elsewhere
///
/// @par asyncio
/// `async with asyncio.timeout(...)`
template <class F, class... Args>
[[nodiscard]] auto with_timeout(timeout scope, F&& body, Args&&... args) {
  return detail::run_with_timeout<detail::timed_result<F, Args...>, std::decay_t<F>,
                                  std::decay_t<Args>...>(std::move(scope), std::forward<F>(body),
                                                         std::forward<Args>(args)...);
}
template <class F, class... Args>
[[nodiscard]] auto with_timeout(std::optional<interval> delay, F&& body, Args&&... args) {
  return with_timeout(timeout(delay), std::forward<F>(body), std::forward<Args>(args)...);
}
/// The same until a time; asyncio: `asyncio.timeout_at`.
template <class F, class... Args>
[[nodiscard]] auto with_timeout(time_point when, F&& body, Args&&... args) {
  return with_timeout(timeout::at(when), std::forward<F>(body), std::forward<Args>(args)...);
}

/// Awaits something for `limit` at most; nullopt: for as long as it takes. What it awaits is
/// cancelled when the time is up, and has ended when this throws, so the whole may take longer. If
/// it ends with a result all the same, that is yielded.
///
/// @throws timeout_error  the time was up
///
/// @par asyncio
/// `asyncio.wait_for`
template <class A>
[[nodiscard]] auto wait_for(A&& awaitable, std::optional<interval> limit) {
  static_assert(detail::awaitable<A>, "wait_for needs an awaitable");
  static_assert(!(detail::is_coro<std::remove_cvref_t<A>> && std::is_lvalue_reference_v<A>),
                "a coro is awaited once: wait_for(std::move(c), ...)");
  using result = detail::awaited_value<A>;
  return detail::run_wait_for<result, std::decay_t<A>>(std::forward<A>(awaitable), limit);
}

}  // namespace v0
}  // namespace rondo
