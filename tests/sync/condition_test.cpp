// SPDX-License-Identifier: MIT
// rondo tests: conditions.
#include <rondo/locks.hpp>

#include <rondo/rondo.hpp>

#include "support/catch.hpp"
#include "sync/sync_support.hpp"

#include <chrono>
#include <optional>
#include <string>
#include <utility>

namespace {

using namespace rondo_test;
using namespace std::chrono_literals;

struct condition_fixture {
  stepped_loop loop;
  record log;
  rondo::condition condition;

  // Waits once inside the lock; says whether it holds the lock in the end.
  rondo::coro<> wait_once(std::string name) {
    const auto guard = co_await condition.scoped();
    std::string outcome = name;
    try {
      co_await condition.wait();
    } catch (...) {
      outcome = name + ":" + name_of_exception();
    }
    log(outcome + (condition.locked() ? "" : ":unlocked"));
  }
  rondo::task<> wait(std::string name) { return loop.create_task(wait_once(std::move(name))); }
  // The lock, if it is free.
  bool lock() { return condition.acquire().await_ready(); }
};

TEST_CASE("a condition needs its lock [rule-137][rule-138]") {
  condition_fixture f;
  spawn(f.loop, f.log, "wait", [&] { return f.condition.wait(); });
  f.loop.step();
  CHECK(f.log.take() == "wait:logic_error");
  CHECK(failure_of([&] { f.condition.notify(); }) == "logic_error");
  CHECK(failure_of([&] { f.condition.notify_all(); }) == "logic_error");
  CHECK(failure_of([&] { f.condition.release(); }) == "logic_error");
  REQUIRE(f.lock());
  CHECK(f.condition.locked());
  f.condition.notify();
  f.condition.notify_all();
  f.condition.release();
}

TEST_CASE("waiting releases the lock and gets it back [rule-137]") {
  condition_fixture f;
  f.wait("a");
  f.loop.step();
  REQUIRE(f.lock());
  f.condition.notify();
  f.loop.settle();
  CHECK(f.log.take().empty());  // notify does not release
  f.condition.release();
  f.loop.step();
  CHECK(f.log.take() == "a");
  CHECK_FALSE(f.condition.locked());
}

TEST_CASE("notify wakes the first waiters, who run in order [rule-138]") {
  condition_fixture f;
  for (const char* name : {"a", "b", "c", "d", "e"}) f.wait(name);
  f.loop.step();
  REQUIRE(f.lock());
  f.condition.notify(2);
  f.condition.release();
  f.loop.settle();
  CHECK(f.log.take() == "a b");
  REQUIRE(f.lock());
  f.condition.notify(0);
  f.condition.release();
  f.loop.settle();
  CHECK(f.log.take().empty());
  REQUIRE(f.lock());
  f.condition.notify();
  f.condition.notify_all();
  f.condition.release();
  f.loop.settle();
  CHECK(f.log.take() == "c d e");
}

TEST_CASE("only live waiters count [rule-138]") {
  condition_fixture f;
  const auto a = f.wait("a");
  f.wait("b");
  f.wait("c");
  f.loop.step();
  a.cancel();
  REQUIRE(f.lock());
  f.condition.notify();
  f.condition.release();
  f.loop.settle();
  CHECK(f.log.take() == "a:cancelled b");
}

TEST_CASE("a cancelled wait gets the lock back first [rule-137][fault-H11]") {
  condition_fixture f;
  const auto a = f.wait("a");
  f.loop.step();
  REQUIRE(f.lock());
  a.cancel("one");
  f.loop.settle();
  CHECK(f.log.take().empty());
  // However often it is cancelled; the last one counts.
  a.cancel("two");
  f.loop.settle();
  a.cancel("three");
  f.loop.settle();
  CHECK(f.log.take().empty());
  CHECK(a.cancelling() == 3);
  f.condition.release();
  f.loop.settle();
  CHECK(f.log.take() == "a:cancelled(three)");
  CHECK_FALSE(f.condition.locked());
}

TEST_CASE("cancellation does not lose the place in the line for the lock [rule-137]") {
  condition_fixture f;
  const auto a = f.wait("a");
  f.loop.step();
  REQUIRE(f.lock());
  f.condition.notify();
  f.loop.step();
  spawn(f.loop, f.log, "b", [&] { return f.condition.acquire(); });
  f.loop.step();
  a.cancel();
  f.condition.release();
  f.loop.step();
  CHECK(f.log.take() == "a:cancelled");
  f.loop.settle();
  CHECK(f.log.take() == "b");
}

TEST_CASE("a cancelled waiter passes its notification on [rule-139][fault-H11]") {
  condition_fixture f;
  const auto a = f.wait("a");
  f.wait("b");
  f.loop.step();
  REQUIRE(f.lock());
  SECTION("notified, then cancelled in the same iteration") {
    f.condition.notify();
    a.cancel();
    f.condition.release();
    f.loop.settle();
    CHECK(f.log.take() == "a:cancelled b");
  }
  SECTION("cancelled while it waits for the lock") {
    f.condition.notify();
    f.loop.step();
    a.cancel();
    f.condition.release();
    f.loop.settle();
    CHECK(f.log.take() == "a:cancelled b");
  }
  SECTION("cancelled, then notified") {
    a.cancel();
    f.condition.notify();
    f.condition.release();
    f.loop.settle();
    CHECK(f.log.take() == "a:cancelled b");
  }
  SECTION("the request is withdrawn while it waits for the lock") {
    f.condition.notify();
    f.loop.step();
    a.cancel();
    a.uncancel();
    f.condition.release();
    f.loop.settle();
    CHECK(f.log.take() == "a");
  }
}

TEST_CASE("a timeout of a wait for a condition [rule-137][rule-139]") {
  condition_fixture f;
  const auto body = [&]() -> rondo::coro<> {
    const auto guard = co_await f.condition.scoped();
    try {
      co_await rondo::wait_for(f.condition.wait(), 1s);
      f.log("notified");
    } catch (const rondo::timeout_error&) {
      f.log(f.condition.locked() ? "timeout" : "timeout:unlocked");
    }
  };
  const auto task = f.loop.create_task(body());
  f.wait("b");
  f.loop.step();
  f.loop.advance(1s);
  f.loop.settle();
  CHECK(f.log.take() == "timeout");
  REQUIRE(f.lock());
  f.condition.notify();
  f.condition.release();
  f.loop.settle();
  CHECK(f.log.take() == "b");
  CHECK(task.done());
}

TEST_CASE("wait_for tests first and yields what the predicate returned [rule-140]") {
  condition_fixture f;
  int value = 0;
  int tested = 0;
  const auto body = [&]() -> rondo::coro<> {
    const auto guard = co_await f.condition.scoped();
    const std::optional<int> got = co_await f.condition.wait_for([&]() -> std::optional<int> {
      ++tested;
      return value > 1 ? std::optional<int>(value) : std::nullopt;
    });
    f.log(std::to_string(*got));
    const bool again = co_await f.condition.wait_for([] { return true; });
    f.log(again ? "true" : "false");
  };
  const auto task = f.loop.create_task(body());
  f.loop.step();
  CHECK(tested == 1);
  for (int i = 0; i < 3; ++i) {
    REQUIRE(f.lock());
    value = i;
    f.condition.notify();
    f.condition.release();
    f.loop.settle();
    CHECK(tested == i + 2);
  }
  CHECK(f.log.take() == "2 true");
  CHECK(task.done());
}

TEST_CASE("wait_for of a true predicate needs no lock [rule-140]") {
  condition_fixture f;
  const auto body = [&]() -> rondo::coro<> {
    co_await f.condition.wait_for([] { return true; });
    f.log("passed");
    co_await f.condition.wait_for([] { return false; });
  };
  spawn(f.loop, f.log, "end", [&] { return body(); });
  f.loop.settle();
  CHECK(f.log.take() == "passed end:logic_error");
}

TEST_CASE("conditions share a lock") {
  stepped_loop loop;
  record log;
  rondo::lock lock;
  rondo::condition not_empty(lock);
  rondo::condition not_full(lock);
  const auto body = [&](rondo::condition& mine, std::string name) -> rondo::coro<> {
    const auto guard = co_await lock.scoped();
    co_await mine.wait();
    log(name);
  };
  loop.create_task(body(not_empty, "empty"));
  loop.create_task(body(not_full, "full"));
  loop.step();
  REQUIRE(lock.acquire().await_ready());
  CHECK(not_full.locked());
  not_full.notify_all();
  lock.release();
  loop.settle();
  CHECK(log.take() == "full");
  REQUIRE(not_empty.acquire().await_ready());
  not_empty.notify();
  not_empty.release();
  loop.settle();
  CHECK(log.take() == "empty");
}

TEST_CASE("a condition that goes while a task waits for its lock again") {
  stepped_loop loop;
  record log;
  for (const bool cancel : {false, true}) {
    auto condition = std::make_unique<rondo::condition>();
    const auto body = [](rondo::condition& c) -> rondo::coro<> {
      co_await c.acquire();
      co_await c.wait();
    };
    const auto task = spawn(loop, log, "end", [&, c = condition.get()] { return body(*c); });
    loop.step();
    REQUIRE(condition->acquire().await_ready());
    condition->notify();
    loop.step();  // it waits for the lock now, and nothing interrupts that
    if (cancel) task.cancel();
    condition.reset();
    loop.settle();
    CHECK(log.take() == (cancel ? "end:cancelled" : "end:logic_error"));
  }
}

}  // namespace
