// SPDX-License-Identifier: MIT
// rondo tests: run_until_complete, runner and run (rules 16-19, 34, 35, 251, 261, 262; faults E2,
// E13, E18).
#include "support/catch.hpp"
#include "support/child.hpp"
#include "support/oracle.hpp"

#include <rondo/rondo.hpp>

#include <signal.h>

#include <chrono>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

using namespace std::chrono_literals;
using rondo_test::check_idle;
using rondo_test::log_capture;
using rondo_test::oracle;

namespace {

using events = std::vector<std::string>;

const rondo::context_var<int> number("number", 0);

rondo::coro<int> answer() { co_return 42; }
rondo::coro<> nothing() { co_return; }
rondo::coro<> forever() { co_await rondo::sleep(1h); }
rondo::coro<int> fail() {
  co_await rondo::yield_now();
  throw std::runtime_error("failed");
}
rondo::coro<> exit_with(int code) {
  co_await rondo::yield_now();
  throw rondo::system_exit(code);
}

struct fixture {
  oracle unchanged;
  std::unique_ptr<rondo::event_loop> loop = rondo::new_event_loop();
};

}  // namespace

TEST_CASE_METHOD(fixture, "run_until_complete gives the result or throws the exception",
                 "[rule-016]") {
  CHECK(loop->run_until_complete(answer()) == 42);
  loop->run_until_complete(nothing());
  CHECK_THROWS_WITH(loop->run_until_complete(fail()), "failed");
  const auto only = [](std::unique_ptr<int> p) -> rondo::coro<std::unique_ptr<int>> {
    co_return p;
  };
  CHECK(*loop->run_until_complete(only(std::make_unique<int>(7))) == 7);
  CHECK_FALSE(loop->is_running());
  check_idle(*loop);
}

TEST_CASE_METHOD(fixture, "run_until_complete takes futures and tasks as they are", "[rule-016]") {
  const auto future = loop->create_future<int>();
  loop->call_soon([&] { future.set_result(5); });
  CHECK(loop->run_until_complete(future) == 5);
  CHECK(loop->run_until_complete(future) == 5);  // done already: one iteration

  const rondo::task<int> task = loop->create_task(answer());
  std::size_t tasks = 0;
  task.add_done_callback([&] { tasks = rondo::all_tasks(*loop).size(); });
  loop->call_soon([&] { tasks = rondo::all_tasks(*loop).size(); });
  CHECK(loop->run_until_complete(task) == 42);
  CHECK(tasks == 0);  // no task around it

  rondo::future<int> other = loop->create_future<int>();
  other.set_exception(std::runtime_error("told"));
  CHECK_THROWS_WITH(loop->run_until_complete(other), "told");
  const auto cancelled = loop->create_future<int>();
  cancelled.cancel("why");
  CHECK_THROWS_AS(loop->run_until_complete(cancelled), rondo::cancelled_error);

  const rondo::any_future any = future;
  loop->run_until_complete(any);
  const rondo::any_task any_task = loop->create_task(fail());
  CHECK_THROWS_WITH(loop->run_until_complete(any_task), "failed");
  CHECK_THROWS_AS(loop->run_until_complete(rondo::future<int>()), std::logic_error);
  loop->run_until_complete(rondo::yield_now());  // any awaitable
}

TEST_CASE_METHOD(fixture, "a completion stops the loop by a done callback", "[rule-016]") {
  events seen;
  const auto log = [&seen](std::string what) { return [&seen, what] { seen.push_back(what); }; };
  const auto future = loop->create_future<void>();
  future.add_done_callback(log("callback before"));
  loop->call_soon([&] {
    seen.push_back("completes");
    future.set_result();
    loop->call_soon([&] {
      seen.push_back("same batch as the stop");
      loop->call_soon(log("after the run"));
    });
  });
  loop->run_until_complete(future);
  CHECK(seen == events{"completes", "callback before", "same batch as the stop"});
  loop->run_once();
  CHECK(seen.back() == "after the run");
}

TEST_CASE_METHOD(fixture, "stopping before it is done throws, and it can be run again",
                 "[rule-017]") {
  const auto future = loop->create_future<int>();
  loop->call_soon([&] { loop->stop(); });
  CHECK_THROWS_AS(loop->run_until_complete(future), std::logic_error);
  CHECK_FALSE(future.done());
  loop->call_soon([&] { loop->stop(); });
  CHECK(rondo_test::message_of([&] { loop->run_until_complete(future); }) ==
        "Event loop stopped before Future completed.");
  loop->call_soon([&] { future.set_result(3); });
  CHECK(loop->run_until_complete(future) == 3);

  const auto task = loop->create_task(answer());
  loop->stop();
  // One iteration is enough for the task, though not for the news of it.
  CHECK(loop->run_until_complete(task) == 42);
}

TEST_CASE_METHOD(fixture, "nested runs are refused and leave the running loop alone",
                 "[rule-018][fault-E2]") {
  const log_capture reports;
  events seen;
  const auto other = rondo::new_event_loop();
  loop->run_until_complete(
      [](fixture& self, rondo::event_loop& second, events& log) -> rondo::coro<> {
        rondo::event_loop& first = *self.loop;
        const std::vector<std::pair<std::string, std::function<void()>>> attempts = {
            {"run_forever", [&] { first.run_forever(); }},
            {"run_once", [&] { first.run_once(); }},
            {"run_until_complete", [&] { first.run_until_complete(answer()); }},
            {"future", [&] { first.run_until_complete(first.create_future<int>()); }},
            {"other run_forever", [&] { second.run_forever(); }},
            {"other run_once", [&] { second.run_once(); }},
            {"other run_until_complete", [&] { second.run_until_complete(answer()); }},
            {"run", [] { rondo::run(answer()); }},
            {"runner",
             [] {
               rondo::runner one;
               one.run(answer());
             }},
        };
        for (const auto& [name, attempt] : attempts) {
          try {
            attempt();
            log.push_back(name + " did not throw");
          } catch (const rondo::loop_running_error&) {
          }
          if (&rondo::get_running_loop() != &first || !first.is_running())
            log.push_back(name + " disturbed");
        }
        co_await rondo::yield_now();
        log.push_back("goes on");
      }(*this, *other, seen));
  CHECK(seen == events{"goes on"});
  // Each coroutine that was refused was never run, and says so.
  CHECK(reports.count("never awaited") == 4);
  CHECK(other->run_until_complete(answer()) == 42);
  check_idle(*loop);
}

TEST_CASE_METHOD(fixture, "a future of another loop is refused", "[rule-019]") {
  const auto other = rondo::new_event_loop();
  const auto future = other->create_future<int>();
  CHECK_THROWS_AS(loop->run_until_complete(future), std::invalid_argument);
  CHECK_THROWS_AS(loop->run_until_complete(rondo::any_future(future)), std::invalid_argument);
  const auto task = other->create_task(answer());
  CHECK_THROWS_AS(loop->run_until_complete(task), std::invalid_argument);
  CHECK(other->run_until_complete(task) == 42);
}

TEST_CASE("the task of run_until_complete is not reported when it is destroyed", "[rule-019]") {
  const log_capture reports;
  const oracle unchanged;
  {
    const auto loop = rondo::new_event_loop();
    loop->stop();
    CHECK_THROWS_AS(loop->run_until_complete(forever()), std::logic_error);
    CHECK(loop->metrics().tasks == 1);
  }
  CHECK(reports.problems().empty());
}

TEST_CASE_METHOD(fixture, "the exceptions that end a program leave the loop at once",
                 "[rule-034][fault-E18]") {
  events seen;
  const log_capture reports;
  loop->call_soon([&] { seen.push_back("before"); });
  loop->call_soon([] { throw rondo::keyboard_interrupt(); });
  loop->call_soon([&] { seen.push_back("rest of the batch"); });
  CHECK_THROWS_AS(loop->run_forever(), rondo::keyboard_interrupt);
  CHECK(seen == events{"before"});
  CHECK_FALSE(loop->is_running());
  loop->run_once();
  CHECK(seen == events{"before", "rest of the batch"});

  loop->call_later(-1s, [] { throw rondo::system_exit(3); });
  try {
    loop->run_forever();
    FAIL("nothing was thrown");
  } catch (const rondo::system_exit& exit) {
    CHECK(exit.code == 3);
  }
  loop->call_soon_threadsafe([] { throw rondo::keyboard_interrupt(); });
  CHECK_THROWS_AS(loop->run_once(), rondo::keyboard_interrupt);
  CHECK(reports.problems().empty());
  check_idle(*loop);
}

TEST_CASE_METHOD(fixture, "a task that raises one of them is done with it first",
                 "[rule-035][fault-E18]") {
  const log_capture reports;
  events seen;
  const auto task = loop->create_task(exit_with(4));
  task.add_done_callback([&] { seen.push_back("told"); });
  CHECK_THROWS_AS(loop->run_forever(), rondo::system_exit);
  CHECK(task.done());
  CHECK(seen.empty());
  loop->run_once();
  CHECK(seen == events{"told"});
  CHECK_THROWS_AS(task.result(), rondo::system_exit);
  CHECK(reports.problems().empty());
}

TEST_CASE_METHOD(fixture, "a run that an exception left does not end the next one",
                 "[rule-035][fault-E18]") {
  SECTION("the task itself raised it") {
    CHECK_THROWS_AS(loop->run_until_complete(exit_with(1)), rondo::system_exit);
  }
  SECTION("a callback raised it in the iteration in which the task was done") {
    const auto task = loop->create_task(nothing());
    loop->call_soon([] { throw rondo::keyboard_interrupt(); });
    CHECK_THROWS_AS(loop->run_until_complete(task), rondo::keyboard_interrupt);
    CHECK(task.done());
  }
  // Many iterations, in which an old stop() would be noticed.
  const auto count = [](int n) -> rondo::coro<int> {
    for (int i = 0; i < n; ++i) co_await rondo::yield_now();
    co_return n;
  };
  CHECK(loop->run_until_complete(count(500)) == 500);
  check_idle(*loop);
}

TEST_CASE_METHOD(fixture, "an interrupted run marks the exception of its own task only",
                 "[rule-035]") {
  const log_capture reports;
  CHECK_THROWS_AS(loop->run_until_complete(exit_with(1)), rondo::system_exit);
  CHECK(reports.problems().empty());
  {
    // A future of the user: he can still ask, and is told if he does not.
    const auto future = loop->create_future<int>();
    loop->call_soon([] { throw rondo::keyboard_interrupt(); });
    CHECK_THROWS_AS(loop->run_until_complete(future), rondo::keyboard_interrupt);
    future.set_exception(std::runtime_error("unread"));
  }
  CHECK(reports.count("never retrieved") == 1);
}

// ---- runner and run ----

TEST_CASE("run makes a loop, runs main and closes the loop", "[rule-261]") {
  const oracle unchanged;
  rondo::event_loop* inside = nullptr;
  const int result = rondo::run([&]() -> rondo::coro<int> {
    inside = &rondo::get_running_loop();
    co_await rondo::sleep(1ms);
    co_return 3;
  });
  CHECK(result == 3);
  CHECK(inside != nullptr);
  CHECK_THROWS_AS(rondo::get_running_loop(), std::logic_error);
  CHECK(rondo::run(answer()) == 42);
  rondo::run(nothing());
  CHECK_THROWS_WITH(rondo::run(fail()), "failed");
  const auto add = [](int a, std::unique_ptr<int> b) -> rondo::coro<int> { co_return a + *b; };
  CHECK(rondo::run(add, 1, std::make_unique<int>(2)) == 3);
}

TEST_CASE("run cancels what is left, waits for it, and reports its errors", "[rule-261]") {
  const oracle unchanged;
  const log_capture reports;
  events seen;
  const auto left = [](events& log, std::string name) -> rondo::coro<> {
    try {
      co_await rondo::sleep(1h);
    } catch (const rondo::cancelled_error&) {
      log.push_back(name + " cancelled");
    }
    co_await rondo::yield_now();
    co_await rondo::sleep(1ms);
    log.push_back(name + " cleaned up");
    if (name == "b") throw std::runtime_error("in the cleanup of b");
  };
  rondo::run([&]() -> rondo::coro<> {
    rondo::create_task(left(seen, "a"));
    rondo::create_task(left(seen, "b"));
    co_await rondo::yield_now();
    seen.push_back("main ends");
  });
  CHECK(seen == events{"main ends", "a cancelled", "b cancelled", "a cleaned up", "b cleaned up"});
  CHECK(reports.problems().size() == 1);
  CHECK(reports.count("run() shutdown") == 1);
  CHECK(reports.count("in the cleanup of b") == 1);
}

TEST_CASE("run cleans up when main throws, too", "[rule-261]") {
  const oracle unchanged;
  bool cleaned = false;
  const auto left = [](bool& flag) -> rondo::coro<> {
    try {
      co_await rondo::sleep(1h);
    } catch (const rondo::cancelled_error&) {
      flag = true;
      throw;
    }
  };
  const auto main = [&](bool program_ends) -> rondo::coro<> {
    rondo::create_task(left(cleaned));
    co_await rondo::yield_now();
    if (program_ends) throw rondo::system_exit(9);
    throw std::runtime_error("main failed");
  };
  CHECK_THROWS_WITH(rondo::run(main(false)), "main failed");
  CHECK(cleaned);
  cleaned = false;
  CHECK_THROWS_AS(rondo::run(main(true)), rondo::system_exit);
  CHECK(cleaned);
}

TEST_CASE("run's options", "[rule-261][rule-039]") {
  const oracle unchanged;
  const auto debug = []() -> rondo::coro<bool> { co_return rondo::get_running_loop().get_debug(); };
  CHECK(rondo::run(debug(), {.debug = true}));
  CHECK_FALSE(rondo::run(debug(), {.debug = false}));
  {
    const rondo_test::environment variable("RONDO_DEBUG", "1");
    CHECK(rondo::run(debug()));
    CHECK_FALSE(rondo::run(debug(), {.debug = false}));
  }
  {
    const rondo_test::environment variable("RONDO_DEBUG", "");
    CHECK_FALSE(rondo::run(debug()));
  }
  static int made = 0;
  made = 0;
  const rondo_test::environment bad("RONDO_LOOP", "nonsense");  // the factory wins
  const auto factory = []() -> std::unique_ptr<rondo::event_loop> {
    ++made;
    return std::make_unique<rondo::selector_event_loop>();
  };
  CHECK(rondo::run(answer(), {.loop_factory = factory}) == 42);
  CHECK(made == 1);
  CHECK_THROWS_AS(rondo::run(answer()), std::invalid_argument);
  CHECK_THROWS_AS(rondo::run(answer(), {.loop_factory = []() -> std::unique_ptr<rondo::event_loop> {
                               return nullptr;
                             }}),
                  std::logic_error);
}

TEST_CASE("a runner keeps its loop and its context", "[rule-262]") {
  const oracle unchanged;
  rondo::runner runner;
  rondo::event_loop& loop = runner.get_loop();
  CHECK(&loop == &runner.get_loop());
  runner.run([]() -> rondo::coro<> {
    static_cast<void>(number.set(5));
    co_return;
  }());
  const auto get = []() -> rondo::coro<int> { co_return number.get(); };
  CHECK(runner.run(get()) == 5);
  CHECK(number.get() == 0);
  const rondo::context own;
  CHECK(runner.run(get(), &own) == 0);
  CHECK_THROWS_WITH(runner.run(fail()), "failed");
  CHECK(runner.run(answer()) == 42);
  CHECK_FALSE(loop.is_closed());
  // A task of one run goes on in the next.
  rondo::task<int> task;
  const auto start = [&]() -> rondo::coro<> {
    task = rondo::create_task(answer());
    co_return;
  };
  runner.run(start());
  const auto wait = [&]() -> rondo::coro<int> { co_return co_await task; };
  CHECK(runner.run(wait()) == 42);

  task = {};
  runner.close();
  runner.close();
  CHECK_THROWS_AS(runner.run(answer()), std::logic_error);
  CHECK_THROWS_AS(runner.get_loop(), std::logic_error);
}

TEST_CASE("a runner on a loop of one's own", "[rule-262]") {
  const oracle unchanged;
  auto made = rondo::new_event_loop();
  rondo::event_loop* const address = made.get();
  {
    rondo::runner runner(std::move(made), {.debug = true});
    CHECK(&runner.get_loop() == address);
    CHECK(runner.get_loop().get_debug());
    CHECK(runner.run(answer()) == 42);
  }
  CHECK_THROWS_AS(rondo::runner(std::unique_ptr<rondo::event_loop>()), std::invalid_argument);
  // Never used, and closed without a loop.
  rondo::runner idle;
  idle.close();
  // Its loop was closed behind its back.
  rondo::runner closed;
  closed.get_loop().close();
  CHECK_THROWS_AS(closed.run(nothing()), rondo::loop_closed_error);
  closed.close();
}

TEST_CASE("a runner is not closed from inside its loop", "[rule-262]") {
  const oracle unchanged;
  rondo::runner runner;
  bool refused = false;
  runner.run([](rondo::runner& mine, bool& flag) -> rondo::coro<> {
    try {
      mine.close();
    } catch (const rondo::loop_running_error&) {
      flag = true;
    }
    co_await rondo::yield_now();
  }(runner, refused));
  CHECK(refused);
  CHECK(runner.run(answer()) == 42);
}

// ---- Ctrl-C ----

namespace {

/// As in a program: the test framework has a handler of its own.
struct default_interrupt {
  default_interrupt() {
    struct ::sigaction normal = {};
    normal.sa_handler = SIG_DFL;
    REQUIRE(::sigaction(SIGINT, &normal, &before) == 0);
  }
  default_interrupt(const default_interrupt&) = delete;
  default_interrupt& operator=(const default_interrupt&) = delete;
  ~default_interrupt() { ::sigaction(SIGINT, &before, nullptr); }
  struct ::sigaction before = {};
};

rondo::coro<> interrupted_main(events& log, int signals, bool swallow) {
  for (int i = 0; i < signals; ++i) ::raise(SIGINT);
  try {
    co_await rondo::sleep(1h);
  } catch (const rondo::cancelled_error&) {
    log.push_back("cancelled");
    if (!swallow) throw;
  }
  log.push_back("swallowed");
}

}  // namespace

TEST_CASE("the first Ctrl-C cancels main and becomes keyboard_interrupt", "[rule-251][fault-E13]") {
  const oracle unchanged;
  const default_interrupt normal;
  events seen;
  CHECK_THROWS_AS(rondo::run(interrupted_main(seen, 1, false)), rondo::keyboard_interrupt);
  CHECK(seen == events{"cancelled"});
  struct ::sigaction now = {};
  REQUIRE(::sigaction(SIGINT, nullptr, &now) == 0);
  CHECK(now.sa_handler == SIG_DFL);  // restored
}

TEST_CASE("main may swallow the Ctrl-C and return normally", "[rule-251][fault-E13]") {
  const oracle unchanged;
  const default_interrupt normal;
  events seen;
  rondo::run(interrupted_main(seen, 1, true));
  CHECK(seen == events{"cancelled", "swallowed"});
}

TEST_CASE("the second Ctrl-C leaves at once, also if both come together", "[rule-251][fault-E13]") {
  const oracle unchanged;
  const default_interrupt normal;
  events seen;
  CHECK_THROWS_AS(rondo::run(interrupted_main(seen, 2, true)), rondo::keyboard_interrupt);
  // run() itself cancels what is left afterwards.
  CHECK(seen == events{"cancelled", "swallowed"});
  seen.clear();
  CHECK_THROWS_AS(rondo::run([](events& log) -> rondo::coro<> {
                    ::raise(SIGINT);
                    try {
                      co_await rondo::sleep(1h);
                    } catch (const rondo::cancelled_error&) {
                      log.push_back("cleanup");
                    }
                    ::raise(SIGINT);
                    co_await rondo::sleep(1h);
                    log.push_back("never");
                  }(seen)),
                  rondo::keyboard_interrupt);
  CHECK(seen == events{"cleanup"});
}

TEST_CASE("a cancellation by somebody else is no keyboard_interrupt", "[rule-251]") {
  const oracle unchanged;
  const default_interrupt normal;
  SECTION("without a signal") {
    CHECK_THROWS_AS(rondo::run([]() -> rondo::coro<> {
                      rondo::current_task().cancel();
                      co_await rondo::sleep(1h);
                    }()),
                    rondo::cancelled_error);
  }
  SECTION("with one: the request that is left counts") {
    CHECK_THROWS_AS(rondo::run([]() -> rondo::coro<> {
                      ::raise(SIGINT);
                      const rondo::any_task main = rondo::current_task();
                      rondo::get_running_loop().call_later(1ms, [main] { main.cancel(); });
                      try {
                        co_await rondo::sleep(1h);
                      } catch (const rondo::cancelled_error&) {
                      }
                      co_await rondo::sleep(1h);
                    }()),
                    rondo::cancelled_error);
  }
}

TEST_CASE("an exception of main wins over the Ctrl-C", "[rule-251]") {
  const oracle unchanged;
  const default_interrupt normal;
  CHECK_THROWS_WITH(rondo::run([]() -> rondo::coro<> {
                      ::raise(SIGINT);
                      try {
                        co_await rondo::sleep(1h);
                      } catch (const rondo::cancelled_error&) {
                        throw std::runtime_error("instead");
                      }
                    }()),
                    "instead");
}

TEST_CASE("a program's own SIGINT handler stays", "[rule-251]") {
  const oracle unchanged;
  const default_interrupt normal;
  static volatile sig_atomic_t hits = 0;
  hits = 0;
  struct ::sigaction own = {};
  own.sa_handler = [](int) { hits = hits + 1; };
  struct ::sigaction before = {};
  REQUIRE(::sigaction(SIGINT, &own, &before) == 0);
  rondo::run([]() -> rondo::coro<> {
    ::raise(SIGINT);
    co_await rondo::sleep(1ms);
  });
  CHECK(hits == 1);
  REQUIRE(::sigaction(SIGINT, &before, nullptr) == 0);
}

TEST_CASE("a handler that main puts in the runner's place outlives the run", "[rule-251]") {
  const oracle unchanged;
  const default_interrupt normal;
  rondo::runner runner;
  int hits = 0;
  runner.run([](int& count) -> rondo::coro<> {
    rondo::get_running_loop().add_signal_handler(SIGINT, [&count] { ++count; });
    co_return;
  }(hits));
  runner.run([](int& count) -> rondo::coro<> {
    ::raise(SIGINT);
    while (count == 0) co_await rondo::yield_now();
  }(hits));
  CHECK(hits == 1);
}

TEST_CASE("Ctrl-C in a process of its own", "[rule-251][fault-E13]") {
  const default_interrupt normal;
  const auto result = rondo_test::run_in_child([] {
    try {
      rondo::run([]() -> rondo::coro<> {
        ::kill(::getpid(), SIGINT);
        co_await rondo::sleep(1h);
      });
    } catch (const rondo::keyboard_interrupt& interrupt) {
      return std::string(interrupt.what());
    }
    return std::string("nothing");
  });
  CHECK(result.exit_code == 0);
  CHECK(result.output != "nothing");
  CHECK_FALSE(result.output.empty());
}
