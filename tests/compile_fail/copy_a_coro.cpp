// SPDX-License-Identifier: MIT
// rondo tests: a coro cannot be copied.
// error: deleted
#include <rondo/coro.hpp>
#include <rondo/task.hpp>

rondo::coro<int> f() { co_return 1; }
void g() {
  rondo::coro<int> a = f();
  rondo::coro<int> b = a;
}
