// SPDX-License-Identifier: MIT
// rondo tests: a duration has a unit. [rule-085]
// error: deleted
#include <rondo/sleep.hpp>

rondo::coro<> f() { co_await rondo::sleep(5); }
