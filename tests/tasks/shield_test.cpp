// SPDX-License-Identifier: MIT
// rondo tests: shield and with_shield (rules 98-100; faults D2, D12).
#include "tasks/task_support.hpp"

using namespace task_test;

TEST_CASE_METHOD(fixture, "shield of a done future is that future", "[rule-098]") {
  run([this]() -> rondo::coro<> {
    const auto done = loop->create_future<int>();
    done.set_result(3);
    CHECK(rondo::shield(done) == done);
    const auto pending = loop->create_future<int>();
    CHECK_FALSE(rondo::shield(pending) == pending);
    const int result = co_await rondo::shield(work(*this, "coro", 1, 4));
    CHECK(result == 4);
    co_await rondo::shield(rondo::yield_now());
    const std::string text = co_await ends_with(rondo::shield(fail(*this, "bad", 0)));
    CHECK(text == "bad");
  });
}

TEST_CASE_METHOD(fixture, "cancelling the shield leaves the inner task alone", "[rule-098]") {
  run([this]() -> rondo::coro<> {
    const rondo::task<int> inner = rondo::create_task(work(*this, "inner", 6, 5));
    const rondo::task<> outer = rondo::create_task([&]() -> rondo::coro<> {
      const std::string text = co_await ends_with(rondo::shield(inner));
      note("outer " + text);
    });
    co_await yields(2);
    outer.cancel("away");
    co_await outer;
    CHECK(inner.cancelling() == 0);
    const int result = co_await inner;
    CHECK(result == 5);
  });
  CHECK(trace == events{"outer cancelled: away", "inner"});
}

TEST_CASE_METHOD(fixture, "a shielded coroutine runs on when nobody holds it", "[rule-098]") {
  run([this]() -> rondo::coro<> {
    const rondo::task<> outer = rondo::create_task(
        [&]() -> rondo::coro<> { co_await rondo::shield(work(*this, "inner", 6)); });
    co_await yields(2);
    outer.cancel();
    const std::string text = co_await ends_with(outer);
    note("outer " + text);
    co_await yields(8);
  });
  CHECK(trace == events{"outer cancelled", "inner"});
}

TEST_CASE_METHOD(fixture, "cancelling the inner task cancels the shield", "[rule-098]") {
  run([]() -> rondo::coro<> {
    const rondo::task<> inner = rondo::create_task(forever());
    const auto outer = rondo::shield(inner);
    co_await rondo::yield_now();
    inner.cancel("within");
    const std::string text = co_await ends_with(outer);
    CHECK(text == "cancelled: within");
    CHECK(outer.cancelled());
    CHECK(requests() == 0);
  });
}

TEST_CASE_METHOD(fixture, "an error after the shield was cancelled is reported if nobody reads it",
                 "[rule-099]") {
  const bool read = GENERATE(false, true);
  run([&]() -> rondo::coro<> {
    rondo::task<int> inner = rondo::create_task(fail(*this, "late", 4));
    {
      auto outer = rondo::shield(inner);
      co_await rondo::yield_now();
      outer.cancel();
      co_await yields(5);
    }
    CHECK(reports.empty());
    if (read) CHECK(text_of(inner.exception()) == "late");
  });
  if (read) {
    CHECK(reports.empty());
  } else {
    CHECK(take_reports() == events{"Task exception was never retrieved"});
  }
}

TEST_CASE_METHOD(fixture, "shielding the same future again and again leaves nothing behind",
                 "[rule-100]") {
  run([this]() -> rondo::coro<> {
    const auto inner = loop->create_future<int>();
    std::vector<rondo::future<int>> kept;
    const std::ptrdiff_t before = rondo::detail::live_blocks();
    for (int n = 0; n < 100; ++n) {
      const auto outer = rondo::shield(inner);
      outer.cancel();
    }
    for (int n = 0; n < 100; ++n) static_cast<void>(rondo::shield(inner));
    CHECK(rondo::detail::live_blocks() == before);
    CHECK(inner.core()->waiters == nullptr);
    const auto held = rondo::shield(inner);
    held.cancel();
    CHECK(inner.core()->waiters == nullptr);
    co_return;
  });
}

TEST_CASE_METHOD(fixture, "a done callback keeps the shield alive, and nothing else does",
                 "[rule-098]") {
  rondo::shield(loop->create_task(work(*this, "a", 2))).add_done_callback([this] {
    note("called");
  });
  turn(6);
  CHECK(trace == events{"a", "called"});
  rondo::shield(loop->create_future<int>()).add_done_callback([this] { note("never"); });
  turn(2);
}

TEST_CASE_METHOD(fixture, "the shield takes over a result that cannot be copied", "[rule-098]") {
  run([]() -> rondo::coro<> {
    const auto make = []() -> rondo::coro<std::unique_ptr<int>> {
      co_await rondo::yield_now();
      co_return std::make_unique<int>(6);
    };
    const auto result = co_await rondo::shield(make());
    CHECK(*result == 6);
  });
}

TEST_CASE_METHOD(fixture, "shield: a completion and a cancellation in the same iteration",
                 "[fault-D2]") {
  const bool cancel_first = GENERATE(false, true);
  const int turns = GENERATE(0, 1);
  const auto inner = loop->create_future<int>();
  const rondo::task<> outer = loop->create_task([&]() -> rondo::coro<> {
    const std::string text = co_await ends_with(rondo::shield(inner));
    note(text);
  });
  turn(2);
  if (cancel_first) outer.cancel();
  inner.set_result(5);
  turn(turns);
  if (!cancel_first) outer.cancel();
  turn(4);
  CHECK(outer.done());
  CHECK(trace == events{"cancelled"});
  CHECK(inner.result() == 5);
}

// ---- with_shield ----

TEST_CASE_METHOD(fixture, "with_shield lets no cancellation in and delivers it afterwards",
                 "[with_shield]") {
  run([this]() -> rondo::coro<> {
    const rondo::task<> task = rondo::create_task([this]() -> rondo::coro<> {
      const rondo::any_task self = rondo::current_task();
      const auto body = [&](int n) -> rondo::coro<int> {
        CHECK(rondo::current_task() == self);
        co_await yields(4);
        CHECK(requests() == 2);
        note("cleaned up");
        co_return n;
      };
      const int result = co_await rondo::with_shield(body, 7);
      CHECK(result == 7);
      CHECK(requests() == 2);
      note("after");
      const std::string text = co_await ends_with(rondo::yield_now());
      note(text);
    });
    co_await yields(2);
    task.cancel("one");
    task.cancel("two");
    CHECK(task.cancelling() == 2);
    co_await task;
  });
  CHECK(trace == events{"cleaned up", "after", "cancelled: two"});
}

TEST_CASE_METHOD(fixture, "a request that is pending at the entry of with_shield waits, too",
                 "[with_shield]") {
  run([this]() -> rondo::coro<> {
    const rondo::task<> task = rondo::create_task([this]() -> rondo::coro<> {
      rondo::current_task().cancel();
      co_await rondo::with_shield(yields, 3);
      note("body done");
      CHECK(requests() == 1);
      co_await rondo::yield_now();
      note("never");
    });
    const std::string text = co_await ends_with(task);
    note(text);
    CHECK(task.cancelled());
  });
  CHECK(trace == events{"body done", "cancelled"});
}

TEST_CASE_METHOD(fixture, "a task that ends after a shield that held a request ends cancelled",
                 "[with_shield][rule-075]") {
  run([]() -> rondo::coro<> {
    const rondo::task<> task =
        rondo::create_task([]() -> rondo::coro<> { co_await rondo::with_shield(yields, 3); });
    co_await yields(2);
    task.cancel("late");
    const std::string text = co_await ends_with(task);
    CHECK(text == "cancelled: late");
  });
}

TEST_CASE_METHOD(fixture, "uncancel withdraws a request that a shield holds",
                 "[with_shield][rule-076]") {
  run([this]() -> rondo::coro<> {
    const rondo::task<> task = rondo::create_task([]() -> rondo::coro<> {
      co_await rondo::with_shield(yields, 4);
      co_await rondo::yield_now();
    });
    co_await yields(2);
    task.cancel();
    CHECK(task.cancelling() == 1);
    CHECK(task.uncancel() == 0);
    co_await task;
    const rondo::task<> other = rondo::create_task([this]() -> rondo::coro<> {
      rondo::current_task().cancel();
      const auto body = []() -> rondo::coro<> {
        co_await rondo::yield_now();
        CHECK(rondo::current_task().uncancel() == 0);
      };
      co_await rondo::with_shield(body);
      co_await rondo::yield_now();
      note("not cancelled");
    });
    co_await other;
  });
  CHECK(trace == events{"not cancelled"});
}

TEST_CASE_METHOD(fixture, "a timeout inside a shield works, one outside waits", "[with_shield]") {
  run([this]() -> rondo::coro<> {
    const auto inner = [](rondo::timeout&) -> rondo::coro<> { co_await rondo::sleep(1h); };
    const auto cleanup = [&]() -> rondo::coro<> {
      const std::string text = co_await ends_with(rondo::with_timeout(1ms, inner));
      note("inner " + text);
      CHECK(requests() == 1);
    };
    const auto outer = [&](rondo::timeout&) -> rondo::coro<> {
      rondo::current_task().cancel();
      co_await rondo::with_shield(cleanup);
      note("shield left");
    };
    const rondo::task<> task = rondo::create_task([&]() -> rondo::coro<> {
      const std::string text = co_await ends_with(rondo::with_timeout(1h, outer));
      note("outer " + text);
    });
    const std::string ended = co_await ends_with(task);
    note("task " + ended);
    // Now the outer one fires while the shield holds.
    const auto slow = [](rondo::timeout& limit) -> rondo::coro<> {
      const auto late = [&]() -> rondo::coro<> {
        co_await rondo::sleep(3ms);
        CHECK(limit.expired());
      };
      co_await rondo::with_shield(late);
      co_await rondo::yield_now();
    };
    const std::string text = co_await ends_with(rondo::with_timeout(1ms, slow));
    note("second " + text);
    CHECK(requests() == 0);
  });
  CHECK(trace ==
        events{"inner timeout", "shield left", "outer -", "task cancelled", "second timeout"});
}

TEST_CASE_METHOD(fixture, "shields may be nested", "[with_shield]") {
  run([this]() -> rondo::coro<> {
    const rondo::task<> task = rondo::create_task([this]() -> rondo::coro<> {
      const auto inner = [this]() -> rondo::coro<> {
        co_await yields(4);
        note("inner");
      };
      const auto outer = [&]() -> rondo::coro<> {
        co_await rondo::with_shield(inner);
        co_await yields(2);
        note("outer");
      };
      co_await rondo::with_shield(outer);
      const std::string text = co_await ends_with(rondo::yield_now());
      note(text);
    });
    co_await yields(2);
    task.cancel();
    co_await task;
  });
  CHECK(trace == events{"inner", "outer", "cancelled"});
}

TEST_CASE_METHOD(fixture, "a cancellation stops at a shielded task that is awaited",
                 "[with_shield]") {
  run([this]() -> rondo::coro<> {
    const rondo::task<> inner = rondo::create_task([this]() -> rondo::coro<> {
      co_await rondo::with_shield(yields, 6);
      note("inner finished cleanup");
      co_await rondo::yield_now();
      note("never");
    });
    const rondo::task<> outer = rondo::create_task([&]() -> rondo::coro<> { co_await inner; });
    co_await yields(3);
    outer.cancel();
    const std::string text = co_await ends_with(outer);
    note("outer " + text);
    CHECK(inner.cancelled());
  });
  CHECK(trace == events{"inner finished cleanup", "outer cancelled"});
}

TEST_CASE_METHOD(fixture, "an exception leaves a shield as it leaves any block", "[with_shield]") {
  run([this]() -> rondo::coro<> {
    const auto body = [this]() -> rondo::coro<> { co_await fail(*this, "bad", 3); };
    const rondo::task<> task =
        rondo::create_task([&]() -> rondo::coro<> { co_await rondo::with_shield(body); });
    co_await yields(2);
    task.cancel();
    const std::string text = co_await ends_with(task);
    CHECK(text == "bad");
  });
}

TEST_CASE("run() does not interrupt a cleanup under a shield", "[with_shield]") {
  const rondo_test::oracle unchanged;
  events trace;
  const auto cleanup = [&]() -> rondo::coro<> {
    co_await yields(5);
    trace.push_back("cleaned up");
  };
  rondo::run([&]() -> rondo::coro<> {
    const auto background = [&]() -> rondo::coro<> {
      std::exception_ptr cancelled;
      try {
        co_await rondo::sleep(1h);
      } catch (const rondo::cancelled_error&) {
        cancelled = std::current_exception();
      }
      co_await rondo::with_shield(cleanup);
      std::rethrow_exception(cancelled);
    };
    const rondo::task<> task = rondo::create_task(background);
    co_await rondo::yield_now();
    task.cancel();
    co_await yields(2);
    trace.push_back("main ends");
  });
  CHECK(trace == events{"main ends", "cleaned up"});
}

TEST_CASE("a loop that goes while a task is in a shield destroys it", "[with_shield][fault-E1]") {
  const rondo_test::oracle unchanged;
  const rondo_test::log_capture log;
  auto loop = rondo::new_event_loop();
  loop->create_task([]() -> rondo::coro<> { co_await rondo::with_shield(forever); });
  loop->run_once();
  loop.reset();
  CHECK(log.count("destroyed but it is pending") == 1);
}
