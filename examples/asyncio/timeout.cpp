// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Gives up on what takes too long: wait_for, and a timeout that is
// moved while it runs. Python: timeout.py
#include <rondo/rondo.hpp>

#include <chrono>
#include <cstdio>
#include <optional>

using namespace std::chrono_literals;

static rondo::coro<> eternity() {
  try {
    // Sleep for one hour
    co_await rondo::sleep(1h);
    std::puts("yay!");
  } catch (const rondo::cancelled_error&) {
    std::puts("eternity is cancelled");
    throw;
  }
}

static void tell(const rondo::timeout& cm) {
  std::puts(cm.expired() ? "Looks like we haven't finished on time." : "in time");
}

static rondo::coro<> amain() {
  // Wait for at most 0.1 seconds
  try {
    co_await rondo::wait_for(eternity(), 100ms);
  } catch (const rondo::timeout_error&) {
    std::puts("timeout!");
  }

  // We do not know the timeout when starting, so we pass nullopt.
  const rondo::timeout cm(std::nullopt);
  const auto moves_it = [](const rondo::timeout& mine) -> rondo::coro<> {
    // We know the timeout now, so we reschedule it.
    mine.reschedule(rondo::get_running_loop().time() + 100ms);
    co_await eternity();
  };
  try {
    co_await rondo::with_timeout(cm, moves_it);
  } catch (const rondo::timeout_error&) {
  }
  tell(cm);

  const rondo::timeout hour(1h);
  const auto yields = [](const rondo::timeout&) -> rondo::coro<> { co_await rondo::sleep(0s); };
  co_await rondo::with_timeout(hour, yields);
  tell(hour);
}

int main() { rondo::run(amain()); }
