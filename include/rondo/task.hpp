// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Tasks: coroutines that the loop runs on their own.
#pragma once

#include <rondo/coro.hpp>
#include <rondo/detail/export.hpp>
#include <rondo/detail/task_core.hpp>
#include <rondo/future.hpp>

#include <concepts>
#include <coroutine>
#include <cstddef>
#include <functional>
#include <iosfwd>
#include <limits>
#include <memory>
#include <optional>
#include <source_location>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <typeinfo>
#include <utility>
#include <vector>

namespace rondo {
inline namespace v0 {
class any_task;

/// How a task is made.
struct task_options {
  std::string_view name = {};  ///< copied; empty: "Task-N"
  const rondo::context* context =
      nullptr;  ///< runs in that very context; null: in a copy of the running one
  std::optional<bool> eager_start = {};  ///< run to the first suspension inside create_task
  std::source_location place = std::source_location::current();  ///< shown in reports, debug mode
};
static_assert(std::is_trivially_copyable_v<task_options>);

/// A handle of a coroutine that the loop runs; a future of its result.
///
/// Copies name the same task. The loop owns the task until it is done: dropping the handle does not
/// stop it. An exception that nobody looked at is reported when the last handle is gone.
///
/// @par asyncio
/// `asyncio.Task`
/// @par Thread safety
/// The loop's thread only, copying and destroying included.
template <class T>
class task : public future<T> {
 public:
  /// An empty handle.
  task() noexcept = default;

  [[nodiscard]] std::string name() const { return detail::task_name(self()); }
  void set_name(std::string_view name) const { detail::set_task_name(self(), name); }

  /// Asks the task to end: its await throws cancelled_error, at once where that can be interrupted.
  /// What it awaits is cancelled with it, the innermost first. False if it is done. A coroutine may
  /// go on regardless.
  bool cancel(std::string_view message = "") const { return detail::cancel_task(self(), message); }

  /// Takes one request to cancel back and returns how many are left; at zero a request that was not
  /// delivered yet is withdrawn.
  std::size_t uncancel() const { return detail::uncancel_task(self()); }

  /// How many requests to cancel there were, less `uncancel` calls.
  [[nodiscard]] std::size_t cancelling() const { return self().cancel_requests; }

  /// The context that the task runs in.
  [[nodiscard]] context get_context() const;

  /// The lines of the awaits that the task is suspended in, the outermost first; at most the
  /// `limit` innermost ones. Empty while the task runs and once it is done.
  [[nodiscard]] std::vector<std::source_location> get_stack(
      std::size_t limit = std::numeric_limits<std::size_t>::max()) const {
    return detail::stack_of(self(), limit);
  }
  /// Writes them, to standard error or to a stream.
  void print_stack(std::size_t limit = std::numeric_limits<std::size_t>::max()) const {
    detail::print_stack(self(), limit, nullptr);
  }
  void print_stack(std::ostream& to,
                   std::size_t limit = std::numeric_limits<std::size_t>::max()) const {
    detail::print_stack(self(), limit, &to);
  }

  /// Where the task was made, if that was in debug mode; else the line is 0.
  [[nodiscard]] std::source_location created_at() const { return detail::creation_of(self()); }

  /// As `future::add_done_callback`; `f` is called with the task.
  template <class F>
  callback_id add_done_callback(
      F&& f, std::source_location place = std::source_location::current()) const {
    return detail::add_done_callback<task>(*this->core_, std::forward<F>(f), nullptr, place);
  }
  template <class F>
  callback_id add_done_callback(
      F&& f, const context& bound,
      std::source_location place = std::source_location::current()) const {
    return detail::add_done_callback<task>(*this->core_, std::forward<F>(f), &bound, place);
  }

  // For the library.
  explicit task(detail::core_ref<detail::future_core> core) noexcept : future<T>(std::move(core)) {}

 private:
  [[nodiscard]] detail::task_core& self() const {
    return static_cast<detail::task_core&>(*this->core_);
  }
};

/// A handle of a task whose type does not matter here. Awaiting it yields void.
///
/// @par Thread safety
/// The loop's thread only.
class RONDO_EXPORT any_task : public any_future {
 public:
  any_task() noexcept = default;
  template <class T>
  any_task(const task<T>& typed) noexcept  // NOLINT: implicit by design
      : any_future(static_cast<const future<T>&>(typed)) {}

  [[nodiscard]] std::string name() const;
  void set_name(std::string_view name) const;
  bool cancel(std::string_view message = "") const;
  std::size_t uncancel() const;
  [[nodiscard]] std::size_t cancelling() const;
  [[nodiscard]] context get_context() const;
  [[nodiscard]] std::vector<std::source_location> get_stack(
      std::size_t limit = std::numeric_limits<std::size_t>::max()) const;
  void print_stack(std::size_t limit = std::numeric_limits<std::size_t>::max()) const;
  void print_stack(std::ostream& to,
                   std::size_t limit = std::numeric_limits<std::size_t>::max()) const;
  [[nodiscard]] std::source_location created_at() const;

  /// As `future::add_done_callback`; `f` is called with the task.
  template <class F>
  callback_id add_done_callback(
      F&& f, std::source_location place = std::source_location::current()) const {
    return detail::add_done_callback<any_task>(*core_, std::forward<F>(f), nullptr, place);
  }
  template <class F>
  callback_id add_done_callback(
      F&& f, const context& bound,
      std::source_location place = std::source_location::current()) const {
    return detail::add_done_callback<any_task>(*core_, std::forward<F>(f), &bound, place);
  }

  /// The typed handle, empty if the task yields something else.
  template <class T>
  [[nodiscard]] std::optional<task<T>> as() const {
    if (!core_ || *core_->table->type != typeid(detail::result_type<T>)) return std::nullopt;
    return task<T>(core_);
  }

  explicit any_task(detail::core_ref<detail::future_core> core) noexcept
      : any_future(std::move(core)) {}

 private:
  [[nodiscard]] detail::task_core& self() const;
};

/// A coroutine of any type, for task factories. Move-only.
class RONDO_EXPORT any_coro {
 public:
  template <class T>
  any_coro(coro<T>&& typed) noexcept  // NOLINT: implicit by design
      : frame_(std::move(typed).release().address()), make_(&make_core<T>) {}
  any_coro(any_coro&& other) noexcept;
  any_coro& operator=(any_coro&& other) noexcept;
  ~any_coro();

  // For the library: an unstarted task around the coroutine, whose frame the caller owns from here
  // on.
  [[nodiscard]] detail::core_ref<detail::future_core> make(detail::loop_core& core) const {
    return make_(core);
  }
  [[nodiscard]] void* release() noexcept { return std::exchange(frame_, nullptr); }

 private:
  template <class T>
  static detail::core_ref<detail::future_core> make_core(detail::loop_core& core) {
    return detail::core_ref<detail::future_core>::adopt(
        detail::typed_core<T, detail::task_core>::make(core));
  }

  void* frame_;
  detail::core_ref<detail::future_core> (*make_)(detail::loop_core&);
};

/// Makes the tasks of a loop; `make_task` is what the default one does.
using task_factory = any_task (*)(event_loop& loop, any_coro body, const task_options& options);

/// Makes a task and schedules its first step.
RONDO_EXPORT any_task make_task(event_loop& loop, any_coro body, const task_options& options);

/// Makes a task and runs it at once, up to its first suspension, if the loop runs in this thread.
///
/// @par asyncio
/// `asyncio.eager_task_factory`
RONDO_EXPORT any_task eager_task_factory(event_loop& loop, any_coro body,
                                         const task_options& options);

namespace detail {

/// For a waiting coroutine that is destroyed: cancels the task, and whoever was to be resumed.
RONDO_EXPORT void forget_waiting_task(future_core& task, done_block& waiting) noexcept;

/// Throws what a task factory that returned another task deserves.
[[noreturn]] RONDO_EXPORT void throw_wrong_factory_result();
/// Null: the default.
[[nodiscard]] RONDO_EXPORT task_factory factory_of(const loop_core& core) noexcept;
/// @throws loop_closed_error, std::logic_error (wrong thread in debug mode)
RONDO_EXPORT void check_can_create_task(const loop_core& core);
[[nodiscard]] RONDO_EXPORT event_loop& loop_of(const loop_core& core);

template <class T>
task<T> spawn(loop_core& core, coro<T>&& body, const task_options& options) {
  check_can_create_task(core);
  if (!body.valid()) throw_coro_awaited_twice();
  if (const task_factory factory = factory_of(core); factory != nullptr) [[unlikely]] {
    auto made = factory(loop_of(core), any_coro(std::move(body)), options).template as<T>();
    if (!made) throw_wrong_factory_result();
    return *std::move(made);
  }
  auto* const made = typed_core<T, task_core>::make(core);
  task<T> result(core_ref<future_core>::adopt(made));
  start_task(*made, std::move(body).release().address(), options,
             options.eager_start.value_or(false));
  return result;
}

/// Whether calling it gives a coroutine.
template <class F, class... Args>
concept coroutine_function =
    is_coro<std::remove_cvref_t<std::invoke_result_t<std::decay_t<F>, std::decay_t<Args>...>>>;

template <class F, class... Args>
using coroutine_result = typename std::remove_cvref_t<
    std::invoke_result_t<std::decay_t<F>, std::decay_t<Args>...>>::value_type;

// A coroutine's parameters live in its frame: so do the callable, its captures and its arguments.
template <class F, class... Args>
coro<coroutine_result<F, Args...>> invoke_in_frame(F function, Args... arguments) {
  co_return co_await std::invoke(std::move(function), std::move(arguments)...);
}
template <class F, class... Args>
coro<coroutine_result<F, Args...>> invoke_boxed(std::unique_ptr<std::tuple<F, Args...>> box) {
  co_return co_await std::apply(
      [](F& function, Args&... arguments) {
        return std::invoke(std::move(function), std::move(arguments)...);
      },
      *box);
}

template <class F, class... Args>
coro<coroutine_result<F, Args...>> invoke_kept(F function, Args... arguments) {
  if constexpr (alignof(std::tuple<F, Args...>) > 16) {
    // Both compilers misplace over-aligned objects in frames.
    return invoke_boxed<F, Args...>(
        std::make_unique<std::tuple<F, Args...>>(std::move(function), std::move(arguments)...));
  } else {
    return invoke_in_frame<F, Args...>(std::move(function), std::move(arguments)...);
  }
}

template <class T, class Awaitable>
coro<T> await_kept(Awaitable awaitable) {
  co_return co_await std::move(awaitable);
}

template <class A>
auto awaited_type()
    -> decltype(std::declval<
                    std::remove_reference_t<decltype(std::declval<awaiting_promise&>()
                                                         .await_transform(std::declval<A>()))>&>()
                    .await_resume());

/// What `co_await a` yields inside a coroutine of this library.
template <class A>
using awaited = decltype(awaited_type<A>());

/// The same for an awaitable that is gone afterwards: a reference only where the result is one.
template <class A>
struct awaited_value_of {
  using type = std::remove_cvref_t<awaited<A&&>>;
};
template <class A>
  requires requires(const A& handle) {
    typename A::value_type;
    requires is_coro<A> || std::derived_from<A, future<typename A::value_type>>;
  }
struct awaited_value_of<A> {
  using type = typename A::value_type;
};
template <class A>
using awaited_value = typename awaited_value_of<std::decay_t<A>>::type;

template <class A>
concept awaitable =
    native_awaiter<A> || has_member_co_await<A> || is_coro<std::remove_cvref_t<A>> ||
    requires(A&& a) { operator co_await(std::forward<A>(a)); } ||
    requires(std::remove_reference_t<A>& a) {
      { a.await_ready() } -> std::convertible_to<bool>;
      a.await_resume();
    };

}  // namespace detail

/// Runs a coroutine as a task of the running loop; its first step comes in the next iteration.
/// @throws std::logic_error  no loop runs in this thread
/// @throws loop_closed_error  the loop is closed
///
/// @par asyncio
/// `asyncio.create_task`
template <class T>
task<T> create_task(coro<T> body, task_options options = {}) {
  return detail::spawn(detail::running_core(), std::move(body), options);
}

/// Calls `function(arguments...)`, which returns a coroutine, and runs that as a task. The callable
/// and its arguments are kept alive until the task is done, so a lambda may capture.
template <class F, class... Args>
  requires detail::coroutine_function<F, Args...>
task<detail::coroutine_result<F, Args...>> create_task(task_options options, F&& function,
                                                       Args&&... arguments) {
  return detail::spawn(detail::running_core(),
                       detail::invoke_kept<std::decay_t<F>, std::decay_t<Args>...>(
                           std::forward<F>(function), std::forward<Args>(arguments)...),
                       options);
}
template <class F, class... Args>
  requires detail::coroutine_function<F, Args...>
task<detail::coroutine_result<F, Args...>> create_task(F&& function, Args&&... arguments) {
  return create_task(task_options{.place = {}}, std::forward<F>(function),
                     std::forward<Args>(arguments)...);
}

/// Runs any other awaitable, such as a read of a stream, as a task.
template <class A>
  requires(detail::awaitable<A> && !detail::is_coro<std::remove_cvref_t<A>> &&
           !detail::coroutine_function<A>)
auto create_task(A&& awaitable, task_options options = {}) {
  using result = detail::awaited_value<A>;
  return detail::spawn(detail::running_core(),
                       detail::await_kept<result, std::decay_t<A>>(std::forward<A>(awaitable)),
                       options);
}

/// The task that runs now; empty in a plain callback and outside a loop.
///
/// @par asyncio
/// `asyncio.current_task`
[[nodiscard]] RONDO_EXPORT any_task current_task();
[[nodiscard]] RONDO_EXPORT any_task current_task(event_loop& loop);

/// The tasks of the running loop, or of `loop`, that are not done, oldest first.
///
/// @par asyncio
/// `asyncio.all_tasks`
[[nodiscard]] RONDO_EXPORT std::vector<any_task> all_tasks();
[[nodiscard]] RONDO_EXPORT std::vector<any_task> all_tasks(event_loop& loop);

// ---- implementation ----------------------------------------------------------------

template <class T>
context task<T>::get_context() const {
  return any_task(*this).get_context();
}

namespace detail {

/// Awaits a coroutine of this library inside a coroutine of another one: it becomes a task, and a
/// done callback resumes who waits, so that its errors are reported like those of any callback.
template <class T>
class foreign_task_awaiter {
 public:
  explicit foreign_task_awaiter(coro<T>&& body) noexcept : body_(std::move(body)) {}
  foreign_task_awaiter(const foreign_task_awaiter&) = delete;
  foreign_task_awaiter& operator=(const foreign_task_awaiter&) = delete;
  ~foreign_task_awaiter() {
    if (resumes_ && !resumed_) forget_waiting_task(*task_.core(), *resumes_);
  }

  [[nodiscard]] bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> frame) {
    using block = callback<done_block, false, resume_waiting>;
    loop_core& core = running_core();
    resumes_ = block_ref<done_block>::adopt(make_callback<block>(
        resume_waiting{this, frame}, &run_handle, &block::template operate<handle_block>, core));
    task_ = spawn(core, std::move(body_), task_options());
    retain(*resumes_);
    add_done_block(*task_.core(), resumes_.get(), nullptr);
  }
  T await_resume() {
    future_core& core = *task_.core();
    if (core.state != future_state::finished) throw_no_result(core);
    if constexpr (std::is_reference_v<T>) {
      return result_in<T>(value_of<T>(core));
    } else if constexpr (!std::is_void_v<T>) {
      return std::move(value_of<T>(core));
    }
  }

 private:
  struct resume_waiting {
    foreign_task_awaiter* awaiter;
    std::coroutine_handle<> frame;
    void operator()() const {
      awaiter->resumed_ = true;
      frame.resume();
    }
  };

  coro<T> body_;
  task<T> task_;
  block_ref<done_block> resumes_;
  bool resumed_ = false;
};

}  // namespace detail

template <class T>
detail::foreign_task_awaiter<T> coro<T>::operator co_await() && {
  return detail::foreign_task_awaiter<T>(std::move(*this));
}

}  // namespace v0
}  // namespace rondo

template <class T>
struct std::hash<rondo::task<T>> : std::hash<rondo::future<T>> {};
template <>
struct std::hash<rondo::any_task> : std::hash<rondo::any_future> {};
