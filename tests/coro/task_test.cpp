// SPDX-License-Identifier: MIT
// rondo tests: how tasks are made, named, listed, and end.
#include "coro/support.hpp"

#include <algorithm>
#include <functional>
#include <unordered_set>

using namespace coro_test;

TEST_CASE("tasks start in the order of creation, after the creator suspends", "[rule-063]") {
  const balanced guard;
  manual_loop loop;
  std::string order;
  const auto child = [&](char name) -> coro<> {
    order += name;
    co_return;
  };
  const auto body = [&]() -> coro<> {
    const auto a = create_task(child('a'));
    const auto b = create_task(child('b'));
    loop.call_soon([&] { order += '-'; });
    const auto c = create_task(child('c'));
    order += '0';
    co_await yield_now();
    order += '1';
    co_await a;
    co_await b;
    co_await c;
  };
  loop.run(body());
  CHECK(order == "0ab-c1");
}

TEST_CASE("names come from one counter of the process, or are given", "[rule-064]") {
  const balanced guard;
  manual_loop loop;
  manual_loop other;
  const auto number = [](const std::string& name) {
    REQUIRE(name.rfind("Task-", 0) == 0);
    return std::stoll(name.substr(5));
  };
  const task<> a = loop.create_task(nothing());
  const task<> named = loop.create_task(nothing(), {.name = "worker"});
  const task<> b = other.create_task(nothing());
  CHECK(named.name() == "worker");
  CHECK(number(b.name()) == number(a.name()) + 1);  // a name that is given burns no number
  a.set_name("renamed");
  CHECK(a.name() == "renamed");
  CHECK(any_task(a).name() == "renamed");
  any_task(a).set_name("");
  CHECK(a.name().empty());
  std::string text = "changes";
  const task<> copied = loop.create_task(nothing(), {.name = text});
  text = "*******";
  CHECK(copied.name() == "changes");
  loop.settle();
  other.settle();
}

TEST_CASE("current_task and all_tasks", "[rule-065]") {
  const balanced guard;
  manual_loop loop;
  CHECK(!rondo::current_task());
  CHECK(!rondo::current_task(loop));
  CHECK_THROWS_AS(rondo::all_tasks(), std::logic_error);
  bool empty_in_callback = false;
  bool empty_in_done_callback = false;
  const auto child = [&]() -> coro<bool> {
    const any_task me = rondo::current_task();
    co_await yield_now();
    co_return me == rondo::current_task() && me.as<bool>().has_value();
  };
  const auto body = [&]() -> coro<> {
    const any_task me = rondo::current_task();
    CHECK(me);
    CHECK(rondo::current_task(loop) == me);
    loop.call_soon([&] { empty_in_callback = !rondo::current_task(); });
    const task<bool> other = create_task(child());
    other.add_done_callback([&] { empty_in_done_callback = !rondo::current_task(); });
    CHECK(rondo::all_tasks() == std::vector<any_task>{me, other});
    CHECK(rondo::all_tasks(loop).size() == 2);
    const bool same = co_await other;
    CHECK(same);
    CHECK(rondo::current_task() == me);
    CHECK(rondo::all_tasks() == std::vector<any_task>{me});
  };
  loop.run(body());
  CHECK(empty_in_callback);
  CHECK(empty_in_done_callback);
  CHECK(rondo::all_tasks(loop).empty());
  CHECK(loop.metrics().tasks == 0);
}

TEST_CASE("a task's exception is thrown at each await", "[rule-078]") {
  const balanced guard;
  manual_loop loop;
  const auto body = [&]() -> coro<strings> {
    strings log;
    const task<> failing = create_task(fail("once"));
    for (int i = 0; i < 2; ++i) {
      std::string text = co_await outcome(failing);
      log.push_back(std::move(text));
    }
    std::exception_ptr caught;
    try {
      co_await failing;
    } catch (...) {
      caught = std::current_exception();
    }
    CHECK(caught == failing.exception());
    co_return log;
  };
  CHECK(loop.run(body()) == strings{"once", "once"});
}

TEST_CASE("a task's result is its coroutine's; it cannot be set or await itself",
          "[rule-079][fault-D13]") {
  const balanced guard;
  manual_loop loop;
  task<> self;
  const auto body = [&]() -> coro<> { co_await self; };
  self = loop.create_task(body());
  CHECK_THROWS_AS(self.set_result(), std::logic_error);
  CHECK_THROWS_AS(self.set_exception(std::runtime_error("x")), std::logic_error);
  loop.settle();
  REQUIRE(self.done());
  CHECK(outcome_of(self).find("await itself") != std::string::npos);
  self = {};
}

TEST_CASE("create_task of a coroutine or of a function whose arguments it keeps",
          "[api-create-task]") {
  const balanced guard;
  manual_loop loop;
  const auto token = std::make_shared<int>(4);
  const auto body = [&]() -> coro<> {
    task<int> running;
    {
      const auto closure = [token, only = std::make_unique<int>(3)](int add) -> coro<int> {
        co_await yield_now();
        co_await yield_now();
        co_return *token + *only + add;
      };
      auto moved = [inner = std::make_unique<int>(1), token]() -> coro<int> {
        co_await yield_now();
        co_return *inner + *token;
      };
      static_cast<void>(closure);
      running = create_task(std::move(moved));
    }
    CHECK(token.use_count() >= 2);
    const int got = co_await running;
    CHECK(got == 5);

    const auto takes = [](std::unique_ptr<int> owned, std::string text, int& out) -> coro<int> {
      co_await yield_now();
      out = 1;
      co_return *owned + static_cast<int>(text.size());
    };
    int out = 0;
    auto owned = std::make_unique<int>(10);
    const task<int> with_arguments = create_task(takes, std::move(owned), "four", std::ref(out));
    const int sum = co_await with_arguments;
    CHECK(sum == 14);
    CHECK(out == 1);

    const task<int> with_options = create_task({.name = "opt"}, [] { return value(6); });
    CHECK(with_options.name() == "opt");
    const int six = co_await with_options;
    CHECK(six == 6);

    struct object {
      coro<int> method(int add) {
        co_await yield_now();
        co_return base + add;
      }
      int base = 5;
    };
    const task<int> member = create_task(&object::method, object(), 2);
    const int seven = co_await member;
    CHECK(seven == 7);
    const task<int> on_loop = loop.create_task(&object::method, object(), 3);
    const int eight = co_await on_loop;
    CHECK(eight == 8);
  };
  loop.run(body());
  CHECK(token.use_count() == 1);
}

TEST_CASE("a function that throws before it returns a coroutine fails the task",
          "[api-create-task]") {
  const balanced guard;
  manual_loop loop;
  const auto broken = []() -> coro<int> { throw std::runtime_error("no coroutine"); };
  const task<int> t = loop.create_task(broken);
  loop.settle();
  CHECK(outcome_of(t) == "no coroutine");
}

TEST_CASE("create_task of other awaitables", "[api-create-task]") {
  const balanced guard;
  manual_loop loop;
  const auto body = [&]() -> coro<int> {
    const future<int> f = loop.create_future<int>();
    const task<int> t = create_task(f);
    co_await yield_now();
    f.set_result(4);
    co_return co_await t;
  };
  CHECK(loop.run(body()) == 4);
}

TEST_CASE("an empty coro cannot become a task or be awaited", "[api-create-task]") {
  const balanced guard;
  manual_loop loop;
  coro<int> c = value(1);
  CHECK(c.valid());
  coro<int> moved = std::move(c);
  CHECK(!c.valid());
  CHECK_THROWS_AS(loop.create_task(std::move(c)), std::logic_error);
  CHECK(loop.run(std::move(moved)) == 1);
  const auto body = [&]() -> coro<> {
    coro<int> once = value(1);
    co_await std::move(once);
    co_await std::move(once);
  };
  CHECK(loop.run(outcome(body())).find("awaited") != std::string::npos);
}

TEST_CASE("create_task needs a running loop that is open", "[rule-021]") {
  const balanced guard;
  captured_log log;
  manual_loop loop;
  CHECK_THROWS_AS(create_task(nothing()), std::logic_error);
  loop.close();
  CHECK_THROWS_AS(loop.create_task(nothing()), rondo::loop_closed_error);
  CHECK(log.count("never awaited") == 2);
}

TEST_CASE("any_task names a task of any type", "[api-handles]") {
  const balanced guard;
  manual_loop loop;
  const task<int> number = loop.create_task(value(2));
  const task<std::string> text = loop.create_task(value(std::string("s")));
  const any_task a = number;
  const any_task b = text;
  CHECK(a == any_task(number));
  CHECK(!(a == b));
  CHECK(!any_task());
  CHECK(any_task() == any_task());
  std::unordered_set<any_task> set{a, b, any_task(number)};
  CHECK(set.size() == 2);
  std::unordered_set<task<int>> typed{number};
  CHECK(typed.count(number) == 1);
  CHECK(!a.as<std::string>());
  CHECK(!a.as<void>());
  REQUIRE(a.as<int>());
  CHECK(*a.as<int>() == number);
  CHECK(!any_task().as<int>());
  loop.settle();
  CHECK(a.as<int>()->result() == 2);
  CHECK_THROWS_AS(any_task().name(), std::logic_error);
  CHECK_THROWS_AS(any_task().cancel(), std::logic_error);
  CHECK_THROWS_AS(task<>().name(), std::logic_error);
  CHECK_THROWS_AS(task<>().cancelling(), std::logic_error);
}

// ---- eager tasks -----------------------------------------------------------------------

TEST_CASE("an eager task runs inside create_task up to its first suspension", "[rule-081]") {
  const balanced guard;
  manual_loop loop;
  static rondo::context_var<int> number("eager", 0);
  const auto body = [&]() -> coro<strings> {
    strings log;
    const any_task parent = rondo::current_task();
    const std::uint64_t start = iteration();
    number.set(1);
    const auto child = [&](int suspensions) -> coro<std::string> {
      const any_task me = rondo::current_task();
      CHECK(!(me == parent));
      CHECK(me.name() == "eager child");
      const std::vector<any_task> all = rondo::all_tasks();
      CHECK(std::find(all.begin(), all.end(), me) == all.end());
      CHECK(number.get() == 1);
      number.set(2);
      log.push_back("runs");
      for (int i = 0; i < suspensions; ++i) {
        co_await yield_now();
        CHECK(rondo::current_task() == me);
      }
      co_return "result";
    };
    const rondo::task_options options{.name = "eager child", .eager_start = true};
    const task<std::string> finished = create_task(child(0), options);
    CHECK(finished.done());
    CHECK(finished.result() == "result");
    CHECK(rondo::current_task() == parent);
    CHECK(number.get() == 1);
    CHECK(rondo::all_tasks().size() == 1);
    const task<std::string> blocked = create_task(options, child, 1);
    log.push_back("created");
    CHECK(!blocked.done());
    CHECK(rondo::all_tasks().size() == 2);
    CHECK(iteration() == start);
    const std::string& text = co_await blocked;
    log.push_back(text);
    log.push_back(std::to_string(iteration() - start));
    co_return log;
  };
  CHECK(loop.run(body()) == strings{"runs", "runs", "created", "result", "2"});
}

TEST_CASE("an eager task in a plain callback", "[rule-081]") {
  const balanced guard;
  manual_loop loop;
  std::string order;
  const auto child = [&]() -> coro<> {
    order += rondo::current_task() ? 'a' : '?';
    co_await yield_now();
    order += 'b';
  };
  loop.call_soon([&] {
    create_task(child(), {.eager_start = true});
    order += rondo::current_task() ? '?' : '-';
  });
  loop.settle();
  CHECK(order == "a-b");
}

TEST_CASE("eager tasks nest", "[rule-081]") {
  const balanced guard;
  manual_loop loop;
  const std::function<coro<int>(int)> nest = [&](int depth) -> coro<int> {
    if (depth == 0) {
      co_await yield_now();
      co_return 0;
    }
    const any_task me = rondo::current_task();
    const task<int> inner = create_task(nest(depth - 1), {.eager_start = true});
    CHECK(rondo::current_task() == me);
    const int below = co_await inner;
    co_return below + 1;
  };
  CHECK(loop.run(nest(20)) == 20);
}

TEST_CASE("an eager start falls back to a lazy one where the loop does not run", "[rule-082]") {
  const balanced guard;
  manual_loop loop;
  manual_loop other;
  bool ran = false;
  const auto child = [&]() -> coro<> {
    ran = true;
    co_return;
  };
  const task<> t = loop.create_task(child(), {.eager_start = true});
  CHECK(!ran);
  other.call_soon([&] { loop.create_task(child(), {.eager_start = true}); });
  other.settle();
  CHECK(!ran);
  loop.settle();
  CHECK(ran);
}

TEST_CASE("what an eager task throws stays in it, but for the two that end programs",
          "[rule-083]") {
  const balanced guard;
  manual_loop loop;
  const auto interrupts = []() -> coro<> {
    throw rondo::keyboard_interrupt();
    co_return;
  };
  const auto body = [&]() -> coro<strings> {
    strings log;
    const task<> failed = create_task(fail("inside"), {.eager_start = true});
    CHECK(failed.done());
    log.push_back(outcome_of(failed));
    try {
      create_task(interrupts(), {.eager_start = true});
      log.push_back("no throw");
    } catch (const rondo::keyboard_interrupt&) {
      log.push_back("interrupt");
    }
    CHECK(rondo::all_tasks().size() == 1);
    co_return log;
  };
  CHECK(loop.run(body()) == strings{"inside", "interrupt"});
  CHECK(loop.reports.empty());
}

TEST_CASE("an eager task that cancels itself before it suspends", "[rule-081][rule-075]") {
  const balanced guard;
  manual_loop loop;
  const auto cancels = [](bool suspends) -> coro<int> {
    rondo::current_task().cancel();
    if (suspends) co_await yield_now();
    co_return 1;
  };
  const auto body = [&]() -> coro<strings> {
    strings log;
    const task<int> finished = create_task(cancels(false), {.eager_start = true});
    log.push_back(outcome_of(finished));
    const task<int> suspended = create_task(cancels(true), {.eager_start = true});
    log.push_back(outcome_of(suspended));
    co_await end_of(suspended);
    log.push_back(outcome_of(suspended));
    co_return log;
  };
  CHECK(loop.run(body()) == strings{"cancelled", "pending", "cancelled"});
}

// ---- factories ---------------------------------------------------------------------------

namespace {

int made_by_factory = 0;
std::string factory_saw;

any_task counting_factory(rondo::event_loop& loop, rondo::any_coro body,
                          const rondo::task_options& options) {
  ++made_by_factory;
  factory_saw = std::string(options.name) + (options.context != nullptr ? "+context" : "");
  return rondo::make_task(loop, std::move(body), options);
}

any_task wrong_factory(rondo::event_loop& loop, rondo::any_coro,
                       const rondo::task_options& options) {
  return rondo::make_task(loop, value(1.5F), options);
}

any_task empty_factory(rondo::event_loop&, rondo::any_coro, const rondo::task_options&) {
  return {};
}

any_task throwing_factory(rondo::event_loop&, rondo::any_coro, const rondo::task_options&) {
  throw std::runtime_error("factory");
}

}  // namespace

TEST_CASE("a task factory makes the tasks", "[rule-084]") {
  const balanced guard;
  captured_log log;
  manual_loop loop;
  CHECK(loop.get_task_factory() == nullptr);
  loop.set_task_factory(&counting_factory);
  CHECK(loop.get_task_factory() == &counting_factory);
  made_by_factory = 0;
  rondo::context own;
  const task<int> t = loop.create_task(value(3), {.name = "n", .context = &own});
  CHECK(made_by_factory == 1);
  CHECK(factory_saw == "n+context");
  CHECK(t.name() == "n");
  CHECK(t.get_context() == own);
  loop.settle();
  CHECK(t.result() == 3);
  CHECK(loop.run(value(4)) == 4);
  CHECK(made_by_factory == 2);
  CHECK(log.lines.empty());

  loop.set_task_factory(&wrong_factory);
  CHECK_THROWS_AS(loop.create_task(value(3)), std::logic_error);
  loop.set_task_factory(&empty_factory);
  CHECK_THROWS_AS(loop.create_task(value(3)), std::logic_error);
  loop.set_task_factory(&throwing_factory);
  CHECK_THROWS_WITH(loop.create_task(value(3)), "factory");
  CHECK(log.count("never awaited") == 3);
  loop.set_task_factory(nullptr);
  CHECK(loop.run(value(5)) == 5);
  loop.set_task_factory(&rondo::make_task);
  CHECK(loop.run(value(6)) == 6);
}

TEST_CASE("eager_task_factory starts every task eagerly", "[rule-081][rule-084]") {
  const balanced guard;
  manual_loop loop;
  loop.set_task_factory(&rondo::eager_task_factory);
  const auto body = [&]() -> coro<> {
    const task<int> now = create_task(value(3));
    CHECK(now.done());
    const task<int> lazy = create_task(value(4), {.eager_start = false});
    CHECK(!lazy.done());
    const task<> blocked = create_task(yields(1), {.name = "named"});
    CHECK(!blocked.done());
    CHECK(blocked.name() == "named");
    co_await blocked;
    const int four = co_await lazy;
    CHECK(four == 4);
  };
  loop.run(body());
}

// ---- contexts ------------------------------------------------------------------------------

TEST_CASE("a task runs in a copy of its creator's context, or in the given one",
          "[rule-029][fault-D19]") {
  const balanced guard;
  static rondo::context_var<int> number("task", 0);
  manual_loop loop;
  const auto body = [&]() -> coro<> {
    number.set(1);
    const auto child = [&]() -> coro<int> {
      const int before = number.get();
      number.set(before + 10);
      co_await yield_now();
      co_return number.get();
    };
    const task<int> copy = create_task(child());
    number.set(2);
    const int got = co_await copy;
    CHECK(got == 11);
    CHECK(number.get() == 2);
    rondo::context own = rondo::copy_context();
    const task<int> shared = create_task(child(), {.context = &own});
    CHECK(shared.get_context() == own);
    const int written = co_await shared;
    CHECK(written == 12);
    CHECK(own.get(number) == 12);
    CHECK(number.get() == 2);
    // An awaited coroutine is part of the task.
    const int direct = co_await child();
    CHECK(direct == 12);
    CHECK(number.get() == 12);
  };
  loop.run(body());
}

TEST_CASE("get_context names the context that the task goes on in", "[rule-029]") {
  const balanced guard;
  static rondo::context_var<int> number("get_context", 0);
  manual_loop loop;
  const auto child = [&]() -> coro<int> {
    number.set(1);
    co_await yield_now();
    const int seen = number.get();
    number.set(5);
    co_return seen;
  };
  const task<int> t = loop.create_task(child());
  loop.run_once();
  const rondo::context context = t.get_context();
  CHECK(context.get(number) == 1);
  CHECK(t.get_context() == context);
  context.run([] { static_cast<void>(number.set(3)); });
  loop.settle();
  CHECK(t.result() == 3);
  CHECK(context.get(number) == 5);
}

// ---- ends ------------------------------------------------------------------------------------

TEST_CASE("a task whose handle is dropped runs on", "[rule-048]") {
  const balanced guard;
  manual_loop loop;
  bool ended = false;
  const auto child = [&]() -> coro<> {
    co_await yields(5);
    ended = true;
  };
  loop.create_task(child());
  loop.settle();
  CHECK(ended);
  CHECK(loop.reports.empty());
}

TEST_CASE("a task's exception that nobody read is reported", "[fault-D7][rule-047]") {
  const balanced guard;
  manual_loop loop;
  {
    const task<> t = loop.create_task(fail("lost"));
    loop.settle();
    CHECK(loop.reports.empty());
  }
  REQUIRE(loop.reports.size() == 1);
  CHECK(loop.reports[0].message == "Task exception was never retrieved");
  CHECK(loop.reports[0].has_task);
  CHECK(text_of(loop.reports[0].exception) == "lost");
  loop.create_task(fail("dropped"));
  loop.settle();
  CHECK(loop.reports.size() == 2);
  {
    const task<> t = loop.create_task(fail("read by cancel"));
    loop.settle();
    CHECK(!t.cancel());
  }
  const task<> cancelled = loop.create_task(yields(3));
  loop.run_once();
  cancelled.cancel();
  loop.settle();
  CHECK(cancelled.cancelled());
  CHECK(loop.reports.size() == 2);
}

TEST_CASE("the frame is gone before anybody hears of the result", "[fault-D6]") {
  const balanced guard;
  manual_loop loop;
  struct marks {
    bool* gone;
    ~marks() { *gone = true; }
  };
  bool gone = false;
  bool gone_at_callback = false;
  const auto child = [&gone]() -> coro<int> {
    const marks local{&gone};
    co_await yield_now();
    co_return 1;
  };
  const task<int> t = loop.create_task(child);
  t.add_done_callback([&] { gone_at_callback = gone; });
  const std::ptrdiff_t before = rondo::detail::live_frames();
  CHECK(before > 0);
  loop.settle();
  CHECK(gone_at_callback);
  CHECK(rondo::detail::live_frames() < before);
}

TEST_CASE("any exception reaches the awaiter unchanged", "[fault-D10]") {
  const balanced guard;
  captured_log log;
  manual_loop loop;
  struct odd : std::exception {
    [[nodiscard]] const char* what() const noexcept override { return "odd"; }
  };
  struct loud {
    // No std::exception may have a what() that throws, so the text of a report comes from
    // elsewhere.
    int code = 4;
  };
  const auto throws = [](int which, bool suspends) -> coro<> {
    if (suspends) co_await yield_now();
    switch (which) {
      case 0:
        throw 7;
      case 1:
        throw std::bad_alloc();
      case 2:
        throw odd();
      case 3:
        throw loud{9};
      case 4:
        try {
          throw std::runtime_error("inner");
        } catch (...) {
          std::throw_with_nested(std::logic_error("outer"));
        }
      case 5:
        throw "text";
      default:
        throw cancelled_error("own");
    }
  };
  const auto body = [&]() -> coro<> {
    for (const bool suspends : {false, true}) {
      for (const bool as_task : {false, true}) {
        for (int which = 0; which < 7; ++which) {
          std::exception_ptr caught;
          try {
            if (as_task) {
              co_await create_task(throws(which, suspends));
            } else {
              co_await throws(which, suspends);
            }
          } catch (...) {
            caught = std::current_exception();
          }
          REQUIRE(caught != nullptr);
          try {
            std::rethrow_exception(caught);
          } catch (int n) {
            CHECK((which == 0 && n == 7));
          } catch (const std::bad_alloc&) {
            CHECK(which == 1);
          } catch (const odd& e) {
            CHECK((which == 2 && std::string(e.what()) == "odd"));
          } catch (const loud& e) {
            CHECK((which == 3 && e.code == 9));
          } catch (const std::logic_error& e) {
            CHECK(which == 4);
            bool nested = false;
            try {
              std::rethrow_if_nested(e);
            } catch (const std::runtime_error& inner) {
              nested = std::string(inner.what()) == "inner";
            }
            CHECK(nested);
          } catch (const char* text) {
            CHECK((which == 5 && std::string(text) == "text"));
          } catch (const cancelled_error& e) {
            CHECK((which == 6 && e.message() == "own"));
          }
        }
      }
    }
    CHECK(rondo::current_task().cancelling() == 0);
  };
  loop.run(body());
  for (int which = 0; which < 6; ++which) loop.create_task(throws(which, true));
  loop.settle();
  CHECK(loop.reported("never retrieved") == 6);
  CHECK(log.lines.empty());
}

TEST_CASE("an exception while another one is in flight", "[fault-D10]") {
  const balanced guard;
  manual_loop loop;
  const auto inner = []() -> coro<> {
    co_await yield_now();
    throw std::runtime_error("second");
  };
  const auto body = [&]() -> coro<std::string> {
    std::exception_ptr first;
    try {
      co_await fail("first");
    } catch (...) {
      first = std::current_exception();
    }
    std::string text = co_await outcome(inner());
    co_return text_of(first) + " " + text;
  };
  CHECK(loop.run(body()) == "first second");
}

TEST_CASE("keyboard_interrupt and system_exit leave the loop, with the task done first",
          "[rule-034][rule-035]") {
  const balanced guard;
  manual_loop loop;
  strings log;
  const auto leaves = [](bool exit) -> coro<> {
    co_await yield_now();
    if (exit) throw rondo::system_exit(3);
    throw rondo::keyboard_interrupt();
  };
  for (const bool exit : {false, true}) {
    log.clear();
    const task<> t = loop.create_task(leaves(exit));
    t.add_done_callback([&] { log.push_back("callback"); });
    loop.run_once();
    loop.call_soon([&] { log.push_back("after"); });
    if (exit) {
      CHECK_THROWS_AS(loop.run_once(), rondo::system_exit);
    } else {
      CHECK_THROWS_AS(loop.run_once(), rondo::keyboard_interrupt);
    }
    CHECK(t.done());
    CHECK(outcome_of(t) == (exit ? "exit 3" : "interrupt"));
    CHECK(log.empty());
    loop.settle();
    CHECK(log == strings{"after", "callback"});
  }
  CHECK(loop.reports.empty());
}
