// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Asynchronous generators: coroutines that yield many values.
#pragma once

#include <rondo/coro.hpp>
#include <rondo/detail/export.hpp>
#include <rondo/detail/loop_core.hpp>
#include <rondo/detail/memory.hpp>
#include <rondo/detail/task_core.hpp>

#include <concepts>
#include <coroutine>
#include <exception>
#include <optional>
#include <source_location>
#include <type_traits>
#include <utility>

namespace rondo {
inline namespace v0 {

/// Thrown at the `co_yield` of a generator that is closed. Let it through; it is not derived from
/// std::exception.
///
/// @par asyncio
/// `GeneratorExit`
class RONDO_EXPORT generator_exit {
 public:
  generator_exit() noexcept;
  generator_exit(const generator_exit&) noexcept;
  generator_exit& operator=(const generator_exit&) noexcept;
  virtual ~generator_exit();
  [[nodiscard]] const char* what() const noexcept;
};

namespace detail {

/// What the frames of all generators start with.
struct generator_promise_base : awaiting_promise {
  explicit generator_promise_base(const std::source_location& function) noexcept
      : awaiting_promise(function) {}
  generator_promise_base(const generator_promise_base&) = delete;
  generator_promise_base& operator=(const generator_promise_base&) = delete;
  RONDO_EXPORT ~generator_promise_base();

  [[nodiscard]] void* frame() noexcept;

  generator_promise_base** owner = nullptr;   // in the handle; null: it is gone
  generator_promise_base** keeper = nullptr;  // in who closes it because the loop shuts down
  generator_promise_base* next = nullptr;     // circular list of those that the loop will close
  generator_promise_base* previous = nullptr;
  loop_core* loop = nullptr;      // of the first iteration
  future_core* closer = nullptr;  // the task that closes it because its handle is gone
  bool started = false;
  bool running = false;  // somebody awaits the next value or the end
  bool finished = false;
  bool closing = false;   // the co_yield that it is suspended at throws generator_exit
  bool orphaned = false;  // the handle went while it ran or was kept
};

/// Starts or continues the generator for a task. False if it has come to its next value or its end
/// already.
/// @throws std::logic_error  it runs already, or belongs to another loop
RONDO_EXPORT bool resume_generator(generator_promise_base& generator, coro_promise_base& by,
                                   void* parent);
/// Throws what it threw, if that is what it came to.
RONDO_EXPORT void settle_generator(generator_promise_base& generator);
/// Nobody awaits it any more.
RONDO_EXPORT void release_generator(generator_promise_base& generator) noexcept;
[[nodiscard]] RONDO_EXPORT coro<void> close_generator(generator_promise_base* generator);
/// The handle is gone: closes the generator in a task of its loop, or destroys it.
RONDO_EXPORT void drop_generator(generator_promise_base& generator) noexcept;
[[noreturn]] RONDO_EXPORT void throw_generator_exit();

struct generator_suspension {
  [[nodiscard]] bool await_ready() const noexcept { return false; }
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> frame) const noexcept {
    generator_promise_base& promise = frame.promise();
    promise.task->core->next_frame = promise.continuation;
  }
  void await_resume() const noexcept {}
};

struct yield_suspension : generator_suspension {
  explicit yield_suspension(const generator_promise_base& yielding) noexcept : promise(yielding) {}
  void await_resume() const {
    if (promise.closing) [[unlikely]]
      throw_generator_exit();
  }
  const generator_promise_base& promise;
};

struct generator_use {
  generator_promise_base& generator;
  ~generator_use() { release_generator(generator); }
};

template <class T>
class generator_awaiter;

}  // namespace detail

/// A coroutine that yields values with `co_yield` and may await in between. Move-only.
///
/// Its body begins with the first `next()`. A generator that is dropped before its end is closed by
/// a task of its loop, so that its cleanup can await; the loop's shutdown closes those that are
/// left.
///
/// @par asyncio
/// What a call of an `async def` function with `yield` returns; `async for` is
/// `while (auto value = co_await generator.next())`.
/// @par Thread safety
/// The loop's thread only.
template <class T>
class [[nodiscard]] async_generator {
  static_assert(std::is_object_v<T>,
                "an async_generator yields objects; yield pointers or std::ref");
  static_assert(
      alignof(T) <= 16,
      "g++ 12 and clang 16 misplace coroutine results that are aligned to more than 16 bytes");

 public:
  struct promise_type;
  using value_type = T;

  async_generator() noexcept = default;
  async_generator(async_generator&& other) noexcept
      : promise_(std::exchange(other.promise_, nullptr)) {
    if (promise_ != nullptr) promise_->owner = &promise_;
  }
  async_generator& operator=(async_generator&& other) noexcept {
    std::swap(promise_, other.promise_);
    if (promise_ != nullptr) promise_->owner = &promise_;
    if (other.promise_ != nullptr) other.promise_->owner = &other.promise_;
    return *this;
  }
  ~async_generator() {
    if (promise_ != nullptr) detail::drop_generator(*promise_);
  }

  /// Yields the next value, nullopt at the end; throws what the body throws. The generator runs in
  /// the task that awaits this, and is cancelled with it.
  /// @throws std::logic_error  another `next()` or `aclose()` is not finished
  [[nodiscard]] detail::generator_awaiter<T> next();

  /// Ends the generator: the `co_yield` that it is suspended at throws generator_exit, and its
  /// cleanup is awaited.
  /// @throws std::logic_error  it yields another value, or runs
  [[nodiscard]] coro<void> aclose() { return detail::close_generator(promise_); }

 private:
  explicit async_generator(detail::generator_promise_base& promise) noexcept : promise_(&promise) {
    promise.owner = &promise_;
  }

  detail::generator_promise_base* promise_ = nullptr;
};

// ---- implementation ----------------------------------------------------------------

template <class T>
struct async_generator<T>::promise_type : detail::generator_promise_base {
  explicit promise_type(std::source_location function = std::source_location::current()) noexcept
      : generator_promise_base(function) {}

  async_generator get_return_object() noexcept { return async_generator(*this); }

  template <class U>
    requires std::constructible_from<T, U&&>
  [[nodiscard]] detail::yield_suspension yield_value(U&& next_value) {
    value.emplace(std::forward<U>(next_value));
    return detail::yield_suspension(*this);
  }
  [[nodiscard]] detail::generator_suspension final_suspend() noexcept {
    finished = true;
    return {};
  }
  void return_void() const noexcept {}
  void unhandled_exception() noexcept { task->core->exception = std::current_exception(); }

  std::optional<T> value;  // what was yielded and not taken yet
};

namespace detail {

template <class T>
class generator_awaiter {
 public:
  using rondo_awaiter = void;

  explicit generator_awaiter(generator_promise_base* generator) noexcept : generator_(generator) {}

  [[nodiscard]] bool await_ready() const noexcept {
    return generator_ == nullptr || (generator_->finished && !generator_->running);
  }
  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> parent) {
    suspended_ = true;
    return resume_generator(*generator_, parent.promise(), parent.address());
  }
  std::optional<T> await_resume() {
    if (!suspended_) return std::nullopt;
    const generator_use use{*generator_};
    settle_generator(*generator_);
    auto& promise = static_cast<typename async_generator<T>::promise_type&>(*generator_);
    return std::exchange(promise.value, std::nullopt);
  }

 private:
  generator_promise_base* generator_;
  bool suspended_ = false;
};

}  // namespace detail

template <class T>
detail::generator_awaiter<T> async_generator<T>::next() {
  return detail::generator_awaiter<T>(promise_);
}

}  // namespace v0
}  // namespace rondo
