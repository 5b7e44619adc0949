// SPDX-License-Identifier: MIT
// rondo tests: code that runs in a forked child.
#pragma once

#include "support/catch.hpp"

#include <signal.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <exception>
#include <string>
#include <thread>
#include <utility>

namespace rondo_test {

/// How a child ended, and what it had to say.
struct child_result {
  int exit_code = -1;  ///< -1: killed by a signal
  int signal = 0;
  std::string output;  ///< what the function returned, or the text of what it threw
};

/// Runs `f`, which returns a string, in a forked child; the child is killed after `limit`.
/// The child leaves by _exit: no destructors, no leak check, nothing of the test framework.
template <class F>
child_result run_in_child(F&& f, std::chrono::seconds limit = std::chrono::seconds(30)) {
  int ends[2] = {-1, -1};
  REQUIRE(::pipe(ends) == 0);
  const ::pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    ::close(ends[0]);
    ::alarm(static_cast<unsigned>(limit.count()));
    std::string text;
    int code = 0;
    try {
      text = std::forward<F>(f)();
    } catch (const std::exception& error) {
      text = error.what();
      code = 1;
    } catch (...) {
      text = "something that is no std::exception";
      code = 1;
    }
    std::size_t sent = 0;
    while (sent < text.size()) {
      const ::ssize_t count = ::write(ends[1], text.data() + sent, text.size() - sent);
      if (count <= 0) break;
      sent += static_cast<std::size_t>(count);
    }
    ::_exit(code);
  }
  ::close(ends[1]);
  child_result result;
  char buffer[4096];
  for (;;) {
    const ::ssize_t count = ::read(ends[0], buffer, sizeof buffer);
    if (count <= 0) break;
    result.output.append(buffer, static_cast<std::size_t>(count));
  }
  ::close(ends[0]);
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  if (WIFEXITED(status)) result.exit_code = WEXITSTATUS(status);
  if (WIFSIGNALED(status)) result.signal = WTERMSIG(status);
  return result;
}

}  // namespace rondo_test
