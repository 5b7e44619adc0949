// SPDX-License-Identifier: MIT
// rondo tests: timeouts as on asyncio; the twin of programs/timeouts.py.
#include "asyncio/pairs.hpp"

using namespace asyncio_test;
using rondo::cancelled_error;
using rondo::timeout;
using rondo::timeout_error;
using rondo::wait_for;
using rondo::with_timeout;

namespace {

coro<> fires(trace& out) {
  const auto body = [&out](timeout& limit) -> coro<> {
    try {
      co_await sleep(10s);
    } catch (const cancelled_error&) {
      out(limit.expired());
      out(requests());
      throw;
    }
  };
  const std::string end = co_await ended(with_timeout(2s, body));
  out(end);
  out(now());
  out(requests());
  timeout limit(2s);
  const auto quick = [](timeout&) { return sleep(1s); };
  co_await with_timeout(limit, quick);
  out(limit.expired());
}

coro<> nested_inner_fires(trace& out) {
  const auto body = [&out](timeout& outer) -> coro<> {
    const timeout inner(2s);
    try {
      const auto sleeps = [](timeout&) { return sleep(10s); };
      co_await with_timeout(inner, sleeps);
    } catch (const timeout_error&) {
      out("inner");
    }
    out(inner.expired());
    out(outer.expired());
    co_await sleep(1s);
    out(now());
  };
  try {
    co_await with_timeout(5s, body);
  } catch (const timeout_error&) {
    out("outer");
  }
}

coro<> nested_both_fire(trace& out) {
  const auto slow = [&out](timeout&) -> coro<> {
    std::exception_ptr cancelled;
    try {
      co_await sleep(10s);
    } catch (const cancelled_error&) {
      cancelled = std::current_exception();
    }
    // Time passes while the inner one unwinds.
    try {
      co_await sleep(5s);
    } catch (const cancelled_error&) {
      out(requests());
      throw;
    }
    std::rethrow_exception(cancelled);
  };
  const auto body = [&](timeout&) -> coro<> {
    const std::string end = co_await ended(with_timeout(1s, slow));
    out(end);
    co_await yield_now();
    out("on");
  };
  const std::string end = co_await ended(with_timeout(3s, body));
  out(end);
  out(requests());
}

coro<> moved(trace& out) {
  event_loop& runs = get_running_loop();
  const auto body = [&](timeout& limit) -> coro<> {
    limit.reschedule(runs.time() + 4s);
    co_await sleep(3s);
    out(now());
    limit.reschedule(std::nullopt);
    co_await sleep(5s);
    out(now());
    try {
      limit.reschedule(runs.time() - 1s);
      co_await sleep(10s);
    } catch (const cancelled_error&) {
      out("past");
    }
  };
  const timeout limit(1s);
  co_await with_timeout(limit, body);
  out(limit.expired());
  try {
    limit.reschedule(std::nullopt);
  } catch (const std::logic_error&) {
    out("refused");
  }
}

coro<> external_wins(trace& out) {
  const auto body = [&out]() -> coro<> {
    const timeout limit(2s);
    const auto sleeps = [](timeout&) { return sleep(10s); };
    std::exception_ptr thrown;
    try {
      co_await with_timeout(limit, sleeps);
    } catch (...) {
      thrown = std::current_exception();
    }
    out(limit.expired());
    out(requests());
    std::rethrow_exception(thrown);
  };
  const task<> running = create_task(body());
  co_await sleep(1s);
  // Both in one iteration.
  get_running_loop().call_later(1s, [running] { running.cancel("outside"); });
  const std::string end = co_await ended(running);
  out(end);
}

coro<> swallowed(trace& out) {
  const timeout limit(1s);
  const auto body = [&out](timeout&) -> coro<> {
    try {
      co_await sleep(10s);
    } catch (const cancelled_error&) {
      out("swallowed");
    }
  };
  co_await with_timeout(limit, body);
  out(limit.expired());
  out(requests());
  co_await yield_now();
  out("on");
}

coro<> another_error(trace& out) {
  const auto body = [](timeout&) -> coro<> {
    try {
      co_await sleep(10s);
    } catch (const cancelled_error&) {
      throw error("instead");
    }
  };
  const std::string end = co_await ended(with_timeout(1s, body));
  out(end);
  out(requests());
}

coro<> deadline_in_the_past(trace& out) {
  const auto body = [&out](timeout&) -> coro<> {
    out("begins");
    co_await yield_now();
    out("never");
  };
  std::string end = co_await ended(with_timeout(0s, body));
  out(end);
  end = co_await ended(with_timeout(-1s, body));
  out(end);
  const auto quick = [&out](timeout&) -> coro<> {
    out("no-await");
    co_return;
  };
  end = co_await ended(with_timeout(0s, quick));
  out(end);
}

coro<> wait_for_something(trace& out) {
  int result = co_await wait_for(work(out, "a", 2, 1), 1s);
  out(result);
  result = co_await wait_for(work(out, "b", 2, 2), std::nullopt);
  out(result);
  std::string end = co_await ended(wait_for(sleep(10s), 1s));
  out(end);
  out(now());
  end = co_await ended(wait_for(work(out, "never", 0), 0s));
  out(end);
  const future<int> done = get_running_loop().create_future<int>();
  done.set_result(3);
  result = co_await wait_for(done, 0s);
  out(result);
}

coro<> wait_for_a_slow_end(trace& out) {
  const auto slow = [&out]() -> coro<> {
    std::exception_ptr cancelled;
    try {
      co_await sleep(10s);
    } catch (const cancelled_error&) {
      cancelled = std::current_exception();
    }
    co_await sleep(3s);
    out("cleaned");
    std::rethrow_exception(cancelled);
  };
  const std::string end = co_await ended(wait_for(slow(), 1s));
  out(end);
  out(now());
}

coro<> wait_for_what_goes_on(trace& out) {
  const auto stubborn = []() -> coro<std::string> {
    try {
      co_await sleep(10s);
    } catch (const cancelled_error&) {
    }
    co_return "value";
  };
  const auto failing = []() -> coro<> {
    try {
      co_await sleep(10s);
    } catch (const cancelled_error&) {
      throw error("own");
    }
  };
  const std::string result = co_await wait_for(stubborn(), 1s);
  out(result);
  const std::string end = co_await ended(wait_for(failing(), 1s));
  out(end);
}

coro<> wait_for_is_cancelled(trace& out) {
  const task<> inner = create_task(sleep(10s));
  const auto waits = [&]() -> coro<> {
    const std::string end = co_await ended(wait_for(inner, 5s));
    out(end);
    out(inner.cancelled());
  };
  const task<> waiting = create_task(waits());
  co_await sleep(1s);
  waiting.cancel("outside");
  co_await waiting;
}

coro<> wait_for_loses_no_cancellation(trace& out) {
  const future<int> awaited = get_running_loop().create_future<int>();
  const auto waits = [&]() -> coro<> {
    const std::string end = co_await ended(wait_for(awaited, 5s));
    out(end);
    out(requests());
  };
  const task<> waiting = create_task(waits());
  co_await turns(2);
  awaited.set_result(1);
  waiting.cancel();
  co_await waiting;
}

coro<> wait_for_in_the_same_task(trace& out) {
  const rondo::any_task me = rondo::current_task();
  const auto body = [&]() -> coro<> {
    out(rondo::current_task() == me);
    co_return;
  };
  co_await wait_for(body(), 5s);
}

coro<> not_entered(trace& out) {
  const timeout limit(1s);
  out(failure([&] { limit.reschedule(std::nullopt); }));
  const auto nothing = [](timeout&) -> coro<> { co_return; };
  co_await with_timeout(limit, nothing);
  const std::string end = co_await ended(with_timeout(limit, nothing));
  out(end);
}

}  // namespace

TEST_CASE("timeouts: one fires", "[rule-108][rule-109]") {
  CHECK(run(fires) == python("timeouts.fires"));
}
TEST_CASE("timeouts: nested, the inner one fires", "[rule-111]") {
  CHECK(run(nested_inner_fires) == python("timeouts.nested_inner_fires"));
}
TEST_CASE("timeouts: nested, both fire", "[rule-111]") {
  CHECK(run(nested_both_fire) == python("timeouts.nested_both_fire"));
}
TEST_CASE("timeouts: moved", "[rule-115]") { CHECK(run(moved) == python("timeouts.moved")); }
TEST_CASE("timeouts: a cancellation from outside wins", "[rule-110]") {
  CHECK(run(external_wins) == python("timeouts.external_wins"));
}
TEST_CASE("timeouts: the body swallows it", "[rule-113]") {
  CHECK(run(swallowed) == python("timeouts.swallowed"));
}
TEST_CASE("timeouts: the body throws something else", "[rule-114]") {
  CHECK(run(another_error) == python("timeouts.another_error"));
}
TEST_CASE("timeouts: a deadline in the past", "[rule-112]") {
  CHECK(run(deadline_in_the_past) == python("timeouts.deadline_in_the_past"));
}
TEST_CASE("timeouts: wait_for", "[rule-101][rule-103][rule-104]") {
  CHECK(run(wait_for_something) == python("timeouts.wait_for_something"));
}
TEST_CASE("timeouts: wait_for waits for the cleanup", "[rule-101]") {
  CHECK(run(wait_for_a_slow_end) == python("timeouts.wait_for_a_slow_end"));
}
TEST_CASE("timeouts: wait_for of what goes on", "[rule-102]") {
  CHECK(run(wait_for_what_goes_on) == python("timeouts.wait_for_what_goes_on"));
}
TEST_CASE("timeouts: wait_for is cancelled", "[rule-105]") {
  CHECK(run(wait_for_is_cancelled) == python("timeouts.wait_for_is_cancelled"));
}
TEST_CASE("timeouts: wait_for loses no cancellation", "[rule-106]") {
  CHECK(run(wait_for_loses_no_cancellation) ==
        python("timeouts.wait_for_loses_no_cancellation", "cancelled 1"));
}
TEST_CASE("timeouts: wait_for stays in the task", "[rule-107]") {
  CHECK(run(wait_for_in_the_same_task) == python("timeouts.wait_for_in_the_same_task", "True"));
}
TEST_CASE("timeouts: before and after the block", "[rule-115]") {
  CHECK(run(not_entered) == python("timeouts.not_entered"));
}
