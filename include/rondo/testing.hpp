// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Testing: a loop whose time and whose order of events come from a
// seed.
#pragma once

#include <rondo/detail/export.hpp>
#include <rondo/event_loop.hpp>
#include <rondo/interval.hpp>

#include <cstdint>
#include <stdexcept>
#include <type_traits>

namespace rondo {
inline namespace v0 {
namespace detail {
class simulated_backend;
}  // namespace detail

namespace testing {

/// How a `virtual_loop` behaves.
struct virtual_options {
  std::uint64_t seed = 0;
  bool shuffle = true;   ///< false: what is ready runs in asyncio's order
  bool real_io = false;  ///< true: real descriptors, polled without waiting; only time is virtual
};
static_assert(std::is_trivially_copyable_v<virtual_options>);

/// Nothing can happen any more, and somebody still waits: `what()` lists the tasks and where they
/// are.
class RONDO_EXPORT deadlock_error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
  deadlock_error(const deadlock_error&) = default;
  deadlock_error& operator=(const deadlock_error&) = default;
  ~deadlock_error() override;
};

/// A loop for tests: its clock stands still while there is work and jumps to the next deadline when
/// there is none, and one seed decides the order of what is ready at the same time.
///
/// A test of hours runs in milliseconds, and a seed that found a fault finds it again, on every
/// machine and compiler: `trace_hash` tells whether two runs were the same. What is shuffled are
/// the steps of tasks, callbacks and timers that are ready in the same iteration, which a correct
/// program must not depend on. It polls in every iteration, as asyncio does.
///
/// Work in other threads (resolver, executors) takes no virtual time: the loop waits for it before
/// the clock moves. Without `real_io` a loop that has nothing to do, no timer and no such work
/// throws deadlock_error out of `run_forever`, `run_until_complete` and `run`; with it, or while
/// somebody holds a `threadsafe_promise`, the loop waits for the world as others do.
///
/// @par asyncio
/// None; trio's `MockClock` and `memory_stream_pair` come close.
/// @par Thread safety
/// As every loop.
/// @par Example
/// `testing::virtual_loop loop{42}; loop.run_until_complete(amain());`, or
/// `run(amain(), {.loop_factory = ...})` with a function that makes one.
class RONDO_EXPORT virtual_loop : public event_loop {
 public:
  explicit virtual_loop(virtual_options options = {});
  explicit virtual_loop(std::uint64_t seed);
  ~virtual_loop() override;

  /// Now, on the virtual clock, which starts at zero.
  [[nodiscard]] time_point time() const noexcept override;

  /// Moves the clock as if the running callback had taken that long.
  /// @throws std::invalid_argument  a negative interval
  void advance(interval by);

  [[nodiscard]] std::uint64_t seed() const noexcept;

  /// A number from the seed, for the choices of the test itself; it belongs to the trace.
  [[nodiscard]] std::uint64_t random() noexcept;

  /// What has run so far, when and in which order, as one number.
  [[nodiscard]] std::uint64_t trace_hash() const noexcept;

 private:
  explicit virtual_loop(std::unique_ptr<detail::simulated_backend> io);

  detail::simulated_backend* io_;
};

}  // namespace testing
}  // namespace v0
}  // namespace rondo
