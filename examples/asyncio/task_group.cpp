// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Two tasks in a group; then one that fails and takes the other with
// it. Python: task_group.py
#include <rondo/rondo.hpp>

#include <chrono>
#include <cstddef>
#include <cstdio>
#include <exception>
#include <optional>
#include <stdexcept>
#include <string>

using namespace std::chrono_literals;

static rondo::coro<std::size_t> say_after(rondo::interval delay, std::string what) {
  try {
    co_await rondo::sleep(delay);
  } catch (const rondo::cancelled_error&) {
    std::printf("%s is cancelled\n", what.c_str());
    throw;
  }
  std::puts(what.c_str());
  co_return what.size();
}

static rondo::coro<> fail_after(rondo::interval delay, std::string why) {
  co_await rondo::sleep(delay);
  throw std::runtime_error(why);
}

static rondo::coro<> amain() {
  std::optional<rondo::task<std::size_t>> task1;
  std::optional<rondo::task<std::size_t>> task2;
  const auto two = [&](const rondo::task_group& tg) -> rondo::coro<> {
    task1 = tg.create_task(say_after(100ms, "hello"));
    task2 = tg.create_task(say_after(200ms, "world"));
    std::puts("started");
    co_return;
  };
  // The children are awaited when the body has ended.
  co_await rondo::with_task_group(two);
  std::printf("finished %zu %zu\n", task1->result(), task2->result());

  const auto fails = [](const rondo::task_group& tg) -> rondo::coro<> {
    tg.create_task(say_after(1h, "never"));
    tg.create_task(fail_after(100ms, "no luck"));
    co_return;
  };
  try {
    co_await rondo::with_task_group(fails);
  } catch (const rondo::exception_group& group) {
    for (const std::exception_ptr& each : group.exceptions()) {
      try {
        std::rethrow_exception(each);
      } catch (const std::exception& error) {
        std::printf("failed: %s\n", error.what());
      }
    }
  }
}

int main() { rondo::run(amain()); }
