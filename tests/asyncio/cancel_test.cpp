// SPDX-License-Identifier: MIT
// rondo tests: tasks, their cancellation and their contexts as on asyncio; the twins of
// programs/cancel.py and programs/contexts.py.
#include "asyncio/pairs.hpp"

using namespace asyncio_test;
using rondo::cancelled_error;
using rondo::current_task;

namespace {

coro<> tasks_start_in_order(trace& out) {
  const auto say = [&out](std::string name) -> coro<> {
    out(name);
    co_return;
  };
  std::vector<task<>> tasks;
  for (const char* const name : {"a", "b", "c"}) tasks.push_back(create_task(say(name)));
  out("created");
  co_await tasks[2];
  out("awaited");
  get_running_loop().call_soon([&out] { out(current_task() ? "task" : "None"); });
  co_await yield_now();
  out(static_cast<bool>(current_task()));
}

coro<> before_the_first_step(trace& out) {
  const task<int> never = create_task(work(out, "body", 0));
  out(never.cancel("early"));
  out(never.cancelled());
  out(never.cancelling());
  const std::string end = co_await ended(never);
  out(end);
  out(never.cancelled());
  out(never.cancel());
  out(never.cancelling());
}

coro<> many_requests_one_error(trace& out) {
  const auto body = [&out]() -> coro<> {
    try {
      co_await sleep(1000s);
    } catch (const cancelled_error& caught) {
      out("caught-" + caught.message());
    }
    co_await turns(2);
    out("went-on");
  };
  const task<> running = create_task(body());
  co_await yield_now();
  running.cancel("one");
  running.cancel("two");
  running.cancel("three");
  const std::string end = co_await ended(running);
  out(end);
  out(running.cancelled());
  out(running.cancelling());
}

coro<> cleanup_is_interrupted(trace& out) {
  const auto body = [&out]() -> coro<> {
    std::exception_ptr cancelled;
    try {
      co_await sleep(1000s);
    } catch (const cancelled_error&) {
      cancelled = std::current_exception();
    }
    out("cleaning");
    co_await work(out, "cleanup", 5);
    std::rethrow_exception(cancelled);
  };
  const task<> running = create_task(body());
  co_await yield_now();
  running.cancel();
  co_await turns(2);
  running.cancel();
  const std::string end = co_await ended(running);
  out(end);
  out(running.cancelling());
}

coro<> level(trace& out, int n) {
  try {
    if (n == 0) {
      co_await sleep(1000s);
    } else {
      co_await create_task(level(out, n - 1));
    }
  } catch (const cancelled_error&) {
    out(n);
    throw;
  }
}

coro<> innermost_first(trace& out) {
  const task<> outermost = create_task(level(out, 3));
  create_task(ticks(out, 9));
  co_await turns(5);
  outermost.cancel();
  const std::string end = co_await ended(outermost);
  out(end);
}

coro<> another_exception(trace& out) {
  const auto body = []() -> coro<> {
    try {
      co_await sleep(1000s);
    } catch (const cancelled_error&) {
      throw error("instead");
    }
  };
  const task<> failing = create_task(body());
  co_await yield_now();
  failing.cancel();
  std::string end = co_await ended(failing);
  out(end);
  out(failing.cancelled());
  const auto own = []() -> coro<> {
    throw cancelled_error();
    co_return;
  };
  const task<> gone = create_task(own());
  end = co_await ended(gone);
  out(end);
  out(gone.cancelled());
  out(gone.cancelling());
}

coro<> oneself(trace& out) {
  const auto suspends = [&out]() -> coro<> {
    current_task().cancel();
    const future<int> done = get_running_loop().create_future<int>();
    done.set_result(1);
    const int one = co_await done;
    out(one);
    out("on");
    co_await yield_now();
    out("never");
  };
  const auto returns = []() -> coro<> {
    current_task().cancel();
    co_return;
  };
  const auto raises = []() -> coro<> {
    current_task().cancel();
    throw error("mine");
    co_return;
  };
  std::vector<task<>> tasks;
  for (int i = 0; i < 3; ++i) {
    const task<> each = i == 0 ? create_task(suspends())
                               : (i == 1 ? create_task(returns()) : create_task(raises()));
    const std::string end = co_await ended(each);
    out(end);
    out(each.cancelled());
  }
}

coro<> swallowed(trace& out) {
  const auto body = []() -> coro<std::string> {
    try {
      co_await sleep(1000s);
    } catch (const cancelled_error&) {
    }
    co_await yield_now();
    co_return "value";
  };
  const task<std::string> running = create_task(body());
  co_await yield_now();
  running.cancel();
  const std::string result = co_await running;
  out(result);
  out(running.cancelled());
  out(running.cancelling());
}

coro<> uncancel_counts(trace& out) {
  const auto body = [&out]() -> coro<> {
    const rondo::any_task me = current_task();
    me.cancel();
    me.cancel();
    try {
      co_await yield_now();
    } catch (const cancelled_error&) {
      out(me.cancelling());
    }
    out(me.uncancel());
    out(me.uncancel());
    out(me.uncancel());
    co_await yield_now();
    out("on");
  };
  const std::string end = co_await ended(create_task(body()));
  out(end);
}

coro<> uncancel_withdraws(trace& out) {
  const auto body = [&out]() -> coro<> {
    const rondo::any_task me = current_task();
    me.cancel();
    out(me.uncancel());
    co_await yield_now();
    out("on");
  };
  const std::string end = co_await ended(create_task(body()));
  out(end);
}

coro<> completion_and_cancellation(trace& out) {
  for (int round = 0; round < 2; ++round) {
    const bool result_first = round == 0;
    const future<std::string> awaited = get_running_loop().create_future<std::string>();
    const auto body = [&]() -> coro<> {
      const std::string result = co_await awaited;
      out(result);
    };
    const task<> running = create_task(body());
    co_await yield_now();
    if (result_first) {
      awaited.set_result("result");
      out(running.cancel());
    } else {
      out(running.cancel());
      out(awaited.done());
    }
    const std::string end = co_await ended(running);
    out(end);
  }
}

coro<> slow_cleanups(trace& out) {
  const task<int> a = create_task(cleanup(out, "a", 3));
  const task<int> b = create_task(cleanup(out, "b", 1));
  const task<int> c = create_task(cleanup(out, "c", 2));
  const task<int> bad = create_task(fail(out, "bad", 9));
  co_await turns(1);
  const std::vector<task<int>> tasks = {a, b, c};
  for (const task<int>& each : tasks) each.cancel("stop");
  for (const task<int>& each : tasks) {
    const std::string end = co_await ended(each);
    out(end);
  }
  const std::string end = co_await ended(bad);
  out(end);
}

// ---- contexts ----

const rondo::context_var<std::string> name("name", "nobody");

coro<> a_task_has_a_copy(trace& out) {
  static_cast<void>(name.set("parent"));
  const auto child = [&out]() -> coro<> {
    out(name.get());
    static_cast<void>(name.set("child"));
    co_await yield_now();
    out(name.get());
  };
  const task<> running = create_task(child());
  static_cast<void>(name.set("later"));
  co_await running;
  out(name.get());
  const auto awaited = []() -> coro<> {
    static_cast<void>(name.set("awaited"));
    co_return;
  };
  co_await awaited();
  out(name.get());
}

coro<> callbacks_have_a_snapshot(trace& out) {
  event_loop& runs = get_running_loop();
  const auto say = [&out] { out(name.get()); };
  static_cast<void>(name.set("one"));
  runs.call_soon(say);
  static_cast<void>(name.set("two"));
  runs.call_soon([&out] {
    out(name.get());
    static_cast<void>(name.set("callback"));
  });
  runs.call_later(1s, say);
  static_cast<void>(name.set("three"));
  co_await sleep(2s);
  out(name.get());
}

coro<> done_callbacks(trace& out) {
  const future<int> made = get_running_loop().create_future<int>();
  static_cast<void>(name.set("added"));
  made.add_done_callback([&out] { out(name.get()); });
  static_cast<void>(name.set("set"));
  made.set_result(1);
  co_await turns(1);
}

coro<> a_given_context_is_shared(trace& out) {
  rondo::context given = rondo::copy_context();
  given.run([] { static_cast<void>(name.set("given")); });
  const auto child = [&out]() -> coro<> {
    out(name.get());
    static_cast<void>(name.set("child"));
    co_return;
  };
  co_await create_task(child(), {.context = &given});
  out(given.get(name).value());
  out(name.get());
  auto token = name.set("here");
  name.reset(token);
  out(name.get());
}

}  // namespace

TEST_CASE("cancel: tasks start in the order of their creation", "[rule-063][rule-065]") {
  CHECK(run(tasks_start_in_order) == python("cancel.tasks_start_in_order"));
}
TEST_CASE("cancel: before the first step", "[rule-066][rule-068][rule-069]") {
  CHECK(run(before_the_first_step) == python("cancel.before_the_first_step"));
}
TEST_CASE("cancel: many requests are one error", "[rule-070][rule-072]") {
  CHECK(run(many_requests_one_error) == python("cancel.many_requests_one_error"));
}
TEST_CASE("cancel: a cleanup that awaits is interrupted", "[rule-071]") {
  CHECK(run(cleanup_is_interrupted) == python("cancel.cleanup_is_interrupted"));
}
TEST_CASE("cancel: the innermost first", "[rule-067][rule-077]") {
  CHECK(run(innermost_first) == python("cancel.innermost_first"));
}
TEST_CASE("cancel: another exception, and one's own cancelled_error", "[rule-073][rule-074]") {
  CHECK(run(another_exception) == python("cancel.another_exception"));
}
TEST_CASE("cancel: a task cancels itself", "[rule-075]") {
  CHECK(run(oneself) == python("cancel.oneself"));
}
TEST_CASE("cancel: swallowed", "[rule-072]") {
  CHECK(run(swallowed) == python("cancel.swallowed"));
}
TEST_CASE("cancel: uncancel counts down to zero", "[rule-076]") {
  CHECK(run(uncancel_counts) == python("cancel.uncancel_counts"));
}
TEST_CASE("cancel: uncancel withdraws what was not delivered", "[rule-076]") {
  CHECK(run(uncancel_withdraws) == python("cancel.uncancel_withdraws", "0 on none"));
}
TEST_CASE("cancel: a completion and a cancellation in one iteration", "[rule-067][fault-D2]") {
  CHECK(run(completion_and_cancellation) == python("cancel.completion_and_cancellation"));
}
TEST_CASE("cancel: cleanups of different length", "[rule-067]") {
  CHECK(run(slow_cleanups) == python("cancel.slow_cleanups"));
}

TEST_CASE("contexts: a task has a copy of its creator's", "[rule-029][fault-D19]") {
  CHECK(run(a_task_has_a_copy) == python("contexts.a_task_has_a_copy"));
}
TEST_CASE("contexts: a callback has what was set when it was scheduled", "[rule-028][fault-D19]") {
  CHECK(run(callbacks_have_a_snapshot) == python("contexts.callbacks_have_a_snapshot"));
}
TEST_CASE("contexts: a done callback has what was set when it was added", "[rule-030][fault-D19]") {
  CHECK(run(done_callbacks) == python("contexts.done_callbacks"));
}
TEST_CASE("contexts: a given context is used itself", "[rule-029][fault-D19]") {
  CHECK(run(a_given_context_is_shared) == python("contexts.a_given_context_is_shared"));
}
