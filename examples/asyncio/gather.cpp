// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Three factorials at once, with gather. Python: gather.py
#include <rondo/rondo.hpp>

#include <chrono>
#include <cstdio>
#include <string>

using namespace std::chrono_literals;

static rondo::coro<int> factorial(std::string name, int number) {
  int f = 1;
  for (int i = 2; i <= number; ++i) {
    std::printf("Task %s: Compute factorial(%d), currently i=%d...\n", name.c_str(), number, i);
    co_await rondo::sleep(100ms);
    f *= i;
  }
  std::printf("Task %s: factorial(%d) = %d\n", name.c_str(), number, f);
  co_return f;
}

static rondo::coro<> amain() {
  // Schedule three calls *concurrently*:
  const auto [a, b, c] =
      co_await rondo::gather(factorial("A", 2), factorial("B", 3), factorial("C", 4));
  std::printf("[%d, %d, %d]\n", a, b, c);
}

int main() { rondo::run(amain()); }
