// SPDX-License-Identifier: MIT
// rondo tests: locks and events.
#include <rondo/locks.hpp>

#include <rondo/rondo.hpp>

#include "support/catch.hpp"
#include "sync/sync_support.hpp"

#include <chrono>
#include <coroutine>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace {

using namespace rondo_test;
using namespace std::chrono_literals;

static_assert(!std::is_copy_constructible_v<rondo::lock>);
static_assert(!std::is_move_constructible_v<rondo::lock>);
static_assert(std::is_convertible_v<rondo::detail::lock_awaiter, rondo::coro<>>);
static_assert(std::is_convertible_v<rondo::detail::event_awaiter, rondo::coro<>>);
static_assert(
    !std::is_convertible_v<rondo::detail::scope_awaiter<rondo::lock, rondo::detail::lock_awaiter>,
                           rondo::coro<>>);

struct lock_fixture {
  stepped_loop loop;
  record log;
  rondo::lock lock;

  rondo::task<> acquire(std::string name) {
    return spawn(loop, log, std::move(name), [this] { return lock.acquire(); });
  }
};

TEST_CASE("an uncontended operation does not suspend [rule-132]") {
  rondo::lock lock;
  rondo::event event;
  rondo::semaphore semaphore(2);
  rondo::capacity_limiter limiter(1);
  rondo::condition condition;
  rondo::barrier barrier(1);
  stepped_loop loop;
  const auto body = [&]() -> rondo::coro<> {
    co_await lock.acquire();
    lock.release();
    event.set();
    co_await event.wait();
    co_await semaphore.acquire();
    co_await semaphore.acquire();
    co_await limiter.acquire();
    limiter.release();
    co_await condition.acquire();
    condition.release();
    const std::size_t index = co_await barrier.wait();
    CHECK(index == 0);
  };
  const auto task = loop.create_task(body());
  loop.step();
  CHECK(task.done());
  CHECK_FALSE(lock.locked());
  CHECK(semaphore.locked());
}

TEST_CASE("a hand-off takes one iteration [rule-132]") {
  lock_fixture f;
  f.acquire("a");
  const auto b = f.acquire("b");
  f.loop.step();
  CHECK(f.log.take() == "a");
  f.lock.release();
  CHECK(f.log.take().empty());
  f.loop.step();
  CHECK(f.log.take() == "b");
  CHECK(b.done());
}

TEST_CASE("a released lock is free, but its first waiter's [rule-133]") {
  lock_fixture f;
  f.acquire("a");
  f.acquire("b");
  f.acquire("c");
  f.loop.step();
  CHECK(f.log.take() == "a");
  f.lock.release();
  CHECK_FALSE(f.lock.locked());
  const auto newcomer = f.acquire("d");  // runs after b, and queues behind c
  f.loop.step();
  CHECK(f.log.take() == "b");
  f.lock.release();
  f.loop.step();
  CHECK(f.log.take() == "c");
  f.lock.release();
  f.loop.step();
  CHECK(f.log.take() == "d");
}

TEST_CASE("who releases and acquires again queues behind those who wait [rule-133]") {
  stepped_loop loop;
  record log;
  rondo::lock lock;
  const auto greedy = [&]() -> rondo::coro<> {
    co_await lock.acquire();
    log("a1");
    co_await rondo::yield_now();
    lock.release();
    co_await lock.acquire();
    log("a2");
    lock.release();
  };
  const auto modest = [&]() -> rondo::coro<> {
    co_await lock.acquire();
    log("b");
    lock.release();
  };
  const auto a = loop.create_task(greedy());
  const auto b = loop.create_task(modest());
  loop.settle();
  CHECK(log.take() == "a1 b a2");
  CHECK(a.done());
  CHECK(b.done());
}

TEST_CASE("a newcomer passes waiters that are cancelled [rule-133]") {
  lock_fixture f;
  f.acquire("a");
  const auto b = f.acquire("b");
  f.loop.step();
  b.cancel();
  f.lock.release();
  CHECK(f.lock.acquire().await_ready());
  f.loop.step();
  CHECK(f.log.take() == "a b:cancelled");
  CHECK(f.lock.locked());
}

TEST_CASE("a newcomer does not pass a waiter behind one that is cancelled [rule-133]") {
  lock_fixture f;
  f.acquire("a");
  const auto b = f.acquire("b");
  f.acquire("c");
  f.loop.step();
  b.cancel();
  f.lock.release();
  CHECK_FALSE(f.lock.acquire().await_ready());
  f.loop.step(2);
  CHECK(f.log.take() == "a b:cancelled c");
}

TEST_CASE("a cancelled waiter passes its wake-up on [rule-134][fault-D5]") {
  lock_fixture f;
  f.acquire("a");
  const auto b = f.acquire("b");
  const auto c = f.acquire("c");
  f.loop.step();
  CHECK(f.log.take() == "a");

  SECTION("cancelled, then released") {
    CHECK(b.cancel());
    f.lock.release();
    f.loop.step();
    CHECK(f.log.take() == "b:cancelled");
    f.loop.step();
    CHECK(f.log.take() == "c");
  }
  SECTION("released, then cancelled in the same iteration") {
    f.lock.release();
    CHECK(b.cancel());
    f.loop.step();
    CHECK(f.log.take() == "b:cancelled");
    CHECK_FALSE(f.lock.locked());
    f.loop.step();
    CHECK(f.log.take() == "c");
  }
  SECTION("released, then all cancelled") {
    f.lock.release();
    b.cancel();
    c.cancel();
    f.loop.step();
    CHECK(f.log.take() == "b:cancelled c:cancelled");
    CHECK_FALSE(f.lock.locked());
    f.acquire("d");
    f.loop.step();
    CHECK(f.log.take() == "d");
  }
  SECTION("the request is withdrawn before it is delivered") {
    f.lock.release();
    b.cancel();
    CHECK(b.uncancel() == 0);
    f.loop.step();
    CHECK(f.log.take() == "b");
  }
}

TEST_CASE("who was the first to wait and is cancelled leaves the line [rule-134]") {
  lock_fixture f;
  f.acquire("a");
  const auto b = f.acquire("b");
  f.acquire("c");
  f.loop.step();
  b.cancel("enough");
  f.loop.step();
  CHECK(f.log.take() == "a b:cancelled(enough)");
  CHECK(f.lock.locked());
  f.lock.release();
  f.loop.step();
  CHECK(f.log.take() == "c");
}

TEST_CASE("any code may release, but only what is locked [rule-135][fault-H10]") {
  lock_fixture f;
  CHECK(failure_of([&] { f.lock.release(); }) == "logic_error");
  f.acquire("a");
  f.loop.step();
  f.lock.release();
  CHECK(failure_of([&] { f.lock.release(); }) == "logic_error");
  // Also while the one that was woken has not run.
  f.acquire("b");
  f.acquire("c");
  f.loop.step();
  f.lock.release();
  CHECK(failure_of([&] { f.lock.release(); }) == "logic_error");
  f.loop.step();
  CHECK(f.log.take() == "a b c");
}

TEST_CASE("a scope releases at its end, also by an exception") {
  stepped_loop loop;
  record log;
  rondo::lock lock;
  const auto body = [&](int how) -> rondo::coro<> {
    auto guard = co_await lock.scoped();
    log("in");
    if (how == 1) throw std::runtime_error("out");
    if (how == 2) guard.release();
    if (how == 3) co_await rondo::sleep(1h);
    if (how == 4) {
      auto moved = std::move(guard);
      CHECK_FALSE(static_cast<bool>(guard));
      CHECK(static_cast<bool>(moved));
    }
    log(lock.locked() ? "locked" : "free");
  };
  for (int how = 0; how < 5; ++how) {
    const auto task = spawn(loop, log, "end", [&] { return body(how); });
    loop.step();
    if (how == 3) task.cancel();
    loop.settle();
    CHECK_FALSE(lock.locked());
  }
  CHECK(log.take() == "in locked end in end:out in free end in end:cancelled in free end");
}

TEST_CASE("the end of a scope survives that somebody else released") {
  stepped_loop loop;
  rondo::lock lock;
  static std::string logged;
  logged.clear();
  rondo::set_log_handler([](rondo::log_level, std::string_view text, void*) { logged += text; });
  const auto body = [&]() -> rondo::coro<> {
    const auto guard = co_await lock.scoped();
    lock.release();
  };
  loop.create_task(body());
  loop.step();
  rondo::set_log_handler(nullptr);
  CHECK(logged == "the lock is not locked");
}

TEST_CASE("an awaiter is as good as a coro") {
  rondo::lock lock;
  rondo::event event;
  const auto body = [&]() -> rondo::coro<> {
    rondo::coro<> later = lock.acquire();
    CHECK_FALSE(lock.locked());
    co_await std::move(later);
    CHECK(lock.locked());
    const auto task = rondo::create_task(lock.acquire());
    co_await rondo::yield_now();
    CHECK_FALSE(task.done());
    lock.release();
    co_await task;
    CHECK(lock.locked());
    bool timed_out = false;
    try {
      co_await rondo::wait_for(lock.acquire(), 1ms);
    } catch (const rondo::timeout_error&) {
      timed_out = true;
    }
    CHECK(timed_out);
    lock.release();
    co_await rondo::wait_for(lock.acquire(), 10s);
    CHECK(lock.locked());
    lock.release();
    rondo::coro<rondo::scoped_guard<rondo::lock>> scope = lock.scoped();
    const auto guard = co_await std::move(scope);
    CHECK(lock.locked());
  };
  rondo::run(body());
  CHECK_FALSE(lock.locked());
}

// A coroutine type of another library: it knows nothing of tasks.
struct foreign {
  struct promise_type {
    foreign get_return_object() { return {}; }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() {}
    void unhandled_exception() { std::terminate(); }
  };
};

TEST_CASE("coroutines of other libraries can wait too") {
  stepped_loop loop;
  record log;
  rondo::lock lock;
  const auto body = [&]() -> foreign {
    co_await lock.acquire();
    log("foreign");
    lock.release();
  };
  loop.call_soon([&] { body(); });
  loop.settle();
  CHECK(log.take() == "foreign");
}

// ---- event -------------------------------------------------------------------------------------

TEST_CASE("set wakes those who wait, even if it is cleared at once [rule-136]") {
  stepped_loop loop;
  record log;
  rondo::event event;
  spawn(loop, log, "a", [&] { return event.wait(); });
  spawn(loop, log, "b", [&] { return event.wait(); });
  loop.step();
  CHECK(log.take().empty());
  event.set();
  event.clear();
  CHECK_FALSE(event.is_set());
  spawn(loop, log, "c", [&] { return event.wait(); });
  loop.step();
  CHECK(log.take() == "a b");
  loop.settle();
  CHECK(log.take().empty());
  event.set();
  event.set();
  CHECK(event.is_set());
  loop.step();
  CHECK(log.take() == "c");
}

TEST_CASE("a cancelled wait for an event [rule-136][fault-D5]") {
  stepped_loop loop;
  record log;
  rondo::event event;
  const auto a = spawn(loop, log, "a", [&] { return event.wait(); });
  spawn(loop, log, "b", [&] { return event.wait(); });
  loop.step();
  SECTION("before") {
    a.cancel();
    event.set();
  }
  SECTION("after, in the same iteration") {
    event.set();
    a.cancel();
  }
  loop.step();
  CHECK(log.take() == "a:cancelled b");
}

// ---- what all primitives share -----------------------------------------------------------------

TEST_CASE("a primitive belongs to the loop of its first wait [rule-147]") {
  rondo::lock lock;
  rondo::event event;
  rondo::semaphore semaphore(0);
  rondo::condition condition;
  rondo::barrier barrier(3);
  rondo::capacity_limiter limiter(0);
  rondo::queue<int> queue(1);
  rondo::memory_channel<int> channel(0);
  record log;
  const auto start_all = [&](rondo::event_loop& loop) {
    spawn(loop, log, "lock", [&] { return lock.acquire(); });
    spawn(loop, log, "event", [&] { return event.wait(); });
    spawn(loop, log, "semaphore", [&] { return semaphore.acquire(); });
    spawn(loop, log, "condition", [&]() -> rondo::coro<> {
      co_await condition.acquire();
      try {
        co_await condition.wait();
      } catch (...) {
        condition.release();
        throw;
      }
    });
    spawn(loop, log, "barrier", [&]() -> rondo::coro<> { co_await barrier.wait(); });
    spawn(loop, log, "limiter", [&] { return limiter.acquire(); });
    spawn(loop, log, "get", [&]() -> rondo::coro<> { co_await queue.get(); });
    spawn(loop, log, "join", [&] { return queue.join(); });
    spawn(loop, log, "receive", [&]() -> rondo::coro<> { co_await channel.receiver.receive(); });
  };
  {
    stepped_loop first;
    // What does not wait binds nothing.
    spawn(first, log, "free", [&]() -> rondo::coro<> {
      co_await lock.acquire();
      lock.release();
      co_await queue.put(1);
      co_await queue.get();
    });
    first.step();
    CHECK(log.take() == "free");
  }
  stepped_loop second;
  spawn(second, log, "hold", [&] { return lock.acquire(); });
  second.step();
  start_all(second);
  second.settle();
  CHECK(log.take() == "hold");
  queue.task_done();
  stepped_loop third;
  // Only if they have to wait: nothing else is refused.
  start_all(third);
  third.settle();
  CHECK(log.take() ==
        "lock:logic_error event:logic_error semaphore:logic_error condition:logic_error "
        "barrier:logic_error limiter:logic_error get:logic_error join receive:logic_error");
  spawn(third, log, "put", [&] { return queue.put(1); });
  third.settle();
  CHECK(log.take() == "put");
  second.settle();
  CHECK(log.take() == "join get");
  for (const auto& task : rondo::all_tasks(second)) task.cancel();
  second.settle();
  log.take();
}

TEST_CASE("destroying a primitive leaves those who wait, until they are cancelled") {
  stepped_loop loop;
  record log;
  const auto check = [&](auto primitive, auto wait) {
    const auto task = spawn(loop, log, "end", [&, p = primitive.get()] { return wait(*p); });
    loop.settle();
    CHECK(log.take().empty());
    primitive.reset();
    loop.settle();
    CHECK(log.take().empty());
    task.cancel();
    loop.settle();
    CHECK(log.take() == "end:cancelled");
  };
  auto locked = std::make_unique<rondo::lock>();
  CHECK(locked->acquire().await_ready());
  check(std::move(locked), [](rondo::lock& lock) { return lock.acquire(); });
  check(std::make_unique<rondo::event>(), [](rondo::event& event) { return event.wait(); });
  check(std::make_unique<rondo::semaphore>(0),
        [](rondo::semaphore& semaphore) { return semaphore.acquire(); });
  check(std::make_unique<rondo::capacity_limiter>(0),
        [](rondo::capacity_limiter& limiter) { return limiter.acquire(); });
  check(std::make_unique<rondo::barrier>(2),
        [](rondo::barrier& barrier) { return barrier.wait(); });
  check(std::make_unique<rondo::queue<int>>(),
        [](rondo::queue<int>& queue) { return queue.get(); });
  check(std::make_unique<rondo::condition>(), [](rondo::condition& condition) -> rondo::coro<> {
    co_await condition.acquire();
    co_await condition.wait();
  });
}

TEST_CASE("whoever was woken by a primitive that is gone gets std::logic_error") {
  stepped_loop loop;
  record log;
  const auto check = [&](auto primitive, auto wait, auto wake, bool cancel) {
    const auto task = spawn(loop, log, "end", [&, p = primitive.get()] { return wait(*p); });
    loop.settle();
    wake(*primitive);
    if (cancel) task.cancel();
    primitive.reset();
    loop.settle();
  };
  for (const bool cancel : {false, true}) {
    auto locked = std::make_unique<rondo::lock>();
    CHECK(locked->acquire().await_ready());
    check(
        std::move(locked), [](auto& lock) { return lock.acquire(); },
        [](auto& lock) { lock.release(); }, cancel);
    check(
        std::make_unique<rondo::semaphore>(0), [](auto& semaphore) { return semaphore.acquire(); },
        [](auto& semaphore) { semaphore.release(); }, cancel);
    check(
        std::make_unique<rondo::capacity_limiter>(0),
        [](auto& limiter) { return limiter.acquire(); },
        [](auto& limiter) { limiter.set_total_tokens(1); }, cancel);
    check(
        std::make_unique<rondo::queue<int>>(), [](auto& queue) { return queue.get(); },
        [](auto& queue) { queue.put_nowait(1); }, cancel);
    check(
        std::make_unique<rondo::condition>(),
        [](rondo::condition& condition) -> rondo::coro<> {
          co_await condition.acquire();
          co_await condition.wait();
        },
        [](rondo::condition& condition) {
          CHECK(condition.acquire().await_ready());
          condition.notify();
        },
        cancel);
    CHECK(log.take() ==
          (cancel ? "end:cancelled end:cancelled end:cancelled end:cancelled end:cancelled"
                  : "end:logic_error end:logic_error end:logic_error "
                    "end:logic_error end:logic_error"));
  }
  // An event that was set has said all that there is to say.
  check(
      std::make_unique<rondo::event>(), [](auto& event) { return event.wait(); },
      [](auto& event) { event.set(); }, false);
  CHECK(log.take() == "end");
}

TEST_CASE("a primitive outlives its loop and the tasks in it") {
  rondo::lock lock;
  rondo::queue<int> queue(1);
  rondo::semaphore semaphore(0);
  record log;
  rondo::set_log_handler([](rondo::log_level, std::string_view, void*) {});
  {
    stepped_loop loop;
    CHECK(lock.acquire().await_ready());
    for (int i = 0; i < 3; ++i) {
      spawn(loop, log, "lock",
            [&]() -> rondo::coro<> { const auto held = co_await lock.scoped(); });
      spawn(loop, log, "get", [&]() -> rondo::coro<> { co_await queue.get(); });
      spawn(loop, log, "semaphore", [&]() -> rondo::coro<> {
        const auto held = co_await semaphore.scoped();
        co_await rondo::sleep(1h);
      });
    }
    loop.step();
    lock.release();
    queue.put_nowait(1);
    semaphore.release();
    semaphore.release();
  }
  rondo::set_log_handler(nullptr);
  CHECK(log.take().empty());
  // Nobody waits any more, and what the tasks had is back.
  CHECK_FALSE(lock.locked());
  CHECK(queue.qsize() == 1);
  CHECK(semaphore.acquire().await_ready());
  CHECK(semaphore.acquire().await_ready());
  CHECK_FALSE(semaphore.acquire().await_ready());
}

TEST_CASE("debug mode logs that somebody waits for what is destroyed") {
  stepped_loop loop;
  loop.set_debug(true);
  record log;
  static std::string logged;
  logged.clear();
  rondo::set_log_handler([](rondo::log_level, std::string_view text, void*) { logged += text; });
  auto event = std::make_unique<rondo::event>();
  const auto task = spawn(loop, log, "end", [&] { return event->wait(); });
  loop.step();
  event.reset();
  CHECK(logged == "a primitive was destroyed while 1 tasks wait for it");
  task.cancel();
  loop.settle();
  rondo::set_log_handler(nullptr);
  CHECK(log.take() == "end:cancelled");
}

}  // namespace
