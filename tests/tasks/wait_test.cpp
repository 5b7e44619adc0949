// SPDX-License-Identifier: MIT
// rondo tests: wait and as_completed (rules 56, 93-97; fault D2).
#include "tasks/task_support.hpp"

using namespace task_test;

namespace {

template <class T>
events names(const std::vector<rondo::task<T>>& tasks) {
  events result;
  for (const auto& each : tasks) result.push_back(each.name());
  return result;
}

rondo::task<int> start(fixture& f, std::string_view name, int iterations) {
  return rondo::create_task(work(f, std::string(name), iterations), {.name = name});
}
rondo::task<int> start_failing(fixture& f, std::string_view name, int iterations) {
  return rondo::create_task(fail(f, std::string(name), iterations), {.name = name});
}

template <class R>
concept can_wait_for = requires(R range) { rondo::wait(std::move(range)); };

}  // namespace

TEST_CASE_METHOD(fixture, "wait gives what is done and what is not, in the order of the argument",
                 "[rule-093]") {
  run([this]() -> rondo::coro<> {
    const std::vector<rondo::task<int>> tasks = {start(*this, "a", 3), start(*this, "b", 0),
                                                 start(*this, "c", 9), start(*this, "d", 3)};
    auto [done, pending] =
        co_await rondo::wait(tasks, {.when = rondo::return_when::first_completed});
    CHECK(names(done) == events{"b"});
    CHECK(names(pending) == events{"a", "c", "d"});
    // One that is done already is enough.
    auto again = co_await rondo::wait(tasks, {.when = rondo::return_when::first_completed});
    CHECK(names(again.done) == events{"a", "b", "d"});
    auto all = co_await rondo::wait(tasks);
    CHECK(names(all.done) == events{"a", "b", "c", "d"});
    CHECK(all.pending.empty());
  });
}

TEST_CASE_METHOD(fixture, "wait always suspends: two iterations if all are done", "[rule-056]") {
  run([this]() -> rondo::coro<> {
    const std::vector<rondo::task<int>> tasks = {start(*this, "a", 0), start(*this, "b", 0)};
    std::uint64_t begin = now();
    co_await rondo::wait(tasks);
    CHECK(now() - begin == 3);
    begin = now();
    co_await rondo::wait(tasks);
    CHECK(now() - begin == 2);
  });
}

TEST_CASE_METHOD(fixture, "wait: a timeout is no error and cancels nothing", "[rule-093]") {
  run([this]() -> rondo::coro<> {
    std::vector<rondo::future<int>> futures = {loop->create_future<int>(),
                                               loop->create_future<int>()};
    const rondo::interval limit =
        GENERATE(rondo::interval(1ms), rondo::interval(0s), rondo::interval(-1s));
    loop->call_soon([futures] { futures[1].set_result(1); });
    auto result = co_await rondo::wait(futures, {.timeout = limit});
    CHECK(result.done == std::vector{futures[1]});
    CHECK(result.pending == std::vector{futures[0]});
    CHECK_FALSE(futures[0].done());
  });
}

TEST_CASE_METHOD(fixture, "wait does not throw what the tasks throw", "[rule-093]") {
  run([this]() -> rondo::coro<> {
    const std::vector<rondo::task<int>> tasks = {start_failing(*this, "bad", 0)};
    auto result = co_await rondo::wait(tasks);
    CHECK(result.done.size() == 1);
    CHECK(text_of(tasks[0].exception()) == "bad");
  });
}

TEST_CASE_METHOD(fixture, "wait counts a future that is named twice once", "[rule-093]") {
  run([this]() -> rondo::coro<> {
    const rondo::task<int> a = start(*this, "a", 1);
    const std::vector<rondo::task<int>> tasks = {a, start(*this, "b", 0), a};
    auto result = co_await rondo::wait(tasks);
    CHECK(names(result.done) == events{"a", "b"});
  });
}

TEST_CASE_METHOD(fixture, "wait: what cannot be waited for", "[rule-093]") {
  static_assert(can_wait_for<std::vector<rondo::task<int>>>);
  static_assert(can_wait_for<std::vector<rondo::any_future>>);
  static_assert(!can_wait_for<std::vector<rondo::coro<int>>>);
  run([this]() -> rondo::coro<> {
    const std::string empty = co_await ends_with(rondo::wait(std::vector<rondo::task<int>>()));
    CHECK(empty == "Set of Tasks/Futures is empty.");
    const std::vector<rondo::future<>> futures = {loop->create_future<>()};
    const std::string mode =
        co_await ends_with(rondo::wait(futures, {.when = static_cast<rondo::return_when>(9)}));
    CHECK(mode == "Invalid return_when value");
    const auto other = rondo::new_event_loop();
    const std::vector<rondo::future<>> foreign = {other->create_future<>()};
    bool refused = false;
    try {
      co_await rondo::wait(foreign);
    } catch (const std::invalid_argument&) {
      refused = true;
    }
    CHECK(refused);
  });
}

TEST_CASE_METHOD(fixture, "first_exception: a cancelled task is none", "[rule-094]") {
  run([this]() -> rondo::coro<> {
    const std::vector<rondo::task<int>> tasks = {start(*this, "a", 20), start(*this, "b", 20),
                                                 start_failing(*this, "bad", 4),
                                                 start(*this, "c", 0)};
    co_await rondo::yield_now();
    tasks[1].cancel();
    auto result = co_await rondo::wait(tasks, {.when = rondo::return_when::first_exception});
    CHECK(names(result.done) == events{"b", "bad", "c"});
    CHECK(names(result.pending) == events{"a"});
    co_await tasks[0];
  });
}

TEST_CASE_METHOD(fixture, "cancelling wait leaves the tasks alone", "[rule-095]") {
  run([this]() -> rondo::coro<> {
    const std::vector<rondo::task<int>> tasks = {start(*this, "a", 6)};
    const rondo::task<> waits = rondo::create_task([&]() -> rondo::coro<> {
      const std::string text = co_await ends_with(rondo::wait(tasks, {.timeout = 1h}));
      note("wait " + text);
    });
    co_await yields(2);
    waits.cancel();
    co_await waits;
    CHECK(requests() == 0);
    CHECK(tasks[0].cancelling() == 0);
    co_await tasks[0];
  });
  CHECK(trace == events{"wait cancelled", "a"});
}

TEST_CASE_METHOD(fixture, "wait: a completion and a cancellation in the same iteration",
                 "[fault-D2]") {
  const bool cancel_first = GENERATE(false, true);
  const int turns = GENERATE(0, 1);
  const std::vector<rondo::future<>> futures = {loop->create_future<>()};
  const rondo::task<> waits = loop->create_task([&]() -> rondo::coro<> {
    const std::string text = co_await ends_with(rondo::wait(futures));
    note(text);
  });
  turn(2);
  if (cancel_first) waits.cancel();
  futures[0].set_result();
  turn(turns);
  if (!cancel_first) waits.cancel();
  turn(4);
  CHECK(waits.done());
  CHECK(trace == events{"cancelled"});
}

// ---- as_completed ----

TEST_CASE_METHOD(fixture, "as_completed gives the futures in the order in which they are done",
                 "[rule-096][rule-097]") {
  run([this]() -> rondo::coro<> {
    const std::vector<rondo::task<int>> tasks = {start(*this, "a", 5), start(*this, "b", 1),
                                                 start(*this, "c", 3), start(*this, "d", 1)};
    auto all = rondo::as_completed(tasks);
    events order;
    while (auto next = co_await all.next()) {
      CHECK(next->done());
      order.push_back(next->name());
    }
    CHECK(order == events{"b", "d", "c", "a"});
    const auto more = co_await all.next();
    CHECK_FALSE(more.has_value());
  });
}

TEST_CASE_METHOD(fixture, "as_completed starts coroutines, and gives each future once",
                 "[rule-096]") {
  run([this]() -> rondo::coro<> {
    std::vector<rondo::coro<int>> coros;
    for (int n = 0; n < 3; ++n) coros.push_back(work(*this, std::to_string(n), 3 - n, n));
    auto all = rondo::as_completed(std::move(coros));
    std::vector<int> results;
    while (auto next = co_await all.next()) results.push_back(next->result());
    CHECK(results == std::vector{2, 1, 0});
    const rondo::task<int> one = start(*this, "one", 0);
    auto twice = rondo::as_completed(std::vector{one, one});
    int count = 0;
    while (auto next = co_await twice.next()) ++count;
    CHECK(count == 1);
    auto none = rondo::as_completed(std::vector<rondo::task<int>>());
    const auto nothing = co_await none.next();
    CHECK_FALSE(nothing.has_value());
  });
}

TEST_CASE_METHOD(fixture, "as_completed throws timeout_error while something is outstanding",
                 "[rule-096]") {
  run([this]() -> rondo::coro<> {
    std::vector<rondo::future<int>> futures;
    for (int n = 0; n < 3; ++n) futures.push_back(loop->create_future<int>());
    auto all = rondo::as_completed(futures, 1ms);
    futures[1].set_result(1);
    co_await rondo::sleep(3ms);
    // What was done in time comes first.
    const auto first = co_await all.next();
    CHECK(*first == futures[1]);
    std::string text = co_await ends_with(all.next());
    CHECK(text == "timeout");
    text = co_await ends_with(all.next());
    CHECK(text == "timeout");
    CHECK_FALSE(futures[0].done());
    futures[0].set_result(0);
    futures[2].set_result(2);
    co_await rondo::yield_now();
    const auto second = co_await all.next();
    const auto third = co_await all.next();
    const auto end = co_await all.next();
    CHECK(*second == futures[0]);
    CHECK(*third == futures[2]);
    CHECK_FALSE(end.has_value());
    // A consumer that waits when the time is up.
    auto late = rondo::as_completed(std::vector{loop->create_future<int>()}, 1ms);
    text = co_await ends_with(late.next());
    CHECK(text == "timeout");
  });
}

TEST_CASE_METHOD(fixture, "cancelling the consumer of as_completed cancels nothing else",
                 "[rule-096]") {
  run([this]() -> rondo::coro<> {
    const std::vector<rondo::task<int>> tasks = {start(*this, "a", 5)};
    auto all = rondo::as_completed(tasks);
    const rondo::task<> consumer = rondo::create_task([&]() -> rondo::coro<> {
      const std::string text = co_await ends_with(all.next());
      note(text);
    });
    co_await yields(2);
    consumer.cancel();
    co_await consumer;
    CHECK(tasks[0].cancelling() == 0);
    const auto next = co_await all.next();
    CHECK(next->name() == "a");
  });
  CHECK(trace == events{"cancelled", "a"});
}

TEST_CASE_METHOD(fixture, "several consumers of as_completed are served in order", "[rule-096]") {
  run([this]() -> rondo::coro<> {
    std::vector<rondo::future<int>> futures = {loop->create_future<int>(),
                                               loop->create_future<int>()};
    auto all = rondo::as_completed(futures);
    const auto consume = [&](std::string name) -> rondo::coro<> {
      const auto next = co_await all.next();
      note(name + (next ? " " + std::to_string(next->result()) : " nothing"));
    };
    const rondo::task<> first = rondo::create_task(consume("first"));
    const rondo::task<> second = rondo::create_task(consume("second"));
    const rondo::task<> third = rondo::create_task(consume("third"));
    co_await rondo::yield_now();
    futures[1].set_result(1);
    co_await yields(3);
    futures[0].set_result(0);
    co_await rondo::gather(first, second, third);
  });
  CHECK(trace == events{"first 1", "second 0", "third nothing"});
}

TEST_CASE_METHOD(fixture, "a consumer that is cancelled as it is woken passes its future on",
                 "[fault-D5]") {
  run([this]() -> rondo::coro<> {
    std::vector<rondo::future<int>> futures = {loop->create_future<int>(),
                                               loop->create_future<int>()};
    auto all = rondo::as_completed(futures);
    const auto consume = [&](std::string name) -> rondo::coro<> {
      const auto next = co_await all.next();
      note(name + " " + std::to_string(next->result()));
    };
    const rondo::task<> first = rondo::create_task(consume("first"));
    const rondo::task<> second = rondo::create_task(consume("second"));
    co_await rondo::yield_now();
    futures[1].set_result(1);
    co_await rondo::yield_now();
    first.cancel();
    const std::string text = co_await ends_with(first);
    CHECK(text == "cancelled");
    co_await second;
  });
  CHECK(trace == events{"second 1"});
}

TEST_CASE_METHOD(fixture, "a stream may be dropped while it has futures, a timer and a consumer",
                 "[rule-096]") {
  run([this]() -> rondo::coro<> {
    const auto future = loop->create_future<int>();
    rondo::task<> consumer;
    {
      auto all = rondo::as_completed(std::vector{future}, 1h);
      consumer = rondo::create_task(
          [](rondo::coro<std::optional<rondo::future<int>>> next) -> rondo::coro<> {
            co_await std::move(next);
          },
          all.next());
      co_await rondo::yield_now();
    }
    static_cast<void>(rondo::as_completed(std::vector{future}, 1h));
    future.set_result(1);
    co_await consumer;
  });
}
