// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  coro: what `async def` returns.
#pragma once

#include <rondo/detail/export.hpp>
#include <rondo/detail/foreign.hpp>
#include <rondo/detail/memory.hpp>
#include <rondo/detail/task_core.hpp>

#include <concepts>
#include <coroutine>
#include <exception>
#include <memory>
#include <source_location>
#include <type_traits>
#include <utility>

namespace rondo {
inline namespace v0 {

template <class T = void>
class coro;

namespace detail {

template <class T>
struct coro_promise;
template <class T>
class coro_awaiter;

/// An awaiter that cooperates with tasks says so with `using rondo_awaiter = void`.
template <class A>
concept native_awaiter = requires { typename std::remove_cvref_t<A>::rondo_awaiter; };

template <class A>
concept has_member_co_await = requires(A&& a) { std::forward<A>(a).operator co_await(); };

template <class A>
concept has_native_co_await = has_member_co_await<A> && requires(A&& a) {
  requires native_awaiter<decltype(std::forward<A>(a).operator co_await())>;
};

/// Whether this much of the stack is left for nested awaits.
[[nodiscard]] inline bool may_descend(const loop_core& core) noexcept {
  return static_cast<const char*>(__builtin_frame_address(0)) > core.stack_limit;
}

/// Awaits an awaiter in place. g++ 12 copies what `await_transform` returns a reference to, so it
/// returns this.
template <class A>
class awaiter_ref {
 public:
  using rondo_awaiter = void;

  explicit awaiter_ref(A& awaiter) noexcept : awaiter_(&awaiter) {}

  bool await_ready() { return awaiter_->await_ready(); }
  template <class Promise>
  decltype(auto) await_suspend(std::coroutine_handle<Promise> frame) {
    return awaiter_->await_suspend(frame);
  }
  decltype(auto) await_resume() { return awaiter_->await_resume(); }

 private:
  A* awaiter_;
};

struct final_awaiter {
  [[nodiscard]] bool await_ready() const noexcept { return false; }
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> frame) const noexcept {
    coro_promise_base& promise = frame.promise();
    promise.task->core->next_frame = promise.continuation;
    if (promise.continuation == nullptr) {
      promise.task->leaf = frame.address();
      promise.task->frame_finished = true;
    }
  }
  void await_resume() const noexcept {}
};

/// What every coroutine of the library does at its awaits.
struct awaiting_promise : coro_promise_base {
  awaiting_promise() noexcept = default;
  explicit awaiting_promise(const std::source_location& function) noexcept { where = function; }

  static void* operator new(std::size_t size) { return allocate_frame(size); }
  static void operator delete(void* frame, std::size_t size) noexcept { free_frame(frame, size); }

  [[nodiscard]] std::suspend_always initial_suspend() const noexcept { return {}; }

  template <class T>
  coro_awaiter<T> await_transform(
      coro<T>&& awaited, std::source_location location = std::source_location::current()) noexcept {
    where = location;
    return coro_awaiter<T>(std::move(awaited).release());
  }
  template <class T>
  void await_transform(coro<T>&) = delete;  // a coro is awaited once: co_await f() or std::move(c)
  template <class T>
  void await_transform(const coro<T>&) = delete;

  template <native_awaiter A>
  awaiter_ref<std::remove_reference_t<A>> await_transform(
      A&& awaiter, std::source_location location = std::source_location::current()) noexcept {
    where = location;
    return awaiter_ref<std::remove_reference_t<A>>(awaiter);
  }

  template <class A>
    requires(!native_awaiter<A> && has_native_co_await<A>)
  decltype(auto) await_transform(A&& awaitable,
                                 std::source_location location = std::source_location::current()) {
    where = location;
    return std::forward<A>(awaitable).operator co_await();
  }

  template <class A>
    requires(!native_awaiter<A> && !has_native_co_await<A>)
  auto await_transform(A&& awaitable,
                       std::source_location location = std::source_location::current()) {
    where = location;
    return foreign_awaiter<A>(std::forward<A>(awaitable));
  }
};

struct coro_promise_common : awaiting_promise {
  using awaiting_promise::awaiting_promise;

  [[nodiscard]] final_awaiter final_suspend() const noexcept { return {}; }
  void unhandled_exception() noexcept { task->core->exception = std::current_exception(); }
};

template <class T>
struct coro_promise : coro_promise_common {
  static_assert(
      alignof(T) <= 16,
      "g++ 12 and clang 16 misplace coroutine results that are aligned to more than 16 bytes");

  // Both compilers evaluate the default argument for the coroutine function.
  explicit coro_promise(std::source_location function = std::source_location::current()) noexcept
      : coro_promise_common(function) {}
  ~coro_promise() {
    if (has_value) value.~T();
  }
  coro_promise(const coro_promise&) = delete;
  coro_promise& operator=(const coro_promise&) = delete;

  coro<T> get_return_object() noexcept;

  template <class U = T>
    requires std::constructible_from<T, U&&>
  void return_value(U&& result) noexcept(std::is_nothrow_constructible_v<T, U&&>) {
    std::construct_at(std::addressof(value), std::forward<U>(result));
    has_value = true;
  }

  [[nodiscard]] T take() { return std::move(value); }

  union {
    T value;
  };
  bool has_value = false;
};

template <class T>
struct coro_promise<T&> : coro_promise_common {
  explicit coro_promise(std::source_location function = std::source_location::current()) noexcept
      : coro_promise_common(function) {}

  coro<T&> get_return_object() noexcept;
  void return_value(T& result) noexcept { value = std::addressof(result); }
  [[nodiscard]] T& take() const noexcept { return *value; }
  T* value = nullptr;
};

template <>
struct coro_promise<void> : coro_promise_common {
  explicit coro_promise(std::source_location function = std::source_location::current()) noexcept
      : coro_promise_common(function) {}

  coro<void> get_return_object() noexcept;
  void return_void() const noexcept {}
  void take() const noexcept {}
};

template <class T>
class coro_awaiter {
 public:
  using rondo_awaiter = void;
  using promise_type = coro_promise<T>;

  explicit coro_awaiter(std::coroutine_handle<promise_type> frame) noexcept : frame_(frame) {}
  coro_awaiter(const coro_awaiter&) = delete;
  coro_awaiter& operator=(const coro_awaiter&) = delete;
  // A suspended chain is destroyed by its task from the innermost frame outwards, so a running
  // child is not this frame's to destroy.
  ~coro_awaiter() {
    if (frame_ && !running_) drop_unawaited(frame_.address());
  }

  [[nodiscard]] bool await_ready() const {
    if (!frame_) throw_coro_awaited_twice();
    return false;
  }

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> parent) {
    promise_type& child = frame_.promise();
    task_core* const task = parent.promise().task;
    loop_core& core = *task->core;
    child.task = task;
    child.continuation = parent.address();
    running_ = true;
    if (!may_descend(core)) [[unlikely]] {
      core.next_frame = frame_.address();
      return true;
    }
    frame_.resume();
    if (core.next_frame != parent.address()) return true;
    core.next_frame = nullptr;
    return false;
  }

  T await_resume() {
    const frame_owner owner{std::exchange(frame_, nullptr)};
    std::exception_ptr& error = owner.frame.promise().task->core->exception;
    if (error) [[unlikely]]
      std::rethrow_exception(std::exchange(error, nullptr));
    return owner.frame.promise().take();
  }

 private:
  struct frame_owner {
    std::coroutine_handle<promise_type> frame;
    ~frame_owner() { frame.destroy(); }
  };

  std::coroutine_handle<promise_type> frame_;
  bool running_ = false;
};

}  // namespace detail

/// A coroutine that has not begun; it runs when it is awaited, or as a task.
///
/// Move-only, awaited once with `co_await f()` or `co_await std::move(c)`. Dropping it unawaited
/// destroys it and logs a warning. Cancellation reaches it through the task that runs it.
///
/// @par asyncio
/// What a call of an `async def` function returns.
/// @par Thread safety
/// The loop's thread only, once it runs.
template <class T>
class [[nodiscard]] coro {
 public:
  using promise_type = detail::coro_promise<T>;
  using value_type = T;

  coro() noexcept = default;
  coro(coro&& other) noexcept : frame_(std::exchange(other.frame_, nullptr)) {}
  coro& operator=(coro&& other) noexcept {
    std::swap(frame_, other.frame_);
    return *this;
  }
  ~coro() {
    if (frame_) detail::drop_unawaited(frame_.address());
  }

  /// Whether there is a coroutine to await.
  [[nodiscard]] bool valid() const noexcept { return static_cast<bool>(frame_); }

  /// For coroutines of other libraries, which must run on the loop's thread: the coroutine becomes
  /// a task, and what awaits it is resumed by the loop.
  [[nodiscard]] detail::foreign_task_awaiter<T> operator co_await() &&;

  // For the library: the frame, which the caller owns from here on.
  [[nodiscard]] std::coroutine_handle<promise_type> release() && noexcept {
    return std::exchange(frame_, nullptr);
  }

 private:
  friend promise_type;
  explicit coro(std::coroutine_handle<promise_type> frame) noexcept : frame_(frame) {}

  std::coroutine_handle<promise_type> frame_;
};

// ---- implementation ----------------------------------------------------------------

namespace detail {

template <class T>
coro<T> coro_promise<T>::get_return_object() noexcept {
  return coro<T>(std::coroutine_handle<coro_promise>::from_promise(*this));
}
template <class T>
coro<T&> coro_promise<T&>::get_return_object() noexcept {
  return coro<T&>(std::coroutine_handle<coro_promise>::from_promise(*this));
}
inline coro<void> coro_promise<void>::get_return_object() noexcept {
  return coro<void>(std::coroutine_handle<coro_promise>::from_promise(*this));
}

}  // namespace detail
}  // namespace v0
}  // namespace rondo
