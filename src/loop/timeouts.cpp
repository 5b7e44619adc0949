// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  How a timeout cancels its task and knows its own cancellation again.
#include <rondo/timeouts.hpp>

#include <rondo/detail/memory.hpp>
#include <rondo/detail/task_core.hpp>
#include <rondo/errors.hpp>
#include <rondo/event_loop.hpp>

#include "loop_internals.hpp"

#include <new>
#include <stdexcept>
#include <utility>

namespace rondo {
inline namespace v0 {
namespace detail {

enum class timeout_phase : std::uint8_t { created, active, expiring, expired, exited };

/// For a deadline in the past: the task may not run before it is cancelled, so the heap is no place
/// for it.
struct soon_node : ready_node {
  soon_node() noexcept : ready_node(&expire_soon) {}
};

struct timeout_state : timer_node, soon_node {
  timeout_state() noexcept : timer_node(&expire_later) {}

  std::uint32_t references = 1;
  timeout_phase phase = timeout_phase::created;
  bool relative = false;
  bool due_now = false;  // the soon_node stands in the ready queue and is meant
  bool queued = false;   // it stands there
  bool in_heap =
      false;  // the timer_node is in the heap, or on its way from there through the ready queue
  bool has_deadline = false;
  std::uint32_t requests_at_entry = 0;
  interval delay;
  time_point when;
  task_core* task = nullptr;
};

void retain(timeout_state& state) noexcept { ++state.references; }
void release(timeout_state& state) noexcept {
  if (--state.references == 0) {
    state.~timeout_state();
    free_block(&state, sizeof(timeout_state));
  }
}

namespace {

timeout_state* make_state() { return ::new (allocate_block(sizeof(timeout_state))) timeout_state; }

// The heap and the ready queue hold a reference each while they hold the node.
void disarm(timeout_state& state) noexcept {
  state.due_now = false;
  if (state.armed()) {
    state.task->core->timers.erase(state);
    state.in_heap = false;
    release(state);
  }
}

void arm(timeout_state& state) {
  if (!state.has_deadline) return;
  loop_core& core = *state.task->core;
  if (state.when <= core.loop->time()) {
    state.due_now = true;
    if (!state.queued) {
      state.queued = true;
      retain(state);
      core.ready.push(static_cast<soon_node&>(state));
    }
    return;
  }
  if (state.in_heap) return;  // due, but moved: its turn arms it anew
  core.timers.push(state.when.time_since_epoch().count(), state);
  state.in_heap = true;
  retain(state);
}

void expire(timeout_state& state) {
  if (state.phase != timeout_phase::active) return;
  state.phase = timeout_phase::expiring;
  cancel_task(*state.task, "");
}

}  // namespace

void expire_later(ready_node& node, event_loop* loop) {
  auto& state = static_cast<timeout_state&>(static_cast<timer_node&>(node));
  state.in_heap = false;
  if (loop != nullptr && state.phase == timeout_phase::active && state.has_deadline &&
      !state.due_now) {
    if (state.when <= loop->time()) {
      expire(state);
    } else {
      arm(state);  // rescheduled between becoming due and this turn
    }
  }
  release(state);
}

void expire_soon(ready_node& node, event_loop* loop) {
  auto& state = static_cast<timeout_state&>(static_cast<soon_node&>(node));
  state.queued = false;
  if (loop != nullptr && std::exchange(state.due_now, false)) expire(state);
  release(state);
}

}  // namespace detail

timeout::timeout(std::optional<interval> delay) : state_(detail::make_state()) {
  if (delay && *delay != interval::max()) {
    state_->relative = true;
    state_->delay = *delay;
  }
}

timeout timeout::at(std::optional<time_point> when) {
  timeout result{std::optional<interval>()};
  if (when) {
    result.state_->has_deadline = true;
    result.state_->when = *when;
  }
  return result;
}

timeout::timeout(const timeout& other) noexcept : state_(other.state_) { detail::retain(*state_); }
timeout::timeout(timeout&& other) noexcept : timeout(static_cast<const timeout&>(other)) {}
timeout& timeout::operator=(timeout other) noexcept {
  std::swap(state_, other.state_);
  return *this;
}
timeout::~timeout() { detail::release(*state_); }

std::optional<time_point> timeout::when() const noexcept {
  if (!state_->has_deadline) return std::nullopt;
  return state_->when;
}

bool timeout::expired() const noexcept {
  return state_->phase == detail::timeout_phase::expiring ||
         state_->phase == detail::timeout_phase::expired;
}

void timeout::reschedule(std::optional<time_point> when) const {
  if (state_->phase == detail::timeout_phase::created) {
    throw std::logic_error("the timeout has not been entered");
  }
  if (state_->phase != detail::timeout_phase::active) {
    throw std::logic_error("the timeout has expired or ended and cannot be rescheduled");
  }
  detail::disarm(*state_);
  state_->has_deadline = when.has_value();
  if (when) state_->when = *when;
  detail::arm(*state_);
}

void timeout::enter() const {
  detail::timeout_state& state = *state_;
  if (state.phase != detail::timeout_phase::created) {
    throw std::logic_error("the timeout has already been entered");
  }
  detail::task_core* const task = detail::running_task();
  if (task == nullptr) throw std::logic_error("a timeout must be used inside a task");
  state.task = task;
  // A request that is on its way already will be delivered inside: it counts as one from outside,
  // gh-134471.
  state.requests_at_entry = task->cancel_requests - (task->must_cancel ? 1 : 0);
  if (state.relative) {
    state.has_deadline = true;
    state.when = detail::add_saturated(task->core->loop->time(), state.delay);
  }
  state.phase = detail::timeout_phase::active;
  detail::arm(state);
}

void timeout::abandon() const noexcept {
  if (state_->phase == detail::timeout_phase::active ||
      state_->phase == detail::timeout_phase::expiring) {
    detail::disarm(*state_);
    state_->phase = state_->phase == detail::timeout_phase::active ? detail::timeout_phase::exited
                                                                   : detail::timeout_phase::expired;
  }
}

void timeout::leave(std::exception_ptr error) const {
  detail::timeout_state& state = *state_;
  const bool fired = state.phase == detail::timeout_phase::expiring;
  abandon();
  if (fired) {
    const bool own = detail::uncancel_task(*state.task) <= state.requests_at_entry;
    if (error && own) {
      try {
        std::rethrow_exception(error);
      } catch (const cancelled_error&) {
        // Nested, so that whoever looks finds what the body was interrupted by.
        std::throw_with_nested(timeout_error());
      }
    }
  }
  if (error) std::rethrow_exception(std::move(error));
}

}  // namespace v0
}  // namespace rondo
