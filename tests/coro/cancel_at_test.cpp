// SPDX-License-Identifier: MIT
// rondo tests: every awaitable of the core, interrupted at each of its suspension points.
#include "support/cancel_at.hpp"
#include "coro/support.hpp"

#include <rondo/threadsafe_promise.hpp>

#include <coroutine>
#include <functional>

using namespace coro_test;
using rondo::wait_for;
using rondo::with_timeout;
using rondo_test::interrupt_everywhere;
using rondo_test::scenario;

namespace {

/// What the loop resumes for a third party.
struct delayed {
  manual_loop* loop;
  [[nodiscard]] static bool await_ready() noexcept { return false; }
  void await_suspend(std::coroutine_handle<> handle) const {
    loop->call_later(1s, [handle] { handle.resume(); });
  }
  static void await_resume() noexcept {}
};

coro<int> nested(int depth) {
  if (depth == 0) {
    co_await rondo::sleep(1s);
    co_return 0;
  }
  const int below = co_await nested(depth - 1);
  co_await yield_now();
  co_return below + 1;
}

coro<> swallow() {
  for (int i = 0; i < 3; ++i) {
    try {
      co_await rondo::sleep(1s);
    } catch (const cancelled_error&) {
    }
  }
}

coro<> clean_up() {
  std::exception_ptr error;
  try {
    co_await rondo::sleep(2s);
  } catch (...) {
    error = std::current_exception();
  }
  co_await rondo::sleep(1s);
  co_await yield_now();
  if (error) std::rethrow_exception(error);
}

}  // namespace

TEST_CASE("sleeping and yielding, interrupted everywhere", "[fault-D1][fault-D2][fault-D16]") {
  interrupt_everywhere({"yield", [](manual_loop&) { return yields(3); }});
  interrupt_everywhere({"sleep(0)", [](manual_loop&) { return rondo::sleep(0s); }});
  interrupt_everywhere({"sleep", [](manual_loop&) -> coro<> {
                          co_await rondo::sleep(1s);
                          const std::string text = co_await rondo::sleep(1s, std::string("result"));
                          CHECK(text == "result");
                        }});
  interrupt_everywhere({"sleep_until", [](manual_loop& loop) -> coro<> {
                          co_await rondo::sleep_until(loop.time() + 1s);
                          co_await rondo::sleep_until(loop.time() - 1s);
                        }});
}

TEST_CASE("chains of coroutines, interrupted everywhere", "[fault-D1]") {
  interrupt_everywhere({"nested", [](manual_loop&) -> coro<> {
                          const int depth = co_await nested(5);
                          CHECK(depth == 5);
                        }});
  interrupt_everywhere({"cleanup that awaits", [](manual_loop&) { return clean_up(); }});
  interrupt_everywhere({"swallows", [](manual_loop&) { return swallow(); }, true});
  interrupt_everywhere({"arguments and locals", [](manual_loop&) -> coro<> {
                          const auto holds = [](std::unique_ptr<int> p,
                                                std::string s) -> coro<int> {
                            const std::vector<std::string> locals(3, s);
                            co_await yield_now();
                            co_return *p + static_cast<int>(locals.size());
                          };
                          auto owned = std::make_unique<int>(4);
                          const int got = co_await holds(std::move(owned), std::string(50, 'x'));
                          CHECK(got == 7);
                        }});
}

TEST_CASE("futures, interrupted everywhere", "[fault-D1][fault-D2]") {
  interrupt_everywhere({"future, set soon", [](manual_loop& loop) -> coro<> {
                          const future<int> f = loop.create_future<int>();
                          const auto set = [f] {
                            if (!f.done()) f.set_result(3);
                          };
                          loop.call_soon(set);
                          const int& got = co_await f;
                          CHECK(got == 3);
                        }});
  interrupt_everywhere({"future, set later, rvalue", [](manual_loop& loop) -> coro<> {
                          future<move_only> f = loop.create_future<move_only>();
                          const auto set = [f] {
                            if (!f.done()) f.set_result(move_only(3));
                          };
                          loop.call_later(1s, set);
                          const move_only got = co_await std::move(f);
                          CHECK(got.value == 3);
                        }});
  interrupt_everywhere({"future that fails", [](manual_loop& loop) -> coro<> {
                          const future<> f = loop.create_future();
                          const auto set = [f] {
                            if (!f.done()) f.set_exception(std::runtime_error("f"));
                          };
                          loop.call_soon(set);
                          try {
                            co_await f;
                          } catch (const std::runtime_error&) {
                          }
                        }});
  interrupt_everywhere({"any_future", [](manual_loop& loop) -> coro<> {
                          const future<int> f = loop.create_future<int>();
                          const auto set = [f] {
                            if (!f.done()) f.set_result(3);
                          };
                          loop.call_later(1s, set);
                          const any_future any = f;
                          co_await any;
                        }});
  interrupt_everywhere({"until done", [](manual_loop& loop) -> coro<> {
                          const future<int> f = loop.create_future<int>();
                          const auto set = [f] { f.set_result(3); };
                          loop.call_later(1s, set);
                          co_await end_of(f);
                        }});
}

TEST_CASE("tasks, interrupted everywhere", "[fault-D1][fault-D2]") {
  interrupt_everywhere({"task", [](manual_loop&) -> coro<> {
                          const task<int> t = create_task(nested(3));
                          const int got = co_await t;
                          CHECK(got == 3);
                        }});
  interrupt_everywhere({"task, rvalue", [](manual_loop&) -> coro<> {
                          const std::string got = co_await create_task(value(std::string("r")));
                          CHECK(got == "r");
                        }});
  interrupt_everywhere(
      {"task that cleans up", [](manual_loop&) -> coro<> { co_await create_task(clean_up()); }});
  interrupt_everywhere({"task that swallows",
                        [](manual_loop&) -> coro<> { co_await create_task(swallow()); }, true});
  interrupt_everywhere({"eager task", [](manual_loop&) -> coro<> {
                          co_await create_task(nested(2), {.eager_start = true});
                        }});
  interrupt_everywhere({"function kept alive", [](manual_loop&) -> coro<> {
                          const auto token = std::make_shared<int>(2);
                          const auto kept = [token]() -> coro<int> {
                            co_await rondo::sleep(1s);
                            co_return *token;
                          };
                          const int two = co_await create_task(kept);
                          CHECK(two == 2);
                        }});
  interrupt_everywhere({"chain of tasks",
                        [](manual_loop&) -> coro<> {
                          const std::function<coro<>(int)> link = [&](int n) -> coro<> {
                            if (n > 0) co_await create_task(link(n - 1));
                            co_await rondo::sleep(1s);
                          };
                          co_await link(4);
                        },
                        false, true});
}

TEST_CASE("timeouts, interrupted everywhere", "[fault-D1][fault-D2][fault-D4]") {
  interrupt_everywhere({"wait_for in time", [](manual_loop&) -> coro<> {
                          const int got = co_await wait_for(nested(2), 10s);
                          CHECK(got == 2);
                        }});
  interrupt_everywhere({"wait_for late", [](manual_loop&) -> coro<> {
                          try {
                            co_await wait_for(rondo::sleep(10s), 1s);
                            CHECK(false);
                          } catch (const timeout_error&) {
                          }
                        }});
  interrupt_everywhere({"wait_for on the tick", [](manual_loop&) -> coro<> {
                          try {
                            co_await wait_for(rondo::sleep(1s), 1s);
                          } catch (const timeout_error&) {
                          }
                        }});
  interrupt_everywhere({"wait_for a task", [](manual_loop&) -> coro<> {
                          co_await wait_for(create_task(nested(1)), 10s);
                        }});
  interrupt_everywhere({"wait_for a future", [](manual_loop& loop) -> coro<> {
                          const future<> f = loop.create_future();
                          try {
                            co_await wait_for(f, 1s);
                          } catch (const timeout_error&) {
                          }
                        }});
  interrupt_everywhere({"wait_for nothing", [](manual_loop&) -> coro<> {
                          try {
                            co_await wait_for(nested(1), 0s);
                          } catch (const timeout_error&) {
                          }
                        }});
  interrupt_everywhere({"wait_for nothing, cleanup",
                        [](manual_loop&) -> coro<> {
                          const task<> t = create_task(clean_up());
                          co_await yield_now();
                          try {
                            co_await wait_for(t, -1s);
                          } catch (const timeout_error&) {
                          }
                        },
                        false, true});
  interrupt_everywhere({"with_timeout", [](manual_loop&) -> coro<> {
                          const auto body = [](rondo::timeout&) -> coro<int> {
                            co_return co_await nested(2);
                          };
                          const int got = co_await with_timeout(10s, body);
                          CHECK(got == 2);
                        }});
  interrupt_everywhere({"nested timeouts", [](manual_loop&) -> coro<> {
                          const auto inner = [](rondo::timeout&) -> coro<> {
                            co_await rondo::sleep(10s);
                          };
                          const auto outer = [&](rondo::timeout& scope) -> coro<> {
                            try {
                              co_await with_timeout(1s, inner);
                            } catch (const timeout_error&) {
                            }
                            scope.reschedule(std::nullopt);
                            co_await yield_now();
                          };
                          co_await with_timeout(5s, outer);
                        }});
  interrupt_everywhere({"deadline in the past", [](manual_loop&) -> coro<> {
                          const auto body = [](rondo::timeout&) -> coro<> {
                            co_await rondo::sleep(1s);
                          };
                          try {
                            co_await with_timeout(0s, body);
                          } catch (const timeout_error&) {
                          }
                        }});
}

TEST_CASE("foreign coroutines, interrupted everywhere", "[fault-D1][foreign]") {
  interrupt_everywhere({"foreign awaitable",
                        [](manual_loop& loop) -> coro<> {
                          const delayed later{&loop};
                          co_await later;
                          co_await yield_now();
                        },
                        false, false, true});
}
