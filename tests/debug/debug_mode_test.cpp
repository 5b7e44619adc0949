// SPDX-License-Identifier: MIT
// rondo tests: what debug mode reports about tasks, callbacks, coroutines and transports.
#include "debug/debug_support.hpp"
#include "support/oracle.hpp"

#include <rondo/connections.hpp>
#include <rondo/detail/loop_core.hpp>
#include <rondo/streams.hpp>

#include <csignal>
#include <thread>

#include <unistd.h>

using namespace debug_test;

namespace {

struct debug_loop {
  debug_loop() { loop.set_debug(true); }

  // Code that holds the loop up, on a clock that goes only where it is told to.
  void hold_up(rondo::interval by = 150ms) { loop.advance(by); }

  captured_log log;
  manual_loop loop;
};

coro<int> never_awaited(int n) { co_return n; }

struct member {
  int n = 1;
  coro<> method(std::string) const { co_await yield_now(); }
};

}  // namespace

// ---- slow callbacks ----

TEST_CASE("a slow callback is named by its type and its place", "[rule-042]") {
  debug_loop at;
  const std::string place = line_of(-1);
  at.loop.call_soon([&at] { at.hold_up(); });
  at.loop.settle();
  REQUIRE(at.log.lines.size() == 1);
  CHECK(at.log.count("Executing callback ") == 1);
  CHECK(at.log.count("lambda") + at.log.count("$_") == 1);  // as g++ and as clang name it
  CHECK(at.log.count(" took 0.150 seconds: made at " + place) == 1);
}

TEST_CASE("callbacks below the threshold are not reported, at it they are", "[rule-042]") {
  debug_loop at;
  at.loop.call_soon([&at] { at.hold_up(99ms); });
  at.loop.settle();
  CHECK(at.log.lines.empty());
  at.loop.call_soon([&at] { at.hold_up(100ms); });
  at.loop.settle();
  CHECK(at.log.count("took 0.100 seconds") == 1);
  at.loop.slow_callback_duration = 1s;
  at.loop.call_soon([&at] { at.hold_up(999ms); });
  at.loop.settle();
  CHECK(at.log.lines.size() == 1);
  at.loop.set_debug(false);
  at.loop.call_soon([&at] { at.hold_up(10s); });
  at.loop.settle();
  CHECK(at.log.lines.size() == 1);
}

TEST_CASE("every kind of callback is named", "[rule-042]") {
  debug_loop at;
  const auto slow = [&at](int) { at.hold_up(); };
  at.loop.call_soon(slow, 1);
  at.loop.settle();
  CHECK(at.log.count("Executing callback") == 1);
  CHECK(at.log.count("made at") == 0);  // arguments leave no room for the place
  at.log.lines.clear();

  const rondo::timer_handle timer = at.loop.call_later(1h, [&at] { at.hold_up(); });
  at.loop.advance(1h);
  at.loop.run_once();
  CHECK(timer.created_at().line() > 0);
  CHECK(at.log.count("made at " + std::string(timer.created_at().file_name())) == 1);
  at.log.lines.clear();

  at.loop.call_soon_threadsafe([&at] { at.hold_up(); });
  at.loop.run_once();
  CHECK(at.log.count("Executing a callback of call_soon_threadsafe took") == 1);
  at.log.lines.clear();

  const future<> f = at.loop.create_future();
  f.add_done_callback([&at] { at.hold_up(); });
  f.set_result();
  at.loop.settle();
  CHECK(at.log.count("Executing callback") == 1);
  CHECK(at.log.count("made at " + line_of(4)) == 1);
  at.log.lines.clear();

  int ends[2] = {};
  REQUIRE(::pipe(ends) == 0);
  at.loop.add_writer(ends[1], [&at] { at.hold_up(); });
  at.loop.run_once();
  at.loop.remove_writer(ends[1]);
  CHECK(at.log.count("Executing the writer of " + std::to_string(ends[1]) + ", ") == 1);
  at.log.lines.clear();
  REQUIRE(::write(ends[1], "x", 1) == 1);
  at.loop.add_reader(ends[0], [&at] { at.hold_up(); });
  at.loop.run_once();
  at.loop.remove_reader(ends[0]);
  CHECK(at.log.count("Executing the reader of " + std::to_string(ends[0]) + ", ") == 1);
  at.log.lines.clear();
  ::close(ends[0]);
  ::close(ends[1]);

  at.loop.add_signal_handler(SIGUSR1, [&at] { at.hold_up(); });
  ::raise(SIGUSR1);
  at.loop.run_once();
  at.loop.remove_signal_handler(SIGUSR1);
  CHECK(at.log.count("Executing the handler of signal 10 took") == 1);
  CHECK(at.log.lines.size() == 1);
}

TEST_CASE("a slow step names the task and the awaits that it ran between", "[rule-042]") {
  debug_loop at;
  std::string first;
  std::string second;
  const auto body = [&]() -> coro<> {
    at.hold_up();
    first = line_of(-1);
    co_await yield_now();
    at.hold_up();
    second = line_of(-1);
    co_await rondo::sleep(1s);
    at.hold_up();
  };
  const task<> t = at.loop.create_task(body(), {.name = "slow one"});
  at.loop.run_once();
  REQUIRE(at.log.lines.size() == 1);
  CHECK(at.log.lines[0].find("Executing task slow one took 0.150 seconds: started at ") == 0);
  CHECK(at.log.count(", now at " + first) == 1);
  at.loop.run_once();
  REQUIRE(at.log.lines.size() == 2);
  CHECK(at.log.lines[1].find("Executing task slow one took 0.150 seconds: resumed at " + first) ==
        0);
  at.loop.drive(t);
  REQUIRE(at.log.lines.size() == 3);
  CHECK(at.log.lines[2].find(", to its end") != std::string::npos);
}

TEST_CASE("a task that nobody holds may end in a slow step", "[rule-042]") {
  const balanced guard;
  debug_loop at;
  at.loop.create_task([](debug_loop& in) -> coro<> {
    in.hold_up();
    co_return;
  }(at));
  at.loop.settle();
  CHECK(at.log.count("Executing task") == 1);
  CHECK(at.loop.metrics().tasks == 0);
}

TEST_CASE("after a callback of five seconds late timers run once each", "[rule-042][fault-I5]") {
  debug_loop at;
  strings order;
  at.loop.call_later(1s, [&] { order.push_back("1 s"); });
  at.loop.call_later(2s, [&] { order.push_back("2 s"); });
  struct every_second {
    manual_loop& loop;
    int& calls;
    void operator()() const {
      ++calls;
      loop.call_later(1s, *this);
    }
  };
  int calls = 0;
  at.loop.call_later(1s, every_second{at.loop, calls});
  at.loop.call_soon([&] { at.hold_up(5s); });
  at.loop.run_once();
  at.loop.run_once();
  CHECK(order == strings{"1 s", "2 s"});
  CHECK(calls == 1);
  at.loop.run_once();
  CHECK(calls == 1);  // what it missed is not caught up with
  CHECK(at.log.count("took 5.000 seconds") == 1);
  CHECK(at.log.lines.size() == 1);
}

TEST_CASE("a slow callback of a protocol is named", "[rule-042]") {
  struct slow_protocol : rondo::protocol {
    explicit slow_protocol(debug_loop& in) : at(in) {}
    void connection_made(std::shared_ptr<rondo::transport> with) override {
      connection = std::move(with);
      at.hold_up();
    }
    void data_received(std::string_view) override {
      at.hold_up();
      connection->close();
    }
    void connection_lost(std::exception_ptr) override {
      connection.reset();
      lost = true;
      at.hold_up();
    }
    debug_loop& at;
    std::shared_ptr<rondo::transport> connection;
    bool lost = false;
  };
  debug_loop at;
  auto [ours, theirs] = rondo::socket::pair();
  slow_protocol protocol(at);
  const auto body = [&]() -> coro<> {
    const auto factory = [&] { return &protocol; };
    co_await at.loop.connect_accepted_socket(factory, std::move(ours));
  };
  const task<> t = at.loop.create_task(body());
  at.loop.drive(t);
  t.result();
  REQUIRE(::write(theirs.fileno(), "x", 1) == 1);
  while (!protocol.lost) at.loop.run_once(1s);
  CHECK(at.log.count("Executing protocol.connection_made() took 0.150 seconds") == 1);
  CHECK(at.log.count("Executing protocol.data_received() took 0.150 seconds") == 1);
  CHECK(at.log.count("Executing protocol.connection_lost() took 0.150 seconds") == 1);
  CHECK(at.log.lines.size() == 3);
}

// ---- where things were made ----

TEST_CASE("a coroutine that is never awaited is named by its function", "[rule-043][fault-D6]") {
  const balanced guard;
  captured_log log;
  static_cast<void>(never_awaited(1));
  REQUIRE(log.lines.size() == 1);
  CHECK(log.count("a coroutine was never awaited: ") == 1);
  CHECK(log.count("never_awaited(int)") == 1);
  CHECK(log.count("debug_mode_test.cpp:") == 1);
  log.lines.clear();

  static_cast<void>(member().method("x"));
  CHECK(log.count("member::method(") == 1);
  log.lines.clear();

  manual_loop loop;
  const auto body = []() -> coro<> {
    static_cast<void>(never_awaited(2));
    co_return;
  };
  const task<> t = loop.create_task(body(), {.name = "forgetful"});
  loop.drive(t);
  CHECK(log.count("dropped by task forgetful") == 1);
}

TEST_CASE("tasks know where they were made, in debug mode", "[rule-043]") {
  manual_loop loop;
  CHECK(loop.create_task(nothing()).created_at().line() == 0);
  loop.set_debug(true);
  const auto made_at = [](const any_task& t) {
    return std::string(t.created_at().file_name()) + ":" + std::to_string(t.created_at().line()) +
           " in ";
  };
  const task<> plain = loop.create_task(nothing());
  CHECK(made_at(plain) == line_of(1));
  const task<> named = loop.create_task(nothing(), {.name = "named"});
  CHECK(made_at(named) == line_of(1));
  CHECK(named.name() == "named");
  const auto body = [&]() -> coro<> {
    const task<> inner = create_task(nothing());
    CHECK(made_at(inner) == line_of(1));
    const task<> options_first = create_task({.name = "x"}, nothing);
    CHECK(made_at(options_first) == line_of(1));
    co_await inner;
    co_await options_first;
  };
  loop.run(body());
  CHECK(plain.created_at().line() > 0);
  CHECK(plain.name().rfind("Task-", 0) == 0);
}

TEST_CASE("reports tell where a task was made and where it is suspended", "[rule-043][rule-048]") {
  captured_log log;
  std::string made;
  std::string suspended;
  {
    manual_loop loop;
    loop.set_debug(true);
    loop.set_exception_handler({});
    const auto body = [&]() -> coro<> {
      suspended = line_of(-1);
      co_await rondo::sleep(1h);
    };
    made = line_of(-1);
    loop.create_task(body(), {.name = "sleeper"});
    loop.settle();
  }
  REQUIRE(log.count("Task was destroyed but it is pending!") == 1);
  CAPTURE(log.lines);
  CHECK(log.count("(suspended at " + suspended) == 1);
  CHECK(log.count("[task sleeper") == 1);
  CHECK(log.count("made at " + made) == 1);
}

TEST_CASE("a failing callback is reported with its place", "[rule-033][rule-043]") {
  captured_log log;
  manual_loop loop;
  loop.set_exception_handler({});
  const rondo::handle h = loop.call_soon([] { throw std::runtime_error("reason"); });
  CHECK(h.created_at().line() + 1 == std::source_location::current().line());
  loop.settle();
  REQUIRE(log.count("Exception in callback") == 1);
  CHECK(log.count("debug_mode_test.cpp:" + std::to_string(h.created_at().line()) + " in ") == 1);
  CHECK(log.count("reason") == 1);
  CHECK(rondo::handle().created_at().line() == 0);
}

TEST_CASE("the value of an argument is in no report", "[rule-046]") {
  captured_log log;
  manual_loop loop;
  loop.set_debug(true);
  loop.set_exception_handler({});
  loop.call_soon([](const std::string&) { throw std::runtime_error("reason"); },
                 std::string("a secret"));
  loop.settle();
  CHECK(log.count("reason") == 1);
  CHECK(log.count("a secret") == 0);
}

// ---- wrong threads ----

TEST_CASE("debug mode finds futures, tasks and handles in the wrong thread",
          "[rule-024][rule-040][fault-E7]") {
  const auto loop = rondo::new_event_loop();
  loop->set_debug(true);
  const future<int> f = loop->create_future<int>();
  const task<> t = loop->create_task(rondo::sleep(1h));
  const rondo::handle h = loop->call_later(1h, [] {});
  strings caught;
  rondo_test::log_capture log;
  const auto in_thread = [&] {
    const auto attempt = [&](const std::string& name, const auto& use) {
      try {
        use();
        caught.push_back(name + ": nothing");
      } catch (const std::logic_error& error) {
        if (std::string_view(error.what()).find("Non-thread-safe operation") == 0) return;
        caught.push_back(name + ": " + error.what());
      }
    };
    attempt("set_result", [&] { f.set_result(1); });
    attempt("set_exception", [&] { f.set_exception(std::runtime_error("")); });
    attempt("future::cancel", [&] { f.cancel(); });
    attempt("add_done_callback", [&] { f.add_done_callback([] {}); });
    attempt("task::cancel", [&] { t.cancel(); });
    h.cancel();
    loop->call_soon_threadsafe([&] { loop->stop(); });
  };
  std::thread thread;
  loop->call_soon([&] { thread = std::thread(in_thread); });
  loop->run_forever();
  thread.join();
  CHECK(caught == strings{});
  CHECK(log.count("Non-thread-safe operation") == 1);
  CHECK_FALSE(f.done());
  t.cancel();
  loop->run_once();
  CHECK(t.cancelled());
  f.cancel();
  loop->close();
}

// ---- what was not closed ----

TEST_CASE("transports that a loop has to close are reported", "[rule-045][rule-193]") {
  captured_log log;
  for (const bool debug : {false, true}) {
    manual_loop loop;
    loop.set_debug(debug);
    auto [ours, theirs] = rondo::socket::pair();
    const auto body = [&]() -> coro<> {
      const auto factory = [] { return std::make_shared<rondo::protocol>(); };
      co_await loop.connect_accepted_socket(factory, std::move(ours));
    };
    const task<> t = loop.create_task(body());
    loop.drive(t);
    t.result();
    loop.close();
    CHECK(log.count("an open transport was closed by closing its loop") == (debug ? 1 : 0));
    char byte = 0;
    CHECK(::read(theirs.fileno(), &byte, 1) == 0);
  }
}

// ---- names ----

TEST_CASE("a slow answer for a name is logged, in debug mode", "[rule-044]") {
  rondo_test::log_capture log;
  const auto infos = [&log] {
    strings found;
    for (const auto& each : log.lines()) {
      if (each.level == rondo::log_level::info) found.push_back(each.text);
    }
    return found;
  };
  manual_loop loop;
  rondo::interval takes = 150ms;
  loop.set_resolver([&](std::string, std::string,
                        rondo::resolve_options) -> coro<std::vector<rondo::address_info>> {
    co_await rondo::sleep(takes);
    co_return std::vector<rondo::address_info>(2);
  });
  const auto ask = [&]() -> coro<> {
    const auto found = co_await loop.getaddrinfo("name.test", 80);
    CHECK(found.size() == 2);
  };
  loop.run(ask());
  CHECK(infos().empty());
  loop.set_debug(true);
  loop.run(ask());
  CHECK(infos() == strings{"Getting address info name.test:80 took 150.000ms: 2 addresses"});
  takes = 99ms;
  loop.run(ask());
  CHECK(infos().size() == 1);
  CHECK(log.count("took 99.000ms") == 1);  // at the level debug
}

// ---- rings of tasks ----

TEST_CASE("tasks that await each other are reported when the ring closes",
          "[fault-D13][rule-079]") {
  const balanced guard;
  debug_loop at;
  std::vector<task<>> ring(3);
  const auto body = [&](std::size_t next) -> coro<> { co_await ring[next]; };
  for (std::size_t i = 0; i < ring.size(); ++i) {
    ring[i] = at.loop.create_task(body((i + 1) % ring.size()), {.name = "ring"});
    ring[i].set_name("ring " + std::to_string(i));
  }
  at.loop.settle();
  REQUIRE(at.log.lines.size() == 1);
  CHECK(at.log.count("tasks await each other and will never go on: ") == 1);
  for (const char* const name : {"ring 0", "ring 1", "ring 2"}) CHECK(at.log.count(name) == 1);
  CHECK(at.log.count("debug_mode_test.cpp:") == 1);
  ring[0].cancel();
  at.loop.settle();
  CHECK(at.loop.metrics().tasks == 0);
}

TEST_CASE("tasks that await the same one are no ring", "[fault-D13]") {
  debug_loop at;
  const task<> shared = at.loop.create_task(yields(3));
  const auto body = [&]() -> coro<> { co_await shared; };
  const task<> a = at.loop.create_task(body());
  const auto both = [&]() -> coro<> {
    co_await a;
    co_await shared;
  };
  at.loop.run(both());
  CHECK(at.log.lines.empty());
}

// ---- metrics ----

TEST_CASE("metrics count what a loop has done and holds", "[metrics]") {
  const balanced guard;
  manual_loop loop;
  const rondo::loop_metrics before = loop.metrics();
  CHECK(before.iterations == 0);
  CHECK(before.callbacks == 0);
  CHECK(before.polls == 0);
  CHECK(before.tasks == 0);
  CHECK(before.handles == 0);
  CHECK(before.operations == 0);
  loop.call_soon([] {});
  const rondo::handle later = loop.call_later(1h, [] {});
  CHECK(loop.metrics().handles == 2);
  const task<> sleeper = loop.create_task(rondo::sleep(1h));
  CHECK(loop.metrics().tasks == 1);
  CHECK(loop.metrics().frames == before.frames + 1);
  loop.run_once();
  CHECK(loop.metrics().iterations == 1);
  CHECK(loop.metrics().polls == 1);
  CHECK(loop.metrics().callbacks == 2);  // the callback and the task's first step
  CHECK(loop.metrics().handles == 1);
  later.cancel();
  CHECK(loop.metrics().handles == 0);
  auto [ours, theirs] = rondo::socket::pair();
  const auto reads = [&]() -> coro<> {
    const auto factory = [] { return std::make_shared<rondo::protocol>(); };
    const auto made = co_await loop.connect_accepted_socket(factory, std::move(ours));
    made.first->close();
    co_await yield_now();
    co_await yield_now();
  };
  loop.run(reads());
  CHECK(loop.metrics().operations == 0);
  sleeper.cancel();
  loop.settle();
  CHECK(loop.metrics().tasks == 0);
  CHECK(loop.metrics().frames == before.frames);
}
