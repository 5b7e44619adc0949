// SPDX-License-Identifier: MIT
// rondo tests: chains and loops of a million awaits, in the stack of a thread.
#include "coro/support.hpp"

#include <pthread.h>

#include <cstdlib>
#include <deque>

using namespace coro_test;

namespace {

constexpr int million = 1'000'000;

coro<int> chain(int depth, bool yields_at_end, bool throws_at_end) {
  if (depth == 0) {
    if (yields_at_end) co_await yield_now();
    if (throws_at_end) throw std::runtime_error("bottom");
    co_return 0;
  }
  const int below = co_await chain(depth - 1, yields_at_end, throws_at_end);
  co_return below + 1;
}

coro<int> wait_at_bottom(int depth, future<> on) {
  if (depth == 0) {
    co_await on;
    co_return 0;
  }
  const int below = co_await wait_at_bottom(depth - 1, on);
  co_return below + 1;
}

coro<int> finishing_loop(int times) {
  int sum = 0;
  for (int i = 0; i < times; ++i) {
    const int one = co_await value(1);
    sum += one;
  }
  co_return sum;
}

coro<int> hold(coro<int> inner) {
  const int got = co_await std::move(inner);
  co_return got + 1;
}

// Each level has a handler, as cleanup code has.
coro<int> catches(int depth) {
  int below = 0;
  try {
    if (depth == 0) throw std::runtime_error("bottom");
    below = co_await catches(depth - 1);
  } catch (const std::runtime_error&) {
    if (depth % 1000 != 500) throw;
  }
  co_return below + 1;
}

void run_deep(int depth) {
  manual_loop loop;
  CHECK(loop.run(chain(depth, false, false)) == depth);
  CHECK(loop.run(chain(depth, true, false)) == depth);
}

void throw_deep(int depth) {
  manual_loop loop;
  CHECK_THROWS_WITH(loop.run(chain(depth, false, true)), "bottom");
  CHECK_THROWS_WITH(loop.run(chain(depth, true, true)), "bottom");
}

void cancel_deep(int depth) {
  manual_loop loop;
  const task<int> t = loop.create_task(wait_at_bottom(depth, loop.create_future()));
  loop.settle();
  CHECK(t.cancel());
  loop.settle();
  CHECK(t.cancelled());
}

void destroy_deep(int depth) {
  captured_log log;
  {
    manual_loop loop;
    loop.set_exception_handler({});
    loop.create_task(wait_at_bottom(depth, loop.create_future()));
    loop.settle();
  }
  CHECK(log.count("destroyed but it is pending") == 1);
}

void drop_nested(int depth) {
  captured_log log;
  {
    coro<int> nest = value(0);
    for (int i = 0; i < depth; ++i) nest = hold(std::move(nest));
  }
  CHECK(log.count("never awaited") == 1);
  manual_loop loop;
  coro<int> nest = value(0);
  for (int i = 0; i < depth; ++i) nest = hold(std::move(nest));
  CHECK(loop.run(std::move(nest)) == depth);
}

void everything(int depth) {
  run_deep(depth);
  throw_deep(depth / 10);
  cancel_deep(depth / 10);
  destroy_deep(depth);
  drop_nested(depth);
}

}  // namespace

TEST_CASE("a chain of a million awaits returns", "[fault-D8]") {
  const balanced guard;
  run_deep(million);
}

TEST_CASE("an exception goes through a chain of a million awaits", "[fault-D8]") {
  const balanced guard;
  throw_deep(million);
}

TEST_CASE("a chain of handlers catches and rethrows", "[fault-D8]") {
  const balanced guard;
  manual_loop loop;
  CHECK(loop.run(catches(100'000)) == 99'501);
}

TEST_CASE("a chain of a million awaits is cancelled", "[fault-D8]") {
  const balanced guard;
  cancel_deep(million);
}

TEST_CASE("a chain of a million awaits is destroyed", "[fault-D8]") {
  const balanced guard;
  destroy_deep(million);
}

TEST_CASE("a million nested coroutines that never ran are dropped, or run", "[fault-D8]") {
  const balanced guard;
  drop_nested(million);
}

TEST_CASE("a loop of a million awaits uses no stack", "[fault-D8]") {
  const balanced guard;
  manual_loop loop;
  CHECK(loop.run(finishing_loop(million)) == million);
  const auto yielding = []() -> coro<int> {
    for (int i = 0; i < million; ++i) co_await yield_now();
    co_return 1;
  };
  CHECK(loop.run(yielding()) == 1);
  const auto done_futures = [&]() -> coro<int> {
    int sum = 0;
    const future<int> done = loop.create_future<int>();
    done.set_result(1);
    for (int i = 0; i < million; ++i) sum += co_await done;
    co_return sum;
  };
  CHECK(loop.run(done_futures()) == million);
}

TEST_CASE("a loop of many failing awaits uses no stack", "[fault-D8]") {
  const balanced guard;
  manual_loop loop;
  const auto body = []() -> coro<int> {
    int caught = 0;
    for (int i = 0; i < 100'000; ++i) {
      try {
        co_await fail("again");
      } catch (const std::runtime_error&) {
        ++caught;
      }
    }
    co_return caught;
  };
  CHECK(loop.run(body()) == 100'000);
}

TEST_CASE("a million tasks that await each other return, are cancelled and destroyed",
          "[fault-D8][fault-D13]") {
  const balanced guard;
  captured_log log;
  const auto member = [](task<int> inner) -> coro<int> {
    const int below = co_await inner;
    co_return below + 1;
  };
  const auto bottom = [](future<> on) -> coro<int> {
    co_await on;
    co_return 0;
  };
  for (const int how : {0, 1, 2}) {
    manual_loop loop;
    loop.set_exception_handler([](rondo::event_loop&, const rondo::exception_context&) {});
    const future<> on = loop.create_future();
    task<int> top = loop.create_task(bottom(on));
    for (int i = 0; i < million; ++i) top = loop.create_task(member(std::move(top)));
    loop.settle();
    CHECK(loop.metrics().tasks == million + 1);
    if (how == 0) {
      on.set_result();
      loop.settle();
      CHECK(top.result() == million);
    } else if (how == 1) {
      CHECK(top.cancel());
      CHECK(on.cancelled());
      CHECK(top.cancelling() == 1);
      loop.settle();
      CHECK(top.cancelled());
    }
  }
}

TEST_CASE("a million tasks that yield take linear time", "[fault-D9]") {
  const balanced guard;
  manual_loop loop;
  int ended = 0;
  const auto member = [&]() -> coro<> {
    co_await yield_now();
    co_await yield_now();
    ++ended;
  };
  for (int i = 0; i < million; ++i) loop.create_task(member());
  loop.settle();
  CHECK(ended == million);
  CHECK(loop.metrics().iterations == 3);
}

TEST_CASE("deep chains in a thread with a stack of 64 KiB", "[fault-D8]") {
  // Checks of Catch2 need more than that: the thread only counts.
  struct shared {
    int wrong = 0;
    std::ptrdiff_t frames = 0;
  } state;
  const auto entry = [](void* argument) -> void* {
    auto& result = *static_cast<shared*>(argument);
    const std::ptrdiff_t before = rondo::detail::live_frames();
    {
      rondo::selector_event_loop loop;
      if (loop.run_until_complete(chain(million, false, false)) != million) ++result.wrong;
      if (loop.run_until_complete(chain(million, true, false)) != million) ++result.wrong;
      if (loop.run_until_complete(finishing_loop(million)) != million) ++result.wrong;
      try {
        loop.run_until_complete(chain(million / 10, false, true));
        ++result.wrong;
      } catch (const std::runtime_error&) {
      }
      const task<int> t = loop.create_task(wait_at_bottom(million / 10, loop.create_future()));
      while (!loop.core().ready.empty()) loop.run_once();
      t.cancel();
      while (!loop.core().ready.empty()) loop.run_once();
      if (!t.cancelled()) ++result.wrong;
      loop.set_exception_handler([](rondo::event_loop&, const rondo::exception_context&) {});
      loop.create_task(wait_at_bottom(million, loop.create_future()));
      while (!loop.core().ready.empty()) loop.run_once();
    }
    result.frames = rondo::detail::live_frames() - before;
    return nullptr;
  };
  constexpr std::size_t stack_size = 64 * 1024;
  void* stack = nullptr;
  REQUIRE(::posix_memalign(&stack, 4096, stack_size) == 0);
  pthread_attr_t attributes;
  pthread_t thread;
  REQUIRE(::pthread_attr_init(&attributes) == 0);
  REQUIRE(::pthread_attr_setstack(&attributes, stack, stack_size) == 0);
  REQUIRE(::pthread_create(&thread, &attributes, entry, &state) == 0);
  REQUIRE(::pthread_join(thread, nullptr) == 0);
  ::pthread_attr_destroy(&attributes);
  std::free(stack);
  CHECK(state.wrong == 0);
  CHECK(state.frames == 0);
}

TEST_CASE("deep chains below an eager start and inside a callback", "[fault-D8]") {
  const balanced guard;
  manual_loop loop;
  const auto body = [&]() -> coro<int> {
    const task<int> eager = create_task(chain(million, false, false), {.eager_start = true});
    CHECK(eager.done());
    co_return co_await eager;
  };
  CHECK(loop.run(body()) == million);
  everything(1000);
}
