// SPDX-License-Identifier: MIT
// rondo tests: timers (rules 5-8, 11) and what is done to them (faults I1-I6).
#include "support/catch.hpp"
#include "support/oracle.hpp"
#include "support/wait_hook.hpp"

#include <rondo/detail/timer_heap.hpp>
#include <rondo/rondo.hpp>

#include <chrono>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

using namespace std::chrono_literals;
using rondo_test::check_idle;
using rondo_test::oracle;

namespace {

struct fixture {
  oracle unchanged;
  std::unique_ptr<rondo::event_loop> loop = rondo::new_event_loop();

  void run_one() {
    loop->stop();
    loop->run_forever();
  }
};

}  // namespace

TEST_CASE("timers run in the order of their deadlines, equal ones in the order of the calls",
          "[rule-007]") {
  fixture f;
  std::vector<int> seen;
  const auto base = f.loop->time() - 1h;
  const int order[] = {5, 1, 3, 1, 3, 5, 1};
  for (int i = 0; i < 7; ++i) {
    f.loop->call_at(base + std::chrono::seconds(order[i]), [&seen, i] { seen.push_back(i); });
  }
  f.run_one();
  CHECK(seen == std::vector<int>{1, 3, 6, 2, 4, 0, 5});
}

TEST_CASE("a timer does not come before its time", "[rule-006]") {
  fixture f;
  for (const auto delay : {1ms, 2ms, 5ms, 0ms}) {
    rondo::time_point ran;
    const auto handle = f.loop->call_later(delay, [&] {
      ran = f.loop->time();
      f.loop->stop();
    });
    f.loop->run_forever();
    CHECK(ran >= handle.when());
  }
}

TEST_CASE("the loop waits until the first timer and not longer", "[rule-001]") {
  fixture f;
  std::vector<rondo::interval> waits;
  const rondo_test::wait_hook wait([&](rondo::interval length) {
    waits.push_back(length);
    return std::optional<int>(0);
  });
  f.loop->run_once(rondo::interval::max());
  CHECK(waits == std::vector<rondo::interval>{rondo::interval(24h)});  // the cap
  waits.clear();
  f.loop->call_later(48h, [] {});
  f.loop->run_once(rondo::interval::max());
  REQUIRE(waits.size() == 1);
  CHECK(waits[0] == rondo::interval(24h));  // the cap
  f.loop->call_later(10s, [] {});
  f.loop->run_once(rondo::interval::max());
  REQUIRE(waits.size() == 2);
  CHECK(waits[1] <= rondo::interval(10s));
  CHECK(waits[1] > rondo::interval(9s));
  f.loop->run_once(3s);
  REQUIRE(waits.size() == 3);
  CHECK(waits[2] == rondo::interval(3s));
}

TEST_CASE("cancelled timers leave the heap at once", "[rule-008][fault-I3]") {
  fixture f;
  std::vector<rondo::timer_handle> handles;
  const int count = rondo_test::sanitized ? 100'000 : 1'000'000;
  handles.reserve(static_cast<std::size_t>(count));
  for (int i = 0; i < count; ++i) handles.push_back(f.loop->call_later(1h, [] {}));
  CHECK(f.loop->metrics().handles == static_cast<std::size_t>(count));
  CHECK(f.loop->core().timers.size() == static_cast<std::size_t>(count));
  for (const auto& each : handles) each.cancel();
  CHECK(f.loop->core().timers.empty());
  check_idle(*f.loop);
}

TEST_CASE("many timers of one deadline run in the order of the calls", "[rule-007][fault-I3]") {
  fixture f;
  const int count = rondo_test::sanitized ? 100'000 : 1'000'000;
  const auto when = f.loop->time() - 1s;
  int next = 0;
  bool in_order = true;
  for (int i = 0; i < count; ++i) {
    f.loop->call_at(when, [&, i] { in_order = in_order && i == next++; });
  }
  f.run_one();
  CHECK(in_order);
  CHECK(next == count);
  check_idle(*f.loop);
}

TEST_CASE("the heap agrees with a sorted map", "[rule-007][rule-008]") {
  struct node final : rondo::detail::timer_node {};
  std::mt19937 random(20260101);  // NOLINT: the same sequence every time
  for (int round = 0; round < 20; ++round) {
    rondo::detail::timer_heap heap;
    std::vector<std::unique_ptr<node>> nodes;
    std::map<std::pair<std::int64_t, int>, node*> model;
    std::map<node*, std::pair<std::int64_t, int>> keys;
    int sequence = 0;
    for (int step = 0; step < 3000; ++step) {
      const auto action = random() % 10;
      if (action < 5 || model.empty()) {
        nodes.push_back(std::make_unique<node>());
        const std::pair<std::int64_t, int> key(static_cast<std::int64_t>(random() % 50),
                                               sequence++);
        heap.push(key.first, *nodes.back());
        model.emplace(key, nodes.back().get());
        keys.emplace(nodes.back().get(), key);
      } else if (action < 8) {
        auto found = keys.begin();
        std::advance(found, static_cast<std::ptrdiff_t>(random() % keys.size()));
        REQUIRE(found->first->armed());
        heap.erase(*found->first);
        REQUIRE_FALSE(found->first->armed());
        model.erase(found->second);
        keys.erase(found);
      } else {
        REQUIRE(heap.earliest() == model.begin()->first.first);
        auto& popped = heap.pop();
        REQUIRE(&popped == model.begin()->second);
        REQUIRE_FALSE(popped.armed());
        keys.erase(model.begin()->second);
        model.erase(model.begin());
      }
      REQUIRE(heap.size() == model.size());
    }
    while (!model.empty()) {
      REQUIRE(&heap.pop() == model.begin()->second);
      model.erase(model.begin());
    }
    CHECK(heap.empty());
  }
}

TEST_CASE("delays of every kind", "[fault-I4]") {
  fixture f;
  auto& loop = *f.loop;
  using seconds = std::chrono::duration<double>;
  const auto now = loop.time();
  const auto infinity = std::numeric_limits<double>::infinity();
  const auto nan = std::numeric_limits<double>::quiet_NaN();
  int calls = 0;
  const auto call = [&] { ++calls; };

  // In the past, or now.
  for (const rondo::interval delay :
       {rondo::interval(0s), rondo::interval(-1ns), rondo::interval(-24h * 365 * 200),
        rondo::interval(seconds(-infinity)), rondo::interval(seconds(-0.0)),
        rondo::interval(std::chrono::nanoseconds::min())}) {
    loop.call_later(delay, call);
  }
  loop.call_at(rondo::time_point::min(), call);
  f.run_one();
  CHECK(calls == 7);

  // Far away: in milliseconds they are more than an int holds, or the sum is more than the clock
  // holds.
  std::vector<rondo::timer_handle> far;
  for (const rondo::interval delay :
       {rondo::interval(24h * 25), rondo::interval(std::chrono::milliseconds(1LL << 31)),
        rondo::interval(seconds(infinity)), rondo::interval(seconds(1e300)), rondo::interval::max(),
        rondo::interval(std::chrono::hours::max()),
        rondo::interval(std::chrono::nanoseconds::max())}) {
    far.push_back(loop.call_later(delay, call));
    CHECK(far.back().when() > now + 24h * 24);
  }
  far.push_back(loop.call_at(rondo::time_point::max(), call));
  CHECK(far[2].when() == rondo::time_point::max());
  f.run_one();
  CHECK(loop.run_once(1ms) == 0);
  CHECK(calls == 7);

  CHECK_THROWS_AS(loop.call_later(seconds(nan), call), std::invalid_argument);
  CHECK_THROWS_AS(loop.call_later(std::chrono::duration<float>(std::nanf("")), call),
                  std::invalid_argument);
  CHECK_THROWS_AS(loop.run_once(seconds(nan)), std::invalid_argument);
  CHECK(loop.metrics().handles == far.size());
}

TEST_CASE("intervals saturate", "[fault-I4]") {
  using rondo::interval;
  CHECK(interval(std::chrono::hours::max()) == interval::max());
  CHECK(interval(std::chrono::hours::min()).count() == std::numeric_limits<std::int64_t>::min());
  CHECK(interval(std::chrono::duration<double>(1.5)).count() == 1'500'000'000);
  CHECK(interval(std::chrono::duration<int, std::ratio<86400>>(2)).count() == 172'800'000'000'000);
  CHECK(interval(std::chrono::duration<std::int64_t, std::pico>(5000)).count() == 5);
  CHECK(interval(1s) > interval(999ms));
  CHECK(static_cast<std::chrono::milliseconds>(interval(2s)) == 2000ms);
}

TEST_CASE("timers follow the monotonic clock, in order, once each, however late",
          "[fault-I2][fault-I5]") {
  fixture f;
  auto& loop = *f.loop;
  std::vector<int> seen;
  for (int i = 1; i <= 5; ++i) {
    loop.call_later(std::chrono::milliseconds(i), [&seen, i] { seen.push_back(i); });
  }
  // A callback that blocks beyond all of them.
  loop.call_soon([&] {
    const auto until = loop.time() + 10ms;
    while (loop.time() < until) {
    }
  });
  f.run_one();
  f.run_one();
  CHECK(seen == std::vector<int>{1, 2, 3, 4, 5});
  f.run_one();
  CHECK(seen.size() == 5);
}

TEST_CASE("a timer that arms itself anew at 0 for ever lets others in", "[fault-I6]") {
  fixture f;
  auto& loop = *f.loop;
  bool stopped = false;
  int rounds = 0;
  std::function<void()> again = [&] {
    ++rounds;
    if (!stopped) loop.call_later(0s, std::ref(again));
  };
  loop.call_later(0s, std::ref(again));
  std::vector<std::string> seen;
  loop.call_later(2ms, [&] { seen.push_back("timer"); });
  int pipe_ends[2];
  REQUIRE(::pipe(pipe_ends) == 0);
  loop.call_later(4ms, [&] { REQUIRE(::write(pipe_ends[1], "x", 1) == 1); });
  loop.add_reader(pipe_ends[0], [&] {
    seen.push_back("reader");
    stopped = true;
    loop.stop();
  });
  loop.run_forever();
  CHECK(seen == std::vector<std::string>{"timer", "reader"});
  CHECK(rounds > 1);
  loop.remove_reader(pipe_ends[0]);
  ::close(pipe_ends[0]);
  ::close(pipe_ends[1]);
}

TEST_CASE("a timer may cancel others and arm new ones while it runs", "[rule-009]") {
  fixture f;
  auto& loop = *f.loop;
  std::vector<int> seen;
  std::vector<rondo::timer_handle> timers(4);
  const auto past = loop.time() - 1s;
  timers[0] = loop.call_at(past, [&] {
    seen.push_back(0);
    timers[1].cancel();
    timers[3] = loop.call_at(past, [&] { seen.push_back(3); });
  });
  timers[1] = loop.call_at(past, [&] { seen.push_back(1); });
  timers[2] = loop.call_at(past, [&] { seen.push_back(2); });
  f.run_one();
  CHECK(seen == std::vector<int>{0, 2});
  f.run_one();
  CHECK(seen == std::vector<int>{0, 2, 3});
}
