// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  A future whose result may come from any thread.
#pragma once

#include <rondo/detail/callback.hpp>
#include <rondo/detail/export.hpp>
#include <rondo/detail/loop_core.hpp>
#include <rondo/future.hpp>

#include <atomic>
#include <concepts>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <new>
#include <type_traits>
#include <utility>

namespace rondo {
inline namespace v0 {
namespace detail {

/// What the copies of a promise share, and the loop with them. It stands in the loop's thread-safe
/// queue when it is fulfilled, and again when the last copy is gone: the future's reference count
/// belongs to the loop's thread.
struct promise_block : ready_node, loop_resource {
  explicit promise_block(run_function run_as) noexcept : ready_node(run_as) {}
  RONDO_EXPORT void on_loop_close() noexcept override;

  // How many copies there are, and who else holds on to it.
  static constexpr std::uint32_t of_loop = 1U << 31U;  // until it is closed
  static constexpr std::uint32_t in_queue = 1U << 30U;

  std::atomic<std::uint32_t> holders = 1;
  std::atomic<bool> taken = false;
  bool delivered = false;  // the loop's thread, as the next one
  core_ref<future_core> target;
  std::exception_ptr error;
  void (*destroy)(promise_block&) noexcept = nullptr;
  void (*deliver)(promise_block&) = nullptr;
  std::shared_ptr<void> inbox;  // outlives the loop

 protected:
  ~promise_block() = default;
};

RONDO_EXPORT void run_promise(ready_node& node, event_loop* loop);
RONDO_EXPORT void release(promise_block& block) noexcept;
inline void retain(promise_block& block) noexcept {
  block.holders.fetch_add(1, std::memory_order_relaxed);
}
/// Ties a promise to its loop.
RONDO_EXPORT void open_inbox(promise_block& block, event_loop& loop);
/// Hands a fulfilled promise over. @throws loop_closed_error
RONDO_EXPORT void post_promise(promise_block& block);
/// Claims the right to fulfil it. @throws invalid_state_error  somebody did; std::logic_error  an
/// empty handle
RONDO_EXPORT void claim(promise_block* block);

template <class T>
struct typed_promise_block final : promise_block {
  typed_promise_block() noexcept : promise_block(&run_promise) {
    destroy = [](promise_block& self) noexcept { delete static_cast<typed_promise_block*>(&self); };
    deliver = [](promise_block& self) {
      const future<T> to(self.target);
      if constexpr (std::is_void_v<T>) {
        to.set_result();
      } else {
        if constexpr (std::is_reference_v<T>) {
          to.set_result(*static_cast<typed_promise_block&>(self).value);
        } else {
          to.set_result(std::move(static_cast<typed_promise_block&>(self).value));
        }
      }
    };
  }
  ~typed_promise_block() {
    if constexpr (!std::is_void_v<T>) {
      if (has_value) value.~stored<T>();
    }
  }
  union {
    stored<T> value;
  };
  bool has_value = false;
};

}  // namespace detail

/// Fulfils a future of a loop from any thread. Copies name the same one; if the last copy goes
/// unfulfilled the future stays pending. Empty by default.
///
/// A result for a future that was cancelled meanwhile is dropped.
///
/// @par Thread safety
/// `set_result`, `set_exception`, copying and destroying: any thread. `get_future`: the loop's
/// thread.
template <class T>
class threadsafe_promise {
 public:
  threadsafe_promise() noexcept = default;
  /// @throws loop_closed_error
  explicit threadsafe_promise(event_loop& loop)
      : block_(
            detail::block_ref<detail::promise_block>::adopt(new detail::typed_promise_block<T>)) {
    block_->target = future<T>(loop).core();
    detail::open_inbox(*block_, loop);
  }

  /// The future, the same one each time; empty once the loop is closed.
  [[nodiscard]] future<T> get_future() const {
    if (!block_) detail::throw_empty_handle();
    return future<T>(block_->target);
  }

  /// @throws invalid_state_error  it was fulfilled before
  /// @throws loop_closed_error  the loop is closed
  template <class U = T>
    requires(!std::is_void_v<T> && !std::is_reference_v<T> &&
             std::constructible_from<detail::stored<T>, U &&>)
  void set_result(U&& value) const {
    keep(std::forward<U>(value));
  }
  template <class U>
    requires(std::is_reference_v<T> && std::convertible_to<U&, T>)
  void set_result(U& value) const {
    keep(std::addressof(static_cast<T>(value)));
  }
  void set_result() const
    requires(std::is_void_v<T>)
  {
    detail::claim(block_.get());
    detail::post_promise(*block_);
  }
  /// @throws std::invalid_argument  `error` is null
  void set_exception(std::exception_ptr error) const {
    if (!error) detail::throw_null_exception();
    detail::claim(block_.get());
    block_->error = std::move(error);
    detail::post_promise(*block_);
  }
  template <class E>
    requires(!std::convertible_to<E, std::exception_ptr>)
  void set_exception(E&& error) const {
    set_exception(std::make_exception_ptr(std::forward<E>(error)));
  }

  explicit operator bool() const noexcept { return static_cast<bool>(block_); }
  friend bool operator==(const threadsafe_promise& a, const threadsafe_promise& b) noexcept {
    return a.block_.get() == b.block_.get();
  }

 private:
  template <class U>
  void keep(U&& value) const {
    detail::claim(block_.get());
    auto& typed = static_cast<detail::typed_promise_block<T>&>(*block_);
    try {
      std::construct_at(std::addressof(typed.value), std::forward<U>(value));
    } catch (...) {
      block_->taken.store(false, std::memory_order_release);
      throw;
    }
    typed.has_value = true;
    detail::post_promise(*block_);
  }

  detail::block_ref<detail::promise_block> block_;
};

}  // namespace v0
}  // namespace rondo
