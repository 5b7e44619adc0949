// SPDX-License-Identifier: MIT
// rondo tests: a coro is awaited once, so an lvalue is refused.
// error: await_transform
#include <rondo/coro.hpp>
#include <rondo/task.hpp>

rondo::coro<int> f() { co_return 1; }
rondo::coro<int> g() {
  rondo::coro<int> c = f();
  co_return co_await c;
}
