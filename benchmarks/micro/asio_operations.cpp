// SPDX-License-Identifier: MIT
// rondo benchmarks: the operations of the table that standalone Asio has, too.
#include "measure.hpp"

#include <asio.hpp>
#include <asio/experimental/channel.hpp>

#include <chrono>
#include <cstdlib>
#include <exception>
#include <memory>
#include <thread>
#include <vector>

namespace {

using asio::awaitable;
using asio::use_awaitable;
using measure::batch;

void rethrow(std::exception_ptr error) {
  if (error) std::rethrow_exception(error);
}

// Runs a coroutine until the context has nothing left to do.
template <class Coroutine>
void run(asio::io_context& context, Coroutine coroutine) {
  asio::co_spawn(context, std::move(coroutine), rethrow);
  context.run();
}

void call_soon(benchmark::State& state) {
  asio::io_context context(1);
  std::int64_t count = 0;
  for (auto _ : state) {
    for (int i = 0; i < batch; ++i) asio::post(context, [&count] { ++count; });
    context.restart();
    context.poll();
  }
  benchmark::DoNotOptimize(count);
  measure::operations(state, batch);
}
BENCHMARK(call_soon)->Name("call_soon/asio");

struct repeat {
  asio::io_context* context;
  std::int64_t* left;
  void operator()() const {
    if (--*left > 0) asio::post(*context, *this);
  }
};

void call_soon_chain(benchmark::State& state) {
  asio::io_context context(1);
  for (auto _ : state) {
    std::int64_t left = 1000;
    asio::post(context, repeat{&context, &left});
    context.restart();
    context.run();
  }
  measure::operations(state, 1000);
}
BENCHMARK(call_soon_chain)->Name("call_soon_chain/asio");

[[gnu::noinline]] awaitable<int> leaf(int value) { co_return value; }

awaitable<void> await_finished_body(benchmark::State& state) {
  int sum = 0;
  for (auto _ : state) {
    for (int i = 0; i < batch; ++i) sum += co_await leaf(i);
  }
  benchmark::DoNotOptimize(sum);
  measure::operations(state, batch);
}
void await_finished(benchmark::State& state) {
  asio::io_context context(1);
  run(context, await_finished_body(state));
}
BENCHMARK(await_finished)->Name("await_finished/asio");

awaitable<void> create_task_body(benchmark::State& state) {
  auto executor = co_await asio::this_coro::executor;
  int sum = 0;
  for (auto _ : state) {
    for (int i = 0; i < batch; ++i)
      sum += co_await asio::co_spawn(executor, leaf(i), use_awaitable);
  }
  benchmark::DoNotOptimize(sum);
  measure::operations(state, batch);
}
void create_task(benchmark::State& state) {
  asio::io_context context(1);
  run(context, create_task_body(state));
}
BENCHMARK(create_task)->Name("create_task/asio");

awaitable<void> yield_body(benchmark::State& state) {
  auto executor = co_await asio::this_coro::executor;
  for (auto _ : state) {
    for (int i = 0; i < batch; ++i) co_await asio::post(executor, use_awaitable);
  }
  measure::operations(state, batch);
}
void yield(benchmark::State& state) {
  asio::io_context context(1);
  run(context, yield_body(state));
}
BENCHMARK(yield)->Name("yield/asio");

// Asio has no event; a channel that holds one message is its nearest.
using channel = asio::experimental::channel<void(asio::error_code, bool)>;
struct ping_pong_state {
  explicit ping_pong_state(asio::io_context& context) : ping(context, 1), pong(context, 1) {}
  channel ping, pong;
};
awaitable<void> ponger(ping_pong_state& shared) {
  for (;;) {
    bool more = co_await shared.ping.async_receive(use_awaitable);
    if (!more) co_return;
    shared.pong.try_send(asio::error_code(), true);
  }
}
awaitable<void> pinger(benchmark::State& state, ping_pong_state& shared) {
  for (auto _ : state) {
    for (int i = 0; i < batch; ++i) {
      shared.ping.try_send(asio::error_code(), true);
      co_await shared.pong.async_receive(use_awaitable);
    }
  }
  shared.ping.try_send(asio::error_code(), false);
}
void ping_pong(benchmark::State& state) {
  asio::io_context context(1);
  ping_pong_state shared(context);
  asio::co_spawn(context, ponger(shared), rethrow);
  run(context, pinger(state, shared));
  measure::operations(state, batch);
}
BENCHMARK(ping_pong)->Name("ping_pong/asio");

auto far_delay(measure::random& random) {
  return std::chrono::nanoseconds(measure::far_away + random.below(measure::far_away));
}

void timer_add_cancel(benchmark::State& state) {
  asio::io_context context(1);
  measure::random random;
  std::int64_t fired = 0;
  std::vector<asio::steady_timer> all;
  for (std::int64_t i = 0; i < state.range(0); ++i) {
    all.emplace_back(context, far_delay(random));
    all.back().async_wait([&fired](auto) { ++fired; });
  }
  asio::steady_timer timer(context);
  for (auto _ : state) {
    for (int i = 0; i < batch; ++i) {
      timer.expires_after(far_delay(random));
      timer.async_wait([&fired](auto) { ++fired; });
      timer.cancel();
    }
    context.poll();
  }
  measure::operations(state, batch);
}
BENCHMARK(timer_add_cancel)->Name("timer_add_cancel/asio")->Arg(100'000)->Arg(1'000'000);

void timer_replace(benchmark::State& state) {
  asio::io_context context(1);
  measure::random random;
  std::int64_t fired = 0;
  std::vector<asio::steady_timer> all;
  for (std::int64_t i = 0; i < state.range(0); ++i) {
    all.emplace_back(context, far_delay(random));
    all.back().async_wait([&fired](auto) { ++fired; });
  }
  for (auto _ : state) {
    for (int i = 0; i < batch; ++i) {
      auto& timer = all[static_cast<std::size_t>(random.below(state.range(0)))];
      timer.expires_after(far_delay(random));  // cancels what waited
      timer.async_wait([&fired](auto) { ++fired; });
    }
    context.poll();
  }
  measure::operations(state, batch);
}
BENCHMARK(timer_replace)->Name("timer_replace/asio")->Arg(100'000)->Arg(1'000'000);

void timer_fire(benchmark::State& state) {
  measure::random random;
  for (auto _ : state) {
    asio::io_context context(1);
    std::int64_t fired = 0;
    auto start = std::chrono::steady_clock::now();
    std::vector<asio::steady_timer> all;
    for (std::int64_t i = 0; i < state.range(0); ++i) {
      all.emplace_back(context, start + std::chrono::nanoseconds(random.below(1'000'000)));
      all.back().async_wait([&fired](auto) { ++fired; });
    }
    std::int64_t begin = measure::now();
    context.run();
    state.SetIterationTime(measure::seconds_since(begin));
    if (fired != state.range(0)) state.SkipWithError("timers are missing");
  }
  measure::operations(state, state.range(0));
}
BENCHMARK(timer_fire)->Name("timer_fire/asio")->Arg(1'000'000)->UseManualTime()->Iterations(3);

void post_threadsafe(benchmark::State& state) {
  for (auto _ : state) {
    asio::io_context context(1);
    auto work = asio::make_work_guard(context);
    std::int64_t count = 0, begin = measure::now();
    std::thread producer([&] {
      for (std::int64_t i = 0; i < state.range(0); ++i) asio::post(context, [&count] { ++count; });
      work.reset();
    });
    context.run();
    state.SetIterationTime(measure::seconds_since(begin));
    producer.join();
    if (count != state.range(0)) state.SkipWithError("posts are missing");
  }
  measure::operations(state, state.range(0));
}
BENCHMARK(post_threadsafe)->Name("post_threadsafe/asio")->Arg(500'000)->UseManualTime();

// The same from the loop's own thread: what a post costs when nobody else is there.
void post_alone(benchmark::State& state) {
  asio::io_context context(2);  // a hint above 1 keeps the locks
  std::int64_t count = 0;
  for (auto _ : state) {
    for (int i = 0; i < batch; ++i) asio::post(context, [&count] { ++count; });
    context.restart();
    context.poll();
  }
  benchmark::DoNotOptimize(count);
  measure::operations(state, batch);
}
BENCHMARK(post_alone)->Name("post_alone/asio");

awaitable<void> sleeper(asio::io_context& context, asio::steady_timer::time_point when,
                        std::int64_t& started) {
  asio::steady_timer timer(context, when);
  ++started;
  co_await timer.async_wait(use_awaitable);
}
void sleeping_task(benchmark::State& state) {
  for (auto _ : state) {
    asio::io_context context(1);
    std::int64_t count = state.range(0), started = 0;
    std::size_t before = measure::bytes_in_use();
    auto start = std::chrono::steady_clock::now() + std::chrono::seconds(4);
    for (std::int64_t i = 0; i < count; ++i)
      asio::co_spawn(context, sleeper(context, start + std::chrono::nanoseconds(i), started),
                     asio::detached);
    while (started < count) context.poll();
    state.counters["bytes"] =
        static_cast<double>(measure::bytes_in_use() - before) / static_cast<double>(count);
    context.run();
  }
}
BENCHMARK(sleeping_task)->Name("sleeping_task/asio")->Arg(1'000'000)->Iterations(1);

}  // namespace
