// SPDX-License-Identifier: MIT
// rondo tests: a coroutine that is dropped is a warning, which our own code treats as an error.
// [fault-D6] error: nodiscard
#pragma GCC diagnostic error "-Wunused-result"
#include <rondo/task.hpp>

rondo::coro<> f() { co_return; }
void g() { f(); }
