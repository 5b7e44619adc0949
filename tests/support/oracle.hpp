// SPDX-License-Identifier: MIT
// rondo tests: what must be as it was when a test ends, and what is caught on the way.
#pragma once

#include "support/catch.hpp"
#include "support/sanitized.hpp"

#include <rondo/detail/memory.hpp>
#include <rondo/event_loop.hpp>
#include <rondo/log.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <filesystem>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace rondo_test {

/// The descriptors of this process, except the one that looking takes.
inline std::size_t open_descriptors() {
  std::size_t count = 0;
  for (const auto& each : std::filesystem::directory_iterator("/proc/self/fd")) {
    static_cast<void>(each);
    ++count;
  }
  return count - 1;
}

/// Descriptors, coroutine frames and blocks are at its end what they were at its beginning. Put it
/// first in a test; `threads` where other threads make or free blocks, `coroutines` where they make
/// or free frames as well: those counts are per thread.
class oracle {
 public:
  enum class scope { one_thread, threads, coroutines };

  explicit oracle(scope counted = scope::one_thread)
      : descriptors_(open_descriptors()),
        frames_(rondo::detail::live_frames()),
        blocks_(rondo::detail::live_blocks()),
        counted_(counted) {}
  oracle(const oracle&) = delete;
  oracle& operator=(const oracle&) = delete;
  ~oracle() {
    CHECK(open_descriptors() == descriptors_);
    if (counted_ != scope::coroutines) CHECK(rondo::detail::live_frames() == frames_);
    if (counted_ == scope::one_thread) CHECK(rondo::detail::live_blocks() == blocks_);
  }

 private:
  std::size_t descriptors_;
  std::ptrdiff_t frames_;
  std::ptrdiff_t blocks_;
  scope counted_;
};

/// Nothing is scheduled in the loop, and nothing waits in its backend.
inline void check_idle(const rondo::event_loop& loop) {
  const rondo::loop_metrics now = loop.metrics();
  CHECK(now.tasks == 0);
  CHECK(now.handles == 0);
  CHECK(now.operations == 0);
}

/// Collects the reports of the library while it lives.
class log_capture {
 public:
  struct line {
    rondo::log_level level;
    std::string text;
  };

  log_capture() { rondo::set_log_handler(&log_capture::receive, this); }
  log_capture(const log_capture&) = delete;
  log_capture& operator=(const log_capture&) = delete;
  ~log_capture() { rondo::set_log_handler(nullptr); }

  [[nodiscard]] std::vector<line> lines() const {
    const std::lock_guard guard(lock_);
    return lines_;
  }
  /// Warnings and errors.
  [[nodiscard]] std::vector<std::string> problems() const {
    std::vector<std::string> result;
    for (const line& each : lines()) {
      if (each.level >= rondo::log_level::warning) result.push_back(each.text);
    }
    return result;
  }
  [[nodiscard]] std::size_t count(std::string_view part) const {
    const auto all = lines();
    return static_cast<std::size_t>(std::count_if(all.begin(), all.end(), [&](const line& each) {
      return each.text.find(part) != std::string::npos;
    }));
  }

 private:
  static void receive(rondo::log_level level, std::string_view text, void* self) {
    auto& mine = *static_cast<log_capture*>(self);
    const std::lock_guard guard(mine.lock_);
    mine.lines_.push_back({level, std::string(text)});
  }

  mutable std::mutex lock_;
  std::vector<line> lines_;
};

/// Sets an environment variable, or unsets it, while it lives.
class environment {
 public:
  environment(const char* name, const char* value) : name_(name) {
    if (const char* const old = std::getenv(name); old != nullptr) {
      had_ = true;
      old_ = old;
    }
    if (value != nullptr) {
      ::setenv(name, value, 1);
    } else {
      ::unsetenv(name);
    }
  }
  environment(const environment&) = delete;
  environment& operator=(const environment&) = delete;
  ~environment() {
    if (had_) {
      ::setenv(name_, old_.c_str(), 1);
    } else {
      ::unsetenv(name_);
    }
  }

 private:
  const char* name_;
  bool had_ = false;
  std::string old_;
};

/// What the exception is about, whatever it is.
template <class F>
std::string message_of(F&& f) {
  try {
    std::forward<F>(f)();
  } catch (const std::exception& error) {
    return error.what();
  } catch (...) {
    return "something else";
  }
  return "nothing was thrown";
}

}  // namespace rondo_test
