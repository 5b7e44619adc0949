// SPDX-License-Identifier: MIT
// rondo tests: what the tests of coroutines, futures and tasks share.
#pragma once

#include "support/catch.hpp"
#include "support/manual_loop.hpp"

#include <rondo/detail/done_awaiter.hpp>
#include <rondo/errors.hpp>
#include <rondo/event_loop.hpp>
#include <rondo/run.hpp>
#include <rondo/sleep.hpp>
#include <rondo/task.hpp>
#include <rondo/timeouts.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace coro_test {

using namespace std::chrono_literals;
using rondo::any_future;
using rondo::any_task;
using rondo::cancelled_error;
using rondo::coro;
using rondo::create_task;
using rondo::future;
using rondo::task;
using rondo::timeout_error;
using rondo::yield_now;
using rondo_test::balanced;
using rondo_test::captured_log;
using rondo_test::manual_loop;
using rondo_test::outcome_of;
using rondo_test::text_of;

using strings = std::vector<std::string>;

inline std::uint64_t iteration() { return rondo::get_running_loop().metrics().iterations; }

inline coro<> nothing() { co_return; }
template <class T>
coro<T> value(T result) {
  co_return result;
}
inline coro<> fail(std::string text) {
  throw std::runtime_error(text);
  co_return;
}
inline coro<> yields(int times) {
  for (int i = 0; i < times; ++i) co_await yield_now();
}
template <class T>
coro<> wait_for_future(future<T> awaited) {
  co_await awaited;
}

/// Awaits and says how that ended.
template <class A>
coro<std::string> outcome(A awaitable) {
  try {
    co_await std::move(awaitable);
  } catch (...) {
    co_return text_of(std::current_exception());
  }
  co_return "none";
}

/// Waits until the task is done, whatever its end.
inline rondo::detail::done_awaiter end_of(const any_future& awaited) {
  return rondo::detail::done_awaiter(awaited.core());
}

/// A result that can only be moved.
struct move_only {
  explicit move_only(int n) : value(n) {}
  move_only(move_only&& other) noexcept : value(std::exchange(other.value, -1)) {}
  move_only& operator=(move_only&& other) noexcept {
    value = std::exchange(other.value, -1);
    return *this;
  }
  ~move_only() = default;
  int value;
};

}  // namespace coro_test
