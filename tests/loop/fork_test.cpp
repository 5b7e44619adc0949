// SPDX-License-Identifier: MIT
// rondo tests: loops in forked children, and what a new program inherits (faults E8, E17).
#include "support/catch.hpp"
#include "support/child.hpp"
#include "support/fault_table.hpp"
#include "support/oracle.hpp"
#include "support/wait_hook.hpp"

#include <rondo/rondo.hpp>

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

using namespace std::chrono_literals;
using rondo_test::oracle;
using rondo_test::run_in_child;

namespace {

rondo::coro<int> answer() { co_return 42; }

/// What each use of the parent's loop says in the child.
std::string use_all(rondo::event_loop& loop) {
  const rondo_test::log_capture quiet;  // a coroutine is refused
  const std::vector<std::pair<std::string, std::function<void()>>> uses = {
      {"run_forever", [&] { loop.run_forever(); }},
      {"run_once", [&] { loop.run_once(); }},
      {"run_until_complete", [&] { loop.run_until_complete(answer()); }},
      {"call_soon", [&] { loop.call_soon([] {}); }},
      {"call_later", [&] { loop.call_later(1s, [] {}); }},
      {"call_soon_threadsafe", [&] { loop.call_soon_threadsafe([] {}); }},
      {"add_reader", [&] { loop.add_reader(0, [] {}); }},
      {"add_writer", [&] { loop.add_writer(1, [] {}); }},
      {"add_signal_handler", [&] { loop.add_signal_handler(SIGUSR1, [] {}); }},
  };
  std::string wrong;
  for (const auto& [name, use] : uses) {
    const std::string text = rondo_test::message_of(use);
    if (text.find("fork") == std::string::npos) wrong += name + ": " + text + "\n";
  }
  try {
    static_cast<void>(rondo::get_running_loop());
    wrong += "a loop runs in the child\n";
  } catch (const std::logic_error&) {
  }
  return wrong;
}

/// The child's own loop works.
std::string own_loop() {
  if (rondo::run(answer()) != 42) return "run does not work in the child\n";
  return "";
}

struct parent {
  std::unique_ptr<rondo::event_loop> loop = rondo::new_event_loop();
  std::array<int, 2> ends{};
  int reads = 0;

  parent() {
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends.data()) == 0);
    loop->add_reader(ends[0], [this] {
      char byte = 0;
      while (::read(ends[0], &byte, 1) == 1) ++reads;
    });
    loop->add_signal_handler(SIGUSR1, [] {});
    loop->call_later(1h, [] {});
  }
  parent(const parent&) = delete;
  parent& operator=(const parent&) = delete;
  ~parent() {
    loop->remove_reader(ends[0]);
    ::close(ends[0]);
    ::close(ends[1]);
  }
  /// Descriptors, threads and signals still reach the parent's loop.
  void check_works() {
    const int before = reads;
    REQUIRE(::write(ends[1], "x", 1) == 1);
    loop->run_once(1h);
    CHECK(reads == before + 1);
    bool called = false;
    loop->call_soon_threadsafe([&] { called = true; });
    loop->run_once(1h);
    CHECK(called);
    CHECK(loop->run_until_complete(answer()) == 42);
  }
};

}  // namespace

TEST_CASE("a child may ignore its parent's loop, close it, or destroy it", "[fault-E8]") {
  const oracle unchanged;
  parent mine;
  const std::vector<std::function<std::string()>> children = {
      [&] { return own_loop(); },
      [&] {
        mine.loop->close();
        return own_loop();
      },
      [&] {
        mine.loop->remove_reader(mine.ends[0]);
        mine.loop.reset();
        return own_loop();
      },
      [&] {
        // Its own loop watches the same descriptor.
        const auto loop = rondo::new_event_loop();
        loop->add_reader(mine.ends[0], [] {});
        loop->close();
        mine.loop->close();
        return std::string();
      },
  };
  for (const auto& child : children) {
    const auto result = run_in_child(child);
    CHECK(result.exit_code == 0);
    CHECK(result.output.empty());
    mine.check_works();
  }
}

TEST_CASE("using the parent's loop in a child is a clear error", "[fault-E8]") {
  const oracle unchanged;
  parent mine;
  const auto result = run_in_child([&] { return use_all(*mine.loop) + own_loop(); });
  CHECK(result.exit_code == 0);
  CHECK(result.output.empty());
  mine.check_works();
}

TEST_CASE("a child of a running loop", "[fault-E8]") {
  const oracle unchanged;
  parent mine;
  rondo_test::child_result result;
  const std::string where =
      GENERATE("callback", "task", "timer", "reader", "signal", "done callback");
  INFO(where);
  const auto fork_here = [&] {
    result = run_in_child([&] {
      std::string wrong = use_all(*mine.loop);
      wrong += own_loop();
      if (mine.loop->is_running()) wrong += "the parent's loop runs in the child\n";
      mine.loop->close();
      wrong += own_loop();
      return wrong;
    });
    mine.loop->stop();
  };
  auto& loop = *mine.loop;
  rondo::task<> task;
  if (where == "callback") loop.call_soon(fork_here);
  if (where == "task") {
    task = loop.create_task(
        [](std::function<void()> f) -> rondo::coro<> {
          co_await rondo::yield_now();
          f();
        },
        std::function<void()>(fork_here));
  }
  if (where == "timer") loop.call_later(1ms, fork_here);
  int ends[2];
  REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
  if (where == "reader") {
    loop.add_writer(ends[1], [&] {
      fork_here();
      loop.remove_writer(ends[1]);
    });
  }
  if (where == "signal") {
    loop.add_signal_handler(SIGUSR2, fork_here);
    ::raise(SIGUSR2);
  }
  if (where == "done callback") {
    const auto future = loop.create_future<void>();
    future.add_done_callback(fork_here);
    future.set_result();
  }
  loop.run_forever();
  CHECK(result.exit_code == 0);
  CHECK(result.output.empty());
  mine.check_works();
  ::close(ends[0]);
  ::close(ends[1]);
}

TEST_CASE("a child that goes on with its parent's loop runs nothing of it", "[fault-E8]") {
  const oracle unchanged;
  parent mine;
  std::string said;
  const ::pid_t self = ::getpid();
  int ends[2];
  REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
  ::pid_t child = 0;
  mine.loop->call_soon([&] { child = ::fork(); });
  mine.loop->call_soon([&] {
    if (::getpid() != self) said += "the rest of the batch ran in the child";
    mine.loop->stop();
  });
  try {
    mine.loop->run_forever();
  } catch (const std::logic_error& error) {
    said += error.what();
  }
  if (::getpid() != self) {
    static_cast<void>(!::write(ends[1], said.data(), said.size()));
    ::_exit(0);
  }
  ::close(ends[1]);
  char text[200] = {};
  REQUIRE(::read(ends[0], text, sizeof text - 1) > 0);
  ::close(ends[0]);
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(std::string(text) ==
        "the event loop was made before fork(): the child must close it and make its own");
  CHECK(said.empty());
  mine.check_works();
}

TEST_CASE("a child of a child", "[fault-E8]") {
  const oracle unchanged;
  parent mine;
  rondo_test::child_result result;
  mine.loop->call_soon([&] {
    result = run_in_child([&] {
      std::string wrong = use_all(*mine.loop);
      const auto loop = rondo::new_event_loop();
      std::string inner = "not run";
      loop->call_soon([&] {
        inner =
            run_in_child([&] { return use_all(*loop) + use_all(*mine.loop) + own_loop(); }).output;
        loop->stop();
      });
      loop->run_forever();
      return wrong + inner;
    });
    mine.loop->stop();
  });
  mine.loop->run_forever();
  CHECK(result.exit_code == 0);
  CHECK(result.output.empty());
}

TEST_CASE("closing in the child makes no system call on the parent's epoll", "[fault-E8]") {
  const oracle unchanged;
  parent mine;
  const auto result = run_in_child([&] {
    rondo_test::fault<&rondo::os::system_calls::epoll_ctl> control;
    int waits = 0;
    const rondo_test::wait_hook wait([&](rondo::interval) {
      ++waits;
      return std::optional<int>();
    });
    rondo_test::fault<&rondo::os::system_calls::write> write;
    mine.loop->close();
    mine.loop.reset();
    return std::to_string(control.calls() + waits + write.calls());
  });
  CHECK(result.output == "0");
  mine.check_works();
}

TEST_CASE("a new program inherits no descriptor of the library", "[fault-E17]") {
  const oracle unchanged;
  const auto loop = rondo::new_event_loop();
  loop->run_once();
  std::size_t checked = 0;
  for (const auto& each : std::filesystem::directory_iterator("/proc/self/fd")) {
    const std::string target = std::filesystem::read_symlink(each.path()).string();
    if (target.find("anon_inode") == std::string::npos)
      continue;  // the epoll instance, the eventfd
    const int fd = std::stoi(each.path().filename().string());
    CHECK((::fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    ++checked;
  }
  CHECK(checked >= 2);
}
