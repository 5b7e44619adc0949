// SPDX-License-Identifier: MIT
// rondo tests: cancellation.
#include "coro/support.hpp"

#include <functional>

using namespace coro_test;

namespace {

/// Waits for ever, and may be woken or complete by hand: what an operation of the backend does.
class manual_operation : public rondo::detail::suspension {
 public:
  using rondo_awaiter = void;

  /// What a request to cancel does.
  enum class on_cancel { ends_now, asks, refuses };

  explicit manual_operation(on_cancel how) : suspension(&request), how_(how) {}

  void complete(int result) {
    result_ = result;
    if (asked_) {
      task_->wake_cancelled();
    } else {
      task_->wake();
    }
  }
  void complete_cancelled() {
    result_.reset();
    task_->wake_cancelled();
  }
  [[nodiscard]] bool asked() const { return asked_; }

  [[nodiscard]] bool await_ready() const noexcept { return false; }
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> frame) {
    task_ = frame.promise().task;
    task_->suspend(frame.address(), *this);
  }
  int await_resume() {
    if (!result_) task_->check_cancelled();
    task_->postpone_cancel();
    return result_.value_or(-1);
  }

 private:
  static bool request(rondo::detail::suspension& self, rondo::detail::task_core& by) {
    auto& mine = static_cast<manual_operation&>(self);
    mine.asked_ = true;
    if (mine.how_ == on_cancel::ends_now) by.wake_cancelled();
    return mine.how_ != on_cancel::refuses;
  }

  on_cancel how_;
  rondo::detail::task_core* task_ = nullptr;
  std::optional<int> result_;
  bool asked_ = false;
};

using op = manual_operation::on_cancel;

coro<int> await_operation(manual_operation& operation) { co_return co_await operation; }

}  // namespace

TEST_CASE("cancelling a task that awaits a shared future cancels the future", "[rule-058]") {
  const balanced guard;
  manual_loop loop;
  const auto body = [&]() -> coro<> {
    const future<> shared = loop.create_future();
    const task<> first = create_task(wait_for_future(shared));
    const task<> second = create_task(wait_for_future(shared));
    co_await yield_now();
    CHECK(first.cancel());
    CHECK(shared.cancelled());
    CHECK(!first.done());
    co_await end_of(first);
    co_await end_of(second);
    CHECK(first.cancelled());
    CHECK(second.cancelled());
    CHECK(first.cancelling() == 1);
    CHECK(second.cancelling() == 0);
  };
  loop.run(body());
}

TEST_CASE("the message reaches the inside and the outside", "[rule-060]") {
  const balanced guard;
  manual_loop loop;
  strings log;
  const auto inner = [&](any_future on) -> coro<> {
    try {
      co_await on;
    } catch (const cancelled_error& e) {
      log.push_back("inside " + e.message());
      throw;
    }
  };
  const auto sleeper = [&]() -> coro<> {
    try {
      co_await rondo::sleep(1h);
    } catch (const cancelled_error& e) {
      log.push_back("sleeper " + e.message());
      throw;
    }
  };
  const auto body = [&]() -> coro<> {
    const task<> a = create_task(inner(loop.create_future()));
    co_await yield_now();
    a.cancel("why");
    std::string text = co_await outcome(a);
    log.push_back("outside " + text);
    const task<> b = create_task(sleeper());
    co_await yield_now();
    b.cancel("late");
    text = co_await outcome(b);
    log.push_back("outside " + text);
    const task<> never_began = create_task(nothing());
    never_began.cancel("early");
    text = co_await outcome(never_began);
    log.push_back("outside " + text);
    const task<> chained = create_task(inner(create_task(sleeper())));
    co_await yields(2);
    chained.cancel("deep");
    text = co_await outcome(chained);
    log.push_back("outside " + text);
    const task<> plain = create_task(sleeper());
    co_await yield_now();
    plain.cancel();
    text = co_await outcome(plain);
    log.push_back("outside " + text);
  };
  loop.run(body());
  CHECK(log == strings{"inside why", "outside cancelled: why", "sleeper late",
                       "outside cancelled: late", "outside cancelled: early", "sleeper deep",
                       "inside deep", "outside cancelled: deep", "sleeper ", "outside cancelled"});
}

TEST_CASE("of two requests the first one's message is thrown", "[rule-060][rule-070]") {
  const balanced guard;
  manual_loop loop;
  const auto body = [&]() -> coro<strings> {
    strings log;
    for (const bool on_future : {true, false}) {
      const task<> t = on_future ? create_task(wait_for_future(loop.create_future()))
                                 : create_task([] { return rondo::sleep(1h); });
      co_await yield_now();
      t.cancel("one");
      t.cancel("two");
      CHECK(t.cancelling() == 2);
      std::string text = co_await outcome(t);
      log.push_back(std::move(text));
    }
    co_return log;
  };
  CHECK(loop.run(body()) == strings{"cancelled: one", "cancelled: one"});
}

TEST_CASE("cancel of a done task is false and counts nothing", "[rule-066]") {
  const balanced guard;
  manual_loop loop;
  const task<> t = loop.create_task(yields(1));
  CHECK(t.cancelling() == 0);
  const task<> done = loop.create_task(nothing());
  loop.run_once();
  CHECK(done.done());
  CHECK(!done.cancel());
  CHECK(done.cancelling() == 0);
  CHECK(t.cancel());
  CHECK(t.cancel());
  CHECK(t.cancelling() == 2);
  loop.settle();
}

TEST_CASE("cancel is forwarded to what the task waits for, the innermost first",
          "[rule-067][rule-077]") {
  const balanced guard;
  manual_loop loop;
  strings log;
  const future<> bottom = loop.create_future();
  const std::function<coro<>(int)> chain = [&](int depth) -> coro<> {
    std::exception_ptr error;
    try {
      if (depth == 0) {
        co_await bottom;
      } else {
        co_await create_task(chain(depth - 1), {.name = std::to_string(depth - 1)});
      }
    } catch (const cancelled_error&) {
      error = std::current_exception();
    }
    log.push_back(std::to_string(depth));
    if (error) std::rethrow_exception(error);
  };
  const task<> outer = loop.create_task(chain(4));
  loop.settle();
  std::vector<any_task> tasks = rondo::all_tasks(loop);
  REQUIRE(tasks.size() == 5);
  CHECK(outer.cancel());
  CHECK(bottom.cancelled());
  for (const any_task& each : tasks) {
    CHECK(each.cancelling() == 1);
    CHECK(!each.cancelled());
  }
  std::vector<std::string> ends;
  while (!outer.done()) {
    loop.run_once();
    ends.push_back(std::to_string(loop.metrics().tasks));
  }
  CHECK(log == strings{"0", "1", "2", "3", "4"});
  CHECK(ends == strings{"4", "3", "2", "1", "0"});  // one an iteration
  CHECK(outer.cancelled());
}

TEST_CASE("a chain of coroutines in one task unwinds inside out in one step", "[rule-077]") {
  const balanced guard;
  manual_loop loop;
  strings log;
  struct mark {
    strings& log;
    std::string name;
    ~mark() { log.push_back(name); }
  };
  const std::function<coro<>(int)> chain = [&](int depth) -> coro<> {
    const mark local{log, std::to_string(depth)};
    if (depth > 0) {
      co_await chain(depth - 1);
    } else {
      co_await rondo::sleep(1h);
    }
  };
  const task<> t = loop.create_task(chain(3));
  loop.settle();
  t.cancel();
  loop.run_once();
  CHECK(t.cancelled());
  CHECK(log == strings{"0", "1", "2", "3"});
  CHECK(loop.metrics().handles == 0);
}

TEST_CASE("a request that comes after the completion is thrown by the next step",
          "[rule-067][fault-D2]") {
  const balanced guard;
  manual_loop loop;
  const auto body = [&]() -> coro<strings> {
    strings log;
    // Completion, then cancellation, in one iteration.
    const future<> f = loop.create_future();
    const task<> t = create_task(wait_for_future(f));
    co_await yield_now();
    f.set_result();
    CHECK(t.cancel());
    co_await end_of(t);
    log.push_back(outcome_of(t));
    // Cancellation first: the future is cancelled, and its result refused.
    const future<> g = loop.create_future();
    const task<> u = create_task(wait_for_future(g));
    co_await yield_now();
    CHECK(u.cancel());
    CHECK_THROWS_AS(g.set_result(), rondo::invalid_state_error);
    co_await end_of(u);
    log.push_back(outcome_of(u));
    // The timer has fired, the task has not run.
    const task<> sleeper = create_task([] { return rondo::sleep(1s); });
    co_await yield_now();
    loop.advance(1s);
    const auto cancel_sleeper = [&] { sleeper.cancel(); };
    loop.call_later(0s, cancel_sleeper);
    co_await end_of(sleeper);
    log.push_back(outcome_of(sleeper));
    co_return log;
  };
  CHECK(loop.run(body()) == strings{"cancelled", "cancelled", "cancelled"});
}

TEST_CASE("a task is cancelled when its coroutine has ended, not before", "[rule-068]") {
  const balanced guard;
  manual_loop loop;
  const task<> t = loop.create_task(yields(10));
  loop.run_once();
  CHECK(t.cancel());
  CHECK(!t.cancelled());
  CHECK(!t.done());
  loop.run_once();
  CHECK(t.cancelled());
  CHECK_THROWS_AS(t.result(), cancelled_error);
}

TEST_CASE("a task that is cancelled before its first step never runs", "[rule-069]") {
  const balanced guard;
  manual_loop loop;
  bool ran = false;
  const auto token = std::make_shared<int>(1);
  const auto child = [&ran](std::shared_ptr<int>) -> coro<> {
    ran = true;
    co_return;
  };
  const task<> t = loop.create_task(child(token));
  CHECK(token.use_count() == 2);
  t.cancel();
  loop.run_once();
  CHECK(t.cancelled());
  CHECK(!ran);
  CHECK(token.use_count() == 1);
}

TEST_CASE("several requests give one exception, and count", "[rule-070]") {
  const balanced guard;
  manual_loop loop;
  int caught = 0;
  const auto child = [&]() -> coro<> {
    for (int i = 0; i < 3; ++i) {
      try {
        co_await yield_now();
      } catch (const cancelled_error&) {
        ++caught;
      }
    }
  };
  const task<> t = loop.create_task(child());
  loop.run_once();
  t.cancel();
  t.cancel();
  t.cancel();
  loop.settle();
  CHECK(caught == 1);
  CHECK(t.cancelling() == 3);
  CHECK(!t.cancelled());
}

TEST_CASE("a request while cleanup awaits interrupts the cleanup", "[rule-071][fault-D3]") {
  const balanced guard;
  manual_loop loop;
  strings log;
  const auto child = [&]() -> coro<> {
    bool clean_up = false;
    try {
      co_await rondo::sleep(1h);
    } catch (const cancelled_error&) {
      log.push_back("first");
      clean_up = true;
    }
    if (!clean_up) co_return;
    try {
      co_await rondo::sleep(1h);
    } catch (const cancelled_error&) {
      log.push_back("second");
    }
    co_await yield_now();
    log.push_back("end");
  };
  const task<> t = loop.create_task(child());
  loop.settle();
  t.cancel();
  loop.settle();
  CHECK(log == strings{"first"});
  t.cancel();
  loop.settle();
  CHECK(log == strings{"first", "second", "end"});
  CHECK(!t.cancelled());
  CHECK(t.cancelling() == 2);
}

TEST_CASE("a task may swallow a cancellation", "[rule-072][fault-D3]") {
  const balanced guard;
  manual_loop loop;
  const auto child = [&]() -> coro<int> {
    try {
      co_await rondo::sleep(1h);
    } catch (const cancelled_error&) {
    }
    co_await yield_now();
    co_return 5;
  };
  const task<int> t = loop.create_task(child());
  loop.settle();
  t.cancel();
  loop.settle();
  CHECK(!t.cancelled());
  CHECK(t.result() == 5);
  CHECK(t.cancelling() == 1);
}

TEST_CASE("another exception than the cancellation fails the task", "[rule-073]") {
  const balanced guard;
  manual_loop loop;
  const auto child = [&]() -> coro<> {
    try {
      co_await rondo::sleep(1h);
    } catch (const cancelled_error&) {
      throw std::runtime_error("instead");
    }
  };
  const task<> t = loop.create_task(child());
  loop.settle();
  t.cancel();
  loop.settle();
  CHECK(!t.cancelled());
  CHECK(outcome_of(t) == "instead");
}

TEST_CASE("a task that throws cancelled_error itself is cancelled", "[rule-074][rule-117]") {
  const balanced guard;
  manual_loop loop;
  struct special : cancelled_error {
    special() : cancelled_error("special") {}
  };
  const auto child = [&](bool derived) -> coro<> {
    co_await yield_now();
    if (derived) throw special();
    throw cancelled_error("own");
  };
  const task<> t = loop.create_task(child(false));
  const task<> u = loop.create_task(child(true));
  loop.settle();
  CHECK(t.cancelled());
  CHECK(t.cancelling() == 0);
  CHECK(loop.run(outcome(t)) == "cancelled: own");
  CHECK(u.cancelled());
  bool is_special = false;
  try {
    u.result();
  } catch (const special&) {
    is_special = true;
  }
  CHECK(is_special);
}

TEST_CASE("a self-cancellation is thrown at the next await that suspends", "[rule-075]") {
  const balanced guard;
  manual_loop loop;
  strings log;
  const auto child = [&](int how) -> coro<int> {
    rondo::current_task().cancel("self");
    const future<int> done = loop.create_future<int>();
    done.set_result(1);
    const int got = co_await done;
    log.push_back(std::to_string(got));
    co_await nothing();
    const int direct = co_await value(2);
    log.push_back(std::to_string(direct));
    if (how == 0) co_return 3;
    if (how == 1) throw std::runtime_error("wins");
    if (how == 2) co_await yield_now();
    if (how == 3) co_await loop.create_future();
    if (how == 4) co_await rondo::sleep(1h);
    log.push_back("not reached");
    co_return 4;
  };
  for (int how = 0; how < 5; ++how) {
    const task<int> t = loop.create_task(child(how));
    loop.settle();
    CHECK(loop.run(outcome(t)) == (how == 1 ? "wins" : "cancelled: self"));
    CHECK(t.cancelled() == (how != 1));
    CHECK(t.cancelling() == 1);
  }
  CHECK(log == strings{"1", "2", "1", "2", "1", "2", "1", "2", "1", "2"});
}

TEST_CASE("uncancel counts down to zero and withdraws what was not delivered",
          "[rule-076][fault-D3]") {
  const balanced guard;
  manual_loop loop;
  const task<> t = loop.create_task(yields(3));
  CHECK(t.uncancel() == 0);
  CHECK(t.cancelling() == 0);
  loop.run_once();
  t.cancel();
  t.cancel();
  CHECK(t.uncancel() == 1);
  CHECK(t.cancelling() == 1);
  CHECK(any_task(t).uncancel() == 0);
  CHECK(any_task(t).cancelling() == 0);
  loop.settle();
  CHECK(t.done());
  CHECK(!t.cancelled());  // it was yielding: nothing had been delivered

  const task<> before_start = loop.create_task(nothing());
  before_start.cancel();
  before_start.uncancel();
  loop.settle();
  CHECK(!before_start.cancelled());

  // What a future or a timer accepted cannot be withdrawn.
  const task<> sleeper = loop.create_task([] { return rondo::sleep(1h); });
  loop.settle();
  sleeper.cancel();
  CHECK(sleeper.uncancel() == 0);
  loop.settle();
  CHECK(sleeper.cancelled());

  const auto self = []() -> coro<int> {
    rondo::current_task().cancel();
    rondo::current_task().uncancel();
    co_await yield_now();
    co_return 1;
  };
  CHECK(loop.run(self()) == 1);

  const auto yields_after = [&]() -> coro<int> {
    const any_task me = rondo::current_task();
    me.cancel();
    loop.call_soon([me] { me.uncancel(); });
    co_await yield_now();
    co_return 2;
  };
  CHECK(loop.run(yields_after()) == 2);
}

// ---- operations that completed -------------------------------------------------------------

TEST_CASE("an operation that completed before the request keeps its result", "[decision-io]") {
  const balanced guard;
  manual_loop loop;
  SECTION("and if the coroutine returns, the request is dropped") {
    manual_operation operation(op::asks);
    const task<int> t = loop.create_task(await_operation(operation));
    loop.settle();
    operation.complete(7);
    CHECK(t.cancel());
    CHECK(!operation.asked());
    loop.settle();
    CHECK(!t.cancelled());
    CHECK(t.result() == 7);
    CHECK(t.cancelling() == 1);
  }
  SECTION("and the next suspension throws") {
    manual_operation operation(op::asks);
    int got = 0;
    const auto body = [&]() -> coro<> {
      got = co_await await_operation(operation);
      co_await nothing();
      co_await yield_now();
      got = 1000;
    };
    const task<> t = loop.create_task(body());
    loop.settle();
    operation.complete(7);
    t.cancel("after");
    loop.settle();
    CHECK(got == 7);
    CHECK(t.cancelled());
    CHECK(loop.run(outcome(t)) == "cancelled: after");
  }
  SECTION("and it may be withdrawn before that") {
    manual_operation operation(op::asks);
    const auto body = [&]() -> coro<int> {
      const int got = co_await operation;
      CHECK(rondo::current_task().cancelling() == 1);
      rondo::current_task().uncancel();
      co_await yield_now();
      co_return got;
    };
    const task<int> t = loop.create_task(body());
    loop.settle();
    operation.complete(8);
    t.cancel();
    loop.settle();
    CHECK(t.result() == 8);
  }
  SECTION("but a self-cancellation after it counts") {
    manual_operation operation(op::asks);
    const auto body = [&]() -> coro<int> {
      const int got = co_await operation;
      rondo::current_task().cancel();
      co_return got;
    };
    const task<int> t = loop.create_task(body());
    loop.settle();
    operation.complete(8);
    t.cancel();
    loop.settle();
    CHECK(t.cancelled());
    CHECK(t.cancelling() == 2);
  }
  SECTION("a second operation that waits is asked to end at once") {
    manual_operation first(op::asks);
    manual_operation second(op::ends_now);
    int got = 0;
    const auto body = [&]() -> coro<> {
      got = co_await first;
      co_await second;
      got = 1000;
    };
    const task<> t = loop.create_task(body());
    loop.settle();
    first.complete(7);
    t.cancel();
    loop.settle();
    CHECK(second.asked());
    CHECK(got == 7);
    CHECK(t.cancelled());
  }
  SECTION("an exception wins over the request") {
    manual_operation operation(op::asks);
    const auto body = [&]() -> coro<int> {
      co_await operation;
      throw std::runtime_error("wins");
    };
    const task<int> t = loop.create_task(body());
    loop.settle();
    operation.complete(7);
    t.cancel();
    loop.settle();
    CHECK(outcome_of(t) == "wins");
  }
}

TEST_CASE("an operation that completes although it was asked to end keeps its result",
          "[decision-io]") {
  const balanced guard;
  manual_loop loop;
  manual_operation operation(op::asks);
  const task<int> t = loop.create_task(await_operation(operation));
  loop.settle();
  CHECK(t.cancel());
  CHECK(operation.asked());
  loop.settle();
  CHECK(!t.done());
  operation.complete(9);
  loop.settle();
  CHECK(t.result() == 9);
  CHECK(!t.cancelled());

  manual_operation ended(op::asks);
  const task<int> u = loop.create_task(await_operation(ended));
  loop.settle();
  u.cancel("m");
  ended.complete_cancelled();
  loop.settle();
  CHECK(u.cancelled());
  CHECK(loop.run(outcome(u)) == "cancelled: m");
}

TEST_CASE("an operation that cannot end makes the task's next step throw", "[rule-067]") {
  const balanced guard;
  manual_loop loop;
  manual_operation operation(op::refuses);
  const auto body = [&]() -> coro<int> {
    int got = co_await operation;
    co_await yield_now();
    co_return got;
  };
  const task<int> t = loop.create_task(body());
  loop.settle();
  CHECK(t.cancel());
  loop.settle();
  CHECK(!t.done());
  operation.complete(3);
  loop.settle();
  CHECK(t.cancelled());
}

// ---- rings -----------------------------------------------------------------------------------

TEST_CASE("a ring of tasks can be cancelled", "[fault-D13]") {
  const balanced guard;
  manual_loop loop;
  for (const std::size_t length :
       {std::size_t{2}, std::size_t{3}, std::size_t{5}, std::size_t{1000}}) {
    for (const std::size_t tail :
         {std::size_t{0}, std::size_t{1}, std::size_t{4}, std::size_t{700}}) {
      // tail tasks lead into a ring of `length` tasks.
      std::vector<task<>> tasks(tail + length);
      const auto member = [&](std::size_t i) -> coro<> {
        const std::size_t next = i + 1 < tasks.size() ? i + 1 : tail;
        co_await tasks[next];
      };
      for (std::size_t i = 0; i < tasks.size(); ++i) tasks[i] = loop.create_task(member(i));
      loop.settle();
      CHECK(tasks[0].cancel());
      for (const task<>& each : tasks) {
        if (each.cancelling() != 1) CHECK(each.cancelling() == 1);
      }
      loop.settle();
      for (const task<>& each : tasks) {
        if (!each.cancelled()) CHECK(each.cancelled());
      }
    }
  }
}

TEST_CASE("a ring of tasks is destroyed with its loop", "[fault-D13]") {
  const balanced guard;
  captured_log log;
  std::vector<task<>> tasks(4);
  {
    manual_loop loop;
    loop.set_exception_handler({});
    const auto member = [&](std::size_t i) -> coro<> { co_await tasks[(i + 1) % tasks.size()]; };
    for (std::size_t i = 0; i < tasks.size(); ++i) tasks[i] = loop.create_task(member(i));
    loop.settle();
  }
  CHECK(log.count("destroyed but it is pending") == 4);
}
