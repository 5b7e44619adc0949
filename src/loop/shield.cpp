// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  How a shield repeats what the shielded future ends with.
#include <rondo/shield.hpp>

#include "waiter_kinds.hpp"

#include <exception>
#include <string_view>
#include <utility>

namespace rondo {
inline namespace v0 {
namespace detail {

void begin_shield(shield_core& outer, core_ref<future_core> inner) {
  outer.awaited = inner.get();
  outer.inner = std::move(inner);
  add_waiter(*outer.awaited, outer);
}

shield_core::~shield_core() {
  if (linked()) remove_waiter(*awaited, *this);
}

bool shield_core::cancel_kind(future_core& self, std::string_view message) {
  auto& outer = static_cast<shield_core&>(self);
  // At once: a program that shields the same task again and again leaves no waiters behind,
  // gh-155854.
  if (outer.linked()) remove_waiter(*outer.awaited, outer);
  finish_cancelled(outer, message);
  outer.inner = {};
  return true;
}

bool shield_core::outlive_handles(future_core& self) noexcept {
  auto& outer = static_cast<shield_core&>(self);
  if (outer.done() || outer.waiters == nullptr || !outer.linked()) return false;
  // As with gather: what keeps it now must not be kept by it.
  ++outer.references;
  outer.inner = {};
  --outer.references;
  return outer.linked();
}

void note_shielded_done(future_waiter& self, future_core* done) {
  auto& outer = static_cast<shield_core&>(self);
  if (done == nullptr) {
    if (outer.references == 0) destroy(outer);
    return;
  }
  if (outer.done()) return;  // somebody set a result: the inner one is not read here
  outer.inner = core_ref<future_core>(done);
  retain(static_cast<future_core&>(outer));
  outer.core->ready.push(outer);
}

namespace {
const waiter_kind shielded_kind(
    &note_shielded_done,
    [](future_waiter& self) noexcept -> future_core* { return &static_cast<shield_core&>(self); },
    waiter_kind::end::needs_this);
}  // namespace

void repeat_shielded(ready_node& node, event_loop* loop) {
  auto& outer = static_cast<shield_core&>(node);
  const auto alive = core_ref<future_core>::adopt(&outer);
  if (loop != nullptr && !outer.done()) {
    future_core& inner = *outer.inner;
    future_state state = inner.state;
    outer.exception = inner.exception;
    if (state == future_state::failed) inner.retrieved = true;
    if (state == future_state::finished) {
      try {
        outer.transfer(outer);
      } catch (...) {
        outer.exception = std::current_exception();
        state = future_state::failed;
      }
    }
    outer.inner = {};
    finish(outer, state);
  }
  outer.inner = {};
}

}  // namespace detail
}  // namespace v0
}  // namespace rondo
