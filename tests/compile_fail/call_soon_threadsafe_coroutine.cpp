// SPDX-License-Identifier: MIT
// rondo tests: nor one that another thread schedules. [rule-041]
// error: coroutines cannot be used as callbacks
#include <rondo/event_loop.hpp>

rondo::coro<> f() { co_return; }
void g(rondo::event_loop& loop) { loop.call_soon_threadsafe(f); }
