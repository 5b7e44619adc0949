// SPDX-License-Identifier: MIT
// rondo tests: the same done right. [rule-041]
#include <rondo/event_loop.hpp>

rondo::coro<> f() { co_return; }
void g(rondo::event_loop& loop) {
  loop.call_soon([] {});
  loop.call_soon([&loop] { loop.create_task(f()); });
}
