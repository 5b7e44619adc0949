// SPDX-License-Identifier: MIT
// rondo tests: gather, gather_settled and ensure_future (rules 56, 80, 86-92; faults D2, D8, D9,
// D12, D13).
#include "tasks/task_support.hpp"

using namespace task_test;

TEST_CASE_METHOD(fixture, "ensure_future gives the same future, and wraps anything else",
                 "[rule-080]") {
  run([this]() -> rondo::coro<> {
    const auto future = loop->create_future<int>();
    CHECK(rondo::ensure_future(future) == future);
    CHECK(rondo::ensure_future(future, *loop) == future);
    const rondo::task<int> task = rondo::create_task(work(*this, "task", 0, 1));
    CHECK(rondo::ensure_future(task) == task);
    const rondo::any_task any(task);
    const rondo::future<void> untyped = rondo::ensure_future(any);
    CHECK(rondo::any_future(untyped) == any);
    const rondo::future<int> wrapped = rondo::ensure_future(work(*this, "coro", 0, 2));
    const rondo::future<int> elsewhere = rondo::ensure_future(work(*this, "given", 0, 3), *loop);
    const rondo::future<void> yielding = rondo::ensure_future(rondo::yield_now());
    const int first = co_await wrapped;
    const int second = co_await elsewhere;
    co_await yielding;
    CHECK(first == 2);
    CHECK(second == 3);
    const auto other = rondo::new_event_loop();
    CHECK_THROWS_AS(rondo::ensure_future(future, *other), std::invalid_argument);
  });
  CHECK(trace == events{"task", "coro", "given"});
  rondo_test::log_capture quiet;
  CHECK_THROWS_AS(rondo::ensure_future(work(*this, "never", 0)), std::logic_error);
}

TEST_CASE_METHOD(fixture, "gather yields the results in the order of the arguments", "[rule-086]") {
  run([this]() -> rondo::coro<> {
    auto [a, nothing, c] =
        co_await rondo::gather(work(*this, "a", 3, 1), rondo::sleep(0s), work(*this, "c", 1, 3));
    CHECK(a == 1);
    CHECK(nothing == std::monostate());
    CHECK(c == 3);
    std::vector<rondo::coro<int>> coros;
    for (int n = 0; n < 4; ++n) coros.push_back(work(*this, std::to_string(n), 4 - n, n));
    const std::vector<int> numbers = co_await rondo::gather(std::move(coros));
    CHECK(numbers == std::vector<int>{0, 1, 2, 3});
  });
  CHECK(trace == events{"c", "a", "3", "2", "1", "0"});
}

TEST_CASE_METHOD(fixture, "gather of void awaitables yields void", "[rule-086]") {
  run([]() -> rondo::coro<> {
    static_assert(
        std::is_same_v<decltype(rondo::gather(forever(), forever())), rondo::future<void>>);
    static_assert(
        std::is_same_v<decltype(rondo::gather(std::vector<rondo::coro<>>())), rondo::future<void>>);
    co_await rondo::gather(rondo::sleep(0s), rondo::yield_now());
    std::vector<rondo::task<>> tasks;
    tasks.push_back(rondo::create_task(rondo::sleep(0s)));
    co_await rondo::gather(tasks);
    CHECK(tasks[0].done());
  });
}

TEST_CASE_METHOD(fixture, "gather starts its children in the order of the arguments",
                 "[rule-086]") {
  run([this]() -> rondo::coro<> {
    co_await rondo::gather(work(*this, "a", 0), work(*this, "b", 0), work(*this, "c", 0),
                           work(*this, "d", 0), work(*this, "e", 0));
    co_await rondo::gather_settled(work(*this, "f", 0), work(*this, "g", 0));
  });
  CHECK(trace == events{"a", "b", "c", "d", "e", "f", "g"});
}

TEST_CASE_METHOD(fixture, "the same awaitable twice is run once and reported twice", "[rule-086]") {
  run([this]() -> rondo::coro<> {
    const rondo::task<int> task = rondo::create_task(work(*this, "once", 1, 5));
    auto [a, b] = co_await rondo::gather(task, task);
    CHECK(a == 5);
    CHECK(b == 5);
    const rondo::task<int> bad = rondo::create_task(fail(*this, "bad", 1));
    const std::vector<rondo::task<int>> twice(2, bad);
    const auto both = co_await rondo::gather_settled(twice);
    CHECK(text_of(both[0].exception()) == "bad");
    CHECK(text_of(both[1].exception()) == "bad");
  });
  CHECK(trace == events{"once", "bad"});
}

TEST_CASE_METHOD(fixture, "gather of nothing is done at once", "[rule-086][rule-092]") {
  run([]() -> rondo::coro<> {
    const auto none = rondo::gather();
    CHECK(none.done());
    co_await none;
    const auto empty = rondo::gather(std::vector<rondo::task<int>>());
    CHECK(empty.done());
    CHECK(empty.result().empty());
    const auto settled = rondo::gather_settled(std::vector<rondo::coro<>>());
    CHECK(settled.result().empty());
  });
  CHECK_THROWS_AS(rondo::gather(), std::logic_error);
}

TEST_CASE_METHOD(fixture, "gather of two trivial coroutines takes three iterations", "[rule-056]") {
  run([this]() -> rondo::coro<> {
    co_await rondo::yield_now();
    const std::uint64_t begin = now();
    co_await rondo::gather(work(*this, "a", 0), work(*this, "b", 0));
    CHECK(now() - begin == 3);
  });
}

TEST_CASE_METHOD(fixture, "the first error is thrown at once and the others go on", "[rule-087]") {
  run([this]() -> rondo::coro<> {
    const rondo::task<int> slow = rondo::create_task(work(*this, "slow", 7, 1));
    const std::string text =
        co_await ends_with(rondo::gather(slow, fail(*this, "first", 1), fail(*this, "second", 5)));
    note("caught " + text);
    CHECK_FALSE(slow.done());
    const int result = co_await slow;
    CHECK(result == 1);
  });
  CHECK(trace == events{"first", "caught first", "second", "slow"});
  // What came later is dropped without a report.
  CHECK(reports.empty());
}

TEST_CASE_METHOD(fixture, "errors in the same iteration: the first in order wins", "[rule-087]") {
  run([this]() -> rondo::coro<> {
    const std::string text =
        co_await ends_with(rondo::gather(fail(*this, "b", 1), fail(*this, "a", 1)));
    CHECK(text == "b");
  });
}

TEST_CASE_METHOD(fixture, "a gather that is dropped loses no error", "[rule-087]") {
  run([this]() -> rondo::coro<> {
    static_cast<void>(rondo::gather(fail(*this, "a", 1), work(*this, "b", 2)));
    co_await yields(5);
  });
  CHECK(trace == events{"a", "b"});
  CHECK(take_reports() == events{"Task exception was never retrieved"});
}

TEST_CASE_METHOD(fixture, "a gather that failed and is not read is reported once", "[rule-087]") {
  run([this]() -> rondo::coro<> {
    auto outer = rondo::gather(fail(*this, "a", 0), fail(*this, "b", 0));
    co_await yields(5);
    CHECK(outer.done());
  });
  CHECK(take_reports() == events{"Future exception was never retrieved"});
}

TEST_CASE_METHOD(fixture, "gather_settled makes errors and cancellations results", "[rule-088]") {
  run([this]() -> rondo::coro<> {
    const rondo::task<> cancelled = rondo::create_task(forever());
    co_await rondo::yield_now();
    cancelled.cancel("enough");
    auto [a, b, c, d] = co_await rondo::gather_settled(work(*this, "a", 2, 7), fail(*this, "b", 1),
                                                       cancelled, rondo::sleep(0s));
    CHECK(a.has_value());
    CHECK(a.value() == 7);
    CHECK_FALSE(a.exception());
    CHECK_FALSE(b);
    CHECK(text_of(b.exception()) == "b");
    CHECK_THROWS_WITH(b.value(), "b");
    CHECK(text_of(c.exception()) == "cancelled: enough");
    CHECK(d);
    CHECK(d.value() == std::monostate());
  });
}

TEST_CASE_METHOD(fixture, "cancelling a gather cancels its children; the first to end ends it",
                 "[rule-089]") {
  run([&]() -> rondo::coro<> {
    const rondo::task<> outer = rondo::create_task([this]() -> rondo::coro<> {
      const std::string text = co_await ends_with(
          rondo::gather(slow_to_cancel(*this, "slow", 8), slow_to_cancel(*this, "fast", 1)));
      note("outer " + text);
      CHECK(requests() == 1);
    });
    co_await yields(2);
    outer.cancel("stop");
    co_await outer;
    note("outer done");
    co_await yields(8);
  });
  CHECK(trace ==
        events{"fast cleaned up", "outer cancelled: stop", "outer done", "slow cleaned up"});
}

TEST_CASE_METHOD(fixture, "cancelling gather_settled waits for all and still throws",
                 "[rule-089]") {
  run([&]() -> rondo::coro<> {
    const auto outer = rondo::create_task([this]() -> rondo::coro<> {
      const std::string text = co_await ends_with(
          rondo::gather_settled(slow_to_cancel(*this, "slow", 4), work(*this, "done", 0)));
      note("outer " + text);
    });
    co_await yields(4);
    outer.cancel();
    co_await outer;
  });
  CHECK(trace == events{"done", "slow cleaned up", "outer cancelled"});
}

TEST_CASE_METHOD(fixture, "children that swallow the cancellation do not stop it", "[rule-089]") {
  run([&]() -> rondo::coro<> {
    const auto stubborn = []() -> rondo::coro<int> {
      try {
        co_await rondo::sleep(1h);
      } catch (const rondo::cancelled_error&) {
      }
      co_return 1;
    };
    const auto outer = rondo::gather(stubborn(), stubborn());
    co_await rondo::yield_now();
    CHECK(outer.cancel("mine"));
    const std::string text = co_await ends_with(outer);
    CHECK(text == "cancelled: mine");
    CHECK_FALSE(outer.cancelled());
  });
}

TEST_CASE_METHOD(fixture, "a child that is cancelled alone is an exception of the gather",
                 "[rule-090]") {
  run([&]() -> rondo::coro<> {
    const rondo::task<> child = rondo::create_task(forever());
    const auto outer = rondo::gather(child, work(*this, "sibling", 4));
    co_await rondo::yield_now();
    child.cancel("alone");
    const std::string text = co_await ends_with(outer);
    CHECK(text == "cancelled: alone");
    CHECK_FALSE(outer.cancelled());
    CHECK(requests() == 0);
    co_await yields(4);
  });
  CHECK(trace == events{"sibling"});
}

TEST_CASE_METHOD(fixture, "a finished gather cannot be cancelled, and leaves the rest running",
                 "[rule-091]") {
  run([&]() -> rondo::coro<> {
    const rondo::task<int> rest = rondo::create_task(work(*this, "rest", 6));
    const auto outer = rondo::gather(fail(*this, "bad", 0), rest);
    const std::string text = co_await ends_with(outer);
    CHECK(text == "bad");
    CHECK_FALSE(outer.cancel());
    co_await rest;
    CHECK_FALSE(rest.cancelled());
  });
  CHECK(trace == events{"bad", "rest"});
}

TEST_CASE_METHOD(fixture, "children that are done at the call count at once", "[rule-092]") {
  run([&]() -> rondo::coro<> {
    const auto one = loop->create_future<int>();
    const auto bad = loop->create_future<int>();
    one.set_result(1);
    bad.set_exception(std::runtime_error("bad"));
    const auto all = rondo::gather(one, one);
    CHECK(all.done());
    CHECK(all.result() == std::tuple(1, 1));
    const auto failed = rondo::gather(loop->create_future<int>(), bad);
    CHECK(failed.done());
    CHECK(text_of(failed.exception()) == "bad");
    const auto settled = rondo::gather_settled(bad, one);
    CHECK(settled.done());
    co_return;
  });
}

TEST_CASE_METHOD(fixture, "gather moves results where nobody else can look at them", "[rule-086]") {
  run([&]() -> rondo::coro<> {
    const auto make = [](int n) -> rondo::coro<std::unique_ptr<int>> {
      co_return std::make_unique<int>(n);
    };
    auto [a, b] = co_await rondo::gather(make(1), make(2));
    CHECK(*a + *b == 3);
    std::vector<rondo::coro<std::unique_ptr<int>>> coros;
    coros.push_back(make(3));
    coros.push_back(make(4));
    const auto both = co_await rondo::gather(std::move(coros));
    CHECK(*both[0] + *both[1] == 7);
    // A result that a handle outside names is copied.
    const rondo::task<std::string> kept =
        rondo::create_task([]() -> rondo::coro<std::string> { co_return "kept"; });
    const auto copied = co_await rondo::gather(kept, kept);
    CHECK(std::get<0>(copied) == "kept");
    CHECK(std::get<1>(copied) == "kept");
    CHECK(kept.result() == "kept");
  });
}

TEST_CASE_METHOD(fixture, "futures of different loops cannot be gathered", "[rule-080]") {
  const auto other = rondo::new_event_loop();
  const auto a = loop->create_future<int>();
  const auto b = other->create_future<int>();
  CHECK_THROWS_AS(rondo::gather(a, b), std::invalid_argument);
  // Futures bring their loop with them.
  const auto alone = rondo::gather(a);
  a.set_result(4);
  CHECK(loop->run_until_complete(alone) == std::tuple(4));
}

TEST_CASE_METHOD(fixture, "a done callback keeps the gather alive, and nothing else does",
                 "[rule-092]") {
  rondo::gather(loop->create_task(work(*this, "a", 2))).add_done_callback([this] {
    note("called");
  });
  turn(6);
  CHECK(trace == events{"a", "called"});
  // Children that nobody can complete any more.
  rondo::gather(loop->create_future<int>()).add_done_callback([this] { note("never"); });
  const auto future = loop->create_future<int>();
  rondo::gather(future, loop->create_future<int>()).add_done_callback([this] { note("never"); });
  future.set_result(1);
  turn(3);
  CHECK(trace == events{"a", "called"});
}

TEST_CASE_METHOD(fixture, "gather: a completion and a cancellation in the same iteration",
                 "[fault-D2]") {
  const bool cancel_first = GENERATE(false, true);
  const auto child = loop->create_future<int>();
  const rondo::task<> outer = loop->create_task([&]() -> rondo::coro<> {
    const std::string text = co_await ends_with(rondo::gather(child));
    note(text);
    CHECK(requests() == 1);
  });
  turn(2);
  if (cancel_first) outer.cancel();
  if (!child.done()) child.set_result(5);
  if (!cancel_first) outer.cancel();
  turn(5);
  CHECK(outer.done());
  // The cancellation is never lost.
  CHECK(trace == events{"cancelled"});
}

TEST_CASE_METHOD(fixture, "a gather in a gather is cancelled to the innermost", "[rule-089]") {
  run([&]() -> rondo::coro<> {
    const auto outer =
        rondo::gather(rondo::gather(slow_to_cancel(*this, "a", 0), slow_to_cancel(*this, "b", 0)),
                      slow_to_cancel(*this, "c", 0));
    co_await rondo::yield_now();
    outer.cancel();
    const std::string text = co_await ends_with(outer);
    CHECK(text == "cancelled");
  });
  CHECK(trace == events{"a cleaned up", "b cleaned up", "c cleaned up"});
}

TEST_CASE_METHOD(fixture, "tasks that gather each other can be cancelled", "[fault-D13]") {
  run([&]() -> rondo::coro<> {
    rondo::task<> second;
    const rondo::task<> first =
        rondo::create_task([&]() -> rondo::coro<> { co_await rondo::gather(second); });
    second = rondo::create_task([&]() -> rondo::coro<> { co_await rondo::gather(first); });
    co_await yields(3);
    first.cancel();
    co_await yields(8);
    CHECK(first.cancelled());
    CHECK(second.cancelled());
  });
}

namespace {

rondo::coro<> nested(int depth) {
  if (depth == 0) {
    co_await rondo::sleep(1h);
  } else {
    co_await rondo::gather(nested(depth - 1));
  }
}

}  // namespace

TEST_CASE_METHOD(fixture, "gathers nested a hundred thousand deep are cancelled", "[fault-D8]") {
  const int depth = rondo_test::sanitized ? 10'000 : 100'000;
  run([&]() -> rondo::coro<> {
    const rondo::task<> outer = rondo::create_task(nested(depth));
    co_await yields(depth + 2);
    outer.cancel();
    const std::string text = co_await ends_with(outer);
    CHECK(text == "cancelled");
  });
}

TEST_CASE_METHOD(fixture, "a million awaitables are gathered in linear time", "[fault-D9]") {
  const int count = rondo_test::sanitized ? 50'000 : 1'000'000;
  run([&]() -> rondo::coro<> {
    std::vector<rondo::coro<int>> coros;
    coros.reserve(static_cast<std::size_t>(count));
    const auto one = [](int n) -> rondo::coro<int> {
      co_await rondo::yield_now();
      co_return n;
    };
    for (int n = 0; n < count; ++n) coros.push_back(one(n));
    const std::vector<int> numbers = co_await rondo::gather(std::move(coros));
    REQUIRE(numbers.size() == static_cast<std::size_t>(count));
    CHECK(numbers.front() == 0);
    CHECK(numbers.back() == count - 1);
  });
}
