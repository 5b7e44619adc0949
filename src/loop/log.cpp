// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Reports to the log handler, standard error by default.
#include <rondo/log.hpp>

#include "../os/broken_pipe.hpp"
#include "../os/syscalls.hpp"

#include <cstdlib>
#include <mutex>
#include <string>

namespace rondo {
inline namespace v0 {
namespace {

struct log_target {
  std::mutex lock;
  log_handler handler = nullptr;
  void* user = nullptr;
};

// Never destroyed: a thread may log while the process exits.
log_target& target() noexcept {
  static log_target* const instance = new log_target;
  return *instance;
}

void write_to_stderr(log_level level, std::string_view text) {
  static const bool verbose = [] {
    const char* const value = std::getenv("RONDO_DEBUG");
    return value != nullptr && *value != '\0';
  }();
  if (level < log_level::warning && !verbose) return;
  static constexpr std::string_view names[] = {"debug", "info", "warning", "error"};
  std::string line = "rondo: ";
  line += names[static_cast<int>(level)];
  line += ": ";
  line += text;
  line += '\n';
  // A failure to write is nobody's business: the loop goes on (disk full, stderr closed). Where
  // nobody reads the pipe the signal for it would end a program that has not asked for reports.
  const os::broken_pipe_guard quiet;
  static_cast<void>(os::sys.write(2, line.data(), line.size()));
}

// Set while this thread is in the handler: what it reports itself goes to standard error.
constinit thread_local bool reporting = false;

void call_handler(log_handler handler, log_level level, std::string_view text, void* user) {
  struct scope {
    scope() noexcept { reporting = true; }
    ~scope() { reporting = false; }
  } const entered;
  handler(level, text, user);
}

}  // namespace

void set_log_handler(log_handler handler, void* user) noexcept {
  log_target& where = target();
  const std::lock_guard guard(where.lock);
  where.handler = handler;
  where.user = user;
}

namespace detail {

void log(log_level level, std::string_view text) noexcept {
  try {
    log_target& where = target();
    log_handler handler = nullptr;
    void* user = nullptr;
    {
      const std::lock_guard guard(where.lock);
      handler = where.handler;
      user = where.user;
    }
    if (handler != nullptr && !reporting) {
      call_handler(handler, level, text, user);
    } else {
      write_to_stderr(level, text);
    }
  } catch (...) {  // NOLINT(bugprone-empty-catch): a report that fails has nowhere else to go
  }
}

}  // namespace detail
}  // namespace v0
}  // namespace rondo
