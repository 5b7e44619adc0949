// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Handles of scheduled callbacks.
#pragma once

#include <rondo/context.hpp>
#include <rondo/detail/callback.hpp>
#include <rondo/detail/export.hpp>
#include <rondo/interval.hpp>

#include <cstddef>
#include <source_location>
#include <utility>

namespace rondo {
inline namespace v0 {

/// Names one scheduled callback; copies name the same one. Empty by default.
///
/// @par asyncio
/// `asyncio.Handle`
/// @par Thread safety
/// The loop's thread only, copying and destroying included.
class RONDO_EXPORT handle {
 public:
  handle() noexcept = default;
  explicit handle(detail::handle_block* block) noexcept : block_(block) {}  // shares it
  handle(const handle& other) noexcept : block_(other.block_) {}
  handle(handle&& other) noexcept : block_(std::move(other.block_)) {}
  handle& operator=(const handle&) noexcept = default;
  handle& operator=(handle&&) noexcept = default;
  ~handle() = default;

  /// Prevents the call if it has not begun, and destroys the callable and its arguments at once.
  /// Idempotent; does nothing for an empty handle.
  void cancel() const noexcept;

  /// True once `cancel` was called, even after the callback ran.
  [[nodiscard]] bool cancelled() const noexcept { return block_ && block_->cancelled; }

  /// The context that the callback runs in.
  [[nodiscard]] context get_context() const;

  /// Where the callback was scheduled; the line is 0 if that is unknown, as it is for callables
  /// with arguments.
  [[nodiscard]] std::source_location created_at() const noexcept {
    return block_ ? block_->made_at : std::source_location();
  }

  explicit operator bool() const noexcept { return static_cast<bool>(block_); }
  friend bool operator==(const handle& a, const handle& b) noexcept {
    return a.block_.get() == b.block_.get();
  }

  // For the library: what it names, and where its context is kept; null for an empty handle.
  [[nodiscard]] detail::handle_block* block() const noexcept { return block_.get(); }
  [[nodiscard]] detail::context_ref* bound() const noexcept {
    return block_ ? &block_->bound_context : nullptr;
  }

 protected:
  detail::block_ref<detail::handle_block> block_;
};

/// Names a callback that is scheduled for a time.
///
/// @par asyncio
/// `asyncio.TimerHandle`
class RONDO_EXPORT timer_handle : public handle {
 public:
  timer_handle() noexcept = default;
  explicit timer_handle(detail::timer_block* block) noexcept : handle(block) {}

  /// When the callback is due, also after it ran or was cancelled; the epoch for an empty handle.
  [[nodiscard]] time_point when() const noexcept;
};

/// Names a callback that was scheduled by `call_soon_threadsafe`.
///
/// @par Thread safety
/// All members may be called from any thread.
class RONDO_EXPORT threadsafe_handle {
 public:
  threadsafe_handle() noexcept = default;
  explicit threadsafe_handle(detail::threadsafe_block* block) noexcept;  // shares it
  threadsafe_handle(const threadsafe_handle&) noexcept;
  threadsafe_handle(threadsafe_handle&&) noexcept;
  threadsafe_handle& operator=(threadsafe_handle) noexcept;
  ~threadsafe_handle();

  /// Prevents the call if it has not begun; the loop's thread destroys the callable. Idempotent.
  void cancel() const noexcept;
  [[nodiscard]] bool cancelled() const noexcept;
  /// The context that was given with the callback, else a copy of the one that it runs in.
  [[nodiscard]] context get_context() const;
  explicit operator bool() const noexcept { return block_ != nullptr; }
  friend bool operator==(const threadsafe_handle& a, const threadsafe_handle& b) noexcept {
    return a.block_ == b.block_;
  }

 private:
  detail::threadsafe_block* block_ = nullptr;
};

}  // namespace v0
}  // namespace rondo
