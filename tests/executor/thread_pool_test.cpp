// SPDX-License-Identifier: MIT
// rondo tests: the thread pool, and loops that close, share and flood it.
#include <rondo/executor.hpp>

#include <rondo/rondo.hpp>

#include "executor/executor_support.hpp"
#include "executor/thread_pool.hpp"
#include "support/catch.hpp"
#include "support/child.hpp"
#include "support/fault_table.hpp"
#include "support/oracle.hpp"

#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using namespace rondo_test;
using rondo::coro;
using rondo::executor_job;
using rondo::future;
using rondo::thread_pool_executor;

std::string thread_name() {
  std::array<char, 16> name = {};
  ::pthread_getname_np(::pthread_self(), name.data(), name.size());
  return name.data();
}

TEST_CASE("threads are made as they are needed, and no more than allowed", "[rule-252]") {
  const oracle unchanged(oracle::scope::threads);
  rondo::selector_event_loop loop;
  thread_pool_executor pool(3, "few");
  CHECK(pool.max_threads() == 3);
  CHECK(pool.threads() == 0);
  {
    gate held;
    std::vector<future<std::string>> calls;
    for (std::size_t i = 0; i < 5; ++i) {
      calls.push_back(loop.run_in_executor(&pool, [&] {
        held.pass();
        return thread_name();
      }));
      CHECK(pool.threads() == std::min<std::size_t>(i + 1, 3));
    }
    held.wait_for(3);
    held.open();
    std::vector<std::string> first;
    for (std::size_t i = 0; i < 3; ++i) {
      loop.run_until_complete(calls[i]);
      first.push_back(calls[i].result());
    }
    std::sort(first.begin(), first.end());
    CHECK(first == std::vector<std::string>{"few_0", "few_1", "few_2"});
    for (const auto& each : calls) loop.run_until_complete(each);
  }
  loop.close();
}

TEST_CASE("an idle thread is used before another one is made", "[thread-pool]") {
  // A thread says that it is idle a moment after the result is there, so this looks inside.
  const auto pool = std::make_shared<rondo::detail::thread_pool>(8, "idle");
  std::atomic<int> ran = 0;
  for (int i = 0; i < 20; ++i) {
    pool->submit(executor_job([&] { ++ran; }));
    while (ran <= i || pool->idle() == 0) std::this_thread::yield();
  }
  CHECK(ran == 20);
  CHECK(pool->threads() == 1);
  pool->shut_down(true, false);
}

TEST_CASE("a saturated pool begins its calls in order", "[thread-pool]") {
  rondo::selector_event_loop loop;
  thread_pool_executor pool(1);
  gate held;
  std::vector<int> order;
  std::vector<future<void>> calls;
  calls.push_back(loop.run_in_executor(&pool, [&] { held.pass(); }));
  for (int i = 0; i < 50; ++i) {
    calls.push_back(loop.run_in_executor(&pool, [&order, i] { order.push_back(i); }));
  }
  calls[10].cancel();
  calls[50].cancel();
  held.open();
  for (const auto& each : calls) {
    if (!each.cancelled()) loop.run_until_complete(each);
  }
  REQUIRE(order.size() == 48);
  CHECK(std::is_sorted(order.begin(), order.end()));
  CHECK(std::find(order.begin(), order.end(), 9) == order.end());
  loop.close();
}

TEST_CASE("the number of threads may be any integer that makes sense", "[thread-pool]") {
  CHECK_THROWS_AS(thread_pool_executor(-1), std::invalid_argument);
  CHECK_THROWS_AS(thread_pool_executor(std::int64_t{-5}), std::invalid_argument);
  CHECK(thread_pool_executor(std::uint8_t{3}).max_threads() == 3);
  CHECK(thread_pool_executor(std::size_t{4}, "x").max_threads() == 4);
  CHECK(thread_pool_executor{2}.max_threads() == 2);
  CHECK(thread_pool_executor().max_threads() ==
        std::min(32U, std::max(1U, std::thread::hardware_concurrency()) + 4));
  CHECK(thread_pool_executor(~std::uint64_t{0}).max_threads() > 1'000'000);
}

TEST_CASE("names of threads have room for their number", "[thread-pool]") {
  rondo::selector_event_loop loop;
  thread_pool_executor pool(1, "a name that is too long");
  CHECK(loop.run_until_complete(loop.run_in_executor(&pool, thread_name)) == "a name that i_0");
  thread_pool_executor unnamed(1);
  CHECK(loop.run_until_complete(loop.run_in_executor(&unnamed, thread_name)) == "rondo_0");
  loop.close();
}

// ---- faults ------------------------------------------------------------------------

TEST_CASE("no thread at all is an error, too few are not", "[fault-N2]") {
  const oracle unchanged(oracle::scope::threads);
  rondo::selector_event_loop loop;
  thread_pool_executor pool(3);
  {
    fault<&rondo::os::system_calls::pthread_create> create;
    create.hook([](auto...) { return EAGAIN; });
    bool ran = false;
    const auto submit = [&] { loop.run_in_executor(&pool, [&] { ran = true; }); };
    try {
      submit();
      FAIL("there was a thread");
    } catch (const std::system_error& error) {
      CHECK(error.code() == std::errc::resource_unavailable_try_again);
      CHECK(std::string(error.what()).find("thread") != std::string::npos);
    }
    // to_thread throws it from the await.
    const auto body = [&]() -> coro<> { co_await rondo::to_thread([] {}); };
    CHECK_THROWS_AS(loop.run_until_complete(body()), std::system_error);
    settle(loop);
    CHECK_FALSE(ran);
    CHECK(pool.threads() == 0);
  }
  gate held;
  const future<void> first = loop.run_in_executor(&pool, [&] { held.pass(); });
  held.wait_for(1);
  int ran = 0;
  std::vector<future<void>> calls;
  {
    fault<&rondo::os::system_calls::pthread_create> create;
    create.hook([](auto...) { return EAGAIN; });
    for (int i = 0; i < 5; ++i) calls.push_back(loop.run_in_executor(&pool, [&] { ++ran; }));
    CHECK(create.calls() == 5);
  }
  CHECK(pool.threads() == 1);
  held.open();
  for (const auto& each : calls) loop.run_until_complete(each);
  CHECK(ran == 5);
  // The next call that finds nobody idle makes one again.
  gate both;
  const future<void> a = loop.run_in_executor(&pool, [&] { both.pass(); });
  const future<void> b = loop.run_in_executor(&pool, [&] { both.pass(); });
  both.wait_for(2);
  CHECK(pool.threads() >= 2);  // the first may not have become idle in time
  both.open();
  loop.run_until_complete(a);
  loop.run_until_complete(b);
  loop.close();
}

TEST_CASE("a limit of the kernel on threads makes the pool smaller, and is no hang", "[fault-N2]") {
  if (sanitized || ::geteuid() != 0) return;  // root alone can become somebody with a limit
  const child_result result = run_in_child([]() -> std::string {
    ::rlimit limit{1, 1'000'000};
    if (::setrlimit(RLIMIT_NPROC, &limit) != 0 || ::setuid(65534) != 0) return "not possible here";
    rondo::selector_event_loop loop;
    thread_pool_executor pool(4);
    gate held;
    int ran = 0;
    std::vector<future<void>> calls;
    const auto call = [&] {
      calls.push_back(loop.run_in_executor(&pool, [&] {
        held.pass();
        ++ran;  // there is one thread
      }));
    };
    std::string first;
    // As many as this user has elsewhere, and one.
    for (; pool.threads() == 0 && limit.rlim_cur < 10'000; ++limit.rlim_cur) {
      ::setrlimit(RLIMIT_NPROC, &limit);
      try {
        call();
      } catch (const std::system_error& error) {
        if (error.code() != std::errc::resource_unavailable_try_again) return error.what();
        first = "refused, ";
      }
    }
    for (int i = 0; i < 5; ++i) call();
    if (pool.threads() != 1) return first + "there are more threads";
    held.open();
    for (const auto& each : calls) loop.run_until_complete(each);
    loop.close();
    return first + std::to_string(ran);
  });
  CHECK(result.exit_code == 0);
  CHECK((result.output == "refused, 6" || result.output == "not possible here"));
}

TEST_CASE("shutdown waits, or leaves the threads to themselves", "[fault-N3]") {
  gate held;
  rondo::selector_event_loop loop;
  thread_pool_executor pool(1);
  const opens later(held);
  const future<void> running = loop.run_in_executor(&pool, [&] { held.pass(); });
  std::atomic<bool> second = false;
  loop.run_in_executor(&pool, [&] { second = true; });
  held.wait_for(1);
  pool.shutdown(false);
  pool.shutdown(false);
  CHECK(pool.threads() == 1);
  CHECK_THROWS_AS(loop.run_in_executor(&pool, [] {}), std::logic_error);
  held.open();
  pool.shutdown();
  CHECK(second);
  CHECK(pool.threads() == 0);
  CHECK_FALSE(running.done());
  loop.run_until_complete(running);
  loop.close();
}

TEST_CASE("shutdown may drop what is queued", "[fault-N1][fault-N3]") {
  const oracle unchanged(oracle::scope::threads);
  gate held;
  rondo::selector_event_loop loop;
  thread_pool_executor pool(1);
  const opens later(held);
  const future<int> running = loop.run_in_executor(&pool, [&] {
    held.pass();
    return 1;
  });
  bool ran = false;
  const future<void> queued = loop.run_in_executor(&pool, [&] { ran = true; });
  held.wait_for(1);
  pool.shutdown(false, true);
  CHECK_FALSE(queued.done());
  held.open();
  CHECK(loop.run_until_complete(running) == 1);
  CHECK(queued.cancelled());
  CHECK_FALSE(ran);
  pool.shutdown();
  loop.close();
}

TEST_CASE("two threads may wait for the same pool", "[thread-pool]") {
  gate held;
  thread_pool_executor pool(2);
  pool.submit(executor_job([&] { held.pass(); }));
  std::atomic<int> done = 0;
  std::thread other([&] {
    pool.shutdown();
    ++done;
  });
  held.wait_for(1);
  CHECK(done == 0);
  held.open();
  pool.shutdown();
  CHECK(pool.threads() == 0);
  other.join();
  CHECK(done == 1);
}

TEST_CASE("a pool that goes runs what is queued first", "[thread-pool]") {
  rondo::selector_event_loop loop;
  std::vector<future<int>> calls;
  std::atomic<int> ran = 0;
  {
    gate held;
    thread_pool_executor pool(2);
    pool.submit(executor_job([&] { held.pass(); }));
    pool.submit(executor_job([&] { held.pass(); }));
    for (int i = 0; i < 30; ++i) {
      calls.push_back(loop.run_in_executor(&pool, [&, i] {
        ++ran;
        return i;
      }));
    }
    held.wait_for(2);
    CHECK(ran == 0);
    held.open();
  }
  CHECK(ran == 30);
  for (int i = 0; i < 30; ++i)
    CHECK(loop.run_until_complete(calls[static_cast<std::size_t>(i)]) == i);
  loop.close();
}

TEST_CASE("a pool may be shut down and destroyed in one of its threads", "[thread-pool]") {
  rondo::selector_event_loop loop;
  auto pool = std::make_shared<thread_pool_executor>(2);
  gate held;
  std::atomic<bool> last = false;
  const future<void> first = loop.run_in_executor(pool.get(), [&, pool] {
    held.pass();
    pool->shutdown();
  });
  const future<void> second = loop.run_in_executor(pool.get(), [&] {
    held.pass();
    last = true;
  });
  held.wait_for(2);
  pool.reset();
  held.open();
  loop.run_until_complete(first);
  loop.run_until_complete(second);
  CHECK(last);
  loop.close();
}

TEST_CASE("a job that shuts its pool down does not free others from waiting for it",
          "[thread-pool]") {
  gate held;
  std::atomic<bool> ended = false;
  {
    gate shut;  // the call uses it until the pool is gone
    thread_pool_executor pool(1);
    pool.submit(executor_job([&] {
      pool.shutdown();
      shut.pass();
      held.pass();
      ended = true;
    }));
    shut.wait_for(1);
    shut.open();
    held.open();
  }
  CHECK(ended);
}

TEST_CASE("a child of fork cannot use its parent's pool, and may drop it", "[fault-E8]") {
  if (sanitized) return;  // children of threads are not theirs
  auto pool = std::make_unique<thread_pool_executor>(2);
  gate held;
  const opens later(held);
  pool->submit(executor_job([&] { held.pass(); }));
  held.wait_for(1);
  auto unused = std::make_unique<thread_pool_executor>(2);
  const child_result result = run_in_child([&]() -> std::string {
    std::string text = thrown_by<std::logic_error>([&] { pool->submit(executor_job([] {})); });
    if (pool->threads() != 0) text += " there are threads";
    pool->shutdown();
    pool.reset();
    unused.reset();
    thread_pool_executor mine(1);
    std::atomic<int> ran = 0;
    mine.submit(executor_job([&] { ++ran; }));
    mine.shutdown();
    if (ran != 1) text += " its own does not work";
    return text;
  });
  CHECK(result.exit_code == 0);
  CHECK(result.output == "the executor was made before fork(): the child must make its own");
  held.open();
  pool->shutdown();
}

// ---- many ------------------------------------------------------------------------------

TEST_CASE("a thousand calls at a time", "[thread-pool]") {
  std::atomic<std::int64_t> sum = 0;
  std::int64_t returned = 0;
  rondo::run([&]() -> coro<> {
    std::vector<rondo::task<int>> tasks;
    for (int i = 1; i <= 1000; ++i) {
      tasks.push_back(rondo::create_task([&sum, i]() -> coro<int> {
        const auto add = [&sum](int number) {
          sum += number;
          return number;
        };
        const int result = co_await rondo::to_thread(add, i);
        co_return result;
      }));
    }
    for (const auto& each : tasks) {
      const int result = co_await each;
      returned += result;
    }
  });
  CHECK(sum == 500'500);
  CHECK(returned == 500'500);
}

TEST_CASE("a loop needs little stack to use threads", "[fault-N6]") {
  if (sanitized) return;  // their frames are larger
  ::pthread_attr_t attributes;
  REQUIRE(::pthread_attr_init(&attributes) == 0);
  REQUIRE(::pthread_attr_setstacksize(&attributes, 64 * 1024) == 0);
  int result = 0;
  ::pthread_t thread = {};
  const auto main = [](void* where) -> void* {
    *static_cast<int*>(where) = rondo::run([]() -> coro<int> {
      int sum = 0;
      for (int i = 0; i < 100; ++i) {
        const auto one = [] { return 1; };
        const int got = co_await rondo::to_thread(one);
        sum += got;
      }
      co_return sum;
    });
    return nullptr;
  };
  REQUIRE(::pthread_create(&thread, &attributes, main, &result) == 0);
  ::pthread_join(thread, nullptr);
  ::pthread_attr_destroy(&attributes);
  CHECK(result == 100);
}

TEST_CASE("many loops share one pool", "[thread-pool]") {
  constexpr int loops = 8;
  constexpr int calls = sanitized ? 100 : 500;
  thread_pool_executor pool(4);
  std::array<std::int64_t, loops> sums = {};
  std::vector<std::thread> threads;
  for (int which = 0; which < loops; ++which) {
    threads.emplace_back([&pool, &sums, which] {
      rondo::run([&pool, &sums, which]() -> coro<> {
        rondo::event_loop& loop = rondo::get_running_loop();
        std::vector<future<int>> results;
        for (int i = 0; i < calls; ++i) {
          results.push_back(loop.run_in_executor(&pool, [i] { return i; }));
          if (i % 7 == 0) results.back().cancel();
        }
        for (const auto& each : results) {
          if (each.cancelled()) continue;
          const int result = co_await each;
          sums[static_cast<std::size_t>(which)] += result;
        }
      });
    });
  }
  for (std::thread& each : threads) each.join();
  std::int64_t expected = 0;
  for (int i = 0; i < calls; ++i) expected += i % 7 == 0 ? 0 : i;
  for (const std::int64_t each : sums) CHECK(each == expected);
}

TEST_CASE("loops close while their calls run", "[rule-020][fault-E5][fault-N4]") {
  constexpr int rounds = sanitized ? 100 : 500;
  std::atomic<int> ran = 0;
  std::atomic<int> alive = 0;
  struct counted {
    explicit counted(std::atomic<int>& where) : in(&where) { ++*in; }
    counted(const counted& other) : in(other.in) { ++*in; }
    counted(counted&& other) noexcept : in(other.in) { ++*in; }
    counted& operator=(const counted&) = delete;
    ~counted() { --*in; }
    std::atomic<int>* in;
  };
  {
    thread_pool_executor pool(4);
    for (int round = 0; round < rounds; ++round) {
      rondo::selector_event_loop loop;
      for (int i = 0; i < 8; ++i) {
        const auto result = loop.run_in_executor(&pool, [&, keep = counted(alive)] {
          ++ran;
          return counted(keep);
        });
        if (i == round % 8) result.cancel();
      }
      if (round % 3 == 0) loop.run_once();
      loop.close();
    }
  }
  CHECK(alive == 0);
  CHECK(ran >= rounds * 7);
  CHECK(ran <= rounds * 8);
}

TEST_CASE("a job calls back into a loop that closes", "[fault-N4][fault-E5]") {
  constexpr int rounds = sanitized ? 20 : 50;
  thread_pool_executor pool(2);
  std::atomic<int> accepted = 0;
  std::atomic<int> refused = 0;
  for (int round = 0; round < rounds; ++round) {
    rondo::selector_event_loop loop;
    gate begun;
    std::atomic<bool> stop = false;
    std::atomic<int> callers = 2;
    for (int i = 0; i < 2; ++i) {
      loop.run_in_executor(&pool, [&] {
        begun.pass();
        for (int calls = 1; !stop; ++calls) {
          if (calls % 64 == 0) std::this_thread::yield();  // or the queue grows without end
          try {
            loop.call_soon_threadsafe([] {});
            ++accepted;
          } catch (const rondo::loop_closed_error&) {
            ++refused;
            break;
          }
        }
        --callers;
      });
    }
    begun.wait_for(2);
    begun.open();
    loop.run_once();
    loop.close();
    // A loop is destroyed only after its callers have stopped.
    while (callers != 0) std::this_thread::yield();
    stop = true;
  }
  CHECK(refused == 2 * rounds);
}

TEST_CASE("calls are cancelled at every moment of their way", "[rule-062][fault-N1]") {
  constexpr int rounds = sanitized ? 300 : 3000;
  thread_pool_executor pool(2);
  rondo::selector_event_loop loop;
  std::atomic<int> ran = 0;
  int cancelled = 0;
  int finished = 0;
  for (int round = 0; round < rounds; ++round) {
    const future<int> result = loop.run_in_executor(&pool, [&] { return ++ran; });
    for (int i = 0; i < round % 5; ++i) loop.run_once();
    if (round % 2 == 0) std::this_thread::yield();
    if (result.cancel()) {
      ++cancelled;
    } else {
      ++finished;
    }
  }
  pool.shutdown();
  settle(loop);
  CHECK(cancelled + finished == rounds);
  CHECK(ran >= finished);
  CHECK(ran <= rounds);
  CHECK(loop.core().resources == nullptr);
  check_idle(loop);
  loop.close();
}

}  // namespace
