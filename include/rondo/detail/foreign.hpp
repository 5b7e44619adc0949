// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Awaiting what other coroutine libraries made.
#pragma once

#include <rondo/detail/export.hpp>
#include <rondo/detail/memory.hpp>
#include <rondo/detail/task_core.hpp>

#include <coroutine>
#include <cstddef>
#include <exception>
#include <memory>
#include <type_traits>
#include <utility>

namespace rondo {
inline namespace v0 {
namespace detail {

template <class T>
class foreign_task_awaiter;

[[noreturn]] RONDO_EXPORT void throw_coro_awaited_twice();
/// A foreign awaitable cannot be interrupted: the cancellation waits until it resumes the task.
RONDO_EXPORT bool refuse_cancel(suspension& self, task_core& task);

/// What a foreign awaitable resumes in place of the task's frame, which only the loop may resume.
class foreign_shim {
 public:
  struct promise_type {
    // Kept until resumed if the task goes first: then the shim frees itself.
    task_core* task = nullptr;
    bool orphaned = false;

    struct end {
      bool destroy_now;
      [[nodiscard]] bool await_ready() const noexcept { return destroy_now; }
      void await_suspend(std::coroutine_handle<>) const noexcept {}
      void await_resume() const noexcept {}
    };

    static void* operator new(std::size_t size) { return allocate_frame(size); }
    static void operator delete(void* frame, std::size_t size) noexcept { free_frame(frame, size); }
    foreign_shim get_return_object() noexcept {
      return foreign_shim(std::coroutine_handle<promise_type>::from_promise(*this));
    }
    [[nodiscard]] std::suspend_always initial_suspend() const noexcept { return {}; }
    [[nodiscard]] end final_suspend() const noexcept {
      if (task != nullptr) task->wake();
      return end{orphaned};
    }
    void return_void() const noexcept {}
    void unhandled_exception() const noexcept {}
  };

  explicit foreign_shim(std::coroutine_handle<promise_type> frame) noexcept : frame_(frame) {}
  foreign_shim(foreign_shim&& other) noexcept : frame_(std::exchange(other.frame_, nullptr)) {}
  foreign_shim& operator=(foreign_shim&& other) noexcept {
    std::swap(frame_, other.frame_);
    return *this;
  }
  ~foreign_shim() {
    if (!frame_) return;
    promise_type& promise = frame_.promise();
    if (promise.task == nullptr || frame_.done()) {
      frame_.destroy();
    } else {
      promise.task = nullptr;
      promise.orphaned = true;
    }
  }

  [[nodiscard]] std::coroutine_handle<promise_type> frame() const noexcept { return frame_; }

 private:
  std::coroutine_handle<promise_type> frame_;
};

RONDO_EXPORT foreign_shim make_foreign_shim();

template <class A>
decltype(auto) foreign_awaiter_of(A&& awaitable) {
  if constexpr (requires { std::forward<A>(awaitable).operator co_await(); }) {
    return std::forward<A>(awaitable).operator co_await();
  } else if constexpr (requires { operator co_await(std::forward<A>(awaitable)); }) {
    return operator co_await(std::forward<A>(awaitable));
  } else {
    return std::forward<A>(awaitable);
  }
}

/// Awaits a foreign awaitable inside a coroutine of this library.
template <class A>
class foreign_awaiter : suspension {
  using awaiter_type = decltype(foreign_awaiter_of(std::declval<A>()));
  static_assert(
      requires(std::remove_reference_t<awaiter_type>& a) {
        a.await_ready();
        a.await_resume();
      },
      "co_await needs an awaitable: a coro, a future, a task, or a type with await_ready, "
      "await_suspend and await_resume");

 public:
  using rondo_awaiter = void;

  explicit foreign_awaiter(A&& awaitable)
      : suspension(&refuse_cancel),
        awaiter_(foreign_awaiter_of(std::forward<A>(awaitable))),
        shim_(nullptr) {}

  bool await_ready() { return static_cast<bool>(awaiter_.await_ready()); }

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> frame) {
    task_ = frame.promise().task;
    shim_ = make_foreign_shim();
    const std::coroutine_handle<> resumes = shim_.frame();
    shim_.frame().promise().task = task_;
    task_->suspend(frame.address(), *this);
    using result = decltype(awaiter_.await_suspend(resumes));
    try {
      if constexpr (std::is_void_v<result>) {
        awaiter_.await_suspend(resumes);
      } else if constexpr (std::is_same_v<result, bool>) {
        if (!awaiter_.await_suspend(resumes)) {
          not_suspended();
          return false;
        }
      } else {
        awaiter_.await_suspend(resumes).resume();
      }
    } catch (...) {
      not_suspended();
      throw;
    }
    return true;
  }

  decltype(auto) await_resume() {
    if (task_ != nullptr) task_->check_cancelled();
    return awaiter_.await_resume();
  }

 private:
  void not_suspended() noexcept {
    task_->unsuspend();
    shim_.frame().promise().task = nullptr;
  }

  awaiter_type awaiter_;
  foreign_shim shim_;
  task_core* task_ = nullptr;
};

}  // namespace detail
}  // namespace v0
}  // namespace rondo
