// SPDX-License-Identifier: MIT
// rondo tests: queues.
#include <rondo/queues.hpp>

#include <rondo/rondo.hpp>

#include "support/catch.hpp"
#include "sync/sync_support.hpp"

#include <chrono>
#include <memory>
#include <optional>
#include <random>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace {

using namespace rondo_test;
using namespace std::chrono_literals;

static_assert(
    std::is_convertible_v<decltype(std::declval<rondo::queue<int>&>().get()), rondo::coro<int>>);
static_assert(
    std::is_convertible_v<decltype(std::declval<rondo::queue<int>&>().put(1)), rondo::coro<>>);

template <class Queue = rondo::queue<int>>
struct queue_fixture {
  explicit queue_fixture(std::ptrdiff_t maxsize = 0) : queue(maxsize) {}
  stepped_loop loop;
  record log;
  Queue queue;

  rondo::coro<> get_one(std::string name) {
    std::string outcome;
    try {
      const int got = co_await queue.get();
      outcome = name + std::to_string(got);
    } catch (...) {
      outcome = name + ":" + name_of_exception();
    }
    log(outcome);
  }
  rondo::task<> get(std::string name) { return loop.create_task(get_one(std::move(name))); }
  rondo::task<> put(std::string name, int item) {
    return spawn(loop, log, std::move(name), [this, item] { return queue.put(item); });
  }
  std::string items() {
    std::string all;
    while (!queue.empty()) all += std::to_string(queue.get_nowait()) + ",";
    return all;
  }
};

TEST_CASE("put and get without waiting do not suspend [rule-132]") {
  queue_fixture f(2);
  const auto body = [&]() -> rondo::coro<> {
    co_await f.queue.put(1);
    co_await f.queue.put(2);
    const int first = co_await f.queue.get();
    const int second = co_await f.queue.get();
    f.log(std::to_string(first) + std::to_string(second));
  };
  const auto task = f.loop.create_task(body());
  f.loop.step();
  CHECK(task.done());
  CHECK(f.log.take() == "12");
}

TEST_CASE("an item reaches a waiting getter in one iteration [rule-132]") {
  queue_fixture f;
  f.get("a");
  f.loop.step();
  f.queue.put_nowait(7);
  CHECK(f.queue.qsize() == 1);  // until the getter runs
  f.loop.step();
  CHECK(f.log.take() == "a7");
}

TEST_CASE("put waits for room, unless there is no limit [rule-148]") {
  queue_fixture f(2);
  CHECK(f.queue.maxsize() == 2);
  f.put("a", 1);
  f.put("b", 2);
  f.put("c", 3);
  f.loop.step();
  CHECK(f.log.take() == "a b");
  CHECK(f.queue.full());
  CHECK(failure_of([&] { f.queue.put_nowait(4); }) == "full");
  CHECK(f.queue.get_nowait() == 1);
  CHECK_FALSE(f.queue.full());
  f.loop.step();
  CHECK(f.log.take() == "c");
  CHECK(f.items() == "2,3,");
  CHECK(f.queue.empty());
  CHECK(failure_of([&] { static_cast<void>(f.queue.get_nowait()); }) == "empty");

  for (const std::ptrdiff_t none : {0, -1, -100}) {
    rondo::queue<int> unlimited(none);
    CHECK(unlimited.maxsize() == none);
    for (int i = 0; i < 1000; ++i) unlimited.put_nowait(i);
    CHECK_FALSE(unlimited.full());
    CHECK(unlimited.qsize() == 1000);
  }
}

TEST_CASE("getters and putters are woken in order [rule-149]") {
  queue_fixture f(1);
  f.get("a");
  f.get("b");
  f.get("c");
  f.loop.step();
  f.put("p", 1);
  f.put("q", 2);
  f.put("r", 3);
  f.loop.settle();
  CHECK(f.log.take() == "p a1 q b2 r c3");
}

TEST_CASE("who did not wait may take what another one was woken for [rule-149]") {
  SECTION("a getter") {
    queue_fixture f;
    f.get("a");
    f.get("b");
    f.loop.step();
    f.queue.put_nowait(1);
    CHECK(f.queue.get_nowait() == 1);
    f.loop.settle();
    CHECK(f.log.take().empty());
    // a waits again, behind b.
    f.queue.put_nowait(2);
    f.queue.put_nowait(3);
    f.loop.settle();
    CHECK(f.log.take() == "b2 a3");
  }
  SECTION("a putter") {
    queue_fixture f(1);
    f.queue.put_nowait(0);
    f.put("a", 1);
    f.put("b", 2);
    f.loop.step();
    CHECK(f.queue.get_nowait() == 0);
    f.queue.put_nowait(9);
    f.loop.settle();
    CHECK(f.log.take().empty());
    CHECK(f.queue.get_nowait() == 9);
    f.loop.settle();
    CHECK(f.log.take() == "b");
    CHECK(f.queue.get_nowait() == 2);
    f.loop.settle();
    CHECK(f.log.take() == "a");
  }
}

TEST_CASE("a getter that is cancelled loses no item and no wake-up [rule-150][fault-D5]") {
  queue_fixture f;
  const auto a = f.get("a");
  const auto b = f.get("b");
  f.loop.step();
  SECTION("put, then cancelled in the same iteration") {
    f.queue.put_nowait(1);
    CHECK(a.cancel());
    f.loop.step();
    CHECK(f.log.take() == "a:cancelled");
    f.loop.step();
    CHECK(f.log.take() == "b1");
  }
  SECTION("cancelled, then put") {
    CHECK(a.cancel());
    f.queue.put_nowait(1);
    f.loop.step();
    CHECK(f.log.take() == "a:cancelled b1");
  }
  SECTION("both cancelled") {
    f.queue.put_nowait(1);
    a.cancel();
    b.cancel();
    f.loop.settle();
    CHECK(f.log.take() == "a:cancelled b:cancelled");
    CHECK(f.items() == "1,");
  }
  SECTION("the item was taken by somebody else meanwhile") {
    f.queue.put_nowait(1);
    CHECK(f.queue.get_nowait() == 1);
    a.cancel();
    f.loop.settle();
    CHECK(f.log.take() == "a:cancelled");
    f.queue.put_nowait(2);
    f.loop.settle();
    CHECK(f.log.take() == "b2");
  }
  SECTION("the request is withdrawn") {
    f.queue.put_nowait(1);
    a.cancel();
    a.uncancel();
    f.loop.settle();
    CHECK(f.log.take() == "a1");
  }
  SECTION("it was woken, waits again, and is cancelled then") {
    f.queue.put_nowait(1);
    CHECK(f.queue.get_nowait() == 1);
    f.loop.settle();
    a.cancel();
    f.loop.settle();
    CHECK(f.log.take() == "a:cancelled");
    f.queue.put_nowait(2);
    f.loop.settle();
    CHECK(f.log.take() == "b2");
  }
}

TEST_CASE("a putter that is cancelled puts nothing and loses no wake-up [rule-150][fault-D5]") {
  queue_fixture f(1);
  f.queue.put_nowait(0);
  const auto a = f.put("a", 1);
  f.put("b", 2);
  f.loop.step();
  SECTION("got, then cancelled in the same iteration") {
    CHECK(f.queue.get_nowait() == 0);
    a.cancel();
    f.loop.settle();
    CHECK(f.log.take() == "a:cancelled b");
  }
  SECTION("cancelled, then got") {
    a.cancel();
    CHECK(f.queue.get_nowait() == 0);
    f.loop.settle();
    CHECK(f.log.take() == "a:cancelled b");
  }
  CHECK(f.items() == "2,");
}

TEST_CASE("a timeout and an item in the same iteration [rule-150]") {
  stepped_loop loop;
  record log;
  rondo::queue<int> queue;
  const auto body = [&]() -> rondo::coro<> {
    std::string outcome;
    try {
      const int got = co_await rondo::wait_for(queue.get(), 1s);
      outcome = std::to_string(got);
    } catch (const rondo::timeout_error&) {
      outcome = "timeout";
    }
    log(outcome);
  };
  loop.create_task(body());
  loop.step();
  // The put and the due timer are in one batch, in this order.
  loop.call_soon([&] { queue.put_nowait(1); });
  loop.advance(1s);
  loop.settle();
  const std::string outcome = log.take();
  CHECK(queue.qsize() == (outcome == "timeout" ? 1U : 0U));
}

TEST_CASE("the smallest first, ties as heapq has them [rule-151]") {
  queue_fixture<rondo::priority_queue<int>> f;
  for (const int item : {5, 1, 4, 1, 5, 9, 2, 6}) f.queue.put_nowait(item);
  CHECK(f.items() == "1,1,2,4,5,5,6,9,");
  rondo::priority_queue<int, std::greater<int>> largest;
  for (const int item : {1, 3, 2}) largest.put_nowait(item);
  CHECK(largest.get_nowait() == 3);

  // Which of two equal items comes first is what Python's heapq does: python3 printed this order.
  using pair = std::pair<int, char>;
  struct by_number {
    bool operator()(const pair& a, const pair& b) const { return a.first < b.first; }
  };
  rondo::priority_queue<pair, by_number> ties;
  for (const char c : std::string("abcdefgh")) ties.put_nowait(pair((c - 'a') % 3, c));
  std::string order;
  while (!ties.empty()) order += ties.get_nowait().second;
  CHECK(order == "agdhebcf");
}

TEST_CASE("a getter gets what is smallest when it runs [rule-151]") {
  queue_fixture<rondo::priority_queue<int>> f;
  f.get("a");
  f.loop.step();
  f.queue.put_nowait(5);
  f.queue.put_nowait(3);
  f.loop.step();
  CHECK(f.log.take() == "a3");
}

TEST_CASE("the last first [rule-151]") {
  queue_fixture<rondo::lifo_queue<int>> f(3);
  for (int i = 0; i < 3; ++i) f.queue.put_nowait(i);
  CHECK(f.queue.full());
  CHECK(f.items() == "2,1,0,");
}

TEST_CASE("join waits until everything is dealt with [rule-152]") {
  queue_fixture f;
  spawn(f.loop, f.log, "unused", [&] { return f.queue.join(); });
  f.loop.step();
  CHECK(f.log.take() == "unused");
  f.queue.put_nowait(1);
  f.queue.put_nowait(2);
  spawn(f.loop, f.log, "a", [&] { return f.queue.join(); });
  const auto b = spawn(f.loop, f.log, "b", [&] { return f.queue.join(); });
  f.loop.step();
  static_cast<void>(f.queue.get_nowait());
  static_cast<void>(f.queue.get_nowait());
  f.queue.task_done();
  f.loop.settle();
  CHECK(f.log.take().empty());
  b.cancel();
  f.loop.settle();
  CHECK(f.log.take() == "b:cancelled");
  f.queue.task_done();
  f.loop.step();
  CHECK(f.log.take() == "a");
  CHECK(failure_of([&] { f.queue.task_done(); }) == "invalid_argument");
}

TEST_CASE("shutdown [rule-153][fault-H8]") {
  SECTION("of a queue with items: they can still be got") {
    queue_fixture f(2);
    f.queue.put_nowait(1);
    f.queue.put_nowait(2);
    f.put("p", 3);
    f.put("q", 4);
    spawn(f.loop, f.log, "join", [&] { return f.queue.join(); });
    f.loop.step();
    f.queue.shutdown();
    CHECK(failure_of([&] { f.queue.put_nowait(5); }) == "shut_down");
    f.put("r", 6);
    f.loop.step();
    CHECK(f.log.take() == "p:shut_down q:shut_down r:shut_down");
    f.get("a");
    f.get("b");
    f.get("c");
    f.loop.step();
    CHECK(f.log.take() == "a1 b2 c:shut_down");
    CHECK(failure_of([&] { static_cast<void>(f.queue.get_nowait()); }) == "shut_down");
    f.queue.task_done();
    f.queue.task_done();
    f.loop.step();
    CHECK(f.log.take() == "join");
  }
  SECTION("of an empty queue: getters end") {
    queue_fixture f;
    f.get("a");
    const auto b = f.get("b");
    f.loop.step();
    f.queue.shutdown();
    b.cancel();
    f.loop.step();
    CHECK(f.log.take() == "a:shut_down b:cancelled");
  }
  SECTION("with an item on its way to a getter") {
    queue_fixture f;
    f.get("a");
    f.get("b");
    f.loop.step();
    f.queue.put_nowait(1);
    f.queue.shutdown();
    f.loop.step();
    CHECK(f.log.take() == "a1 b:shut_down");
  }
  SECTION("immediate: the items are dropped and count as done") {
    queue_fixture f(2);
    f.queue.put_nowait(1);
    f.queue.put_nowait(2);
    f.put("p", 3);
    spawn(f.loop, f.log, "join", [&] { return f.queue.join(); });
    f.loop.step();
    f.queue.shutdown(true);
    CHECK(f.queue.empty());
    f.get("a");
    f.loop.step();
    CHECK(f.log.take() == "join p:shut_down a:shut_down");
    CHECK(failure_of([&] { f.queue.task_done(); }) == "invalid_argument");
  }
  SECTION("immediate: what was got before is not done yet") {
    queue_fixture f;
    f.queue.put_nowait(1);
    f.queue.put_nowait(2);
    static_cast<void>(f.queue.get_nowait());
    spawn(f.loop, f.log, "join", [&] { return f.queue.join(); });
    f.loop.step();
    f.queue.shutdown(true);
    f.loop.settle();
    CHECK(f.log.take().empty());
    f.queue.task_done();
    f.loop.step();
    CHECK(f.log.take() == "join");
  }
  SECTION("immediate: with an item on its way to a getter") {
    queue_fixture f;
    f.get("a");
    f.loop.step();
    f.queue.put_nowait(1);
    f.queue.shutdown(true);
    f.loop.step();
    CHECK(f.log.take() == "a:shut_down");
  }
  SECTION("twice") {
    queue_fixture f;
    f.queue.put_nowait(1);
    f.queue.shutdown();
    f.queue.shutdown();
    CHECK(f.queue.qsize() == 1);
    f.queue.shutdown(true);
    CHECK(f.queue.empty());
  }
}

struct uses_queue_when_dropped {
  rondo::queue<std::shared_ptr<uses_queue_when_dropped>>* queue;
  int* refused;
  ~uses_queue_when_dropped() {
    try {
      queue->put_nowait(nullptr);
    } catch (const rondo::queue_shut_down&) {
      ++*refused;
    }
    queue->shutdown(true);
  }
};

TEST_CASE("items that are dropped may use the queue [rule-153]") {
  rondo::queue<std::shared_ptr<uses_queue_when_dropped>> queue;
  int refused = 0;
  for (int i = 0; i < 200; ++i) {
    queue.put_nowait(std::make_shared<uses_queue_when_dropped>(&queue, &refused));
  }
  queue.shutdown(true);
  CHECK(refused == 200);
  CHECK(queue.empty());
}

TEST_CASE("a queue keeps the order of millions [fault-H8]") {
  rondo::queue<int> queue;
  std::mt19937 random(1);
  int in = 0;
  int out = 0;
  bool ordered = true;
  while (out < 1'000'000) {
    const auto puts = random() % 700;
    for (std::size_t i = 0; i < puts; ++i) queue.put_nowait(in++);
    const auto gets = random() % 700;
    for (std::size_t i = 0; i < gets && !queue.empty(); ++i) {
      ordered = ordered && queue.get_nowait() == out;
      ++out;
    }
  }
  CHECK(ordered);
  CHECK(queue.qsize() == static_cast<std::size_t>(in - out));
}

// ---- items that throw --------------------------------------------------------------------------

struct fragile {
  int value = 0;
  static inline int alive = 0;
  static inline int fail_in = 0;  // moves until one throws; 0: none

  explicit fragile(int v) : value(v) { ++alive; }
  fragile(fragile&& other) : value(other.value) {
    if (fail_in > 0 && --fail_in == 0) throw std::runtime_error("move");
    ++alive;
  }
  fragile& operator=(fragile&& other) {
    if (fail_in > 0 && --fail_in == 0) throw std::runtime_error("move");
    value = other.value;
    return *this;
  }
  ~fragile() { --alive; }
  friend bool operator<(const fragile& a, const fragile& b) { return a.value < b.value; }
};

template <class Queue>
void survives_throwing_moves() {
  {
    Queue queue;
    std::vector<int> in;
    std::vector<int> out;
    std::mt19937 random(3);
    int next = 0;
    for (int i = 0; i < 2000; ++i) {
      fragile::fail_in = static_cast<int>(random() % 4);
      try {
        if (random() % 2 == 0) {
          fragile item(next);
          queue.put_nowait(std::move(item));
          in.push_back(next);
          ++next;
        } else if (!queue.empty()) {
          const fragile item = queue.get_nowait();
          out.push_back(item.value);
        }
      } catch (const std::runtime_error&) {
      }
      fragile::fail_in = 0;
      REQUIRE(queue.qsize() == in.size() - out.size());
    }
    while (!queue.empty()) out.push_back(queue.get_nowait().value);
    std::sort(out.begin(), out.end());
    CHECK(in == out);
  }
  CHECK(fragile::alive == 0);
}

TEST_CASE("items whose move throws are neither lost nor doubled [fault-H9]") {
  survives_throwing_moves<rondo::queue<fragile>>();
  survives_throwing_moves<rondo::lifo_queue<fragile>>();
  survives_throwing_moves<rondo::priority_queue<fragile>>();
}

TEST_CASE("a priority queue survives its comparison throwing [fault-H9][rule-151]") {
  static int fail_in = 0;
  struct moody {
    bool operator()(int a, int b) const {
      if (fail_in > 0 && --fail_in == 0) throw std::runtime_error("compare");
      return a < b;
    }
  };
  rondo::priority_queue<int, moody> queue;
  std::mt19937 random(5);
  std::vector<int> inside;
  int failures = 0;
  for (int i = 0; i < 5000; ++i) {
    fail_in = static_cast<int>(random() % 8);
    const int item = static_cast<int>(random() % 50);
    try {
      if (random() % 5 < 3) {
        queue.put_nowait(item);
        inside.insert(std::upper_bound(inside.begin(), inside.end(), item), item);
      } else if (!queue.empty()) {
        const int got = queue.get_nowait();
        CHECK(got == inside.front());
        inside.erase(inside.begin());
      }
    } catch (const std::runtime_error&) {
      ++failures;
    }
    REQUIRE(queue.qsize() == inside.size());
  }
  fail_in = 0;
  CHECK(failures > 500);
  for (const int expected : inside) CHECK(queue.get_nowait() == expected);
}

TEST_CASE("a getter or putter that fails passes its wake-up on [fault-H9][rule-150]") {
  stepped_loop loop;
  record log;
  rondo::queue<fragile> queue(1);
  const auto get = [&](std::string name) -> rondo::coro<> {
    std::string outcome;
    try {
      const fragile item = co_await queue.get();
      outcome = name + std::to_string(item.value);
    } catch (...) {
      outcome = name + ":" + name_of_exception();
    }
    log(outcome);
  };
  loop.create_task(get("a"));
  loop.create_task(get("b"));
  loop.step();
  queue.put_nowait(fragile(1));
  fragile::fail_in = 1;
  loop.step();
  fragile::fail_in = 0;
  CHECK(log.take() == "a:move");
  loop.step();
  CHECK(log.take() == "b1");

  const auto put = [&](int value) { return queue.put(fragile(value)); };
  queue.put_nowait(fragile(2));
  spawn(loop, log, "p", [&] { return put(3); });
  spawn(loop, log, "q", [&] { return put(4); });
  loop.step();
  CHECK(queue.get_nowait().value == 2);
  fragile::fail_in = 1;
  loop.step();
  fragile::fail_in = 0;
  CHECK(log.take() == "p:move");
  loop.step();
  CHECK(log.take() == "q");
  CHECK(queue.get_nowait().value == 4);
}

TEST_CASE("an item that does not fit is not moved from") {
  rondo::queue<std::unique_ptr<int>> queue(1);
  queue.put_nowait(std::make_unique<int>(1));
  auto second = std::make_unique<int>(2);
  CHECK(failure_of([&] { queue.put_nowait(std::move(second)); }) == "full");
  CHECK(second != nullptr);
  const auto body = [&]() -> rondo::coro<int> {
    const auto got = co_await queue.get();
    co_return *got;
  };
  CHECK(rondo::run(body()) == 1);
}

}  // namespace
