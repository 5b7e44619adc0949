// SPDX-License-Identifier: MIT
// rondo tests: wait_for forwards what it awaits.
// error: a coro is awaited once
#include <rondo/timeouts.hpp>

#include <chrono>

rondo::coro<int> f() { co_return 1; }
rondo::coro<int> g() {
  rondo::coro<int> c = f();
  co_return co_await rondo::wait_for(c, std::chrono::seconds(1));
}
