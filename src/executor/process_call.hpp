// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  One call of a process pool, from its queue to the end of its process.
#pragma once

#include <rondo/backend.hpp>
#include <rondo/detail/job.hpp>
#include <rondo/detail/loop_core.hpp>
#include <rondo/detail/timer_heap.hpp>
#include <rondo/executor.hpp>
#include <rondo/interval.hpp>

#include "executor/process_pool.hpp"
#include "loop/inbox.hpp"
#include "os/descriptor.hpp"

#include <cstdint>
#include <memory>
#include <string>

namespace rondo {
inline namespace v0 {
namespace detail {

/// Owns itself from `begin` on. The loop's thread, except `send_to_loop` and the destructor of one
/// that has not begun.
class process_call final : public timer_node, public loop_resource, public operation {
 public:
  process_call(std::shared_ptr<process_pool> pool, executor_job job, loop_job& wanted);

  /// Forks; a failure goes to the future.
  void begin();
  /// Any thread: lets it begin in its loop; false if that is closed.
  [[nodiscard]] bool send_to_loop() noexcept;

  void on_loop_close() noexcept override;

  process_call* later = nullptr;  // in the pool's queue

 private:
  struct report;

  static void run_node(ready_node& node, event_loop* loop);
  static void on_readable(operation& op) noexcept;

  void make_child();
  [[noreturn]] void run_child(int pipe) noexcept;
  [[nodiscard]] bool watch_pipe();
  void read_report();
  void try_to_end();
  void take_result(const report& from);
  void finish_job();
  [[nodiscard]] std::exception_ptr how_it_ended() const;
  [[nodiscard]] backend& io() const noexcept;
  void stop_watching() noexcept;

  std::shared_ptr<process_pool> pool_;
  executor_job job_;
  loop_job* wanted_;  // what job_ names
  loop_core* core_;
  std::shared_ptr<inbox> inbox_;
  child_process* child_ = nullptr;
  os::descriptor pipe_;    // readable when the child has reported, or has ended
  os::descriptor memory_;  // with the result
  fd_state pipe_state_;
  interval next_try_ = std::chrono::microseconds(200);
  bool begun_ = false;
  bool job_done_ = false;
};

}  // namespace detail
}  // namespace v0
}  // namespace rondo
