// SPDX-License-Identifier: MIT
// rondo tests: callbacks, timers and futures as on asyncio; the twins of programs/timers.py and
// programs/futures.py.
#include "asyncio/pairs.hpp"

using namespace asyncio_test;

namespace {

// ---- timers ----

coro<> soon_before_later(trace& out) {
  event_loop& runs = get_running_loop();
  runs.call_later(0s, std::ref(out), "later0");
  runs.call_later(-1s, std::ref(out), "later-1");
  runs.call_soon(std::ref(out), "soon1");
  const auto nested = [&runs, &out] { runs.call_soon(std::ref(out), "nested"); };
  runs.call_soon(nested);
  runs.call_soon(std::ref(out), "soon2");
  for (int i = 0; i < 3; ++i) {
    co_await yield_now();
    out("|");
  }
}

coro<> deadlines(trace& out) {
  event_loop& runs = get_running_loop();
  const rondo::time_point begin = runs.time();
  runs.call_at(begin + 3s, std::ref(out), "3");
  runs.call_later(1s, std::ref(out), "1");
  rondo::timer_handle cancelled = runs.call_at(begin + 2s, std::ref(out), "2");
  runs.call_at(begin + 5s, std::ref(out), "5");
  runs.call_at(begin - 1s, std::ref(out), "past");
  cancelled.cancel();
  co_await sleep(4s);
  out(now());
  co_await sleep(4s);
  out(now());
}

coro<> cancelled_in_the_same_batch(trace& out) {
  event_loop& runs = get_running_loop();
  std::vector<rondo::handle> handles;
  const auto first = [&] {
    out("first");
    handles[0].cancel();
  };
  runs.call_soon(first);
  handles.push_back(runs.call_soon(std::ref(out), "never"));
  runs.call_soon(std::ref(out), "last");
  co_await turns(2);
  out(handles[0].cancelled());
}

coro<> handles_after_their_turn(trace& out) {
  event_loop& runs = get_running_loop();
  const rondo::time_point begin = runs.time();
  const rondo::timer_handle handle = runs.call_later(2s, std::ref(out), "ran");
  const auto seconds = [&] { return (handle.when() - begin) / std::chrono::seconds(1); };
  out(seconds());
  co_await sleep(3s);
  out(handle.cancelled());
  handle.cancel();
  handle.cancel();
  out(handle.cancelled());
  out(seconds());
}

coro<> sleeps(trace& out) {
  const auto sleeper = [&out](std::string name, rondo::interval delay) -> coro<> {
    const std::string result = co_await sleep(delay, name);
    out(result);
  };
  std::vector<task<>> tasks;
  tasks.push_back(create_task(sleeper("a", 2s)));
  tasks.push_back(create_task(sleeper("b", 0s)));
  tasks.push_back(create_task(sleeper("c", -1s)));
  tasks.push_back(create_task(sleeper("d", 1s)));
  co_await yield_now();
  out("|");
  co_await yield_now();
  out("|");
  for (const task<>& each : tasks) co_await each;
  out(now());
}

coro<> cancelled_sleep(trace& out) {
  const task<> sleeping = create_task(sleep(10s));
  get_running_loop().call_later(1s, [sleeping] { sleeping.cancel(); });
  const std::string end = co_await ended(sleeping);
  out(end);
  out(now());
}

// ---- futures ----

coro<> callbacks_in_order(trace& out) {
  event_loop& runs = get_running_loop();
  const future<int> made = runs.create_future<int>();
  for (const char* const name : {"a", "b", "c"}) {
    made.add_done_callback([&out, name] { out(name); });
  }
  made.add_done_callback([&out] {
    out("fails");
    throw error("x");
  });
  made.add_done_callback([&out] { out("d"); });
  made.set_result(1);
  out("set");
  runs.call_soon(std::ref(out), "soon");
  made.add_done_callback([&out] { out("late"); });
  co_await turns(2);
}

coro<> states(trace& out) {
  event_loop& runs = get_running_loop();
  const future<int> made = runs.create_future<int>();
  out(failure([&] { static_cast<void>(made.result()); }));
  out(failure([&] { static_cast<void>(made.exception()); }));
  made.set_result(5);
  out(made.result());
  out(failure([&] { made.set_result(6); }));
  out(failure([&] { made.set_exception(error("x")); }));
  out(made.cancel());
  const future<int> gone = runs.create_future<int>();
  out(gone.cancel("why"));
  out(gone.cancelled());
  const std::string end = co_await ended(gone);
  out(end);
  out(failure([&] { gone.set_result(1); }));
}

coro<> done_is_not_awaited(trace& out) {
  event_loop& runs = get_running_loop();
  create_task(ticks(out, 3));
  const future<int> done = runs.create_future<int>();
  done.set_result(1);
  const future<int> bad = runs.create_future<int>();
  bad.set_exception(error("bad"));
  const int one = co_await done;
  out(one);
  const std::string end = co_await ended(bad);
  out(end);
  const auto direct = []() -> coro<int> { co_return 2; };
  const int two = co_await direct();
  out(two);
  co_await yield_now();
  out("yielded");
}

coro<> a_result_takes_an_iteration(trace& out) {
  event_loop& runs = get_running_loop();
  const future<int> made = runs.create_future<int>();
  const auto waits = [&](std::string name) -> coro<> {
    const int result = co_await made;
    out(name + std::to_string(result));
  };
  const task<> a = create_task(waits("a"));
  const task<> b = create_task(waits("b"));
  create_task(ticks(out, 6));
  co_await turns(2);
  runs.call_soon([made] { made.set_result(7); });
  out("scheduled");
  co_await a;
  co_await b;
}

coro<> an_exception_each_time(trace& out) {
  const auto fails = []() -> coro<> {
    throw error("again");
    co_return;
  };
  const task<> failing = create_task(fails());
  std::vector<const error*> errors;
  for (int i = 0; i < 2; ++i) {
    try {
      co_await failing;
    } catch (const error& caught) {
      errors.push_back(&caught);
      out(describe(std::current_exception()));
    }
  }
  out(errors[0] == errors[1]);
}

coro<> shared_future_is_cancelled_for_all(trace& out) {
  const future<> shared = get_running_loop().create_future<>();
  const auto waits = [&](std::string name) -> coro<> {
    try {
      co_await shared;
    } catch (const rondo::cancelled_error&) {
      out(name + "-cancelled-" + std::to_string(requests()));
    }
  };
  const task<> a = create_task(waits("a"));
  const task<> b = create_task(waits("b"));
  co_await yield_now();
  a.cancel();
  out(shared.cancelled());
  co_await a;
  co_await b;
}

coro<> removed_callbacks(trace& out) {
  const future<> made = get_running_loop().create_future<>();
  const rondo::callback_id twice = made.add_done_callback([&out] { out("twice"); });
  made.add_done_callback([&out] { out("kept"); });
  out(made.remove_done_callback(twice) ? 1 : 0);
  made.set_result();
  co_await yield_now();
  out(made.remove_done_callback(twice) ? 1 : 0);
}

}  // namespace

TEST_CASE("timers: no delay comes after what is ready", "[rule-003][rule-004][rule-005]") {
  CHECK(run(soon_before_later) == python("timers.soon_before_later"));
}
TEST_CASE("timers: in the order of their deadlines", "[rule-006]") {
  CHECK(run(deadlines) == python("timers.deadlines"));
}
TEST_CASE("timers: a handle of the running batch is cancelled", "[rule-009]") {
  CHECK(run(cancelled_in_the_same_batch) == python("timers.cancelled_in_the_same_batch"));
}
TEST_CASE("timers: handles answer after their turn", "[rule-010][rule-011]") {
  CHECK(run(handles_after_their_turn) == python("timers.handles_after_their_turn"));
}
TEST_CASE("timers: sleeping, and yielding", "[rule-085]") {
  CHECK(run(sleeps) == python("timers.sleeps"));
}
TEST_CASE("timers: a sleep is cancelled", "[rule-085]") {
  CHECK(run(cancelled_sleep) == python("timers.cancelled_sleep"));
}

TEST_CASE("futures: callbacks run in order, later, whatever they throw",
          "[rule-052][rule-053][rule-054]") {
  CHECK(run(callbacks_in_order) == python("futures.callbacks_in_order"));
}
TEST_CASE("futures: what a state allows", "[rule-049][rule-050][rule-051][rule-060]") {
  CHECK(run(states) == python("futures.states"));
}
TEST_CASE("futures: what is done is not waited for", "[rule-055]") {
  CHECK(run(done_is_not_awaited) == python("futures.done_is_not_awaited"));
}
TEST_CASE("futures: waiters wake in order, an iteration later", "[rule-056][rule-057]") {
  CHECK(run(a_result_takes_an_iteration) == python("futures.a_result_takes_an_iteration"));
}
TEST_CASE("futures: a failed task throws the same each time", "[rule-078]") {
  CHECK(run(an_exception_each_time) == python("futures.an_exception_each_time"));
}
TEST_CASE("futures: a shared one is cancelled for all", "[rule-058]") {
  CHECK(run(shared_future_is_cancelled_for_all) ==
        python("futures.shared_future_is_cancelled_for_all"));
}
TEST_CASE("futures: callbacks are removed before they are scheduled", "[rule-053]") {
  CHECK(run(removed_callbacks) == python("futures.removed_callbacks"));
}
