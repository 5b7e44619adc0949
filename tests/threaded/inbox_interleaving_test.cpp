// SPDX-License-Identifier: MIT
// rondo tests: the queue between threads and a loop in every order of its steps (fault E5).
#include "support/catch.hpp"
#include "support/interleaving.hpp"

#include "loop/inbox.hpp"

#include <rondo/detail/ready_node.hpp>

#include <array>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

using rondo_test::interleaving::model_atomic;
using rondo_test::interleaving::primitives;
using rondo_test::interleaving::scheduler;

namespace {

constexpr int most_preemptions = 2;

/// What the loop sleeps on.
struct model_sleeper {
  model_atomic<bool> awake{false};
  bool shut = false;
  bool woken_when_shut = false;

  void wake() {
    awake.exchange(true);
    // After its shutdown the descriptor may be somebody else's.
    if (shut) woken_when_shut = true;
  }
};

using model_inbox = rondo::detail::basic_inbox<model_sleeper, primitives>;

struct model_node final : rondo::detail::ready_node {
  explicit model_node(int what = 0)
      : ready_node(
            [](ready_node& self, rondo::event_loop*) { ++static_cast<model_node&>(self).dropped; }),
        name(what) {}
  int name;
  int dropped = 0;
};

struct state {
  model_sleeper sleeper;
  model_inbox inbox{sleeper};
  std::array<model_node, 4> nodes{model_node(0), model_node(1), model_node(2), model_node(3)};
  std::array<bool, 4> accepted{};
  std::vector<int> ran;

  void push(std::size_t which) { accepted[which] = inbox.push(nodes[which]); }
  void run(rondo::detail::ready_queue& ready) {
    while (!ready.empty()) ran.push_back(static_cast<model_node&>(ready.pop()).name);
  }
  /// One iteration of a loop that has nothing else to do.
  void iterate(scheduler& order) {
    rondo::detail::ready_queue ready;
    if (inbox.has_work()) inbox.drain(ready);
    const bool sleeps = ready.empty();
    if (sleeps && inbox.prepare_sleep()) {
      order.wait_until([&] { return sleeper.awake.load(); });
      sleeper.awake.exchange(false);
    }
    if (sleeps || inbox.has_work()) inbox.drain(ready);
    run(ready);
  }
};

}  // namespace

TEST_CASE("the explorer finds a lost wake-up and a lost update", "[interleaving]") {
  // Two threads add without a lock.
  struct counter {
    model_atomic<int> value{0};
  };
  std::unique_ptr<counter> shared;
  bool lost = false;
  scheduler add(10);
  const auto runs = add.explore(
      [&] {
        shared = std::make_unique<counter>();
        const auto increment = [&] {
          const int old = shared->value.load();
          shared->value.exchange(old + 1);
        };
        return std::vector<std::function<void()>>{increment, increment};
      },
      [&] { lost = lost || shared->value.load() == 1; });
  CHECK(lost);
  CHECK(runs ==
        20);  // 6! / (3! 3!) orders of three stretches each, the one before the first step included

  // A loop that announces its sleep too late.
  struct sleeper {
    model_atomic<bool> work{false};
    model_atomic<bool> asleep{false};
    model_atomic<bool> woken{false};
  };
  std::unique_ptr<sleeper> bed;
  scheduler wake(most_preemptions);
  const auto explore = [&] {
    wake.explore(
        [&] {
          bed = std::make_unique<sleeper>();
          return std::vector<std::function<void()>>{
              [&] {
                bed->work.exchange(true);
                if (bed->asleep.load()) bed->woken.exchange(true);
              },
              [&] {
                if (bed->work.load()) return;
                bed->asleep.exchange(true);
                wake.wait_until([&] { return bed->woken.load(); });
              }};
        },
        [] {});
  };
  CHECK_THROWS_WITH(explore(), Catch::Contains("everybody waits"));
}

TEST_CASE("no push is lost and no sleep goes on in any order",
          "[interleaving][fault-E5][rule-025]") {
  std::unique_ptr<state> s;
  scheduler order(most_preemptions);
  const auto runs = order.explore(
      [&] {
        s = std::make_unique<state>();
        return std::vector<std::function<void()>>{[&] {
                                                    s->push(0);
                                                    s->push(1);
                                                  },
                                                  [&] { s->push(2); },
                                                  [&] {
                                                    while (s->ran.size() < 3) s->iterate(order);
                                                  }};
      },
      [&] {
        REQUIRE(s->ran.size() == 3);
        REQUIRE(s->accepted == std::array<bool, 4>{true, true, true, false});
        std::size_t first = 0;
        std::size_t second = 0;
        for (std::size_t i = 0; i < 3; ++i) {
          if (s->ran[i] == 0) first = i;
          if (s->ran[i] == 1) second = i;
        }
        REQUIRE(first < second);
      });
  CHECK(runs > 100);
}

TEST_CASE("pushes while the loop closes are run, dropped or refused, once each",
          "[interleaving][fault-E5]") {
  std::unique_ptr<state> s;
  scheduler order(most_preemptions);
  for (const bool turns_first : {false, true}) {
    const auto runs = order.explore(
        [&] {
          s = std::make_unique<state>();
          return std::vector<std::function<void()>>{
              [&] {
                s->push(0);
                s->push(1);
              },
              [&] { s->push(2); },
              [&] {
                if (turns_first) {
                  s->iterate(order);  // there will be something
                } else {
                  static_cast<void>(s->inbox.prepare_sleep());
                }
                s->inbox.close();
                s->sleeper.shut = true;
              }};
        },
        [&] {
          for (std::size_t i = 0; i < 3; ++i) {
            int times = s->nodes[i].dropped;
            for (const int name : s->ran) times += name == static_cast<int>(i) ? 1 : 0;
            REQUIRE(times == (s->accepted[i] ? 1 : 0));
          }
          // What one thread was refused, its later calls are refused, too.
          REQUIRE((s->accepted[0] || !s->accepted[1]));
          REQUIRE_FALSE(s->sleeper.woken_when_shut);
        });
    CHECK(runs > 100);
  }
}
