// SPDX-License-Identifier: MIT
// rondo tests: calls from other threads (rules 24-26, 40; faults E2, E5, E7, N6).
#include "support/catch.hpp"
#include "support/oracle.hpp"

#include <rondo/rondo.hpp>

#include <pthread.h>
#include <signal.h>

#include <atomic>
#include <chrono>
#include <latch>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

using namespace std::chrono_literals;
using rondo_test::check_idle;
using rondo_test::oracle;

namespace {

rondo::coro<int> answer() { co_return 42; }

std::vector<std::thread> start_threads(int count, const std::function<void(int)>& body) {
  std::vector<std::thread> result;
  result.reserve(static_cast<std::size_t>(count));
  for (int i = 0; i < count; ++i) result.emplace_back(body, i);
  return result;
}

}  // namespace

TEST_CASE("a call from another thread wakes a sleeping loop", "[rule-024]") {
  const oracle unchanged(oracle::scope::threads);
  const auto loop = rondo::new_event_loop();
  for (int round = 0; round < 200; ++round) {
    std::thread caller([&] { loop->call_soon_threadsafe([&] { loop->stop(); }); });
    loop->run_forever();
    caller.join();
  }
  check_idle(*loop);
}

TEST_CASE("ping-pong of two loops in two threads", "[rule-024]") {
  const oracle unchanged(oracle::scope::threads);
  const auto here = rondo::new_event_loop();
  const auto there = rondo::new_event_loop();
  const int rounds = rondo_test::sanitized ? 5'000 : 50'000;
  int left = rounds;
  std::function<void()> pong = [&] {
    here->call_soon_threadsafe([&] {
      if (--left == 0) {
        there->call_soon_threadsafe([&] { there->stop(); });
        here->stop();
      } else {
        there->call_soon_threadsafe(std::ref(pong));
      }
    });
  };
  std::thread other([&] { there->run_forever(); });
  there->call_soon_threadsafe(std::ref(pong));
  here->run_forever();
  other.join();
  CHECK(left == 0);
}

TEST_CASE("the calls of each thread stay in order", "[rule-025]") {
  const oracle unchanged(oracle::scope::threads);
  const auto loop = rondo::new_event_loop();
  constexpr int threads = 8;
  const int calls = rondo_test::sanitized ? 2'000 : 20'000;
  std::vector<int> next(threads, 0);
  int wrong = 0;
  int left = threads * calls;
  auto callers = start_threads(threads, [&](int who) {
    for (int i = 0; i < calls; ++i) {
      loop->call_soon_threadsafe([&, who, i] {
        if (next[static_cast<std::size_t>(who)]++ != i) ++wrong;
        if (--left == 0) loop->stop();
      });
    }
  });
  loop->run_forever();
  for (auto& each : callers) each.join();
  CHECK(wrong == 0);
  CHECK(left == 0);
}

TEST_CASE("a closed loop throws in the calling thread", "[rule-026]") {
  const oracle unchanged(oracle::scope::threads);
  const auto loop = rondo::new_event_loop();
  loop->close();
  std::string text;
  std::thread([&] {
    text = rondo_test::message_of([&] { loop->call_soon_threadsafe([] {}); });
  }).join();
  CHECK(text == "Event loop is closed");
}

TEST_CASE("calls from 16 threads while the loop closes", "[rule-026][fault-E5]") {
  const oracle unchanged(oracle::scope::threads);
  constexpr int threads = 16;
  // At least a million calls in all.
  const int rounds = rondo_test::sanitized ? 50 : 100;
  constexpr int calls = 1'250;
  std::uint64_t total = 0;
  for (int round = 0; round < rounds; ++round) {
    const auto loop = rondo::new_event_loop();
    std::vector<std::atomic<std::uint8_t>> runs(static_cast<std::size_t>(threads) * calls);
    std::atomic<int> alive = 0;
    std::atomic<int> accepted = 0;
    std::atomic<int> refused = 0;
    struct witness {
      explicit witness(std::atomic<int>& count) : alive(&count) { alive->fetch_add(1); }
      witness(const witness& other) : alive(other.alive) { alive->fetch_add(1); }
      witness& operator=(const witness&) = delete;
      ~witness() { alive->fetch_sub(1); }
      std::atomic<int>* alive;
    };
    std::latch start(threads + 1);
    auto callers = start_threads(threads, [&](int who) {
      start.arrive_and_wait();
      for (int i = 0; i < calls; ++i) {
        const auto index = static_cast<std::size_t>(who * calls + i);
        try {
          loop->call_soon_threadsafe(
              [&runs, index, w = witness(alive)] { runs[index].fetch_add(1); });
          accepted.fetch_add(1, std::memory_order_relaxed);
        } catch (const rondo::loop_closed_error&) {
          refused.fetch_add(1, std::memory_order_relaxed);
        }
      }
    });
    start.arrive_and_wait();
    // Some rounds close early, some in the middle, some hardly at all.
    for (int i = 0; i < round % 10 * 3; ++i) loop->run_once(1ms);
    loop->close();
    for (auto& each : callers) each.join();
    int ran = 0;
    for (const auto& each : runs) {
      if (each.load() > 1) FAIL("a call ran twice");
      ran += each.load();
    }
    CHECK(accepted + refused == threads * calls);
    CHECK(ran <= accepted);
    CHECK(alive == 0);  // what was dropped was destroyed
    total += static_cast<std::uint64_t>(accepted) + static_cast<std::uint64_t>(refused);
  }
  CHECK(total >= 1'000'000);
}

TEST_CASE("what was accepted before the loop closes runs if the loop still turns", "[fault-E5]") {
  const oracle unchanged(oracle::scope::threads);
  const auto loop = rondo::new_event_loop();
  std::atomic<int> accepted = 0;
  int ran = 0;
  auto callers = start_threads(4, [&](int) {
    for (int i = 0; i < 1000; ++i) {
      loop->call_soon_threadsafe([&] { ++ran; });
      accepted.fetch_add(1);
    }
  });
  for (auto& each : callers) each.join();
  while (ran < accepted) loop->run_once();
  CHECK(ran == 4000);
}

TEST_CASE("threadsafe handles are cancelled while the loop runs what they name", "[rule-024]") {
  const oracle unchanged(oracle::scope::threads);
  const auto loop = rondo::new_event_loop();
  const int rounds = rondo_test::sanitized ? 2'000 : 20'000;
  std::atomic<int> cancelled = 0;
  int ran = 0;
  std::thread other([&] {
    for (int i = 0; i < rounds; ++i) {
      const rondo::threadsafe_handle handle = loop->call_soon_threadsafe([&] { ++ran; });
      rondo::threadsafe_handle copy = handle;
      static_cast<void>(handle.get_context());
      if (i % 2 == 0) {
        copy.cancel();
        cancelled.fetch_add(1);
        if (!handle.cancelled()) std::abort();
      }
    }
    loop->call_soon_threadsafe([&] { loop->stop(); });
  });
  loop->run_forever();
  other.join();
  // A cancelled one may have run before it was cancelled.
  CHECK(ran >= rounds - cancelled);
  CHECK(ran <= rounds);
}

TEST_CASE("cancelled by another thread before the loop turns, a call never runs", "[rule-024]") {
  const oracle unchanged(oracle::scope::threads);
  const auto loop = rondo::new_event_loop();
  int ran = 0;
  bool destroyed = false;
  {
    const std::shared_ptr<int> kept(new int(0), [&](int* p) {
      destroyed = true;
      delete p;
    });
    std::thread([&] { loop->call_soon_threadsafe([&ran, kept] { ++ran; }).cancel(); }).join();
  }
  CHECK_FALSE(destroyed);  // the loop's thread does that
  loop->run_once();
  CHECK(ran == 0);
  CHECK(destroyed);
}

TEST_CASE("a context of another thread is carried over", "[rule-028]") {
  const oracle unchanged(oracle::scope::threads);
  static const rondo::context_var<std::string> name("name", "nobody");
  const auto loop = rondo::new_event_loop();
  std::string seen;
  std::thread([&] {
    static_cast<void>(name.set("the caller"));
    loop->call_soon_threadsafe([&] { seen = name.get(); });
    static_cast<void>(name.set("later"));
  }).join();
  loop->run_once();
  CHECK(seen == "the caller");
  CHECK(name.get() == "nobody");
}

TEST_CASE("a loop may move to another thread between runs", "[rule-024]") {
  const oracle unchanged(oracle::scope::threads);
  const auto loop = rondo::new_event_loop();
  int result = 0;
  std::thread([&] { result = loop->run_until_complete(answer()); }).join();
  CHECK(result == 42);
  CHECK(loop->run_until_complete(answer()) == 42);
}

TEST_CASE("debug mode finds calls from the wrong thread", "[rule-040][fault-E7]") {
  const oracle unchanged(oracle::scope::threads);
  const auto loop = rondo::new_event_loop();
  loop->set_debug(true);
  std::thread runs([&] { loop->run_forever(); });
  std::latch up(2);
  loop->call_soon_threadsafe([&] { up.count_down(); });
  up.arrive_and_wait();
  const std::vector<std::pair<std::string, std::function<void()>>> uses = {
      {"call_soon", [&] { loop->call_soon([] {}); }},
      {"call_later", [&] { loop->call_later(1s, [] {}); }},
      {"call_at", [&] { loop->call_at(rondo::clock::now(), [] {}); }},
      {"create_task", [&] { loop->create_task(answer()); }},
      {"add_reader", [&] { loop->add_reader(0, [] {}); }},
      {"remove_reader", [&] { loop->remove_reader(0); }},
      {"add_signal_handler", [&] { loop->add_signal_handler(SIGUSR1, [] {}); }},
      {"remove_signal_handler", [&] { loop->remove_signal_handler(SIGUSR1); }},
  };
  const rondo_test::log_capture quiet;  // a coroutine that never ran
  for (const auto& [name, use] : uses) {
    INFO(name);
    CHECK(rondo_test::message_of(use).find("Non-thread-safe operation") == 0);
  }
  loop->call_soon_threadsafe([&] { loop->stop(); });
  runs.join();
  // Only while the loop runs.
  loop->call_soon([] {});
  loop->run_once();
  loop->close();
}

TEST_CASE("a loop in a thread with a small stack", "[fault-N6]") {
  const oracle unchanged(oracle::scope::threads);
  const auto body = [](void* result) -> void* {
    try {
      *static_cast<int*>(result) = rondo::run([]() -> rondo::coro<int> {
        int sum = 0;
        for (int i = 0; i < 1000; ++i) sum += co_await answer();
        co_await rondo::sleep(1ms);
        co_return sum;
      });
    } catch (...) {
    }
    return nullptr;
  };
  ::pthread_attr_t attributes;
  REQUIRE(::pthread_attr_init(&attributes) == 0);
  // Sanitizers need more for themselves.
  REQUIRE(::pthread_attr_setstacksize(&attributes,
                                      rondo_test::sanitized ? 1024 * 1024 : 64 * 1024) == 0);
  int result = 0;
  ::pthread_t thread{};
  REQUIRE(::pthread_create(&thread, &attributes, body, &result) == 0);
  REQUIRE(::pthread_join(thread, nullptr) == 0);
  ::pthread_attr_destroy(&attributes);
  CHECK(result == 42'000);
}

TEST_CASE("a loop for each of many threads", "[fault-E2]") {
  const oracle unchanged(oracle::scope::threads);
  std::atomic<int> sum = 0;
  auto threads = start_threads(8, [&](int) {
    for (int i = 0; i < 20; ++i) sum.fetch_add(rondo::run(answer()));
  });
  for (auto& each : threads) each.join();
  CHECK(sum == 8 * 20 * 42);
}
