// SPDX-License-Identifier: MIT
// rondo tests: task groups as on asyncio; the twin of programs/groups.py.
#include "asyncio/pairs.hpp"

using namespace asyncio_test;
using rondo::task_group;
using rondo::with_task_group;

namespace {

coro<> waits_for_late_children(trace& out) {
  create_task(ticks(out, 8));
  const task_group group;
  const auto child = [&]() -> coro<> {
    co_await work(out, "child", 2);
    group.create_task(work(out, "grandchild", 2));
  };
  const auto body = [&](task_group&) -> coro<> {
    group.create_task(child());
    out("body");
    co_return;
  };
  co_await with_task_group(group, body);
  out("left");
  out(failure([&] { group.create_task(work(out, "never", 0)); }));
}

coro<> trivial_child(trace& out) {
  create_task(ticks(out, 5));
  co_await yield_now();
  const auto one = [&out](task_group& group) -> coro<> {
    group.create_task(work(out, "child", 0));
    co_return;
  };
  co_await with_task_group(one);
  out("left");
  const auto none = [](task_group&) -> coro<> { co_return; };
  co_await with_task_group(none);
  out("left");
}

coro<> a_child_fails(trace& out) {
  create_task(ticks(out, 9));
  const auto body = [&out](task_group& group) -> coro<> {
    group.create_task(fail(out, "x", 2));
    group.create_task(cleanup(out, "slow", 2));
    group.create_task(fail(out, "y", 2));
    co_await work(out, "body", 20);
  };
  const std::string end = co_await ended(with_task_group(body));
  out(end);
  out(requests());
}

coro<> a_child_fails_while_the_group_waits(trace& out) {
  const auto body = [&out](task_group& group) -> coro<> {
    group.create_task(fail(out, "x", 3));
    group.create_task(cleanup(out, "slow", 1));
    out("body");
    co_return;
  };
  const std::string end = co_await ended(with_task_group(body));
  out(end);
}

coro<> errors_in_the_order_of_completion(trace& out) {
  const auto failing_cleanup = [&out](std::string name, int n) -> coro<> {
    try {
      co_await sleep(1000s);
    } catch (const rondo::cancelled_error&) {
    }
    co_await fail(out, name, n);
  };
  const auto body = [&](task_group& group) -> coro<> {
    group.create_task(failing_cleanup("slow", 4));
    group.create_task(failing_cleanup("fast", 1));
    group.create_task(fail(out, "first", 1));
    co_return;
  };
  const std::string end = co_await ended(with_task_group(body));
  out(end);
}

coro<> a_child_is_cancelled_alone(trace& out) {
  task<int> child;
  const auto body = [&](task_group& group) -> coro<> {
    child = group.create_task(cleanup(out, "child", 1));
    group.create_task(work(out, "sibling", 4));
    co_await yield_now();
    child.cancel();
    co_await work(out, "body", 3);
  };
  co_await with_task_group(body);
  out(child.cancelled());
  out(requests());
}

coro<> the_body_fails(trace& out) {
  const auto alone = [](task_group&) -> coro<> {
    co_await yield_now();
    throw error("body");
  };
  std::string end = co_await ended(with_task_group(alone));
  out(end);
  const auto body = [&out](task_group& group) -> coro<> {
    group.create_task(cleanup(out, "a", 1));
    group.create_task(fail(out, "b", 0));
    co_await yield_now();
    throw error("body");
  };
  end = co_await ended(with_task_group(body));
  out(end);
}

coro<> children_that_never_started(trace& out) {
  const auto body = [&out](task_group& group) -> coro<> {
    group.create_task(work(out, "never", 0));
    throw error("body");
    co_return;
  };
  const std::string end = co_await ended(with_task_group(body));
  out(end);
}

coro<> the_parent_is_cancelled(trace& out) {
  for (int round = 0; round < 2; ++round) {
    const auto body = [&](task_group& group) -> coro<> {
      group.create_task(cleanup(out, "a", 3));
      group.create_task(cleanup(out, "b", 1));
      co_await work(out, "body", round == 0 ? 0 : 20);
    };
    const task<> parent = create_task(with_task_group(body));
    co_await turns(3);
    parent.cancel("outside");
    const std::string end = co_await ended(parent);
    out(end);
    out(parent.cancelling());
  }
}

coro<> the_parent_is_cancelled_again(trace& out) {
  const auto body = [&out](task_group& group) -> coro<> {
    group.create_task(cleanup(out, "a", 6));
    co_return;
  };
  const task<> parent = create_task(with_task_group(body));
  co_await turns(3);
  parent.cancel("one");
  co_await turns(3);
  parent.cancel("two");
  const std::string end = co_await ended(parent);
  out(end);
  out(parent.cancelling());
}

coro<> groups_in_groups(trace& out) {
  const auto innermost = [&out](task_group& group) -> coro<> {
    group.create_task(fail(out, "bad", 1));
    co_await work(out, "body", 9);
  };
  const auto inner = [&](task_group& group) -> coro<> {
    group.create_task(work(out, "sibling", 9));
    co_await with_task_group(innermost);
  };
  const auto outer = [&](task_group& group) -> coro<> {
    group.create_task(with_task_group(inner));
    co_return;
  };
  const std::string end = co_await ended(with_task_group(outer));
  out(end);
}

coro<> a_failure_reaches_the_inner_group(trace& out) {
  const auto inner = [&out](task_group& group) -> coro<> {
    group.create_task(cleanup(out, "inner-child", 1));
    co_return;
  };
  const auto outer = [&](task_group& group) -> coro<> {
    group.create_task(fail(out, "bad", 2));
    try {
      co_await with_task_group(inner);
    } catch (...) {
      out("inner-" + describe(std::current_exception()));
      throw;
    }
  };
  const std::string end = co_await ended(with_task_group(outer));
  out(end);
  out(requests());
}

coro<> system_exit_comes_bare(trace& out) {
  const auto body = [&out](task_group& group) -> coro<> {
    group.create_task(cleanup(out, "a", 2));
    co_await yield_now();
    throw rondo::system_exit(3);
  };
  const std::string end = co_await ended(with_task_group(body));
  out(end);
}

coro<> timeouts_in_groups(trace& out) {
  const auto ten = [](rondo::timeout&) { return sleep(10s); };
  const auto slow = [&](task_group& group) -> coro<> {
    group.create_task(rondo::with_timeout(1s, ten));
    co_await sleep(20s);
  };
  const auto body = [&](rondo::timeout&) -> coro<> { co_await with_task_group(slow); };
  std::string end = co_await ended(rondo::with_timeout(5s, body));
  out(end);
  const auto waiting = [&out](task_group& group) -> coro<> {
    group.create_task(cleanup(out, "a", 1));
    co_return;
  };
  const auto around = [&](rondo::timeout&) -> coro<> { co_await with_task_group(waiting); };
  end = co_await ended(rondo::with_timeout(2s, around));
  out(end);
  out(requests());
}

coro<> errors_before_the_cancellation(trace& out) {
  const auto body = [&out](task_group& group) -> coro<> {
    group.create_task(fail(out, "bad", 1));
    co_await sleep(1000s);
  };
  const auto parent = [&]() -> coro<> {
    std::string end = co_await ended(with_task_group(body));
    out(end);
    out(requests());
    end = co_await ended(sleep(0s));
    out(end);
  };
  const task<> running = create_task(parent());
  co_await turns(3);
  running.cancel();
  co_await running;
}

coro<> the_count_is_what_it_was(trace& out) {
  for (const int n : std::vector<int>{0, 1, 2, 9}) {
    const auto body = [&](task_group& group) -> coro<> {
      group.create_task(fail(out, "bad", 1));
      co_await turns(n);
    };
    std::string end = co_await ended(with_task_group(body));
    out(end);
    out(requests());
    end = co_await ended(sleep(0s));
    out(end);
  }
}

coro<> eager_children(trace& out) {
  const auto body = [&out](task_group& group) -> coro<> {
    const task<int> bad = group.create_task(fail(out, "bad", 0), {.eager_start = true});
    out(bad.done());
    out(requests());
    group.create_task(work(out, "never", 0));
    co_await work(out, "body", 9);
  };
  const std::string end = co_await ended(with_task_group(body));
  out(end);
}

coro<> cancelled_on_purpose(trace& out) {
  const task_group group;
  const auto body = [&](task_group&) -> coro<> {
    group.create_task(cleanup(out, "child", 1));
    co_await yield_now();
    group.cancel();
    group.cancel();
    co_await work(out, "body", 9);
  };
  co_await with_task_group(group, body);
  out("left");
  out(requests());
  group.cancel();
  const std::string end = co_await ended(sleep(0s));
  out(end);
}

}  // namespace

TEST_CASE("groups: wait for children that come late", "[rule-118]") {
  CHECK(run(waits_for_late_children) == python("groups.waits_for_late_children"));
}
TEST_CASE("groups: a trivial child takes three iterations, none takes none", "[rule-118]") {
  CHECK(run(trivial_child) == python("groups.trivial_child"));
}
TEST_CASE("groups: a child fails", "[rule-119]") {
  CHECK(run(a_child_fails) == python("groups.a_child_fails"));
}
TEST_CASE("groups: a child fails while the group waits", "[rule-119]") {
  CHECK(run(a_child_fails_while_the_group_waits) ==
        python("groups.a_child_fails_while_the_group_waits"));
}
TEST_CASE("groups: errors stand in the order of completion", "[rule-119]") {
  CHECK(run(errors_in_the_order_of_completion) ==
        python("groups.errors_in_the_order_of_completion"));
}
TEST_CASE("groups: a child is cancelled alone", "[rule-120]") {
  CHECK(run(a_child_is_cancelled_alone) == python("groups.a_child_is_cancelled_alone"));
}
TEST_CASE("groups: the body fails", "[rule-121]") {
  CHECK(run(the_body_fails) == python("groups.the_body_fails"));
}
TEST_CASE("groups: children that never started", "[rule-122]") {
  CHECK(run(children_that_never_started) == python("groups.children_that_never_started"));
}
TEST_CASE("groups: the parent is cancelled", "[rule-123]") {
  CHECK(run(the_parent_is_cancelled) == python("groups.the_parent_is_cancelled"));
}
TEST_CASE("groups: the parent is cancelled again", "[rule-123]") {
  CHECK(run(the_parent_is_cancelled_again) == python("groups.the_parent_is_cancelled_again"));
}
TEST_CASE("groups: in groups", "[rule-126]") {
  CHECK(run(groups_in_groups) == python("groups.groups_in_groups"));
}
TEST_CASE("groups: a failure reaches the inner group", "[rule-126]") {
  CHECK(run(a_failure_reaches_the_inner_group) ==
        python("groups.a_failure_reaches_the_inner_group"));
}
TEST_CASE("groups: system_exit comes bare", "[rule-127]") {
  CHECK(run(system_exit_comes_bare) == python("groups.system_exit_comes_bare"));
}
TEST_CASE("groups: timeouts inside and outside", "[rule-108][rule-119]") {
  CHECK(run(timeouts_in_groups) == python("groups.timeouts_in_groups"));
}
TEST_CASE("groups: errors come before the cancellation", "[rule-124]") {
  CHECK(run(errors_before_the_cancellation) ==
        python("groups.errors_before_the_cancellation", "bad group[error(bad)] 1 cancelled"));
}
TEST_CASE("groups: the count is what it was", "[rule-125]") {
  CHECK(run(the_count_is_what_it_was) ==
        python("groups.the_count_is_what_it_was",
               "bad group[error(bad)] 0 none bad group[error(bad)] 0 none "
               "bad group[error(bad)] 0 none bad group[error(bad)] 0 none"));
}
TEST_CASE("groups: children that start eagerly", "[rule-128]") {
  CHECK(run(eager_children) ==
        python("groups.eager_children", "bad True 0 body-cancelled group[error(bad)]"));
}
TEST_CASE("groups: cancelled on purpose", "[rule-129]") {
  CHECK(run(cancelled_on_purpose) ==
        python("groups.cancelled_on_purpose", "body-cancelled child-clean left 0 none"));
}
