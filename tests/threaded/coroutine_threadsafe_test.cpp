// SPDX-License-Identifier: MIT
// rondo tests: coroutines that other threads start and wait for (rules 26, 27, 62; fault E5).
#include "support/catch.hpp"
#include "support/oracle.hpp"

#include <rondo/rondo.hpp>

#include <atomic>
#include <chrono>
#include <exception>
#include <functional>
#include <latch>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

using namespace std::chrono_literals;
using rondo::concurrent_future;
using rondo::run_coroutine_threadsafe;
using rondo_test::message_of;
using rondo_test::oracle;

namespace {

/// A loop that runs in a thread of its own while this lives.
class loop_thread {
 public:
  loop_thread() {
    loop->set_exception_handler([this](rondo::event_loop&, const rondo::exception_context& report) {
      const std::lock_guard guard(lock_);
      reports_.push_back(report.message);
    });
    thread_ = std::thread([this] { loop->run_forever(); });
  }
  loop_thread(const loop_thread&) = delete;
  loop_thread& operator=(const loop_thread&) = delete;
  ~loop_thread() { stop(); }

  void stop() {
    if (!thread_.joinable()) return;
    loop->call_soon_threadsafe([this] { loop->stop(); });
    thread_.join();
  }
  /// Calls it in the loop and waits for that.
  void in_loop(const std::function<void()>& f) {
    std::latch done(1);
    loop->call_soon_threadsafe([&] {
      f();
      done.count_down();
    });
    done.wait();
  }
  /// Lets the loop run so many iterations.
  void turn(int iterations) {
    for (int i = 0; i < iterations; ++i) in_loop([] {});
  }
  std::vector<std::string> reports() {
    const std::lock_guard guard(lock_);
    return reports_;
  }

  std::unique_ptr<rondo::event_loop> loop = rondo::new_event_loop();

 private:
  std::mutex lock_;
  std::vector<std::string> reports_;
  std::thread thread_;
};

template <class T>
rondo::coro<T> give(T value) {
  co_await rondo::yield_now();
  co_return value;
}
rondo::coro<> nothing() { co_await rondo::yield_now(); }
rondo::coro<int> fail(std::string text) {
  co_await rondo::yield_now();
  throw std::runtime_error(text);
}
rondo::coro<std::unique_ptr<int>> make_unique_number(int n) { co_return std::make_unique<int>(n); }
rondo::coro<int> wait_for_event(rondo::event& event, int result) {
  co_await event.wait();
  co_return result;
}

/// Says when it has begun and how it ended; cancelled, it takes a while to clean up.
rondo::coro<> slow_to_cancel(std::latch& begun, std::atomic<int>& state) {
  begun.count_down();
  state = 1;
  try {
    co_await rondo::sleep(1h);
  } catch (const rondo::cancelled_error&) {
    state = 2;
  }
  if (state == 2) {
    for (int i = 0; i < 5; ++i) co_await rondo::yield_now();
    state = 3;
    throw rondo::cancelled_error();
  }
}

}  // namespace

TEST_CASE("a coroutine runs in the loop, its result comes back", "[rule-027]") {
  const oracle unchanged(oracle::scope::coroutines);
  loop_thread there;
  const auto text = run_coroutine_threadsafe(give(std::string("from the loop")), *there.loop);
  CHECK(text.get() == "from the loop");
  CHECK(text.get() == "from the loop");  // a result that can be copied is kept
  CHECK(text.done());
  CHECK_FALSE(text.cancelled());
  CHECK_FALSE(text.cancel());
  run_coroutine_threadsafe(nothing(), *there.loop).get();
  const auto failing = run_coroutine_threadsafe(fail("bad"), *there.loop);
  CHECK(message_of([&] { failing.get(); }) == "bad");
  CHECK(message_of([&] { failing.get(1h); }) == "bad");
  const auto only = run_coroutine_threadsafe(make_unique_number(7), *there.loop);
  CHECK(*only.get() == 7);
  CHECK_THROWS_AS(only.get(), rondo::invalid_state_error);
  CHECK_FALSE(concurrent_future<int>());
  CHECK_THROWS_AS(concurrent_future<int>().done(), std::logic_error);
  there.stop();
  CHECK(there.reports().empty());
}

TEST_CASE("the wait for a result has a limit, and the coroutine runs on", "[rule-027]") {
  const oracle unchanged(oracle::scope::coroutines);
  loop_thread there;
  rondo::event event;
  const auto number = run_coroutine_threadsafe(wait_for_event(event, 5), *there.loop);
  CHECK_THROWS_AS(number.get(0s), rondo::timeout_error);
  CHECK_THROWS_AS(number.get(1ms), rondo::timeout_error);
  CHECK_FALSE(number.done());
  there.loop->call_soon_threadsafe([&] { event.set(); });
  CHECK(number.get() == 5);
}

TEST_CASE("cancelled from afar, it is cancelled at once, and the task later", "[rule-027]") {
  const oracle unchanged(oracle::scope::coroutines);
  loop_thread there;
  std::latch begun(1);
  std::atomic<int> state = 0;
  const auto result = run_coroutine_threadsafe(slow_to_cancel(begun, state), *there.loop);
  begun.wait();
  std::latch held(1);
  there.loop->call_soon_threadsafe([&] { held.wait(); });
  CHECK(result.cancel());
  CHECK(result.cancelled());
  CHECK(result.done());
  CHECK_THROWS_AS(result.get(), rondo::cancelled_error);
  CHECK(state == 1);  // the task has not heard of it
  CHECK_FALSE(result.cancel());
  held.count_down();
  while (state != 3) there.turn(1);
  there.turn(2);
  there.in_loop([&] { CHECK(rondo::all_tasks().empty()); });
  there.stop();
  CHECK(there.reports().empty());
}

TEST_CASE("cancelled before the loop's turn, its body never runs", "[rule-027]") {
  const oracle unchanged(oracle::scope::coroutines);
  const rondo_test::log_capture log;
  loop_thread there;
  std::latch held(1);
  std::latch begun(1);
  std::atomic<int> state = 0;
  there.loop->call_soon_threadsafe([&] { held.wait(); });
  const auto result = run_coroutine_threadsafe(slow_to_cancel(begun, state), *there.loop);
  CHECK(result.cancel());
  held.count_down();
  there.turn(2);
  CHECK(state == 0);
  there.stop();
  CHECK(log.problems().empty());
}

TEST_CASE("a task that is cancelled in its loop cancels the result", "[rule-027]") {
  const oracle unchanged(oracle::scope::coroutines);
  loop_thread there;
  std::latch begun(1);
  std::atomic<int> state = 0;
  const auto result = run_coroutine_threadsafe(slow_to_cancel(begun, state), *there.loop);
  begun.wait();
  there.loop->call_soon_threadsafe([] { rondo::all_tasks().front().cancel(); });
  CHECK_THROWS_AS(result.get(), rondo::cancelled_error);
  CHECK(state == 3);
  CHECK(result.cancelled());
}

TEST_CASE("an error after the cancellation is reported in the loop", "[rule-027]") {
  const oracle unchanged(oracle::scope::coroutines);
  loop_thread there;
  std::latch begun(1);
  const auto failing = [](std::latch& at) -> rondo::coro<> {
    at.count_down();
    try {
      co_await rondo::sleep(1h);
    } catch (const rondo::cancelled_error&) {
    }
    throw std::runtime_error("late");
  };
  const auto result = run_coroutine_threadsafe(failing(begun), *there.loop);
  begun.wait();
  result.cancel();
  while (there.reports().empty()) there.turn(1);
  CHECK(there.reports() == std::vector<std::string>{"Task exception was never retrieved"});
}

TEST_CASE("what making the task throws comes to both sides", "[rule-027]") {
  const oracle unchanged(oracle::scope::coroutines);
  const rondo_test::log_capture quiet;  // the factory drops the coroutine
  loop_thread there;
  there.in_loop([&] {
    there.loop->set_task_factory(
        [](rondo::event_loop&, rondo::any_coro, const rondo::task_options&) -> rondo::any_task {
          throw std::runtime_error("no tasks today");
        });
  });
  const auto result = run_coroutine_threadsafe(nothing(), *there.loop);
  CHECK(message_of([&] { result.get(); }) == "no tasks today");
  there.stop();
  const auto reports = there.reports();
  REQUIRE(reports.size() == 1);
  CHECK(reports[0].find("Exception in callback") == 0);
}

TEST_CASE("an eager task may be done before its starter returns", "[rule-027][rule-081]") {
  const oracle unchanged(oracle::scope::coroutines);
  loop_thread there;
  there.in_loop([&] { there.loop->set_task_factory(&rondo::eager_task_factory); });
  const auto number = run_coroutine_threadsafe(make_unique_number(4), *there.loop);
  CHECK(*number.get() == 4);
}

TEST_CASE("a loop does not wait for itself", "[rule-027]") {
  const oracle unchanged(oracle::scope::coroutines);
  const auto loop = rondo::new_event_loop();
  const auto main = [&]() -> rondo::coro<> {
    const auto number = run_coroutine_threadsafe(give(3), *loop);
    CHECK(message_of([&] { number.get(); }).find("the loop would wait for itself") == 0);
    while (!number.done()) co_await rondo::yield_now();
    CHECK(number.get() == 3);
    const auto waiting = run_coroutine_threadsafe(rondo::sleep(1h), *loop);
    co_await rondo::yield_now();
    CHECK(waiting.cancel());
    co_await rondo::yield_now();
    co_await rondo::yield_now();
    CHECK(rondo::all_tasks().size() == 1);
  };
  loop->run_until_complete(main());
}

TEST_CASE("a closed loop runs no coroutine", "[rule-026]") {
  const oracle unchanged(oracle::scope::coroutines);
  const rondo_test::log_capture log;
  const auto loop = rondo::new_event_loop();
  const auto queued = run_coroutine_threadsafe(give(1), *loop);
  loop->close();
  CHECK(queued.cancelled());
  std::thread([&] {
    CHECK_THROWS_AS(run_coroutine_threadsafe(give(2), *loop), rondo::loop_closed_error);
  }).join();
  CHECK(log.problems().empty());
}

TEST_CASE("a loop that is closed cancels what has not ended, and gives what has", "[rule-027]") {
  const oracle unchanged(oracle::scope::coroutines);
  const rondo_test::log_capture quiet;  // the pending task
  auto loop = rondo::new_event_loop();
  const auto pending = run_coroutine_threadsafe(rondo::sleep(1h), *loop);
  const auto done = run_coroutine_threadsafe(make_unique_number(6), *loop);
  bool cancelled = false;
  std::thread waits([&] {
    try {
      pending.get();
    } catch (const rondo::cancelled_error&) {
      cancelled = true;
    }
  });
  loop->run_once();
  loop->run_once();  // the second task is done, and nobody told yet
  CHECK_FALSE(done.done());
  loop->close();
  waits.join();
  CHECK(cancelled);
  CHECK(*done.get() == 6);
  loop.reset();
}

// ---- wrap_future ----

TEST_CASE("a loop awaits what runs in another one", "[rule-062]") {
  const oracle unchanged(oracle::scope::coroutines);
  loop_thread there;
  const auto main = [&]() -> rondo::coro<> {
    const rondo::future<std::string> text =
        rondo::wrap_future(run_coroutine_threadsafe(give(std::string("text")), *there.loop));
    const std::string got = co_await text;
    CHECK(got == "text");
    co_await rondo::wrap_future(run_coroutine_threadsafe(nothing(), *there.loop));
    const auto only =
        co_await rondo::wrap_future(run_coroutine_threadsafe(make_unique_number(2), *there.loop));
    CHECK(*only == 2);
    std::string error;
    try {
      co_await rondo::wrap_future(run_coroutine_threadsafe(fail("bad"), *there.loop));
    } catch (const std::runtime_error& e) {
      error = e.what();
    }
    CHECK(error == "bad");
    // One that is done.
    const auto number = run_coroutine_threadsafe(give(8), *there.loop);
    while (!number.done()) co_await rondo::yield_now();
    const int eight = co_await rondo::wrap_future(number);
    CHECK(eight == 8);
  };
  rondo::run(main());
  CHECK_THROWS_AS(rondo::wrap_future(concurrent_future<int>()), std::logic_error);
}

TEST_CASE("a cancellation passes through wrap_future both ways", "[rule-062]") {
  const oracle unchanged(oracle::scope::coroutines);
  loop_thread there;
  const auto main = [&]() -> rondo::coro<> {
    std::latch begun(1);
    std::atomic<int> state = 0;
    const auto remote = run_coroutine_threadsafe(slow_to_cancel(begun, state), *there.loop);
    const auto wrapped = rondo::wrap_future(remote);
    begun.wait();
    wrapped.cancel();
    co_await rondo::yield_now();
    CHECK(remote.cancelled());
    while (state != 3) there.turn(1);
    std::latch again(1);
    const auto second = run_coroutine_threadsafe(slow_to_cancel(again, state), *there.loop);
    const auto other = rondo::wrap_future(second);
    again.wait();
    there.loop->call_soon_threadsafe([] { rondo::all_tasks().front().cancel(); });
    bool cancelled = false;
    try {
      co_await other;
    } catch (const rondo::cancelled_error&) {
      cancelled = true;
    }
    CHECK(cancelled);
    CHECK(other.cancelled());
    CHECK(rondo::current_task().cancelling() == 0);
  };
  rondo::run(main());
}

TEST_CASE("the loop that awaits may go before the one that works", "[rule-062]") {
  const oracle unchanged(oracle::scope::coroutines);
  loop_thread there;
  rondo::event event;
  concurrent_future<int> remote;
  {
    const auto here = rondo::new_event_loop();
    remote = run_coroutine_threadsafe(wait_for_event(event, 1), *there.loop);
    const auto begin = [&]() -> rondo::coro<rondo::future<int>> {
      co_return rondo::wrap_future(remote);
    };
    const rondo::future<int> wrapped = here->run_until_complete(begin());
    CHECK_FALSE(wrapped.done());
  }
  there.loop->call_soon_threadsafe([&] { event.set(); });
  CHECK(remote.get() == 1);
}

TEST_CASE("coroutines from 16 threads while the loop closes", "[rule-026][fault-E5]") {
  const oracle unchanged(oracle::scope::coroutines);
  const rondo_test::log_capture quiet;  // tasks that are pending when the loop goes
  constexpr int threads = 16;
  const int rounds = rondo_test::sanitized ? 20 : 60;
  constexpr int calls = 100;
  int ended = 0;
  for (int round = 0; round < rounds; ++round) {
    auto loop = rondo::new_event_loop();
    std::atomic<int> results = 0;
    std::atomic<int> cancelled = 0;
    std::atomic<int> refused = 0;
    std::latch start(threads + 1);
    std::vector<std::thread> callers;
    for (int who = 0; who < threads; ++who) {
      callers.emplace_back([&, who] {
        std::vector<concurrent_future<int>> mine;
        start.arrive_and_wait();
        for (int i = 0; i < calls; ++i) {
          try {
            mine.push_back(run_coroutine_threadsafe(give(who), *loop));
          } catch (const rondo::loop_closed_error&) {
            refused.fetch_add(1);
          }
          if (i % 7 == 3 && !mine.empty()) mine.back().cancel();
        }
        for (const auto& each : mine) {
          try {
            if (each.get() == who) results.fetch_add(1);
          } catch (const rondo::cancelled_error&) {
            cancelled.fetch_add(1);
          }
        }
      });
    }
    start.arrive_and_wait();
    for (int i = 0; i < round % 10 * 3; ++i) loop->run_once(1ms);
    loop->close();
    for (auto& each : callers) each.join();
    loop.reset();
    // None is lost and none waits for ever.
    CHECK(results + cancelled + refused == threads * calls);
    ended += results;
  }
  CHECK(ended > 0);
}
