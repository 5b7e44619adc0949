// SPDX-License-Identifier: MIT
// rondo tests: what holds jobs back until a test lets them go on.
#pragma once

#include <rondo/event_loop.hpp>
#include <rondo/executor.hpp>

#include <condition_variable>
#include <cstddef>
#include <exception>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace rondo_test {

/// Jobs wait in it until it is opened.
class gate {
 public:
  void pass() {
    std::unique_lock lock(mutex_);
    ++inside_;
    changed_.notify_all();
    changed_.wait(lock, [this] { return open_; });
  }
  /// Until so many have come, ever.
  void wait_for(int count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return inside_ >= count; });
  }
  void open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int inside_ = 0;
  bool open_ = false;
};

/// Opens a gate when the scope ends, however it ends.
class opens {
 public:
  explicit opens(gate& which) noexcept : gate_(which) {}
  opens(const opens&) = delete;
  opens& operator=(const opens&) = delete;
  ~opens() { gate_.open(); }

 private:
  gate& gate_;
};

/// An executor that keeps jobs until the test runs or drops them.
class manual_executor final : public rondo::executor {
 public:
  void submit(rondo::executor_job job) override { jobs.push_back(std::move(job)); }

  void run_all() {
    for (rondo::executor_job& each : std::exchange(jobs, {})) each();
  }

  std::vector<rondo::executor_job> jobs;
};

/// Runs the loop until it has nothing to do now.
inline void settle(rondo::event_loop& loop) {
  while (loop.run_once() > 0) {
  }
}

/// How an exception of type E reads; "-" for none, "other" for another type.
template <class E, class F>
std::string thrown_by(F&& f) {
  try {
    std::forward<F>(f)();
  } catch (const E& error) {
    return error.what();
  } catch (...) {
    return "other";
  }
  return "-";
}

}  // namespace rondo_test
