// SPDX-License-Identifier: MIT
// rondo tests: dropping a coroutine is a warning, and an error in our own code. [fault-D6]
// error: nodiscard
#pragma GCC diagnostic error "-Wunused-result"
#include <rondo/task.hpp>

rondo::coro<> f() { co_return; }
void g() { f(); }
