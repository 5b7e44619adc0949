// SPDX-License-Identifier: MIT
// rondo tests: a duration has a unit, also a fractional one.
// error: sleep
#include <rondo/sleep.hpp>

rondo::coro<> f() { co_await rondo::sleep(0.5); }
