// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  What tasks of every type share: how they step, wait and are
// cancelled.
#pragma once

#include <rondo/detail/context_ref.hpp>
#include <rondo/detail/export.hpp>
#include <rondo/detail/future_core.hpp>
#include <rondo/detail/ready_node.hpp>

#include <cstdint>
#include <source_location>
#include <string>
#include <string_view>

namespace rondo {
inline namespace v0 {
class context;

namespace detail {

/// What a frame of this library starts with, whatever it returns.
struct coro_promise_base {
  task_core* task = nullptr;     // who runs it; set when it is first resumed
  void* continuation = nullptr;  // the frame that awaits it; null for the outermost of a task
  std::source_location where;    // of the await that it is suspended at
};

/// A task: a future whose result comes from a coroutine that the loop steps.
struct task_core : future_core, ready_node {
  task_core(const future_table& operations, loop_core& where) noexcept;

  /// Suspends at an await: `frame` continues when the task wakes, and `on` is what it waits for.
  /// A cancellation that is pending is delivered to `on` at once.
  void suspend(void* frame, suspension& on) {
    leaf = frame;
    waiting_on = &on;
    if (must_cancel) [[unlikely]]
      deliver_cancel();
  }
  /// Takes a suspension back, before anything could wake the task.
  void unsuspend() noexcept { waiting_on = nullptr; }

  /// Queues the next step; the frame that suspended last continues in it.
  void wake() noexcept {
    waiting_on = nullptr;
    if (!scheduled) {
      scheduled = true;
      core->ready.push(*this);
    }
  }
  /// The same, and the await that it is suspended at throws cancelled_error.
  void wake_cancelled() noexcept {
    throwing = true;
    wake();
  }
  /// For await_resume: throws cancelled_error if that is what the task woke for.
  void check_cancelled() {
    if (throwing) [[unlikely]]
      throw_cancelled();
  }
  /// For await_resume of completed input and output: its result is kept, and a cancellation that
  /// arrived since is left for the next suspension.
  void postpone_cancel() noexcept {
    if (throwing) [[unlikely]] {
      throwing = false;
      must_cancel = true;
      met_completed_io = true;
    }
  }

  RONDO_EXPORT void deliver_cancel();
  [[noreturn]] RONDO_EXPORT void throw_cancelled();

  void* leaf = nullptr;  // the frame to resume
  suspension* waiting_on = nullptr;
  std::uintptr_t label = 0;  // a number with the lowest bit set, or a task_label*
  context_ref bound_context;
  task_core* next_task = nullptr;  // circular list of the loop's pending tasks
  task_core* previous_task = nullptr;
  std::uint32_t cancel_requests = 0;
  std::uint32_t serial = 0;  // its number among the tasks of the loop

 protected:
  RONDO_EXPORT ~task_core();
};

/// Awaiting a task or future: the part that does not depend on its type.
struct future_suspension : suspension, future_waiter {
  future_suspension() noexcept;
  RONDO_EXPORT ~future_suspension();

  /// @throws std::logic_error  the future is of another loop, or the task awaits itself
  RONDO_EXPORT void attach(future_core& awaited, task_core& by, void* frame);
  /// What the await throws when it did not end with a result.
  [[noreturn]] RONDO_EXPORT void fail();

  future_core* on = nullptr;
  task_core* task = nullptr;
};

RONDO_EXPORT bool cancel_future_suspension(suspension& self, task_core& task);
RONDO_EXPORT void wake_future_suspension(future_waiter& self, future_core* done);
inline future_suspension::future_suspension() noexcept
    : suspension(&cancel_future_suspension), future_waiter(&wake_future_suspension) {}

/// Registers a new task with its loop and queues its first step, or runs it now if `eager`.
RONDO_EXPORT void start_task(task_core& task, void* frame, std::string_view name,
                             const context* bound, bool eager);
RONDO_EXPORT bool cancel_task(task_core& task, std::string_view message);
RONDO_EXPORT std::uint32_t uncancel_task(task_core& task) noexcept;
[[nodiscard]] RONDO_EXPORT std::string task_name(const task_core& task);
RONDO_EXPORT void set_task_name(task_core& task, std::string_view name);
RONDO_EXPORT void step_task(ready_node& node, event_loop* loop);
/// Destroys a suspended chain of frames, the innermost first, without recursion.
RONDO_EXPORT void destroy_frames(void* leaf) noexcept;
/// Destroys a coroutine that never ran, and says so.
RONDO_EXPORT void drop_unawaited(void* frame) noexcept;
/// The task that steps now in this thread's loop; null in a plain callback.
[[nodiscard]] RONDO_EXPORT task_core* running_task() noexcept;

inline task_core::task_core(const future_table& operations, loop_core& where) noexcept
    : future_core(operations, where), ready_node(&step_task) {
  is_task = true;
}

}  // namespace detail
}  // namespace v0
}  // namespace rondo
