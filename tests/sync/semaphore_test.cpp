// SPDX-License-Identifier: MIT
// rondo tests: semaphores and capacity limiters.
#include <rondo/locks.hpp>

#include <rondo/rondo.hpp>

#include "support/catch.hpp"
#include "sync/sync_support.hpp"

#include <chrono>
#include <string>
#include <utility>

namespace {

using namespace rondo_test;
using namespace std::chrono_literals;

struct semaphore_fixture {
  explicit semaphore_fixture(std::ptrdiff_t value) : semaphore(value) {}
  stepped_loop loop;
  record log;
  rondo::semaphore semaphore;

  rondo::task<> acquire(std::string name) {
    return spawn(loop, log, std::move(name), [this] { return semaphore.acquire(); });
  }
};

TEST_CASE("a semaphore serves in order, and a place is assigned at once [rule-141]") {
  semaphore_fixture f(1);
  f.acquire("a");
  f.acquire("b");
  f.acquire("c");
  f.loop.step();
  CHECK(f.log.take() == "a");
  CHECK(f.semaphore.locked());
  f.semaphore.release();
  // The place is b's, who did not run yet.
  CHECK(f.semaphore.locked());
  f.acquire("d");
  f.loop.step();
  CHECK(f.log.take() == "b");
  f.semaphore.release();
  f.semaphore.release();
  f.loop.step();
  CHECK(f.log.take() == "c d");
  f.semaphore.release();
  CHECK_FALSE(f.semaphore.locked());
}

TEST_CASE("it is locked while others wait, even if places are free [rule-141]") {
  semaphore_fixture f(0);
  f.acquire("a");
  f.loop.step();
  f.semaphore.release();
  f.semaphore.release();
  // One is a's; the other is free, but a comes first.
  CHECK(f.semaphore.locked());
  bool overtook = true;
  f.loop.call_soon([&] { overtook = f.semaphore.acquire().await_ready(); });
  f.loop.step();
  CHECK(f.log.take() == "a");
  CHECK(overtook);  // a ran first
  CHECK(f.semaphore.locked());

  semaphore_fixture g(0);
  g.acquire("a");
  g.loop.step();
  g.loop.call_soon([&] { g.acquire("b"); });
  g.semaphore.release();
  g.semaphore.release();
  CHECK_FALSE(g.semaphore.acquire().await_ready());
  g.loop.step(2);
  CHECK(g.log.take() == "a b");
}

TEST_CASE("who came while places were assigned is woken with them [rule-141]") {
  semaphore_fixture f(0);
  // b comes between the release and the turn of a, and there is a place for both.
  f.loop.call_soon([&] {
    f.semaphore.release();
    f.semaphore.release();
  });
  const auto b = [&]() -> rondo::coro<> {
    co_await rondo::yield_now();
    co_await f.semaphore.acquire();
    f.log("b");
  };
  f.acquire("a");
  f.loop.step();
  CHECK(f.log.take() == "a");  // there were places before it came
  f.semaphore.release();
  const auto late = f.loop.create_task(b());
  f.loop.step(3);
  CHECK(f.log.take() == "b");
  CHECK(late.done());
}

TEST_CASE("a waiter that is cancelled after its wake-up gives the place on [rule-142][fault-D5]") {
  semaphore_fixture f(0);
  const auto a = f.acquire("a");
  const auto b = f.acquire("b");
  f.loop.step();
  SECTION("released, then cancelled") {
    f.semaphore.release();
    a.cancel();
    f.loop.step();
    CHECK(f.log.take() == "a:cancelled");
    f.loop.step();
    CHECK(f.log.take() == "b");
  }
  SECTION("cancelled, then released") {
    a.cancel();
    f.semaphore.release();
    f.loop.step();
    CHECK(f.log.take() == "a:cancelled b");
  }
  SECTION("both cancelled") {
    f.semaphore.release();
    a.cancel();
    b.cancel();
    f.loop.step();
    CHECK(f.log.take() == "a:cancelled b:cancelled");
    CHECK_FALSE(f.semaphore.locked());
    CHECK(f.semaphore.acquire().await_ready());
  }
  SECTION("two places, the first is cancelled") {
    f.acquire("c");
    f.loop.step();
    f.semaphore.release();
    f.semaphore.release();
    a.cancel();
    f.loop.step();
    CHECK(f.log.take() == "a:cancelled b");
    f.loop.step();
    CHECK(f.log.take() == "c");
  }
}

TEST_CASE("a timeout and a release in the same iteration [rule-142]") {
  stepped_loop loop;
  record log;
  rondo::semaphore semaphore(0);
  spawn(loop, log, "a", [&] { return rondo::wait_for(semaphore.acquire(), 1s); });
  spawn(loop, log, "b", [&] { return semaphore.acquire(); });
  loop.step();
  SECTION("the release comes first") {
    semaphore.release();
    loop.advance(1s);
    loop.settle();
    CHECK(log.take() == "a");
  }
  SECTION("the timeout comes first") {
    loop.advance(1s);
    loop.call_soon([&] {});
    loop.step();
    semaphore.release();
    loop.settle();
    CHECK(log.take() == "a:timeout b");
  }
  loop.settle();
}

TEST_CASE("bounds of semaphores [rule-143][fault-H10]") {
  CHECK(failure_of([] { rondo::semaphore(-1); }) == "invalid_argument");
  CHECK(failure_of([] { rondo::bounded_semaphore(-1); }) == "invalid_argument");
  rondo::semaphore none(0);
  CHECK(none.locked());
  none.release();
  CHECK_FALSE(none.locked());
  rondo::bounded_semaphore bounded(1);
  CHECK(failure_of([&] { bounded.release(); }) == "invalid_argument");
  CHECK(bounded.acquire().await_ready());
  CHECK(bounded.locked());
  bounded.release();
  CHECK(failure_of([&] { bounded.release(); }) == "invalid_argument");
  CHECK(bounded.acquire().await_ready());
  CHECK_FALSE(bounded.acquire().await_ready());
  rondo::bounded_semaphore closed(0);
  CHECK(failure_of([&] { closed.release(); }) == "invalid_argument");
}

TEST_CASE("a scope of a semaphore holds one place") {
  stepped_loop loop;
  record log;
  rondo::bounded_semaphore semaphore(2);
  int inside = 0;
  int most = 0;
  const auto body = [&](int id) -> rondo::coro<> {
    const auto place = co_await semaphore.scoped();
    most = std::max(most, ++inside);
    co_await rondo::yield_now();
    --inside;
    log(std::to_string(id));
  };
  for (int i = 0; i < 6; ++i) loop.create_task(body(i));
  loop.settle();
  CHECK(most == 2);
  CHECK(log.take() == "0 1 2 3 4 5");
  CHECK_FALSE(semaphore.locked());
}

// ---- capacity_limiter --------------------------------------------------------------------------

struct limiter_fixture {
  explicit limiter_fixture(std::ptrdiff_t total) : limiter(total) {}
  stepped_loop loop;
  record log;
  rondo::capacity_limiter limiter;
  int borrowers[8] = {};

  rondo::task<> borrow(int which) {
    return spawn(loop, log, std::to_string(which),
                 [this, which] { return limiter.acquire_on_behalf_of(&borrowers[which]); });
  }
  void give_back(int which) { limiter.release_on_behalf_of(&borrowers[which]); }
};

TEST_CASE("a token is reserved for the woken waiter at once") {
  limiter_fixture f(1);
  f.borrow(0);
  f.borrow(1);
  f.borrow(2);
  f.loop.step();
  CHECK(f.log.take() == "0");
  CHECK(f.limiter.statistics().tasks_waiting == 2);
  f.give_back(0);
  CHECK(f.limiter.borrowed_tokens() == 1);
  CHECK(f.limiter.available_tokens() == 0);
  CHECK(failure_of([&] { f.limiter.acquire_on_behalf_of_nowait(&f.borrowers[3]); }) ==
        "would_block");
  f.loop.step();
  CHECK(f.log.take() == "1");
  f.give_back(1);
  f.loop.step();
  CHECK(f.log.take() == "2");
  f.give_back(2);
  CHECK(f.limiter.borrowed_tokens() == 0);
  CHECK(f.limiter.available_tokens() == 1);
}

TEST_CASE("a cancelled borrower leaves its token to the next [fault-D5]") {
  limiter_fixture f(1);
  f.borrow(0);
  const auto first = f.borrow(1);
  f.borrow(2);
  f.loop.step();
  CHECK(f.log.take() == "0");
  SECTION("before") {
    first.cancel();
    f.give_back(0);
    f.loop.step();
    CHECK(f.log.take() == "1:cancelled 2");
  }
  SECTION("after") {
    f.give_back(0);
    first.cancel();
    f.loop.step();
    CHECK(f.log.take() == "1:cancelled");
    f.loop.step();
    CHECK(f.log.take() == "2");
  }
  CHECK(f.limiter.borrowed_tokens() == 1);
}

TEST_CASE("tokens belong to their borrowers") {
  limiter_fixture f(2);
  f.limiter.acquire_on_behalf_of_nowait(&f.borrowers[0]);
  CHECK(failure_of([&] { f.limiter.acquire_on_behalf_of_nowait(&f.borrowers[0]); }) ==
        "logic_error");
  CHECK(failure_of([&] { f.give_back(1); }) == "logic_error");
  CHECK(failure_of([&] { f.limiter.acquire_nowait(); }) == "logic_error");  // no task runs
  CHECK(failure_of([&] { f.limiter.release(); }) == "logic_error");
  CHECK(failure_of([&] { static_cast<void>(f.limiter.acquire_on_behalf_of(nullptr)); }) ==
        "invalid_argument");
  CHECK(failure_of([] { rondo::capacity_limiter(-1); }) == "invalid_argument");
  f.borrow(0);
  f.loop.step();
  CHECK(f.log.take() == "0:logic_error");
  const auto body = [&]() -> rondo::coro<> {
    co_await f.limiter.acquire();
    CHECK(failure_of([&] { f.limiter.acquire_nowait(); }) == "logic_error");
    bool refused = false;
    try {
      co_await f.limiter.acquire();
    } catch (const std::logic_error&) {
      refused = true;
    }
    CHECK(refused);
    CHECK(f.limiter.available_tokens() == 0);
    f.limiter.release();
    f.limiter.acquire_nowait();
    f.limiter.release();
    {
      const auto token = co_await f.limiter.scoped();
      CHECK(f.limiter.borrowed_tokens() == 2);
    }
    CHECK(f.limiter.borrowed_tokens() == 1);
    f.log("done");
  };
  const auto task = f.loop.create_task(body());
  f.loop.step();
  CHECK(f.log.take() == "done");
}

TEST_CASE("a borrower that got a token meanwhile is refused the second") {
  limiter_fixture f(1);
  f.borrow(0);
  f.borrow(1);
  f.borrow(1);
  f.borrow(2);
  f.loop.step();
  f.limiter.set_total_tokens(2);
  f.loop.step();
  CHECK(f.log.take() == "0 1");
  f.give_back(0);
  f.loop.step();
  CHECK(f.log.take() == "1:logic_error 2");
  CHECK(f.limiter.borrowed_tokens() == 2);
}

TEST_CASE("the number of tokens changes") {
  limiter_fixture f(0);
  for (int i = 0; i < 4; ++i) f.borrow(i);
  f.loop.step();
  CHECK(f.log.take().empty());
  f.limiter.set_total_tokens(3);
  f.loop.step();
  CHECK(f.log.take() == "0 1 2");
  f.limiter.set_total_tokens(1);
  CHECK(f.limiter.available_tokens() == -2);
  f.give_back(0);
  f.give_back(1);
  f.loop.settle();
  CHECK(f.log.take().empty());
  f.give_back(2);
  f.loop.settle();
  CHECK(f.log.take() == "3");
  CHECK(failure_of([&] { f.limiter.set_total_tokens(-1); }) == "invalid_argument");
  CHECK(f.limiter.total_tokens() == 1);
}

}  // namespace
