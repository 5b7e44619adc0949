// SPDX-License-Identifier: MIT
// The programs of docs/subprocesses.md.
#include <rondo/rondo.hpp>

#include <chrono>
#include <cstdio>

using namespace std::chrono_literals;

namespace subprocess = rondo::subprocess;

namespace {

rondo::coro<> sorts_lines() {
  const rondo::process sort = co_await rondo::create_subprocess_exec(
      {.in = subprocess::pipe, .out = subprocess::pipe}, "sort");
  const auto [out, err] = co_await sort.communicate("b\na\n");
  std::printf("%s", out.c_str());
}

rondo::coro<> reads_as_it_goes() {
  const rondo::process ping =
      co_await rondo::create_subprocess_exec({.out = subprocess::pipe}, "seq", "3");
  while (auto line = co_await ping.stdout_reader()->next_line()) std::printf("> %s", line->c_str());
  const int code = co_await ping.wait();
  std::printf("ended with %d\n", code);
}

rondo::coro<> ends_in_time(rondo::process child) {
  bool ended = true;
  try {
    co_await rondo::wait_for(child.wait(), 5s);
  } catch (const rondo::timeout_error&) {
    ended = false;
  }
  if (ended) co_return;
  child.terminate();
  try {
    co_await rondo::wait_for(child.wait(), 1s);
  } catch (const rondo::timeout_error&) {
    child.kill();
  }
  co_await child.wait();
}

rondo::coro<> amain() {
  co_await sorts_lines();
  co_await reads_as_it_goes();
  const rondo::process child = co_await rondo::create_subprocess_exec("true");
  co_await ends_in_time(child);
}

}  // namespace

int main() { rondo::run(amain()); }
