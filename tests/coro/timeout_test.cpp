// SPDX-License-Identifier: MIT
// rondo tests: wait_for, with_timeout and sleep.
#include "coro/support.hpp"

#include <limits>

using namespace coro_test;
using rondo::timeout;
using rondo::wait_for;
using rondo::with_timeout;

namespace {

coro<int> slow(int result, rondo::interval delay) {
  co_await rondo::sleep(delay);
  co_return result;
}

std::size_t count_now() { return rondo::current_task().cancelling(); }

}  // namespace

// ---- sleep -----------------------------------------------------------------------------------

TEST_CASE("sleep of nothing yields once; of more arms a timer that goes with it", "[rule-085]") {
  const balanced guard;
  manual_loop loop;
  const auto body = [&]() -> coro<> {
    for (const rondo::interval delay : {rondo::interval(0s), rondo::interval(-1s)}) {
      const std::uint64_t start = iteration();
      co_await rondo::sleep(delay);
      CHECK(iteration() - start == 1);
      CHECK(loop.core().timers.empty());
    }
    const rondo::time_point start = loop.time();
    co_await rondo::sleep(1500ms);
    CHECK(loop.time() - start == 1500ms);
    const std::string got = co_await rondo::sleep(1s, std::string("result"));
    CHECK(got == "result");
    const move_only moved = co_await rondo::sleep(0s, move_only(3));
    CHECK(moved.value == 3);
    const rondo::time_point until = loop.time() + 3s;
    co_await rondo::sleep_until(until);
    CHECK(loop.time() == until);
    co_await rondo::sleep_until(until - 5s);
    CHECK(loop.time() == until);
    // The clock is read when the sleep begins.
    coro<> later = rondo::sleep(1s);
    loop.advance(10s);
    const rondo::time_point begun = loop.time();
    co_await std::move(later);
    CHECK(loop.time() - begun == 1s);
  };
  loop.run(body());
  CHECK_THROWS_AS(
      rondo::sleep(std::chrono::duration<double>(std::numeric_limits<double>::quiet_NaN())),
      std::invalid_argument);
}

TEST_CASE("a sleep that is cancelled leaves no timer", "[rule-085][fault-D1]") {
  const balanced guard;
  manual_loop loop;
  const task<> t = loop.create_task([] { return rondo::sleep(1h); });
  const task<> for_ever = loop.create_task([] { return rondo::sleep(rondo::interval::max()); });
  loop.settle();
  CHECK(loop.core().timers.size() == 2);
  t.cancel();
  for_ever.cancel();
  CHECK(loop.core().timers.empty());
  loop.settle();
  CHECK(t.cancelled());
  CHECK(for_ever.cancelled());
}

TEST_CASE("sleepers wake in the order of their deadlines", "[rule-007]") {
  const balanced guard;
  manual_loop loop;
  std::string order;
  const auto sleeper = [&](char name, rondo::interval delay) -> coro<> {
    co_await rondo::sleep(delay);
    order += name;
  };
  const auto body = [&]() -> coro<> {
    const auto c = create_task(sleeper('c', 3s));
    const auto a = create_task(sleeper('a', 1s));
    const auto b = create_task(sleeper('b', 2s));
    const auto d = create_task(sleeper('d', 3s));
    co_await a;
    co_await b;
    co_await c;
    co_await d;
  };
  loop.run(body());
  CHECK(order == "abcd");
}

// ---- wait_for ----------------------------------------------------------------------------------

TEST_CASE("wait_for cancels what is late and waits for its end", "[rule-101][fault-D4]") {
  const balanced guard;
  manual_loop loop;
  strings log;
  const auto stubborn = [&]() -> coro<> {
    std::exception_ptr error;
    try {
      co_await rondo::sleep(1h);
    } catch (const cancelled_error&) {
      error = std::current_exception();
    }
    log.push_back("cleanup");
    co_await rondo::sleep(5s);
    log.push_back("clean");
    std::rethrow_exception(error);
  };
  const auto body = [&]() -> coro<> {
    const rondo::time_point start = loop.time();
    const std::string text = co_await outcome(wait_for(stubborn(), 1s));
    CHECK(text == "timeout");
    CHECK(loop.time() - start == 6s);
    CHECK(count_now() == 0);
    const int quick = co_await wait_for(slow(3, 1s), 2s);
    CHECK(quick == 3);
    CHECK(loop.core().timers.empty());
  };
  loop.run(body());
  CHECK(log == strings{"cleanup", "clean"});
}

TEST_CASE("a timeout_error is a system_error with the code ETIMEDOUT", "[rule-101]") {
  manual_loop loop;
  const auto body = [&]() -> coro<bool> {
    try {
      co_await wait_for(slow(1, 2s), 1s);
    } catch (const std::system_error& error) {
      co_return error.code() == std::errc::timed_out;
    }
    co_return false;
  };
  CHECK(loop.run(body()));
}

TEST_CASE("wait_for gives what an awaitable yields that swallows the cancellation",
          "[rule-102][fault-D4]") {
  const balanced guard;
  manual_loop loop;
  const auto swallows = [&](bool throws) -> coro<int> {
    bool caught = false;
    try {
      co_await rondo::sleep(1h);
    } catch (const cancelled_error&) {
      caught = true;
    }
    co_await yield_now();
    if (throws) throw std::runtime_error("other");
    co_return caught ? 5 : 6;
  };
  const auto body = [&]() -> coro<> {
    const int got = co_await wait_for(swallows(false), 1s);
    CHECK(got == 5);
    CHECK(count_now() == 0);
    const std::string text = co_await outcome(wait_for(swallows(true), 1s));
    CHECK(text == "other");
    CHECK(count_now() == 0);
  };
  loop.run(body());
}

TEST_CASE("wait_for with no time left", "[rule-103][fault-D4]") {
  const balanced guard;
  manual_loop loop;
  bool ran = false;
  const auto never = [&]() -> coro<int> {
    ran = true;
    co_return 1;
  };
  const auto body = [&]() -> coro<> {
    for (const rondo::interval limit : {rondo::interval(0s), rondo::interval(-1s)}) {
      std::string text = co_await outcome(wait_for(never(), limit));
      CHECK(text == "timeout");
      CHECK(!ran);
      const future<int> done = loop.create_future<int>();
      done.set_result(3);
      const int three = co_await wait_for(done, limit);
      CHECK(three == 3);
      const future<int> failed = loop.create_future<int>();
      failed.set_exception(std::runtime_error("failed"));
      text = co_await outcome(wait_for(failed, limit));
      CHECK(text == "failed");
      const future<int> pending = loop.create_future<int>();
      text = co_await outcome(wait_for(pending, limit));
      CHECK(text == "timeout");
      CHECK(pending.cancelled());
      const auto swallows = [&]() -> coro<int> {
        try {
          co_await rondo::sleep(1h);
        } catch (const cancelled_error&) {
        }
        co_return 8;
      };
      const task<int> running = create_task(swallows());
      co_await yield_now();
      const int eight = co_await wait_for(running, limit);
      CHECK(eight == 8);
      CHECK(count_now() == 0);
    }
  };
  loop.run(body());
}

TEST_CASE("wait_for without a limit is a plain await", "[rule-104]") {
  const balanced guard;
  manual_loop loop;
  const auto body = [&]() -> coro<> {
    const int got = co_await wait_for(slow(4, 100h), std::nullopt);
    CHECK(got == 4);
    const std::uint64_t start = iteration();
    const int now = co_await wait_for(value(5), std::nullopt);
    CHECK(now == 5);
    CHECK(iteration() == start);
    const move_only moved = co_await wait_for(value(move_only(6)), rondo::interval::max());
    CHECK(moved.value == 6);
  };
  loop.run(body());
}

TEST_CASE("wait_for that is cancelled cancels, waits and passes it on", "[rule-105]") {
  const balanced guard;
  manual_loop loop;
  strings log;
  const auto inner = [&]() -> coro<> {
    std::exception_ptr error;
    try {
      co_await rondo::sleep(1h);
    } catch (const cancelled_error& e) {
      log.push_back("inner " + e.message());
      error = std::current_exception();
    }
    co_await rondo::sleep(1s);
    log.push_back("clean");
    std::rethrow_exception(error);
  };
  const auto waits = [&]() -> coro<> { co_await wait_for(inner(), 10h); };
  const auto body = [&]() -> coro<> {
    const task<> t = create_task(waits());
    co_await yield_now();
    t.cancel("outer");
    const std::string text = co_await outcome(t);
    CHECK(text == "cancelled: outer");
    CHECK(t.cancelling() == 1);
    const task<> u = create_task(waits());
    co_await yield_now();
    const future<> unused = loop.create_future();
    const auto waits_zero = [&]() -> coro<> { co_await wait_for(create_task(inner()), 0s); };
    u.cancel();
    co_await end_of(u);
    const task<> zero = create_task(waits_zero());
    co_await yields(2);
    zero.cancel("zero");
    const std::string zero_text = co_await outcome(zero);
    CHECK(zero_text == "cancelled: zero");
  };
  loop.run(body());
  CHECK(log.front() == "inner outer");
  CHECK(loop.core().timers.empty());
}

TEST_CASE("a cancellation that meets the completion of wait_for is never lost",
          "[rule-106][fault-D2]") {
  const balanced guard;
  manual_loop loop;
  for (const bool completion_first : {true, false}) {
    const auto body = [&]() -> coro<> {
      const future<int> f = loop.create_future<int>();
      const auto waits = [&]() -> coro<int> { co_return co_await wait_for(f, 10s); };
      const task<int> t = create_task(waits());
      co_await yield_now();
      if (completion_first) {
        f.set_result(1);
        t.cancel();
      } else {
        t.cancel();
        CHECK(!f.cancel());
      }
      const std::string text = co_await outcome(t);
      CHECK(text == "cancelled");
      CHECK(t.cancelling() == 1);
    };
    loop.run(body());
  }
}

TEST_CASE("a result and the deadline in one iteration give one outcome", "[rule-106][fault-D4]") {
  const balanced guard;
  manual_loop loop;
  for (const bool result_first : {true, false}) {
    const auto body = [&]() -> coro<> {
      const future<int> f = loop.create_future<int>();
      const rondo::time_point when = loop.time() + 1s;
      const auto set = [&] {
        if (!f.done()) f.set_result(4);
      };
      if (result_first) loop.call_at(when, set);
      const auto waits = [&]() -> coro<int> { co_return co_await wait_for(f, 1s); };
      const task<int> t = create_task(waits());
      co_await yield_now();
      if (!result_first) loop.call_at(when, set);
      co_await end_of(t);
      CHECK(outcome_of(t) ==
            "timeout");  // as in asyncio: the deadline cancels a task that is woken
      CHECK(f.cancelled() == !result_first);
      CHECK(t.cancelling() == 0);
    };
    loop.run(body());
  }
}

TEST_CASE("wait_for runs a coroutine in the caller's task", "[rule-107]") {
  const balanced guard;
  static rondo::context_var<int> number("wait_for", 0);
  manual_loop loop;
  const auto body = [&]() -> coro<> {
    const any_task me = rondo::current_task();
    const auto inner = [&]() -> coro<bool> {
      number.set(4);
      co_await yield_now();
      co_return rondo::current_task() == me;
    };
    const bool same = co_await wait_for(inner(), 1s);
    CHECK(same);
    CHECK(number.get() == 4);
  };
  loop.run(body());
}

TEST_CASE("wait_for of a task cancels the task", "[rule-101]") {
  const balanced guard;
  manual_loop loop;
  const auto body = [&]() -> coro<> {
    const task<int> t = create_task(slow(1, 1h));
    const std::string text = co_await outcome(wait_for(t, 1s));
    CHECK(text == "timeout");
    CHECK(t.cancelled());
    CHECK(t.cancelling() == 1);
  };
  loop.run(body());
}

// ---- with_timeout
// --------------------------------------------------------------------------------

TEST_CASE("a deadline turns its own cancellation into timeout_error", "[rule-108][rule-109]") {
  const balanced guard;
  manual_loop loop;
  strings log;
  std::optional<timeout> kept;
  const auto body = [&](timeout& scope, int extra) -> coro<int> {
    kept = scope;
    CHECK(!scope.expired());
    CHECK(scope.when() == loop.time() + 1s);
    try {
      co_await rondo::sleep(1h);
    } catch (const cancelled_error&) {
      CHECK(scope.expired());
      CHECK(count_now() == 1);
      log.push_back("inside");
      throw;
    }
    co_return extra;
  };
  const auto outer = [&]() -> coro<> {
    const std::string text = co_await outcome(with_timeout(1s, body, 3));
    CHECK(text == "timeout");
    CHECK(count_now() == 0);
    CHECK(kept->expired());
    CHECK(kept->when().has_value());
    // The cancellation is nested in the error, as Python's cause.
    bool nested = false;
    try {
      co_await with_timeout(1s, body, 3);
    } catch (const timeout_error& error) {
      try {
        std::rethrow_if_nested(error);
      } catch (const cancelled_error&) {
        nested = true;
      }
    }
    CHECK(nested);
  };
  loop.run(outer());
  CHECK(log == strings{"inside", "inside"});
  CHECK(loop.core().timers.empty());
}

TEST_CASE("a body that ends in time yields its result", "[rule-108]") {
  const balanced guard;
  manual_loop loop;
  const auto outer = [&]() -> coro<> {
    const auto quick = [](timeout&) -> coro<move_only> {
      co_await yield_now();
      co_return move_only(3);
    };
    const move_only got = co_await with_timeout(1s, quick);
    CHECK(got.value == 3);
    const auto no_result = [](timeout& scope) -> coro<> {
      CHECK(!scope.when());
      co_return;
    };
    co_await with_timeout(std::nullopt, no_result);
    const rondo::time_point when = loop.time() + 5s;
    const auto sees = [&](timeout& scope) -> coro<bool> { co_return scope.when() == when; };
    const bool same = co_await with_timeout(when, sees);
    CHECK(same);
    const auto fails = [](timeout&) -> coro<> { throw std::runtime_error("body"); };
    const std::string text = co_await outcome(with_timeout(1s, fails));
    CHECK(text == "body");
    const auto owns = [](timeout&, std::unique_ptr<int> p) -> coro<int> { co_return *p; };
    auto owned = std::make_unique<int>(7);
    const int seven = co_await with_timeout(1s, owns, std::move(owned));
    CHECK(seven == 7);
  };
  loop.run(outer());
  CHECK(loop.core().timers.empty());
}

TEST_CASE("a cancellation from outside wins over the deadline", "[rule-110]") {
  const balanced guard;
  manual_loop loop;
  for (const bool outside_first : {true, false}) {
    std::optional<timeout> kept;
    const auto body = [&](timeout& scope) -> coro<> {
      kept = scope;
      co_await rondo::sleep(1h);
    };
    const auto run = [&]() -> coro<> { co_await with_timeout(1s, body); };
    task<> t;
    const auto cancel = [&] { t.cancel(); };
    if (outside_first) loop.call_later(1s, cancel);
    t = loop.create_task(run());
    loop.run_once();
    if (!outside_first) loop.call_later(1s, cancel);
    loop.drive(t);
    CHECK(t.cancelled());
    CHECK(kept->expired());
    CHECK(t.cancelling() == 1);
  }
}

TEST_CASE("of nested timeouts the one that fired converts", "[rule-111]") {
  const balanced guard;
  manual_loop loop;
  const auto nested = [&](rondo::interval outer_delay,
                          rondo::interval inner_delay) -> coro<strings> {
    strings log;
    const auto inner_body = [](timeout&) -> coro<> { co_await rondo::sleep(1h); };
    const auto outer_body = [&](timeout&) -> coro<> {
      std::exception_ptr error;
      try {
        co_await with_timeout(inner_delay, inner_body);
      } catch (...) {
        error = std::current_exception();
      }
      log.push_back(text_of(error) + " " + std::to_string(count_now()));
      if (error) std::rethrow_exception(error);
    };
    std::string text = co_await outcome(with_timeout(outer_delay, outer_body));
    log.push_back(text + " " + std::to_string(count_now()));
    co_return log;
  };
  CHECK(loop.run(nested(2s, 1s)) == strings{"timeout 0", "timeout 0"});
  CHECK(loop.run(nested(1s, 2s)) == strings{"cancelled 1", "timeout 0"});
  // Both in one iteration: the inner one passes it on, the outer one raises once.
  CHECK(loop.run(nested(1s, 1s)) == strings{"cancelled 1", "timeout 0"});
  CHECK(loop.run(nested(0s, 0s)) == strings{"cancelled 1", "timeout 0"});
}

TEST_CASE("a deadline in the past lets the body run to its first suspension", "[rule-112]") {
  const balanced guard;
  manual_loop loop;
  for (const rondo::interval delay : {rondo::interval(0s), rondo::interval(-1s)}) {
    strings log;
    const auto awaits = [&](timeout&) -> coro<> {
      log.push_back("began");
      co_await nothing();
      co_await yield_now();
      log.push_back("went on");
    };
    const auto does_not = [&](timeout& scope) -> coro<int> {
      log.push_back(scope.expired() ? "expired" : "not yet");
      co_return 1;
    };
    const auto outer = [&]() -> coro<> {
      std::string text = co_await outcome(with_timeout(delay, awaits));
      CHECK(text == "timeout");
      const int one = co_await with_timeout(delay, does_not);
      CHECK(one == 1);
      co_await yield_now();  // what the second one queued is not meant any more
      const auto at_future = [&](timeout&) -> coro<> { co_await loop.create_future(); };
      text = co_await outcome(with_timeout(loop.time() - 5s, at_future));
      CHECK(text == "timeout");
      CHECK(count_now() == 0);
    };
    loop.run(outer());
    CHECK(log == strings{"began", "not yet"});
  }
}

TEST_CASE("a body that swallows the cancellation ends without an error", "[rule-113]") {
  const balanced guard;
  manual_loop loop;
  std::optional<timeout> kept;
  const auto body = [&](timeout& scope) -> coro<int> {
    kept = scope;
    try {
      co_await rondo::sleep(1h);
    } catch (const cancelled_error&) {
    }
    co_return 3;
  };
  const auto outer = [&]() -> coro<> {
    const int got = co_await with_timeout(1s, body);
    CHECK(got == 3);
    CHECK(count_now() == 0);
  };
  loop.run(outer());
  CHECK(kept->expired());
}

TEST_CASE("a body that throws something else on expiry throws that", "[rule-114]") {
  const balanced guard;
  manual_loop loop;
  const auto body = [&](timeout&) -> coro<> {
    try {
      co_await rondo::sleep(1h);
    } catch (const cancelled_error&) {
      throw std::runtime_error("instead");
    }
  };
  const auto outer = [&]() -> coro<> {
    const std::string text = co_await outcome(with_timeout(1s, body));
    CHECK(text == "instead");
    CHECK(count_now() == 0);
  };
  loop.run(outer());
}

TEST_CASE("a timeout is rescheduled while it is entered", "[rule-115]") {
  const balanced guard;
  manual_loop loop;
  const auto outer = [&]() -> coro<> {
    const rondo::time_point start = loop.time();
    const auto later = [&](timeout& scope) -> coro<> {
      scope.reschedule(start + 3s);
      CHECK(scope.when() == start + 3s);
      co_await rondo::sleep(1h);
    };
    std::string text = co_await outcome(with_timeout(1s, later));
    CHECK(text == "timeout");
    CHECK(loop.time() - start == 3s);

    const auto never = [&](timeout& scope) -> coro<> {
      scope.reschedule(std::nullopt);
      CHECK(!scope.when());
      co_await rondo::sleep(10h);
    };
    text = co_await outcome(with_timeout(1s, never));
    CHECK(text == "none");

    const auto past = [&](timeout& scope) -> coro<> {
      scope.reschedule(loop.time() - 1s);
      scope.reschedule(loop.time() - 2s);
      CHECK(!scope.expired());
      co_await rondo::sleep(1h);
    };
    text = co_await outcome(with_timeout(std::nullopt, past));
    CHECK(text == "timeout");

    const auto withdrawn = [&](timeout& scope) -> coro<> {
      scope.reschedule(loop.time());
      scope.reschedule(std::nullopt);
      co_await yields(3);
      scope.reschedule(loop.time());
      scope.reschedule(loop.time() + 1h);
      co_await yields(3);
    };
    text = co_await outcome(with_timeout(1s, withdrawn));
    CHECK(text == "none");
    CHECK(count_now() == 0);
  };
  loop.run(outer());
  CHECK(loop.core().timers.empty());
}

TEST_CASE("a timeout is rescheduled between becoming due and its turn", "[rule-115]") {
  const balanced guard;
  manual_loop loop;
  for (const int how : {0, 1, 2}) {
    const auto outer = [&]() -> coro<> {
      const rondo::time_point start = loop.time();
      std::optional<timeout> scope_handle;
      const auto move_it = [&] {
        // Runs in the same batch as the timeout, before it.
        if (how == 0) scope_handle->reschedule(start + 5s);
        if (how == 1) scope_handle->reschedule(std::nullopt);
        if (how == 2) scope_handle->reschedule(start);
      };
      loop.call_at(start + 1s, move_it);
      const auto body = [&](timeout& scope) -> coro<> {
        scope_handle = scope;
        co_await rondo::sleep(10s);
      };
      const std::string text = co_await outcome(with_timeout(start + 1s, body));
      CHECK(text == (how == 1 ? "none" : "timeout"));
      CHECK(loop.time() - start == (how == 0 ? 5s : how == 1 ? 10s : 1s));
      CHECK(count_now() == 0);
    };
    loop.run(outer());
  }
  CHECK(loop.core().timers.empty());
}

TEST_CASE("a timeout whose turn an exception delays is rescheduled safely",
          "[rule-115][rule-034]") {
  const balanced guard;
  manual_loop loop;
  std::optional<timeout> handle;
  const auto body = [&](timeout& scope) -> coro<> {
    handle = scope;
    co_await rondo::sleep(1h);
  };
  const auto run = [&]() -> coro<> { co_await with_timeout(loop.time() + 1s, body); };
  loop.call_later(1s, [&] {
    handle->reschedule(loop.time() + 1s);
    throw rondo::keyboard_interrupt();
  });
  const task<> t = loop.create_task(run());
  loop.run_once();
  loop.advance(1s);
  CHECK_THROWS_AS(loop.run_once(), rondo::keyboard_interrupt);
  loop.advance(1s);
  loop.drive(t);
  CHECK(outcome_of(t) == "timeout");
}

TEST_CASE("a timeout is entered once, in a task, and answers afterwards", "[rule-115]") {
  const balanced guard;
  manual_loop loop;
  const timeout made(rondo::interval(1s));
  CHECK(!made.when());
  CHECK(!made.expired());
  CHECK_THROWS_AS(made.reschedule(loop.time()), std::logic_error);
  CHECK_THROWS_AS(made.enter(), std::logic_error);
  const timeout at = timeout::at(loop.time() + 2s);
  CHECK(at.when() == loop.time() + 2s);
  const auto body = [](timeout&) -> coro<int> { co_return 1; };
  const auto outer = [&]() -> coro<> {
    const int one = co_await with_timeout(made, body);
    CHECK(one == 1);
    CHECK(made.when().has_value());
    CHECK(!made.expired());
    CHECK_THROWS_AS(made.reschedule(std::nullopt), std::logic_error);
    const std::string text = co_await outcome(with_timeout(made, body));
    CHECK(text.find("already been entered") != std::string::npos);
    const auto expires = [](timeout& scope) -> coro<> {
      try {
        co_await rondo::sleep(1h);
      } catch (const cancelled_error&) {
        CHECK_THROWS_AS(scope.reschedule(std::nullopt), std::logic_error);
        throw;
      }
    };
    const std::string late = co_await outcome(with_timeout(at, expires));
    CHECK(late == "timeout");
    CHECK(at.expired());
    CHECK_THROWS_AS(at.reschedule(std::nullopt), std::logic_error);
    // Entering it inside itself, too.
    const auto again = [&](timeout& scope) -> coro<> { co_await with_timeout(scope, body); };
    const std::string twice = co_await outcome(with_timeout(1s, again));
    CHECK(twice.find("already been entered") != std::string::npos);
  };
  loop.run(outer());
}

TEST_CASE("a timeout does not swallow an earlier cancellation", "[rule-116]") {
  const balanced guard;
  manual_loop loop;
  const auto body = [](timeout&) -> coro<> { co_await rondo::sleep(1h); };
  const auto cancelled_before = [&](rondo::interval delay) -> coro<> {
    rondo::current_task().cancel("earlier");
    co_await with_timeout(delay, body);
  };
  for (const rondo::interval delay :
       {rondo::interval(0s), rondo::interval(-1s), rondo::interval(1s)}) {
    const task<> t = loop.create_task(cancelled_before(delay));
    loop.drive(t);
    CHECK(t.cancelled());
    CHECK(t.cancelling() == 1);
  }
  // One that was handled, with uncancel, does not count any more.
  const auto handled = [&]() -> coro<std::string> {
    rondo::current_task().cancel();
    const auto handles = [](timeout&) -> coro<> {
      try {
        co_await yield_now();
      } catch (const cancelled_error&) {
        rondo::current_task().uncancel();
      }
      co_await rondo::sleep(1h);
    };
    co_return co_await outcome(with_timeout(1s, handles));
  };
  CHECK(loop.run(handled()) == "timeout");
}

TEST_CASE("a derived cancelled_error is converted as well", "[rule-117]") {
  const balanced guard;
  manual_loop loop;
  struct special : cancelled_error {};
  const auto body = [](timeout&) -> coro<> {
    try {
      co_await rondo::sleep(1h);
    } catch (const cancelled_error&) {
      throw special();
    }
  };
  const auto outer = [&]() -> coro<std::string> {
    co_return co_await outcome(with_timeout(1s, body));
  };
  CHECK(loop.run(outer()) == "timeout");
}

TEST_CASE("a task that ends leaves nothing of its timeouts in the loop", "[rule-108]") {
  const balanced guard;
  manual_loop loop;
  const auto body = [](timeout&) -> coro<> { co_await yield_now(); };
  const auto outer = [&]() -> coro<> {
    for (int i = 0; i < 100; ++i) co_await with_timeout(1h, body);
    CHECK(loop.core().timers.empty());
  };
  loop.run(outer());
}
