// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  A future whose result may come from any thread.
#pragma once

#include <rondo/detail/callback.hpp>
#include <rondo/detail/export.hpp>
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

/// What the copies of a promise share; it stands in the loop's thread-safe queue once it is fulfilled.
struct promise_block : ready_node {
  explicit promise_block(run_function run_as) noexcept : ready_node(run_as) {}
  std::atomic<std::uint32_t> references = 1;
  std::atomic<bool> taken = false;
  core_ref<future_core> target;  // touched by the loop's thread only
  std::exception_ptr error;
  void (*destroy)(promise_block&) noexcept = nullptr;
  void (*deliver)(promise_block&) = nullptr;
  std::shared_ptr<void> inbox;  // where fulfilled promises go; outlives the loop
};

RONDO_EXPORT void run_promise(ready_node& node, event_loop* loop);
RONDO_EXPORT void release(promise_block& block) noexcept;
inline void retain(promise_block& block) noexcept {
  block.references.fetch_add(1, std::memory_order_relaxed);
}
RONDO_EXPORT void open_inbox(promise_block& block, event_loop& loop);
/// Hands a fulfilled promise over. @throws loop_closed_error
RONDO_EXPORT void post_promise(promise_block& block);
/// Claims the right to fulfil it. @throws invalid_state_error  somebody did
RONDO_EXPORT void claim(promise_block& block);

template <class T>
struct typed_promise_block final : promise_block {
  typed_promise_block() noexcept : promise_block(&run_promise) {
    destroy = [](promise_block& self) noexcept { delete static_cast<typed_promise_block*>(&self); };
    deliver = [](promise_block& self) {
      const future<T> to(self.target);
      if constexpr (std::is_void_v<T>) {
        to.set_result();
      } else {
        to.set_result(std::move(static_cast<typed_promise_block&>(self).value));
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

/// Fulfils a future of a loop from any thread. Copies name the same one; if the last copy goes unfulfilled the future stays
/// pending.
///
/// A result for a future that was cancelled meanwhile is dropped.
///
/// @par Thread safety
/// `set_result`, `set_exception`, copying and destroying: any thread. `get_future`: the loop's thread.
template <class T>
class threadsafe_promise {
 public:
  threadsafe_promise() noexcept = default;
  /// @throws loop_closed_error
  explicit threadsafe_promise(event_loop& loop)
      : block_(detail::block_ref<detail::promise_block>::adopt(new detail::typed_promise_block<T>)) {
    block_->target = future<T>(loop).core();
    detail::open_inbox(*block_, loop);
  }

  [[nodiscard]] future<T> get_future() const { return future<T>(block_->target); }

  /// @throws invalid_state_error  it was fulfilled before
  /// @throws loop_closed_error  the loop is closed
  template <class U = T>
    requires(!std::is_void_v<T> && std::constructible_from<detail::stored<T>, U &&>)
  void set_result(U&& value) const {
    detail::claim(*block_);
    auto& typed = static_cast<detail::typed_promise_block<T>&>(*block_);
    ::new (static_cast<void*>(std::addressof(typed.value))) T(std::forward<U>(value));
    typed.has_value = true;
    detail::post_promise(*block_);
  }
  void set_result() const
    requires(std::is_void_v<T>)
  {
    detail::claim(*block_);
    detail::post_promise(*block_);
  }
  void set_exception(std::exception_ptr error) const {
    if (!error) detail::throw_null_exception();
    detail::claim(*block_);
    block_->error = std::move(error);
    detail::post_promise(*block_);
  }
  template <class E>
    requires(!std::convertible_to<E, std::exception_ptr>)
  void set_exception(E&& error) const {
    set_exception(std::make_exception_ptr(std::forward<E>(error)));
  }

 private:
  detail::block_ref<detail::promise_block> block_;
};

}  // namespace v0
}  // namespace rondo
