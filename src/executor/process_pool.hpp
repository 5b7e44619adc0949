// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  What a process_pool_executor and its calls share.
#pragma once

#include <rondo/executor.hpp>

#include "os/fork.hpp"

#include <sys/types.h>

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

namespace rondo {
inline namespace v0 {
namespace detail {
class process_call;

/// A process that was forked, until it is reaped and nobody asks for its status.
struct child_process {
  pid_t pid = 0;
  int status = 0;            // as waitpid gives it
  bool reaped = true;        // or not begun yet
  bool status_known = true;  // somebody else may have reaped it
  bool awaited = false;      // a thread blocks until it ends, and must find it unreaped
  bool orphaned = false;     // its loop is closed
};

/// Which calls wait for a place, and which children there are. Lives until the last call has ended.
/// Any thread.
class process_pool : public std::enable_shared_from_this<process_pool> {
 public:
  explicit process_pool(std::size_t most) noexcept : most_(most) {}

  void submit(executor_job job);
  void shut_down(bool wait, bool cancel);
  void send(int signal_number);

  [[nodiscard]] std::size_t most_processes() const noexcept { return most_; }
  [[nodiscard]] std::size_t processes() const;
  [[nodiscard]] bool of_this_process() const noexcept { return forks_ == os::fork_generation(); }

  // For calls.

  /// False from `shut_down` with `cancel` on.
  [[nodiscard]] bool may_begin() const;
  /// A place is free: the next call begins in its loop's thread.
  void give_place() noexcept;
  void add(std::unique_ptr<child_process> child);
  void begun(child_process& child, pid_t pid) noexcept;
  /// Without waiting; false if it still runs.
  [[nodiscard]] bool reap(child_process& child) noexcept;
  void forget(child_process& child) noexcept;
  /// Its loop is closed: the pool reaps it.
  void adopt(child_process& child) noexcept;

 private:
  void reap_orphans() noexcept;
  bool reap_locked(child_process& child) noexcept;
  void await_children();

  const std::size_t most_;
  const std::uint64_t forks_ = os::fork_generation();

  mutable std::mutex mutex_;
  process_call* first_ = nullptr;  // those that wait, oldest first
  process_call* last_ = nullptr;
  std::size_t places_taken_ = 0;
  bool stopped_ = false;
  bool cancelled_ = false;
  std::vector<std::unique_ptr<child_process>> children_;
};

}  // namespace detail
}  // namespace v0
}  // namespace rondo
