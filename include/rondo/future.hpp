// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Futures: results that are not there yet.
#pragma once

#include <rondo/context.hpp>
#include <rondo/coro.hpp>
#include <rondo/detail/callback.hpp>
#include <rondo/detail/copyable.hpp>
#include <rondo/detail/export.hpp>
#include <rondo/detail/future_core.hpp>
#include <rondo/detail/task_core.hpp>
#include <rondo/errors.hpp>

#include <concepts>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <new>
#include <optional>
#include <source_location>
#include <string_view>
#include <type_traits>
#include <utility>

namespace rondo {
inline namespace v0 {

template <class T = void>
class future;
template <class T = void>
class task;
class any_future;

/// Names a done callback, for `remove_done_callback`.
struct callback_id {
  std::uint64_t value = 0;
  friend bool operator==(callback_id, callback_id) noexcept = default;
};

namespace detail {

struct nothing {};
/// How a result is kept: references as pointers.
template <class T>
using stored =
    std::conditional_t<std::is_void_v<T>, nothing,
                       std::conditional_t<std::is_reference_v<T>, std::remove_reference_t<T>*, T>>;

// A kind of future that is made of other futures says how it is cancelled, and when it lives on
// without a handle.
template <class Base>
[[nodiscard]] consteval auto cancel_function_of() -> bool (*)(future_core&, std::string_view) {
  if constexpr (requires { &Base::cancel_kind; }) {
    return &Base::cancel_kind;
  } else {
    return nullptr;
  }
}
template <class Base>
[[nodiscard]] consteval auto outlive_function_of() -> bool (*)(future_core&) noexcept {
  if constexpr (requires { &Base::outlive_handles; }) {
    return &Base::outlive_handles;
  } else {
    return nullptr;
  }
}

/// A future or task together with the place of its result.
template <class T, class Base>
struct typed_core final : Base {
  explicit typed_core(loop_core& where) noexcept : Base(table, where) {}
  ~typed_core() {
    if constexpr (!std::is_void_v<T>) {
      if (this->has_value) value.~stored<T>();
    }
  }

  static void destroy_self(future_core& self) noexcept {
    auto* const mine = static_cast<typed_core*>(&self);
    if constexpr (alignof(typed_core) > 16) {
      delete mine;
    } else {
      mine->~typed_core();
      free_block(mine, sizeof(typed_core));
    }
  }
  [[nodiscard]] static typed_core* make(loop_core& where) {
    if constexpr (alignof(typed_core) > 16) {
      return new typed_core(where);
    } else {
      return ::new (allocate_block(sizeof(typed_core))) typed_core(where);
    }
  }
  static void take_from_frame(future_core& self, void* frame);
  static const future_table table;

  union {
    stored<T> value;
  };
};

template <class T>
using future_of = typed_core<T, struct plain_future_core>;

struct plain_future_core : future_core {
  using future_core::future_core;

 protected:
  ~plain_future_core() = default;
};

template <class T>
stored<T>& value_of(future_core& core) noexcept {
  return *static_cast<stored<T>*>(core.value());
}

/// Names a type of results: typeid does not tell T& from T.
template <class T>
struct result_type {};

/// The result itself, whether it is kept as an object or as a pointer.
template <class T>
std::add_lvalue_reference_t<T> result_in(stored<T>& place) noexcept {
  if constexpr (std::is_reference_v<T>) {
    return *place;
  } else {
    return place;
  }
}

/// A callback that a future runs when it is done.
struct done_block : handle_block, future_waiter {
  done_block(run_function run_as, operate_function how, loop_core& where) noexcept;
  core_ref<future_core> on;  // set when it is done
  std::uint64_t id = 0;
};
RONDO_EXPORT void notify_done_block(future_waiter& self, future_core* done);
inline done_block::done_block(run_function run_as, operate_function how, loop_core& where) noexcept
    : handle_block(run_as, how, where), future_waiter(&notify_done_block) {}
/// Takes over the reference to the block.
RONDO_EXPORT callback_id add_done_block(future_core& core, done_block* block, const context* bound);
RONDO_EXPORT bool remove_done_block(future_core& core, callback_id id) noexcept;

template <class Handle, class F>
struct done_callback {
  F function;
  done_block* block = nullptr;

  void operator()() {
    if constexpr (std::invocable<F, Handle>) {
      static_cast<void>(std::invoke(std::move(function), Handle(block->on)));
    } else {
      static_cast<void>(std::invoke(std::move(function)));
    }
  }
};

/// Schedules `f(Handle)` or `f()` for when the future is done.
template <class Handle, class F>
callback_id add_done_callback(future_core& core, F&& f, const context* bound,
                              const std::source_location& place) {
  using function = done_callback<Handle, std::decay_t<F>>;
  using block = callback<done_block, false, function, std::decay_t<F>>;
  if constexpr (std::invocable<std::decay_t<F>, Handle>) {
    refuse_coroutine<std::invoke_result_t<std::decay_t<F>, Handle>>();
  } else {
    refuse_coroutine<std::invoke_result_t<std::decay_t<F>>>();
  }
  block* const made = make_callback<block>(function{std::forward<F>(f)}, &run_handle,
                                           &block::template operate<handle_block>, *core.core);
  made->function.block = made;
  made->made_at = place;
  return add_done_block(core, made, bound);
}

template <class T, bool rvalue>
class future_awaiter : public future_suspension {
 public:
  using rondo_awaiter = void;

  explicit future_awaiter(core_ref<future_core> core) noexcept : core_(std::move(core)) {}

  [[nodiscard]] bool await_ready() const { return core_->done(); }

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> frame) {
    attach(*core_, *frame.promise().task, frame.address());
    return true;
  }

  std::conditional_t<rvalue || std::is_void_v<T>, T, std::add_lvalue_reference_t<const T>>
  await_resume() {
    future_core& core = *core_;
    if (core.state != future_state::finished || (task != nullptr && task->throwing)) [[unlikely]] {
      on = &core;
      fail();
    }
    if constexpr (!std::is_void_v<T>) {
      if (core.moved_out) [[unlikely]]
        throw_moved_out();
      std::add_lvalue_reference_t<T> value = result_in<T>(value_of<T>(core));
      if constexpr (!rvalue || std::is_reference_v<T>) {
        return value;
      } else if constexpr (!copyable<T>) {
        core.moved_out = true;
        return std::move(value);
      } else {
        if (core.references == 1) return std::move(value);
        return value;
      }
    }
  }

 private:
  core_ref<future_core> core_;
};

}  // namespace detail

/// A handle of a result that is not there yet, and that any number of tasks may await.
///
/// Copies name the same future. `co_await f` waits and yields a reference to the result, or throws
/// the exception; `co_await std::move(f)` yields the result itself: moved out if this is the only
/// handle, else copied (a type that cannot be copied is always moved). Cancelling a task that
/// awaits a future cancels the future, and so every other task that awaits it: use `shield` to
/// share one.
///
/// @par asyncio
/// `asyncio.Future`
/// @par Thread safety
/// The loop's thread only, copying and destroying included; see `threadsafe_promise` for results
/// from elsewhere.
template <class T>
class future {
 public:
  using value_type = T;

  /// An empty handle, which names nothing; every member but `operator bool` throws
  /// std::logic_error.
  future() noexcept = default;

  /// A new pending future. @throws loop_closed_error
  explicit future(event_loop& loop)
      : core_(detail::core_ref<detail::future_core>::adopt(
            detail::future_of<T>::make(detail::core_of(loop)))) {}

  [[nodiscard]] bool done() const { return core_->done(); }
  [[nodiscard]] bool cancelled() const { return core_->state == detail::future_state::cancelled; }

  /// The result. Throws the exception where there is one.
  /// @throws cancelled_error  the future was cancelled
  /// @throws invalid_state_error  it is pending, or the result was moved out by an await
  std::add_lvalue_reference_t<const T> result() const {
    detail::future_core& core = *core_;
    if (core.state != detail::future_state::finished) detail::throw_no_result(core);
    if constexpr (!std::is_void_v<T>) {
      if (core.moved_out) detail::throw_moved_out();
      return detail::result_in<T>(detail::value_of<T>(core));
    }
  }

  /// The exception, null if there is none.
  /// @throws cancelled_error  the future was cancelled
  /// @throws invalid_state_error  it is pending
  [[nodiscard]] std::exception_ptr exception() const { return detail::get_exception(*core_); }

  /// Completes the future and schedules whoever waits.
  /// @throws invalid_state_error  it is done
  /// @throws std::logic_error  it is a task
  template <class U = T>
    requires(!std::is_void_v<T> && !std::is_reference_v<T> &&
             std::constructible_from<detail::stored<T>, U &&>)
  void set_result(U&& value) const {
    detail::future_core& core = *core_;
    detail::check_settable(core);
    std::construct_at(static_cast<detail::stored<T>*>(core.value()), std::forward<U>(value));
    core.has_value = true;
    detail::finish(core, detail::future_state::finished);
  }
  template <class U>
    requires(std::is_reference_v<T> && std::convertible_to<U&, T>)
  void set_result(U& value) const {
    detail::future_core& core = *core_;
    detail::check_settable(core);
    T referred = value;
    std::construct_at(static_cast<detail::stored<T>*>(core.value()), std::addressof(referred));
    core.has_value = true;
    detail::finish(core, detail::future_state::finished);
  }
  void set_result() const
    requires(std::is_void_v<T>)
  {
    detail::check_settable(*core_);
    detail::finish(*core_, detail::future_state::finished);
  }

  /// Fails the future and schedules whoever waits.
  /// @throws invalid_state_error  it is done
  /// @throws std::invalid_argument  `error` is null
  /// @throws std::logic_error  it is a task
  void set_exception(std::exception_ptr error) const {
    detail::set_exception(*core_, std::move(error));
  }
  template <class E>
    requires(!std::convertible_to<E, std::exception_ptr>)
  void set_exception(E&& error) const {
    detail::set_exception(*core_, std::make_exception_ptr(std::forward<E>(error)));
  }

  /// Cancels it and schedules whoever waits; of a task: asks it to end. False if it is done.
  bool cancel(std::string_view message = "") const { return detail::cancel(*core_, message); }

  /// @throws std::logic_error  the loop is destroyed
  [[nodiscard]] event_loop& get_loop() const { return detail::loop_of(*core_); }

  /// Schedules `f(handle)` or `f()` for when this is done, in order of registration; never calls it
  /// at once. It runs in a copy of the running context, or in `bound`.
  template <class F>
  callback_id add_done_callback(
      F&& f, std::source_location place = std::source_location::current()) const {
    return add_callback(std::forward<F>(f), nullptr, place);
  }
  template <class F>
  callback_id add_done_callback(
      F&& f, const context& bound,
      std::source_location place = std::source_location::current()) const {
    return add_callback(std::forward<F>(f), &bound, place);
  }

  /// Removes a callback that has not been scheduled. Returns whether there was one.
  bool remove_done_callback(callback_id id) const { return detail::remove_done_block(*core_, id); }

  [[nodiscard]] detail::future_awaiter<T, false> operator co_await() const& {
    return detail::future_awaiter<T, false>(core_);
  }
  [[nodiscard]] detail::future_awaiter<T, true> operator co_await() && {
    return detail::future_awaiter<T, true>(std::move(core_));
  }

  explicit operator bool() const noexcept { return static_cast<bool>(core_); }
  friend bool operator==(const future& a, const future& b) noexcept {
    return a.core_.get() == b.core_.get();
  }

  // For the library.
  explicit future(detail::core_ref<detail::future_core> core) noexcept : core_(std::move(core)) {}
  [[nodiscard]] const detail::core_ref<detail::future_core>& core() const noexcept { return core_; }

 protected:
  template <class F>
  callback_id add_callback(F&& f, const context* bound, const std::source_location& place) const {
    static_assert(std::invocable<std::decay_t<F>, future> || std::invocable<std::decay_t<F>>,
                  "a done callback is called as f(handle) or f()");
    return detail::add_done_callback<future>(*core_, std::forward<F>(f), bound, place);
  }

  detail::core_ref<detail::future_core> core_;
};

/// A handle of a future or task whose type does not matter here. Awaiting it yields void.
///
/// @par Thread safety
/// The loop's thread only.
class RONDO_EXPORT any_future {
 public:
  any_future() noexcept = default;
  template <class T>
  any_future(const future<T>& typed) noexcept
      : core_(typed.core()) {}  // NOLINT: implicit by design

  explicit operator bool() const noexcept { return static_cast<bool>(core_); }
  friend bool operator==(const any_future& a, const any_future& b) noexcept {
    return a.core_.get() == b.core_.get();
  }

  [[nodiscard]] bool done() const { return core_->done(); }
  [[nodiscard]] bool cancelled() const { return core_->state == detail::future_state::cancelled; }
  [[nodiscard]] std::exception_ptr exception() const { return detail::get_exception(*core_); }
  bool cancel(std::string_view message = "") const { return detail::cancel(*core_, message); }
  [[nodiscard]] event_loop& get_loop() const { return detail::loop_of(*core_); }

  /// As `future::add_done_callback`.
  template <class F>
  callback_id add_done_callback(
      F&& f, std::source_location place = std::source_location::current()) const {
    return detail::add_done_callback<any_future>(*core_, std::forward<F>(f), nullptr, place);
  }
  template <class F>
  callback_id add_done_callback(
      F&& f, const context& bound,
      std::source_location place = std::source_location::current()) const {
    return detail::add_done_callback<any_future>(*core_, std::forward<F>(f), &bound, place);
  }
  bool remove_done_callback(callback_id id) const { return detail::remove_done_block(*core_, id); }

  [[nodiscard]] detail::future_awaiter<void, false> operator co_await() const {
    return detail::future_awaiter<void, false>(core_);
  }

  explicit any_future(detail::core_ref<detail::future_core> core) noexcept
      : core_(std::move(core)) {}
  [[nodiscard]] const detail::core_ref<detail::future_core>& core() const noexcept { return core_; }

 protected:
  detail::core_ref<detail::future_core> core_;
};

// ---- implementation ----------------------------------------------------------------

namespace detail {

template <class T, class Base>
void typed_core<T, Base>::take_from_frame(future_core& self, void* frame) {
  if constexpr (std::is_same_v<Base, task_core> && !std::is_void_v<T>) {
    auto& promise = std::coroutine_handle<coro_promise<T>>::from_address(frame).promise();
    auto* const place = std::addressof(static_cast<typed_core&>(self).value);
    if constexpr (std::is_reference_v<T>) {
      std::construct_at(place, std::addressof(promise.take()));
    } else {
      std::construct_at(place, promise.take());
    }
    self.has_value = true;
  }
}

template <class T, class Base>
const future_table typed_core<T, Base>::table = {&typed_core::destroy_self,
                                                 &typeid(result_type<T>),
                                                 [] {
// offsetof is conditionally supported here and does what is meant on both compilers.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Winvalid-offsetof"
                                                   return offsetof(typed_core, value);
#pragma GCC diagnostic pop
                                                 }(),
                                                 &typed_core::take_from_frame,
                                                 cancel_function_of<Base>(),
                                                 outlive_function_of<Base>()};

}  // namespace detail
}  // namespace v0
}  // namespace rondo

template <class T>
struct std::hash<rondo::future<T>> {
  std::size_t operator()(const rondo::future<T>& handle) const noexcept {
    return std::hash<const void*>()(handle.core().get());
  }
};
template <>
struct std::hash<rondo::any_future> {
  std::size_t operator()(const rondo::any_future& handle) const noexcept {
    return std::hash<const void*>()(handle.core().get());
  }
};
