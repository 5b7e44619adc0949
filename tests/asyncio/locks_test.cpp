// SPDX-License-Identifier: MIT
// rondo tests: locks and queues as on asyncio; the twins of programs/locks.py and
// programs/queues.py.
#include "asyncio/pairs.hpp"

using namespace asyncio_test;

namespace {

/// A task that says its name when what it awaits has ended.
template <class Start>
task<> attempt(trace& out, std::string name, Start start) {
  const auto body = [](trace& said, std::string called, Start begin) -> coro<> {
    const std::string end = co_await ended(coro<>(begin()));
    said(end == "none" ? called : called + "-" + end);
  };
  return create_task(body(out, std::move(name), std::move(start)));
}

template <class... Tasks>
coro<> all_of(const Tasks&... tasks) {
  const std::vector<task<>> list = {tasks...};
  co_await rondo::wait(list);
}

// ---- locks ----

coro<> lock_is_fair(trace& out) {
  rondo::lock lock;
  const auto acquire = [&] { return lock.acquire(); };
  create_task(ticks(out, 9));
  co_await lock.acquire();
  out(lock.locked());
  const task<> a = attempt(out, "a", acquire);
  const task<> b = attempt(out, "b", acquire);
  co_await turns(2);
  lock.release();
  out(lock.locked());
  // A newcomer, and the one who released, stand behind the waiters.
  const task<> c = attempt(out, "c", acquire);
  co_await turns(2);
  lock.release();
  co_await turns(2);
  lock.release();
  co_await all_of(a, b, c);
  lock.release();
  out(failure([&] { lock.release(); }));
}

coro<> lock_waiter_is_cancelled(trace& out) {
  for (int round = 0; round < 2; ++round) {
    rondo::lock lock;
    const auto acquire = [&] { return lock.acquire(); };
    co_await lock.acquire();
    const task<> a = attempt(out, "a", acquire);
    const task<> b = attempt(out, "b", acquire);
    co_await turns(1);
    if (round == 0) {
      a.cancel();
      lock.release();
    } else {
      lock.release();
      a.cancel();
    }
    create_task(ticks(out, 3));
    co_await b;
    out(lock.locked());
  }
}

coro<> uncontended_is_at_once(trace& out) {
  create_task(ticks(out, 2));
  rondo::lock lock;
  rondo::event event;
  rondo::semaphore semaphore(1);
  rondo::queue<int> queue(1);
  co_await lock.acquire();
  out(lock.locked());
  event.set();
  co_await event.wait();
  out(event.is_set());
  co_await semaphore.acquire();
  out(semaphore.locked());
  co_await queue.put(1);
  const int got = co_await queue.get();
  out(got);
  co_await yield_now();
}

coro<> event_wakes_all_who_wait(trace& out) {
  rondo::event event;
  const auto wait = [&] { return event.wait(); };
  const task<> a = attempt(out, "a", wait);
  const task<> b = attempt(out, "b", wait);
  co_await turns(1);
  event.set();
  event.clear();
  const task<> late = attempt(out, "late", wait);
  co_await all_of(a, b);
  out(event.is_set());
  out(late.done());
  event.set();
  co_await late;
  const task<> c = attempt(out, "c", wait);
  const task<> d = attempt(out, "d", wait);
  co_await all_of(c, d);
}

coro<> condition_notifies_in_order(trace& out) {
  rondo::condition condition;
  out(failure([&] { condition.notify(); }));
  create_task(ticks(out, 8));
  const auto waits = [&](std::string name) -> coro<> {
    const auto guard = co_await condition.scoped();
    co_await condition.wait();
    out(name);
    co_await yield_now();
  };
  const task<> a = create_task(waits("a"));
  const task<> b = create_task(waits("b"));
  const task<> c = create_task(waits("c"));
  co_await turns(2);
  {
    const auto guard = co_await condition.scoped();
    condition.notify(2);
    out("notified");
    out(condition.locked());
    co_await yield_now();
  }
  co_await all_of(a, b);
  out(c.done());
  {
    const auto guard = co_await condition.scoped();
    condition.notify_all();
  }
  co_await c;
}

coro<> condition_takes_its_lock_again(trace& out) {
  rondo::condition condition;
  const auto waits = [&]() -> coro<> {
    const auto guard = co_await condition.scoped();
    try {
      co_await condition.wait();
    } catch (const rondo::cancelled_error&) {
      out(describe(std::current_exception()));
      out(condition.locked());
      throw;
    }
  };
  const task<> waiting = create_task(waits());
  co_await turns(1);
  co_await condition.acquire();
  waiting.cancel("one");
  co_await turns(2);
  out(waiting.done());
  condition.release();
  const std::string end = co_await ended(waiting);
  out(end);
  out(condition.locked());
}

coro<> condition_waits_for_a_predicate(trace& out) {
  rondo::condition condition;
  int values = 0;
  const auto waits = [&]() -> coro<> {
    const auto guard = co_await condition.scoped();
    const int result = co_await condition.wait_for([&] { return values; });
    out(result);
  };
  const task<> waiting = create_task(waits());
  co_await turns(1);
  {
    const auto guard = co_await condition.scoped();
    condition.notify();
  }
  co_await turns(2);
  out(waiting.done());
  {
    const auto guard = co_await condition.scoped();
    values = 2;
    condition.notify();
  }
  co_await waiting;
}

coro<> condition_passes_a_notification_on(trace& out) {
  rondo::condition condition;
  const auto waits = [&](std::string name) -> coro<> {
    const auto guard = co_await condition.scoped();
    co_await condition.wait();
    out(name);
  };
  const task<> a = create_task(waits("a"));
  const task<> b = create_task(waits("b"));
  co_await turns(1);
  {
    const auto guard = co_await condition.scoped();
    condition.notify();
  }
  a.cancel();
  const std::string end = co_await ended(a);
  out(end);
  co_await b;
}

coro<> semaphore_in_order(trace& out) {
  rondo::semaphore semaphore(1);
  const auto acquire = [&] { return semaphore.acquire(); };
  create_task(ticks(out, 6));
  co_await semaphore.acquire();
  out(semaphore.locked());
  const task<> a = attempt(out, "a", acquire);
  const task<> b = attempt(out, "b", acquire);
  co_await turns(2);
  semaphore.release();
  out(semaphore.locked());
  const task<> c = attempt(out, "c", acquire);
  semaphore.release();
  co_await all_of(a, b);
  semaphore.release();
  co_await c;
  semaphore.release();
  out(semaphore.locked());
}

coro<> semaphore_waiter_is_cancelled(trace& out) {
  rondo::semaphore semaphore(1);
  const auto acquire = [&] { return semaphore.acquire(); };
  co_await semaphore.acquire();
  const task<> a = attempt(out, "a", acquire);
  const task<> b = attempt(out, "b", acquire);
  co_await turns(1);
  semaphore.release();
  a.cancel();
  co_await all_of(a, b);
  out(semaphore.locked());
  semaphore.release();
  out(semaphore.locked());
}

coro<> bounded_semaphore(trace& out) {
  rondo::bounded_semaphore semaphore(2);
  co_await semaphore.acquire();
  semaphore.release();
  out(failure([&] { semaphore.release(); }));
  out(failure([] { const rondo::semaphore negative(-1); }));
  const rondo::bounded_semaphore none(0);
  out(none.locked());
}

coro<> barrier_counts_arrivals(trace& out) {
  rondo::barrier barrier(3);
  create_task(ticks(out, 5));
  const auto arrives = [&](std::string name) -> coro<> {
    const std::size_t index = co_await barrier.wait();
    out(name + std::to_string(index));
  };
  const task<> a = create_task(arrives("a"));
  const task<> b = create_task(arrives("b"));
  const task<> c = create_task(arrives("c"));
  const task<> d = create_task(arrives("d"));
  co_await turns(2);
  out(barrier.n_waiting());
  co_await all_of(a, b, c);
  out(barrier.n_waiting());
  out(barrier.parties());
  d.cancel();
  const std::string end = co_await ended(d);
  out(end);
  out(barrier.n_waiting());
  out(failure([] { const rondo::barrier none(0); }));
}

coro<> barrier_breaks(trace& out) {
  rondo::barrier barrier(2);
  const auto wait = [&]() -> coro<> { co_await barrier.wait(); };
  const task<> a = attempt(out, "a", wait);
  co_await turns(1);
  co_await barrier.abort();
  co_await a;
  out(barrier.broken());
  const std::string end = co_await ended(wait());
  out(end);
  co_await barrier.reset();
  out(barrier.broken());
  const task<> b = attempt(out, "b", wait);
  co_await turns(1);
  co_await barrier.reset();
  co_await b;
  const task<> c = attempt(out, "c", wait);
  const task<> d = attempt(out, "d", wait);
  co_await all_of(c, d);
}

// ---- queues ----

coro<> a_full_queue_waits(trace& out) {
  rondo::queue<int> queue(2);
  create_task(ticks(out, 9));
  const auto produce = [&]() -> coro<> {
    for (int n = 0; n < 5; ++n) {
      co_await queue.put(n);
      out("put" + std::to_string(n));
    }
  };
  const task<> producer = create_task(produce());
  co_await turns(2);
  out(queue.full());
  out(queue.qsize());
  for (int n = 0; n < 5; ++n) {
    const int got = co_await queue.get();
    out("got" + std::to_string(got));
  }
  co_await producer;
  out(queue.empty());
  out(failure([&] { static_cast<void>(queue.get_nowait()); }));
  queue.put_nowait(1);
  queue.put_nowait(2);
  out(failure([&] { queue.put_nowait(3); }));
  rondo::queue<int> unbounded(-1);
  unbounded.put_nowait(1);
  out(unbounded.full());
}

coro<> getters_in_order(trace& out) {
  rondo::queue<int> queue;
  const auto get = [&](std::string name) -> coro<> {
    const int got = co_await queue.get();
    out(name + std::to_string(got));
  };
  const task<> a = create_task(get("a"));
  const task<> b = create_task(get("b"));
  const task<> c = create_task(get("c"));
  co_await turns(1);
  queue.put_nowait(1);
  queue.put_nowait(2);
  // One that does not wait may take what a woken one comes for.
  out(queue.get_nowait());
  co_await turns(2);
  queue.put_nowait(3);
  queue.put_nowait(4);
  co_await all_of(a, b, c);
}

coro<> a_cancelled_getter_loses_nothing(trace& out) {
  for (int round = 0; round < 2; ++round) {
    rondo::queue<int> queue;
    const auto get = [&](std::string name) -> coro<> {
      const int got = co_await queue.get();
      out(name + std::to_string(got));
    };
    const task<> a = create_task(get("a"));
    const task<> b = create_task(get("b"));
    co_await turns(1);
    if (round == 0) {
      a.cancel();
      queue.put_nowait(1);
    } else {
      queue.put_nowait(1);
      a.cancel();
    }
    const std::string end = co_await ended(a);
    out(end);
    co_await b;
    out(queue.qsize());
  }
}

coro<> a_cancelled_putter_makes_room(trace& out) {
  rondo::queue<int> queue(1);
  queue.put_nowait(0);
  const auto put = [&](int n) -> coro<> {
    co_await queue.put(n);
    out("put" + std::to_string(n));
  };
  const task<> a = create_task(put(1));
  const task<> b = create_task(put(2));
  co_await turns(1);
  out(queue.get_nowait());
  a.cancel();
  const std::string end = co_await ended(a);
  out(end);
  co_await b;
  out(queue.get_nowait());
}

coro<> other_orders(trace& out) {
  rondo::priority_queue<int> heap;
  for (const int n : {3, 1, 2, 1}) heap.put_nowait(n);
  std::vector<int> taken;
  while (!heap.empty()) taken.push_back(heap.get_nowait());
  out(taken);
  rondo::lifo_queue<int> stack;
  for (const int n : {3, 1, 2}) stack.put_nowait(n);
  taken.clear();
  while (!stack.empty()) taken.push_back(stack.get_nowait());
  out(taken);
  co_return;
}

coro<> joined(trace& out) {
  rondo::queue<int> queue;
  co_await queue.join();
  out("unused");
  for (int n = 0; n < 3; ++n) queue.put_nowait(n);
  const auto join = [&]() -> coro<> {
    co_await queue.join();
    out("joined");
  };
  const task<> waiting = create_task(join());
  while (!queue.empty()) {
    const int got = co_await queue.get();
    out(got);
    co_await turns(1);
    queue.task_done();
  }
  out(waiting.done());
  co_await waiting;
  out(failure([&] { queue.task_done(); }));
}

coro<> shut_down(trace& out) {
  rondo::queue<int> queue(1);
  queue.put_nowait(1);
  const auto put = [&]() -> coro<> { co_await queue.put(2); };
  const task<> putter = attempt(out, "put", put);
  co_await turns(1);
  queue.shutdown();
  co_await putter;
  out(failure([&] { queue.put_nowait(3); }));
  const int got = co_await queue.get();
  out(got);
  out(failure([&] { static_cast<void>(queue.get_nowait()); }));
  const std::string end = co_await ended(queue.get());
  out(end);
  rondo::queue<int> other;
  const auto get = [&]() -> coro<> { co_await other.get(); };
  const task<> getter = attempt(out, "get", get);
  co_await turns(1);
  other.shutdown(true);
  co_await getter;
}

}  // namespace

TEST_CASE("locks: a lock is fair", "[rule-133][rule-135]") {
  CHECK(run(lock_is_fair) == python("locks.lock_is_fair"));
}
TEST_CASE("locks: a waiter of a lock is cancelled", "[rule-134]") {
  CHECK(run(lock_waiter_is_cancelled) == python("locks.lock_waiter_is_cancelled"));
}
TEST_CASE("locks: what is free is taken at once", "[rule-132]") {
  CHECK(run(uncontended_is_at_once) == python("locks.uncontended_is_at_once"));
}
TEST_CASE("locks: an event wakes all who wait", "[rule-136]") {
  CHECK(run(event_wakes_all_who_wait) == python("locks.event_wakes_all_who_wait"));
}
TEST_CASE("locks: a condition notifies in order", "[rule-137][rule-138]") {
  CHECK(run(condition_notifies_in_order) == python("locks.condition_notifies_in_order"));
}
TEST_CASE("locks: a cancelled condition takes its lock again", "[rule-137]") {
  CHECK(run(condition_takes_its_lock_again) == python("locks.condition_takes_its_lock_again"));
}
TEST_CASE("locks: a condition waits for a predicate", "[rule-140]") {
  CHECK(run(condition_waits_for_a_predicate) == python("locks.condition_waits_for_a_predicate"));
}
TEST_CASE("locks: a condition passes a notification on", "[rule-139]") {
  CHECK(run(condition_passes_a_notification_on) ==
        python("locks.condition_passes_a_notification_on", "b cancelled"));
}
TEST_CASE("locks: a semaphore is fair", "[rule-141]") {
  CHECK(run(semaphore_in_order) == python("locks.semaphore_in_order"));
}
TEST_CASE("locks: a waiter of a semaphore is cancelled", "[rule-142]") {
  CHECK(run(semaphore_waiter_is_cancelled) == python("locks.semaphore_waiter_is_cancelled"));
}
TEST_CASE("locks: a bounded semaphore", "[rule-143]") {
  CHECK(run(bounded_semaphore) == python("locks.bounded_semaphore"));
}
TEST_CASE("locks: a barrier counts arrivals", "[rule-144][rule-146]") {
  CHECK(run(barrier_counts_arrivals) == python("locks.barrier_counts_arrivals"));
}
TEST_CASE("locks: a barrier breaks", "[rule-145]") {
  CHECK(run(barrier_breaks) == python("locks.barrier_breaks"));
}

TEST_CASE("queues: a full one waits", "[rule-148][rule-149]") {
  CHECK(run(a_full_queue_waits) == python("queues.a_full_queue_waits"));
}
TEST_CASE("queues: getters are served in order, unless somebody is faster", "[rule-149]") {
  CHECK(run(getters_in_order) == python("queues.getters_in_order"));
}
TEST_CASE("queues: a cancelled getter loses nothing", "[rule-150]") {
  CHECK(run(a_cancelled_getter_loses_nothing) == python("queues.a_cancelled_getter_loses_nothing"));
}
TEST_CASE("queues: a cancelled putter makes room", "[rule-150]") {
  CHECK(run(a_cancelled_putter_makes_room) == python("queues.a_cancelled_putter_makes_room"));
}
TEST_CASE("queues: smallest first, last first", "[rule-151]") {
  CHECK(run(other_orders) == python("queues.other_orders"));
}
TEST_CASE("queues: joined", "[rule-152]") { CHECK(run(joined) == python("queues.joined")); }
TEST_CASE("queues: shut down", "[rule-153]") {
  CHECK(run(shut_down) ==
        python("queues.shut_down", "put-shut_down shut_down 1 shut_down shut_down get-shut_down"));
}
