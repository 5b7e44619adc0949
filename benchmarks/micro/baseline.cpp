// SPDX-License-Identifier: MIT
// rondo benchmarks: each operation of the table in docs/design.md, written by hand.
#include "baseline.hpp"

#include <memory>
#include <thread>
#include <vector>

namespace {

using measure::batch;

// ---- wake-ups and callbacks --------------------------------------------------------------------

struct counting_node : hand::node {
  explicit counting_node(std::int64_t& c) noexcept : count(c) {
    run = [](hand::node* n) { ++static_cast<counting_node*>(n)->count; };
  }
  std::int64_t& count;
};

void wake_up(benchmark::State& state) {
  std::int64_t count = 0;
  std::vector<counting_node> nodes;
  for (int i = 0; i < batch; ++i) nodes.emplace_back(count);
  for (auto _ : state) {
    for (auto& n : nodes) hand::ready.push(&n);
    hand::ready.run();
  }
  benchmark::DoNotOptimize(count);
  measure::operations(state, batch);
}
BENCHMARK(wake_up)->Name("wake_up/hand");

void call_soon(benchmark::State& state) {
  std::int64_t count = 0;
  for (auto _ : state) {
    for (int i = 0; i < batch; ++i) hand::call_soon([&count] { ++count; });
    hand::ready.run();
  }
  benchmark::DoNotOptimize(count);
  measure::operations(state, batch);
}
BENCHMARK(call_soon)->Name("call_soon/hand");

struct repeat {
  std::int64_t* left;
  void operator()() const {
    if (--*left > 0) hand::call_soon(*this);
  }
};

void call_soon_chain(benchmark::State& state) {
  for (auto _ : state) {
    std::int64_t left = 1000;
    hand::call_soon(repeat{&left});
    hand::ready.run();
  }
  measure::operations(state, 1000);
}
BENCHMARK(call_soon_chain)->Name("call_soon_chain/hand");

// ---- coroutines --------------------------------------------------------------------------------

[[gnu::noinline]] hand::coro<int> leaf(int value) { co_return value; }

hand::detached await_finished_body(benchmark::State& state) {
  int sum = 0;
  for (auto _ : state) {
    for (int i = 0; i < batch; ++i) sum += co_await leaf(i);
  }
  benchmark::DoNotOptimize(sum);
  measure::operations(state, batch);
}
void await_finished(benchmark::State& state) { await_finished_body(state); }
BENCHMARK(await_finished)->Name("await_finished/hand");

hand::detached future_waiter(std::unique_ptr<hand::future>& slot, bool& stop) {
  while (!stop) {
    slot.reset(new hand::future);
    co_await *slot;
  }
}
void future_wake_up(benchmark::State& state) {
  bool stop = false;
  std::vector<std::unique_ptr<hand::future>> slots(batch);
  for (auto& slot : slots) future_waiter(slot, stop);
  for (auto _ : state) {
    for (auto& slot : slots) slot->set_result(1);
    hand::ready.run();
  }
  stop = true;
  for (auto& slot : slots) slot->set_result(1);
  hand::ready.run();
  measure::operations(state, batch);
}
BENCHMARK(future_wake_up)->Name("future_wake_up/hand");

[[gnu::noinline]] hand::task leaf_task(int value) { co_return value; }
hand::detached create_task_body(benchmark::State& state) {
  int sum = 0;
  for (auto _ : state) {
    for (int i = 0; i < batch; ++i) sum += co_await leaf_task(i);
  }
  benchmark::DoNotOptimize(sum);
  measure::operations(state, batch);
}
void create_task(benchmark::State& state) {
  create_task_body(state);
  hand::ready.run();
}
BENCHMARK(create_task)->Name("create_task/hand");

hand::detached yield_body(benchmark::State& state) {
  for (auto _ : state) {
    for (int i = 0; i < batch; ++i) co_await hand::yield();
  }
  measure::operations(state, batch);
}
void yield(benchmark::State& state) {
  yield_body(state);
  hand::ready.run();
}
BENCHMARK(yield)->Name("yield/hand");

struct ping_pong_state {
  hand::event ping, pong;
  bool stop = false;
};
hand::detached ponger(ping_pong_state& shared) {
  for (;;) {
    co_await shared.ping.wait();
    shared.ping.clear();
    if (shared.stop) co_return;
    shared.pong.set();
  }
}
hand::detached pinger(benchmark::State& state, ping_pong_state& shared) {
  for (auto _ : state) {
    for (int i = 0; i < batch; ++i) {
      shared.ping.set();
      co_await shared.pong.wait();
      shared.pong.clear();
    }
  }
  shared.stop = true;
  shared.ping.set();
}
void ping_pong(benchmark::State& state) {
  ping_pong_state shared;
  ponger(shared);
  pinger(state, shared);
  hand::ready.run();
  measure::operations(state, batch);
}
BENCHMARK(ping_pong)->Name("ping_pong/hand");

// ---- timers ------------------------------------------------------------------------------------

std::vector<hand::timer_call*> outstanding(std::int64_t count, measure::random& random,
                                           std::int64_t& fired) {
  std::vector<hand::timer_call*> all;
  std::int64_t start = measure::now();
  for (std::int64_t i = 0; i < count; ++i) {
    all.push_back(new hand::timer_call(&fired));
    hand::timers.add(all.back(), start + measure::far_away + random.below(measure::far_away));
  }
  return all;
}

void timer_add_cancel(benchmark::State& state) {
  measure::random random;
  std::int64_t fired = 0;
  auto all = outstanding(state.range(0), random, fired);
  for (auto _ : state) {
    for (int i = 0; i < batch; ++i) {
      auto* t = new hand::timer_call(&fired);
      std::int64_t delay = measure::far_away + random.below(measure::far_away);
      hand::timers.add(t, measure::now() + delay);
      hand::timers.erase(t);
      delete t;
    }
  }
  for (auto* t : all) {
    hand::timers.erase(t);
    delete t;
  }
  measure::operations(state, batch);
}
BENCHMARK(timer_add_cancel)->Name("timer_add_cancel/hand")->Arg(100'000)->Arg(1'000'000);

void timer_replace(benchmark::State& state) {
  measure::random random;
  std::int64_t fired = 0;
  auto all = outstanding(state.range(0), random, fired);
  for (auto _ : state) {
    for (int i = 0; i < batch; ++i) {
      auto& t = all[static_cast<std::size_t>(random.below(state.range(0)))];
      hand::timers.erase(t);
      delete t;
      t = new hand::timer_call(&fired);
      std::int64_t delay = measure::far_away + random.below(measure::far_away);
      hand::timers.add(t, measure::now() + delay);
    }
  }
  for (auto* t : all) {
    hand::timers.erase(t);
    delete t;
  }
  measure::operations(state, batch);
}
BENCHMARK(timer_replace)->Name("timer_replace/hand")->Arg(100'000)->Arg(1'000'000);

void timer_fire(benchmark::State& state) {
  measure::random random;
  for (auto _ : state) {
    std::int64_t fired = 0, start = measure::now();
    for (std::int64_t i = 0; i < state.range(0); ++i)
      hand::timers.add(new hand::timer_call(&fired), start + random.below(1'000'000));
    while (measure::now() < start + 1'000'000) {
    }
    std::int64_t begin = measure::now();
    while (fired < state.range(0)) hand::run_due(measure::now());
    state.SetIterationTime(measure::seconds_since(begin));
  }
  measure::operations(state, state.range(0));
}
BENCHMARK(timer_fire)->Name("timer_fire/hand")->Arg(1'000'000)->UseManualTime()->Iterations(3);

// Clock, timer, the awaited coroutine, cancelled timer.
hand::detached timeout_body(benchmark::State& state) {
  int sum = 0;
  std::int64_t fired = 0;
  for (auto _ : state) {
    for (int i = 0; i < batch; ++i) {
      hand::timer_call t(&fired);
      hand::timers.add(&t, measure::now() + measure::far_away);
      sum += co_await leaf(i);
      hand::timers.erase(&t);
    }
  }
  benchmark::DoNotOptimize(sum);
  measure::operations(state, batch);
}
void timeout_unused(benchmark::State& state) { timeout_body(state); }
BENCHMARK(timeout_unused)->Name("timeout_unused/hand");

// ---- threads -----------------------------------------------------------------------------------

struct posted : hand::node {
  explicit posted(std::int64_t* c) noexcept : count(c) {
    run = [](hand::node* n) {
      auto* self = static_cast<posted*>(n);
      ++*self->count;
      delete self;
    };
  }
  std::int64_t* count;
};

void post_threadsafe(benchmark::State& state) {
  for (auto _ : state) {
    hand::mailbox box;
    std::int64_t count = 0, begin = measure::now();
    std::thread producer([&] {
      for (std::int64_t i = 0; i < state.range(0); ++i) box.post(new posted(&count));
    });
    while (count < state.range(0)) box.run();
    state.SetIterationTime(measure::seconds_since(begin));
    producer.join();
  }
  measure::operations(state, state.range(0));
}
BENCHMARK(post_threadsafe)->Name("post_threadsafe/hand")->Arg(500'000)->UseManualTime();

// The same from the loop's own thread: what a post costs when nobody else is there.
void post_alone(benchmark::State& state) {
  hand::mailbox box;
  std::int64_t count = 0;
  for (auto _ : state) {
    for (int i = 0; i < batch; ++i) box.post(new posted(&count));
    box.run();
  }
  benchmark::DoNotOptimize(count);
  measure::operations(state, batch);
}
BENCHMARK(post_alone)->Name("post_alone/hand");

// ---- memory ------------------------------------------------------------------------------------

hand::detached sleeper(std::int64_t when, std::int64_t& left) {
  co_await hand::sleep_until(when);
  --left;
}
void sleeping_task(benchmark::State& state) {
  for (auto _ : state) {
    std::int64_t count = state.range(0), left = count, start = measure::now();
    std::size_t before = measure::bytes_in_use();
    for (std::int64_t i = 0; i < count; ++i) sleeper(start + 1'000'000'000 + i, left);
    state.counters["bytes"] =
        static_cast<double>(measure::bytes_in_use() - before) / static_cast<double>(count);
    while (left > 0) hand::run_due(measure::now());
  }
}
BENCHMARK(sleeping_task)->Name("sleeping_task/hand")->Arg(1'000'000)->Iterations(1);

}  // namespace
