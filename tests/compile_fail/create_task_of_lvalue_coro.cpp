// SPDX-License-Identifier: MIT
// rondo tests: a coro becomes a task once.
// error: deleted
#include <rondo/task.hpp>

rondo::coro<int> f() { co_return 1; }
void g() {
  rondo::coro<int> c = f();
  rondo::create_task(c);
}
