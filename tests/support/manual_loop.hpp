// SPDX-License-Identifier: MIT
// rondo tests: a loop whose clock stands still until nothing is ready, and what tests ask of it.
#pragma once

#include "support/catch.hpp"

#include <rondo/detail/memory.hpp>
#include <rondo/event_loop.hpp>
#include <rondo/log.hpp>
#include <rondo/sleep.hpp>
#include <rondo/task.hpp>

#include <cstddef>
#include <exception>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "loop/loop_internals.hpp"

namespace rondo_test {

/// Collects what is logged while it lives.
class captured_log {
 public:
  captured_log() {
    rondo::set_log_handler(
        [](rondo::log_level level, std::string_view text, void* user) {
          if (level >= rondo::log_level::warning) {
            static_cast<captured_log*>(user)->lines.emplace_back(text);
          }
        },
        this);
  }
  captured_log(const captured_log&) = delete;
  captured_log& operator=(const captured_log&) = delete;
  ~captured_log() { rondo::set_log_handler(nullptr, nullptr); }

  [[nodiscard]] std::size_t count(std::string_view part) const {
    std::size_t found = 0;
    for (const std::string& line : lines) found += line.find(part) != std::string::npos ? 1 : 0;
    return found;
  }

  std::vector<std::string> lines;
};

/// Checks that every coroutine frame and every block that is made in its scope is gone at its end.
class balanced {
 public:
  balanced() : frames_(rondo::detail::live_frames()), blocks_(rondo::detail::live_blocks()) {}
  balanced(const balanced&) = delete;
  balanced& operator=(const balanced&) = delete;
  ~balanced() {
    CHECK(rondo::detail::live_frames() == frames_);
    CHECK(rondo::detail::live_blocks() == blocks_);
  }

 private:
  std::ptrdiff_t frames_;
  std::ptrdiff_t blocks_;
};

/// A loop on epoll with a clock of its own, which jumps to the next deadline when nothing is ready.
class manual_loop final : public rondo::selector_event_loop {
 public:
  struct report {
    std::string message;
    std::exception_ptr exception;
    bool has_task;
  };

  // The handler is called until the very end of the base class: it owns what it writes to.
  manual_loop() : reports_(std::make_shared<std::vector<report>>()), reports(*reports_) {
    set_exception_handler(
        [kept = reports_](rondo::event_loop&, const rondo::exception_context& context) {
          kept->push_back({context.message, context.exception, static_cast<bool>(context.task)});
        });
  }

  [[nodiscard]] rondo::time_point time() const noexcept override { return now_; }
  void advance(rondo::interval by) { now_ = rondo::detail::add_saturated(now_, by); }
  [[nodiscard]] rondo::interval elapsed() const { return now_ - rondo::time_point(start); }

  /// Whether there is something to run now, also from other threads.
  [[nodiscard]] bool has_work() const {
    return !core().ready.empty() || internals().from_threads->has_work();
  }

  /// Runs until the future is done. Throws if it never will be.
  void drive(const rondo::any_future& awaited) {
    while (!awaited.done()) {
      if (!has_work()) {
        if (core().timers.empty()) throw std::runtime_error("nothing can happen any more");
        const rondo::time_point next{rondo::clock::duration(core().timers.earliest())};
        if (next > now_) now_ = next;
      }
      run_once();
    }
  }

  /// Runs a coroutine to its end.
  template <class T>
  T run(rondo::coro<T> body) {
    const rondo::task<T> main = create_task(std::move(body));
    drive(main);
    return rondo::detail::take_result<T>(main);
  }

  /// Runs until nothing is ready.
  void settle() {
    while (has_work()) run_once();
  }

  [[nodiscard]] std::size_t reported(std::string_view part) const {
    std::size_t found = 0;
    for (const report& each : reports) {
      found += each.message.find(part) != std::string::npos ? 1 : 0;
    }
    return found;
  }

 private:
  std::shared_ptr<std::vector<report>> reports_;

 public:
  std::vector<report>& reports;

 private:
  static constexpr rondo::clock::duration start = std::chrono::hours(1);
  rondo::time_point now_{start};
};

/// The text of an exception, with a prefix that tells its kind.
inline std::string text_of(const std::exception_ptr& error) {
  if (!error) return "none";
  try {
    std::rethrow_exception(error);
  } catch (const rondo::cancelled_error& e) {
    return e.message().empty() ? "cancelled" : "cancelled: " + e.message();
  } catch (const rondo::timeout_error&) {
    return "timeout";
  } catch (const rondo::keyboard_interrupt&) {
    return "interrupt";
  } catch (const rondo::system_exit& e) {
    return "exit " + std::to_string(e.code);
  } catch (const rondo::invalid_state_error&) {
    return "invalid state";
  } catch (const std::exception& e) {
    return e.what();
  } catch (int e) {
    return "int " + std::to_string(e);
  } catch (...) {
    return "unknown";
  }
}

/// How a task ended.
inline std::string outcome_of(const rondo::any_future& done) {
  if (!done.done()) return "pending";
  if (done.cancelled()) return "cancelled";
  return text_of(done.exception());
}

}  // namespace rondo_test
