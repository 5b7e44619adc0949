// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Runs blocking functions in the default pool, in a thread pool and in
// a process pool. Python: run_in_executor.py
#include <rondo/rondo.hpp>

#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <stdexcept>

// File operations (such as logging) can block the event loop: run them in a thread pool.
static int blocking_io() {
  std::array<char, 100> bytes = {};
  std::ifstream file("/dev/zero", std::ios::binary);
  file.read(bytes.data(), bytes.size());
  return static_cast<int>(file.gcount());
}

// CPU-bound operations block it too: run them in threads, or in processes if they may crash.
static std::int64_t cpu_bound(::pid_t process) {
  std::int64_t total = 0;
  for (std::int64_t i = 0; i < 1'000'000; ++i) total += i * i;
  return total + (::getpid() == process ? 0 : 1);  // one more if it is another process
}

static void fails() { throw std::invalid_argument("no result"); }

static void dies() { ::_exit(3); }

static rondo::coro<> amain() {
  auto& loop = rondo::get_running_loop();

  // 1. In the loop's default executor:
  const int by_default = co_await loop.run_in_executor(nullptr, blocking_io);
  std::printf("default thread pool %d\n", by_default);

  // 2. In a thread pool of one's own:
  {
    rondo::thread_pool_executor pool;
    const int result = co_await loop.run_in_executor(&pool, blocking_io);
    std::printf("custom thread pool %d\n", result);
    try {
      co_await loop.run_in_executor(&pool, fails);
    } catch (const std::invalid_argument& error) {
      std::printf("error: %s\n", error.what());
    }
  }

  // 3. In a process pool of one's own:
  {
    rondo::process_pool_executor pool(1);
    const std::int64_t result = co_await loop.run_in_executor(&pool, cpu_bound, ::getpid());
    std::printf("custom process pool %lld\n", static_cast<long long>(result));
    try {
      co_await loop.run_in_executor(&pool, dies);
    } catch (const rondo::broken_process_pool&) {
      std::puts("a process died");
    }
  }

  const int in_thread = co_await rondo::to_thread(blocking_io);
  std::printf("in a thread %d\n", in_thread);
}

int main() { rondo::run(amain()); }
