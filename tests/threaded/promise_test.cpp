// SPDX-License-Identifier: MIT
// rondo tests: promises that other threads fulfil, drop, or keep longer than the loop lives.
#include "support/catch.hpp"
#include "support/oracle.hpp"

#include <rondo/rondo.hpp>

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

using namespace std::chrono_literals;
using rondo_test::oracle;

TEST_CASE("a promise is fulfilled from any thread", "[promise]") {
  const oracle unchanged(oracle::scope::threads);
  const auto loop = rondo::new_event_loop();
  for (int round = 0; round < 100; ++round) {
    const auto promise = loop->create_threadsafe_promise<std::string>();
    std::thread other([promise] { promise.set_result("from afar"); });
    CHECK(loop->run_until_complete(promise.get_future()) == "from afar");
    other.join();
    // Again the same one, and still there.
    CHECK(promise.get_future() == promise.get_future());
    CHECK(promise.get_future().result() == "from afar");
  }
}

TEST_CASE("the future can be asked for after the result has come", "[promise]") {
  const oracle unchanged(oracle::scope::threads);
  const auto loop = rondo::new_event_loop();
  const auto promise = loop->create_threadsafe_promise<int>();
  std::thread([promise] { promise.set_result(5); }).join();
  for (int i = 0; i < 3; ++i) loop->run_once();
  REQUIRE(promise.get_future().done());
  CHECK(loop->run_until_complete(promise.get_future()) == 5);
}

TEST_CASE("promises of void, of move-only types, of references, and of exceptions", "[promise]") {
  const oracle unchanged(oracle::scope::threads);
  const auto loop = rondo::new_event_loop();
  const auto nothing = loop->create_threadsafe_promise();
  const auto only = loop->create_threadsafe_promise<std::unique_ptr<int>>();
  const auto reference = loop->create_threadsafe_promise<int&>();
  const auto failing = loop->create_threadsafe_promise<int>();
  const auto pointer = loop->create_threadsafe_promise<int>();
  int target = 3;
  std::thread([&] {
    nothing.set_result();
    only.set_result(std::make_unique<int>(7));
    reference.set_result(target);
    failing.set_exception(std::runtime_error("from afar"));
    pointer.set_exception(std::make_exception_ptr(7));
  }).join();
  loop->run_until_complete(nothing.get_future());
  CHECK(*loop->run_until_complete(only.get_future()) == 7);
  CHECK(&reference.get_future().result() == &target);
  CHECK_THROWS_WITH(loop->run_until_complete(failing.get_future()), "from afar");
  CHECK_THROWS_AS(loop->run_until_complete(pointer.get_future()), int);
  CHECK_THROWS_AS(loop->create_threadsafe_promise<int>().set_exception(std::exception_ptr()),
                  std::invalid_argument);
}

TEST_CASE("a promise is fulfilled once, whoever tries", "[promise]") {
  const oracle unchanged(oracle::scope::threads);
  const auto loop = rondo::new_event_loop();
  for (int round = 0; round < 50; ++round) {
    const auto promise = loop->create_threadsafe_promise<int>();
    std::atomic<int> won = 0;
    std::atomic<int> lost = 0;
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&, i] {
        try {
          if (i % 2 == 0) {
            promise.set_result(i);
          } else {
            promise.set_exception(std::runtime_error("odd"));
          }
          won.fetch_add(1);
        } catch (const rondo::invalid_state_error&) {
          lost.fetch_add(1);
        }
      });
    }
    try {
      static_cast<void>(loop->run_until_complete(promise.get_future()));
    } catch (const std::runtime_error&) {
    }
    for (auto& each : threads) each.join();
    CHECK(won == 1);
    CHECK(lost == 3);
  }
}

TEST_CASE("a result for a cancelled future is dropped", "[promise]") {
  const oracle unchanged(oracle::scope::threads);
  const rondo_test::log_capture reports;
  const auto loop = rondo::new_event_loop();
  const auto promise = loop->create_threadsafe_promise<int>();
  const auto future = promise.get_future();
  future.cancel();
  std::thread([promise] { promise.set_exception(std::runtime_error("late")); }).join();
  loop->run_once();
  CHECK(future.cancelled());
  CHECK(reports.problems().empty());
}

TEST_CASE("a promise that is dropped leaves its future pending", "[promise]") {
  const oracle unchanged(oracle::scope::threads);
  const auto loop = rondo::new_event_loop();
  rondo::future<int> future;
  {
    auto promise = std::make_optional(loop->create_threadsafe_promise<int>());
    future = promise->get_future();
    std::thread([given = *promise] {}).join();
    std::thread([&] { promise.reset(); }).join();
  }
  for (int i = 0; i < 3; ++i) loop->run_once();
  CHECK_FALSE(future.done());
  CHECK(future.core()->references == 1);  // the promise has let go
}

TEST_CASE("empty promises", "[promise]") {
  const rondo::threadsafe_promise<int> empty;
  CHECK_FALSE(static_cast<bool>(empty));
  CHECK(empty == rondo::threadsafe_promise<int>());
  CHECK_THROWS_AS(empty.get_future(), std::logic_error);
  CHECK_THROWS_AS(empty.set_result(1), std::logic_error);
  CHECK_THROWS_AS(empty.set_exception(std::runtime_error("x")), std::logic_error);
}

TEST_CASE("a value that cannot be made leaves the promise open", "[promise]") {
  const oracle unchanged(oracle::scope::threads);
  struct fussy {
    explicit fussy(int given) : value(given) {
      if (given < 0) throw std::invalid_argument("negative");
    }
    int value;
  };
  const auto loop = rondo::new_event_loop();
  const auto promise = loop->create_threadsafe_promise<fussy>();
  CHECK_THROWS_AS(promise.set_result(-1), std::invalid_argument);
  promise.set_result(1);
  CHECK(loop->run_until_complete(promise.get_future()).value == 1);
}

TEST_CASE("a closed loop takes no result", "[promise][rule-026]") {
  const oracle unchanged(oracle::scope::threads);
  const auto loop = rondo::new_event_loop();
  const auto before = loop->create_threadsafe_promise<int>();
  const auto queued = loop->create_threadsafe_promise<int>();
  queued.set_result(1);
  loop->close();
  std::thread([&] { CHECK_THROWS_AS(before.set_result(1), rondo::loop_closed_error); }).join();
  CHECK_FALSE(static_cast<bool>(before.get_future()));
}

TEST_CASE("promises may outlive their loop", "[promise]") {
  const oracle unchanged(oracle::scope::threads);
  std::vector<rondo::threadsafe_promise<std::string>> promises;
  rondo::future<std::string> kept;
  {
    const auto loop = rondo::new_event_loop();
    for (int i = 0; i < 4; ++i) promises.push_back(loop->create_threadsafe_promise<std::string>());
    kept = promises[0].get_future();
    promises[1].set_result("queued when the loop goes");
    promises[2].set_result("delivered");
    while (!promises[2].get_future().done()) loop->run_once();
  }
  std::thread([moved = std::move(promises)]() mutable {
    try {
      moved[0].set_result("too late");
    } catch (const rondo::loop_closed_error&) {
    }
    moved.clear();
  }).join();
  CHECK_FALSE(kept.done());
}

TEST_CASE("promises are fulfilled and dropped by threads while the loop closes",
          "[promise][fault-E5]") {
  const oracle unchanged(oracle::scope::threads);
  const int rounds = rondo_test::sanitized ? 100 : 300;
  for (int round = 0; round < rounds; ++round) {
    auto loop = rondo::new_event_loop();
    constexpr int threads = 4;
    constexpr int each = 50;
    std::vector<std::thread> running;
    std::atomic<bool> go = false;
    std::vector<rondo::future<std::string>> futures;
    for (int t = 0; t < threads; ++t) {
      std::vector<rondo::threadsafe_promise<std::string>> mine;
      for (int i = 0; i < each; ++i) {
        mine.push_back(loop->create_threadsafe_promise<std::string>());
        if (i % 3 == 0) futures.push_back(mine.back().get_future());
      }
      running.emplace_back([&go, given = std::move(mine)]() mutable {
        while (!go.load()) {
        }
        for (std::size_t i = 0; i < given.size(); ++i) {
          const auto copy = given[i];
          given[i] = {};
          if (i % 2 == 0) continue;  // dropped unfulfilled
          try {
            copy.set_result("a string that is too long to be kept inline by anybody");
          } catch (const rondo::loop_closed_error&) {
          }
        }
      });
    }
    go = true;
    for (int i = 0; i < round % 7; ++i) loop->run_once();
    loop->close();
    if (round % 2 == 0) loop.reset();
    for (auto& thread : running) thread.join();
    for (const auto& future : futures) {
      if (future.done()) CHECK_FALSE(future.result().empty());
    }
  }
}
