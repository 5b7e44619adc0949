// SPDX-License-Identifier: MIT
// rondo tests: the same done right.
#include <rondo/sleep.hpp>

#include <chrono>

rondo::coro<> f() {
  co_await rondo::sleep(std::chrono::seconds(5));
  co_await rondo::sleep(std::chrono::duration<double>(0.5));
}
