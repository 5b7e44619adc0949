// SPDX-License-Identifier: MIT
// rondo tests: the loop whose time and order of events come from a seed.
#include <rondo/rondo.hpp>
#include <rondo/testing.hpp>

#include "support/catch.hpp"
#include "support/fault_table.hpp"
#include "support/oracle.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <future>
#include <limits>
#include <map>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

using namespace std::chrono_literals;
using rondo::testing::deadlock_error;
using rondo::testing::virtual_loop;
using rondo::testing::virtual_options;
using rondo_test::check_idle;
using rondo_test::log_capture;
using rondo_test::oracle;

namespace {

constexpr rondo::time_point at(rondo::interval since_start) {
  return rondo::time_point(std::chrono::nanoseconds(since_start.count()));
}

/// Tasks and callbacks that note when they run.
struct workers {
  std::vector<std::string> seen;

  rondo::coro<> work(std::string name, int steps) {
    for (int i = 0; i < steps; ++i) {
      seen.push_back(name + std::to_string(i));
      co_await rondo::yield_now();
    }
  }
  rondo::coro<> amain(rondo::event_loop& loop) {
    std::vector<rondo::task<>> tasks;
    for (const char* const name : {"a", "b", "c", "d"}) {
      tasks.push_back(rondo::create_task(work(name, 3)));
      loop.call_soon([this, name] { seen.push_back(std::string("call ") + name); });
      loop.call_later(0s, [this, name] { seen.push_back(std::string("timer ") + name); });
    }
    for (const auto& each : tasks) co_await each;
  }
};

std::vector<std::string> order_of(rondo::event_loop& loop) {
  workers all;
  loop.run_until_complete(all.amain(loop));
  return all.seen;
}

std::string text_of_deadlock(virtual_loop& loop, rondo::coro<> body) {
  try {
    loop.run_until_complete(std::move(body));
  } catch (const deadlock_error& error) {
    return error.what();
  }
  return "";
}

bool contains(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

// ---- time
// ----------------------------------------------------------------------------------------

TEST_CASE("the virtual clock stands still while there is work and jumps when there is none",
          "[virtual]") {
  const oracle unchanged;
  virtual_loop loop;
  CHECK(loop.time() == at(0s));
  CHECK(loop.backend_name() == "simulated");
  std::vector<rondo::interval> ends;
  const auto sleeper = [&](rondo::interval how_long) -> rondo::coro<> {
    co_await rondo::sleep(how_long);
    CHECK(loop.time() == at(how_long));
    ends.push_back(how_long);
  };
  const auto busy = [&]() -> rondo::coro<> {
    for (int i = 0; i < 1000; ++i) co_await rondo::yield_now();
    CHECK(loop.time() == at(0s));
  };
  const auto all = [&]() -> rondo::coro<> {
    std::vector<rondo::task<>> tasks;
    for (const rondo::interval each :
         {rondo::interval(24h * 365), rondo::interval(1ns), rondo::interval(3h)}) {
      tasks.push_back(loop.create_task(sleeper(each)));
    }
    tasks.push_back(loop.create_task(busy()));
    for (const auto& each : tasks) co_await each;
  };
  loop.run_until_complete(all());
  CHECK(ends == std::vector<rondo::interval>{1ns, 3h, 24h * 365});
  check_idle(loop);
}

TEST_CASE("timeouts, timers and deadlines are of the virtual clock", "[virtual]") {
  virtual_loop loop;
  const auto body = [&]() -> rondo::coro<> {
    const auto forever = loop.create_future();
    bool timed_out = false;
    try {
      co_await rondo::wait_for(forever, 90min);
    } catch (const rondo::timeout_error&) {
      timed_out = true;
    }
    CHECK(timed_out);
    CHECK(loop.time() == at(90min));
    rondo::time_point called;
    loop.call_later(10min, [&] { called = loop.time(); });
    co_await rondo::sleep_until(at(2h));
    CHECK(called == at(100min));
  };
  loop.run_until_complete(body());
  CHECK(loop.time() == at(2h));
}

TEST_CASE("run_once passes the time that it may wait", "[virtual]") {
  virtual_loop loop;
  int calls = 0;
  loop.call_later(10s, [&] { ++calls; });
  CHECK(loop.run_once() == 0);
  CHECK(loop.time() == at(0s));
  CHECK(loop.run_once(4s) == 0);
  CHECK(loop.time() == at(4s));
  CHECK(loop.run_once(1h) == 1);
  CHECK(loop.time() == at(10s));
  CHECK(calls == 1);
  CHECK(loop.run_once(1h) == 0);
  CHECK(loop.time() == at(1h + 10s));
}

TEST_CASE("advance moves the clock as a slow callback would", "[virtual]") {
  virtual_loop loop;
  std::vector<std::string> seen;
  loop.call_soon([&] {
    loop.advance(5s);
    seen.push_back("slow");
    loop.call_soon([&] { seen.push_back("next"); });
  });
  loop.call_later(1s, [&] { seen.push_back("due"); });
  loop.call_later(6s, [&] {
    seen.push_back("later");
    CHECK(loop.time() == at(6s));
    loop.stop();
  });
  loop.run_forever();
  CHECK(seen.front() == "slow");
  CHECK(seen.back() == "later");
  CHECK(seen.size() == 4);
  CHECK_THROWS_AS(loop.advance(-1ns), std::invalid_argument);
  loop.advance(rondo::interval::max());
  CHECK(loop.time() == rondo::time_point::max());
}

TEST_CASE("a clock that jumps lets every timer run once, late and in order", "[fault-I2]") {
  virtual_loop loop({.shuffle = false});
  std::vector<int> seen;
  for (int i = 10; i > 0; --i) {
    loop.call_later(std::chrono::minutes(i), [&seen, i] { seen.push_back(i); });
  }
  // The machine was suspended.
  CHECK(loop.run_once(1h) == 1);
  loop.advance(8h);
  CHECK(loop.run_once() == 9);
  CHECK(seen == std::vector<int>{1, 2, 3, 4, 5, 6, 7, 8, 9, 10});
  CHECK(loop.run_once() == 0);
  check_idle(loop);
}

TEST_CASE("delays of every kind on the virtual clock", "[fault-I4]") {
  using seconds = std::chrono::duration<double>;
  const double infinity = std::numeric_limits<double>::infinity();
  struct row {
    rondo::interval delay;
    rondo::time_point runs;
  };
  const row rows[] = {
      {0s, at(0s)},
      {-1ns, at(0s)},
      {seconds(-infinity), at(0s)},
      {std::chrono::nanoseconds::min(), at(0s)},
      {1ns, at(1ns)},
      {24h * 25, at(24h * 25)},
      {std::chrono::milliseconds(1LL << 31), at(std::chrono::milliseconds(1LL << 31))},
      {24h * 365 * 100, at(24h * 365 * 100)},
  };
  for (const row& each : rows) {
    virtual_loop loop;
    rondo::time_point ran = rondo::time_point::min();
    loop.call_later(each.delay, [&] {
      ran = loop.time();
      loop.stop();
    });
    loop.run_forever();
    CHECK(ran == each.runs);
  }
  // What is due at the end of time is never due, and nothing else can happen.
  for (const rondo::interval delay : {rondo::interval::max(), rondo::interval(seconds(infinity)),
                                      rondo::interval(seconds(1e300))}) {
    virtual_loop loop;
    loop.call_later(delay, [] { FAIL("the end of time has come"); });
    CHECK_THROWS_AS(loop.run_forever(), deadlock_error);
    CHECK(loop.time() == at(0s));
  }
  virtual_loop loop;
  CHECK_THROWS_AS(loop.call_later(seconds(std::numeric_limits<double>::quiet_NaN()), [] {}),
                  std::invalid_argument);
}

TEST_CASE("a callback that takes seconds is reported, and late timers run once", "[fault-I5]") {
  virtual_loop loop({.shuffle = false});
  loop.set_debug(true);
  const log_capture log;
  std::vector<rondo::interval> ticks;
  // A timer that keeps to its own schedule, whatever it missed.
  const std::function<void(std::chrono::seconds)> tick = [&](std::chrono::seconds planned) {
    ticks.push_back(loop.time() - at(0s));
    std::chrono::seconds next = planned;
    while (at(next) <= loop.time()) next += 1s;
    if (ticks.size() < 4) loop.call_at(at(next), tick, next);
  };
  loop.call_at(at(1s), tick, 1s);
  loop.call_later(1500ms, [&] { loop.advance(5s); });
  loop.call_later(2s, [&] { ticks.push_back(-1s); });
  loop.call_later(20s, [&] { loop.stop(); });
  loop.run_forever();
  CHECK(ticks == std::vector<rondo::interval>{1s, -1s, 6500ms, 7s});
  CHECK(log.count("Executing") == 1);
  CHECK(log.count("took 5.000 seconds") == 1);
  loop.close();
}

// ---- order
// ---------------------------------------------------------------------------------------

TEST_CASE("without shuffling the order is that of every other loop", "[virtual]") {
  virtual_loop loop({.shuffle = false});
  const auto real = rondo::new_event_loop();
  CHECK(order_of(loop) == order_of(*real));
}

TEST_CASE("what became due is found in the next iteration", "[virtual][rule-001]") {
  virtual_loop loop({.shuffle = false});
  std::vector<std::string> seen;
  loop.call_later(500ms, [&] { seen.push_back("timer"); });
  loop.call_soon([&] {
    loop.advance(1s);
    loop.call_soon([&] {
      seen.push_back("second");
      loop.call_soon([&] {
        seen.push_back("third");
        loop.stop();
      });
    });
  });
  loop.run_forever();
  CHECK(seen == std::vector<std::string>{"second", "timer", "third"});
}

TEST_CASE("the seed decides the order of what is ready", "[virtual]") {
  std::set<std::vector<std::string>> orders;
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    virtual_loop first(seed);
    virtual_loop second(seed);
    CHECK(first.seed() == seed);
    const auto order = order_of(first);
    CHECK(order == order_of(second));
    CHECK(first.trace_hash() == second.trace_hash());
    orders.insert(order);
    // A worker's own steps stay in order.
    const auto place = [&](std::string_view name) {
      return std::find(order.begin(), order.end(), name) - order.begin();
    };
    CHECK(place("a0") < place("a1"));
    CHECK(place("a1") < place("a2"));
    CHECK(order.size() == 20);
  }
  CHECK(orders.size() > 15);
}

TEST_CASE("every order of a few tasks comes equally often", "[virtual]") {
  std::map<std::string, int> found;
  const int rounds = 6000;
  for (int seed = 0; seed < rounds; ++seed) {
    virtual_loop loop(static_cast<std::uint64_t>(seed));
    std::string order;
    for (const char name : {'a', 'b', 'c'}) loop.call_soon([&, name] { order += name; });
    loop.run_once();
    ++found[order];
  }
  CHECK(found.size() == 6);
  for (const auto& [order, count] : found) {
    CAPTURE(order, count);
    CHECK(std::abs(count - rounds / 6) < rounds / 60);
  }
}

TEST_CASE("calls of one thread stay in order, whatever the seed", "[virtual][rule-025]") {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    virtual_loop loop(seed);
    std::vector<int> seen;
    std::thread([&] {
      for (int i = 0; i < 10; ++i) loop.call_soon_threadsafe([&, i] { seen.push_back(i); });
    }).join();
    loop.call_soon([] {});
    loop.run_once();
    CHECK(std::is_sorted(seen.begin(), seen.end()));
    CHECK(seen.size() == 10);
  }
}

TEST_CASE("a deadline in the past cancels before the task goes on", "[virtual]") {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    virtual_loop loop(seed);
    const auto body = [&]() -> rondo::coro<> {
      int steps = 0;
      const auto count = [&](rondo::timeout&) -> rondo::coro<> {
        for (;; ++steps) co_await rondo::yield_now();
      };
      bool timed_out = false;
      try {
        co_await rondo::with_timeout(0s, count);
      } catch (const rondo::timeout_error&) {
        timed_out = true;
      }
      CHECK(timed_out);
      CHECK(steps == 0);
    };
    std::vector<rondo::task<>> tasks;
    for (int i = 0; i < 3; ++i) tasks.push_back(loop.create_task(body()));
    for (const auto& each : tasks) loop.run_until_complete(each);
  }
}

TEST_CASE("the trace is the same on every machine and compiler", "[virtual]") {
  const auto program = [](virtual_loop& loop) -> rondo::coro<> {
    rondo::queue<int> queue(2);
    rondo::semaphore places(2);
    const auto produce = [&](int first) -> rondo::coro<> {
      for (int i = first; i < first + 10; ++i) {
        co_await rondo::sleep(std::chrono::microseconds(loop.random() % 100));
        co_await queue.put(i);
      }
    };
    int sum = 0;
    const auto consume = [&]() -> rondo::coro<> {
      for (int i = 0; i < 10; ++i) {
        const auto guard = co_await places.scoped();
        sum += co_await queue.get();
      }
    };
    std::vector<rondo::task<>> tasks;
    for (int i = 0; i < 3; ++i) {
      tasks.push_back(loop.create_task(produce(i * 10)));
      tasks.push_back(loop.create_task(consume()));
    }
    for (const auto& each : tasks) co_await each;
    CHECK(sum == 435);
  };
  const auto hash_of = [&](virtual_options options) {
    virtual_loop loop(options);
    loop.run_until_complete(program(loop));
    return loop.trace_hash();
  };
  const std::uint64_t seven = hash_of({.seed = 7});
  CHECK(seven == hash_of({.seed = 7}));
  CHECK(seven != hash_of({.seed = 8}));
  CHECK(seven != hash_of({.seed = 7, .shuffle = false}));
  CHECK(seven == 17734693556873352170U);
}

// ---- deadlocks
// -----------------------------------------------------------------------------------

TEST_CASE("a deadlock is reported with who waits, and where", "[virtual]") {
  const oracle unchanged;
  const log_capture log;
  virtual_loop loop;
  rondo::lock first;
  rondo::lock second;
  const auto take = [](rondo::lock& one, rondo::lock& other) -> rondo::coro<> {
    const auto outer = co_await one.scoped();
    co_await rondo::sleep(1s);
    const auto inner = co_await other.scoped();
  };
  const auto body = [&]() -> rondo::coro<> {
    const auto left = rondo::create_task(rondo::task_options{.name = "left"}, take, std::ref(first),
                                         std::ref(second));
    const auto right = rondo::create_task(rondo::task_options{.name = "right"}, take,
                                          std::ref(second), std::ref(first));
    co_await left;
    co_await right;
  };
  const std::string text = text_of_deadlock(loop, body());
  CAPTURE(text);
  CHECK(contains(text, "deadlock after 1.000 s"));
  CHECK(contains(text, "left waits"));
  CHECK(contains(text, "right waits"));
  CHECK(contains(text, "virtual_loop_test.cpp:"));
  CHECK(loop.metrics().tasks == 3);
  // The loop is as usable as before.
  for (const auto& each : rondo::all_tasks(loop)) each.cancel();
  while (loop.run_once() > 0) {
  }
  check_idle(loop);
}

TEST_CASE("run() reports a deadlock, too", "[virtual]") {
  const auto wait = []() -> rondo::coro<> { co_await rondo::get_running_loop().create_future(); };
  CHECK_THROWS_AS(rondo::run(wait(), {.loop_factory = []() -> std::unique_ptr<rondo::event_loop> {
                               return std::make_unique<virtual_loop>(3);
                             }}),
                  deadlock_error);
}

TEST_CASE("a loop that nobody can wake says so", "[virtual]") {
  virtual_loop loop;
  CHECK_THROWS_AS(loop.run_forever(), deadlock_error);
  CHECK(loop.run_once() == 0);
  bool ran = false;
  loop.call_soon([&] {
    ran = true;
    loop.stop();
  });
  loop.run_forever();
  CHECK(ran);
}

// ---- other threads
// -------------------------------------------------------------------------------

TEST_CASE("names that other threads resolve take no virtual time", "[virtual]") {
  const oracle unchanged(oracle::scope::threads);
  virtual_loop loop;
  std::promise<void> waits;
  rondo_test::fault<&rondo::os::system_calls::poll> poll;
  poll.hook([&](::pollfd*, nfds_t, int) {
    if (poll.calls() == 1) waits.set_value();
    return std::optional<int>();
  });
  rondo_test::fault<&rondo::os::system_calls::getaddrinfo> getaddrinfo;
  getaddrinfo.hook([&](const char*, const char*, const ::addrinfo*, ::addrinfo**) {
    waits.get_future().wait();
    return std::optional<int>(EAI_NONAME);
  });
  const auto resolve = [&]() -> rondo::coro<> {
    bool unknown = false;
    try {
      co_await rondo::wait_for(loop.getaddrinfo("nobody.example", 80), 1ms);
    } catch (const rondo::resolve_error&) {
      unknown = true;
    }
    CHECK(unknown);
  };
  loop.run_until_complete(resolve());
  CHECK(loop.time() == at(0s));
  CHECK(loop.core().jobs == 0);
}

TEST_CASE("calls in other threads take no virtual time", "[virtual][rule-252]") {
  const oracle unchanged(oracle::scope::threads);
  virtual_loop loop;
  std::promise<void> waits;
  rondo_test::fault<&rondo::os::system_calls::poll> poll;
  poll.hook([&](::pollfd*, nfds_t, int) {
    if (poll.calls() == 1) waits.set_value();
    return std::optional<int>();
  });
  const auto call = [&]() -> rondo::coro<> {
    const auto answer = [&] {
      waits.get_future().wait();
      return 42;
    };
    const int result = co_await rondo::wait_for(rondo::to_thread(answer), 1ms);
    CHECK(result == 42);
    CHECK(loop.time() == at(0s));
    co_await loop.shutdown_default_executor(1ms);
    CHECK(loop.time() == at(0s));
  };
  loop.run_until_complete(call());
  CHECK(loop.core().jobs == 0);
  loop.close();
}

TEST_CASE("a promise of another thread is no deadlock", "[virtual]") {
  virtual_loop loop;
  std::promise<void> waits;
  rondo_test::fault<&rondo::os::system_calls::poll> poll;
  poll.hook([&](::pollfd*, nfds_t, int) {
    if (poll.calls() == 1) waits.set_value();
    return std::optional<int>();
  });
  const auto promise = loop.create_threadsafe_promise<int>();
  std::thread other([&] {
    waits.get_future().wait();
    promise.set_result(7);
  });
  CHECK(loop.run_until_complete(promise.get_future()) == 7);
  other.join();
}

// ---- real descriptors
// ----------------------------------------------------------------------------

TEST_CASE("real descriptors need real_io", "[virtual]") {
  const oracle unchanged;
  const int fd = ::eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC);
  REQUIRE(fd >= 0);
  {
    virtual_loop loop;
    CHECK_THROWS_AS(loop.add_reader(fd, [] {}), std::system_error);
  }
  {
    virtual_loop loop({.real_io = true});
    int calls = 0;
    loop.add_reader(fd, [&] {
      ++calls;
      loop.remove_reader(fd);
    });
    int late = 0;
    loop.call_later(1h, [&] {
      ++late;
      CHECK(calls == 1);
      loop.stop();
    });
    loop.run_forever();
    CHECK(late == 1);
    CHECK(loop.time() == at(1h));
  }
  ::close(fd);
}

TEST_CASE("with real_io a loop without timers waits for the world", "[virtual]") {
  const oracle unchanged(oracle::scope::threads);
  virtual_loop loop({.real_io = true});
  const auto echo = [](rondo::stream_reader& reader,
                       rondo::stream_writer& writer) -> rondo::coro<> {
    const std::string line = co_await reader.readline();
    writer.write(line);
    writer.close();
    co_await writer.wait_closed();
  };
  const auto body = [&]() -> rondo::coro<> {
    const auto serve = [&](rondo::stream_reader reader,
                           rondo::stream_writer writer) -> rondo::coro<> {
      co_await echo(reader, writer);
    };
    rondo::server server = co_await rondo::start_server(serve, "127.0.0.1", 0);
    const std::uint16_t port = server.sockets().front().getsockname().port();
    auto [reader, writer] = co_await rondo::open_connection("127.0.0.1", port);
    writer.write("hello\n");
    const std::string line = co_await reader.readline();
    CHECK(line == "hello\n");
    writer.close();
    co_await writer.wait_closed();
    server.close();
    co_await server.wait_closed();
  };
  loop.run_until_complete(body());
  CHECK(loop.time() == at(0s));
  std::thread other([&] { loop.call_soon_threadsafe([&] { loop.stop(); }); });
  loop.run_forever();
  other.join();
}
