// SPDX-License-Identifier: MIT
// rondo tests: what one iteration does, and in which order (rules 1-15).
#include "support/catch.hpp"
#include "support/oracle.hpp"

#include <rondo/rondo.hpp>

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

using namespace std::chrono_literals;
using rondo_test::check_idle;
using rondo_test::oracle;

namespace {

using events = std::vector<std::string>;

struct fixture {
  oracle unchanged;
  std::unique_ptr<rondo::event_loop> loop = rondo::new_event_loop();
  events seen;

  auto log(std::string what) {
    return [this, what = std::move(what)] { seen.push_back(what); };
  }
  /// asyncio's way to run one iteration.
  void run_one() {
    loop->stop();
    loop->run_forever();
  }
};

/// A pair of connected sockets; [0] is readable after `fill`, both are writable.
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

}  // namespace

TEST_CASE_METHOD(fixture, "an iteration runs what is ready, then I/O, then timers",
                 "[rule-001][rule-002]") {
  const ends pair;
  pair.fill();
  loop->add_writer(pair.fd[0], [&] {
    seen.push_back("writer");
    loop->remove_writer(pair.fd[0]);
  });
  loop->add_reader(pair.fd[0], [&] {
    seen.push_back("reader");
    pair.empty();
  });
  loop->call_later(0s, log("timer"));
  loop->call_soon(log("ready 1"));
  loop->call_soon(log("ready 2"));
  run_one();
  CHECK(seen == events{"ready 1", "ready 2", "reader", "writer", "timer"});
  loop->remove_reader(pair.fd[0]);
  check_idle(*loop);
}

TEST_CASE_METHOD(fixture, "the same holds in an iteration that a callback stops",
                 "[rule-001][rule-002]") {
  const ends pair;
  pair.fill();
  loop->add_reader(pair.fd[0], [&] {
    seen.push_back("reader");
    pair.empty();
  });
  loop->call_later(0s, log("timer"));
  loop->call_soon([&] {
    seen.push_back("stop");
    loop->stop();
    loop->call_soon(log("next"));
  });
  loop->run_forever();
  CHECK(seen == events{"stop", "reader", "timer"});
  run_one();
  CHECK(seen == events{"stop", "reader", "timer", "next"});
  loop->remove_reader(pair.fd[0]);
}

TEST_CASE_METHOD(fixture, "the first and the last iteration look at descriptors, whatever is ready",
                 "[rule-001]") {
  int left = 5;
  std::function<void()> chain = [&] {
    if (--left > 0) {
      loop->call_soon(std::ref(chain));
    } else {
      loop->stop();
    }
  };
  loop->call_soon(std::ref(chain));
  const auto before = loop->metrics();
  loop->run_forever();
  CHECK(loop->metrics().iterations == before.iterations + 5);
  CHECK(loop->metrics().polls >= before.polls + 2);
}

TEST_CASE_METHOD(fixture, "what the last batch schedules is for the next run",
                 "[rule-001][rule-013]") {
  // A chain of callbacks, during which the loop may leave polls out.
  int left = 10;
  std::function<void()> chain = [&] {
    if (--left > 0) {
      loop->call_soon(std::ref(chain));
      return;
    }
    loop->call_at(loop->time(), log("timer"));
    loop->call_soon_threadsafe(log("threadsafe"));
    loop->stop();
    seen.push_back("stop");
  };
  loop->call_soon(std::ref(chain));
  loop->run_forever();
  CHECK(seen == events{"stop"});
  run_one();
  CHECK(seen == events{"stop", "threadsafe", "timer"});
}

TEST_CASE_METHOD(fixture, "a callback that is added by a callback runs in the next iteration",
                 "[rule-003]") {
  loop->call_soon([&] {
    seen.push_back("first");
    loop->call_soon(log("added"));
  });
  loop->call_soon(log("second"));
  run_one();
  CHECK(seen == events{"first", "second"});
  run_one();
  CHECK(seen == events{"first", "second", "added"});
}

TEST_CASE_METHOD(fixture, "another poll comes before what a callback added",
                 "[rule-003][rule-228]") {
  const ends pair;
  pair.fill();
  loop->add_reader(pair.fd[0], log("reader"));  // does not read: called in every iteration
  int rounds = 3;
  std::function<void()> again = [&] {
    seen.push_back("again");
    if (--rounds > 0) {
      loop->call_soon(std::ref(again));
    } else {
      loop->stop();
    }
  };
  loop->call_soon(std::ref(again));
  loop->run_forever();
  CHECK(seen == events{"again", "reader", "again", "reader", "again", "reader"});
  loop->remove_reader(pair.fd[0]);
}

TEST_CASE_METHOD(fixture, "call_soon is first in, first out, and runs each handle once",
                 "[rule-004]") {
  for (int i = 0; i < 1000; ++i) loop->call_soon([this, i] { seen.push_back(std::to_string(i)); });
  run_one();
  run_one();
  REQUIRE(seen.size() == 1000);
  for (int i = 0; i < 1000; ++i) CHECK(seen[static_cast<std::size_t>(i)] == std::to_string(i));
}

TEST_CASE_METHOD(fixture, "call_soon of one callable twice runs it twice", "[rule-004]") {
  int count = 0;
  auto increment = [&count] { ++count; };
  const rondo::handle first = loop->call_soon(increment);
  const rondo::handle second = loop->call_soon(increment);
  CHECK(first != second);
  run_one();
  CHECK(count == 2);
}

TEST_CASE_METHOD(fixture, "delays of nothing and less go through the timers", "[rule-005]") {
  loop->call_later(0s, log("zero"));
  loop->call_later(-1s, log("negative"));
  loop->call_soon(log("soon"));
  run_one();
  // The earlier deadline first: it is in the past.
  CHECK(seen == events{"soon", "negative", "zero"});
}

TEST_CASE_METHOD(fixture,
                 "a delay of nothing ends in the next iteration, after what is ready there",
                 "[rule-005]") {
  loop->call_soon([&] {
    loop->call_later(0s, log("timer"));
    loop->call_soon([&] {
      seen.push_back("soon");
      loop->call_soon(log("later"));
    });
  });
  run_one();
  CHECK(seen.empty());
  run_one();
  CHECK(seen == events{"soon", "timer"});
  run_one();
  CHECK(seen == events{"soon", "timer", "later"});
}

TEST_CASE_METHOD(fixture, "the same in one run, where polls may be left out", "[rule-005]") {
  int rounds = 5;
  std::function<void()> round = [&] {
    seen.push_back("round");
    if (--rounds == 0) {
      loop->stop();
      return;
    }
    loop->call_later(0s, log("later"));
    loop->call_at(loop->time(), log("at"));
    loop->call_soon(std::ref(round));
  };
  loop->call_soon(std::ref(round));
  loop->run_forever();
  CHECK(seen == events{"round", "round", "later", "at", "round", "later", "at", "round", "later",
                       "at", "round", "later", "at"});
}

TEST_CASE_METHOD(fixture, "cancelling a handle of the running batch prevents it", "[rule-009]") {
  rondo::handle second;
  loop->call_soon([&] {
    seen.push_back("first");
    second.cancel();
  });
  second = loop->call_soon(log("second"));
  loop->call_soon(log("third"));
  run_one();
  CHECK(seen == events{"first", "third"});
  check_idle(*loop);
}

TEST_CASE_METHOD(fixture, "a due timer can be cancelled by what runs before it", "[rule-009]") {
  rondo::timer_handle timer;
  loop->call_soon([&] { timer.cancel(); });
  timer = loop->call_later(0s, log("timer"));
  rondo::timer_handle later;
  loop->call_later(0s, [&] { later.cancel(); });
  later = loop->call_later(0s, log("later"));
  run_one();
  CHECK(seen.empty());
  check_idle(*loop);
}

TEST_CASE_METHOD(fixture, "stop lets the batch end and keeps what it added for the next run",
                 "[rule-013]") {
  loop->call_soon([&] {
    seen.push_back("stop");
    loop->stop();
    loop->call_soon(log("added"));
  });
  loop->call_soon(log("same batch"));
  loop->run_forever();
  CHECK(seen == events{"stop", "same batch"});
  run_one();
  CHECK(seen == events{"stop", "same batch", "added"});
}

TEST_CASE_METHOD(fixture, "stop before the run makes one iteration that does not wait",
                 "[rule-014][fault-E3]") {
  loop->call_later(1h, log("never"));
  loop->call_later(-1s, log("due"));
  loop->call_soon([&] {
    seen.push_back("ready");
    loop->call_soon(log("next"));
  });
  const auto began = rondo::clock::now();
  loop->stop();
  loop->stop();  // twice is once
  loop->run_forever();
  CHECK(rondo::clock::now() - began < 30min);
  CHECK(seen == events{"ready", "due"});
  loop->stop();
  loop->run_forever();
  CHECK(seen == events{"ready", "due", "next"});
}

TEST_CASE_METHOD(fixture, "the stop flag is cleared when the run ends, also by an exception",
                 "[rule-015]") {
  loop->call_soon([&] {
    loop->stop();
    throw rondo::system_exit(3);
  });
  CHECK_THROWS_AS(loop->run_forever(), rondo::system_exit);
  CHECK_FALSE(loop->is_running());
  // A flag that was left would end this run after one iteration.
  loop->call_soon([&] {
    loop->call_soon([&] {
      loop->call_soon([&] {
        seen.push_back("third iteration");
        loop->stop();
      });
    });
  });
  loop->run_forever();
  CHECK(seen == events{"third iteration"});
}

TEST_CASE_METHOD(fixture, "run_once runs one iteration and says how many callbacks ran",
                 "[rule-001]") {
  CHECK(loop->run_once() == 0);
  loop->call_soon(log("a"));
  loop->call_soon([&] { loop->call_soon(log("b")); });
  CHECK(loop->run_once() == 2);
  CHECK(loop->run_once() == 1);
  CHECK(seen == events{"a", "b"});
  loop->call_later(1ms, log("c"));
  CHECK(loop->run_once(1h) == 1);
  CHECK(loop->run_once(-1h) == 0);
  CHECK(seen == events{"a", "b", "c"});
  loop->call_later(1h, log("never"));
  const auto began = rondo::clock::now();
  CHECK(loop->run_once(1ms) == 0);
  CHECK(rondo::clock::now() - began >= 1ms);
  CHECK(rondo::clock::now() - began < 30min);
}

TEST_CASE_METHOD(fixture, "the library calls nothing from inside its functions", "[rule-023]") {
  const ends pair;
  pair.fill();
  loop->call_soon([&] {
    loop->call_soon(log("call_soon"));
    loop->call_later(-1s, log("call_later"));
    loop->add_reader(pair.fd[0], [&] {
      seen.push_back("add_reader");
      loop->remove_reader(pair.fd[0]);
    });
    const auto future = loop->create_future<int>();
    future.add_done_callback(log("set_result"));
    future.set_result(1);
    const auto cancelled = loop->create_future<int>();
    cancelled.add_done_callback(log("cancel"));
    cancelled.cancel();
    seen.push_back("nothing yet");
  });
  run_one();
  CHECK(seen == events{"nothing yet"});
  run_one();
  CHECK(seen ==
        events{"nothing yet", "call_soon", "set_result", "cancel", "add_reader", "call_later"});
}

TEST_CASE_METHOD(fixture,
                 "callbacks may add and remove callbacks, and one that throws stops nobody",
                 "[fault-D15]") {
  const rondo_test::log_capture reports;
  std::vector<rondo::handle> handles(6);
  handles[0] = loop->call_soon([&] {
    seen.push_back("0");
    handles[2].cancel();
    handles[5] = loop->call_soon(log("5"));
    throw std::runtime_error("from 0");
  });
  handles[1] = loop->call_soon([&] {
    seen.push_back("1");
    handles[0].cancel();  // it ran
    handles[1].cancel();  // it runs
    throw 7;
  });
  handles[2] = loop->call_soon(log("2"));
  handles[3] = loop->call_soon(log("3"));
  run_one();
  CHECK(seen == events{"0", "1", "3"});
  run_one();
  CHECK(seen == events{"0", "1", "3", "5"});
  CHECK(reports.problems().size() == 2);
  check_idle(*loop);
}

TEST_CASE_METHOD(fixture, "metrics count iterations, callbacks and what is scheduled",
                 "[rule-001]") {
  const auto before = loop->metrics();
  const rondo::handle soon = loop->call_soon([] {});
  const rondo::timer_handle later = loop->call_later(1h, [] {});
  CHECK(loop->metrics().handles == 2);
  later.cancel();
  CHECK(loop->metrics().handles == 1);
  CHECK(loop->run_once() == 1);
  const auto after = loop->metrics();
  CHECK(after.handles == 0);
  CHECK(after.iterations == before.iterations + 1);
  CHECK(after.callbacks == before.callbacks + 1);
  CHECK(after.polls == before.polls + 1);
}
