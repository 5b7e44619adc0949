// SPDX-License-Identifier: MIT
// rondo tests: what the tests of tasks share: a loop, a trace of events, reports, an iteration
// count.
#pragma once

#include "support/catch.hpp"
#include "support/oracle.hpp"

#include <rondo/rondo.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace task_test {

using namespace std::chrono_literals;
using events = std::vector<std::string>;

/// A loop whose reports are kept; frames, blocks and descriptors must be in the end what they were.
struct fixture {
  rondo_test::oracle unchanged;
  std::unique_ptr<rondo::event_loop> loop = rondo::new_event_loop();
  events trace;
  events reports;

  fixture() {
    loop->set_exception_handler([this](rondo::event_loop&, const rondo::exception_context& report) {
      reports.push_back(report.message);
    });
  }
  fixture(const fixture&) = delete;
  fixture& operator=(const fixture&) = delete;
  ~fixture() {
    loop.reset();
    CHECK(reports == events());
  }

  void note(std::string what) { trace.push_back(std::move(what)); }

  template <class F, class... Args>
  decltype(auto) run(F&& body, Args&&... args) {
    return loop->run_until_complete(
        rondo::detail::invoke_kept<std::decay_t<F>, std::decay_t<Args>...>(
            std::forward<F>(body), std::forward<Args>(args)...));
  }
  void turn(int iterations) {
    for (int n = 0; n < iterations; ++n) loop->run_once();
  }
  /// The iterations that the loop has run.
  [[nodiscard]] std::uint64_t now() const { return loop->metrics().iterations; }

  /// Takes the reports out, so that the test may expect them.
  [[nodiscard]] events take_reports() { return std::exchange(reports, {}); }
};

/// Lets so many iterations pass.
inline rondo::coro<> yields(int iterations) {
  for (int n = 0; n < iterations; ++n) co_await rondo::yield_now();
}

/// Waits so many iterations, then writes into the trace; says so if it is cancelled.
inline rondo::coro<int> work(fixture& f, std::string name, int iterations, int result = 0) {
  std::exception_ptr cancelled;
  try {
    co_await yields(iterations);
  } catch (const rondo::cancelled_error&) {
    cancelled = std::current_exception();
  }
  f.note(cancelled ? name + " cancelled" : name);
  if (cancelled) std::rethrow_exception(cancelled);
  co_return result;
}

/// Waits to be cancelled.
inline rondo::coro<int> wait_forever(fixture& f, std::string name) {
  std::exception_ptr cancelled;
  try {
    co_await rondo::sleep(1h);
  } catch (const rondo::cancelled_error&) {
    cancelled = std::current_exception();
  }
  f.note(name + " cancelled");
  std::rethrow_exception(cancelled);
}

/// Lets so many iterations pass, writes into the trace and throws.
inline rondo::coro<int> fail(fixture& f, std::string name, int iterations) {
  co_await work(f, name, iterations);
  throw std::runtime_error(name);
}

/// Cancelled, it takes so many iterations to clean up.
inline rondo::coro<int> slow_to_cancel(fixture& f, std::string name, int iterations) {
  std::exception_ptr cancelled;
  try {
    co_await rondo::sleep(1h);
  } catch (const rondo::cancelled_error&) {
    cancelled = std::current_exception();
  }
  co_await yields(iterations);
  f.note(name + " cleaned up");
  std::rethrow_exception(cancelled);
}

inline rondo::coro<> forever() { co_await rondo::sleep(1h); }

std::string text_of(const std::exception_ptr& error);

/// What it throws, in words: "-", "cancelled", "timeout", or the text.
template <class F>
std::string thrown_by(F&& f) {
  try {
    f();
  } catch (const rondo::cancelled_error& error) {
    return error.message().empty() ? "cancelled" : "cancelled: " + error.message();
  } catch (const rondo::timeout_error&) {
    return "timeout";
  } catch (const rondo::keyboard_interrupt&) {
    return "interrupt";
  } catch (const rondo::system_exit&) {
    return "exit";
  } catch (const rondo::exception_group& group) {
    std::string text = "group[";
    for (const std::exception_ptr& each : group.exceptions()) {
      if (text.back() != '[') text += ' ';
      text += text_of(each);
    }
    return text + "]";
  } catch (const std::exception& error) {
    return error.what();
  }
  return "-";
}
inline std::string text_of(const std::exception_ptr& error) {
  if (!error) return "-";
  return thrown_by([&] { std::rethrow_exception(error); });
}
/// What awaiting it throws.
template <class A>
rondo::coro<std::string> ends_with(A awaitable) {
  std::exception_ptr error;
  try {
    co_await std::move(awaitable);
  } catch (...) {
    error = std::current_exception();
  }
  co_return text_of(error);
}
inline std::size_t requests() { return rondo::current_task().cancelling(); }

}  // namespace task_test
