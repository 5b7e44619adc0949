// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  A loop that is run by hand, and an asynchronous generator that is
// closed in the cleanup. Python: shutdown_asyncgens.py
#include <rondo/rondo.hpp>

#include <chrono>
#include <cstdio>

using namespace std::chrono_literals;

static rondo::async_generator<int> ticker(int to) {
  // C++ has no await in cleanup code: what must always run stands behind the catch.
  bool closed = false;
  try {
    for (int i = 0; i < to; ++i) {
      co_yield i;
      co_await rondo::sleep(50ms);
    }
  } catch (const rondo::generator_exit&) {
    closed = true;
  }
  co_await rondo::sleep(0s);
  std::puts("the ticker cleans up");
  if (closed) throw rondo::generator_exit();
}

static rondo::coro<> amain(rondo::async_generator<int>& ticks) {
  while (const auto i = co_await ticks.next()) {
    std::printf("tick %d\n", *i);
    if (*i == 2) break;  // the generator stays suspended
  }
}

int main() {
  const auto loop = rondo::new_event_loop();
  auto ticks = ticker(10);
  loop->run_until_complete(amain(ticks));
  std::puts("main is done");
  loop->run_until_complete(loop->shutdown_asyncgens());
  loop->close();
  std::puts("closed");
}
