// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Task groups: when they abort, and what they end with.
#include <rondo/task_group.hpp>

#include <rondo/async_generator.hpp>
#include <rondo/detail/memory.hpp>
#include <rondo/errors.hpp>

#include "exception_kind.hpp"
#include "waiter_kinds.hpp"

#include <cstdint>
#include <exception>
#include <new>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace rondo {
inline namespace v0 {
namespace detail {
namespace {

void notify_group_child(future_waiter& self, future_core* done);
void run_group_child(ready_node& node, event_loop* loop);

enum class group_phase : std::uint8_t { created, entered, exiting, ended };

}  // namespace

/// What a group knows of a child until the child's end has been dealt with.
struct group_child : future_waiter, ready_node {
  explicit group_child(group_state& owner) noexcept
      : future_waiter(&notify_group_child), ready_node(&run_group_child), group(owner) {}

  group_state& group;
  future_core* task = nullptr;  // the loop keeps it until it is done
  core_ref<future_core> done;   // the same afterwards
  core_ref<future_core> ready;  // what `start` waits for
  group_child* next_child = nullptr;
  group_child* previous_child = nullptr;
};

struct group_state {
  std::uint32_t references = 1;  // of the handles and the children
  group_phase phase = group_phase::created;
  bool aborting = false;
  bool cancel_on_enter = false;
  bool parent_cancel_requested = false;
  std::uint32_t requests_at_entry = 0;
  task_core* parent = nullptr;           // while it is in the group
  const shield_scope* inside = nullptr;  // the shield in which it was entered
  task_core* waiting = nullptr;          // the parent, while it is suspended at the end
  group_child* children = nullptr;       // circular, oldest first
  std::vector<std::exception_ptr> errors;
  std::exception_ptr base_error;  // keyboard_interrupt or system_exit
};

void retain(group_state& group) noexcept { ++group.references; }
void release(group_state& group) noexcept {
  if (--group.references == 0) {
    group.~group_state();
    free_block(&group, sizeof(group_state));
  }
}

namespace {

void link(group_state& group, group_child& child) noexcept {
  if (group.children == nullptr) {
    child.next_child = &child;
    child.previous_child = &child;
    group.children = &child;
    return;
  }
  group_child& first = *group.children;
  child.next_child = &first;
  child.previous_child = first.previous_child;
  first.previous_child->next_child = &child;
  first.previous_child = &child;
}

void unlink(group_state& group, group_child& child) noexcept {
  if (child.next_child == &child) {
    group.children = nullptr;
  } else {
    child.previous_child->next_child = child.next_child;
    child.next_child->previous_child = child.previous_child;
    if (group.children == &child) group.children = child.next_child;
  }
  child.next_child = nullptr;
}

void free_child(group_child* child) noexcept {
  group_state& group = child->group;
  if (child->next_child != nullptr) unlink(group, *child);
  child->~group_child();
  free_block(child, sizeof(group_child));
  release(group);
}

void abort(group_state& group) {
  group.aborting = true;
  group_child* each = group.children;
  if (each == nullptr) return;
  do {
    if (!each->done) cancel(*each->task, "");
    each = each->next_child;
  } while (each != group.children);
}

void abort_with_parent(group_state& group) {
  abort(group);
  group.parent_cancel_requested = true;
  cancel_inside(*group.parent, "", group.inside);
}

bool is_generator_exit(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const generator_exit&) {
    return true;
  } catch (...) {
    return false;
  }
}

void add_error(group_state& group, const std::exception_ptr& error) {
  if (kind_of(error) == exception_kind::ends_program) {
    if (!group.base_error) group.base_error = error;
  } else {
    group.errors.push_back(error);
  }
}

void fail_ready(future_core& ready, std::exception_ptr error) {
  ready.exception = std::move(error);
  finish(ready, future_state::failed);
}

// The done callback of a child: in the iteration after its end, as in asyncio, also if it started
// eagerly.
void note_end(group_state& group, future_core& child, future_core* ready) {
  if (group.children == nullptr && group.waiting != nullptr) {
    std::exchange(group.waiting, nullptr)->wake();
  }
  const bool starting = ready != nullptr && !ready->done();
  switch (child.state) {
    case future_state::failed:
      if (group.phase == group_phase::ended) return;  // the child's error is reported as any other
      child.retrieved = true;
      if (starting) {
        fail_ready(*ready, child.exception);
        return;
      }
      add_error(group, child.exception);
      if (!group.aborting && !group.parent_cancel_requested) abort_with_parent(group);
      return;
    case future_state::cancelled:
      if (starting) {
        fail_ready(*ready,
                   child.exception ? child.exception : std::make_exception_ptr(cancelled_error()));
      }
      return;
    default:
      if (starting) {
        fail_ready(*ready, std::make_exception_ptr(std::logic_error(
                               "the child ended without calling task_status::started")));
      }
      return;
  }
}

void notify_group_child(future_waiter& self, future_core* done) {
  auto& child = static_cast<group_child&>(self);
  if (done == nullptr) {
    free_child(&child);
    return;
  }
  child.done = core_ref<future_core>(done);
  done->core->ready.push(child);
}

const waiter_kind group_child_kind(
    &notify_group_child,
    [](future_waiter& self) noexcept -> future_core* {
      return static_cast<group_child&>(self).group.waiting;
    },
    waiter_kind::end::needs_this);

void run_group_child(ready_node& node, event_loop* loop) {
  auto& child = static_cast<group_child&>(node);
  struct guard_type {
    group_child* child;
    group_state& group;
    ~guard_type() {
      free_child(child);
      release(group);
    }
  } const guard{&child, child.group};
  retain(child.group);
  unlink(child.group, child);
  if (loop != nullptr) note_end(child.group, *child.done, child.ready.get());
}

// What belongs to the request to cancel the parent that came from outside.
std::string message_of(const std::exception_ptr& cancellation) {
  if (!cancellation) return {};
  try {
    std::rethrow_exception(cancellation);
  } catch (const cancelled_error& error) {
    return error.message();
  }
}

// The errors that keyboard_interrupt and system_exit take the place of.
void report_lost(group_state& group) {
  if (group.errors.empty()) return;
  const exception_group lost("unhandled errors in a TaskGroup", std::move(group.errors));
  exception_context report(
      "Unhandled errors in a TaskGroup that keyboard_interrupt or system_exit ended",
      std::make_exception_ptr(lost));
  report.task = any_task(core_ref<future_core>(group.parent));
  group.parent->core->loop->call_exception_handler(report);
}

// What the group ends with, after the last child.
void conclude(group_state& group, std::exception_ptr cancellation, bool comes_bare) {
  task_core& parent = *group.parent;
  if (group.parent_cancel_requested && uncancel_task(parent) <= group.requests_at_entry) {
    // The request was the group's own; it may not have been delivered.
    parent.must_cancel = false;
    cancellation = nullptr;
  }
  if (group.base_error) {
    report_lost(group);
    std::rethrow_exception(group.base_error);
  }
  if (group.errors.empty()) {
    if (cancellation) std::rethrow_exception(cancellation);
    return;
  }
  if (parent.cancel_requests > group.requests_at_entry) {
    // Errors come first; the cancellation from outside comes at the next await.
    uncancel_task(parent);
    cancel_inside(parent, message_of(cancellation), group.inside);
  }
  if (comes_bare) std::rethrow_exception(group.errors.front());
  throw exception_group("unhandled errors in a TaskGroup", std::move(group.errors));
}

coro<void> leave_group(task_group handle, group_state& group, std::exception_ptr error) {
  group.phase = group_phase::exiting;
  std::exception_ptr cancellation;
  if (error) {
    if (kind_of(error) == exception_kind::cancellation) {
      cancellation = std::exchange(error, nullptr);
    } else if (kind_of(error) == exception_kind::ends_program) {
      group.base_error = group.base_error ? group.base_error : error;
      error = nullptr;
    }
    if (!group.aborting) abort(group);
  }
  while (group.children != nullptr) {
    try {
      group_awaiter children(group);
      co_await children;
    } catch (const cancelled_error&) {
      // Whether it is the group's own request shows at the end, by the count: gh-155433.
      if (!cancellation) cancellation = std::current_exception();
      if (!group.aborting) abort(group);
    }
  }
  // Alone it goes on to close the generator that the body is part of.
  const bool comes_bare = error && group.errors.empty() && is_generator_exit(error);
  if (error) group.errors.push_back(std::move(error));
  struct end_type {
    task_group& handle;
    ~end_type() { handle.abandon(); }
  } const end{handle};
  conclude(group, std::move(cancellation), comes_bare);
}

}  // namespace

coro<void> wait_shielded(any_future awaited) {
  const shield_scope scope;
  co_await done_awaiter(awaited.core());
}

void throw_no_group_result() {
  throw cancelled_error("the task group was cancelled before its body had a result");
}

// ---- the places of children ----

group_slot::group_slot(group_state& group)
    : child_(::new(allocate_block(sizeof(group_child))) group_child(group)) {
  retain(group);
}

group_slot::~group_slot() {
  if (child_ != nullptr) free_child(child_);
}

void group_slot::fill(const core_ref<future_core>& child,
                      const core_ref<future_core>* ready) noexcept {
  group_child& mine = *std::exchange(child_, nullptr);
  group_state& group = mine.group;
  mine.task = child.get();
  if (ready != nullptr) mine.ready = *ready;
  link(group, mine);
  if (child->done()) {
    notify_group_child(mine, child.get());
    return;
  }
  add_waiter(*child, mine);
  // It cancelled the group while it ran eagerly, or made it fail: gh-155418.
  if (group.aborting) cancel(*child, "");
}

// ---- waiting for them ----

group_awaiter::~group_awaiter() {
  if (task_ != nullptr) group_->waiting = nullptr;
}

bool group_awaiter::await_ready() const noexcept { return group_->children == nullptr; }

void group_awaiter::begin(task_core& by, void* frame) {
  task_ = &by;
  group_->waiting = &by;
  by.suspend(frame, *this);
}

void group_awaiter::await_resume() {
  if (task_ == nullptr) return;
  group_->waiting = nullptr;
  std::exchange(task_, nullptr)->check_cancelled();
}

bool group_awaiter::request_cancel(suspension& self, task_core& by) {
  static_cast<group_awaiter&>(self).group_->waiting = nullptr;
  by.wake_cancelled();
  return true;
}

}  // namespace detail

// ---- task_group ----

task_group::task_group()
    : state_(::new(detail::allocate_block(sizeof(detail::group_state))) detail::group_state) {}
task_group::task_group(const task_group& other) noexcept : state_(other.state_) {
  detail::retain(*state_);
}
task_group::task_group(task_group&& other) noexcept
    : task_group(static_cast<const task_group&>(other)) {}
task_group& task_group::operator=(task_group other) noexcept {
  std::swap(state_, other.state_);
  return *this;
}
task_group::~task_group() { detail::release(*state_); }

bool task_group::accepts() const noexcept {
  const detail::group_state& group = *state_;
  if (group.aborting) return false;
  return group.phase == detail::group_phase::entered ||
         (group.phase == detail::group_phase::exiting && group.children != nullptr);
}

void task_group::throw_refused() const {
  const detail::group_state& group = *state_;
  if (group.phase == detail::group_phase::created) {
    throw std::logic_error("the task group has not been entered");
  }
  if (group.phase == detail::group_phase::ended || group.children == nullptr) {
    if (group.phase != detail::group_phase::entered) {
      throw std::logic_error("the task group is finished");
    }
  }
  throw std::logic_error("the task group is shutting down");
}

detail::loop_core& task_group::loop() const noexcept { return *state_->parent->core; }

void task_group::cancel() const {
  detail::group_state& group = *state_;
  if (group.phase == detail::group_phase::created) {
    group.cancel_on_enter = true;
    return;
  }
  if (group.phase == detail::group_phase::ended || group.aborting) return;
  if (group.phase == detail::group_phase::exiting && group.children == nullptr) return;
  detail::abort_with_parent(group);
}

void task_group::enter() const {
  detail::group_state& group = *state_;
  if (group.phase != detail::group_phase::created) {
    throw std::logic_error("the task group has already been entered");
  }
  detail::task_core* const parent = detail::running_task();
  if (parent == nullptr) throw std::logic_error("a task group must be used inside a task");
  group.parent = parent;
  group.inside = parent->shield;
  // A request that is on its way already is one from outside.
  group.requests_at_entry = parent->cancel_requests - (parent->must_cancel ? 1 : 0);
  group.phase = detail::group_phase::entered;
  if (group.cancel_on_enter) cancel();
}

coro<void> task_group::leave(std::exception_ptr error) const {
  return detail::leave_group(*this, *state_, std::move(error));
}

void task_group::abandon() const noexcept {
  detail::group_state& group = *state_;
  group.phase = detail::group_phase::ended;
  group.parent = nullptr;
  group.errors.clear();
  group.base_error = nullptr;
}

}  // namespace v0
}  // namespace rondo
