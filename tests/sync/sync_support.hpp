// SPDX-License-Identifier: MIT
// rondo tests: a loop that is stepped by hand, and a record of what happened in which order.
#pragma once

#include <rondo/coro.hpp>
#include <rondo/errors.hpp>
#include <rondo/event_loop.hpp>
#include <rondo/log.hpp>
#include <rondo/sleep.hpp>
#include <rondo/task.hpp>

#include <exception>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace rondo_test {

/// What happened, as words with spaces between.
class record {
 public:
  void operator()(std::string_view word) {
    if (!text_.empty()) text_ += ' ';
    text_ += word;
  }
  /// The words since the last call.
  std::string take() { return std::exchange(text_, {}); }

 private:
  std::string text_;
};

/// A loop whose time stands still and which runs one iteration at a time.
class stepped_loop : public rondo::selector_event_loop {
 public:
  // Tests leave tasks pending; a test that wants the log sets a handler after it made the loop.
  stepped_loop() {
    rondo::set_log_handler([](rondo::log_level, std::string_view, void*) {});
  }
  ~stepped_loop() override {
    if (!is_closed()) close();
  }
  [[nodiscard]] rondo::time_point time() const noexcept override { return now_; }
  void advance(rondo::interval by) { now_ += std::chrono::nanoseconds(by.count()); }
  void step(int iterations = 1) {
    for (int i = 0; i < iterations; ++i) run_once();
  }
  /// Runs until nothing is ready.
  void settle() {
    while (run_once() > 0) {
    }
  }

 private:
  rondo::time_point now_{std::chrono::hours(1)};
};

/// What the current exception is, in a word.
inline std::string name_of_exception() {
  try {
    throw;
  } catch (const rondo::cancelled_error& e) {
    return e.message().empty() ? "cancelled" : "cancelled(" + e.message() + ")";
  } catch (const rondo::timeout_error&) {
    return "timeout";
  } catch (const rondo::broken_barrier_error&) {
    return "broken";
  } catch (const rondo::queue_shut_down&) {
    return "shut_down";
  } catch (const rondo::queue_empty&) {
    return "empty";
  } catch (const rondo::queue_full&) {
    return "full";
  } catch (const rondo::would_block&) {
    return "would_block";
  } catch (const rondo::end_of_channel&) {
    return "end";
  } catch (const rondo::broken_channel_error&) {
    return "broken_channel";
  } catch (const rondo::closed_channel_error&) {
    return "closed_channel";
  } catch (const std::invalid_argument&) {
    return "invalid_argument";
  } catch (const std::logic_error&) {
    return "logic_error";
  } catch (const std::exception& e) {
    return e.what();
  }
}

/// Awaits what `start()` makes and records `<name>` when it has ended, or `<name>:<exception>`.
template <class Start>
rondo::coro<> attempt(record& out, std::string name, Start start) {
  std::string outcome = name;
  try {
    co_await start();
  } catch (...) {
    outcome = name + ":" + name_of_exception();
  }
  out(outcome);
}

/// The same as a task of a loop.
template <class Start>
rondo::task<> spawn(rondo::event_loop& loop, record& out, std::string name, Start start) {
  return loop.create_task(attempt(out, std::move(name), std::move(start)));
}

/// The exception of a call, in a word; "-" if there is none.
template <class F>
std::string failure_of(F f) {
  try {
    f();
  } catch (...) {
    return name_of_exception();
  }
  return "-";
}

}  // namespace rondo_test
