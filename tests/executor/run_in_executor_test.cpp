// SPDX-License-Identifier: MIT
// rondo tests: calls in executors: results, errors, cancellation, contexts, the default executor.
#include <rondo/executor.hpp>

#include <rondo/rondo.hpp>

#include "executor/executor_support.hpp"
#include "loop/loop_internals.hpp"
#include "support/catch.hpp"
#include "support/oracle.hpp"

#include <pthread.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using namespace rondo_test;
using rondo::coro;
using rondo::executor_job;
using rondo::future;

static_assert(!std::is_copy_constructible_v<executor_job>);
static_assert(std::is_nothrow_move_constructible_v<executor_job>);

int twice(int number) { return 2 * number; }

std::string thread_name() {
  std::array<char, 16> name = {};
  ::pthread_getname_np(::pthread_self(), name.data(), name.size());
  return name.data();
}

/// Counts how many of its copies exist, and where the last one went.
struct token {
  struct shared {
    std::atomic<int> alive = 0;
    std::atomic<std::thread::id> ended_in;
  };
  explicit token(shared& where) : in(&where) { ++in->alive; }
  token(token&& other) noexcept : in(std::exchange(other.in, nullptr)) {}
  token(const token& other) : in(other.in) { ++in->alive; }
  token& operator=(token) = delete;
  ~token() {
    if (in == nullptr) return;
    in->ended_in = std::this_thread::get_id();
    --in->alive;
  }
  shared* in;
};

TEST_CASE("results of every kind come back", "[fault-N1]") {
  rondo::selector_event_loop loop;
  rondo::thread_pool_executor pool(2);
  int place = 7;
  const auto body = [&]() -> coro<> {
    const int number = co_await loop.run_in_executor(&pool, twice, 21);
    CHECK(number == 42);
    co_await loop.run_in_executor(&pool, [&] { ++place; });
    int& same = co_await loop.run_in_executor(&pool, [&]() -> int& { return place; });
    CHECK(&same == &place);
    CHECK(same == 8);
    auto owned = std::make_unique<int>(5);
    auto pass = [](std::unique_ptr<int> given) { return given; };
    auto back = loop.run_in_executor(&pool, pass, std::move(owned));
    const std::unique_ptr<int> moved = co_await std::move(back);
    CHECK(*moved == 5);
    std::string text = co_await loop.run_in_executor(&pool, [] { return std::string(100, 'x'); });
    CHECK(text == std::string(100, 'x'));
    // A reference that is no lvalue becomes a value.
    static_assert(std::is_same_v<decltype(loop.run_in_executor(
                                     &pool, [&]() -> int&& { return std::move(place); })),
                                 future<int>>);
  };
  loop.run_until_complete(body());
  loop.close();
}

TEST_CASE("callables and results may be aligned to more than the heap gives", "[executor]") {
  struct alignas(64) wide {  // lint: allow(over-aligned)
    int value = 3;
    [[nodiscard]] bool aligned() const { return reinterpret_cast<std::uintptr_t>(this) % 64 == 0; }
  };
  rondo::selector_event_loop loop;
  rondo::thread_pool_executor pool(1);
  wide given;
  const future<wide> result = loop.run_in_executor(&pool, [given] {
    if (!given.aligned()) throw std::runtime_error("misplaced");
    return given;
  });
  loop.run_until_complete(result);
  CHECK(result.result().aligned());
  CHECK(result.result().value == 3);
  loop.close();
}

TEST_CASE("what a job throws goes to whoever awaits it, whatever it is", "[fault-N1]") {
  rondo::selector_event_loop loop;
  rondo::thread_pool_executor pool(1);
  const auto run = [&](auto job) {
    return [&loop, &pool, job] { loop.run_until_complete(loop.run_in_executor(&pool, job)); };
  };
  CHECK(thrown_by<std::out_of_range>(run([] { throw std::out_of_range("far"); })) == "far");
  CHECK(thrown_by<rondo::cancelled_error>(run([] { throw rondo::cancelled_error("mine"); })) ==
        "mine");
  CHECK_THROWS_AS(run([] { throw 17; })(), int);
  // It is thrown by the await, the loop goes on.
  const future<void> failed = loop.run_in_executor(&pool, [] { throw rondo::system_exit(3); });
  const auto body = [&]() -> coro<int> {
    try {
      co_await failed;
    } catch (const rondo::system_exit& left) {
      co_return left.code;
    }
    co_return 0;
  };
  CHECK(loop.run_until_complete(body()) == 3);
  loop.close();
}

TEST_CASE("the callable is destroyed where it ran, before its result arrives", "[fault-N1]") {
  token::shared seen;
  rondo::selector_event_loop loop;
  rondo::thread_pool_executor pool(1);
  token mine(seen);
  const auto result = loop.run_in_executor(&pool, [mine = std::move(mine)] {
    static_cast<void>(mine);
    return std::this_thread::get_id();
  });
  loop.run_until_complete(result);
  CHECK(seen.alive == 0);
  CHECK(seen.ended_in.load() == result.result());
  CHECK(result.result() != std::this_thread::get_id());
  loop.close();
}

TEST_CASE("cancelling a future stops a call that has not begun", "[rule-062][rule-252][fault-N1]") {
  const oracle unchanged(oracle::scope::threads);
  token::shared seen;
  gate held;
  rondo::selector_event_loop loop;
  rondo::thread_pool_executor pool(1);
  const opens later(held);
  const future<void> first = loop.run_in_executor(&pool, [&] { held.pass(); });
  held.wait_for(1);
  bool ran = false;
  token mine(seen);
  const future<void> queued = loop.run_in_executor(&pool, [&, mine = std::move(mine)] {
    static_cast<void>(mine);
    ran = true;
  });
  CHECK(queued.cancel());
  CHECK(queued.cancelled());
  // Not from inside of cancel(), but at once.
  CHECK(seen.alive == 1);
  loop.run_once();
  CHECK(seen.alive == 0);
  CHECK(seen.ended_in.load() == std::this_thread::get_id());
  held.open();
  loop.run_until_complete(first);
  loop.run_until_complete(loop.run_in_executor(&pool, [] {}));
  CHECK_FALSE(ran);
  loop.close();
}

TEST_CASE("cancelling the future of a call that runs drops its result", "[rule-062][fault-N1]") {
  const oracle unchanged(oracle::scope::threads);
  gate held;
  rondo::selector_event_loop loop;
  rondo::thread_pool_executor pool(1);
  const opens later(held);
  token::shared seen;
  bool finished = false;
  const future<token> running = loop.run_in_executor(&pool, [&] {
    held.pass();
    finished = true;
    return token(seen);
  });
  held.wait_for(1);
  CHECK(running.cancel());
  CHECK(running.cancelled());
  held.open();
  loop.run_until_complete(loop.run_in_executor(&pool, [] {}));
  CHECK(finished);
  CHECK(running.cancelled());
  settle(loop);
  CHECK(seen.alive == 0);
  // An exception that nobody can get is no report.
  const log_capture logged;
  const future<void> failing = loop.run_in_executor(&pool, [] { throw std::runtime_error("x"); });
  failing.cancel();
  loop.run_until_complete(loop.run_in_executor(&pool, [] {}));
  CHECK(logged.problems().empty());
  loop.close();
}

TEST_CASE("a dropped handle does not stop the call; its exception is reported", "[executor]") {
  rondo::selector_event_loop loop;
  rondo::thread_pool_executor pool(1);
  const log_capture logged;
  bool ran = false;
  loop.run_in_executor(&pool, [&] { ran = true; });
  loop.run_in_executor(&pool, [] { throw std::runtime_error("unseen"); });
  loop.run_until_complete(loop.run_in_executor(&pool, [] {}));
  CHECK(ran);
  CHECK(logged.count("never retrieved") == 1);
  loop.close();
}

TEST_CASE("a future that was given another result keeps it", "[executor]") {
  rondo::selector_event_loop loop;
  manual_executor held;
  const future<int> result = loop.run_in_executor(&held, twice, 1);
  result.set_result(9);
  held.run_all();
  settle(loop);
  CHECK(result.result() == 9);
  loop.close();
}

// ---- executors of the user -----------------------------------------------------------

TEST_CASE("an executor may call in place, later, or not at all", "[executor]") {
  const oracle unchanged(oracle::scope::threads);
  rondo::selector_event_loop loop;
  struct in_place final : rondo::executor {
    void submit(executor_job job) override { job(); }
  } at_once;
  const future<int> now = loop.run_in_executor(&at_once, twice, 4);
  // Also then by the loop, never by the call itself.
  CHECK_FALSE(now.done());
  CHECK(loop.run_until_complete(now) == 8);

  manual_executor held;
  const future<int> later = loop.run_in_executor(&held, twice, 5);
  settle(loop);
  CHECK_FALSE(later.done());
  held.run_all();
  CHECK(loop.run_until_complete(later) == 10);

  const future<int> dropped = loop.run_in_executor(&held, twice, 6);
  held.jobs.clear();
  CHECK_FALSE(dropped.done());
  settle(loop);
  CHECK(dropped.cancelled());
  loop.close();
}

TEST_CASE("what submit throws goes to the caller", "[executor]") {
  const oracle unchanged(oracle::scope::threads);
  token::shared seen;
  rondo::selector_event_loop loop;
  struct refuses final : rondo::executor {
    void submit(executor_job) override { throw std::runtime_error("full"); }
  } full;
  token mine(seen);
  const auto submit = [&] { loop.run_in_executor(&full, [mine] { static_cast<void>(mine); }); };
  CHECK(thrown_by<std::runtime_error>(submit) == "full");
  settle(loop);
  CHECK(seen.alive == 1);
  CHECK(loop.core().resources == nullptr);
  loop.close();
}

TEST_CASE("a job outlives its loop", "[rule-020][fault-N4]") {
  token::shared seen;
  manual_executor held;
  bool ran = false;
  future<token> runs;
  {
    rondo::selector_event_loop loop;
    runs = loop.run_in_executor(&held, [&] {
      ran = true;
      return token(seen);
    });
    token mine(seen);
    loop.run_in_executor(&held, [mine = std::move(mine)] { static_cast<void>(mine); });
    const future<int> cancelled = loop.run_in_executor(&held, twice, 1);
    cancelled.cancel();  // and its node is dropped by close
    loop.close();
    CHECK(seen.alive == 1);
  }
  REQUIRE(held.jobs.size() == 3);
  held.jobs[0]();
  CHECK(ran);
  CHECK_FALSE(runs.done());
  CHECK(seen.alive == 1);
  held.jobs.clear();
  CHECK(seen.alive == 0);
}

TEST_CASE("a finished job is dropped by close before it is delivered", "[rule-020]") {
  const oracle unchanged(oracle::scope::threads);
  token::shared seen;
  manual_executor held;
  rondo::selector_event_loop loop;
  const future<token> result = loop.run_in_executor(&held, [&] { return token(seen); });
  held.run_all();
  CHECK(seen.alive == 1);
  loop.close();
  CHECK(seen.alive == 0);
  CHECK_FALSE(result.done());
}

TEST_CASE("a job that nobody awaits logs what it throws", "[executor]") {
  const log_capture logged;
  executor_job fails([] { throw std::runtime_error("for nobody"); });
  CHECK(fails);
  fails();
  CHECK_FALSE(fails);
  executor_job odd([] { throw 5; });
  odd();
  CHECK(logged.count("for nobody") == 1);
  CHECK(logged.problems().size() == 2);
  rondo::thread_pool_executor pool(1);
  std::atomic<int> ran = 0;
  pool.submit(executor_job([&, owned = std::make_unique<int>(1)] { ran += *owned; }));
  pool.shutdown();
  CHECK(ran == 1);
  executor_job moved([&] { ++ran; });
  executor_job empty;
  empty = std::move(moved);
  CHECK(empty);
}

// ---- contexts ----------------------------------------------------------------------

const rondo::context_var<int> variable("variable", 0);

TEST_CASE("run_in_executor does not carry the context, to_thread does", "[rule-032]") {
  rondo::selector_event_loop loop;
  rondo::thread_pool_executor pool(1);
  const auto body = [&]() -> coro<> {
    variable.set(5);
    const auto look = [] { return variable.get(); };
    const int in_executor = co_await loop.run_in_executor(&pool, look);
    CHECK(in_executor == 0);
    const int in_thread = co_await rondo::to_thread(look);
    CHECK(in_thread == 5);
    // A copy of the context of when it runs: neither side sees what the other sets.
    const auto change = [] {
      variable.set(6);
      return variable.get();
    };
    auto prepared = rondo::to_thread(look);
    variable.set(7);
    const int at_await = co_await std::move(prepared);
    CHECK(at_await == 7);
    const int changed = co_await rondo::to_thread(change);
    CHECK(changed == 6);
    CHECK(variable.get() == 7);
    // Nor does one job see what another one has set in the same thread.
    co_await loop.run_in_executor(&pool, change);
    const int next = co_await loop.run_in_executor(&pool, look);
    CHECK(next == 0);
  };
  loop.run_until_complete(body());
  loop.close();
}

TEST_CASE("no loop runs in a thread of an executor", "[executor]") {
  rondo::selector_event_loop loop;
  const auto body = []() -> coro<> {
    const auto look = [] {
      return thrown_by<std::logic_error>([] { static_cast<void>(rondo::get_running_loop()); });
    };
    const std::string text = co_await rondo::to_thread(look);
    CHECK(text == "no running event loop");
    // But one of its own may.
    const auto run = [] { return rondo::run([]() -> coro<int> { co_return 4; }); };
    const int result = co_await rondo::to_thread(run);
    CHECK(result == 4);
  };
  loop.run_until_complete(body());
  loop.close();
}

// ---- the default executor --------------------------------------------------------------

TEST_CASE("the default executor is made when it is needed", "[rule-252]") {
  rondo::selector_event_loop loop;
  CHECK(loop.internals().default_executor == nullptr);
  const auto body = [&]() -> coro<> {
    const std::string name = co_await loop.run_in_executor(nullptr, thread_name);
    CHECK(name == "asyncio_0");
    CHECK(loop.internals().default_executor->threads() == 1);
    // A thread says that it is idle a moment after its result is there.
    const std::string again = co_await rondo::to_thread(thread_name);
    CHECK((again == "asyncio_0" || again == "asyncio_1"));
  };
  loop.run_until_complete(body());
  // As many as processors and four, at most 32.
  const std::size_t most = std::min(32U, std::thread::hardware_concurrency() + 4);
  gate held;
  const opens later(held);
  std::vector<future<std::string>> calls;
  for (std::size_t i = 0; i < most + 3; ++i) {
    calls.push_back(loop.run_in_executor(nullptr, [&] {
      held.pass();
      return thread_name();
    }));
  }
  held.wait_for(static_cast<int>(most));
  CHECK(loop.internals().default_executor->threads() == most);
  held.open();
  std::set<std::string> names;
  for (const auto& each : calls) names.insert(loop.run_until_complete(each));
  CHECK(names.size() == most);
  loop.run_until_complete(loop.shutdown_default_executor());
  loop.close();
}

TEST_CASE("shutdown_default_executor waits for the calls and not for the loop", "[rule-253]") {
  const oracle unchanged(oracle::scope::threads);
  gate held;
  rondo::selector_event_loop loop;
  const opens later(held);
  std::string events;
  const auto body = [&]() -> coro<> {
    const future<void> running = loop.run_in_executor(nullptr, [&] { held.pass(); });
    running.add_done_callback([&] { events += "call "; });
    auto stop = loop.create_task(loop.shutdown_default_executor());
    stop.add_done_callback([&] { events += "stopped "; });
    for (int i = 0; i < 10; ++i) co_await rondo::sleep(0s);
    events += "loop ";
    CHECK_FALSE(stop.done());
    // From here on nothing is accepted.
    const auto use = [&] { loop.run_in_executor(nullptr, [] {}); };
    CHECK(thrown_by<std::logic_error>(use) == "Executor shutdown has been called");
    // Nor by another default executor.
    loop.set_default_executor(std::make_shared<rondo::thread_pool_executor>(1));
    CHECK(thrown_by<std::logic_error>(use) == "Executor shutdown has been called");
    rondo::thread_pool_executor mine(1);
    const int result = co_await loop.run_in_executor(&mine, twice, 3);
    CHECK(result == 6);
    held.open();
    co_await stop;
    co_await rondo::sleep(0s);
    // What has ended is not waited for.
    const log_capture logged;
    co_await loop.shutdown_default_executor();
    CHECK(logged.problems().empty());
  };
  loop.run_until_complete(body());
  CHECK(events == "loop call stopped ");
  loop.close();
}

TEST_CASE("without an executor its shutdown is immediate, and final", "[rule-253]") {
  rondo::selector_event_loop loop;
  loop.run_until_complete(loop.shutdown_default_executor());
  CHECK_THROWS_AS(loop.run_in_executor(nullptr, [] {}), std::logic_error);
  const auto body = []() -> coro<> { co_await rondo::to_thread([] {}); };
  CHECK_THROWS_AS(loop.run_until_complete(body()), std::logic_error);
  loop.close();
}

TEST_CASE("an executor that has ended is not waited for, however short the time", "[rule-253]") {
  rondo::selector_event_loop loop;
  auto pool = std::make_shared<rondo::thread_pool_executor>(1);
  loop.set_default_executor(pool);
  loop.run_until_complete(loop.run_in_executor(nullptr, twice, 1));
  pool->shutdown();
  const log_capture logged;
  loop.run_until_complete(loop.shutdown_default_executor(0s));
  loop.run_until_complete(loop.shutdown_default_executor(-1s));
  CHECK(logged.problems().empty());
  loop.close();
}

TEST_CASE("a shutdown that takes too long warns and goes on", "[rule-253][fault-N3]") {
  gate held;
  auto pool = std::make_shared<rondo::thread_pool_executor>(1);
  {
    rondo::selector_event_loop loop;
    const opens later(held);
    loop.set_default_executor(pool);
    const log_capture logged;
    std::atomic<bool> second = false;
    loop.run_in_executor(nullptr, [&] { held.pass(); });
    loop.run_in_executor(nullptr, [&] { second = true; });
    held.wait_for(1);
    loop.run_until_complete(loop.shutdown_default_executor(1ms));
    REQUIRE(logged.problems().size() == 1);
    CHECK(logged.problems()[0] ==
          "The executor did not finish joining its threads within 0.001 seconds.");
    loop.close();
    CHECK(logged.problems().size() == 1);
    held.open();
    pool->shutdown();  // still possible
    CHECK(second);
    CHECK(pool->threads() == 0);
  }
}

TEST_CASE("a cancelled shutdown leaves the executor shut down", "[rule-253]") {
  gate held;
  rondo::selector_event_loop loop;
  const opens later(held);
  const auto body = [&]() -> coro<> {
    const future<void> running = loop.run_in_executor(nullptr, [&] { held.pass(); });
    auto stop = loop.create_task(loop.shutdown_default_executor());
    co_await rondo::sleep(0s);
    stop.cancel();
    bool cancelled = false;
    try {
      co_await stop;
    } catch (const rondo::cancelled_error&) {
      cancelled = true;
    }
    CHECK(cancelled);
    CHECK_THROWS_AS(loop.run_in_executor(nullptr, [] {}), std::logic_error);
    held.open();
    co_await running;
    co_await loop.shutdown_default_executor();
  };
  loop.run_until_complete(body());
  loop.close();
}

TEST_CASE("run waits for the calls of the default executor", "[rule-253]") {
  gate held;
  std::atomic<bool> finished = false;
  std::thread opener([&] {
    held.wait_for(1);
    held.open();
  });
  rondo::run([&]() -> coro<> {
    rondo::get_running_loop().run_in_executor(nullptr, [&] {
      held.pass();
      finished = true;
    });
    co_return;
  });
  CHECK(finished);
  opener.join();
}

TEST_CASE("close does not wait for the default executor", "[rule-020]") {
  gate held;
  std::atomic<int> ran = 0;
  auto pool = std::make_shared<rondo::thread_pool_executor>(1);
  {
    const opens later(held);
    rondo::selector_event_loop loop;
    loop.set_default_executor(pool);
    loop.run_in_executor(nullptr, [&] {
      held.pass();
      ++ran;
    });
    loop.run_in_executor(nullptr, [&] { ++ran; });
    held.wait_for(1);
    loop.close();
    CHECK(ran == 0);
    CHECK(thrown_by<std::logic_error>([&] { pool->submit(executor_job([] {})); }) ==
          "cannot schedule new futures after shutdown");
  }
  // What was queued runs all the same.
  pool->shutdown();
  CHECK(ran == 2);
}

TEST_CASE("the executor that a loop has made ends with it", "[rule-020]") {
  // Its threads are not waited for, so what they use lives until they say that they are done.
  struct shared {
    gate held;
    gate ended;
  };
  auto both = std::make_shared<shared>();
  rondo::selector_event_loop loop;
  loop.run_in_executor(nullptr, [both] {
    both->held.pass();
    both->ended.pass();
  });
  both->held.wait_for(1);
  loop.close();
  both->held.open();
  both->ended.wait_for(1);
  both->ended.open();
}

TEST_CASE("a default executor that is replaced is not waited for", "[rule-252]") {
  struct shared {
    gate held;
    gate ended;
  };
  auto both = std::make_shared<shared>();
  rondo::selector_event_loop loop;
  loop.run_in_executor(nullptr, [both] {
    both->held.pass();
    both->ended.pass();
  });
  both->held.wait_for(1);
  auto mine = std::make_shared<rondo::thread_pool_executor>(1, "mine");
  loop.set_default_executor(mine);
  CHECK(loop.run_until_complete(loop.run_in_executor(nullptr, thread_name)) == "mine_0");
  // One that others know goes on for them.
  loop.set_default_executor(nullptr);
  CHECK(loop.run_until_complete(loop.run_in_executor(mine.get(), twice, 2)) == 4);
  CHECK(loop.run_until_complete(loop.run_in_executor(nullptr, thread_name)) == "asyncio_0");
  both->held.open();
  both->ended.wait_for(1);
  both->ended.open();
  loop.run_until_complete(loop.shutdown_default_executor());
  loop.close();
}

TEST_CASE("nothing of it works on a closed loop", "[rule-021][fault-E4]") {
  rondo::selector_event_loop loop;
  loop.close();
  rondo::thread_pool_executor pool(1);
  CHECK_THROWS_AS(loop.run_in_executor(&pool, twice, 1), rondo::loop_closed_error);
  CHECK_THROWS_AS(loop.run_in_executor(nullptr, twice, 1), rondo::loop_closed_error);
  CHECK_THROWS_AS(loop.set_default_executor(nullptr), rondo::loop_closed_error);
  CHECK(pool.threads() == 0);
}

}  // namespace
