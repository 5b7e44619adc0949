// SPDX-License-Identifier: MIT
// rondo tests: gather and its kin, groups, shields and generators, interrupted at each of their
// suspension points, before, between and after what happens in that iteration.
#include "support/cancel_at.hpp"
#include "tasks/task_support.hpp"

using namespace task_test;
using rondo::coro;
using rondo::create_task;
using rondo::sleep;
using rondo::task_group;
using rondo_test::interrupt_everywhere;
using rondo_test::manual_loop;
using rondo_test::scenario;

namespace {

coro<int> give(int value, rondo::interval delay = 0s) {
  co_await sleep(delay);
  co_return value;
}

/// Cancelled, it takes time to clean up.
coro<int> clean_up(int value) {
  std::exception_ptr cancelled;
  try {
    co_await sleep(2s);
  } catch (const rondo::cancelled_error&) {
    cancelled = std::current_exception();
  }
  co_await yields(2);
  if (cancelled) std::rethrow_exception(cancelled);
  co_return value;
}

coro<int> fail_later(rondo::interval delay) {
  co_await sleep(delay);
  throw std::runtime_error("late");
}

rondo::async_generator<int> count(int n) {
  for (int i = 0; i < n; ++i) {
    co_await sleep(i % 2 == 0 ? 0s : 1s);
    co_yield i;
  }
}

/// Its cleanup awaits.
rondo::async_generator<int> resource() {
  std::exception_ptr ended;
  try {
    co_yield 1;
    co_await sleep(1s);
    co_yield 2;
  } catch (...) {
    ended = std::current_exception();
  }
  co_await yields(2);
  if (ended) std::rethrow_exception(ended);
}

}  // namespace

TEST_CASE("gather, interrupted everywhere", "[rule-089][fault-D1][fault-D2][fault-D12]") {
  interrupt_everywhere({"gather", [](manual_loop&) -> coro<> {
                          const auto [a, b, c] =
                              co_await rondo::gather(give(1), give(2, 1s), clean_up(3));
                          CHECK(a + b + c == 6);
                        }});
  interrupt_everywhere({"gather of a range", [](manual_loop&) -> coro<> {
                          std::vector<coro<int>> coros;
                          for (int n = 0; n < 3; ++n) coros.push_back(give(n));
                          const std::vector<int> got = co_await rondo::gather(std::move(coros));
                          CHECK(got.size() == 3);
                        }});
  // As in asyncio, a child's error that came first wins over a request that the other children get.
  interrupt_everywhere({"gather that fails",
                        [](manual_loop&) -> coro<> {
                          try {
                            co_await rondo::gather(fail_later(1s), clean_up(1));
                            CHECK(false);
                          } catch (const std::runtime_error&) {
                          }
                        },
                        true});
  interrupt_everywhere({"gather in a gather", [](manual_loop&) -> coro<> {
                          co_await rondo::gather(rondo::gather(give(1), clean_up(2)), give(3, 1s));
                        }});
  interrupt_everywhere({"gather_settled", [](manual_loop&) -> coro<> {
                          const auto [a, b] =
                              co_await rondo::gather_settled(fail_later(1s), clean_up(2));
                          CHECK_FALSE(a);
                          CHECK(b.value() == 2);
                        }});
  interrupt_everywhere({"gather of futures", [](manual_loop& loop) -> coro<> {
                          const auto one = loop.create_future<int>();
                          const auto two = loop.create_future<int>();
                          loop.call_soon([one] {
                            if (!one.done()) one.set_result(1);
                          });
                          loop.call_later(1s, [two] {
                            if (!two.done()) two.set_result(2);
                          });
                          co_await rondo::gather(one, two, one);
                        }});
}

TEST_CASE("wait and as_completed, interrupted everywhere",
          "[rule-095][rule-096][fault-D1][fault-D2]") {
  interrupt_everywhere({"wait", [](manual_loop&) -> coro<> {
                          std::vector<rondo::task<int>> tasks;
                          tasks.push_back(create_task(give(1)));
                          tasks.push_back(create_task(clean_up(2)));
                          tasks.push_back(create_task(give(3, 1s)));
                          const auto all = co_await rondo::wait(tasks);
                          CHECK(all.done.size() == 3);
                        }});
  interrupt_everywhere({"wait for the first", [](manual_loop&) -> coro<> {
                          std::vector<rondo::task<int>> tasks;
                          tasks.push_back(create_task(give(1, 1s)));
                          tasks.push_back(create_task(clean_up(2)));
                          const auto first = co_await rondo::wait(
                              tasks, {.timeout = 1s, .when = rondo::return_when::first_completed});
                          CHECK(first.pending.size() >= 1);
                        }});
  interrupt_everywhere({"as_completed", [](manual_loop&) -> coro<> {
                          std::vector<coro<int>> coros;
                          coros.push_back(clean_up(1));
                          coros.push_back(give(2));
                          coros.push_back(give(3, 1s));
                          auto all = rondo::as_completed(std::move(coros));
                          int sum = 0;
                          while (auto each = co_await all.next()) sum += each->result();
                          CHECK(sum == 6);
                        }});
  interrupt_everywhere({"as_completed in time", [](manual_loop&) -> coro<> {
                          std::vector<coro<int>> coros;
                          coros.push_back(clean_up(1));
                          coros.push_back(give(2));
                          auto some = rondo::as_completed(std::move(coros), 1s);
                          co_await some.next();
                          try {
                            co_await some.next();
                            CHECK(false);
                          } catch (const rondo::timeout_error&) {
                          }
                        }});
}

TEST_CASE("shields, interrupted everywhere", "[rule-098][fault-D1][fault-D2][fault-D12]") {
  interrupt_everywhere({"shield", [](manual_loop&) -> coro<> {
                          const int got = co_await rondo::shield(clean_up(4));
                          CHECK(got == 4);
                        }});
  interrupt_everywhere({"shield of a future", [](manual_loop& loop) -> coro<> {
                          const auto inner = loop.create_future<int>();
                          loop.call_soon([inner] { inner.set_result(1); });
                          co_await rondo::shield(inner);
                        }});
  interrupt_everywhere({"shield of a gather", [](manual_loop&) -> coro<> {
                          co_await rondo::shield(rondo::gather(give(1), clean_up(2)));
                        }});
  interrupt_everywhere({"with_shield",
                        [](manual_loop&) -> coro<> {
                          const auto body = []() -> coro<int> { co_return co_await clean_up(5); };
                          const int got = co_await rondo::with_shield(body);
                          CHECK(got == 5);
                          co_await rondo::yield_now();
                        },
                        true});
  interrupt_everywhere({"a timeout in a shield",
                        [](manual_loop&) -> coro<> {
                          const auto hangs = [](rondo::timeout&) { return sleep(100s); };
                          const auto body = [&]() -> coro<> {
                            try {
                              co_await rondo::with_timeout(1s, hangs);
                              CHECK(false);
                            } catch (const rondo::timeout_error&) {
                            }
                          };
                          co_await rondo::with_shield(body);
                          co_await sleep(1s);
                        },
                        true});
}

TEST_CASE("task groups, interrupted everywhere",
          "[rule-123][rule-129][fault-D1][fault-D2][fault-D11]") {
  interrupt_everywhere({"group", [](manual_loop&) -> coro<> {
                          const auto body = [](task_group& group) -> coro<int> {
                            group.create_task(give(1));
                            group.create_task(clean_up(2));
                            group.create_task(give(3, 1s));
                            co_await sleep(1s);
                            co_return 4;
                          };
                          const int got = co_await rondo::with_task_group(body);
                          CHECK(got == 4);
                        }});
  interrupt_everywhere({"group that fails", [](manual_loop&) -> coro<> {
                          const auto body = [](task_group& group) -> coro<> {
                            group.create_task(fail_later(1s));
                            group.create_task(clean_up(2));
                            group.create_task(fail_later(1s));
                            co_await sleep(5s);
                          };
                          bool failed = false;
                          try {
                            co_await rondo::with_task_group(body);
                          } catch (const rondo::exception_group& group) {
                            failed = true;
                            CHECK(group.exceptions().size() >= 1);
                          }
                          CHECK(failed);
                          co_await rondo::yield_now();
                        }});
  interrupt_everywhere({"group in a group", [](manual_loop&) -> coro<> {
                          const auto inner = [](task_group& group) -> coro<> {
                            group.create_task(clean_up(1));
                            co_await sleep(1s);
                          };
                          const auto outer = [&](task_group& group) -> coro<> {
                            group.create_task(rondo::with_task_group(inner));
                            co_await rondo::with_task_group(inner);
                          };
                          co_await rondo::with_task_group(outer);
                        }});
  interrupt_everywhere({"group that is cancelled", [](manual_loop&) -> coro<> {
                          const auto body = [](task_group& group) -> coro<> {
                            group.create_task(clean_up(1));
                            co_await sleep(1s);
                            group.cancel();
                            co_await sleep(5s);
                          };
                          co_await rondo::with_task_group(body);
                          CHECK(requests() == 0);
                          co_await rondo::yield_now();
                        }});
  interrupt_everywhere({"start", [](manual_loop&) -> coro<> {
                          const auto child = [](rondo::task_status<int> status) -> coro<> {
                            co_await clean_up(0);
                            status.started(7);
                            co_await clean_up(0);
                          };
                          const auto body = [&](task_group& group) -> coro<> {
                            const int got = co_await group.start(child);
                            CHECK(got == 7);
                          };
                          co_await rondo::with_task_group(body);
                        }});
  interrupt_everywhere({"group in a shield",
                        [](manual_loop&) -> coro<> {
                          const auto group = [](task_group& inner) -> coro<> {
                            inner.create_task(fail_later(1s));
                            inner.create_task(clean_up(2));
                            co_await sleep(5s);
                          };
                          const auto body = [&]() -> coro<> {
                            bool failed = false;
                            try {
                              co_await rondo::with_task_group(group);
                            } catch (const rondo::exception_group&) {
                              failed = true;
                            }
                            CHECK(failed);
                          };
                          co_await rondo::with_shield(body);
                        },
                        true});
}

TEST_CASE("generators, interrupted everywhere", "[rule-264][fault-D1][fault-D2]") {
  interrupt_everywhere({"next", [](manual_loop&) -> coro<> {
                          auto numbers = count(4);
                          int sum = 0;
                          while (auto each = co_await numbers.next()) sum += *each;
                          CHECK(sum == 6);
                        }});
  interrupt_everywhere({"aclose", [](manual_loop&) -> coro<> {
                          auto held = resource();
                          co_await held.next();
                          co_await held.aclose();
                        }});
  interrupt_everywhere({"a generator that is dropped", [](manual_loop&) -> coro<> {
                          {
                            auto held = resource();
                            co_await held.next();
                          }
                          co_await sleep(1s);
                        }});
  interrupt_everywhere({"shutdown_asyncgens", [](manual_loop& loop) -> coro<> {
                          auto first = resource();
                          auto second = resource();
                          co_await first.next();
                          co_await second.next();
                          co_await loop.shutdown_asyncgens();
                        }});
}

TEST_CASE("ensure_future and threads, interrupted everywhere", "[rule-080][rule-062][fault-D1]") {
  interrupt_everywhere({"ensure_future", [](manual_loop&) -> coro<> {
                          const int got = co_await rondo::ensure_future(clean_up(3));
                          CHECK(got == 3);
                        }});
  interrupt_everywhere({"wrap_future", [](manual_loop& loop) -> coro<> {
                          const auto remote = rondo::run_coroutine_threadsafe(give(6, 1s), loop);
                          const int got = co_await rondo::wrap_future(remote);
                          CHECK(got == 6);
                        }});
}
