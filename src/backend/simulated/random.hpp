// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Numbers from a seed, and a hash: the same on every machine.
#pragma once

#include <cstdint>

namespace rondo {
inline namespace v0 {
namespace detail {

/// Spreads every bit of the input over the whole word.
[[nodiscard]] constexpr std::uint64_t mix(std::uint64_t word) noexcept {
  word = (word ^ (word >> 30U)) * 0xbf58476d1ce4e5b9U;
  word = (word ^ (word >> 27U)) * 0x94d049bb133111ebU;
  return word ^ (word >> 31U);
}

/// SplitMix64: standard distributions differ between libraries, this does not.
class seeded_random {
 public:
  constexpr explicit seeded_random(std::uint64_t seed) noexcept : state_(seed) {}

  [[nodiscard]] constexpr std::uint64_t next() noexcept {
    state_ += 0x9e3779b97f4a7c15U;
    return mix(state_);
  }
  /// Evenly from 0 to `limit - 1`.
  [[nodiscard]] constexpr std::uint32_t below(std::uint32_t limit) noexcept {
    return static_cast<std::uint32_t>(((next() >> 32U) * limit) >> 32U);
  }

 private:
  std::uint64_t state_;
};

/// What happened, in one word.
class trace {
 public:
  constexpr void add(std::uint64_t word) noexcept { hash_ = mix(hash_ ^ word) + word; }
  [[nodiscard]] constexpr std::uint64_t hash() const noexcept { return hash_; }

 private:
  std::uint64_t hash_ = 0;
};

}  // namespace detail
}  // namespace v0
}  // namespace rondo
