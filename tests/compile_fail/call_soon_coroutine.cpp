// SPDX-License-Identifier: MIT
// rondo tests: nobody would await a coroutine that is a callback. [rule-041]
// error: coroutines cannot be used as callbacks
#include <rondo/event_loop.hpp>

rondo::coro<> f() { co_return; }
void g(rondo::event_loop& loop) { loop.call_soon(f); }
