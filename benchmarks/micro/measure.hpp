// SPDX-License-Identifier: MIT
// rondo benchmarks: what the three implementations of each operation have in common.
#pragma once

#include <benchmark/benchmark.h>
#include <malloc.h>
#include <time.h>

#include <cstddef>
#include <cstdint>

namespace measure {

// Operations per round of the loop: enough that the poll which ends a round (about 300 ns) does not
// count, few enough that what they touch stays in the first-level cache.
inline constexpr int batch = 256;

// Deadlines of timers that are not meant to fire: 1,000 to 2,000 s from now.
inline constexpr std::int64_t far_away = 1'000'000'000'000;

// A cheap generator, the same for all, so that the heaps see the same order of deadlines.
class random {
 public:
  std::uint64_t next() noexcept {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return state_;
  }
  std::int64_t below(std::int64_t limit) noexcept {
    return static_cast<std::int64_t>(next() % static_cast<std::uint64_t>(limit));
  }

 private:
  std::uint64_t state_ = 0x9e3779b97f4a7c15;
};

inline std::int64_t now() noexcept {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1'000'000'000 + t.tv_nsec;
}

inline double seconds_since(std::int64_t begin) noexcept {
  return static_cast<double>(now() - begin) / 1e9;
}

// Bytes that the program holds from the allocator, its headers included.
inline std::size_t bytes_in_use() noexcept {
  struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
}

// The operation took place `count` times per iteration; compare.py divides by it.
inline void operations(benchmark::State& state, std::int64_t count) {
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()) * count);
}

}  // namespace measure
