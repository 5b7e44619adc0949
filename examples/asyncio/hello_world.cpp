// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Prints a greeting from a callback, which then stops the loop.
// Python: hello_world.py
#include <rondo/rondo.hpp>

#include <cstdio>

static void hello_world(rondo::event_loop* loop) {
  std::puts("Hello World");
  loop->stop();
}

int main() {
  const auto loop = rondo::new_event_loop();
  loop->call_soon(hello_world, loop.get());
  loop->run_forever();
  loop->close();
}
