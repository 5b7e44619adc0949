// SPDX-License-Identifier: MIT
// rondo tests: the process pool: results, crashes, limits, and nothing left behind.
#include <rondo/executor.hpp>

#include <rondo/rondo.hpp>

#include "executor/executor_support.hpp"
#include "support/catch.hpp"
#include "support/child.hpp"
#include "support/fault_table.hpp"
#include "support/oracle.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <future>
#include <map>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <type_traits>
#include <typeinfo>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using namespace rondo_test;
using rondo::broken_process_pool;
using rondo::coro;
using rondo::future;
using rondo::process_pool_executor;

/// No child is left, neither running nor dead, and no descriptor.
class children_oracle {
 public:
  children_oracle() { REQUIRE(::waitpid(-1, nullptr, WNOHANG) == -1); }
  children_oracle(const children_oracle&) = delete;
  children_oracle& operator=(const children_oracle&) = delete;
  ~children_oracle() {
    const pid_t left = ::waitpid(-1, nullptr, WNOHANG);
    const int error = errno;
    CHECK(left == -1);
    CHECK(error == ECHILD);
  }

 private:
  oracle others_{oracle::scope::threads};
};

/// Holds children back: they read from it until the parent lets them go on.
class child_gate {
 public:
  child_gate() { REQUIRE(::pipe2(ends_.data(), O_CLOEXEC) == 0); }
  child_gate(const child_gate&) = delete;
  child_gate& operator=(const child_gate&) = delete;
  ~child_gate() {
    open(100);
    ::close(ends_[0]);
    ::close(ends_[1]);
  }
  void pass() const {
    char byte = 0;
    while (::read(ends_[0], &byte, 1) < 0 && errno == EINTR) {
    }
  }
  void open(std::size_t count = 1) const {
    const std::string bytes(count, 'x');
    REQUIRE(::write(ends_[1], bytes.data(), bytes.size()) == static_cast<ssize_t>(count));
  }

 private:
  std::array<int, 2> ends_ = {};
};

struct point {
  double x;
  int y;
  std::array<char, 4> z;
};

TEST_CASE("results of every kind come from another process", "[process-pool]") {
  const children_oracle nothing_left;
  rondo::selector_event_loop loop;
  process_pool_executor pool(2);
  int here = 1;
  const auto body = [&]() -> coro<> {
    const pid_t pid = co_await loop.run_in_executor(&pool, [] { return ::getpid(); });
    CHECK(pid != ::getpid());
    const point made = co_await loop.run_in_executor(&pool, [] {
      return point{2.5, 7, {'a', 'b', 'c', 'd'}};
    });
    CHECK(made.x == 2.5);
    CHECK(made.y == 7);
    CHECK(made.z[3] == 'd');
    std::string text = co_await loop.run_in_executor(&pool, [] { return std::string("a\0b", 3); });
    CHECK(text == std::string("a\0b", 3));
    const std::string empty = co_await loop.run_in_executor(&pool, [] { return std::string(); });
    CHECK(empty.empty());
    const auto change = [&] { here = 2; };
    co_await loop.run_in_executor(&pool, change);
    CHECK(here == 1);
    const auto look = [&](int more) { return here + more; };
    const int sum = co_await loop.run_in_executor(&pool, look, 40);
    CHECK(sum == 41);
    const auto count = [](const std::string& word, const std::vector<int>& numbers) {
      return word.size() + numbers.size();
    };
    std::vector<int> numbers(10);
    const std::size_t size =
        co_await loop.run_in_executor(&pool, count, std::string("four"), numbers);
    CHECK(size == 14);
    const auto maybe = co_await loop.run_in_executor(&pool, [] { return std::optional<int>(3); });
    CHECK(maybe == 3);
  };
  loop.run_until_complete(body());
  check_idle(loop);
  loop.close();
}

TEST_CASE("a large result does not hold the child up, nor the shutdown", "[process-pool]") {
  const children_oracle nothing_left;
  rondo::selector_event_loop loop;
  process_pool_executor pool(1);
  constexpr std::size_t size = 10'000'000;
  const auto make = [] {
    std::string big(size, 'a');
    big[12'345] = 'b';
    big.back() = 'z';
    return big;
  };
  const future<std::string> result = loop.run_in_executor(&pool, make);
  pool.shutdown();  // waits for the process, which nobody reads from
  CHECK(pool.processes() == 0);
  CHECK_FALSE(result.done());
  const std::string expected = make();
  loop.run_until_complete(result);
  CHECK((result.result() == expected));
  loop.close();
}

TEST_CASE("results that cannot cross are refused before anything runs", "[process-pool]") {
  const children_oracle nothing_left;
  rondo::selector_event_loop loop;
  process_pool_executor pool(1);
  static int somewhere = 0;
  const auto refused = [&](auto job) {
    return thrown_by<std::invalid_argument>([&] { loop.run_in_executor(&pool, job); })
        .starts_with("a result of this type cannot come");
  };
  CHECK(refused([] { return std::vector<int>(); }));
  CHECK(refused([] { return &somewhere; }));
  CHECK(refused([]() -> int& { return somewhere; }));
  CHECK(refused([] { return std::string_view("x"); }));
  CHECK(refused([] { return std::make_unique<int>(1); }));
  CHECK(thrown_by<std::invalid_argument>([&] { pool.submit(rondo::executor_job([] {})); }) ==
        "a process pool takes the jobs of run_in_executor only");
  settle(loop);
  CHECK(loop.core().resources == nullptr);
  loop.close();
}

// ---- errors ----------------------------------------------------------------------------

struct own_error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

TEST_CASE("exceptions come back with their text", "[fault-N1]") {
  const children_oracle nothing_left;
  rondo::selector_event_loop loop;
  process_pool_executor pool(1);
  const auto run = [&](auto job) {
    return [&loop, &pool, job] { loop.run_until_complete(loop.run_in_executor(&pool, job)); };
  };
  const auto exactly = [&]<class E>(std::type_identity<E>, auto job) -> std::string {
    try {
      run(job)();
    } catch (const std::exception& error) {
      return typeid(error) == typeid(E) ? error.what()
                                        : std::string("another: ") + typeid(error).name();
    }
    return "nothing";
  };
  CHECK(exactly(std::type_identity<std::runtime_error>(),
                [] { throw std::runtime_error("plain"); }) == "plain");
  CHECK(exactly(std::type_identity<std::runtime_error>(), [] { throw own_error("mine"); }) ==
        "mine");
  CHECK(exactly(std::type_identity<std::runtime_error>(), [] { throw std::bad_alloc(); }) ==
        "std::bad_alloc");
  CHECK(exactly(std::type_identity<std::invalid_argument>(),
                [] { throw std::invalid_argument("bad"); }) == "bad");
  CHECK(exactly(std::type_identity<std::out_of_range>(), [] { throw std::out_of_range("far"); }) ==
        "far");
  CHECK(exactly(std::type_identity<std::logic_error>(), [] { throw std::length_error("long"); }) ==
        "long");
  CHECK(exactly(std::type_identity<std::runtime_error>(),
                [] { throw rondo::cancelled_error("cancelled there"); }) == "cancelled there");
  CHECK(exactly(std::type_identity<std::runtime_error>(), [] {
          throw 5;
        }).find("threw something") != std::string::npos);
  const std::string big(1'000'000, 'e');
  CHECK((exactly(std::type_identity<std::runtime_error>(),
                 [&] { throw std::runtime_error(big); }) == big));
  for (const std::error_category* each : {&std::system_category(), &std::generic_category()}) {
    try {
      run([each] { throw std::system_error(ENOENT, *each, "the file"); })();
      FAIL("nothing was thrown");
    } catch (const std::system_error& error) {
      CHECK(error.code() == std::error_code(ENOENT, *each));
      CHECK(std::string(error.what()) == "the file: No such file or directory");
    }
  }
  // A code of another category means nothing elsewhere.
  CHECK(exactly(std::type_identity<std::runtime_error>(), [] {
          throw std::system_error(std::make_error_code(std::future_errc::no_state), "odd");
        }).starts_with("odd: "));
  loop.close();
}

TEST_CASE("a crash is an exception here, and others go on", "[process-pool]") {
  const children_oracle nothing_left;
  rondo::selector_event_loop loop;
  process_pool_executor pool(2);
  const auto how = [&](auto job) {
    std::pair<int, std::optional<int>> found{-1, -1};
    try {
      loop.run_until_complete(loop.run_in_executor(&pool, job));
    } catch (const broken_process_pool& broken) {
      found = {broken.signal, broken.exit_code};
      CHECK(std::string(broken.what()).starts_with("a process "));
    }
    return found;
  };
  using ending = std::pair<int, std::optional<int>>;
  CHECK(how([] { ::raise(SIGKILL); }) == ending{SIGKILL, std::nullopt});
  CHECK(how([] {
          ::signal(SIGSEGV, SIG_DFL);
          ::raise(SIGSEGV);
        }) == ending{SIGSEGV, std::nullopt});
  CHECK(how([] {
          ::signal(SIGABRT, SIG_DFL);
          std::abort();
        }) == ending{SIGABRT, std::nullopt});
  CHECK(how([] { ::_exit(3); }) == ending{0, 3});
  if (!sanitized) {
    CHECK(how([] { std::exit(3); }) == ending{0, 3});
    CHECK(how([] {
            ::signal(SIGABRT, SIG_DFL);
            std::terminate();
          }) == ending{SIGABRT, std::nullopt});
  }
  CHECK(how([] { ::_exit(0); }) == ending{0, 0});
  CHECK(thrown_by<broken_process_pool>([&] {
          loop.run_until_complete(loop.run_in_executor(&pool, [] { ::_exit(4); }));
        }) == "a process left with exit code 4 before it had a result");
  CHECK(thrown_by<broken_process_pool>([&] {
          loop.run_until_complete(loop.run_in_executor(&pool, [] { ::raise(SIGKILL); }));
        }) == "a process was killed by signal 9 before it had a result");
  CHECK(loop.run_until_complete(loop.run_in_executor(&pool, [] { return 5; })) == 5);
  loop.close();
}

TEST_CASE("a call that closes all descriptors is broken when it ends, and holds nobody up",
          "[process-pool]") {
  const children_oracle nothing_left;
  rondo::selector_event_loop loop;
  process_pool_executor pool(1);
  const child_gate held;
  // The gate's descriptors are the lowest ones; what the pool made comes later.
  int highest = 0;
  {
    const int probe = ::dup(0);
    highest = probe;
    ::close(probe);
  }
  const future<void> result = loop.run_in_executor(&pool, [&held, highest] {
    for (int fd = highest; fd < highest + 50; ++fd) ::close(fd);
    held.pass();
  });
  int ticks = 0;
  while (ticks < 20) {
    loop.run_once(1ms);
    ++ticks;
  }
  CHECK_FALSE(result.done());
  held.open();
  CHECK(thrown_by<broken_process_pool>([&] { loop.run_until_complete(result); }) ==
        "a process left with exit code 0 before it had a result");
  loop.close();
}

TEST_CASE("a program that ignores SIGCHLD gets its results, but no reasons", "[process-pool]") {
  const children_oracle nothing_left;
  ::signal(SIGCHLD, SIG_IGN);
  {
    rondo::selector_event_loop loop;
    process_pool_executor pool(1);
    CHECK(loop.run_until_complete(loop.run_in_executor(&pool, [] { return 5; })) == 5);
    try {
      loop.run_until_complete(loop.run_in_executor(&pool, [] { ::_exit(3); }));
      FAIL("there was a result");
    } catch (const broken_process_pool& broken) {
      CHECK(broken.signal == 0);
      CHECK_FALSE(broken.exit_code);
    }
    const child_gate held;
    loop.run_in_executor(&pool, [&] { held.pass(); });
    held.open();
    pool.shutdown();
    loop.close();
  }
  ::signal(SIGCHLD, SIG_DFL);
}

// ---- what the child may do -----------------------------------------------------------------

TEST_CASE("a call may allocate, print, and run a loop of its own, but not its parent's",
          "[process-pool]") {
  const children_oracle nothing_left;
  rondo::selector_event_loop loop;
  process_pool_executor pool(1);
  const auto body = [&]() -> coro<> {
    const auto work = [] {
      std::map<int, std::string> tree;
      for (int i = 0; i < 10'000; ++i)
        tree[i] = std::string(static_cast<std::size_t>(i % 100), 'x');
      return tree.size();
    };
    const std::size_t size = co_await loop.run_in_executor(&pool, work);
    CHECK(size == 10'000);
    const auto uses_loop = [] {
      return thrown_by<std::logic_error>([] { static_cast<void>(rondo::get_running_loop()); });
    };
    const std::string text = co_await loop.run_in_executor(&pool, uses_loop);
    CHECK(text == "no running event loop");
    const auto schedules = [&] {
      return thrown_by<std::logic_error>([&] { loop.call_soon([] {}); });
    };
    const std::string forked = co_await loop.run_in_executor(&pool, schedules);
    CHECK(forked.find("fork") != std::string::npos);
    const auto nested = [&] {
      return thrown_by<std::logic_error>([&] { loop.run_in_executor(&pool, [] {}); });
    };
    const std::string again = co_await loop.run_in_executor(&pool, nested);
    CHECK(again.find("fork") != std::string::npos);
    const auto own = [] { return rondo::run([]() -> coro<int> { co_return 6; }); };
    const int result = co_await loop.run_in_executor(&pool, own);
    CHECK(result == 6);
    const auto current = [] { return static_cast<bool>(rondo::current_task()); };
    const bool has_task = co_await loop.run_in_executor(&pool, current);
    CHECK_FALSE(has_task);
  };
  loop.run_until_complete(body());
  loop.close();
}

TEST_CASE("what is printed is printed once", "[process-pool]") {
  const children_oracle nothing_left;
  std::array<int, 2> ends = {};
  REQUIRE(::pipe2(ends.data(), O_CLOEXEC) == 0);
  const int saved = ::dup(1);
  REQUIRE(saved >= 0);
  std::fflush(stdout);
  ::dup2(ends[1], 1);
  {
    rondo::selector_event_loop loop;
    process_pool_executor pool(1);
    std::printf("before ");
    loop.run_until_complete(loop.run_in_executor(&pool, [] { std::printf("inside "); }));
    std::printf("after");
    std::fflush(stdout);
    loop.close();
  }
  ::dup2(saved, 1);
  ::close(saved);
  ::close(ends[1]);
  std::array<char, 100> text = {};
  const ssize_t size = ::read(ends[0], text.data(), text.size());
  ::close(ends[0]);
  CHECK(std::string_view(text.data(), static_cast<std::size_t>(size)) == "before inside after");
}

TEST_CASE("the child runs in an empty context", "[rule-032]") {
  const children_oracle nothing_left;
  static const rondo::context_var<int> variable("variable", 0);
  rondo::selector_event_loop loop;
  process_pool_executor pool(1);
  const auto body = [&]() -> coro<> {
    variable.set(5);
    const int seen = co_await loop.run_in_executor(&pool, [] { return variable.get(); });
    CHECK(seen == 0);
  };
  loop.run_until_complete(body());
  loop.close();
}

// ---- the queue ---------------------------------------------------------------------------

TEST_CASE("a hundred calls, two processes at a time", "[process-pool]") {
  const children_oracle nothing_left;
  constexpr int calls = sanitized ? 30 : 100;
  rondo::selector_event_loop loop;
  process_pool_executor pool(2);
  CHECK(pool.max_processes() == 2);
  std::size_t most = 0;
  const auto body = [&]() -> coro<int> {
    std::vector<future<int>> results;
    for (int i = 0; i < calls; ++i)
      results.push_back(loop.run_in_executor(&pool, [i] { return i; }));
    int sum = 0;
    for (const auto& each : results) {
      most = std::max(most, pool.processes());
      const int result = co_await each;
      sum += result;
    }
    co_return sum;
  };
  CHECK(loop.run_until_complete(body()) == calls * (calls - 1) / 2);
  CHECK(most == 2);
  loop.close();
}

TEST_CASE("cancelling stops a queued call only", "[rule-062][fault-N1]") {
  const children_oracle nothing_left;
  rondo::selector_event_loop loop;
  process_pool_executor pool(1);
  const child_gate held;
  std::array<int, 2> trace = {};
  REQUIRE(::pipe2(trace.data(), O_CLOEXEC | O_NONBLOCK) == 0);
  const auto say = [&](char what) { return ::write(trace[1], &what, 1) == 1; };
  const future<bool> running = loop.run_in_executor(&pool, [&] {
    held.pass();
    return say('r');
  });
  const future<bool> queued = loop.run_in_executor(&pool, [&] { return say('q'); });
  const future<bool> next = loop.run_in_executor(&pool, [&] { return say('n'); });
  CHECK(queued.cancel());
  CHECK(running.cancel());
  held.open();
  CHECK(loop.run_until_complete(next));
  std::array<char, 10> bytes = {};
  CHECK(::read(trace[0], bytes.data(), bytes.size()) == 2);
  CHECK(std::string_view(bytes.data()) == "rn");
  CHECK(running.cancelled());
  ::close(trace[0]);
  ::close(trace[1]);
  loop.close();
}

TEST_CASE("a pool that goes waits for its processes and drops the queue", "[fault-N3]") {
  const children_oracle nothing_left;
  rondo::selector_event_loop loop;
  const child_gate held;
  auto pool = std::make_unique<process_pool_executor>(1);
  const future<int> running = loop.run_in_executor(pool.get(), [&] {
    held.pass();
    return 1;
  });
  const future<int> queued = loop.run_in_executor(pool.get(), [] { return 2; });
  held.open();
  pool.reset();
  CHECK(loop.run_until_complete(running) == 1);
  CHECK(queued.cancelled());
  check_idle(loop);
  loop.close();
}

TEST_CASE("shutdown without waiting lets the queue go on", "[fault-N3]") {
  const children_oracle nothing_left;
  rondo::selector_event_loop loop;
  process_pool_executor pool(1);
  const future<int> first = loop.run_in_executor(&pool, [] { return 1; });
  const future<int> second = loop.run_in_executor(&pool, [] { return 2; });
  pool.shutdown(false);
  CHECK(thrown_by<std::logic_error>([&] { loop.run_in_executor(&pool, [] {}); }) ==
        "cannot schedule new futures after shutdown");
  CHECK(loop.run_until_complete(second) == 2);
  CHECK(first.result() == 1);
  loop.close();
}

TEST_CASE("the processes of a pool can be ended", "[process-pool]") {
  const children_oracle nothing_left;
  rondo::selector_event_loop loop;
  const child_gate held;
  // The framework of these tests handles it.
  auto* const before = ::signal(SIGTERM, SIG_DFL);
  for (const int number : {SIGTERM, SIGKILL}) {
    process_pool_executor pool(2);
    const future<void> first = loop.run_in_executor(&pool, [&] { held.pass(); });
    const future<void> second = loop.run_in_executor(&pool, [&] { held.pass(); });
    const future<void> queued = loop.run_in_executor(&pool, [] {});
    if (number == SIGTERM) {
      pool.terminate_workers();
    } else {
      pool.kill_workers();
    }
    for (const auto& each : {first, second}) {
      try {
        loop.run_until_complete(each);
        FAIL("it was not ended");
      } catch (const broken_process_pool& broken) {
        CHECK(broken.signal == number);
      }
    }
    settle(loop);
    CHECK(queued.cancelled());
    CHECK_THROWS_AS(loop.run_in_executor(&pool, [] {}), std::logic_error);
  }
  ::signal(SIGTERM, before);
  loop.close();
}

TEST_CASE("the number of processes may be any integer that makes sense", "[process-pool]") {
  CHECK_THROWS_AS(process_pool_executor(-1), std::invalid_argument);
  CHECK(process_pool_executor(std::size_t{3}).max_processes() == 3);
  CHECK(process_pool_executor().max_processes() ==
        std::max(1U, std::thread::hardware_concurrency()));
}

// ---- loops that close -------------------------------------------------------------------

TEST_CASE("a loop closes while processes run, wait and have ended", "[rule-020]") {
  const children_oracle nothing_left;
  const child_gate held;
  process_pool_executor pool(2);
  {
    rondo::selector_event_loop loop;
    const future<int> running = loop.run_in_executor(&pool, [&] {
      held.pass();
      return 1;
    });
    loop.run_in_executor(&pool, [] { return 2; });
    const future<int> queued = loop.run_in_executor(&pool, [] { return 3; });
    loop.run_in_executor(&pool, [] { return 4; }).cancel();
    loop.close();
    CHECK_FALSE(running.done());
    CHECK_FALSE(queued.done());
  }
  // The pool goes on with other loops, and has its children reaped in the end.
  rondo::selector_event_loop other;
  CHECK(other.run_until_complete(other.run_in_executor(&pool, [] { return 5; })) == 5);
  other.close();
  CHECK(pool.processes() >= 1);
  held.open();
}

TEST_CASE("a queued call begins in its own loop, though another one's place became free",
          "[process-pool]") {
  const children_oracle nothing_left;
  const child_gate held;
  process_pool_executor pool(1);
  rondo::selector_event_loop first;
  rondo::selector_event_loop second;
  rondo::selector_event_loop third;
  const future<int> a = first.run_in_executor(&pool, [&] {
    held.pass();
    return 1;
  });
  const future<int> lost = third.run_in_executor(&pool, [] { return 3; });
  const future<int> granted = third.run_in_executor(&pool, [] { return 4; });
  const future<int> b = second.run_in_executor(&pool, [] { return 2; });
  lost.cancel();
  settle(third);
  held.open();
  CHECK(first.run_until_complete(a) == 1);
  while (pool.processes() != 0) first.run_once(1ms);
  // The place is third's now; it closes without having used it.
  third.close();
  CHECK(second.run_until_complete(b) == 2);
  CHECK_FALSE(granted.done());
  first.close();
  second.close();
}

TEST_CASE("loops in several threads share a process pool", "[process-pool]") {
  if (sanitized) return;  // children of a process with threads are not for sanitizers
  const children_oracle nothing_left;
  process_pool_executor pool(2);
  std::array<int, 3> sums = {};
  std::vector<std::thread> threads;
  for (std::size_t which = 0; which < sums.size(); ++which) {
    threads.emplace_back([&, which] {
      sums[which] = rondo::run([&]() -> coro<int> {
        rondo::event_loop& loop = rondo::get_running_loop();
        std::vector<future<int>> results;
        for (int i = 0; i < 20; ++i) {
          results.push_back(loop.run_in_executor(&pool, [i] { return i; }));
        }
        int sum = 0;
        for (const auto& each : results) {
          const int result = co_await each;
          sum += result;
        }
        co_return sum;
      });
    });
  }
  for (std::thread& each : threads) each.join();
  CHECK(sums == std::array<int, 3>{190, 190, 190});
}

TEST_CASE("only the thread of the loop may submit its calls", "[process-pool]") {
  if (sanitized) return;
  const children_oracle nothing_left;
  rondo::selector_event_loop loop;
  process_pool_executor pool(1);
  struct elsewhere final : rondo::executor {
    explicit elsewhere(rondo::executor& where) : inner(where) {}
    void submit(rondo::executor_job job) override {
      std::thread([&] {
        text = thrown_by<std::logic_error>([&] { inner.submit(std::move(job)); });
      }).join();
    }
    rondo::executor& inner;
    std::string text;
  } other(pool);
  const auto body = [&]() -> coro<> {
    const future<int> result = loop.run_in_executor(&other, [] { return 1; });
    co_await rondo::sleep(0s);
    co_await rondo::sleep(0s);
    CHECK(result.cancelled());
  };
  loop.run_until_complete(body());
  CHECK(other.text == "a process pool is used from the thread of the loop");
  loop.close();
}

TEST_CASE("a child of fork may close the loop and drop the pool of its parent", "[fault-E8]") {
  if (sanitized) return;
  const children_oracle nothing_left;
  auto loop = std::make_unique<rondo::selector_event_loop>();
  auto pool = std::make_unique<process_pool_executor>(1);
  const child_gate held;
  const future<int> result = loop->run_in_executor(pool.get(), [&] {
    held.pass();
    return 1;
  });
  loop->run_in_executor(pool.get(), [] {});
  const child_result child = run_in_child([&]() -> std::string {
    loop->close();
    pool->kill_workers();
    pool->shutdown();
    if (pool->processes() != 0) return "it has processes";
    pool.reset();
    return "fine";
  });
  CHECK(child.output == "fine");
  held.open();
  CHECK(loop->run_until_complete(result) == 1);
  pool.reset();
  loop->close();
}

// ---- faults ----------------------------------------------------------------------------

template <auto Entry>
void fails_at_call(int error) {
  const children_oracle nothing_left;
  rondo::selector_event_loop loop;
  process_pool_executor pool(1);
  bool failed = false;
  {
    fault<Entry> call;
    call.fail(1, error);
    const future<int> result = loop.run_in_executor(&pool, [] { return 1; });
    try {
      loop.run_until_complete(result);
    } catch (const std::system_error& thrown) {
      failed = thrown.code().value() == error;
    }
    CHECK(call.failed() == 1);
  }
  CHECK(failed);
  while (pool.processes() != 0) loop.run_once(1ms);
  // And its place is free again.
  CHECK(loop.run_until_complete(loop.run_in_executor(&pool, [] { return 2; })) == 2);
  check_idle(loop);
  loop.close();
}

TEST_CASE("what a process needs may be missing: the await says so", "[fault-N2]") {
  using calls = rondo::os::system_calls;
  fails_at_call<&calls::fork>(EAGAIN);
  fails_at_call<&calls::fork>(ENOMEM);
  fails_at_call<&calls::pipe2>(EMFILE);
  fails_at_call<&calls::memfd_create>(EMFILE);
  fails_at_call<&calls::epoll_ctl>(ENOSPC);
  fails_at_call<&calls::fcntl>(EINVAL);
  fails_at_call<&calls::pread>(EIO);
}

TEST_CASE("a queued call whose process cannot be made does not hold up the next", "[fault-N2]") {
  const children_oracle nothing_left;
  rondo::selector_event_loop loop;
  process_pool_executor pool(1);
  fault<&rondo::os::system_calls::fork> call;
  call.fail(2, EAGAIN);
  const future<int> first = loop.run_in_executor(&pool, [] { return 1; });
  const future<int> second = loop.run_in_executor(&pool, [] { return 2; });
  const future<int> third = loop.run_in_executor(&pool, [] { return 3; });
  CHECK(loop.run_until_complete(third) == 3);
  CHECK(first.result() == 1);
  CHECK_THROWS_AS(second.result(), std::system_error);
  loop.close();
}

TEST_CASE("the child cannot write its result", "[fault-N2]") {
  const children_oracle nothing_left;
  rondo::selector_event_loop loop;
  process_pool_executor pool(1);
  {
    // In the child only its first two writes matter.
    fault<&rondo::os::system_calls::write> write;
    write.fail(1, ENOSPC);
    try {
      loop.run_until_complete(loop.run_in_executor(&pool, [] { return 1; }));
      FAIL("there was a result");
    } catch (const std::system_error& error) {
      CHECK(error.code().value() == ENOSPC);
    }
  }
  {
    fault<&rondo::os::system_calls::write> write;
    write.at_most(1'000);
    const auto make = [] { return std::string(10'500, 'x'); };
    const future<std::string> result = loop.run_in_executor(&pool, make);
    loop.run_until_complete(result);
    CHECK((result.result() == make()));
  }
  {
    fault<&rondo::os::system_calls::write> write;
    write.fail_every_other(EINTR);
    CHECK(loop.run_until_complete(loop.run_in_executor(&pool, [] { return 1; })) == 1);
  }
  loop.close();
}

TEST_CASE("reading and waiting are interrupted", "[process-pool]") {
  const children_oracle nothing_left;
  rondo::selector_event_loop loop;
  process_pool_executor pool(1);
  fault<&rondo::os::system_calls::read> read;
  fault<&rondo::os::system_calls::pread> pread;
  fault<&rondo::os::system_calls::waitpid> waitpid;
  fault<&rondo::os::system_calls::waitid> waitid;
  read.fail_every_other(EINTR);
  pread.fail_every_other(EINTR).at_most(3);
  waitpid.fail_every_other(EINTR);
  waitid.fail(1, EINTR, 3);
  CHECK(loop.run_until_complete(loop.run_in_executor(&pool, [] { return 1.5; })) == 1.5);
  CHECK(thrown_by<broken_process_pool>([&] {
          loop.run_until_complete(loop.run_in_executor(&pool, [] { ::_exit(7); }));
        }) == "a process left with exit code 7 before it had a result");
  const child_gate held;
  loop.run_in_executor(&pool, [&] { held.pass(); });
  held.open();
  pool.shutdown();
  CHECK(waitid.failed() == 3);
  loop.close();
}

}  // namespace
