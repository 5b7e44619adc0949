// SPDX-License-Identifier: MIT
// rondo tests: who is served while somebody floods the loop (faults D17, E6, F6, F9; rules
// 225-228), and guests.
#include "support/catch.hpp"
#include "support/fault_table.hpp"
#include "support/oracle.hpp"
#include "support/wait_hook.hpp"

#include <rondo/rondo.hpp>

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

using namespace std::chrono_literals;
using rondo_test::check_idle;
using rondo_test::oracle;

namespace {

using events = std::vector<std::string>;

struct ends {
  std::array<int, 2> fd = {-1, -1};
  ends() { REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd.data()) == 0); }
  ends(const ends&) = delete;
  ends& operator=(const ends&) = delete;
  ~ends() {
    ::close(fd[0]);
    ::close(fd[1]);
  }
  void fill() const { REQUIRE(::write(fd[1], "x", 1) == 1); }
  void empty() const {
    char byte = 0;
    REQUIRE(::read(fd[0], &byte, 1) == 1);
  }
};

struct fixture {
  explicit fixture(oracle::scope counted = oracle::scope::one_thread) : unchanged(counted) {}
  oracle unchanged;
  std::unique_ptr<rondo::event_loop> loop = rondo::new_event_loop();
  events seen;
};

struct threaded_fixture : fixture {
  threaded_fixture() : fixture(oracle::scope::threads) {}
};

rondo::coro<> flood(const bool& stop) {
  while (!stop) co_await rondo::yield_now();
}

void spin(rondo::event_loop& loop, rondo::interval length) {
  const auto until = rondo::detail::add_saturated(loop.time(), length);
  while (loop.time() < until) {
  }
}

}  // namespace

TEST_CASE_METHOD(threaded_fixture, "timers and other threads are served while tasks flood the loop",
                 "[fault-D17]") {
  bool stop = false;
  loop->create_task(flood(stop));
  loop->create_task(flood(stop));
  int ticks = 0;
  std::thread caller;
  std::function<void()> tick = [&] {
    if (++ticks < 20) {
      loop->call_later(100us, std::ref(tick));
      return;
    }
    // The canary: a call from elsewhere, with nothing else that would make the loop look.
    caller = std::thread([&] { loop->call_soon_threadsafe([&] { stop = true; }); });
  };
  loop->call_later(100us, std::ref(tick));
  while (loop->metrics().tasks > 0) {
    loop->call_later(50ms, [&] { loop->stop(); });
    loop->run_forever();
  }
  caller.join();
  CHECK(ticks == 20);
  CHECK(stop);
}

TEST_CASE_METHOD(fixture, "polls come often while tasks flood the loop, more so if they are slow",
                 "[fault-D17][rule-001]") {
  const auto polls_of = [&](int rounds, rondo::interval each) {
    const auto before = loop->metrics().polls;
    loop->run_until_complete(
        [](rondo::event_loop& on, int n, rondo::interval length) -> rondo::coro<> {
          for (int i = 0; i < n; ++i) {
            if (length.count() > 0) spin(on, length);
            co_await rondo::yield_now();
          }
        }(*loop, rounds, each));
    return static_cast<int>(loop->metrics().polls - before);
  };
  // Fast ones: at least every 128th, and by far not each.
  const int fast = polls_of(10'000, rondo::interval());
  CHECK(fast >= 10'000 / 129);
  if (!rondo_test::sanitized) CHECK(fast < 2'000);
  // Slow ones: nearly each, and from the second on.
  CHECK(polls_of(64, 200us) >= 60);
}

TEST_CASE_METHOD(fixture, "a descriptor is served in every iteration of a flood",
                 "[fault-D17][rule-228]") {
  const ends pair;
  bool stop = false;
  int reads = 0;
  loop->add_reader(pair.fd[0], [&] {
    pair.empty();
    if (++reads == 100) {
      stop = true;
    } else {
      pair.fill();
    }
  });
  pair.fill();
  loop->run_until_complete(flood(stop));
  CHECK(reads == 100);
  loop->remove_reader(pair.fd[0]);
}

TEST_CASE_METHOD(fixture, "add_reader again replaces, and a queued call of the first does not run",
                 "[rule-225]") {
  const ends pair;
  pair.fill();
  loop->call_soon([&] { throw rondo::keyboard_interrupt(); });
  loop->add_reader(pair.fd[0], [&] { seen.push_back("first"); });
  // The reader is queued behind the callback that leaves the loop.
  CHECK_THROWS_AS(loop->run_once(), rondo::keyboard_interrupt);
  loop->add_reader(pair.fd[0], [&] {
    seen.push_back("second");
    pair.empty();
  });
  loop->run_once();
  loop->run_once();
  CHECK(seen == events{"second"});
  CHECK(loop->remove_reader(pair.fd[0]));
  CHECK_FALSE(loop->remove_reader(pair.fd[0]));
  CHECK_FALSE(loop->remove_writer(pair.fd[0]));
  check_idle(*loop);
}

TEST_CASE_METHOD(fixture, "a callback that removes another ready descriptor prevents its call",
                 "[rule-226][fault-F6]") {
  const ends a;
  const ends b;
  a.fill();
  b.fill();
  int alive = 1;
  const std::shared_ptr<int> watched(&alive, [](int* count) { --*count; });
  auto copy = watched;
  const auto remove_both = [&](const char* name) {
    return [&, name] {
      seen.push_back(name);
      loop->remove_reader(a.fd[0]);
      loop->remove_reader(b.fd[0]);
    };
  };
  loop->add_reader(a.fd[0], remove_both("reader"));
  loop->add_reader(b.fd[0], remove_both("reader"));
  // A writer of the same descriptor that removes the reader comes after it, a reader that removes
  // the writer before.
  loop->run_once();
  CHECK(seen == events{"reader"});
  loop->add_reader(a.fd[0], [&] {
    seen.push_back("removes the writer");
    CHECK(loop->remove_writer(a.fd[0]));
  });
  loop->add_writer(a.fd[0], [&, copy] { seen.push_back("never"); });
  copy.reset();
  loop->run_once();
  CHECK(seen == events{"reader", "removes the writer"});
  CHECK(watched.use_count() == 1);
  loop->remove_reader(a.fd[0]);
  loop->run_once();
}

TEST_CASE_METHOD(fixture,
                 "a removed reader that is queued survives until its turn, whatever happens",
                 "[rule-226][fault-F6]") {
  const ends a;
  a.fill();
  for (const bool again : {false, true}) {
    loop->call_soon([] { throw rondo::keyboard_interrupt(); });
    loop->add_reader(a.fd[0], [&] { seen.push_back("first"); });
    CHECK_THROWS_AS(loop->run_once(), rondo::keyboard_interrupt);
    CHECK(loop->remove_reader(a.fd[0]));
    if (again) {
      loop->add_reader(a.fd[0], [&] { seen.push_back("second"); });
      CHECK(loop->remove_reader(a.fd[0]));
    }
    loop->run_once();
  }
  CHECK(seen.empty());
  loop->call_soon([] { throw rondo::keyboard_interrupt(); });
  loop->add_reader(a.fd[0], [&] { seen.push_back("first"); });
  CHECK_THROWS_AS(loop->run_once(), rondo::keyboard_interrupt);
  loop->remove_reader(a.fd[0]);
  loop->close();  // with the removed one still queued
}

TEST_CASE_METHOD(fixture, "a descriptor of the library is not the user's to watch or unwatch",
                 "[rule-227]") {
  const ends a;
  rondo::fd_state state(a.fd[0]);
  auto& backend = *loop->core().io;
  backend.open(state);
  CHECK_THROWS_AS(loop->add_reader(a.fd[0], [] {}), std::logic_error);
  CHECK_THROWS_AS(loop->add_writer(a.fd[0], [] {}), std::logic_error);
  CHECK_THROWS_AS(loop->remove_reader(a.fd[0]), std::logic_error);
  CHECK_THROWS_AS(loop->remove_writer(a.fd[0]), std::logic_error);
  CHECK(rondo_test::message_of([&] {
          loop->remove_reader(a.fd[0]);
        }).find("is used by transport") != std::string::npos);
  backend.close(state);
  loop->add_reader(a.fd[0], [] {});
  CHECK(loop->remove_reader(a.fd[0]));
}

TEST_CASE_METHOD(fixture, "bad descriptors", "[api]") {
  CHECK_THROWS_AS(loop->add_reader(-1, [] {}), std::system_error);
  CHECK_THROWS_AS(loop->add_reader(1'000'000'000, [] {}), std::system_error);
  CHECK_THROWS_AS(loop->add_writer(-7, [] {}), std::system_error);
  CHECK_FALSE(loop->remove_reader(-1));
  CHECK_FALSE(loop->remove_writer(1'000'000'000));
  loop->run_once();
}

TEST_CASE_METHOD(fixture, "waiting that is interrupted goes on", "[fault-F9]") {
  int failed = 0;
  const rondo_test::wait_hook wait([&](rondo::interval) {
    return failed < 3 ? (++failed, std::optional<int>(-EINTR)) : std::nullopt;
  });
  loop->call_later(1ms, [&] {
    seen.push_back("timer");
    loop->stop();
  });
  loop->run_forever();
  CHECK(seen == events{"timer"});
  CHECK(failed == 3);
}

TEST_CASE_METHOD(fixture, "waiting that fails is a clear error, and the loop can be run again",
                 "[fault-F9][fault-E18]") {
  {
    const rondo_test::wait_hook wait([](rondo::interval) { return std::optional<int>(-EBADF); });
    CHECK_THROWS_AS(loop->run_forever(), std::system_error);
    CHECK_FALSE(loop->is_running());
    CHECK_THROWS_AS(rondo::get_running_loop(), std::logic_error);
  }
  loop->call_soon_threadsafe([&] {
    seen.push_back("works");
    loop->stop();
  });
  loop->run_forever();
  CHECK(seen == events{"works"});
}

TEST_CASE_METHOD(threaded_fixture, "a full wake-up counter still wakes", "[fault-E6]") {
  int wake = -1;
  for (const auto& each : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code ignored;
    const auto target = std::filesystem::read_symlink(each.path(), ignored).string();
    if (target.find("eventfd") != std::string::npos)
      wake = std::stoi(each.path().filename().string());
  }
  REQUIRE(wake >= 0);
  const std::uint64_t almost_all = ~std::uint64_t{0} - 1;
  REQUIRE(::write(wake, &almost_all, sizeof almost_all) == sizeof almost_all);
  loop->run_once(1ms);  // the edge of that write is used up
  for (int round = 0; round < 3; ++round) {
    bool called = false;
    const rondo_test::wait_hook wait([&](rondo::interval length) {
      // The loop is about to sleep.
      if (!std::exchange(called, length > rondo::interval(1s)) && called) {
        std::thread([&] { loop->call_soon_threadsafe([&] { loop->stop(); }); }).join();
      }
      return std::optional<int>();
    });
    const auto began = loop->time();
    loop->call_later(1h, [] {});
    loop->run_forever();
    CHECK(loop->time() - began < 30min);
  }
}

// ---- guests ----

TEST_CASE_METHOD(threaded_fixture, "a host polls the loop's descriptor", "[guest]") {
  const ends pair;
  const auto readable = [&](int wait = 0) {
    ::pollfd entry = {loop->backend_fd(), POLLIN, 0};
    return ::poll(&entry, 1, wait) == 1;
  };
  REQUIRE(loop->backend_fd() >= 0);
  CHECK_FALSE(loop->backend_timeout().has_value());
  CHECK_FALSE(readable());

  loop->call_soon([&] { seen.push_back("soon"); });
  CHECK(loop->backend_timeout() == rondo::interval());
  CHECK(loop->run_once() == 1);

  const auto timer = loop->call_later(1h, [] {});
  REQUIRE(loop->backend_timeout().has_value());
  CHECK(*loop->backend_timeout() <= rondo::interval(1h));
  CHECK(*loop->backend_timeout() > rondo::interval(30min));
  timer.cancel();

  loop->add_reader(pair.fd[0], [&] {
    pair.empty();
    seen.push_back("reader");
  });
  CHECK_FALSE(readable());
  pair.fill();
  CHECK(readable());
  loop->run_once();
  CHECK_FALSE(readable());

  // Another thread wakes the host, too, whether or not it asked for the timeout first.
  for (const bool asks : {true, false}) {
    if (asks) CHECK_FALSE(loop->backend_timeout().has_value());
    std::thread([&] { loop->call_soon_threadsafe([&] { seen.push_back("threadsafe"); }); }).join();
    CHECK(readable(60'000));
    CHECK(loop->backend_timeout() == rondo::interval());
    CHECK(loop->run_once() == 1);
    CHECK_FALSE(readable());
  }
  // And a signal.
  loop->add_signal_handler(SIGUSR1, [&] { seen.push_back("signal"); });
  ::raise(SIGUSR1);
  CHECK(readable(60'000));
  loop->run_once();
  CHECK(seen == events{"soon", "reader", "threadsafe", "threadsafe", "signal"});
  loop->remove_reader(pair.fd[0]);
}

TEST_CASE_METHOD(threaded_fixture, "a guest runs a program to its end", "[guest]") {
  std::thread other;
  const auto task = loop->create_task([](std::thread& helper) -> rondo::coro<int> {
    co_await rondo::sleep(1ms);
    const auto promise = rondo::get_running_loop().create_threadsafe_promise<int>();
    helper = std::thread([promise] { promise.set_result(20); });
    const int value = co_await promise.get_future();
    co_return value + 1;
  }(other));
  int rounds = 0;
  while (!task.done() && ++rounds < 1000) {
    const auto wait = loop->backend_timeout();
    ::pollfd entry = {loop->backend_fd(), POLLIN, 0};
    ::poll(&entry, 1, wait ? static_cast<int>((wait->count() + 999'999) / 1'000'000) : 60'000);
    loop->run_once();
  }
  other.join();
  CHECK(task.result() == 21);
}

// ---- debug mode ----

TEST_CASE_METHOD(fixture, "debug mode comes from the environment and can be set", "[rule-039]") {
  CHECK_FALSE(loop->get_debug());
  loop->set_debug(true);
  CHECK(loop->get_debug());
  loop->close();
  const rondo_test::log_capture quiet;
  const rondo_test::environment variable("RONDO_DEBUG", "1");
  CHECK(rondo::new_event_loop()->get_debug());
  const rondo_test::environment empty("RONDO_DEBUG", "");
  CHECK_FALSE(rondo::new_event_loop()->get_debug());
}

TEST_CASE_METHOD(fixture, "debug mode names what held the loop up", "[rule-042]") {
  const rondo_test::log_capture reports;
  CHECK(loop->slow_callback_duration == rondo::interval(100ms));
  loop->slow_callback_duration = 2ms;
  const auto slow = [&] { spin(*loop, 3ms); };
  loop->call_soon(slow);
  loop->run_once();
  CHECK(reports.problems().empty());
  loop->set_debug(true);
  loop->call_soon(slow);
  loop->call_soon([] {});
  loop->run_once();
  CHECK(reports.problems().size() == 1);
  CHECK(reports.count("Executing callback ") == 1);
  const auto task = loop->create_task(
      [](rondo::event_loop& on) -> rondo::coro<> {
        spin(on, 3ms);
        co_return;
      }(*loop),
      {.name = "the slow one"});
  loop->run_once();
  CHECK(reports.count("Executing task the slow one took") == 1);
  loop->call_soon([&] {
    slow();
    throw rondo::keyboard_interrupt();
  });
  CHECK_THROWS_AS(loop->run_once(), rondo::keyboard_interrupt);
  CHECK(reports.problems().size() == 3);
  loop->close();
}
