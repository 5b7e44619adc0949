// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Task groups: no child outlives the block that started it.
#pragma once

#include <rondo/coro.hpp>
#include <rondo/detail/done_awaiter.hpp>
#include <rondo/detail/export.hpp>
#include <rondo/detail/future_core.hpp>
#include <rondo/detail/task_core.hpp>
#include <rondo/event_loop.hpp>
#include <rondo/exception_group.hpp>
#include <rondo/future.hpp>
#include <rondo/task.hpp>

#include <concepts>
#include <coroutine>
#include <exception>
#include <functional>
#include <optional>
#include <type_traits>
#include <utility>

namespace rondo {
inline namespace v0 {
namespace detail {

struct group_state;
struct group_child;
RONDO_EXPORT void retain(group_state& group) noexcept;
RONDO_EXPORT void release(group_state& group) noexcept;

/// The place of a child in its group, made before the child is, so that nothing can fail
/// afterwards.
class RONDO_EXPORT group_slot {
 public:
  explicit group_slot(group_state& group);
  group_slot(const group_slot&) = delete;
  group_slot& operator=(const group_slot&) = delete;
  ~group_slot();

  /// The child has been started. `ready`, if given, is what `task_group::start` waits for.
  void fill(const core_ref<future_core>& child,
            const core_ref<future_core>* ready = nullptr) noexcept;

 private:
  group_child* child_;
};

/// Waits for a task, and lets no cancellation interrupt that.
RONDO_EXPORT coro<void> wait_shielded(any_future awaited);

/// Suspends the parent of a group until its children have ended.
class RONDO_EXPORT group_awaiter : public suspension {
 public:
  using rondo_awaiter = void;

  explicit group_awaiter(group_state& group) noexcept
      : suspension(&request_cancel), group_(&group) {}
  group_awaiter(const group_awaiter&) = delete;
  group_awaiter& operator=(const group_awaiter&) = delete;
  ~group_awaiter();

  [[nodiscard]] bool await_ready() const noexcept;
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> frame) {
    begin(*frame.promise().task, frame.address());
  }
  void await_resume();

 private:
  static bool request_cancel(suspension& self, task_core& by);
  void begin(task_core& by, void* frame);

  group_state* group_;
  task_core* task_ = nullptr;
};

template <class F>
struct started_type;
template <class Status>
struct started_value;

}  // namespace detail

/// How a child that `task_group::start` started tells that it is ready. Copies name the same one.
///
/// @par asyncio
/// There is none; anyio: `TaskStatus`.
template <class T = void>
class task_status {
 public:
  using value_type = T;

  /// Lets `start` return `value`. Nothing happens if whoever called `start` was cancelled
  /// meanwhile.
  /// @throws std::logic_error  called for the second time
  template <class U = T>
    requires(!std::is_void_v<T> && std::constructible_from<detail::stored<T>, U &&>)
  void started(U&& value) const {
    if (ready_.cancelled()) return;
    ready_.set_result(std::forward<U>(value));
  }
  void started() const
    requires(std::is_void_v<T>)
  {
    if (ready_.cancelled()) return;
    ready_.set_result();
  }

  // For the library.
  explicit task_status(future<T> ready) noexcept : ready_(std::move(ready)) {}

 private:
  future<T> ready_;
};

namespace detail {

template <class T, class F, class... Args>
concept startable = is_coro<std::remove_cvref_t<
    std::invoke_result_t<std::decay_t<F>, task_status<T>&, std::decay_t<Args>...>>>;
template <class T, class F, class... Args>
using startable_result = typename std::remove_cvref_t<
    std::invoke_result_t<std::decay_t<F>, task_status<T>&, std::decay_t<Args>...>>::value_type;

}  // namespace detail

/// The children of a block of a task. Copies name the same group.
///
/// `with_task_group` enters it, runs a body, and waits for all children. When a child fails, the
/// others and the body are cancelled, and the errors are thrown together as an exception_group; a
/// child that is cancelled alone is no error. What a child refers to must outlive the group:
/// variables of the body itself do not, they are gone when the body returns.
///
/// @par asyncio
/// `asyncio.TaskGroup`
/// @par Thread safety
/// The loop's thread only.
class RONDO_EXPORT task_group {
 public:
  task_group();
  task_group(const task_group& other) noexcept;
  task_group(task_group&& other) noexcept;
  task_group& operator=(task_group other) noexcept;
  ~task_group();

  /// Starts a child. The second form keeps the callable and its arguments alive until the child has
  /// ended.
  /// @throws std::logic_error  the group has not been entered, has ended, or is ending because of
  /// an error or `cancel`; the coroutine is dropped
  template <class T>
  task<T> create_task(coro<T> body, task_options options = {}) const {
    if (!accepts()) refuse(std::move(body));
    detail::group_slot slot(*state_);
    task<T> child = detail::spawn(loop(), std::move(body), options);
    slot.fill(child.core());
    return child;
  }
  template <class F, class... Args>
    requires detail::coroutine_function<F, Args...>
  task<detail::coroutine_result<F, Args...>> create_task(task_options options, F&& function,
                                                         Args&&... arguments) const {
    return create_task(detail::invoke_kept<std::decay_t<F>, std::decay_t<Args>...>(
                           std::forward<F>(function), std::forward<Args>(arguments)...),
                       options);
  }
  template <class F, class... Args>
    requires detail::coroutine_function<F, Args...>
  task<detail::coroutine_result<F, Args...>> create_task(F&& function, Args&&... arguments) const {
    return create_task(task_options(), std::forward<F>(function), std::forward<Args>(arguments)...);
  }

  /// Starts `function(status, arguments...)` as a child and waits until it calls
  /// `status.started(value)`; yields the value. The child goes on then. `function` takes a
  /// `task_status<T>` first; where it is generic, say `start<T>(...)`.
  ///
  /// An exception of the child before that is thrown here and is not the group's. Cancelling the
  /// wait cancels the child and waits for it.
  /// @throws std::logic_error  the child ended without calling `started`, or as for `create_task`
  ///
  /// @par asyncio
  /// There is none; anyio: `TaskGroup.start`.
  template <class F, class... Args>
    requires requires { typename detail::started_type<std::decay_t<F>>::type; }
  auto start(F&& function, Args&&... arguments) const {
    return start<typename detail::started_type<std::decay_t<F>>::type>(
        std::forward<F>(function), std::forward<Args>(arguments)...);
  }
  template <class T, class F, class... Args>
    requires detail::startable<T, F, Args...>
  coro<T> start(F&& function, Args&&... arguments) const {
    return run_start<T, std::decay_t<F>, std::decay_t<Args>...>(*this, std::forward<F>(function),
                                                                std::forward<Args>(arguments)...);
  }

  /// Cancels the children and the body; the group then ends without an exception. Before the group
  /// is entered: as soon as it is. After it ended: nothing.
  void cancel() const;

  // For the library.
  /// @throws std::logic_error  entered before, or outside a task
  void enter() const;
  /// Waits for the children and throws what the group ends with; `error` is what the body threw, or
  /// null.
  [[nodiscard]] coro<void> leave(std::exception_ptr error) const;
  /// Ends it without a word, for a frame that is destroyed.
  void abandon() const noexcept;

 private:
  template <class T>
  [[noreturn]] void refuse(coro<T> body) const {
    // It never ran, and that is no mistake of its own.
    std::move(body).release().destroy();
    throw_refused();
  }
  template <class R, class T, class F, class... Args>
  static coro<R> invoke_started(F function, task_status<T> status, Args... arguments) {
    co_return co_await std::invoke(std::move(function), status, std::move(arguments)...);
  }
  template <class T, class F, class... Args>
  static coro<T> run_start(task_group group, F function, Args... arguments) {
    const future<T> ready(rondo::get_running_loop());
    using result = detail::startable_result<T, F, Args...>;
    coro<result> body = invoke_started<result, T, F, Args...>(
        std::move(function), task_status<T>(ready), std::move(arguments)...);
    if (!group.accepts()) group.refuse(std::move(body));
    std::optional<detail::group_slot> slot(std::in_place, *group.state_);
    const task<result> child = detail::spawn(group.loop(), std::move(body), task_options());
    slot->fill(child.core(), &ready.core());
    slot.reset();
    std::exception_ptr cancelled;
    try {
      co_await detail::done_awaiter(ready.core());
    } catch (const cancelled_error&) {
      cancelled = std::current_exception();
    }
    if (cancelled) {
      ready.cancel();
      child.cancel();
      co_await detail::wait_shielded(child);
      std::rethrow_exception(std::move(cancelled));
    }
    co_return detail::take_result<T>(ready);
  }

  [[nodiscard]] bool accepts() const noexcept;
  [[noreturn]] void throw_refused() const;
  [[nodiscard]] detail::loop_core& loop() const noexcept;

  detail::group_state* state_;
};

namespace detail {

struct task_group_guard {
  task_group& group;
  explicit task_group_guard(task_group& entered) : group(entered) { group.enter(); }
  task_group_guard(const task_group_guard&) = delete;
  task_group_guard& operator=(const task_group_guard&) = delete;
  ~task_group_guard() { group.abandon(); }
};

/// @throws cancelled_error  the group was cancelled before its body had a result
[[noreturn]] RONDO_EXPORT void throw_no_group_result();

template <class T, class F, class... Args>
coro<T> run_task_group(task_group group, F body, Args... args) {
  const task_group_guard guard(group);
  std::exception_ptr error;
  if constexpr (std::is_void_v<T>) {
    try {
      co_await std::invoke(std::move(body), group, std::move(args)...);
    } catch (...) {
      error = std::current_exception();
    }
    co_await group.leave(std::move(error));
  } else {
    std::optional<T> result;
    try {
      result.emplace(co_await std::invoke(std::move(body), group, std::move(args)...));
    } catch (...) {
      error = std::current_exception();
    }
    co_await group.leave(std::move(error));
    if (!result) throw_no_group_result();
    co_return *std::move(result);
  }
}

template <class F, class... Args>
using grouped_result = typename std::remove_cvref_t<
    std::invoke_result_t<std::decay_t<F>, task_group&, std::decay_t<Args>...>>::value_type;

// The type of the first parameter of a function, to know what `start` waits for.
template <class T>
struct started_value<task_status<T>> {
  using type = T;
};
template <class R, class Status, class... Args>
struct started_type<R (*)(Status, Args...)> : started_value<std::remove_cvref_t<Status>> {};
template <class C, class R, class Status, class... Args>
struct started_type<R (C::*)(Status, Args...) const> : started_value<std::remove_cvref_t<Status>> {
};
template <class C, class R, class Status, class... Args>
struct started_type<R (C::*)(Status, Args...)> : started_value<std::remove_cvref_t<Status>> {};
template <class F>
  requires requires { &F::operator(); }
struct started_type<F> : started_type<decltype(&F::operator())> {};

}  // namespace detail

/// Runs `body(task_group&, args...)`, which returns a coro, then waits for every child of the
/// group; yields the body's result.
///
/// The body runs in this task. When it throws, or when the task is cancelled, the children are
/// cancelled and awaited.
/// @throws exception_group  children or the body failed: all the errors, in the order in which they
/// happened
/// @throws cancelled_error  the task was cancelled from elsewhere and nothing failed; or
/// `task_group::cancel` ended a body that has to yield a result
/// @throws keyboard_interrupt, system_exit  by itself, as soon as the children have ended
///
/// @par asyncio
/// `async with asyncio.TaskGroup() as group`
template <class F, class... Args>
[[nodiscard]] auto with_task_group(task_group group, F&& body, Args&&... args) {
  return detail::run_task_group<detail::grouped_result<F, Args...>, std::decay_t<F>,
                                std::decay_t<Args>...>(std::move(group), std::forward<F>(body),
                                                       std::forward<Args>(args)...);
}
template <class F, class... Args>
  requires std::invocable<std::decay_t<F>, task_group&, std::decay_t<Args>...>
[[nodiscard]] auto with_task_group(F&& body, Args&&... args) {
  return with_task_group(task_group(), std::forward<F>(body), std::forward<Args>(args)...);
}

}  // namespace v0
}  // namespace rondo
