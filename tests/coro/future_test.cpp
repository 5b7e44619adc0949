// SPDX-License-Identifier: MIT
// rondo tests: futures, done callbacks and handles.
#include "coro/support.hpp"

#include <algorithm>
#include <array>
#include <functional>
#include <unordered_set>

using namespace coro_test;

TEST_CASE("a future is pending, then finished, failed or cancelled", "[rule-049]") {
  const balanced guard;
  manual_loop loop;
  const future<int> f = loop.create_future<int>();
  CHECK(!f.done());
  CHECK(!f.cancelled());
  f.set_result(3);
  CHECK(f.done());
  CHECK(f.result() == 3);
  CHECK(f.exception() == nullptr);
  CHECK_THROWS_AS(f.set_result(4), rondo::invalid_state_error);
  CHECK_THROWS_AS(f.set_exception(std::runtime_error("late")), rondo::invalid_state_error);
  CHECK(f.result() == 3);

  const future<> failed = loop.create_future();
  failed.set_exception(std::runtime_error("wrong"));
  CHECK(failed.done());
  CHECK(!failed.cancelled());
  CHECK_THROWS_WITH(failed.result(), "wrong");
  CHECK_THROWS_AS(failed.set_result(), rondo::invalid_state_error);

  const future<> gone = loop.create_future();
  CHECK(gone.cancel());
  CHECK(gone.cancelled());
  CHECK_THROWS_AS(gone.set_result(), rondo::invalid_state_error);
}

TEST_CASE("result and exception of a pending and of a cancelled future throw", "[rule-050]") {
  manual_loop loop;
  const future<int> f = loop.create_future<int>();
  CHECK_THROWS_AS(f.result(), rondo::invalid_state_error);
  CHECK_THROWS_AS(f.exception(), rondo::invalid_state_error);
  f.cancel();
  CHECK_THROWS_AS(f.result(), cancelled_error);
  CHECK_THROWS_AS(f.exception(), cancelled_error);
  STATIC_REQUIRE(!std::is_base_of_v<std::exception, cancelled_error>);
}

TEST_CASE("cancel is true once, and schedules the callbacks", "[rule-051]") {
  manual_loop loop;
  int calls = 0;
  const future<> f = loop.create_future();
  f.add_done_callback([&] { ++calls; });
  CHECK(f.cancel());
  CHECK(!f.cancel());
  CHECK(calls == 0);
  loop.run_once();
  CHECK(calls == 1);
  const future<> finished = loop.create_future();
  finished.set_result();
  CHECK(!finished.cancel());
  CHECK(!finished.cancelled());
}

TEST_CASE("callbacks are scheduled in the order of registration, duplicates kept", "[rule-052]") {
  manual_loop loop;
  std::string order;
  const future<> f = loop.create_future();
  const auto a = [&] { order += 'a'; };
  f.add_done_callback(a);
  f.add_done_callback([&](const future<>& done) { order += done == f ? 'b' : '?'; });
  f.add_done_callback(a);
  loop.call_soon([&] { order += '1'; });
  f.set_result();
  loop.call_soon([&] { order += '2'; });
  CHECK(order.empty());
  loop.run_once();
  CHECK(order == "1aba2");
}

TEST_CASE("a callback on a done future is scheduled at once; removal works until then",
          "[rule-053]") {
  const balanced guard;
  manual_loop loop;
  std::string order;
  const future<> f = loop.create_future();
  const auto a = f.add_done_callback([&] { order += 'a'; });
  const auto b = f.add_done_callback([&] { order += 'b'; });
  CHECK(!(a == b));
  CHECK(f.remove_done_callback(a));
  CHECK(!f.remove_done_callback(a));
  f.set_result();
  CHECK(!f.remove_done_callback(b));
  f.add_done_callback([&] { order += 'c'; });
  CHECK(order.empty());
  loop.run_once();
  CHECK(order == "bc");
}

TEST_CASE("a failing callback is reported and the others run", "[rule-054][fault-D15]") {
  const balanced guard;
  manual_loop loop;
  std::string order;
  const future<> f = loop.create_future();
  f.add_done_callback([&] { order += 'a'; });
  f.add_done_callback([] { throw std::runtime_error("callback"); });
  f.add_done_callback([&] { order += 'b'; });
  f.add_done_callback([] { throw 7; });
  f.add_done_callback([&] { order += 'c'; });
  f.set_result();
  loop.run_once();
  CHECK(order == "abc");
  REQUIRE(loop.reports.size() == 2);
  CHECK(loop.reports[0].message.find("Exception in callback") != std::string::npos);
  CHECK(text_of(loop.reports[0].exception) == "callback");
  CHECK(text_of(loop.reports[1].exception) == "int 7");
}

TEST_CASE("callbacks may add and remove callbacks while they run", "[fault-D15]") {
  const balanced guard;
  manual_loop loop;
  std::string order;
  const future<> f = loop.create_future();
  rondo::callback_id second;
  f.add_done_callback([&] {
    order += f.remove_done_callback(second) ? 'r' : 'k';  // it is scheduled already
    f.add_done_callback([&] {
      order += 'n';
      f.add_done_callback([&] { order += 'm'; });
    });
  });
  second = f.add_done_callback([&] { order += 's'; });
  f.set_result();
  loop.settle();
  CHECK(order == "ksnm");
}

TEST_CASE("awaiting a done future or a coroutine takes no iteration", "[rule-055]") {
  const balanced guard;
  manual_loop loop;
  const auto body = [&]() -> coro<strings> {
    strings log;
    const std::uint64_t start = iteration();
    const future<int> good = loop.create_future<int>();
    good.set_result(4);
    const int got = co_await good;
    log.push_back(std::to_string(got));
    const future<int> bad = loop.create_future<int>();
    bad.set_exception(std::runtime_error("bad"));
    std::string text = co_await outcome(bad);
    log.push_back(std::move(text));
    co_await nothing();
    text = co_await outcome(fail("direct"));
    log.push_back(std::move(text));
    log.push_back(std::to_string(iteration() - start));
    co_return log;
  };
  CHECK(loop.run(body()) == strings{"4", "bad", "direct", "0"});
}

TEST_CASE("ticks are those of asyncio", "[rule-056]") {
  const balanced guard;
  manual_loop loop;
  const auto body = [&]() -> coro<std::vector<std::uint64_t>> {
    std::vector<std::uint64_t> ticks;
    std::uint64_t start = iteration();
    co_await yield_now();
    ticks.push_back(iteration() - start);
    start = iteration();
    co_await rondo::sleep(0s);
    ticks.push_back(iteration() - start);
    start = iteration();
    co_await create_task(nothing());
    ticks.push_back(iteration() - start);
    start = iteration();
    co_await create_task(yields(1));
    ticks.push_back(iteration() - start);
    start = iteration();
    const future<> f = loop.create_future();
    const auto set = [&] { f.set_result(); };
    loop.call_soon(set);
    co_await f;
    ticks.push_back(iteration() - start);
    co_return ticks;
  };
  CHECK(loop.run(body()) == std::vector<std::uint64_t>{1, 1, 2, 3, 2});
}

TEST_CASE("waiters wake in the order in which they began to wait, among other callbacks",
          "[rule-057]") {
  const balanced guard;
  manual_loop loop;
  std::string order;
  const future<> f = loop.create_future();
  const auto waiter = [&](char name) -> coro<> {
    co_await f;
    order += name;
  };
  const auto body = [&]() -> coro<> {
    const auto a = create_task(waiter('a'));
    const auto b = create_task(waiter('b'));
    co_await yield_now();
    f.add_done_callback([&] { order += 'x'; });
    const auto c = create_task(waiter('c'));
    co_await yield_now();
    loop.call_soon([&] { order += '1'; });
    f.set_result();
    loop.call_soon([&] { order += '2'; });
    co_await a;
    co_await b;
    co_await c;
  };
  loop.run(body());
  CHECK(order == "1abxc2");
}

TEST_CASE("awaiting a pending future of another loop fails in the task", "[rule-061][fault-D14]") {
  const balanced guard;
  manual_loop loop;
  manual_loop other;
  const future<> pending = other.create_future();
  const future<int> done = other.create_future<int>();
  done.set_result(5);
  std::string text = loop.run(outcome(pending));
  CHECK(text.find("another loop") != std::string::npos);
  CHECK(loop.run(value(1)) == 1);
  const auto body = [&]() -> coro<int> { co_return co_await done; };
  CHECK(loop.run(body()) == 5);  // as in asyncio: only a wait needs the loop
  CHECK(&pending.get_loop() == &other);
}

TEST_CASE("a future's exception is thrown each time, the same object", "[rule-078]") {
  const balanced guard;
  manual_loop loop;
  const future<> f = loop.create_future();
  const std::exception_ptr error = std::make_exception_ptr(std::runtime_error("kept"));
  f.set_exception(error);
  const auto body = [&]() -> coro<int> {
    int same = 0;
    for (int i = 0; i < 3; ++i) {
      try {
        co_await f;
      } catch (...) {
        same += std::current_exception() == error ? 1 : 0;
      }
    }
    co_return same;
  };
  CHECK(loop.run(body()) == 3);
  CHECK(f.exception() == error);
}

TEST_CASE("set_exception takes exception objects and pointers, not null", "[api-errors]") {
  manual_loop loop;
  const future<> f = loop.create_future();
  CHECK_THROWS_AS(f.set_exception(std::exception_ptr()), std::invalid_argument);
  CHECK(!f.done());
  f.set_exception(7);
  CHECK(text_of(f.exception()) == "int 7");
}

TEST_CASE("an exception that nobody read is reported when the last handle goes",
          "[fault-D7][rule-047]") {
  const balanced guard;
  manual_loop loop;
  {
    future<> f = loop.create_future();
    const future<> second = f;
    f.set_exception(std::runtime_error("unread"));
    f = future<>();
    CHECK(loop.reports.empty());
  }
  REQUIRE(loop.reports.size() == 1);
  CHECK(loop.reports[0].message == "Future exception was never retrieved");
  CHECK(text_of(loop.reports[0].exception) == "unread");

  // Each of these looks at it.
  for (int how = 0; how < 4; ++how) {
    const future<> f = loop.create_future();
    f.set_exception(std::runtime_error("read"));
    if (how == 0) CHECK(f.exception() != nullptr);
    if (how == 1) CHECK_THROWS(f.result());
    if (how == 2) CHECK(!f.cancel());
    if (how == 3) CHECK(loop.run(outcome(f)) == "read");
  }
  CHECK(loop.reports.size() == 1);
  {
    const future<> cancelled = loop.create_future();
    cancelled.cancel();
  }
  CHECK(loop.reports.size() == 1);
}

TEST_CASE("a handler that keeps the future of a report keeps it alive", "[fault-D7]") {
  const balanced guard;
  manual_loop loop;
  any_future kept;
  loop.set_exception_handler(
      [&](rondo::event_loop&, const rondo::exception_context& context) { kept = context.future; });
  {
    const future<int> f = loop.create_future<int>();
    f.set_exception(std::runtime_error("kept"));
  }
  REQUIRE(kept);
  CHECK(outcome_of(kept) == "kept");
  kept = any_future();
}

TEST_CASE("a handler that throws on a report from a destructor does no harm", "[fault-D7]") {
  const balanced guard;
  captured_log log;
  manual_loop loop;
  loop.set_exception_handler([](rondo::event_loop&, const rondo::exception_context&) {
    throw rondo::keyboard_interrupt();
  });
  {
    const future<> f = loop.create_future();
    f.set_exception(std::runtime_error("x"));
  }
  CHECK(log.count("exception handler threw") == 1);
}

TEST_CASE("futures outlive their loop", "[api-lifetimes]") {
  const balanced guard;
  future<std::string> done;
  future<int> failed;
  future<> pending;
  task<int> finished;
  task<> suspended;
  captured_log log;
  {
    manual_loop loop;
    done = loop.create_future<std::string>();
    done.set_result("text");
    failed = loop.create_future<int>();
    failed.set_exception(std::runtime_error("bad"));
    pending = loop.create_future();
    finished = loop.create_task(value(9));
    suspended = loop.create_task(wait_for_future(pending));
    loop.settle();
    loop.close();
    CHECK(&done.get_loop() == &loop);
  }
  CHECK(done.result() == "text");
  CHECK_THROWS_WITH(failed.result(), "bad");
  CHECK(finished.result() == 9);
  CHECK(!suspended.done());
  CHECK_THROWS_AS(done.get_loop(), std::logic_error);
  CHECK(pending.cancel());  // nobody is there to be told
  CHECK(pending.cancelled());
  CHECK(suspended.cancel());
  CHECK(!suspended.done());
  CHECK_THROWS_AS(done.add_done_callback([] {}), rondo::loop_closed_error);
}

TEST_CASE("an exception that nobody read is logged when the loop is gone", "[fault-D7]") {
  const balanced guard;
  captured_log log;
  future<> f;
  {
    manual_loop loop;
    f = loop.create_future();
  }
  f.set_exception(std::runtime_error("late"));
  f = future<>();
  CHECK(log.count("never retrieved") == 1);
}

TEST_CASE("completing a future with waiters on a closed loop changes its state and throws",
          "[rule-022]") {
  const balanced guard;
  manual_loop loop;
  int calls = 0;
  const future<int> f = loop.create_future<int>();
  f.add_done_callback([&] { ++calls; });
  const future<int> alone = loop.create_future<int>();
  const future<int> cancelled = loop.create_future<int>();
  cancelled.add_done_callback([&] { ++calls; });
  loop.close();
  CHECK_THROWS_AS(f.set_result(3), rondo::loop_closed_error);
  CHECK(f.result() == 3);
  alone.set_result(4);
  CHECK(alone.result() == 4);
  CHECK(cancelled.cancel());
  CHECK(cancelled.cancelled());
  CHECK(calls == 0);
}

TEST_CASE("a pending future drops its callbacks when it goes", "[fault-D6]") {
  const balanced guard;
  manual_loop loop;
  const auto token = std::make_shared<int>(1);
  {
    const future<> f = loop.create_future();
    f.add_done_callback([token] {});
    CHECK(token.use_count() == 2);
  }
  CHECK(token.use_count() == 1);
}

TEST_CASE("a callback keeps its captures until it ran, was removed or dropped", "[fault-D15]") {
  const balanced guard;
  const auto token = std::make_shared<int>(1);
  {
    manual_loop loop;
    const future<> f = loop.create_future();
    const auto id = f.add_done_callback([token] {});
    f.remove_done_callback(id);
    CHECK(token.use_count() == 1);
    f.add_done_callback([token] {});
    f.set_result();
    CHECK(token.use_count() == 2);
    loop.run_once();
    CHECK(token.use_count() == 1);
    f.add_done_callback([token] {});
    loop.close();
    CHECK(token.use_count() == 1);
  }
}

TEST_CASE("awaiting an lvalue refers to the result, an rvalue yields it", "[api-handles]") {
  const balanced guard;
  manual_loop loop;
  const auto body = [&]() -> coro<> {
    future<std::string> f = loop.create_future<std::string>();
    f.set_result(std::string(100, 'x'));
    const std::string& seen = co_await f;
    CHECK(&seen == &f.result());
    const char* const text = f.result().data();
    {
      const future<std::string> shared = f;
      future<std::string> again = f;
      const std::string copy = co_await std::move(again);
      CHECK(copy.data() != text);
      CHECK(shared.result().size() == 100);
    }
    const std::string taken = co_await std::move(f);
    CHECK(taken.data() == text);
    const std::string made = co_await create_task(value(std::string("task")));
    CHECK(made == "task");
    static_assert(std::is_same_v<
                  decltype(std::declval<const future<int>&>().operator co_await().await_resume()),
                  const int&>);
    static_assert(
        std::is_same_v<decltype(std::declval<future<int>>().operator co_await().await_resume()),
                       int>);
  };
  loop.run(body());
}

TEST_CASE("a result that cannot be copied is moved, and then gone", "[api-handles]") {
  const balanced guard;
  manual_loop loop;
  const auto body = [&]() -> coro<strings> {
    strings log;
    const future<move_only> f = loop.create_future<move_only>();
    f.set_result(move_only(3));
    const move_only& seen = co_await f;
    log.push_back(std::to_string(seen.value));
    future<move_only> handle = f;
    const move_only taken = co_await std::move(handle);
    log.push_back(std::to_string(taken.value));
    std::string text = co_await outcome(f);
    log.push_back(std::move(text));
    CHECK_THROWS_AS(f.result(), rondo::invalid_state_error);
    CHECK(f.done());
    co_return log;
  };
  CHECK(loop.run(body()) == strings{"3", "3", "invalid state"});
}

TEST_CASE("results may be references", "[api-handles]") {
  const balanced guard;
  manual_loop loop;
  int number = 5;
  const auto refer = [&]() -> coro<int&> {
    co_await yield_now();
    co_return number;
  };
  const auto body = [&]() -> coro<int&> {
    int& direct = co_await refer();
    CHECK(&direct == &number);
    const task<int&> running = create_task(refer());
    int& awaited = co_await running;
    CHECK(&awaited == &number);
    CHECK(&running.result() == &number);
    int& moved = co_await create_task(refer);
    CHECK(&moved == &number);
    const future<int&> f = loop.create_future<int&>();
    f.set_result(number);
    int& from_future = co_await f;
    CHECK(&from_future == &number);
    int& timed = co_await rondo::wait_for(refer(), 1s);
    CHECK(&timed == &number);
    const auto timed_body = [&](rondo::timeout&) -> coro<int&> { co_return co_await refer(); };
    int& in_scope = co_await rondo::with_timeout(1s, timed_body);
    CHECK(&in_scope == &number);
    const any_task any = running;
    CHECK(any.as<int&>().has_value());
    CHECK(!any.as<int>().has_value());
    co_return from_future;
  };
  int& result = loop.run(body());
  CHECK(&result == &number);
  CHECK(&rondo::run(refer()) == &number);
}

TEST_CASE("handles are shared, comparable, hashable and may be empty", "[api-handles]") {
  const balanced guard;
  manual_loop loop;
  const future<int> f = loop.create_future<int>();
  const future<int> same = f;
  const future<int> other = loop.create_future<int>();
  CHECK(f == same);
  CHECK(!(f == other));
  CHECK(any_future(f) == any_future(same));
  std::unordered_set<future<int>> typed{f, same, other};
  CHECK(typed.size() == 2);
  std::unordered_set<any_future> erased{f, same, other};
  CHECK(erased.size() == 2);

  const any_future none;
  CHECK(!none);
  CHECK(none == any_future());
  CHECK_THROWS_AS(none.done(), std::logic_error);
  const future<> empty;
  CHECK(!empty);
  CHECK_THROWS_AS(empty.done(), std::logic_error);
  CHECK_THROWS_AS(empty.set_result(), std::logic_error);
  CHECK_THROWS_AS(empty.cancel(), std::logic_error);
  CHECK_THROWS_AS(empty.add_done_callback([] {}), std::logic_error);
  CHECK(loop.run(outcome(empty)).find("empty handle") != std::string::npos);
}

TEST_CASE("any_future is told, cancelled and awaited", "[api-handles]") {
  const balanced guard;
  manual_loop loop;
  const future<int> f = loop.create_future<int>();
  const any_future any = f;
  int calls = 0;
  any.add_done_callback([&](const any_future& done) { calls += done == any ? 1 : 100; });
  const auto id = any.add_done_callback([&] { calls += 1000; });
  CHECK(any.remove_done_callback(id));
  f.set_result(3);
  const auto body = [&]() -> coro<> {
    static_assert(std::is_void_v<decltype(any.operator co_await().await_resume())>);
    co_await any;
  };
  loop.run(body());
  CHECK(calls == 1);
  const future<int> g = loop.create_future<int>();
  CHECK(any_future(g).cancel("why"));
  CHECK(loop.run(outcome(any_future(g))) == "cancelled: why");
}

TEST_CASE("a done callback is called with the handle it was added to, if it wants one",
          "[api-handles]") {
  const balanced guard;
  manual_loop loop;
  strings log;
  const task<int> t = loop.create_task(value(4), {.name = "four"});
  t.add_done_callback([&](const task<int>& done) { log.push_back(done.name()); });
  t.add_done_callback(
      [&](const future<int>& done) { log.push_back(std::to_string(done.result())); });
  t.add_done_callback([&](const any_task& done) { log.push_back(done.name()); });
  t.add_done_callback([&](const any_future& done) { log.push_back(done.done() ? "done" : "?"); });
  t.add_done_callback([&](auto done) { log.push_back(done.name()); });
  any_task(t).add_done_callback([&](auto done) { log.push_back(done.name()); });
  t.add_done_callback([&, only = std::make_unique<int>(1)] { log.push_back("move-only"); });
  loop.settle();
  CHECK(log == strings{"four", "4", "four", "done", "four", "four", "move-only"});
}

TEST_CASE("done callbacks run in the context of their registration, or in the given one",
          "[rule-030]") {
  const balanced guard;
  static rondo::context_var<int> number("number", 0);
  manual_loop loop;
  std::vector<int> seen;
  const future<> f = loop.create_future();
  rondo::context own;
  own.run([] { static_cast<void>(number.set(7)); });
  rondo::context().run([&] {
    static_cast<void>(number.set(3));
    f.add_done_callback([&] { seen.push_back(number.get()); });
    static_cast<void>(number.set(4));
    f.add_done_callback(
        [&] {
          seen.push_back(number.get());
          static_cast<void>(number.set(8));
        },
        own);
    any_future(f).add_done_callback([&] { seen.push_back(number.get()); }, own);
  });
  f.set_result();
  loop.settle();
  CHECK(seen == std::vector<int>{3, 7, 8});
  CHECK(own.get(number) == 8);
}

TEST_CASE("callables and results may be over-aligned", "[api-handles]") {
  const balanced guard;
  struct alignas(64) wide {  // lint: allow(over-aligned)
    std::array<std::uint64_t, 8> words{};
  };
  manual_loop loop;
  wide data;
  data.words[3] = 9;
  std::uint64_t seen = 0;
  const auto aligned = [](const void* p) { return reinterpret_cast<std::uintptr_t>(p) % 64 == 0; };
  const future<wide> f = loop.create_future<wide>();
  f.add_done_callback([&seen, aligned, data] { seen += aligned(&data) ? data.words[3] : 1000; });
  f.set_result(data);
  CHECK(aligned(&f.result()));
  loop.call_soon([&seen, aligned, data] { seen += aligned(&data) ? data.words[3] : 1000; });
  loop.call_later(0s, [&seen, aligned, data] { seen += aligned(&data) ? data.words[3] : 1000; });
  loop.call_soon_threadsafe(
      [&seen, aligned, data] { seen += aligned(&data) ? data.words[3] : 1000; });
  loop.run_once();
  CHECK(seen == 36);
  const auto body = [&]() -> coro<> {
    const auto kept = [&seen, aligned, data]() -> coro<> {
      seen += aligned(&data) ? data.words[3] : 1000;
      co_return;
    };
    co_await create_task(kept);
  };
  loop.run(body());
  CHECK(seen == 45);
}

namespace {

/// Throws when it is moved for the n-th time.
struct moves_badly {
  explicit moves_badly(int* left_moves) : left(left_moves) {}
  moves_badly(moves_badly&& other) : left(other.left) {
    if (*left == 0) throw std::runtime_error("moved");
    --*left;
  }
  moves_badly(const moves_badly& other) : left(other.left) {
    if (*left == 0) throw std::runtime_error("copied");
    --*left;
  }
  void operator()() const {}
  int* left;
};

}  // namespace

TEST_CASE("a callable whose move throws leaves nothing behind", "[api-handles]") {
  const balanced guard;
  manual_loop loop;
  for (int allowed = 0; allowed < 6; ++allowed) {
    const std::size_t handles = loop.metrics().handles;
    int left = allowed;
    bool threw = false;
    const future<> f = loop.create_future();
    try {
      loop.call_soon(moves_badly(&left));
    } catch (const std::runtime_error&) {
      threw = true;
    }
    left = allowed;
    try {
      f.add_done_callback(moves_badly(&left));
    } catch (const std::runtime_error&) {
      threw = true;
    }
    CHECK((allowed > 0 || threw));
    if (threw) loop.settle();
    loop.settle();
    CHECK(loop.metrics().handles == handles);
  }
}

TEST_CASE("a result whose move throws fails the task, and whoever awaits", "[fault-D10]") {
  const balanced guard;
  manual_loop loop;
  for (int allowed = 0; allowed < 5; ++allowed) {
    int left = allowed;
    const auto make = [&]() -> coro<moves_badly> { co_return moves_badly(&left); };
    const auto awaits = [&]() -> coro<> {
      const moves_badly taken = co_await make();
      static_cast<void>(taken);
    };
    const std::string direct = loop.run(outcome(awaits()));
    CHECK((direct == "none" || direct == "moved"));
    left = allowed;
    const auto awaits_task = [&]() -> coro<> {
      const moves_badly taken = co_await create_task(make());
      static_cast<void>(taken);
    };
    const std::string by_task = loop.run(outcome(awaits_task()));
    CHECK((by_task == "none" || by_task == "moved" || by_task == "copied"));
    if (allowed == 0) CHECK(direct == "moved");
    if (allowed == 0) CHECK(by_task == "moved");
    if (allowed == 4) CHECK(by_task == "none");
  }
  CHECK(loop.reports.empty());
}

TEST_CASE("a result that cannot be constructed leaves the future pending", "[fault-D10]") {
  struct picky {
    explicit picky(int n) {
      if (n < 0) throw std::runtime_error("negative");
    }
  };
  const balanced guard;
  manual_loop loop;
  const future<picky> f = loop.create_future<picky>();
  CHECK_THROWS_WITH(f.set_result(-1), "negative");
  CHECK(!f.done());
  f.set_result(1);
  CHECK(f.done());
}
