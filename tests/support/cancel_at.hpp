// SPDX-License-Identifier: MIT
// rondo tests: interrupts a scenario at each of its suspension points, in every way and order.
#pragma once

#include "support/catch.hpp"
#include "support/manual_loop.hpp"

#include <rondo/errors.hpp>
#include <rondo/event_loop.hpp>
#include <rondo/task.hpp>
#include <rondo/timeouts.hpp>

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace rondo_test {

/// What is interrupted. `body` is called anew for each run; it must be fit to be cancelled
/// anywhere.
struct scenario {
  std::string name;
  std::function<rondo::coro<>(manual_loop&)> body;
  /// Whether it may end without an error although it was cancelled.
  bool may_finish = false;
  /// Whether tasks that it leaves behind may be there still when it was destroyed or cancelled.
  bool leaves_tasks = false;
  /// Whether what it awaits may resume it after its loop is gone, so that something has to stay.
  bool outlives_loop = false;
};

namespace cancel_at_detail {

enum class action { cancel, time_out, leave_loop, destroy_loop };
/// Before what is ready in the iteration, after it but before due timers, or after everything.
enum class order { before, between, after };

inline std::string name_of(action what) {
  switch (what) {
    case action::cancel:
      return "cancel";
    case action::time_out:
      return "time out";
    case action::leave_loop:
      return "leave the loop";
    case action::destroy_loop:
      return "destroy the loop";
  }
  return "";
}

inline bool idle(const manual_loop& loop) { return !loop.has_work() && loop.core().timers.empty(); }

/// One iteration; the clock jumps if it would do nothing.
inline void step(manual_loop& loop) {
  if (!loop.has_work() && !loop.core().timers.empty()) {
    const rondo::time_point next{rondo::clock::duration(loop.core().timers.earliest())};
    if (next > loop.time()) loop.advance(next - loop.time());
  }
  loop.run_once();
}

struct run {
  explicit run(const scenario& what) : loop(std::make_unique<manual_loop>()) {
    // The scenario runs under a timeout that never fires by itself.
    auto timed = [this, &what](rondo::timeout& handle) -> rondo::coro<> {
      scope = handle;
      co_await what.body(*loop);
    };
    main = loop->create_task([timed = std::move(timed)]() -> rondo::coro<> {
      co_await rondo::with_timeout(std::nullopt, timed);
    });
  }

  std::unique_ptr<manual_loop> loop;
  std::optional<rondo::timeout> scope;
  rondo::task<> main;
};

inline std::size_t count_steps(const scenario& what) {
  run clean(what);
  std::size_t steps = 0;
  while (!clean.main.done()) {
    REQUIRE(!idle(*clean.loop));
    REQUIRE(steps < 10'000);
    step(*clean.loop);
    ++steps;
  }
  CHECK(outcome_of(clean.main) == "none");
  while (!idle(*clean.loop)) step(*clean.loop);
  CHECK(clean.loop->reports.empty());
  return steps;
}

inline void interrupt(const scenario& what, std::size_t at, std::size_t of, action how,
                      order when) {
  CAPTURE(what.name, at, name_of(how), static_cast<int>(when));
  const std::ptrdiff_t frames = rondo::detail::live_frames();
  const std::ptrdiff_t blocks = rondo::detail::live_blocks();
  {
    run running(what);
    manual_loop& loop = *running.loop;
    for (std::size_t i = 0; i < at; ++i) step(loop);
    REQUIRE(!running.main.done());

    bool done_before = false;
    const auto act = [&] {
      done_before = running.main.done();
      switch (how) {
        case action::cancel:
          CHECK(running.main.cancel() == !done_before);
          break;
        case action::time_out:
          if (!done_before && running.scope) running.scope->reschedule(loop.time());
          break;
        case action::leave_loop:
          throw rondo::system_exit(4);
        case action::destroy_loop:
          break;
      }
    };
    const bool entered = running.scope.has_value();
    if (how == action::destroy_loop) {
      // Only the loop's own handles are left, and the test's of the main task.
      loop.set_exception_handler([](rondo::event_loop&, const rondo::exception_context& report) {
        const bool expected =
            report.message.find("destroyed but it is pending") != std::string::npos ||
            report.message.find("never retrieved") != std::string::npos;
        CHECK(expected);
      });
      if (when == order::between) loop.close();
      if (when == order::after) loop.call_soon([] {});
      running.loop.reset();
      CHECK(!running.main.done());
    } else {
      switch (when) {
        case order::before:
          if (how != action::leave_loop) {
            act();
          } else {
            loop.call_soon(act);
          }
          break;
        case order::between:
          loop.call_soon(act);
          break;
        case order::after:
          if (!loop.core().timers.empty()) {
            loop.call_at(rondo::time_point(rondo::clock::duration(loop.core().timers.earliest())),
                         act);
          } else {
            loop.call_soon(act);
          }
          break;
      }
      std::size_t steps = 0;
      while (!idle(loop)) {
        REQUIRE(++steps < 10'000);
        try {
          step(loop);
        } catch (const rondo::system_exit&) {
          CHECK(how == action::leave_loop);
        }
      }
      REQUIRE(running.main.done());
      const std::string outcome = outcome_of(running.main);
      switch (how) {
        case action::cancel:
          if (!what.may_finish && !done_before) CHECK(outcome == "cancelled");
          CHECK((outcome == "cancelled" || outcome == "none"));
          CHECK(running.main.cancelling() == (done_before ? 0U : 1U));
          break;
        case action::time_out:
          CHECK((outcome == "timeout" || outcome == "none"));
          // In the last two steps the scenario may be through before the deadline's turn comes.
          if (!what.may_finish && entered && when == order::before && at + 2 < of)
            CHECK(outcome == "timeout");
          CHECK(running.main.cancelling() == 0);
          break;
        case action::leave_loop:
        case action::destroy_loop:
          CHECK(outcome == "none");
          break;
      }
      CHECK(loop.metrics().handles == 0);
      CHECK(loop.metrics().operations == 0);
      if (!what.leaves_tasks) CHECK(loop.metrics().tasks == 0);
      CHECK(loop.reports.empty());
    }
  }
  CHECK(rondo::detail::live_frames() == frames);
  CHECK(rondo::detail::live_blocks() == blocks);
}

}  // namespace cancel_at_detail

/// Runs the scenario once clean, then interrupts it at each iteration: cancelled, timed out, the
/// loop left by an exception, the loop destroyed; before, between and after what happens in that
/// iteration.
inline void interrupt_everywhere(const scenario& what) {
  using namespace cancel_at_detail;
  const std::size_t steps = count_steps(what);
  CAPTURE(what.name, steps);
  for (std::size_t at = 0; at < steps; ++at) {
    for (const action how :
         {action::cancel, action::time_out, action::leave_loop, action::destroy_loop}) {
      if (how == action::destroy_loop && what.outlives_loop) continue;
      for (const order when : {order::before, order::between, order::after}) {
        interrupt(what, at, steps, how, when);
      }
    }
  }
}

}  // namespace rondo_test
