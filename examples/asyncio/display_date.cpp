// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Prints the time of day again and again until a deadline, with
// call_later. Python: display_date.py
#include <rondo/rondo.hpp>

#include <chrono>
#include <cstdio>
#include <ctime>

using namespace std::chrono_literals;

static void display_date(rondo::time_point end_time, rondo::event_loop* loop) {
  char text[16] = {};
  const std::time_t now = std::time(nullptr);
  std::strftime(text, sizeof text, "%H:%M:%S", std::localtime(&now));
  std::puts(text);
  if (loop->time() + 200ms < end_time) {
    loop->call_later(200ms, display_date, end_time, loop);
  } else {
    loop->stop();
  }
}

int main() {
  const auto loop = rondo::new_event_loop();
  loop->call_soon(display_date, loop->time() + 900ms, loop.get());
  loop->run_forever();
  loop->close();
}
