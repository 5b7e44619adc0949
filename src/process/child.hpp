// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  A child process of a loop: noticing its end, and taking its status.
#pragma once

#include <rondo/backend.hpp>
#include <rondo/coro.hpp>
#include <rondo/detail/loop_core.hpp>
#include <rondo/detail/ready_node.hpp>
#include <rondo/future.hpp>

#include "os/descriptor.hpp"

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

namespace rondo {
inline namespace v0 {
namespace detail {
class inbox;

/// Who is told when a child has ended.
class child_listener {
 public:
  virtual void child_ended() = 0;

 protected:
  ~child_listener() = default;
};

/// A thread that waits for the end of one child: where the kernel has no pidfd, and for children
/// that outlive their loop. It leaves the status to the loop as long as there is one.
class end_watcher : public std::enable_shared_from_this<end_watcher> {
 public:
  static constexpr int no_status = -1000;

  explicit end_watcher(::pid_t pid) noexcept : pid_(pid) {}

  /// Tells the loop, through its inbox, by queueing `node`; without one it takes the status itself.
  /// @throws std::system_error  there can be no more threads
  void start(std::shared_ptr<inbox> loop, ready_node* node);
  /// The loop is gone, or does not want to know any more. Whether the status is for it to take.
  [[nodiscard]] bool leave() noexcept;
  /// What the thread took, or `no_status`.
  [[nodiscard]] int status() const noexcept { return status_.load(std::memory_order_acquire); }

 private:
  void watch() noexcept;

  const ::pid_t pid_;
  std::mutex lock_;
  std::shared_ptr<inbox> loop_;
  ready_node* node_ = nullptr;
  bool ended_ = false;
  std::atomic<int> status_ = no_status;
};

/// One child, from its start to the end of whoever asks about it. The loop keeps it while it runs.
class child final : public std::enable_shared_from_this<child>,
                    private ready_node,
                    private loop_resource {
 public:
  struct hidden {};
  child(hidden, event_loop& loop, ::pid_t pid, int pidfd);
  ~child();

  /// Takes a started child over and watches for its end.
  /// @param pidfd  -1: there is none
  /// @throws std::system_error  it cannot be watched; it is killed and waited for
  static std::shared_ptr<child> adopt(event_loop& loop, ::pid_t pid, int pidfd);

  /// Whom to tell; null: nobody any more.
  void set_listener(child_listener* listener) noexcept { listener_ = listener; }

  [[nodiscard]] ::pid_t pid() const noexcept { return pid_; }
  [[nodiscard]] std::optional<int> returncode() noexcept;
  [[nodiscard]] event_loop& loop() const;

  void send_signal(int signal_number);
  /// False if that is not allowed, so that its end may be far away.
  bool kill() noexcept;
  /// A future of the end, for one who waits. The child must run.
  [[nodiscard]] future<> make_waiter();

 private:
  struct end_watch : operation {
    child* owner = nullptr;
  };

  void watch();
  static void on_end(operation& op) noexcept;
  static void run_node(ready_node& node, event_loop* loop);
  void queue_node() noexcept;
  void on_loop_close() noexcept override;

  /// Takes the status if the child has ended; does not wait. Whether it has.
  bool reap() noexcept;
  void end();
  void let_go() noexcept;
  void outlive_loop() noexcept;

  loop_core& core_;
  const ::pid_t pid_;
  fd_state state_;  // of the pidfd
  end_watch watch_;
  std::optional<int> returncode_;
  std::vector<future<>> waiters_;
  child_listener* listener_ = nullptr;
  std::shared_ptr<child> self_;  // while the loop keeps it
  std::shared_ptr<end_watcher> watcher_;
  std::uint64_t forks_;
  bool node_queued_ = false;
  bool done_ = false;  // nothing more is expected
};

/// Waits until the child has ended.
[[nodiscard]] coro<> wait_for_end(std::shared_ptr<child> waited_for);

}  // namespace detail
}  // namespace v0
}  // namespace rondo
