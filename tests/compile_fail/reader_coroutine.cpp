// SPDX-License-Identifier: MIT
// rondo tests: nor one that is a reader. [rule-041]
// error: coroutines cannot be used as callbacks
#include <rondo/event_loop.hpp>

rondo::coro<> f() { co_return; }
void g(rondo::event_loop& loop) { loop.add_reader(0, f); }
