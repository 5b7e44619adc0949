// SPDX-License-Identifier: MIT
// rondo tests: a loop whose children are all gone at the end.
#pragma once

#include <rondo/errors.hpp>
#include <rondo/sleep.hpp>
#include <rondo/subprocess.hpp>
#include <rondo/task.hpp>
#include <rondo/timeouts.hpp>

#include "net/transport_fixture.hpp"
#include "support/sanitized.hpp"

#include <sys/wait.h>

#include <cerrno>
#include <csignal>
#include <string>
#include <utility>

namespace rondo_test {

/// Whether this process has a child, ended or not.
inline bool has_children() {
  ::siginfo_t info{};
  return ::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 || errno != ECHILD;
}

/// Ends a child from outside, and returns when it has ended: nobody has noticed yet.
inline void end_unnoticed(int pid) {
  ::kill(pid, SIGKILL);
  ::siginfo_t info{};
  REQUIRE(::waitid(P_PID, static_cast<::id_t>(pid), &info, WEXITED | WNOWAIT) == 0);
}

/// A scene that ends without children.
class process_scene : public scene {
 public:
  ~process_scene() {
    try {
      until([] { return !has_children(); });
    } catch (...) {
      CHECK(false);
    }
    settle();
  }
};

/// What a program says on its standard output, which is all that it says.
inline std::string output_of(scene& here, rondo::coro<rondo::process> starting) {
  auto body = [](rondo::coro<rondo::process> start) -> rondo::coro<std::string> {
    const rondo::process program = co_await std::move(start);
    auto said = co_await program.communicate();
    co_return std::move(said.first);
  };
  return here.run(body(std::move(starting)));
}

/// How a program ends.
inline int returncode_of(scene& here, rondo::coro<rondo::process> starting) {
  auto body = [](rondo::coro<rondo::process> start) -> rondo::coro<int> {
    const rondo::process program = co_await std::move(start);
    const int code = co_await program.wait();
    co_return code;
  };
  return here.run(body(std::move(starting)));
}

/// The errno value of what starting a program throws, 0 if it starts.
inline int error_of(scene& here, rondo::coro<rondo::process> starting) {
  try {
    returncode_of(here, std::move(starting));
  } catch (const std::system_error& error) {
    return error.code().value();
  }
  return 0;
}

inline rondo::process start(scene& here, rondo::coro<rondo::process> starting) {
  return here.run(std::move(starting));
}

}  // namespace rondo_test
