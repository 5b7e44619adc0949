// SPDX-License-Identifier: MIT
// rondo tests: the same done right.
#include <rondo/coro.hpp>
#include <rondo/task.hpp>

rondo::coro<int> f() { co_return 1; }
rondo::coro<int> g() {
  rondo::coro<int> c = f();
  co_return co_await std::move(c);
}
