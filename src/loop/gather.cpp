// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  gather: when the common future is done, and what happens to the other
// children.
#include <rondo/gather.hpp>

#include <rondo/detail/memory.hpp>
#include <rondo/detail/task_core.hpp>
#include <rondo/errors.hpp>

#include "waiter_kinds.hpp"

#include <cstddef>
#include <exception>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <utility>

namespace rondo {
inline namespace v0 {
namespace detail {

void throw_other_loop() {
  throw std::invalid_argument(
      "The future belongs to a different loop than the one specified as the loop argument");
}

struct gather_child : future_waiter {
  explicit gather_child(gather_children& siblings) noexcept;

  gather_children& all;
  core_ref<future_core> future;
};

/// Outlives the gather as long as a child is pending, to drop what the children throw after the
/// first error.
struct gather_children {
  gather_children(gather_core& gathers, std::size_t number) noexcept
      : outer(&gathers), count(number) {}

  [[nodiscard]] static std::size_t size_for(std::size_t number) noexcept {
    return sizeof(gather_children) + number * sizeof(gather_child);
  }
  [[nodiscard]] gather_child* begin() noexcept {
    return std::launder(reinterpret_cast<gather_child*>(this + 1));
  }
  [[nodiscard]] gather_child* end() noexcept { return begin() + count; }

  gather_core* outer;  // null: it is gone
  std::size_t count;
  std::size_t linked = 0;  // children that are pending
  bool silent = false;     // once it is gone: errors are nobody's any more
};
static_assert(sizeof(gather_children) % alignof(gather_child) == 0);

namespace {

void free_children(gather_children& children) noexcept {
  const std::size_t size = gather_children::size_for(children.count);
  std::destroy(children.begin(), children.end());
  free_block(&children, size);
}

void decide(gather_core& outer) {
  if (outer.failed_child != nullptr) {
    outer.exception = failure_of(*outer.failed_child);
    finish(outer, future_state::failed);
    return;
  }
  std::exception_ptr error;
  if (outer.cancel_requested) {
    error = outer.exception ? outer.exception : std::make_exception_ptr(cancelled_error());
  } else {
    try {
      outer.collect(outer);
    } catch (...) {
      error = std::current_exception();
    }
  }
  outer.exception = error;
  finish(outer, error ? future_state::failed : future_state::finished);
}

void note_done(gather_core& outer, future_core& child) noexcept {
  --outer.unfinished;
  if (outer.failed_child == nullptr && !outer.settled && child.state != future_state::finished) {
    outer.failed_child = &child;
  }
  // The error is the outer future's now, or that of nobody.
  child.retrieved = true;
}

bool decided(const gather_core& outer) noexcept {
  return outer.failed_child != nullptr || outer.unfinished == 0;
}

void notify_child(future_waiter& self, future_core* done) {
  auto& child = static_cast<gather_child&>(self);
  gather_children& children = child.all;
  --children.linked;
  gather_core* const outer = children.outer;
  if (outer == nullptr) {
    if (done != nullptr && children.silent) done->retrieved = true;
    if (children.linked == 0) free_children(children);
    return;
  }
  // Null: it died pending, which it cannot while there are handles of the outer one; or the loop is
  // closed.
  if (done != nullptr) {
    if (outer->done()) {
      done->retrieved = true;
      return;
    }
    if (!child.future) child.future = core_ref<future_core>(done);
    note_done(*outer, *done);
    if (decided(*outer) && !outer->queued) {
      outer->queued = true;
      retain(*outer);
      outer->core->ready.push(*outer);
    }
  }
  if (outer->references == 0 && children.linked == 0) destroy(*outer);
}

const waiter_kind gathered_kind(
    &notify_child,
    [](future_waiter& self) noexcept -> future_core* {
      return static_cast<gather_child&>(self).all.outer;
    },
    waiter_kind::end::needs_this);

}  // namespace

gather_child::gather_child(gather_children& siblings) noexcept
    : future_waiter(&notify_child), all(siblings) {}

void decide_gather(ready_node& node, event_loop* loop) {
  auto& outer = static_cast<gather_core&>(node);
  const auto alive = core_ref<future_core>::adopt(&outer);
  outer.queued = false;
  if (loop != nullptr && !outer.done()) decide(outer);
}

std::exception_ptr failure_of(future_core& child) {
  if (child.state == future_state::failed) {
    child.retrieved = true;
    return child.exception;
  }
  return child.exception ? child.exception : std::make_exception_ptr(cancelled_error());
}

loop_core& common_loop(const core_ref<future_core>* children, std::size_t count) {
  if (count == 0) return running_core();
  loop_core& first = *children[0]->core;
  for (std::size_t n = 1; n < count; ++n) {
    if (children[n]->core != &first) throw_other_loop();
  }
  return first;
}

void begin_gather(gather_core& outer, core_ref<future_core>* children, std::size_t count) {
  if (count > 0) {
    void* const memory = allocate_block(gather_children::size_for(count));
    outer.children = ::new (memory) gather_children(outer, count);
    gather_child* const first = outer.children->begin();
    for (std::size_t n = 0; n < count; ++n) {
      (::new (static_cast<void*>(first + n)) gather_child(*outer.children))->future =
          std::move(children[n]);
    }
    outer.unfinished = count;
    for (gather_child& each : *outer.children) {
      if (each.future->done()) continue;
      ++outer.children->linked;
      add_waiter(*each.future, each);
    }
    for (gather_child& each : *outer.children) {
      if (each.future->done()) note_done(outer, *each.future);
    }
  }
  // Children that are done already decide at once.
  if (decided(outer)) decide(outer);
}

core_ref<future_core> gather_core::take_child(std::size_t n) noexcept {
  return std::move(children->begin()[n].future);
}

std::size_t gather_core::child_count() const noexcept {
  return children == nullptr ? 0 : children->count;
}

gather_core::~gather_core() {
  if (children == nullptr) return;
  children->outer = nullptr;
  children->silent = settled || done();
  ++children->linked;  // kept while a child that goes with its last handle is unlinked
  for (gather_child& each : *children) each.future = {};
  if (--children->linked == 0) free_children(*children);
}

bool gather_core::outlive_handles(future_core& self) noexcept {
  auto& outer = static_cast<gather_core&>(self);
  if (outer.done() || outer.waiters == nullptr || outer.children == nullptr) return false;
  // Only its children keep it now, and so it must not keep them: a future that nobody else has
  // would never be done.
  ++outer.references;
  for (gather_child& each : *outer.children) {
    if (each.linked()) each.future = {};
  }
  --outer.references;
  return outer.children->linked > 0;
}

// ---- cancelling ----

namespace {

// Gathers of tasks that await gathers may be nested as deeply as one likes.
constexpr int deepest_nesting = 64;
struct cancel_state {
  int depth = 0;
  gather_core* deferred = nullptr;
};
cancel_state& cancelling() noexcept {
  static constinit thread_local cancel_state state;
  return state;
}

bool has_pending_child(gather_core& outer) noexcept {
  for (const gather_child& each : *outer.children) {
    if (each.future && !each.future->done()) return true;
  }
  return false;
}

void cancel_children(gather_core& outer, std::string_view message) {
  const core_ref<future_core> alive(&outer);
  struct scope_type {
    gather_core& outer;
    explicit scope_type(gather_core& cancelled) : outer(cancelled) {
      outer.being_cancelled = true;
      ++cancelling().depth;
    }
    ~scope_type() {
      outer.being_cancelled = false;
      --cancelling().depth;
    }
  } const scope{outer};
  for (gather_child& each : *outer.children) {
    if (each.future) cancel(*each.future, message);
  }
}

}  // namespace

bool gather_core::cancel_kind(future_core& self, std::string_view message) {
  auto& outer = static_cast<gather_core&>(self);
  if (outer.being_cancelled) {
    if (outer.next_deferred != nullptr) return true;
    // A child waits for this very future: nobody in the ring would ever wake.
    outer.exception = std::make_exception_ptr(cancelled_error(std::string(message)));
    finish(outer, future_state::failed);
    return true;
  }
  if (outer.children == nullptr || !has_pending_child(outer)) return false;
  outer.cancel_requested = true;
  if (!message.empty()) {
    outer.exception = std::make_exception_ptr(cancelled_error(std::string(message)));
  }
  cancel_state& state = cancelling();
  if (state.depth >= deepest_nesting) {
    retain(outer);
    outer.being_cancelled = true;
    outer.next_deferred = state.deferred == nullptr ? &outer : state.deferred;
    state.deferred = &outer;
    return true;
  }
  cancel_children(outer, message);
  while (state.depth == 0 && state.deferred != nullptr) {
    const auto next = core_ref<future_core>::adopt(state.deferred);
    auto& deferred = static_cast<gather_core&>(*next);
    gather_core* const after = std::exchange(deferred.next_deferred, nullptr);
    state.deferred = after == &deferred ? nullptr : after;
    if (!deferred.done()) cancel_children(deferred, message);
  }
  return true;
}

}  // namespace detail
}  // namespace v0
}  // namespace rondo
