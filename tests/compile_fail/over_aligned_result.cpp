// SPDX-License-Identifier: MIT
// rondo tests: coroutine frames cannot hold what is aligned to more than 16 bytes.
// error: aligned to more than 16 bytes
#include <rondo/task.hpp>

// lint: allow(over-aligned)
struct alignas(64) wide {
  char bytes[64];
};
rondo::coro<wide> f() { co_return wide(); }
