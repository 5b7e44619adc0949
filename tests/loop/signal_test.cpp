// SPDX-License-Identifier: MIT
// rondo tests: signals (rules 247-250; faults E3, E9-E12).
#include "support/catch.hpp"
#include "support/child.hpp"
#include "support/fault_table.hpp"
#include "support/oracle.hpp"
#include "support/wait_hook.hpp"

#include <rondo/rondo.hpp>

#include <fcntl.h>
#include <signal.h>
#include <sys/time.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

using namespace std::chrono_literals;
using rondo_test::oracle;

namespace {

using events = std::vector<std::string>;

struct fixture {
  oracle unchanged;
  std::unique_ptr<rondo::event_loop> loop = rondo::new_event_loop();
  events seen;
};

struct ::sigaction disposition(int number) {
  struct ::sigaction now = {};
  REQUIRE(::sigaction(number, nullptr, &now) == 0);
  return now;
}

void own_handler(int) {}

}  // namespace

TEST_CASE_METHOD(fixture, "a signal runs its callback in the loop, like call_soon", "[rule-247]") {
  loop->add_signal_handler(
      SIGUSR1,
      [&](const std::string& text) {
        CHECK(&rondo::get_running_loop() == loop.get());
        seen.push_back(text);
      },
      std::string("usr1"));
  ::raise(SIGUSR1);
  CHECK(seen.empty());
  loop->run_once();
  CHECK(seen == events{"usr1"});
  // Its arguments are there each time.
  ::raise(SIGUSR1);
  loop->run_once();
  CHECK(seen == events{"usr1", "usr1"});
}

TEST_CASE_METHOD(fixture, "several arrivals may become one call, and none is lost", "[rule-247]") {
  int calls = 0;
  loop->add_signal_handler(SIGUSR1, [&] { ++calls; });
  for (int i = 0; i < 100; ++i) ::raise(SIGUSR1);
  loop->run_once();
  loop->run_once();
  CHECK(calls == 1);
  // One that arrives during the callback is another one.
  loop->add_signal_handler(SIGUSR1, [&] {
    if (++calls < 5) ::raise(SIGUSR1);
  });
  ::raise(SIGUSR1);
  for (int i = 0; i < 10; ++i) loop->run_once();
  CHECK(calls == 5);
}

TEST_CASE_METHOD(fixture, "a signal wakes a sleeping loop", "[rule-247]") {
  // The signal comes when the loop has decided to wait and has not yet done so: the worst moment.
  loop->add_signal_handler(SIGALRM, [&] { loop->stop(); });
  bool raised = false;
  const rondo_test::wait_hook wait([&](rondo::interval length) {
    if (!raised && length == rondo::interval::max()) {
      raised = true;
      ::raise(SIGALRM);
    }
    return std::optional<int>();
  });
  loop->run_forever();
  CHECK(raised);
}

TEST_CASE_METHOD(fixture, "a real timer's signal ends a sleep", "[rule-247]") {
  loop->add_signal_handler(SIGALRM, [&] { loop->stop(); });
  ::itimerval soon = {};
  soon.it_value.tv_usec = 2000;
  REQUIRE(::setitimer(ITIMER_REAL, &soon, nullptr) == 0);
  const auto began = loop->time();
  loop->call_later(1h, [] {});
  loop->run_forever();
  CHECK(loop->time() - began < 30min);
}

TEST_CASE_METHOD(fixture, "the next add replaces the handler", "[rule-247]") {
  int alive = 0;
  struct witness {
    explicit witness(int& count) : alive(&count) { ++*alive; }
    witness(const witness& other) : alive(other.alive) { ++*alive; }
    witness& operator=(const witness&) = delete;
    ~witness() { --*alive; }
    int* alive;
  };
  loop->add_signal_handler(SIGUSR1, [&, w = witness(alive)] { seen.push_back("first"); });
  ::raise(SIGUSR1);
  loop->add_signal_handler(SIGUSR1, [&, w = witness(alive)] { seen.push_back("second"); });
  CHECK(alive == 1);
  loop->run_once();
  CHECK(seen == events{"second"});
  CHECK(loop->remove_signal_handler(SIGUSR1));
  CHECK(alive == 0);
}

TEST_CASE_METHOD(fixture, "bad signal numbers", "[rule-248][fault-E11]") {
  for (const int number : {0, -1, 65, 999, SIGKILL, SIGSTOP, 32, 33}) {
    INFO(number);
    CHECK_THROWS_AS(loop->add_signal_handler(number, [] {}), std::invalid_argument);
  }
  for (const int number : {0, -1, 65, 999}) {
    CHECK_THROWS_AS(loop->remove_signal_handler(number), std::invalid_argument);
  }
  CHECK(rondo_test::message_of([&] { loop->add_signal_handler(999, [] {}); }).find("999") !=
        std::string::npos);
  // Every other one can be had, real-time signals included.
  for (int number = 1; number <= 64; ++number) {
    if (number == SIGKILL || number == SIGSTOP || number == 32 || number == 33) continue;
    INFO(number);
    loop->add_signal_handler(number, [] {});
    CHECK(loop->remove_signal_handler(number));
  }
}

TEST_CASE_METHOD(fixture, "one loop per signal", "[rule-248][fault-E12]") {
  const auto other = rondo::new_event_loop();
  loop->add_signal_handler(SIGUSR1, [&] { seen.push_back("first loop"); });
  CHECK_THROWS_AS(other->add_signal_handler(SIGUSR1, [] {}), std::logic_error);
  other->add_signal_handler(SIGUSR2, [&] { seen.push_back("second loop"); });
  ::raise(SIGUSR1);
  ::raise(SIGUSR2);
  loop->run_once();
  CHECK(seen == events{"first loop"});
  other->run_once();
  CHECK(seen == events{"first loop", "second loop"});
  CHECK_FALSE(other->remove_signal_handler(SIGUSR1));
  CHECK(loop->remove_signal_handler(SIGUSR1));
  other->add_signal_handler(SIGUSR1, [&] { seen.push_back("free now"); });
  ::raise(SIGUSR1);
  other->run_once();
  CHECK(seen.back() == "free now");
}

TEST_CASE_METHOD(fixture, "removing says whether there was a handler and restores the disposition",
                 "[rule-249][fault-E12]") {
  CHECK_FALSE(loop->remove_signal_handler(SIGUSR1));
  loop->add_signal_handler(SIGUSR1, [] {});
  CHECK(disposition(SIGUSR1).sa_handler != SIG_DFL);
  CHECK(loop->remove_signal_handler(SIGUSR1));
  CHECK(disposition(SIGUSR1).sa_handler == SIG_DFL);
  CHECK_FALSE(loop->remove_signal_handler(SIGUSR1));

  struct ::sigaction own = {};
  own.sa_handler = &own_handler;
  own.sa_flags = SA_NODEFER;
  REQUIRE(::sigaction(SIGUSR2, &own, nullptr) == 0);
  loop->add_signal_handler(SIGUSR2, [] {});
  loop->add_signal_handler(SIGUSR2, [] {});  // replacing does not lose the first one
  CHECK(disposition(SIGUSR2).sa_handler != &own_handler);
  CHECK(loop->remove_signal_handler(SIGUSR2));
  CHECK(disposition(SIGUSR2).sa_handler == &own_handler);
  CHECK((disposition(SIGUSR2).sa_flags & SA_NODEFER) != 0);
  ::signal(SIGUSR2, SIG_DFL);
}

TEST_CASE_METHOD(fixture, "close removes all handlers", "[rule-249]") {
  loop->add_signal_handler(SIGUSR1, [] {});
  loop->add_signal_handler(SIGUSR2, [] {});
  ::raise(SIGUSR1);  // queued, and dropped
  loop->close();
  CHECK(disposition(SIGUSR1).sa_handler == SIG_DFL);
  CHECK(disposition(SIGUSR2).sa_handler == SIG_DFL);
}

TEST_CASE_METHOD(fixture, "a callback that was queued does not run after the removal",
                 "[rule-249]") {
  loop->add_signal_handler(SIGUSR1, [&] { seen.push_back("removed"); });
  ::raise(SIGUSR1);
  CHECK(loop->remove_signal_handler(SIGUSR1));
  loop->run_once();
  CHECK(seen.empty());
  // Removed by a callback of the same batch.
  loop->add_signal_handler(SIGUSR1, [&] {
    seen.push_back("usr1");
    loop->remove_signal_handler(SIGUSR2);
  });
  loop->add_signal_handler(SIGUSR2, [&] { seen.push_back("usr2"); });
  ::raise(SIGUSR1);
  ::raise(SIGUSR2);
  loop->run_once();
  CHECK(seen == events{"usr1"});
  // A handler that removes itself, and one that adds itself again.
  loop->add_signal_handler(SIGUSR2, [&] {
    seen.push_back("self");
    loop->remove_signal_handler(SIGUSR2);
    loop->add_signal_handler(SIGUSR2, [&] { seen.push_back("next"); });
  });
  ::raise(SIGUSR2);
  loop->run_once();
  ::raise(SIGUSR2);
  loop->run_once();
  CHECK(seen == events{"usr1", "self", "next"});
}

TEST_CASE_METHOD(fixture, "system calls of the program are restarted, and no signal is blocked",
                 "[rule-250]") {
  loop->add_signal_handler(SIGUSR1, [] {});
  CHECK((disposition(SIGUSR1).sa_flags & SA_RESTART) != 0);
  ::sigset_t blocked;
  REQUIRE(::pthread_sigmask(SIG_SETMASK, nullptr, &blocked) == 0);
  CHECK(sigismember(&blocked, SIGUSR1) == 0);
}

TEST_CASE_METHOD(fixture, "the handler leaves errno alone", "[fault-E10]") {
  loop->add_signal_handler(SIGUSR1, [] {});
  rondo_test::fault<&rondo::os::system_calls::write> write;
  write.fail_always(EPIPE);
  static_cast<void>(
      loop->backend_timeout());  // a guest's loop sleeps, so that the handler wakes it
  errno = 4711;
  ::raise(SIGUSR1);
  CHECK(errno == 4711);
  CHECK(write.calls() == 1);
}

TEST_CASE_METHOD(fixture, "stop may be called from a signal's callback", "[fault-E3]") {
  loop->add_signal_handler(SIGTERM, [&] {
    seen.push_back("term");
    loop->stop();
  });
  loop->call_soon([] { ::raise(SIGTERM); });
  loop->run_forever();
  CHECK(seen == events{"term"});
}

TEST_CASE_METHOD(fixture, "signals during allocation", "[fault-E10]") {
  int calls = 0;
  loop->add_signal_handler(SIGALRM, [&] { ++calls; });
  ::itimerval often = {};
  often.it_value.tv_usec = 200;
  often.it_interval.tv_usec = 200;
  REQUIRE(::setitimer(ITIMER_REAL, &often, nullptr) == 0);
  std::vector<std::unique_ptr<char[]>> memory;
  while (calls < 20) {
    for (int i = 0; i < 100; ++i) {
      memory.push_back(std::make_unique<char[]>(static_cast<std::size_t>(i) * 37 + 1));
      loop->call_soon([&memory] { memory.pop_back(); });
    }
    loop->run_once();
  }
  const ::itimerval never = {};
  REQUIRE(::setitimer(ITIMER_REAL, &never, nullptr) == 0);
  CHECK(memory.empty());
}

TEST_CASE_METHOD(fixture, "a failing sigaction is reported and leaves nothing", "[fault-E11]") {
  rondo_test::fault<&rondo::os::system_calls::sigaction> sigaction;
  sigaction.fail(1, EFAULT);
  CHECK_THROWS_AS(loop->add_signal_handler(SIGUSR1, [] {}), std::system_error);
  CHECK_FALSE(loop->remove_signal_handler(SIGUSR1));
  loop->add_signal_handler(SIGUSR1, [&] { seen.push_back("works"); });
  ::raise(SIGUSR1);
  loop->run_once();
  CHECK(seen == events{"works"});
}

TEST_CASE("a forked child has the dispositions from before and does not wake its parent",
          "[rule-250]") {
  const oracle unchanged;
  const auto loop = rondo::new_event_loop();
  int calls = 0;
  loop->add_signal_handler(SIGUSR1, [&] { ++calls; });
  const auto killed = rondo_test::run_in_child([] {
    ::raise(SIGUSR1);
    return std::string("survived");
  });
  CHECK(killed.signal == SIGUSR1);
  const auto own = rondo_test::run_in_child([&] {
    loop->close();
    // A loop of its own takes the signal.
    const auto mine = rondo::new_event_loop();
    int hits = 0;
    mine->add_signal_handler(SIGUSR1, [&] { ++hits; });
    ::raise(SIGUSR1);
    mine->run_once();
    return std::to_string(hits);
  });
  CHECK(own.output == "1");
  loop->run_once();
  CHECK(calls == 0);
  ::raise(SIGUSR1);
  loop->run_once();
  CHECK(calls == 1);
}
