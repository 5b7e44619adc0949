// SPDX-License-Identifier: MIT
// rondo tests: with_task_group (rules 118-131; faults D2, D11).
#include "tasks/task_support.hpp"

using namespace task_test;
using rondo::task_group;

namespace {

constexpr int for_ever = -1;

rondo::coro<> nothing() { co_return; }

/// A body that starts what it is given and waits so many iterations, or for ever.
template <class... Children>
auto body_of(fixture& f, int iterations, Children... children) {
  return [&f, iterations, ... child = children](task_group& group) -> rondo::coro<> {
    (static_cast<void>(group.create_task(child())), ...);
    if (iterations != for_ever) co_await work(f, "body", iterations);
    if (iterations == for_ever) co_await wait_forever(f, "body");
  };
}

}  // namespace

TEST_CASE_METHOD(fixture, "a group waits for its children, also for those that come late",
                 "[rule-118]") {
  run([this]() -> rondo::coro<> {
    task_group kept;
    const auto grandchild = [this](task_group group) -> rondo::coro<> {
      co_await work(*this, "child", 2);
      group.create_task(work(*this, "grandchild", 2));
    };
    const auto body = [&](task_group& group) -> rondo::coro<int> {
      kept = group;
      group.create_task(grandchild, group);
      note("body");
      co_return 5;
    };
    const int result = co_await rondo::with_task_group(body);
    note("left");
    CHECK(result == 5);
    rondo_test::log_capture log;
    CHECK_THROWS_WITH(kept.create_task(nothing()), "the task group is finished");
    CHECK(log.problems().empty());
  });
  CHECK(trace == events{"body", "child", "grandchild", "left"});
}

TEST_CASE_METHOD(fixture, "a group with a trivial child takes three iterations, without one none",
                 "[rule-118]") {
  run([this]() -> rondo::coro<> {
    co_await rondo::yield_now();
    std::uint64_t begin = now();
    const auto one = [](task_group& group) -> rondo::coro<> {
      group.create_task(nothing());
      co_return;
    };
    co_await rondo::with_task_group(one);
    CHECK(now() - begin == 3);
    begin = now();
    const auto none = [](task_group&) -> rondo::coro<> { co_return; };
    co_await rondo::with_task_group(none);
    CHECK(now() == begin);
  });
}

TEST_CASE_METHOD(fixture, "create_task before the group is entered, while it aborts and after it",
                 "[rule-118]") {
  run([this]() -> rondo::coro<> {
    rondo_test::log_capture log;
    task_group group;
    CHECK_THROWS_WITH(group.create_task(nothing()), "the task group has not been entered");
    const auto body = [this](task_group& inner) -> rondo::coro<> {
      inner.create_task(fail(*this, "bad", 0));
      std::exception_ptr cancelled;
      try {
        co_await rondo::sleep(1h);
      } catch (const rondo::cancelled_error&) {
        cancelled = std::current_exception();
      }
      CHECK_THROWS_WITH(inner.create_task(nothing()), "the task group is shutting down");
      std::rethrow_exception(cancelled);
    };
    const std::string text = co_await ends_with(rondo::with_task_group(group, body));
    CHECK(text == "group[bad]");
    CHECK_THROWS_WITH(group.create_task(nothing()), "the task group is finished");
    group.cancel();
    const std::string again = co_await ends_with(rondo::with_task_group(group, body));
    CHECK(again == "the task group has already been entered");
    CHECK(log.problems().empty());
  });
  CHECK_THROWS_WITH(task_group().enter(), "a task group must be used inside a task");
}

TEST_CASE_METHOD(fixture, "a child that fails cancels the others and the body", "[rule-119]") {
  run([this]() -> rondo::coro<> {
    const auto body = body_of(
        *this, for_ever, [this] { return wait_forever(*this, "a"); },
        [this] { return fail(*this, "b", 1); }, [this] { return fail(*this, "c", 1); },
        [this] { return wait_forever(*this, "d"); });
    const std::string text = co_await ends_with(rondo::with_task_group(body));
    note(text);
    CHECK(requests() == 0);
  });
  CHECK(trace == events{"b", "c", "a cancelled", "d cancelled", "body cancelled", "group[b c]"});
}

TEST_CASE_METHOD(fixture, "the errors of a group stand in the order of their completion",
                 "[rule-119]") {
  run([this]() -> rondo::coro<> {
    const auto failing_cleanup = [this](std::string name, int iterations) -> rondo::coro<> {
      try {
        co_await rondo::sleep(1h);
      } catch (const rondo::cancelled_error&) {
      }
      co_await fail(*this, name, iterations);
    };
    const auto body = body_of(
        *this, for_ever, [&] { return failing_cleanup("slow", 4); },
        [&] { return failing_cleanup("fast", 1); }, [this] { return fail(*this, "first", 0); });
    const std::string text = co_await ends_with(rondo::with_task_group(body));
    CHECK(text == "group[first fast slow]");
  });
}

TEST_CASE_METHOD(fixture, "a child that is cancelled alone does not disturb the group",
                 "[rule-120]") {
  run([this]() -> rondo::coro<> {
    const auto body = [this](task_group& group) -> rondo::coro<> {
      const auto child = group.create_task(work(*this, "child", 20));
      group.create_task(work(*this, "sibling", 6));
      co_await rondo::yield_now();
      child.cancel();
      co_await work(*this, "body", 3);
    };
    co_await rondo::with_task_group(body);
  });
  CHECK(trace == events{"child cancelled", "body", "sibling"});
}

TEST_CASE_METHOD(fixture, "what the body throws is wrapped, also if it is alone", "[rule-121]") {
  run([this]() -> rondo::coro<> {
    const auto alone = [](task_group&) -> rondo::coro<> {
      co_await rondo::yield_now();
      throw std::runtime_error("body");
    };
    std::string text = co_await ends_with(rondo::with_task_group(alone));
    CHECK(text == "group[body]");
    const auto last = [this](task_group& group) -> rondo::coro<> {
      group.create_task([this]() -> rondo::coro<> {
        try {
          co_await rondo::sleep(1h);
        } catch (const rondo::cancelled_error&) {
        }
        co_await fail(*this, "child", 1);
      });
      co_await rondo::yield_now();
      throw std::runtime_error("body");
    };
    text = co_await ends_with(rondo::with_task_group(last));
    CHECK(text == "group[child body]");
    CHECK(requests() == 0);
  });
}

TEST_CASE_METHOD(fixture, "generator_exit of the body comes bare if it is alone", "[rule-130]") {
  run([this]() -> rondo::coro<> {
    const auto alone = [this](task_group& group) -> rondo::coro<> {
      group.create_task(slow_to_cancel(*this, "child", 1));
      co_await rondo::yield_now();
      throw rondo::generator_exit();
    };
    bool bare = false;
    try {
      co_await rondo::with_task_group(alone);
    } catch (const rondo::generator_exit&) {
      bare = true;
    }
    CHECK(bare);
    const auto with_others = [this](task_group& group) -> rondo::coro<> {
      group.create_task(fail(*this, "bad", 0));
      co_await rondo::yield_now();
      throw rondo::generator_exit();
    };
    std::size_t count = 0;
    try {
      co_await rondo::with_task_group(with_others);
    } catch (const rondo::exception_group& group) {
      count = group.exceptions().size();
    }
    CHECK(count == 2);
  });
  CHECK(trace == events{"child cleaned up", "bad"});
}

TEST_CASE_METHOD(fixture, "children that never started are cancelled without running",
                 "[rule-122]") {
  run([this]() -> rondo::coro<> {
    const auto body = [this](task_group& group) -> rondo::coro<> {
      group.create_task(work(*this, "never", 0));
      throw std::runtime_error("body");
      co_return;
    };
    const std::string text = co_await ends_with(rondo::with_task_group(body));
    CHECK(text == "group[body]");
  });
  CHECK(trace.empty());
}

TEST_CASE_METHOD(fixture,
                 "cancelling the parent cancels the children, waits, and throws cancelled_error",
                 "[rule-123]") {
  const bool in_body = GENERATE(false, true);
  run([&]() -> rondo::coro<> {
    const rondo::task<> parent = rondo::create_task([&]() -> rondo::coro<> {
      const auto body = body_of(
          *this, in_body ? for_ever : 0, [this] { return slow_to_cancel(*this, "a", 3); },
          [this] { return slow_to_cancel(*this, "b", 1); });
      const std::string text = co_await ends_with(rondo::with_task_group(body));
      note(text);
      CHECK(requests() == 1);
    });
    co_await yields(3);
    parent.cancel("outside");
    co_await parent;
  });
  CHECK(trace == events{in_body ? "body cancelled" : "body", "b cleaned up", "a cleaned up",
                        "cancelled: outside"});
}

TEST_CASE_METHOD(fixture,
                 "cancelling the parent again while it waits is not lost, and interrupts nobody",
                 "[rule-123]") {
  run([&]() -> rondo::coro<> {
    const rondo::task<> parent = rondo::create_task([&]() -> rondo::coro<> {
      const auto body = body_of(*this, 0, [this] { return slow_to_cancel(*this, "a", 6); });
      const std::string text = co_await ends_with(rondo::with_task_group(body));
      note(text);
      CHECK(requests() == 2);
    });
    co_await yields(3);
    parent.cancel("one");
    co_await yields(3);
    parent.cancel("two");
    co_await parent;
  });
  CHECK(trace == events{"body", "a cleaned up", "cancelled: one"});
}

TEST_CASE_METHOD(fixture, "errors beat a cancellation from outside, which comes at the next await",
                 "[rule-124]") {
  run([&]() -> rondo::coro<> {
    const rondo::task<> parent = rondo::create_task([&]() -> rondo::coro<> {
      const auto body = body_of(*this, for_ever, [this] { return fail(*this, "bad", 1); });
      std::string text = co_await ends_with(rondo::with_task_group(body));
      note(text);
      CHECK(requests() == 1);
      text = co_await ends_with(rondo::yield_now());
      note(text);
      CHECK(requests() == 1);
    });
    co_await yields(3);
    // The child has failed in this iteration, its group hears of it in the next one.
    CHECK(trace == events{"bad"});
    parent.cancel("outside");
    co_await parent;
  });
  CHECK(trace == events{"bad", "body cancelled", "group[bad]", "cancelled: outside"});
}

TEST_CASE_METHOD(fixture, "a group that cancelled its parent leaves the count as it was",
                 "[rule-125]") {
  const int waits = GENERATE(0, 1, 2, for_ever);
  run([&]() -> rondo::coro<> {
    const auto body = body_of(*this, waits, [this] { return fail(*this, "bad", 1); });
    std::string text = co_await ends_with(rondo::with_task_group(body));
    CHECK(text == "group[bad]");
    CHECK(requests() == 0);
    text = co_await ends_with(rondo::yield_now());
    CHECK(text == "-");
  });
}

TEST_CASE_METHOD(fixture, "a count from before the group stays, and is not taken for a new request",
                 "[rule-125]") {
  run([&]() -> rondo::coro<> {
    const rondo::task<> parent = rondo::create_task([&]() -> rondo::coro<> {
      std::string text = co_await ends_with(rondo::sleep(1h));
      CHECK(text == "cancelled");
      CHECK(requests() == 1);
      const auto failing = body_of(*this, for_ever, [this] { return fail(*this, "bad", 1); });
      text = co_await ends_with(rondo::with_task_group(failing));
      CHECK(text == "group[bad]");
      CHECK(requests() == 1);
      const auto stopping = [](task_group& group) -> rondo::coro<> {
        group.cancel();
        co_return;
      };
      text = co_await ends_with(rondo::with_task_group(stopping));
      CHECK(text == "-");
      text = co_await ends_with(rondo::yield_now());
      CHECK(text == "-");
      CHECK(requests() == 1);
    });
    co_await yields(2);
    parent.cancel();
    co_await parent;
  });
}

TEST_CASE_METHOD(fixture, "a cancellation that is pending at the entry is not the group's own",
                 "[rule-124]") {
  run([&]() -> rondo::coro<> {
    const rondo::task<> parent = rondo::create_task([&]() -> rondo::coro<> {
      rondo::current_task().cancel();
      const auto body = [](task_group& group) -> rondo::coro<> {
        group.cancel();
        co_await rondo::sleep(1h);
      };
      co_await rondo::with_task_group(body);
      note("never");
    });
    const std::string text = co_await ends_with(parent);
    CHECK(text == "cancelled");
  });
  CHECK(trace.empty());
}

TEST_CASE_METHOD(fixture, "a failure through an inner group: group in group in group",
                 "[rule-126]") {
  run([this]() -> rondo::coro<> {
    const auto innermost = body_of(*this, for_ever, [this] { return fail(*this, "bad", 1); });
    const auto inner = [&](task_group&) -> rondo::coro<> {
      co_await rondo::with_task_group(innermost);
    };
    const auto outer = [&](task_group& group) -> rondo::coro<> {
      group.create_task([&]() -> rondo::coro<> { co_await rondo::with_task_group(inner); });
      co_await rondo::sleep(1h);
    };
    const std::string text = co_await ends_with(rondo::with_task_group(outer));
    CHECK(text == "group[group[group[bad]]]");
    CHECK(requests() == 0);
  });
}

TEST_CASE_METHOD(fixture, "the failure of an outer group reaches the inner one as a cancellation",
                 "[rule-126]") {
  run([this]() -> rondo::coro<> {
    const auto inner =
        body_of(*this, for_ever, [this] { return wait_forever(*this, "inner child"); });
    const auto outer = [&](task_group& group) -> rondo::coro<> {
      group.create_task(fail(*this, "bad", 1));
      const std::string text = co_await ends_with(rondo::with_task_group(inner));
      note("inner " + text);
      CHECK(requests() == 1);
      throw rondo::cancelled_error();
    };
    const std::string text = co_await ends_with(rondo::with_task_group(outer));
    note("outer " + text);
    CHECK(requests() == 0);
  });
  CHECK(trace == events{"bad", "body cancelled", "inner child cancelled", "inner cancelled",
                        "outer group[bad]"});
}

TEST_CASE_METHOD(fixture, "nested groups that both cancel the parent leave the count as it was",
                 "[rule-125]") {
  run([this]() -> rondo::coro<> {
    const auto outer = [&](task_group& outer_group) -> rondo::coro<> {
      const auto inner = [&](task_group& inner_group) -> rondo::coro<> {
        inner_group.create_task(fail(*this, "inner", 1));
        outer_group.create_task(fail(*this, "outer", 1));
        co_await rondo::sleep(1h);
      };
      const std::string text = co_await ends_with(rondo::with_task_group(inner));
      CHECK(text == "group[inner]");
      CHECK(requests() == 1);
    };
    const std::string text = co_await ends_with(rondo::with_task_group(outer));
    CHECK(text == "group[outer]");
    CHECK(requests() == 0);
    const std::string next = co_await ends_with(rondo::yield_now());
    CHECK(next == "-");
  });
}

TEST_CASE_METHOD(fixture, "system_exit of the body or of a child comes bare after the others ended",
                 "[rule-127]") {
  const bool of_child = GENERATE(false, true);
  const auto parent = loop->create_task([&]() -> rondo::coro<> {
    const auto body = [&](task_group& group) -> rondo::coro<> {
      group.create_task(slow_to_cancel(*this, "sibling", 2));
      group.create_task([this]() -> rondo::coro<> {
        try {
          co_await rondo::sleep(1h);
        } catch (const rondo::cancelled_error&) {
        }
        co_await fail(*this, "lost", 0);
      });
      co_await rondo::yield_now();
      if (!of_child) throw rondo::system_exit(3);
      group.create_task([]() -> rondo::coro<> {
        throw rondo::system_exit(3);
        co_return;
      });
      co_await rondo::sleep(1h);
    };
    const std::string text = co_await ends_with(rondo::with_task_group(body));
    note(text);
    CHECK(requests() == 0);
  });
  if (of_child) {
    // The loop is left at once, rule 35; the group hears of it in the next run.
    CHECK_THROWS_AS(loop->run_until_complete(parent), rondo::system_exit);
    CHECK_FALSE(parent.done());
  }
  loop->run_until_complete(parent);
  CHECK(trace == events{"lost", "sibling cleaned up", "exit"});
  // The error that went under is reported.
  CHECK(take_reports().size() == 1);
}

TEST_CASE_METHOD(fixture, "the end of a child that started eagerly is dealt with later",
                 "[rule-128]") {
  run([this]() -> rondo::coro<> {
    const auto body = [this](task_group& group) -> rondo::coro<> {
      const auto bad = group.create_task(fail(*this, "bad", 0), {.eager_start = true});
      CHECK(bad.done());
      CHECK(requests() == 0);
      group.create_task(work(*this, "never", 0));
      const std::string text = co_await ends_with(rondo::sleep(1h));
      note("body " + text);
    };
    const std::string text = co_await ends_with(rondo::with_task_group(body));
    note(text);
  });
  CHECK(trace == events{"bad", "body cancelled", "group[bad]"});
}

TEST_CASE_METHOD(fixture, "cancel ends the group without an exception", "[rule-129]") {
  run([this]() -> rondo::coro<> {
    task_group kept;
    const auto body = [&](task_group& group) -> rondo::coro<> {
      kept = group;
      group.create_task(wait_forever(*this, "child"));
      co_await rondo::yield_now();
      group.cancel();
      group.cancel();
      co_await wait_forever(*this, "body");
    };
    co_await rondo::with_task_group(body);
    CHECK(requests() == 0);
    kept.cancel();
    const std::string text = co_await ends_with(rondo::yield_now());
    CHECK(text == "-");
  });
  CHECK(trace == events{"child cancelled", "body cancelled"});
}

TEST_CASE_METHOD(fixture, "a child may cancel its group while the parent waits", "[rule-129]") {
  run([this]() -> rondo::coro<> {
    const auto body = [this](task_group& group) -> rondo::coro<int> {
      group.create_task(wait_forever(*this, "sibling"));
      group.create_task(
          [](task_group of) -> rondo::coro<> {
            co_await yields(3);
            of.cancel();
            co_await rondo::sleep(1h);
          },
          group);
      note("body");
      co_return 8;
    };
    const int result = co_await rondo::with_task_group(body);
    CHECK(result == 8);
    CHECK(requests() == 0);
  });
  CHECK(trace == events{"body", "sibling cancelled"});
}

TEST_CASE_METHOD(fixture, "cancel before the entry cancels the group as soon as it is entered",
                 "[rule-129]") {
  run([this]() -> rondo::coro<> {
    const task_group group;
    group.cancel();
    const auto body = [this](task_group& inner) -> rondo::coro<> {
      note("begins");
      CHECK_THROWS_AS(inner.create_task(nothing()), std::logic_error);
      co_await work(*this, "body", 3);
    };
    co_await rondo::with_task_group(group, body);
    CHECK(requests() == 0);
    // A body that does not suspend has a result all the same.
    const task_group second;
    second.cancel();
    const auto quick = [](task_group&) -> rondo::coro<int> { co_return 4; };
    const int result = co_await rondo::with_task_group(second, quick);
    CHECK(result == 4);
    const std::string text = co_await ends_with(rondo::yield_now());
    CHECK(text == "-");
  });
  CHECK(trace == events{"begins", "body cancelled"});
}

TEST_CASE_METHOD(fixture, "a cancelled group whose body has no result throws cancelled_error",
                 "[rule-129]") {
  run([]() -> rondo::coro<> {
    const auto body = [](task_group& group) -> rondo::coro<int> {
      group.cancel();
      co_await rondo::sleep(1h);
      co_return 1;
    };
    const std::string text = co_await ends_with(rondo::with_task_group(body));
    CHECK(text == "cancelled: the task group was cancelled before its body had a result");
    CHECK(requests() == 0);
  });
}

TEST_CASE_METHOD(fixture, "a cancellation from outside is not lost in a cancelled group",
                 "[rule-129]") {
  const int turns = GENERATE(0, 1, 2, 3, 4);
  const bool body_ends = GENERATE(false, true);
  run([&]() -> rondo::coro<> {
    const rondo::task<> parent = rondo::create_task([&]() -> rondo::coro<> {
      const auto body = [&](task_group& group) -> rondo::coro<> {
        group.create_task(slow_to_cancel(*this, "child", 8));
        co_await rondo::yield_now();
        group.cancel();
        if (!body_ends) co_await rondo::sleep(1h);
      };
      const std::string text = co_await ends_with(rondo::with_task_group(body));
      note(text);
      CHECK(requests() == 1);
    });
    co_await yields(2 + turns);
    CHECK_FALSE(parent.done());
    parent.cancel();
    co_await parent;
  });
  CHECK(trace == events{"child cleaned up", "cancelled"});
}

TEST_CASE_METHOD(fixture, "an eager child that cancels its group is cancelled itself",
                 "[rule-129]") {
  run([this]() -> rondo::coro<> {
    const auto child = [this](task_group group) -> rondo::coro<> {
      group.cancel();
      co_await wait_forever(*this, "child");
    };
    const auto body = [&](task_group& group) -> rondo::coro<> {
      group.create_task({.eager_start = true}, child, group);
      co_return;
    };
    co_await rondo::with_task_group(body);
  });
  CHECK(trace == events{"child cancelled"});
}

TEST_CASE_METHOD(fixture, "errors of a cancelled group are thrown", "[rule-129]") {
  run([this]() -> rondo::coro<> {
    const auto body = [this](task_group& group) -> rondo::coro<> {
      group.create_task([this]() -> rondo::coro<> {
        try {
          co_await rondo::sleep(1h);
        } catch (const rondo::cancelled_error&) {
        }
        co_await fail(*this, "cleanup", 0);
      });
      co_await rondo::yield_now();
      group.cancel();
      co_await rondo::sleep(1h);
    };
    const std::string text = co_await ends_with(rondo::with_task_group(body));
    CHECK(text == "group[cleanup]");
    CHECK(requests() == 0);
  });
}

TEST_CASE_METHOD(fixture, "a child fails and the parent is cancelled, in either order",
                 "[fault-D2][fault-D11]") {
  const bool cancel_first = GENERATE(false, true);
  const int turns = GENERATE(0, 1);
  const bool in_body = GENERATE(false, true);
  const auto go = loop->create_future<>();
  const rondo::task<> parent = loop->create_task([&]() -> rondo::coro<> {
    const auto body = [&](task_group& group) -> rondo::coro<> {
      group.create_task([&]() -> rondo::coro<> {
        co_await go;
        throw std::runtime_error("bad");
      });
      if (in_body) co_await rondo::sleep(1h);
    };
    std::string text = co_await ends_with(rondo::with_task_group(body));
    note(text);
    CHECK(requests() == 1);
    text = co_await ends_with(rondo::yield_now());
    note(text);
  });
  turn(3);
  if (cancel_first) parent.cancel();
  if (cancel_first) turn(turns);
  if (!go.done()) go.set_result();
  if (!cancel_first) turn(turns);
  if (!cancel_first) parent.cancel();
  turn(8);
  CHECK(parent.done());
  // Neither the error nor the cancellation is lost.
  if (cancel_first && trace.front() == "cancelled") {
    CHECK(trace == events{"cancelled", "-"});
  } else {
    CHECK(trace == events{"group[bad]", "cancelled"});
  }
}

namespace {

struct counter {
  int total = 0;
  rondo::coro<int> operator()(task_group& group, int from, const std::string& text) {
    const auto add = [this](int amount) -> rondo::coro<> {
      co_await rondo::yield_now();
      total += amount;
    };
    group.create_task(add, from);
    CHECK(text == "text");
    co_return from;
  }
};

}  // namespace

TEST_CASE_METHOD(fixture, "the body may be anything that returns a coro, with arguments",
                 "[task_group]") {
  run([]() -> rondo::coro<> {
    counter counts;
    const std::string text = "text";
    const int result = co_await rondo::with_task_group(std::ref(counts), 5, text);
    CHECK(result == 5);
    CHECK(counts.total == 5);
  });
}

TEST_CASE("a loop that goes while a group waits destroys parent and children", "[fault-E1]") {
  const rondo_test::oracle unchanged;
  const rondo_test::log_capture log;
  auto loop = rondo::new_event_loop();
  const auto body = [](task_group& group) -> rondo::coro<> {
    group.create_task(forever());
    group.create_task(forever());
    co_return;
  };
  loop->create_task([&]() -> rondo::coro<> { co_await rondo::with_task_group(body); });
  for (int n = 0; n < 3; ++n) loop->run_once();
  loop.reset();
  CHECK(log.count("destroyed but it is pending") == 3);
}

// ---- start ----

namespace {

rondo::coro<> serve(rondo::task_status<int> status, fixture& f, int iterations) {
  co_await yields(iterations);
  f.note("ready");
  status.started(80);
  co_await work(f, "served", 6);
}

}  // namespace

TEST_CASE_METHOD(fixture, "start yields what the child reports, and the child goes on",
                 "[task_group][start]") {
  run([this]() -> rondo::coro<> {
    const auto body = [this](task_group& group) -> rondo::coro<> {
      const int port = co_await group.start(serve, std::ref(*this), 3);
      CHECK(port == 80);
      note("started");
      // By reference, without a value, generic.
      co_await group.start([](rondo::task_status<>& status) -> rondo::coro<> {
        status.started();
        co_return;
      });
      const auto generic = [](auto status, std::string text) -> rondo::coro<> {
        status.started(text + "!");
        co_return;
      };
      const std::string word = co_await group.start<std::string>(generic, "word");
      CHECK(word == "word!");
    };
    co_await rondo::with_task_group(body);
    note("left");
  });
  CHECK(trace == events{"ready", "started", "served", "left"});
}

TEST_CASE_METHOD(fixture, "an error before the report is thrown by start and is not the group's",
                 "[task_group][start]") {
  run([this]() -> rondo::coro<> {
    const auto body = [this](task_group& group) -> rondo::coro<> {
      const auto failing = [this](rondo::task_status<int>) -> rondo::coro<> {
        co_await fail(*this, "bad", 1);
      };
      std::string text = co_await ends_with(group.start(failing));
      CHECK(text == "bad");
      const auto silent = [](rondo::task_status<int>) -> rondo::coro<> { co_return; };
      text = co_await ends_with(group.start(silent));
      CHECK(text == "the child ended without calling task_status::started");
      const auto cancelled = [](rondo::task_status<int>) -> rondo::coro<> {
        rondo::current_task().cancel();
        co_await rondo::sleep(1h);
      };
      text = co_await ends_with(group.start(cancelled));
      CHECK(text == "cancelled");
      CHECK(requests() == 0);
    };
    co_await rondo::with_task_group(body);
  });
}

TEST_CASE_METHOD(fixture, "an error after the report is the group's", "[task_group][start]") {
  run([]() -> rondo::coro<> {
    const auto body = [](task_group& group) -> rondo::coro<> {
      const auto late = [](rondo::task_status<int> status) -> rondo::coro<> {
        status.started(1);
        CHECK_THROWS_AS(status.started(2), std::logic_error);
        co_await rondo::yield_now();
        throw std::runtime_error("late");
      };
      const int one = co_await group.start(late);
      CHECK(one == 1);
      co_await rondo::sleep(1h);
    };
    const std::string text = co_await ends_with(rondo::with_task_group(body));
    CHECK(text == "group[late]");
  });
}

TEST_CASE_METHOD(fixture, "cancelling start cancels the child and waits for it",
                 "[task_group][start]") {
  run([this]() -> rondo::coro<> {
    const rondo::task<> parent = rondo::create_task([this]() -> rondo::coro<> {
      const auto body = [this](task_group& group) -> rondo::coro<> {
        const auto slow = [this](rondo::task_status<int> status) -> rondo::coro<> {
          const std::string text = co_await ends_with(slow_to_cancel(*this, "child", 4));
          status.started(3);
          throw rondo::cancelled_error();
        };
        const std::string text = co_await ends_with(group.start(slow));
        note("start " + text);
        throw rondo::cancelled_error(text);
      };
      co_await rondo::with_task_group(body);
    });
    co_await yields(4);
    parent.cancel("outside");
    co_await yields(2);
    parent.cancel("again");
    const std::string text = co_await ends_with(parent);
    note(text);
  });
  CHECK(trace ==
        events{"child cleaned up", "start cancelled: outside", "cancelled: cancelled: outside"});
}

TEST_CASE_METHOD(fixture, "start in a group that has not been entered", "[task_group][start]") {
  run([this]() -> rondo::coro<> {
    const task_group group;
    const std::string text = co_await ends_with(group.start(serve, std::ref(*this), 0));
    CHECK(text == "the task group has not been entered");
  });
}
