// SPDX-License-Identifier: MIT
// rondo tests: nobody would await a coroutine that is a done callback. [rule-041]
// error: coroutines cannot be used as callbacks
#include <rondo/event_loop.hpp>

rondo::coro<> f() { co_return; }
void g(const rondo::future<>& awaited) { awaited.add_done_callback(f); }
