// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Reads a line from a subprocess and waits for its end.
// Python: get_date.py
#include <rondo/rondo.hpp>

#include <fmt/core.h>

#include <string>

static rondo::coro<std::string> get_date() {
  const char* const code = "import datetime; print(datetime.datetime.now())";
  auto proc = co_await rondo::create_subprocess_exec({.out = rondo::subprocess::pipe}, "python3",
                                                     "-c", code);
  std::string line = co_await proc.stdout_reader()->readline();
  line.erase(line.find_last_not_of('\n') + 1);
  co_await proc.wait();
  co_return line;
}

int main() { fmt::print("Current date: {}\n", rondo::run(get_date())); }
