// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Handles SIGINT and SIGTERM in the loop.
// Python: signals.py
#include <rondo/rondo.hpp>

#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <set>
#include <string>

using namespace std::chrono_literals;

static rondo::coro<> run_example() {
  auto& loop = rondo::get_running_loop();
  std::set<std::string> left = {"SIGINT", "SIGTERM"};
  auto done = loop.create_future();
  const auto handle = [&left, done](const std::string& name) {
    std::printf("got signal %s\n", name.c_str());
    left.erase(name);
    if (left.empty()) done.set_result();
  };
  loop.add_signal_handler(SIGINT, handle, std::string("SIGINT"));
  loop.add_signal_handler(SIGTERM, handle, std::string("SIGTERM"));
  ::kill(::getpid(), SIGINT);
  co_await rondo::sleep(100ms);
  ::kill(::getpid(), SIGTERM);
  co_await done;
  std::puts("exit");
}

int main() { rondo::run(run_example()); }
