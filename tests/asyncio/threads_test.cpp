// SPDX-License-Identifier: MIT
// rondo tests: coroutines from other threads and asynchronous generators as on asyncio; the twins
// of programs/threads.py and programs/generators.py.
#include "asyncio/pairs.hpp"

using namespace asyncio_test;
using rondo::async_generator;
using rondo::run_coroutine_threadsafe;

namespace {

// ---- threads ----

coro<> run_from_a_thread(trace& out) {
  event_loop& runs = get_running_loop();
  create_task(ticks(out, 7));
  const auto result = run_coroutine_threadsafe(work(out, "body", 1, 5), runs);
  while (!result.done()) co_await yield_now();
  out(result.get());
}

coro<> cancelled_from_a_thread(trace& out) {
  event_loop& runs = get_running_loop();
  const auto result = run_coroutine_threadsafe(cleanup(out, "body", 2), runs);
  co_await turns(3);
  out(result.cancel());
  out(result.cancelled());
  co_await turns(6);
  out(rondo::all_tasks().size());
}

coro<> wrapped(trace& out) {
  event_loop& runs = get_running_loop();
  const int result =
      co_await rondo::wrap_future(run_coroutine_threadsafe(work(out, "a", 1, 5), runs));
  out(result);
  const std::string end =
      co_await ended(rondo::wrap_future(run_coroutine_threadsafe(fail(out, "b", 1), runs)));
  out(end);
  const auto remote = run_coroutine_threadsafe(cleanup(out, "c", 0), runs);
  const future<int> here = rondo::wrap_future(remote);
  co_await turns(3);
  here.cancel();
  co_await turns(1);
  out(remote.cancelled());
  co_await turns(5);
}

// ---- generators ----

async_generator<int> values(trace& out, std::string name) {
  out(name + "-begins");
  std::exception_ptr ended;
  try {
    for (int n = 0; n < 3; ++n) {
      co_await yield_now();
      co_yield n;
    }
  } catch (const rondo::generator_exit&) {
    out(name + "-exit");
    ended = std::current_exception();
  }
  out(name + "-ends");
  if (ended) std::rethrow_exception(ended);
}

std::string text_of(const std::optional<int>& value) {
  return value ? std::to_string(*value) : "none";
}

coro<> iterated(trace& out) {
  auto made = values(out, "g");
  out("made");
  while (const auto each = co_await made.next()) out(*each);
  out("end");
}

coro<> closed_early(trace& out) {
  auto made = values(out, "g");
  auto value = co_await made.next();
  out(text_of(value));
  co_await made.aclose();
  out("closed");
  value = co_await made.next();
  out(text_of(value));
  auto never = values(out, "never");
  co_await never.aclose();
  value = co_await never.next();
  out(text_of(value));
}

coro<> cancelled_inside(trace& out) {
  const auto waits = [&out]() -> async_generator<int> {
    try {
      co_await sleep(1000s);
    } catch (...) {
      out("inner");
      throw;
    }
    co_yield 1;
  };
  auto made = waits();
  const auto consume = [&]() -> coro<> { co_await made.next(); };
  const task<> consuming = create_task(consume());
  co_await turns(2);
  consuming.cancel("stop");
  const std::string end = co_await ended(consuming);
  out(end);
  const auto value = co_await made.next();
  out(text_of(value));
}

coro<> closed_by_the_loop(trace& out) {
  auto made = values(out, "g");
  auto value = co_await made.next();
  out(text_of(value));
  co_await get_running_loop().shutdown_asyncgens();
  out("shut-down");
  value = co_await made.next();
  out(text_of(value));
}

coro<> that_yields_when_closed(trace& out) {
  const auto stubborn = []() -> async_generator<int> {
    bool closed = false;
    try {
      co_yield 1;
    } catch (const rondo::generator_exit&) {
      closed = true;
    }
    if (closed) co_yield 2;
  };
  auto made = stubborn();
  const auto value = co_await made.next();
  out(text_of(value));
  const std::string end = co_await ended(made.aclose());
  out(end);
}

}  // namespace

TEST_CASE("threads: a coroutine from a thread", "[rule-027]") {
  CHECK(run(run_from_a_thread) == python("threads.run_from_a_thread"));
}
TEST_CASE("threads: cancelled from a thread", "[rule-027]") {
  CHECK(run(cancelled_from_a_thread) == python("threads.cancelled_from_a_thread"));
}
TEST_CASE("threads: awaited in a loop", "[rule-062]") {
  CHECK(run(wrapped) == python("threads.wrapped"));
}

TEST_CASE("generators: iterated", "[rule-264]") {
  CHECK(run(iterated) == python("generators.iterated"));
}
TEST_CASE("generators: closed early", "[rule-264]") {
  CHECK(run(closed_early) == python("generators.closed_early"));
}
TEST_CASE("generators: cancelled inside", "[rule-264]") {
  CHECK(run(cancelled_inside) == python("generators.cancelled_inside"));
}
TEST_CASE("generators: closed by the loop", "[rule-264]") {
  CHECK(run(closed_by_the_loop) == python("generators.closed_by_the_loop"));
}
TEST_CASE("generators: one that yields when it is closed", "[rule-264]") {
  CHECK(run(that_yields_when_closed) == python("generators.that_yields_when_closed"));
}
