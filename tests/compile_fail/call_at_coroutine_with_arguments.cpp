// SPDX-License-Identifier: MIT
// rondo tests: nor one with arguments. [rule-041]
// error: coroutines cannot be used as callbacks
#include <rondo/event_loop.hpp>

rondo::coro<> f(int) { co_return; }
void g(rondo::event_loop& loop) { loop.call_at(loop.time(), f, 1); }
