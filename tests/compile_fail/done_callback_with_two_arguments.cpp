// SPDX-License-Identifier: MIT
// rondo tests: a done callback is called as f(handle) or f(). [rule-052]
// error: a done callback is called as f(handle) or f()
#include <rondo/future.hpp>
#include <rondo/task.hpp>

void f(const rondo::future<int>& on) {
  on.add_done_callback([](int, int) {});
}
