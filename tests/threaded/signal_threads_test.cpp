// SPDX-License-Identifier: MIT
// rondo tests: signals that arrive in other threads, and very many of them (faults E9, E10).
#include "support/catch.hpp"
#include "support/oracle.hpp"

#include <rondo/rondo.hpp>

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

using namespace std::chrono_literals;
using rondo_test::oracle;

TEST_CASE("a signal that another thread gets runs in the loop", "[rule-247][fault-E10]") {
  const oracle unchanged(oracle::scope::threads);
  const auto loop = rondo::new_event_loop();
  std::thread::id where;
  loop->add_signal_handler(SIGUSR1, [&] {
    where = std::this_thread::get_id();
    loop->stop();
  });
  for (int round = 0; round < 100; ++round) {
    std::thread other([] { ::pthread_kill(::pthread_self(), SIGUSR1); });
    loop->run_forever();
    other.join();
    CHECK(where == std::this_thread::get_id());
  }
}

TEST_CASE("loops in several threads each handle a signal of their own", "[rule-248]") {
  const oracle unchanged(oracle::scope::threads);
  std::vector<std::thread> threads;
  std::atomic<int> handled = 0;
  // No thread ends before the others have seen their signals: the kernel may pick any of them to
  // run a handler, and the thread sanitizer, which puts handlers off, forgets those of a thread
  // that ends.
  std::mutex guard;
  std::condition_variable all_done;
  int running = 4;
  for (const int number : {SIGUSR1, SIGUSR2, SIGHUP, SIGWINCH}) {
    threads.emplace_back([&, number] {
      const auto loop = rondo::new_event_loop();
      for (int round = 0; round < 50; ++round) {
        loop->add_signal_handler(number, [&] {
          handled.fetch_add(1);
          loop->stop();
        });
        ::kill(::getpid(), number);
        loop->run_forever();
        loop->remove_signal_handler(number);
      }
      std::unique_lock lock(guard);
      if (--running == 0) all_done.notify_all();
      all_done.wait(lock, [&] { return running == 0; });
    });
  }
  for (auto& each : threads) each.join();
  CHECK(handled == 4 * 50);
}

TEST_CASE("a storm of a million signals", "[fault-E9]") {
  const oracle unchanged(oracle::scope::threads);
  const auto loop = rondo::new_event_loop();
  const int total = rondo_test::sanitized ? 200'000 : 1'000'000;
  std::uint64_t calls = 0;
  bool last_seen = false;
  std::atomic<bool> last_sent = false;
  loop->add_signal_handler(SIGUSR1, [&] {
    ++calls;
    if (last_sent.load()) {
      last_seen = true;
      loop->stop();
    }
  });
  std::thread storm([&] {
    const ::pid_t self = ::getpid();
    for (int i = 0; i < total - 1; ++i) ::kill(self, SIGUSR1);
    last_sent = true;
    ::kill(self, SIGUSR1);
  });
  loop->run_forever();
  storm.join();
  CHECK(calls >= 1);
  CHECK(last_seen);
}

TEST_CASE("every signal that can be handled, in a storm", "[fault-E9]") {
  const oracle unchanged(oracle::scope::threads);
  const auto loop = rondo::new_event_loop();
  std::array<int, 65> calls{};
  std::vector<int> numbers;
  for (int number = 1; number <= 64; ++number) {
    // Those of the processor are raised too, which is legal; the profiler's and the sanitizers' are
    // left alone.
    if (number == SIGKILL || number == SIGSTOP || number == 32 || number == 33 || number == SIGPROF)
      continue;
    // The thread sanitizer runs handlers of these at once, even while it holds a lock of its own
    // that the handler's atomics need: it hangs itself. The other builds raise them.
    const bool of_processor = number == SIGSEGV || number == SIGBUS || number == SIGILL ||
                              number == SIGTRAP || number == SIGABRT || number == SIGFPE ||
                              number == SIGPIPE || number == SIGSYS;
    if (rondo_test::thread_sanitized && of_processor) continue;
    numbers.push_back(number);
    loop->add_signal_handler(number,
                             [&calls, number] { ++calls[static_cast<std::size_t>(number)]; });
  }
  std::atomic<bool> done = false;
  std::thread storm([&] {
    for (int round = 0; round < 50; ++round) {
      for (const int number : numbers) ::kill(::getpid(), number);
    }
    done = true;
    loop->call_soon_threadsafe([&] { loop->stop(); });
  });
  loop->run_forever();
  storm.join();
  // Whatever is still on its way to a thread.
  for (int i = 0; i < 3; ++i) loop->run_once();
  for (const int number : numbers) {
    INFO(number);
    CHECK(calls[static_cast<std::size_t>(number)] >= 1);
  }
  for (const int number : numbers) CHECK(loop->remove_signal_handler(number));
}

TEST_CASE("handlers come and go while signals arrive", "[rule-249][fault-E9]") {
  const oracle unchanged(oracle::scope::threads);
  // The disposition between two handlers must not end the program.
  ::signal(SIGUSR2, SIG_IGN);
  std::atomic<bool> done = false;
  std::thread storm([&] {
    while (!done.load()) ::kill(::getpid(), SIGUSR2);
  });
  std::uint64_t calls = 0;
  const int rounds = rondo_test::sanitized ? 300 : 2'000;
  {
    auto loop = rondo::new_event_loop();
    for (int round = 0; round < rounds; ++round) {
      loop->add_signal_handler(SIGUSR2, [&] { ++calls; });
      if (round % 3 == 0) loop->run_once();
      if (round % 7 == 0) {
        loop->close();
        loop = rondo::new_event_loop();
      } else {
        CHECK(loop->remove_signal_handler(SIGUSR2));
      }
    }
  }
  done = true;
  storm.join();
  ::signal(SIGUSR2, SIG_DFL);
}
