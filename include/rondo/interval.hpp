// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Durations and points in time.
#pragma once

#include <rondo/detail/export.hpp>

#include <chrono>
#include <compare>
#include <cstdint>
#include <limits>
#include <ratio>
#include <type_traits>

namespace rondo {
inline namespace v0 {
namespace detail {
[[noreturn]] RONDO_EXPORT void throw_not_a_number();
}  // namespace detail

/// The clock of every loop: monotonic, unaffected by changes of the wall clock.
using clock = std::chrono::steady_clock;

/// A point on `rondo::clock`.
using time_point = clock::time_point;

/// A length of time in nanoseconds, made implicitly from any std::chrono duration.
///
/// Conversions saturate: what is longer than about 292 years becomes `interval::max()`.
/// @throws std::invalid_argument  (on construction) the duration is not a number
class interval {
 public:
  constexpr interval() noexcept = default;

  template <class Rep, class Period>
  constexpr interval(std::chrono::duration<Rep, Period> duration)  // NOLINT: implicit by design
      : nanoseconds_(convert(duration)) {}

  /// Nanoseconds.
  [[nodiscard]] constexpr std::int64_t count() const noexcept { return nanoseconds_; }

  /// The longest interval; as a timeout, for ever.
  [[nodiscard]] static constexpr interval max() noexcept {
    return from_count(std::numeric_limits<std::int64_t>::max());
  }

  [[nodiscard]] static constexpr interval from_count(std::int64_t nanoseconds) noexcept {
    interval result;
    result.nanoseconds_ = nanoseconds;
    return result;
  }

  template <class Rep, class Period>
  constexpr explicit operator std::chrono::duration<Rep, Period>() const {
    return std::chrono::duration_cast<std::chrono::duration<Rep, Period>>(
        std::chrono::nanoseconds(nanoseconds_));
  }

  friend constexpr auto operator<=>(interval, interval) noexcept = default;

 private:
  template <class Rep, class Period>
  static constexpr std::int64_t convert(std::chrono::duration<Rep, Period> duration) {
    using limits = std::numeric_limits<std::int64_t>;
    if constexpr (std::is_floating_point_v<Rep>) {
      const auto count = static_cast<long double>(duration.count()) *
                         static_cast<long double>(Period::num) * 1'000'000'000.0L /
                         static_cast<long double>(Period::den);
      if (count != count) detail::throw_not_a_number();
      if (count >= static_cast<long double>(limits::max())) return limits::max();
      if (count <= static_cast<long double>(limits::min())) return limits::min();
      return static_cast<std::int64_t>(count);
    } else {
      using ratio = std::ratio_divide<Period, std::nano>;
      const auto count = duration.count();
      if constexpr (ratio::den == 1) {
        if (count > limits::max() / ratio::num) return limits::max();
        if (count < limits::min() / ratio::num) return limits::min();
        return static_cast<std::int64_t>(count) * ratio::num;
      } else {
        return std::chrono::duration_cast<std::chrono::nanoseconds>(duration).count();
      }
    }
  }

  std::int64_t nanoseconds_ = 0;
};

namespace detail {

/// `when + delay`, without overflow in either direction.
[[nodiscard]] constexpr time_point add_saturated(time_point when, interval delay) noexcept {
  std::int64_t sum = 0;
  if (__builtin_add_overflow(when.time_since_epoch().count(), delay.count(), &sum)) {
    sum = delay.count() > 0 ? std::numeric_limits<std::int64_t>::max()
                            : std::numeric_limits<std::int64_t>::min();
  }
  return time_point(clock::duration(sum));
}

}  // namespace detail
}  // namespace v0
}  // namespace rondo
