// SPDX-License-Identifier: MIT
// rondo tests: asynchronous generators and shutdown_asyncgens (rule 264).
#include "tasks/task_support.hpp"

using namespace task_test;
using rondo::async_generator;

namespace {

async_generator<int> count_to(int n) {
  for (int i = 1; i <= n; ++i) co_yield i;
}

/// Says what happens to it; its cleanup takes so many iterations.
async_generator<std::string> noted(fixture& f, std::string name, int cleanup) {
  std::exception_ptr ended;
  f.note(name + " begins");
  try {
    for (int i = 0;; ++i) {
      co_await rondo::yield_now();
      co_yield name + std::to_string(i);
    }
  } catch (const rondo::generator_exit&) {
    ended = std::current_exception();
  }
  co_await yields(cleanup);
  f.note(name + " closed");
  std::rethrow_exception(ended);
}

}  // namespace

TEST_CASE_METHOD(fixture, "a generator yields values until it ends", "[async_generator]") {
  run([this]() -> rondo::coro<> {
    auto numbers = count_to(3);
    std::vector<int> seen;
    const std::uint64_t begin = now();
    while (auto value = co_await numbers.next()) seen.push_back(*value);
    // What does not wait takes no iteration.
    CHECK(now() == begin);
    CHECK(seen == std::vector{1, 2, 3});
    const auto after = co_await numbers.next();
    CHECK_FALSE(after.has_value());
    co_await numbers.aclose();
  });
}

TEST_CASE_METHOD(fixture, "the body begins with the first next, and may await",
                 "[async_generator]") {
  run([this]() -> rondo::coro<> {
    auto values = noted(*this, "g", 0);
    note("made");
    const auto first = co_await values.next();
    const auto second = co_await values.next();
    CHECK(*first == "g0");
    CHECK(*second == "g1");
    co_await values.aclose();
    note("left");
    const auto after = co_await values.next();
    CHECK_FALSE(after.has_value());
  });
  CHECK(trace == events{"made", "g begins", "g closed", "left"});
}

TEST_CASE_METHOD(fixture, "a generator yields what cannot be copied, and is moved itself",
                 "[async_generator]") {
  run([]() -> rondo::coro<> {
    const auto make = []() -> async_generator<std::unique_ptr<int>> {
      co_yield std::make_unique<int>(1);
      auto second = std::make_unique<int>(2);
      co_yield std::move(second);
    };
    auto first = make();
    auto moved = std::move(first);
    const auto one = co_await moved.next();
    first = std::move(moved);
    const auto two = co_await first.next();
    CHECK(**one + **two == 3);
    const async_generator<int> empty;
    async_generator<int> none;
    const auto nothing = co_await none.next();
    CHECK_FALSE(nothing.has_value());
    co_await none.aclose();
  });
}

TEST_CASE_METHOD(fixture, "what the body throws comes out of next, once", "[async_generator]") {
  run([this]() -> rondo::coro<> {
    const auto failing = [this](bool at_once) -> async_generator<int> {
      if (!at_once) co_yield 1;
      co_await fail(*this, "bad", 1);
    };
    for (const bool at_once : {false, true}) {
      auto values = failing(at_once);
      if (!at_once) {
        const auto one = co_await values.next();
        CHECK(*one == 1);
      }
      std::string text = co_await ends_with(values.next());
      CHECK(text == "bad");
      text = co_await ends_with(values.next());
      CHECK(text == "-");
    }
  });
}

TEST_CASE_METHOD(fixture, "generators can be nested, deeply", "[async_generator][fault-D8]") {
  const int depth = rondo_test::sanitized ? 2'000 : 20'000;
  run([&]() -> rondo::coro<> {
    struct deep {
      static async_generator<int> make(int left) {
        if (left == 0) {
          co_await rondo::yield_now();
          co_yield 1;
          co_yield 2;
        } else {
          auto inner = make(left - 1);
          while (auto value = co_await inner.next()) co_yield *value;
        }
      }
    };
    auto values = deep::make(depth);
    int sum = 0;
    while (auto value = co_await values.next()) sum += *value;
    CHECK(sum == 3);
  });
}

TEST_CASE_METHOD(fixture, "cancelling the consumer reaches the await in the generator",
                 "[async_generator]") {
  run([this]() -> rondo::coro<> {
    const auto waiting = [this]() -> async_generator<int> {
      co_await wait_forever(*this, "inner");
      co_yield 1;
    };
    auto values = waiting();
    const rondo::task<> consumer =
        rondo::create_task([&]() -> rondo::coro<> { co_await values.next(); });
    co_await yields(2);
    consumer.cancel("stop");
    const std::string text = co_await ends_with(consumer);
    note(text);
    const auto after = co_await values.next();
    CHECK_FALSE(after.has_value());
  });
  CHECK(trace == events{"inner cancelled", "cancelled: stop"});
}

TEST_CASE_METHOD(fixture, "only one may wait for a generator", "[async_generator]") {
  run([]() -> rondo::coro<> {
    const auto slow = []() -> async_generator<int> {
      co_await yields(4);
      co_yield 1;
    };
    auto values = slow();
    const auto first = rondo::create_task(values.next());
    co_await yields(2);
    std::string text = co_await ends_with(values.next());
    CHECK(text == "the asynchronous generator is already running");
    text = co_await ends_with(values.aclose());
    CHECK(text == "aclose(): the asynchronous generator is already running");
    const auto one = co_await first;
    CHECK(*one == 1);
  });
}

TEST_CASE_METHOD(fixture, "a generator that yields when it is closed", "[async_generator]") {
  run([]() -> rondo::coro<> {
    const auto stubborn = []() -> async_generator<int> {
      for (int i = 0; i < 3; ++i) {
        try {
          co_yield i;
        } catch (const rondo::generator_exit&) {
        }
      }
    };
    auto values = stubborn();
    const auto zero = co_await values.next();
    const std::string text = co_await ends_with(values.aclose());
    CHECK(text == "the asynchronous generator ignored generator_exit");
    const auto two = co_await values.next();
    CHECK(*zero == 0);
    CHECK(*two == 2);
    // An error of the cleanup.
    const auto failing = []() -> async_generator<int> {
      try {
        co_yield 1;
      } catch (const rondo::generator_exit&) {
      }
      throw std::runtime_error("cleanup");
    };
    auto bad = failing();
    co_await bad.next();
    const std::string thrown = co_await ends_with(bad.aclose());
    CHECK(thrown == "cleanup");
  });
}

TEST_CASE_METHOD(fixture, "a generator that is dropped before its end is closed by a task",
                 "[rule-264]") {
  run([this]() -> rondo::coro<> {
    {
      auto values = noted(*this, "g", 2);
      co_await values.next();
    }
    note("dropped");
    {
      // One that has not begun has nothing to clean up.
      const auto never = noted(*this, "never", 2);
    }
    co_await yields(5);
    CHECK(rondo::all_tasks().size() == 1);
  });
  CHECK(trace == events{"g begins", "dropped", "g closed"});
}

TEST_CASE_METHOD(fixture, "an error of the cleanup of a dropped generator is reported",
                 "[rule-264]") {
  run([this]() -> rondo::coro<> {
    const auto failing = [this]() -> async_generator<int> {
      try {
        co_yield 1;
      } catch (const rondo::generator_exit&) {
      }
      co_await fail(*this, "cleanup", 1);
    };
    {
      auto values = failing();
      co_await values.next();
    }
    co_await yields(4);
  });
  CHECK(take_reports() == events{"Task exception was never retrieved"});
}

TEST_CASE_METHOD(fixture, "shutdown_asyncgens closes all of them at once", "[rule-264]") {
  std::vector<async_generator<std::string>> kept;
  run([&]() -> rondo::coro<> {
    kept.push_back(noted(*this, "a", 4));
    kept.push_back(noted(*this, "b", 1));
    kept.push_back(noted(*this, "unused", 1));
    co_await kept[0].next();
    co_await kept[1].next();
    auto ended = count_to(0);
    co_await ended.next();
  });
  trace.clear();
  loop->run_until_complete(loop->shutdown_asyncgens());
  CHECK(trace == events{"b closed", "a closed"});
  run([&]() -> rondo::coro<> {
    const auto after = co_await kept[0].next();
    CHECK_FALSE(after.has_value());
    // One that begins later is warned of.
    const rondo_test::log_capture log;
    co_await kept[2].next();
    CHECK(log.count("after loop.shutdown_asyncgens()") == 1);
    co_await kept[2].aclose();
  });
}

TEST_CASE_METHOD(fixture, "shutdown_asyncgens reports errors and goes on", "[rule-264]") {
  std::vector<async_generator<int>> kept;
  const auto failing = []() -> async_generator<int> {
    try {
      co_yield 1;
    } catch (const rondo::generator_exit&) {
    }
    throw std::runtime_error("cleanup");
  };
  run([&]() -> rondo::coro<> {
    for (int n = 0; n < 2; ++n) {
      kept.push_back(failing());
      co_await kept.back().next();
    }
    auto fine = noted(*this, "fine", 0);
    co_await fine.next();
    co_await loop->shutdown_asyncgens();
  });
  CHECK(trace == events{"fine begins", "fine closed"});
  const events reported = take_reports();
  CHECK(reported.size() == 2);
  for (const auto& each : reported) CHECK(each.find("asynchronous generator") != std::string::npos);
}

TEST_CASE_METHOD(fixture, "a generator may be dropped while the shutdown closes it", "[rule-264]") {
  run([this]() -> rondo::coro<> {
    auto values = std::make_unique<async_generator<std::string>>(noted(*this, "g", 4));
    co_await values->next();
    const auto shutdown = rondo::create_task(loop->shutdown_asyncgens());
    const int turns = 3;
    co_await yields(turns);
    values.reset();
    co_await shutdown;
  });
  CHECK(trace == events{"g begins", "g closed"});
}

TEST_CASE("run closes the generators that are left, with their cleanup", "[rule-264]") {
  const rondo_test::oracle unchanged;
  events trace;
  const auto resource = [&trace](std::string name) -> async_generator<int> {
    std::exception_ptr ended;
    try {
      co_yield 1;
    } catch (const rondo::generator_exit&) {
      ended = std::current_exception();
    }
    co_await rondo::sleep(1ms);
    trace.push_back(name + " closed");
    std::rethrow_exception(ended);
  };
  async_generator<int> outside;
  rondo::run([&]() -> rondo::coro<> {
    outside = resource("outside");
    co_await outside.next();
    auto inside = resource("inside");
    co_await inside.next();
    trace.push_back("main ends");
  });
  REQUIRE(trace.size() == 3);
  CHECK(trace[0] == "main ends");
  CHECK(std::count(trace.begin(), trace.end(), "inside closed") == 1);
  CHECK(std::count(trace.begin(), trace.end(), "outside closed") == 1);
}

TEST_CASE("generators that a loop leaves behind are destroyed", "[rule-264][fault-E1]") {
  const rondo_test::oracle unchanged;
  const rondo_test::log_capture log;
  async_generator<int> outlives;
  auto loop = rondo::new_event_loop();
  auto guard = std::make_shared<int>(1);
  const auto holding = [](std::shared_ptr<int> held, bool waits) -> async_generator<int> {
    co_yield *held;
    if (waits) co_await rondo::sleep(1h);
    co_yield 2;
  };
  // One outside, one dropped whose callback never runs, one that a pending task waits for.
  outlives = holding(guard, false);
  const auto use = [&]() -> rondo::coro<> {
    co_await outlives.next();
    auto dropped = holding(guard, false);
    co_await dropped.next();
  };
  loop->create_task(use);
  loop->run_once();
  const auto wait_in = [&]() -> rondo::coro<> {
    auto waiting = holding(guard, true);
    co_await waiting.next();
    co_await waiting.next();
  };
  loop->create_task(wait_in);
  loop->run_once();
  CHECK(guard.use_count() > 2);
  loop.reset();
  CHECK(guard.use_count() == 2);
  outlives = async_generator<int>();
  CHECK(guard.use_count() == 1);
  CHECK(log.count("destroyed but it is pending") == 1);
}
