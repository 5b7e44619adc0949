// SPDX-License-Identifier: MIT
// rondo benchmarks: the operations of the table in docs/design.md, as a user of rondo writes them.
#include "measure.hpp"

#include <rondo/detail/ready_node.hpp>
#include <rondo/rondo.hpp>

#include <chrono>
#include <cstdlib>
#include <functional>
#include <memory>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

namespace {

using measure::batch;
using namespace std::chrono_literals;

// ---- wake-ups and callbacks --------------------------------------------------------------------

// The ready queue alone: what a task's wake-up costs beyond the task. Internal, so not for users.
struct counting_node : rondo::detail::ready_node {
  explicit counting_node(std::int64_t& c) noexcept
      : ready_node(
            [](ready_node& n, rondo::event_loop*) { ++static_cast<counting_node&>(n).count; }),
        count(c) {}
  std::int64_t& count;
};

void wake_up(benchmark::State& state) {
  std::int64_t count = 0;
  std::vector<std::unique_ptr<counting_node>> nodes;
  for (int i = 0; i < batch; ++i) nodes.push_back(std::make_unique<counting_node>(count));
  rondo::detail::ready_queue queue;
  for (auto _ : state) {
    for (auto& n : nodes) queue.push(*n);
    while (!queue.empty()) {
      rondo::detail::ready_node& n = queue.pop();
      n.run(n, nullptr);
    }
  }
  benchmark::DoNotOptimize(count);
  measure::operations(state, batch);
}
BENCHMARK(wake_up)->Name("wake_up/rondo");

void call_soon(benchmark::State& state) {
  auto loop = rondo::new_event_loop();
  std::int64_t count = 0;
  for (auto _ : state) {
    for (int i = 0; i < batch; ++i) loop->call_soon([&count] { ++count; });
    loop->run_once();
  }
  benchmark::DoNotOptimize(count);
  measure::operations(state, batch);
}
BENCHMARK(call_soon)->Name("call_soon/rondo");

// One callback per iteration of the loop: an iteration's own cost shows.
struct repeat {
  rondo::event_loop* loop;
  std::int64_t* left;
  void operator()() const {
    if (--*left > 0)
      loop->call_soon(*this);
    else
      loop->stop();
  }
};

void call_soon_chain(benchmark::State& state) {
  auto loop = rondo::new_event_loop();
  for (auto _ : state) {
    std::int64_t left = 1000;
    loop->call_soon(repeat{loop.get(), &left});
    loop->run_forever();
  }
  measure::operations(state, 1000);
}
BENCHMARK(call_soon_chain)->Name("call_soon_chain/rondo");

// ---- coroutines --------------------------------------------------------------------------------

[[gnu::noinline]] rondo::coro<int> leaf(int value) { co_return value; }

rondo::coro<> await_finished_body(benchmark::State& state) {
  int sum = 0;
  for (auto _ : state) {
    for (int i = 0; i < batch; ++i) sum += co_await leaf(i);
  }
  benchmark::DoNotOptimize(sum);
  measure::operations(state, batch);
}
void await_finished(benchmark::State& state) { rondo::run(await_finished_body(state)); }
BENCHMARK(await_finished)->Name("await_finished/rondo");

rondo::coro<> future_waiter(std::optional<rondo::future<int>>& slot, bool& stop) {
  rondo::event_loop& loop = rondo::get_running_loop();
  while (!stop) {
    slot = loop.create_future<int>();
    co_await *slot;
  }
}
rondo::coro<> future_wake_up_body(benchmark::State& state) {
  bool stop = false;
  std::vector<std::optional<rondo::future<int>>> slots(batch);
  std::vector<rondo::task<>> waiters;
  for (auto& slot : slots) waiters.push_back(rondo::create_task(future_waiter(slot, stop)));
  co_await rondo::yield_now();
  for (auto _ : state) {
    for (auto& slot : slots) slot->set_result(1);
    co_await rondo::yield_now();
  }
  stop = true;
  for (auto& slot : slots) slot->set_result(1);
  for (auto& waiter : waiters) co_await waiter;
  measure::operations(state, batch);
}
void future_wake_up(benchmark::State& state) { rondo::run(future_wake_up_body(state)); }
BENCHMARK(future_wake_up)->Name("future_wake_up/rondo");

rondo::coro<> create_task_body(benchmark::State& state) {
  int sum = 0;
  for (auto _ : state) {
    for (int i = 0; i < batch; ++i) sum += co_await rondo::create_task(leaf(i));
  }
  benchmark::DoNotOptimize(sum);
  measure::operations(state, batch);
}
void create_task(benchmark::State& state) { rondo::run(create_task_body(state)); }
BENCHMARK(create_task)->Name("create_task/rondo");

rondo::coro<> yield_body(benchmark::State& state) {
  for (auto _ : state) {
    for (int i = 0; i < batch; ++i) co_await rondo::yield_now();
  }
  measure::operations(state, batch);
}
void yield(benchmark::State& state) { rondo::run(yield_body(state)); }
BENCHMARK(yield)->Name("yield/rondo");

#if __has_include(<rondo/locks.hpp>)
struct ping_pong_state {
  rondo::event ping, pong;
  bool stop = false;
};
rondo::coro<> ponger(ping_pong_state& shared) {
  while (true) {
    co_await shared.ping.wait();
    shared.ping.clear();
    if (shared.stop) co_return;
    shared.pong.set();
  }
}
rondo::coro<> ping_pong_body(benchmark::State& state) {
  ping_pong_state shared;
  auto other = rondo::create_task(ponger(shared));
  for (auto _ : state) {
    for (int i = 0; i < batch; ++i) {
      shared.ping.set();
      co_await shared.pong.wait();
      shared.pong.clear();
    }
  }
  shared.stop = true;
  shared.ping.set();
  co_await other;
  measure::operations(state, batch);
}
#else
// Without events: a new future for each turn.
struct ping_pong_state {
  rondo::future<bool> ping, pong;
};
rondo::coro<> ponger(ping_pong_state& shared) {
  rondo::event_loop& loop = rondo::get_running_loop();
  while (true) {
    bool more = co_await shared.ping;
    if (!more) break;
    shared.ping = loop.create_future<bool>();
    shared.pong.set_result(true);
  }
}
rondo::coro<> ping_pong_body(benchmark::State& state) {
  rondo::event_loop& loop = rondo::get_running_loop();
  ping_pong_state shared{loop.create_future<bool>(), loop.create_future<bool>()};
  auto other = rondo::create_task(ponger(shared));
  for (auto _ : state) {
    for (int i = 0; i < batch; ++i) {
      shared.ping.set_result(true);
      co_await shared.pong;
      shared.pong = loop.create_future<bool>();
    }
  }
  shared.ping.set_result(false);
  co_await other;
  measure::operations(state, batch);
}
#endif
void ping_pong(benchmark::State& state) { rondo::run(ping_pong_body(state)); }
BENCHMARK(ping_pong)->Name("ping_pong/rondo");

// ---- structured concurrency --------------------------------------------------------------------

// A thousand children: alone, in a group, gathered. What the last two cost beyond the first is
// their own.
constexpr int children = 1000;

rondo::coro<int> child(int value) {
  co_await rondo::yield_now();
  co_return value;
}

rondo::coro<> children_alone_body(benchmark::State& state) {
  int sum = 0;
  std::vector<rondo::task<int>> tasks;
  tasks.reserve(children);
  for (auto _ : state) {
    for (int i = 0; i < children; ++i) tasks.push_back(rondo::create_task(child(i)));
    for (const auto& each : tasks) sum += co_await each;
    tasks.clear();
  }
  benchmark::DoNotOptimize(sum);
  measure::operations(state, children);
}
void children_alone(benchmark::State& state) { rondo::run(children_alone_body(state)); }
BENCHMARK(children_alone)->Name("children_alone/rondo");

rondo::coro<> children_in_group_body(benchmark::State& state) {
  const auto body = [](rondo::task_group& group) -> rondo::coro<> {
    for (int i = 0; i < children; ++i) group.create_task(child(i));
    co_return;
  };
  for (auto _ : state) co_await rondo::with_task_group(body);
  measure::operations(state, children);
}
void children_in_group(benchmark::State& state) { rondo::run(children_in_group_body(state)); }
BENCHMARK(children_in_group)->Name("children_in_group/rondo");

rondo::coro<> children_gathered_body(benchmark::State& state) {
  int sum = 0;
  for (auto _ : state) {
    std::vector<rondo::coro<int>> coros;
    coros.reserve(children);
    for (int i = 0; i < children; ++i) coros.push_back(child(i));
    const std::vector<int> results = co_await rondo::gather(std::move(coros));
    sum += results.back();
  }
  benchmark::DoNotOptimize(sum);
  measure::operations(state, children);
}
void children_gathered(benchmark::State& state) { rondo::run(children_gathered_body(state)); }
BENCHMARK(children_gathered)->Name("children_gathered/rondo");

// ---- timers ------------------------------------------------------------------------------------

std::chrono::nanoseconds far_delay(measure::random& random) {
  return std::chrono::nanoseconds(measure::far_away + random.below(measure::far_away));
}

std::vector<rondo::timer_handle> outstanding(rondo::event_loop& loop, std::int64_t count,
                                             measure::random& random, std::int64_t& fired) {
  std::vector<rondo::timer_handle> all;
  for (std::int64_t i = 0; i < count; ++i)
    all.push_back(loop.call_later(far_delay(random), [&fired] { ++fired; }));
  return all;
}

void timer_add_cancel(benchmark::State& state) {
  auto loop = rondo::new_event_loop();
  measure::random random;
  std::int64_t fired = 0;
  auto all = outstanding(*loop, state.range(0), random, fired);
  for (auto _ : state) {
    for (int i = 0; i < batch; ++i)
      loop->call_later(far_delay(random), [&fired] { ++fired; }).cancel();
  }
  for (auto& timer : all) timer.cancel();
  measure::operations(state, batch);
}
BENCHMARK(timer_add_cancel)->Name("timer_add_cancel/rondo")->Arg(100'000)->Arg(1'000'000);

void timer_replace(benchmark::State& state) {
  auto loop = rondo::new_event_loop();
  measure::random random;
  std::int64_t fired = 0;
  auto all = outstanding(*loop, state.range(0), random, fired);
  for (auto _ : state) {
    for (int i = 0; i < batch; ++i) {
      auto& timer = all[static_cast<std::size_t>(random.below(state.range(0)))];
      timer.cancel();
      timer = loop->call_later(far_delay(random), [&fired] { ++fired; });
    }
  }
  for (auto& timer : all) timer.cancel();
  measure::operations(state, batch);
}
BENCHMARK(timer_replace)->Name("timer_replace/rondo")->Arg(100'000)->Arg(1'000'000);

void timer_fire(benchmark::State& state) {
  measure::random random;
  for (auto _ : state) {
    auto loop = rondo::new_event_loop();
    std::int64_t left = state.range(0);
    auto start = loop->time();
    for (std::int64_t i = 0; i < state.range(0); ++i) {
      loop->call_at(start + std::chrono::nanoseconds(random.below(1'000'000)),
                    [&left, stop = loop.get()] {
                      if (--left == 0) stop->stop();
                    });
    }
    while (loop->time() < start + 1ms) {
    }
    std::int64_t begin = measure::now();
    loop->run_forever();
    state.SetIterationTime(measure::seconds_since(begin));
    if (left != 0) state.SkipWithError("timers are missing");
  }
  measure::operations(state, state.range(0));
}
BENCHMARK(timer_fire)->Name("timer_fire/rondo")->Arg(1'000'000)->UseManualTime()->Iterations(3);

rondo::coro<> timeout_body(benchmark::State& state) {
  int sum = 0;
  auto body = [](rondo::timeout&, int value) -> rondo::coro<int> { co_return value; };
  for (auto _ : state) {
    for (int i = 0; i < batch; ++i) sum += co_await rondo::with_timeout(1h, body, i);
  }
  benchmark::DoNotOptimize(sum);
  measure::operations(state, batch);
}
void timeout_unused(benchmark::State& state) { rondo::run(timeout_body(state)); }
BENCHMARK(timeout_unused)->Name("timeout_unused/rondo");

// ---- threads -----------------------------------------------------------------------------------

void post_threadsafe(benchmark::State& state) {
  for (auto _ : state) {
    auto loop = rondo::new_event_loop();
    std::int64_t left = state.range(0), begin = measure::now();
    std::thread producer([&] {
      for (std::int64_t i = 0; i < state.range(0); ++i) {
        loop->call_soon_threadsafe([&left, stop = loop.get()] {
          if (--left == 0) stop->stop();
        });
      }
    });
    loop->run_forever();
    state.SetIterationTime(measure::seconds_since(begin));
    producer.join();
    if (left != 0) state.SkipWithError("posts are missing");
  }
  measure::operations(state, state.range(0));
}
BENCHMARK(post_threadsafe)->Name("post_threadsafe/rondo")->Arg(500'000)->UseManualTime();

// The same from the loop's own thread: what a post costs when nobody else is there.
void post_alone(benchmark::State& state) {
  auto loop = rondo::new_event_loop();
  std::int64_t count = 0;
  for (auto _ : state) {
    for (int i = 0; i < batch; ++i) loop->call_soon_threadsafe([&count] { ++count; });
    loop->run_once();
  }
  benchmark::DoNotOptimize(count);
  measure::operations(state, batch);
}
BENCHMARK(post_alone)->Name("post_alone/rondo");

// ---- memory ------------------------------------------------------------------------------------

rondo::coro<> sleeper(rondo::time_point when, std::int64_t& started, std::int64_t& left) {
  ++started;
  co_await rondo::sleep_until(when);
  --left;
}
rondo::coro<> sleeping_task_body(benchmark::State& state, std::int64_t count) {
  rondo::event_loop& loop = rondo::get_running_loop();
  std::int64_t started = 0, left = count;
  auto when = loop.time() + 4s;
  std::size_t before = measure::bytes_in_use();
  for (std::int64_t i = 0; i < count; ++i)
    rondo::create_task(sleeper(when + std::chrono::nanoseconds(i), started, left));
  while (started < count) co_await rondo::yield_now();
  state.counters["bytes"] =
      static_cast<double>(measure::bytes_in_use() - before) / static_cast<double>(count);
  while (left > 0) co_await rondo::sleep(10ms);
}
void sleeping_task(benchmark::State& state) {
  for (auto _ : state) rondo::run(sleeping_task_body(state, state.range(0)));
}
BENCHMARK(sleeping_task)->Name("sleeping_task/rondo")->Arg(1'000'000)->Iterations(1);

}  // namespace
