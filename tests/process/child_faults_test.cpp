// SPDX-License-Identifier: MIT
// rondo tests: children on a kernel, or in a program, that makes it hard to follow them.
#include "process/support.hpp"

#include "loop/inbox.hpp"
#include "process/child.hpp"
#include "support/child.hpp"
#include "support/fault_table.hpp"

#include <sched.h>

#include <thread>

namespace rondo_test {

namespace os = rondo::os;
namespace subprocess = rondo::subprocess;
using rondo::coro;
using rondo::create_subprocess_exec;
using rondo::create_subprocess_shell;

namespace {

/// A kernel that has no descriptors of processes.
class no_pidfd {
 public:
  explicit no_pidfd(int error = EINVAL) {
    clone_.hook([error](int (*)(void*), void*, int flags, void*, int*) -> std::optional<pid_t> {
      if ((flags & CLONE_PIDFD) == 0) return std::nullopt;
      errno = error;
      return -1;
    });
    open_.fail_always(error == EINVAL ? ENOSYS : error);
  }

 private:
  fault<&os::system_calls::clone> clone_;
  fault<&os::system_calls::pidfd_open> open_;
};

coro<int> code_of(rondo::process program) {
  const int code = co_await program.wait();
  co_return code;
}

}  // namespace

TEST_CASE("without a descriptor of the process its end is noticed all the same",
          "[process][faults][fault-J5]") {
  const int error = GENERATE(EINVAL, EMFILE, ENFILE);
  process_scene here;
  const no_pidfd old_kernel(error);
  CHECK(returncode_of(here, create_subprocess_shell("exit 6")) == 6);
  auto program =
      start(here, create_subprocess_exec({.in = subprocess::pipe, .out = subprocess::pipe}, "cat"));
  CHECK(here.run(program.communicate("fallback")).first == "fallback");
  CHECK(program.returncode() == 0);
  auto killed = start(here, create_subprocess_exec({.in = subprocess::pipe}, "cat"));
  auto waiting = here.loop().create_task(code_of(killed));
  here.turn(3);
  CHECK_FALSE(waiting.done());
  killed.terminate();
  here.until([&] { return waiting.done(); });
  CHECK(waiting.result() == -SIGTERM);
  killed.terminate();
  killed.kill();
}

TEST_CASE("without a descriptor only a child that is there gets a signal",
          "[process][faults][fault-J5][fault-J6][rule-260]") {
  process_scene here;
  const no_pidfd old_kernel;
  log_lines lines;
  auto program = start(here, create_subprocess_exec({.in = subprocess::pipe}, "cat"));
  fault<&os::system_calls::kill> kill;
  program.send_signal(0);
  CHECK(kill.calls() == 1);
  ::kill(program.pid(), SIGKILL);
  // Somebody else takes the status, so that the number may be another process's.
  ::siginfo_t info{};
  REQUIRE(::waitid(P_PID, static_cast<::id_t>(program.pid()), &info, WEXITED) == 0);
  program.kill();
  CHECK(kill.calls() == 1);
  CHECK(here.run(program.wait()) == 255);
}

TEST_CASE("without descriptors a child outlives its loop, too",
          "[process][faults][fault-J5][fault-J11]") {
  std::optional<rondo::process> kept;
  std::array<int, 2> gate{};
  REQUIRE(::pipe2(gate.data(), O_CLOEXEC) == 0);
  {
    scene here;
    const no_pidfd old_kernel;
    kept = start(here, create_subprocess_exec({.in = gate[0]}, "cat"));
    SECTION("which runs on") { here.loop().close(); }
    SECTION("which has ended, and its thread has said so") {
      end_unnoticed(kept->pid());
      here.loop().close();
    }
    here.end_loop();
  }
  ::close(gate[0]);
  ::close(gate[1]);
  const auto deadline = std::chrono::steady_clock::now() + 5s;
  while ((has_children() || !kept->returncode()) && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::yield();
  }
  CHECK_FALSE(has_children());
  REQUIRE(kept->returncode());
  CHECK((kept->returncode() == 0 || kept->returncode() == -SIGKILL));
}

TEST_CASE("a descriptor of a process that cannot be watched is replaced by a thread",
          "[process][faults][fault-J5]") {
  process_scene here;
  here.turn();
  fault<&os::system_calls::epoll_ctl> epoll_ctl;
  epoll_ctl.fail_always(ENOSPC);
  auto program = start(here, create_subprocess_shell("exit 8"));
  CHECK(here.run(program.wait()) == 8);
}

TEST_CASE("a status that somebody else took is 255, with one warning",
          "[process][faults][fault-J4]") {
  process_scene here;
  log_lines lines;
  SECTION("by waiting for any child") {
    auto program = start(here, create_subprocess_exec({.in = subprocess::pipe}, "cat"));
    ::kill(program.pid(), SIGKILL);
    int status = 0;
    REQUIRE(::waitpid(-1, &status, 0) == program.pid());
    CHECK(here.run(program.wait()) == 255);
    CHECK(here.run(program.wait()) == 255);
    program.kill();
  }
  SECTION("by ignoring SIGCHLD") {
    const auto before = std::signal(SIGCHLD, SIG_IGN);
    auto program = start(here, create_subprocess_exec({.in = subprocess::pipe}, "cat"));
    program.kill();
    CHECK(here.run(program.wait()) == 255);
    std::signal(SIGCHLD, before);
  }
  SECTION("by ignoring SIGCHLD, without descriptors") {
    const no_pidfd old_kernel;
    const auto before = std::signal(SIGCHLD, SIG_IGN);
    auto program = start(here, create_subprocess_exec({.in = subprocess::pipe}, "cat"));
    program.kill();
    CHECK(here.run(program.wait()) == 255);
    std::signal(SIGCHLD, before);
  }
  CHECK(lines.warnings("exit status of process") == 1);
}

TEST_CASE("a kernel that cannot wait for descriptors waits for numbers",
          "[process][faults][fault-J5]") {
  process_scene here;
  fault<&os::system_calls::waitid> waitid;
  waitid.hook([](::idtype_t kind, ::id_t, ::siginfo_t*, int) -> std::optional<int> {
    if (kind == P_PID) return std::nullopt;
    errno = EINVAL;
    return -1;
  });
  CHECK(returncode_of(here, create_subprocess_shell("exit 9")) == 9);
}

TEST_CASE("a kernel without signals by descriptor sends them by number",
          "[process][faults][fault-J5]") {
  process_scene here;
  fault<&os::system_calls::pidfd_send_signal> pidfd_send_signal;
  pidfd_send_signal.fail_always(ENOSYS);
  auto program = start(here, create_subprocess_exec({.in = subprocess::pipe}, "cat"));
  program.terminate();
  CHECK(here.run(program.wait()) == -SIGTERM);
}

TEST_CASE("interrupted calls are invisible", "[process][faults][fault-B9]") {
  process_scene here;
  fault<&os::system_calls::waitid> waitid;
  waitid.fail_every_other(EINTR);
  CHECK(returncode_of(here, create_subprocess_shell("exit 10")) == 10);
  CHECK(error_of(here, create_subprocess_exec("/no/such/program")) == ENOENT);
}

TEST_CASE("a child with the rights of somebody else cannot be killed, which is said",
          "[process][faults][rule-258]") {
  process_scene here;
  auto program = start(here, create_subprocess_exec({.in = subprocess::pipe}, "cat"));
  {
    fault<&os::system_calls::pidfd_send_signal> pidfd_send_signal;
    pidfd_send_signal.fail_always(EPERM);
    CHECK_THROWS_AS(program.kill(), std::system_error);
  }
  program.kill();
  here.run(program.wait());
}

TEST_CASE("a process that makes copies of its memory reports failures by a pipe",
          "[process][faults][fault-J1]") {
  process_scene here;
  fault<&os::system_calls::clone> clone;
  // Neither sharing the memory nor waiting: what tools that run programs make of it.
  clone.hook([](int (*function)(void*), void* stack, int flags, void* argument,
                int* pidfd) -> std::optional<pid_t> {
    return ::clone(function, stack, flags & ~(CLONE_VM | CLONE_VFORK), argument, pidfd);
  });
  // Only asked for a pipe where it is not known yet that memory is shared: a change of the user is
  // such a case always.
  if (::geteuid() != 0) return;
  CHECK(returncode_of(here, create_subprocess_exec({.user = 0}, "true")) == 0);
  CHECK(error_of(here, create_subprocess_exec({.user = 0}, "/no/such/program")) == ENOENT);
  CHECK(error_of(here, create_subprocess_exec({.cwd = "/no/such", .user = 0}, "true")) == ENOENT);
}

TEST_CASE("a forked child that closes its parent's loop leaves the parent's children alone",
          "[process][faults][fault-E8]") {
  process_scene here;
  auto program = start(here, create_subprocess_exec({.in = subprocess::pipe}, "cat"));
  const auto copy = run_in_child([&] {
    here.loop().close();
    return std::string("closed");
  });
  CHECK(copy.output == "closed");
  CHECK_FALSE(program.returncode());
  program.kill();
  CHECK(here.run(program.wait()) == -SIGKILL);
}

TEST_CASE("loops in several threads have children of their own", "[process][threads]") {
  std::vector<std::thread> threads;
  std::atomic<int> sum = 0;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&sum, i] {
      const auto loop = rondo::new_event_loop();
      auto body = [i]() -> coro<int> {
        int total = 0;
        for (int round = 0; round < 3; ++round) {
          const rondo::process program = co_await create_subprocess_shell(
              "exit " + std::to_string(i + 1), {.in = subprocess::pipe});
          total += co_await program.wait();
        }
        co_return total;
      };
      sum += loop->run_until_complete(body());
    });
  }
  for (std::thread& each : threads) each.join();
  CHECK(sum == 3 * (1 + 2 + 3));
  CHECK_FALSE(has_children());
}

}  // namespace rondo_test
