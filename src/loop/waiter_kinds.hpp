// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Who stands behind a waiter of a future: for call graphs and reports.
#pragma once

#include <rondo/detail/future_core.hpp>

namespace rondo {
inline namespace v0 {
namespace detail {

/// Says who waits by waiters of one kind. Each source file that has a kind of its own keeps a
/// constant of this type beside the notify function; what has none does not show in call graphs.
class waiter_kind {
 public:
  /// The task or future that waits; null for a plain callback, or if nobody does any more.
  using find_function = future_core* (*)(future_waiter& waiter) noexcept;

  enum class end : bool {
    needs_this,     // who waits cannot go on before this future is done
    may_do_without  // another future may do as well
  };

  waiter_kind(future_waiter::notify_function notify, find_function find, end needs) noexcept
      : notify_(notify), find_(find), needs_(needs), next_(first_) {
    first_ = this;
  }
  waiter_kind(const waiter_kind&) = delete;
  waiter_kind& operator=(const waiter_kind&) = delete;
  ~waiter_kind() = default;

  /// The kind of a waiter, null if it is unknown.
  [[nodiscard]] static const waiter_kind* of(const future_waiter& waiter) noexcept;

  [[nodiscard]] future_core* who(future_waiter& waiter) const noexcept { return find_(waiter); }
  [[nodiscard]] bool needs_this() const noexcept { return needs_ == end::needs_this; }

 private:
  static const waiter_kind* first_;

  future_waiter::notify_function notify_;
  find_function find_;
  end needs_;
  const waiter_kind* next_;
};

}  // namespace detail
}  // namespace v0
}  // namespace rondo
