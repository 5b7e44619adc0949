// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  What a loop holds besides its core.
#pragma once

#include <rondo/backend.hpp>
#include <rondo/detail/callback.hpp>
#include <rondo/event_loop.hpp>

#include "inbox.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <unordered_map>

namespace rondo {
inline namespace v0 {
namespace detail {

/// The callbacks of add_reader and add_writer of one descriptor.
struct watchers {
  block_ref<handle_block> reader;
  block_ref<handle_block> writer;
};

struct barrier_node final : ready_node {};

/// What a virtual loop does with a batch before it runs, after each poll.
class batch_arranger {
 public:
  virtual void arrange(ready_queue& batch) = 0;

 protected:
  ~batch_arranger() = default;
};

struct loop_internals {
  std::unique_ptr<backend> io;
  std::shared_ptr<inbox> from_threads;
  event_loop::exception_handler on_exception;
  task_factory factory = nullptr;
  event_loop::resolver_function resolver;  // empty: the default
  std::shared_ptr<thread_pool_executor> default_executor;
  bool default_executor_shut_down = false;
  std::unordered_map<int, watchers> watched;
  std::unordered_map<int, block_ref<handle_block>> signals;
  std::uint64_t fork_generation = 0;
  std::uint64_t polls = 0;
  std::uint64_t run_number = 0;  // of the latest run_until_complete
  bool running = false;
  bool stopping = false;

  // Skipping polls while there is work, see event_loop::skip_poll.
  bool poll_next = true;  // the next iteration must not
  std::uint32_t nodes_since_poll = 0;
  std::uint32_t next_look = 0;  // at the time, counted in nodes
  std::uint32_t polls_to_keep = 0;
  std::uint64_t skipping_since = 0;  // in ticks

  batch_arranger* arranger = nullptr;  // of a virtual loop

  // What a forked child of a running loop finds first, see running.cpp.
  barrier_node fork_barrier;
};

// How timeouts expire; a virtual loop tells the nodes of a batch apart by them.
void expire_later(ready_node& node, event_loop* loop);
void expire_soon(ready_node& node, event_loop* loop);

/// Whether some loop runs in this thread, and in this process.
[[nodiscard]] bool runs_in_this_thread() noexcept;

/// How often a handled signal has arrived in this process; arrivals that become one callback are
/// counted each.
[[nodiscard]] std::uint32_t signal_arrivals(int signal_number) noexcept;

/// Shuts it down without waiting for it, and lets go of it.
void close_default_executor(loop_internals& of) noexcept;

/// Sees to it that a child that is forked while a loop runs goes no further with it.
void stop_children_of_fork();

}  // namespace detail
}  // namespace v0
}  // namespace rondo
