// SPDX-License-Identifier: MIT
// rondo tests: a future can.
#include <rondo/future.hpp>
#include <rondo/task.hpp>

// lint: allow(over-aligned)
struct alignas(64) wide {
  char bytes[64];
};
void f(const rondo::future<wide>& on) { on.set_result(wide()); }
