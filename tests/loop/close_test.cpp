// SPDX-License-Identifier: MIT
// rondo tests: closing and destroying loops (rules 20-22, 45; faults E1, E4, E15).
#include "support/catch.hpp"
#include "support/child.hpp"
#include "support/oracle.hpp"

#include <rondo/rondo.hpp>

#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

using namespace std::chrono_literals;
using rondo_test::check_idle;
using rondo_test::log_capture;
using rondo_test::oracle;

namespace {

using events = std::vector<std::string>;

rondo::coro<int> answer() { co_return 42; }

struct witness {
  explicit witness(int& count) : alive(&count) { ++*alive; }
  witness(const witness& other) : alive(other.alive) { ++*alive; }
  witness& operator=(const witness&) = delete;
  ~witness() { --*alive; }
  int* alive;
};

}  // namespace

TEST_CASE("close is refused while the loop runs, and idempotent", "[rule-020]") {
  const oracle unchanged;
  const auto loop = rondo::new_event_loop();
  bool refused = false;
  loop->call_soon([&] {
    try {
      loop->close();
    } catch (const rondo::loop_running_error& error) {
      refused = std::string(error.what()) == "Cannot close a running event loop";
    }
    loop->stop();
  });
  loop->run_forever();
  CHECK(refused);
  CHECK_FALSE(loop->is_closed());
  loop->close();
  CHECK(loop->is_closed());
  loop->close();
  CHECK(loop->is_closed());
}

TEST_CASE("close drops what is queued without running it", "[rule-020]") {
  const oracle unchanged;
  int alive = 0;
  int calls = 0;
  const auto loop = rondo::new_event_loop();
  const auto call = [&, w = witness(alive)] { ++calls; };
  loop->call_soon(call);
  loop->call_later(-1s, call);
  loop->call_later(1h, call);
  loop->call_soon_threadsafe(call);
  const auto future = loop->create_future<void>();
  future.add_done_callback(call);
  future.set_result();
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  loop->add_writer(ends[1], call);
  loop->add_reader(ends[0], call);
  loop->add_signal_handler(SIGUSR1, call);
  CHECK(alive == 9);
  loop->close();
  CHECK(alive == 1);
  CHECK(calls == 0);
  check_idle(*loop);
  ::close(ends[0]);
  ::close(ends[1]);
}

TEST_CASE("what is queued and ready when the loop closes goes, too", "[rule-020]") {
  const oracle unchanged;
  int alive = 0;
  std::array<int, 2> ends{};
  REQUIRE(::pipe(ends.data()) == 0);
  {
    const auto loop = rondo::new_event_loop();
    // The reader stands in the ready queue, behind what leaves the loop.
    loop->call_soon([] { throw rondo::keyboard_interrupt(); });
    loop->add_writer(ends[1], [w = witness(alive)] {});
    loop->call_later(-1s, [w = witness(alive)] {});
    CHECK_THROWS_AS(loop->run_forever(), rondo::keyboard_interrupt);
    CHECK(alive == 2);
    loop->close();
    CHECK(alive == 0);
  }
  ::close(ends[0]);
  ::close(ends[1]);
}

TEST_CASE("destructors of dropped callbacks may use the loop", "[rule-020]") {
  const oracle unchanged;
  const auto loop = rondo::new_event_loop();
  struct busy {
    rondo::event_loop* loop;
    rondo::handle* other;
    explicit busy(rondo::event_loop& where, rondo::handle& handle) : loop(&where), other(&handle) {}
    busy(busy&& from) noexcept : loop(std::exchange(from.loop, nullptr)), other(from.other) {}
    busy& operator=(busy&&) = delete;
    ~busy() {
      if (loop == nullptr) return;
      other->cancel();
      loop->remove_reader(0);
      loop->close();
      try {
        loop->call_soon([] {});
      } catch (const rondo::loop_closed_error&) {
      }
    }
  };
  rondo::handle timer = loop->call_later(1h, [] {});
  rondo::handle ready;
  loop->call_soon([b = busy(*loop, timer)] {});
  ready = loop->call_soon([] {});
  loop->call_later(2h, [b = busy(*loop, ready)] {});
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  loop->add_reader(ends[0], [b = busy(*loop, ready)] {});
  loop->close();
  ::close(ends[0]);
  ::close(ends[1]);
}

TEST_CASE("every public method of a closed loop", "[rule-021][fault-E4]") {
  const oracle unchanged;
  const log_capture reports;
  const auto loop = rondo::new_event_loop();
  rondo::event_loop& closed = *loop;
  const auto future = closed.create_future<int>();
  closed.close();
  const rondo::context context;

  const std::vector<std::pair<std::string, std::function<void()>>> refused = {
      {"run_forever", [&] { closed.run_forever(); }},
      {"run_until_complete coro", [&] { closed.run_until_complete(answer()); }},
      {"run_until_complete future", [&] { closed.run_until_complete(future); }},
      {"run_until_complete any_future",
       [&] { closed.run_until_complete(rondo::any_future(future)); }},
      {"run_once", [&] { closed.run_once(); }},
      {"call_soon", [&] { closed.call_soon([] {}); }},
      {"call_soon context", [&] { closed.call_soon(context, [] {}); }},
      {"call_soon_threadsafe", [&] { closed.call_soon_threadsafe([] {}); }},
      {"call_soon_threadsafe context", [&] { closed.call_soon_threadsafe(context, [] {}); }},
      {"call_later", [&] { closed.call_later(1s, [] {}); }},
      {"call_later now", [&] { closed.call_later(0s, [] {}); }},
      {"call_later context", [&] { closed.call_later(context, 1s, [] {}); }},
      {"call_at", [&] { closed.call_at(rondo::clock::now(), [] {}); }},
      {"call_at context", [&] { closed.call_at(context, rondo::clock::now(), [] {}); }},
      {"create_future", [&] { static_cast<void>(closed.create_future<int>()); }},
      {"future", [&] { const rondo::future<int> made(closed); }},
      {"create_threadsafe_promise",
       [&] { static_cast<void>(closed.create_threadsafe_promise<int>()); }},
      {"create_task", [&] { closed.create_task(answer()); }},
      {"create_task options", [&] { closed.create_task(answer(), {.name = "x"}); }},
      {"create_task function", [&] { closed.create_task(answer); }},
      {"make_task", [&] { rondo::make_task(closed, answer(), {}); }},
      {"eager_task_factory", [&] { rondo::eager_task_factory(closed, answer(), {}); }},
      {"add_reader", [&] { closed.add_reader(0, [] {}); }},
      {"add_writer", [&] { closed.add_writer(1, [] {}); }},
      {"add_signal_handler", [&] { closed.add_signal_handler(SIGUSR1, [] {}); }},
  };
  for (const auto& [name, call] : refused) {
    INFO(name);
    CHECK_THROWS_AS(call(), rondo::loop_closed_error);
    CHECK(rondo_test::message_of(call) == "Event loop is closed");
  }

  CHECK_FALSE(closed.remove_reader(0));
  CHECK_FALSE(closed.remove_writer(1));
  CHECK_FALSE(closed.remove_signal_handler(SIGUSR1));
  closed.close();
  closed.stop();
  CHECK(closed.is_closed());
  CHECK_FALSE(closed.is_running());
  CHECK(closed.time() > rondo::time_point());
  closed.set_debug(closed.get_debug());
  closed.set_exception_handler(closed.get_exception_handler());
  closed.set_task_factory(closed.get_task_factory());
  CHECK(closed.metrics().handles == 0);
  CHECK(closed.backend_fd() == -1);
  static_cast<void>(closed.backend_timeout());
  static_cast<void>(closed.backend_name());
  closed.call_exception_handler(rondo::exception_context("after close"));
  CHECK(reports.count("after close") == 1);
}

TEST_CASE("a future whose loop is closed changes its state before it throws", "[rule-022]") {
  const oracle unchanged;
  const auto loop = rondo::new_event_loop();
  const auto with_callback = loop->create_future<int>();
  with_callback.add_done_callback([] {});
  const auto without = loop->create_future<int>();
  loop->close();
  CHECK_THROWS_AS(with_callback.set_result(1), rondo::loop_closed_error);
  CHECK(with_callback.done());
  CHECK(with_callback.result() == 1);
  without.set_result(2);
  CHECK(without.result() == 2);
}

TEST_CASE("finished futures stay readable when their loop is gone", "[rule-022]") {
  const oracle unchanged;
  rondo::future<std::string> future;
  rondo::task<int> task;
  rondo::future<int> pending;
  {
    const auto loop = rondo::new_event_loop();
    future = loop->create_future<std::string>();
    pending = loop->create_future<int>();
    future.set_result("kept");
    task = loop->create_task(answer());
    loop->run_until_complete(task);
  }
  CHECK(future.result() == "kept");
  CHECK(task.result() == 42);
  CHECK_FALSE(pending.done());
  CHECK_THROWS_AS(future.get_loop(), std::logic_error);
}

TEST_CASE("a loop is closed by its destructor, which says so", "[rule-045]") {
  const oracle unchanged;
  const log_capture reports;
  rondo::new_event_loop().reset();
  REQUIRE(reports.count("destroyed without being closed") == 1);
  CHECK(reports.problems().empty());  // as Python, which shows it in development mode only
  {
    const auto loop = rondo::new_event_loop();
    loop->set_debug(true);
  }
  CHECK(reports.problems().size() == 1);
  {
    const auto loop = rondo::new_event_loop();
    loop->close();
  }
  CHECK(reports.count("destroyed without being closed") == 2);
}

// ---- destroying with everything pending ----

namespace {

struct on_exit {
  std::function<void()> f;
  explicit on_exit(std::function<void()> what) : f(std::move(what)) {}
  on_exit(const on_exit&) = delete;
  on_exit& operator=(const on_exit&) = delete;
  ~on_exit() { f(); }
};

rondo::coro<> level(events& log, int depth, rondo::future<> on) {
  const on_exit leave([&log, depth] { log.push_back("frame " + std::to_string(depth)); });
  if (depth > 0) {
    co_await level(log, depth - 1, on);
  } else {
    co_await on;
  }
}

}  // namespace

TEST_CASE("pending tasks are destroyed with the loop, the innermost frame first",
          "[fault-E1][rule-048]") {
  const oracle unchanged;
  const log_capture reports;
  events seen;
  {
    const auto loop = rondo::new_event_loop();
    loop->create_task(level(seen, 2, loop->create_future<>()), {.name = "deep"});
    loop->create_task(answer(), {.name = "unstarted"});
    SECTION("unstarted") {}
    SECTION("suspended") { loop->run_once(); }
    SECTION("closed first") {
      loop->run_once();
      loop->close();
      CHECK(seen.empty());  // close leaves them suspended
      CHECK(loop->metrics().tasks == 1);
    }
  }
  if (!seen.empty()) {
    CHECK(seen == events{"frame 0", "frame 1", "frame 2"});
    CHECK(reports.count("destroyed but it is pending") == 1);
  } else {
    CHECK(reports.count("destroyed but it is pending") == 2);
  }
  CHECK(reports.count("deep") == 1);
}

TEST_CASE("a loop with everything pending is closed and destroyed", "[fault-E1]") {
  const oracle unchanged;
  const log_capture reports;
  int alive = 0;
  std::array<int, 2> ends{};
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends.data()) == 0);
  for (int state = 0; state < 4; ++state) {
    INFO(state);
    {
      const auto loop = rondo::new_event_loop();
      const witness w(alive);
      rondo::task<> waits_for_task;
      loop->create_task([](witness) -> rondo::coro<> { co_await rondo::sleep(1h); }, w);
      const auto inner =
          loop->create_task([](witness) -> rondo::coro<> { co_await rondo::sleep(2h); }, w);
      loop->create_task([](witness, rondo::task<> t) -> rondo::coro<> { co_await t; }, w, inner);
      loop->create_task(
          [](witness) -> rondo::coro<> {
            co_await rondo::with_timeout(1h, [](rondo::timeout&) { return rondo::sleep(2h); });
          },
          w);
      loop->create_task(
          [](witness) -> rondo::coro<> {
            for (;;) co_await rondo::yield_now();
          },
          w);
      const auto promise = loop->create_threadsafe_promise<witness>();
      loop->create_task([](witness, rondo::future<witness> f) -> rondo::coro<> { co_await f; }, w,
                        promise.get_future());
      promise.set_result(w);
      const auto unfulfilled = loop->create_threadsafe_promise<int>();
      loop->call_later(1h, [w] {});
      loop->call_soon([w] {});
      loop->call_soon_threadsafe([w] {});
      loop->add_reader(ends[0], [w] {});
      loop->add_writer(ends[0], [w] {});
      loop->add_signal_handler(SIGUSR2, [w] {});
      for (int i = 0; i < state; ++i) loop->run_once();
      if (state == 3) loop->close();
    }
    CHECK(alive == 0);
  }
  ::close(ends[0]);
  ::close(ends[1]);
}

TEST_CASE("a pending task whose destruction raises a report uses the loop's handler",
          "[fault-E1]") {
  const oracle unchanged;
  const log_capture quiet;
  events seen;
  {
    const auto loop = rondo::new_event_loop();
    loop->set_exception_handler(
        [&](rondo::event_loop& where, const rondo::exception_context& report) {
          seen.push_back(report.message);
          CHECK(&where == loop.get());
          CHECK(report.task.name() == "left");
          CHECK(where.is_closed());
          throw std::runtime_error("from the handler");  // swallowed
        });
    loop->create_task(level(seen, 0, loop->create_future<>()), {.name = "left"});
    loop->run_once();
  }
  CHECK(seen == events{"frame 0", "Task was destroyed but it is pending!"});
}

namespace {

// A loop before main and after it.
struct early_and_late {
  std::unique_ptr<rondo::event_loop> loop = rondo::new_event_loop();
  rondo::handle handle;
  early_and_late() : handle(loop->call_later(std::chrono::hours(1), [] {})) {}
  early_and_late(const early_and_late&) = delete;
  early_and_late& operator=(const early_and_late&) = delete;
  ~early_and_late() {
    try {
      if (loop->run_until_complete(answer()) != 42) std::abort();
    } catch (const std::logic_error&) {
      loop->close();  // a forked child, whose parent's it is
    }
  }
};
early_and_late global;

}  // namespace

TEST_CASE("loops may be static objects", "[fault-E15]") {
  CHECK(global.loop->run_until_complete(answer()) == 42);
  const auto result = rondo_test::run_in_child([] {
    // Its own static objects end when the child ends properly.
    static early_and_late another;
    another.loop->run_until_complete(answer());
    ::alarm(20);
    std::exit(17);
    return std::string();
  });
  if (!rondo_test::sanitized) CHECK(result.exit_code == 17);
}
