// SPDX-License-Identifier: MIT
// rondo tests: errors that nobody awaits, and the log (rules 33-38; faults D10, N7, N8, E14).
#include "support/catch.hpp"
#include "support/child.hpp"
#include "support/fault_table.hpp"
#include "support/oracle.hpp"

#include <rondo/rondo.hpp>

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

using namespace std::chrono_literals;
using rondo_test::check_idle;
using rondo_test::log_capture;
using rondo_test::oracle;

namespace {

using events = std::vector<std::string>;

const rondo::context_var<int> number("number", 0);

struct fixture {
  oracle unchanged;
  std::unique_ptr<rondo::event_loop> loop = rondo::new_event_loop();
  events seen;
};

std::string text_of(const std::exception_ptr& error) {
  return error ? rondo_test::message_of([&] { std::rethrow_exception(error); }) : "none";
}

}  // namespace

TEST_CASE_METHOD(fixture, "an exception of a callback goes to the handler and the loop goes on",
                 "[rule-033]") {
  rondo::handle failing;
  loop->set_exception_handler(
      [&](rondo::event_loop& where, const rondo::exception_context& report) {
        CHECK(&where == loop.get());
        CHECK(report.handle == failing);
        CHECK_FALSE(static_cast<bool>(report.task));
        CHECK_FALSE(static_cast<bool>(report.future));
        CHECK(report.protocol == nullptr);
        CHECK(report.transport == nullptr);
        CHECK(report.socket == nullptr);
        seen.push_back(report.message + ": " + text_of(report.exception));
      });
  failing = loop->call_soon([] { throw std::runtime_error("oops"); });
  loop->call_soon([&] { seen.push_back("the next one"); });
  loop->run_once();
  CHECK(seen == events{"Exception in callback: oops", "the next one"});
  seen.clear();
  failing = loop->call_later(-1s, [] { throw 7; });
  loop->run_once();
  CHECK(seen == events{"Exception in callback: something else"});
  check_idle(*loop);
}

TEST_CASE_METHOD(fixture, "readers, threadsafe calls and signals report, too, and stay",
                 "[rule-033]") {
  loop->set_exception_handler([&](rondo::event_loop&, const rondo::exception_context& report) {
    seen.push_back(report.message + ": " + text_of(report.exception));
  });
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  loop->add_writer(ends[1], [] { throw std::runtime_error("writer"); });
  loop->run_once();
  loop->run_once();
  CHECK(seen == events{"Exception in callback: writer", "Exception in callback: writer"});
  CHECK(loop->remove_writer(ends[1]));
  seen.clear();
  loop->call_soon_threadsafe([] { throw std::runtime_error("threadsafe"); });
  loop->run_once();
  CHECK(seen == events{"Exception in callback: threadsafe"});
  seen.clear();
  loop->add_signal_handler(SIGUSR1, [] { throw std::runtime_error("signal"); });
  ::raise(SIGUSR1);
  loop->run_once();
  ::raise(SIGUSR1);
  loop->run_once();
  CHECK(seen == events{"Exception in callback: signal", "Exception in callback: signal"});
  ::close(ends[0]);
  ::close(ends[1]);
}

TEST_CASE_METHOD(fixture, "the handle of a reader that is in a report can be cancelled",
                 "[rule-033]") {
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  int calls = 0;
  loop->set_exception_handler(
      [](rondo::event_loop&, const rondo::exception_context& report) { report.handle.cancel(); });
  loop->add_writer(ends[1], [&] {
    ++calls;
    throw std::runtime_error("again and again");
  });
  for (int i = 0; i < 5; ++i) loop->run_once();
  CHECK(calls == 1);
  CHECK_FALSE(loop->remove_writer(ends[1]));
  ::close(ends[0]);
  ::close(ends[1]);
}

TEST_CASE_METHOD(fixture, "the default handler writes to the log", "[rule-033][rule-038]") {
  const log_capture reports;
  loop->call_soon([] { throw std::runtime_error("oops"); });
  loop->run_once();
  const auto problems = reports.problems();
  REQUIRE(problems.size() == 1);
  CHECK(problems[0].find("Exception in callback") != std::string::npos);
  CHECK(problems[0].find("oops") != std::string::npos);
  CHECK(reports.lines().back().level == rondo::log_level::error);
  loop->call_exception_handler(rondo::exception_context());
  CHECK(reports.count("Unhandled exception in event loop") == 1);
}

TEST_CASE_METHOD(fixture, "exceptions of every kind are carried unchanged", "[fault-D10]") {
  const log_capture reports;
  std::exception_ptr got;
  const auto keep = [&](rondo::event_loop&, const rondo::exception_context& report) {
    got = report.exception;
  };
  loop->set_exception_handler(keep);
  const auto raise = [&](auto thrower) {
    got = nullptr;
    loop->call_soon(thrower);
    loop->run_once();
  };
  raise([] { throw 7; });
  CHECK_THROWS_AS(std::rethrow_exception(got), int);
  raise([] { throw std::bad_alloc(); });
  CHECK_THROWS_AS(std::rethrow_exception(got), std::bad_alloc);
  raise([] {
    try {
      throw std::runtime_error("inner");
    } catch (...) {
      std::throw_with_nested(std::logic_error("outer"));
    }
  });
  try {
    std::rethrow_exception(got);
  } catch (const std::exception& outer) {
    CHECK(rondo_test::message_of([&] { std::rethrow_if_nested(outer); }) == "inner");
  }
  raise([] { throw rondo::cancelled_error("as an error"); });
  CHECK_THROWS_AS(std::rethrow_exception(got), rondo::cancelled_error);
  CHECK(reports.problems().empty());
  // And the default handler finds words for each.
  loop->set_exception_handler({});
  loop->call_soon([] { throw 7; });
  loop->call_soon([] { throw std::bad_alloc(); });
  loop->call_soon([] { throw rondo::cancelled_error("as an error"); });
  loop->run_once();
  CHECK(reports.problems().size() == 3);
  CHECK(reports.count("as an error") == 1);
}

TEST_CASE_METHOD(fixture, "a handler that throws is reported by the default one, once",
                 "[rule-036][fault-N7]") {
  const log_capture reports;
  int calls = 0;
  loop->set_exception_handler([&](rondo::event_loop&, const rondo::exception_context&) {
    ++calls;
    throw std::runtime_error("from the handler");
  });
  loop->call_soon([] { throw std::runtime_error("from the callback"); });
  loop->run_once();
  CHECK(calls == 1);
  const auto problems = reports.problems();
  REQUIRE(problems.size() == 1);
  CHECK(problems[0].find("Unhandled error in exception handler") != std::string::npos);
  CHECK(problems[0].find("from the handler") != std::string::npos);
  CHECK(problems[0].find("Exception in callback") != std::string::npos);
  CHECK(problems[0].find("from the callback") != std::string::npos);
}

TEST_CASE("a default handler that throws ends in a plain line", "[rule-036][fault-N7]") {
  struct broken final : rondo::selector_event_loop {
    int calls = 0;
    void default_exception_handler(const rondo::exception_context& report) override {
      ++calls;
      if (report.message == "let it through") throw rondo::system_exit(1);
      throw std::runtime_error("from the default handler");
    }
  };
  const oracle unchanged;
  const log_capture reports;
  broken loop;
  loop.call_exception_handler(rondo::exception_context("first"));
  CHECK(loop.calls == 1);
  REQUIRE(reports.problems().size() == 1);
  CHECK(reports.problems()[0] == "Exception in default exception handler");
  loop.set_exception_handler([](rondo::event_loop&, const rondo::exception_context&) { throw 7; });
  loop.call_exception_handler(rondo::exception_context("second"));
  CHECK(loop.calls == 2);
  REQUIRE(reports.problems().size() == 2);
  CHECK(reports.problems()[1].find("while handling an unexpected error") != std::string::npos);
  loop.set_exception_handler({});
  CHECK_THROWS_AS(loop.call_exception_handler(rondo::exception_context("let it through")),
                  rondo::system_exit);
}

TEST_CASE_METHOD(fixture, "the exceptions that end a program leave a handler",
                 "[rule-034][rule-036]") {
  loop->set_exception_handler([](rondo::event_loop&, const rondo::exception_context&) {
    throw rondo::keyboard_interrupt();
  });
  loop->call_soon([] { throw std::runtime_error("oops"); });
  CHECK_THROWS_AS(loop->run_once(), rondo::keyboard_interrupt);
}

TEST_CASE_METHOD(fixture, "the handler runs in the context of what failed", "[rule-037]") {
  std::vector<int> contexts;
  loop->set_exception_handler([&](rondo::event_loop&, const rondo::exception_context&) {
    contexts.push_back(number.get());
  });
  loop->call_soon([] {
    static_cast<void>(number.set(1));
    throw std::runtime_error("callback");
  });
  loop->run_once();
  {
    const auto task = loop->create_task([]() -> rondo::coro<> {
      static_cast<void>(number.set(2));
      co_await rondo::yield_now();
      throw std::runtime_error("task");
    });
    while (!task.done()) loop->run_once();
  }
  const rondo::context own;
  own.run([] { static_cast<void>(number.set(3)); });
  rondo::exception_context by_handle("by handle");
  by_handle.handle = loop->call_later(own, 1h, [] {});
  loop->call_exception_handler(by_handle);
  rondo::exception_context by_future("by future");
  const auto nothing = []() -> rondo::coro<> { co_return; };
  const auto task = loop->create_task(nothing(), {.context = &own});
  by_future.future = task;
  loop->call_exception_handler(by_future);
  loop->call_exception_handler(rondo::exception_context("of nobody"));
  loop->run_until_complete(task);
  by_handle.handle.cancel();
  CHECK(contexts == std::vector<int>{1, 2, 3, 3, 0});
}

TEST_CASE_METHOD(fixture, "handlers are set, read and removed", "[rule-038]") {
  const log_capture reports;
  CHECK_FALSE(static_cast<bool>(loop->get_exception_handler()));
  int calls = 0;
  loop->set_exception_handler([&](rondo::event_loop& where, const rondo::exception_context&) {
    ++calls;
    where.set_exception_handler({});  // from inside
  });
  CHECK(static_cast<bool>(loop->get_exception_handler()));
  loop->call_exception_handler(rondo::exception_context("one"));
  CHECK_FALSE(static_cast<bool>(loop->get_exception_handler()));
  loop->call_exception_handler(rondo::exception_context("two"));
  CHECK(calls == 1);
  CHECK(reports.count("two") == 1);
  CHECK(reports.count("one") == 0);
}

// ---- the log ----

TEST_CASE_METHOD(fixture, "a log handler that throws is nobody's business", "[fault-N7]") {
  int calls = 0;
  rondo::set_log_handler(
      [](rondo::log_level, std::string_view, void* count) {
        ++*static_cast<int*>(count);
        throw std::runtime_error("from the log handler");
      },
      &calls);
  loop->call_soon([] { throw std::runtime_error("oops"); });
  loop->call_soon([&] { seen.push_back("goes on"); });
  loop->run_once();
  rondo::set_log_handler(nullptr);
  CHECK(calls == 1);
  CHECK(seen == events{"goes on"});
}

TEST_CASE("a log handler whose own work is reported does not recurse", "[fault-N7]") {
  const auto result = rondo_test::run_in_child([] {
    const int null = ::open("/dev/null", O_WRONLY);
    ::dup2(null, 2);
    static int calls = 0;
    rondo::set_log_handler([](rondo::log_level, std::string_view, void*) {
      ++calls;
      static_cast<void>([]() -> rondo::coro<> { co_return; }());  // never awaited
    });
    rondo::detail::log(rondo::log_level::error, "one");
    rondo::detail::log(rondo::log_level::error, "two");
    return std::to_string(calls);
  });
  CHECK(result.output == "2");
}

TEST_CASE_METHOD(fixture, "standard error that cannot be written does not matter", "[fault-N8]") {
  const int saved = ::dup(2);
  REQUIRE(saved >= 0);
  SECTION("disk full") {
    const int full = ::open("/dev/full", O_WRONLY);
    REQUIRE(full >= 0);
    ::dup2(full, 2);
    ::close(full);
    loop->call_soon([] { throw std::runtime_error("oops"); });
    loop->run_once();
    ::dup2(saved, 2);
  }
  SECTION("closed") {
    ::close(2);
    loop->call_soon([] { throw std::runtime_error("oops"); });
    loop->run_once();
    ::dup2(saved, 2);
  }
  SECTION("a write that fails") {
    rondo_test::fault<&rondo::os::system_calls::write> write;
    write.fail_always(EIO);
    loop->call_soon([] { throw std::runtime_error("oops"); });
    loop->run_once();
    CHECK(write.failed() == 1);
  }
  ::close(saved);
  loop->call_soon([&] { seen.push_back("goes on"); });
  loop->run_once();
  CHECK(seen == events{"goes on"});
}

TEST_CASE("a report into a pipe that nobody reads does not end the program",
          "[fault-N8][fault-E14]") {
  const auto result = rondo_test::run_in_child([] {
    ::signal(SIGPIPE, SIG_DFL);
    int ends[2];
    if (::pipe(ends) != 0) return std::string("no pipe");
    ::dup2(ends[1], 2);
    ::close(ends[0]);
    ::close(ends[1]);
    rondo::detail::log(rondo::log_level::error, "to nobody");
    ::sigset_t waiting;
    sigpending(&waiting);
    return std::string(sigismember(&waiting, SIGPIPE) == 1 ? "pending" : "alive");
  });
  CHECK(result.signal == 0);
  CHECK(result.output == "alive");
}

TEST_CASE("levels below warning are printed with RONDO_DEBUG only", "[rule-033]") {
  const auto printed = [] {
    return rondo_test::run_in_child([] {
             int ends[2];
             if (::pipe(ends) != 0) return std::string("no pipe");
             ::dup2(ends[1], 2);
             rondo::set_log_handler(nullptr);
             rondo::detail::log(rondo::log_level::debug, "d");
             rondo::detail::log(rondo::log_level::info, "i");
             rondo::detail::log(rondo::log_level::warning, "w");
             rondo::detail::log(rondo::log_level::error, "e");
             char text[200];
             const auto count = ::read(ends[0], text, sizeof text);
             return std::string(text, static_cast<std::size_t>(count));
           })
        .output;
  };
  // The variable is read at the first report of the process.
  const char* const variable = std::getenv("RONDO_DEBUG");
  if (variable == nullptr || *variable == '\0') {
    CHECK(printed() == "rondo: warning: w\nrondo: error: e\n");
  } else {
    CHECK(printed() == "rondo: debug: d\nrondo: info: i\nrondo: warning: w\nrondo: error: e\n");
  }
}
