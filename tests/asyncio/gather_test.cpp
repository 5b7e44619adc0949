// SPDX-License-Identifier: MIT
// rondo tests: gather, wait, as_completed and shield as on asyncio; the twin of programs/gather.py.
#include "asyncio/pairs.hpp"

#include <algorithm>
#include <optional>
#include <tuple>

using namespace asyncio_test;
using rondo::gather;
using rondo::gather_settled;
using rondo::return_when;
using rondo::shield;

namespace {

/// Where the tasks stand in the list.
template <class T>
std::vector<int> places(const std::vector<task<T>>& of, const std::vector<task<T>>& in) {
  std::vector<int> result;
  for (const task<T>& each : of) {
    result.push_back(static_cast<int>(std::find(in.begin(), in.end(), each) - in.begin()));
  }
  return result;
}

coro<> results_in_order(trace& out) {
  create_task(ticks(out, 7));
  const auto [a, b, c] =
      co_await gather(work(out, "a", 3, 1), work(out, "b", 1, 2), work(out, "c", 2, 3));
  out(std::vector<int>{a, b, c});
  const task<int> once = create_task(work(out, "once", 0, 4));
  const auto [first, second] = co_await gather(once, once);
  out(std::vector<int>{first, second});
  co_await gather();
  out(std::vector<int>());
}

coro<> trivial_children(trace& out) {
  create_task(ticks(out, 5));
  co_await yield_now();
  co_await gather(work(out, "a", 0), work(out, "b", 0));
  out("gathered");
}

coro<> first_error(trace& out) {
  create_task(ticks(out, 9));
  const task<int> slow = create_task(work(out, "slow", 6));
  const std::string end =
      co_await ended(gather(slow, fail(out, "x", 2), fail(out, "y", 1), fail(out, "z", 4)));
  out(end);
  out(slow.done());
  co_await slow;
  out("end");
}

coro<> settled(trace& out) {
  const task<> gone = create_task(sleep(1000s));
  co_await yield_now();
  gone.cancel();
  const auto [a, b, c] = co_await gather_settled(work(out, "a", 2, 1), fail(out, "b", 1), gone);
  out(a.value());
  out(describe(b.exception()));
  out(describe(c.exception()));
}

coro<> cancelled_from_outside(trace& out) {
  create_task(ticks(out, 12));
  const auto parent = [&out]() -> coro<> {
    try {
      co_await gather(cleanup(out, "slow", 6), cleanup(out, "fast", 2));
    } catch (const rondo::cancelled_error&) {
      out("parent-" + describe(std::current_exception()));
      out(requests());
    }
  };
  const task<> running = create_task(parent());
  co_await turns(3);
  running.cancel("stop");
  co_await running;
  out("parent-done");
  co_await turns(6);
}

coro<> settled_cancelled_from_outside(trace& out) {
  const auto all =
      gather_settled(cleanup(out, "slow", 4), cleanup(out, "fast", 1), work(out, "c", 0));
  co_await turns(3);
  out(all.cancel());
  const std::string end = co_await ended(all);
  out(end);
  out(all.cancelled());
}

coro<> child_cancelled_alone(trace& out) {
  const task<> child = create_task(sleep(1000s));
  const auto outer = gather(child, work(out, "sibling", 5));
  co_await yield_now();
  child.cancel("child");
  const std::string end = co_await ended(outer);
  out(end);
  out(outer.cancelled());
  out(requests());
  out(outer.cancel());
  co_await turns(5);
}

coro<> done_at_the_call(trace& out) {
  event_loop& runs = get_running_loop();
  const future<int> one = runs.create_future<int>();
  one.set_result(1);
  out(gather(one, one).done());
  const future<int> bad = runs.create_future<int>();
  bad.cancel();
  const auto outer = gather(runs.create_future<int>(), bad);
  out(outer.done());
  out(describe(outer.exception()));
  co_return;
}

coro<> nested(trace& out) {
  create_task(ticks(out, 8));
  const auto inner = gather(cleanup(out, "a", 0), cleanup(out, "b", 1));
  const auto outer = gather(inner, cleanup(out, "c", 2));
  co_await turns(2);
  outer.cancel();
  const std::string end = co_await ended(outer);
  out(end);
  co_await turns(2);
}

coro<> wait_for_the_first(trace& out) {
  create_task(ticks(out, 6));
  std::vector<task<int>> tasks;
  tasks.push_back(create_task(work(out, "a", 3)));
  tasks.push_back(create_task(work(out, "b", 1)));
  tasks.push_back(create_task(work(out, "c", 4)));
  const auto first = co_await rondo::wait(tasks, {.when = return_when::first_completed});
  out(places(first.done, tasks));
  out(places(first.pending, tasks));
  const auto all = co_await rondo::wait(tasks);
  out(all.done.size());
  out(all.pending.size());
}

coro<> wait_until_an_exception(trace& out) {
  std::vector<task<int>> tasks;
  tasks.push_back(create_task(work(out, "a", 9)));
  tasks.push_back(create_task(work(out, "b", 9)));
  tasks.push_back(create_task(fail(out, "bad", 3)));
  tasks.push_back(create_task(work(out, "c", 0)));
  co_await yield_now();
  tasks[1].cancel();
  const auto result = co_await rondo::wait(tasks, {.when = return_when::first_exception});
  out(places(result.done, tasks));
  out(places(result.pending, tasks));
  co_await tasks[0];
}

coro<> wait_with_a_timeout(trace& out) {
  std::vector<task<>> tasks;
  tasks.push_back(create_task(sleep(1s)));
  tasks.push_back(create_task(sleep(5s)));
  const auto some = co_await rondo::wait(tasks, {.timeout = 2s});
  out(now());
  out(some.done.size());
  out(std::vector<std::size_t>{some.pending.at(0).cancelling()});
  const auto same = co_await rondo::wait(tasks, {.timeout = 0s});
  out(same.done.size());
  out(now());
  const std::string end = co_await ended(rondo::wait(std::vector<task<>>()));
  out(end);
}

coro<> wait_that_is_cancelled(trace& out) {
  const std::vector<task<int>> tasks(1, create_task(work(out, "a", 5)));
  const auto waits = [&]() -> coro<> {
    const std::string end = co_await ended(rondo::wait(tasks));
    out("wait-" + end);
  };
  const task<> waiting = create_task(waits());
  co_await turns(2);
  waiting.cancel();
  co_await waiting;
  out(tasks[0].cancelling());
  co_await tasks[0];
  create_task(ticks(out, 4));
  co_await rondo::wait(tasks);
  out("suspended");
}

coro<std::string> named(trace& out, std::string name, int n) {
  co_await work(out, name, n);
  co_return name + "!";
}

coro<> as_they_complete(trace& out) {
  std::vector<task<std::string>> tasks;
  tasks.push_back(create_task(named(out, "a", 5)));
  tasks.push_back(create_task(named(out, "b", 1)));
  tasks.push_back(create_task(named(out, "c", 3)));
  tasks.push_back(create_task(named(out, "d", 1)));
  auto all = rondo::as_completed(tasks);
  while (auto each = co_await all.next()) out(each->result());
}

coro<> as_they_complete_in_time(trace& out) {
  std::vector<task<int>> tasks;
  tasks.push_back(create_task(sleep(3s, 3)));
  tasks.push_back(create_task(sleep(1s, 1)));
  auto all = rondo::as_completed(tasks, 2s);
  std::string outcomes;
  for (int i = 0; i < 2; ++i) {
    try {
      const auto each = co_await all.next();
      outcomes += std::to_string(each->result());
    } catch (const rondo::timeout_error&) {
      outcomes += ", 'timeout'";
    }
  }
  out("[" + outcomes + "]");
  out(now());
  out(tasks[0].done());
  const int result = co_await tasks[0];
  out(result);
}

coro<> the_futures_themselves(trace& out) {
  std::vector<task<int>> tasks;
  tasks.push_back(create_task(work(out, "a", 2)));
  tasks.push_back(create_task(work(out, "b", 0)));
  auto all = rondo::as_completed(tasks);
  while (auto each = co_await all.next()) {
    out(places(std::vector{*each}, tasks).at(0));
    out(each->done());
  }
}

coro<> shield_from_outside(trace& out) {
  create_task(ticks(out, 9));
  const task<int> inner = create_task(work(out, "inner", 5, 3));
  const auto parent = [&]() -> coro<> {
    const std::string end = co_await ended(shield(inner));
    out("parent-" + end);
    out(requests());
  };
  const task<> running = create_task(parent());
  co_await turns(2);
  running.cancel("away");
  co_await running;
  out(inner.cancelling());
  const int result = co_await inner;
  out(result);
}

coro<> shield_from_inside(trace& out) {
  const task<> inner = create_task(sleep(1000s));
  const future<> outer = shield(inner);
  co_await yield_now();
  inner.cancel();
  const std::string end = co_await ended(outer);
  out(end);
  out(outer.cancelled());
  out(requests());
}

coro<> shield_of_what_is_done(trace& out) {
  event_loop& runs = get_running_loop();
  const future<int> done = runs.create_future<int>();
  done.set_result(1);
  out(shield(done) == done);
  const future<int> pending = runs.create_future<int>();
  const future<int> outer = shield(pending);
  out(outer == pending);
  pending.set_result(2);
  out(outer.done());
  co_await yield_now();
  out(outer.done());
  const int result = co_await outer;
  out(result);
  const std::string end = co_await ended(shield(fail(out, "bad", 1)));
  out(end);
}

coro<> ensure_future_is_the_same(trace& out) {
  const future<> made = get_running_loop().create_future<>();
  out(rondo::ensure_future(made) == made);
  const task<int> running = create_task(work(out, "task", 0, 1));
  out(rondo::ensure_future(running) == running);
  const future<int> wrapped = rondo::ensure_future(work(out, "coro", 0, 2));
  out(wrapped.done());
  const int result = co_await wrapped;
  out(result);
}

}  // namespace

TEST_CASE("gather: results in the order of the arguments", "[rule-086]") {
  CHECK(run(results_in_order) == python("gather.results_in_order"));
}
TEST_CASE("gather: trivial children take three iterations", "[rule-056]") {
  CHECK(run(trivial_children) == python("gather.trivial_children"));
}
TEST_CASE("gather: the first error at once", "[rule-087]") {
  CHECK(run(first_error) == python("gather.first_error"));
}
TEST_CASE("gather: errors as results", "[rule-088]") {
  CHECK(run(settled) == python("gather.settled"));
}
TEST_CASE("gather: cancelled from outside", "[rule-089]") {
  CHECK(run(cancelled_from_outside) == python("gather.cancelled_from_outside"));
}
TEST_CASE("gather: with errors as results, cancelled from outside", "[rule-089]") {
  CHECK(run(settled_cancelled_from_outside) == python("gather.settled_cancelled_from_outside"));
}
TEST_CASE("gather: a child is cancelled alone", "[rule-090][rule-091]") {
  CHECK(run(child_cancelled_alone) == python("gather.child_cancelled_alone"));
}
TEST_CASE("gather: what is done at the call", "[rule-092]") {
  CHECK(run(done_at_the_call) == python("gather.done_at_the_call", "True True cancelled"));
}
TEST_CASE("gather: in a gather", "[rule-089]") { CHECK(run(nested) == python("gather.nested")); }
TEST_CASE("wait: for the first", "[rule-093]") {
  CHECK(run(wait_for_the_first) == python("gather.wait_for_the_first"));
}
TEST_CASE("wait: until an exception", "[rule-094]") {
  CHECK(run(wait_until_an_exception) == python("gather.wait_until_an_exception"));
}
TEST_CASE("wait: with a timeout", "[rule-093]") {
  CHECK(run(wait_with_a_timeout) == python("gather.wait_with_a_timeout"));
}
TEST_CASE("wait: cancelled, and always suspended", "[rule-056][rule-095]") {
  CHECK(run(wait_that_is_cancelled) == python("gather.wait_that_is_cancelled"));
}
TEST_CASE("as_completed: in the order of completion", "[rule-096]") {
  CHECK(run(as_they_complete) == python("gather.as_they_complete"));
}
TEST_CASE("as_completed: in time", "[rule-096]") {
  CHECK(run(as_they_complete_in_time) == python("gather.as_they_complete_in_time"));
}
TEST_CASE("as_completed: the futures themselves", "[rule-097]") {
  CHECK(run(the_futures_themselves) ==
        python("gather.the_futures_themselves", "b a 1 True 0 True"));
}
TEST_CASE("shield: cancelled from outside", "[rule-098]") {
  CHECK(run(shield_from_outside) == python("gather.shield_from_outside"));
}
TEST_CASE("shield: cancelled from inside", "[rule-098]") {
  CHECK(run(shield_from_inside) == python("gather.shield_from_inside"));
}
TEST_CASE("shield: of what is done", "[rule-098]") {
  CHECK(run(shield_of_what_is_done) == python("gather.shield_of_what_is_done"));
}
TEST_CASE("ensure_future: of a future is that future", "[rule-080]") {
  CHECK(run(ensure_future_is_the_same) == python("gather.ensure_future_is_the_same"));
}
