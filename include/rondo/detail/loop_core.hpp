// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  The state of a loop that coroutines touch; it outlives the loop.
#pragma once

#include <rondo/detail/context_ref.hpp>
#include <rondo/detail/export.hpp>
#include <rondo/detail/ready_node.hpp>
#include <rondo/detail/timer_heap.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>

namespace rondo {
inline namespace v0 {
class backend;
class event_loop;

namespace detail {
struct task_core;

/// What a thread runs now.
struct thread_state {
  event_loop* running = nullptr;   // the loop that runs in this thread
  event_loop* current = nullptr;   // what set_event_loop was given
  context_ref* context = nullptr;  // of the running task or callback; null: the thread's own
  std::uint64_t fork_generation = 0;
};

/// This thread's state. Never inlined: a coroutine may not cache the address over a suspension.
[[nodiscard]] RONDO_EXPORT thread_state& this_thread() noexcept;

/// How much of the stack nested awaits may use before they go on from the step loop.
inline constexpr std::ptrdiff_t descent_stack_bytes = 16 * 1024;

/// How many buffered reads and writes a task may finish in one step before it lets others run.
inline constexpr int inline_completion_budget = 128;

/// Something that a loop closes when it is closed itself: an open transport, a listener, a pending
/// job.
struct loop_resource {
  loop_resource() = default;
  loop_resource(const loop_resource&) = delete;
  loop_resource& operator=(const loop_resource&) = delete;

  /// Lets go of descriptors and buffers without calling anybody back. It is unlinked already.
  virtual void on_loop_close() noexcept = 0;

  loop_resource* next_resource = nullptr;  // circular; null while not linked
  loop_resource* previous_resource = nullptr;

 protected:
  ~loop_resource() = default;
};

struct loop_core {
  ready_queue ready;
  void* next_frame = nullptr;         // the frame that continues when the running one returns
  std::exception_ptr exception;       // on its way from a coroutine to the one that awaits it
  const char* stack_limit = nullptr;  // nested awaits stay above this address
  task_core* current_task = nullptr;
  // Of the thread that runs the loop, null while none does. Atomic for debug mode, where a thread
  // that must not use the loop looks at it.
  std::atomic<thread_state*> thread = nullptr;
  int inline_budget = inline_completion_budget;
  bool closed = false;
  bool debug = false;
  bool gone = false;  // the event_loop is destroyed
  std::uint32_t references = 1;
  std::uint64_t iteration = 0;
  std::uint64_t id = 0;  // never given to another loop
  timer_heap timers;
  ready_queue at_end;  // nodes to run when the batch is over: writes that leave together
  backend* io = nullptr;
  event_loop* loop = nullptr;          // null once it is destroyed
  task_core* tasks = nullptr;          // circular list of the tasks that are not done
  loop_resource* resources = nullptr;  // circular list of what close() lets go
  std::size_t task_count = 0;
  std::size_t handle_count = 0;      // handles that are queued or armed
  std::size_t operation_count = 0;   // given to the backend and not completed
  std::size_t jobs = 0;              // given to other threads, which owe the loop the answers
  std::uint64_t callback_count = 0;  // nodes run
  std::uint32_t task_serial = 0;     // of the latest task
};

RONDO_EXPORT void release(loop_core& core) noexcept;
RONDO_EXPORT void link_resource(loop_core& core, loop_resource& resource) noexcept;
RONDO_EXPORT void unlink_resource(loop_core& core, loop_resource& resource) noexcept;

}  // namespace detail
}  // namespace v0
}  // namespace rondo
