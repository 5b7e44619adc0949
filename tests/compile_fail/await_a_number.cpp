// SPDX-License-Identifier: MIT
// rondo tests: what is no awaitable says so.
// error: co_await needs an awaitable
#include <rondo/task.hpp>

rondo::coro<> f() { co_await 5; }
