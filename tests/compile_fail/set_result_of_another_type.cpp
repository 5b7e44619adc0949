// SPDX-License-Identifier: MIT
// rondo tests: a future takes what its result can be made of.
// error: set_result
#include <rondo/future.hpp>
#include <rondo/task.hpp>

#include <string>

void f(const rondo::future<int>& on) { on.set_result(std::string("text")); }
