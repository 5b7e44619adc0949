// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Context variables: values that follow tasks and callbacks.
#pragma once

#include <rondo/detail/context_ref.hpp>
#include <rondo/detail/export.hpp>

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace rondo {
inline namespace v0 {
namespace detail {

/// A value in a context: immutable, shared by every map that holds it, also across threads.
struct context_value {
  explicit context_value(void (*how)(context_value*) noexcept) noexcept : destroy(how) {}
  std::atomic<std::uint32_t> references = 1;
  void (*destroy)(context_value*) noexcept;
};

template <class T>
struct typed_context_value : context_value {
  template <class... Args>
  explicit typed_context_value(Args&&... args)
      : context_value(
            [](context_value* self) noexcept { delete static_cast<typed_context_value*>(self); }),
        value(std::forward<Args>(args)...) {}
  T value;
};

RONDO_EXPORT void release(context_value* value) noexcept;
[[nodiscard]] RONDO_EXPORT std::uint64_t new_context_variable() noexcept;
/// The running context: of the task, the callback, or the thread.
[[nodiscard]] RONDO_EXPORT context_ref& running_context() noexcept;
/// Null if the variable is not set.
[[nodiscard]] RONDO_EXPORT context_value* find(const context_ref& where,
                                               std::uint64_t variable) noexcept;
/// Takes over one reference to the value; null unsets the variable.
RONDO_EXPORT void assign(context_ref& where, std::uint64_t variable, context_value* value);
[[noreturn]] RONDO_EXPORT void throw_unset_variable(const std::string& name);
[[noreturn]] RONDO_EXPORT void throw_wrong_token(const std::string& name);
[[noreturn]] RONDO_EXPORT void throw_context_entered();

}  // namespace detail

template <class T>
class context_var;

/// Remembers what a variable was before `set`; give it to `reset` once.
template <class T>
class context_token {
 public:
  context_token(context_token&& other) noexcept
      : variable_(other.variable_),
        previous_(std::exchange(other.previous_, nullptr)),
        used_(std::exchange(other.used_, true)) {}
  context_token& operator=(context_token&& other) noexcept {
    std::swap(variable_, other.variable_);
    std::swap(previous_, other.previous_);
    std::swap(used_, other.used_);
    return *this;
  }
  ~context_token() { detail::release(previous_); }

 private:
  friend class context_var<T>;
  context_token(std::uint64_t variable, detail::context_value* previous) noexcept
      : variable_(variable), previous_(previous) {}

  std::uint64_t variable_;
  detail::context_value* previous_;
  bool used_ = false;
};

/// A set of variables that can be entered; copies of the handle name the same one.
///
/// @par asyncio
/// `contextvars.Context`
/// @par Thread safety
/// One thread at a time may use a context; the values in it may be shared between threads.
class RONDO_EXPORT context {
 public:
  /// A new, empty context.
  context();

  /// A new context with the same variables; it costs one allocation, whatever their number.
  [[nodiscard]] context copy() const;

  /// Calls `f(args...)` inside this context and returns its result; `context_var::set` in there
  /// changes this object.
  /// @throws std::logic_error  the context is entered already
  template <class F, class... Args>
  std::invoke_result_t<F, Args...> run(F&& f, Args&&... args) const {
    const entered_scope scope(*this);
    return std::invoke(std::forward<F>(f), std::forward<Args>(args)...);
  }

  /// The value of a variable in this context, empty if it was not set; a default does not count.
  template <class T>
  [[nodiscard]] std::optional<T> get(const context_var<T>& variable) const;

  friend bool operator==(const context& a, const context& b) noexcept {
    return a.ref_.object() == b.ref_.object();
  }

  // For the library: a handle of what a task or callback runs in, and back.
  explicit context(detail::context_ref ref);
  [[nodiscard]] const detail::context_ref& ref() const noexcept { return ref_; }

 private:
  class RONDO_EXPORT entered_scope {
   public:
    explicit entered_scope(const context& entered);
    ~entered_scope();
    entered_scope(const entered_scope&) = delete;
    entered_scope& operator=(const entered_scope&) = delete;

   private:
    detail::context_ref ref_;
    detail::context_ref* outer_;
  };

  detail::context_ref ref_;  // always an object
};

/// A copy of the running context.
///
/// @par asyncio
/// `contextvars.copy_context()`
[[nodiscard]] RONDO_EXPORT context copy_context();

/// A variable whose value depends on the running context. Make it once, as a global.
///
/// @par asyncio
/// `contextvars.ContextVar`
/// @par Thread safety
/// Callable from any thread; each thread has a context of its own.
template <class T>
class context_var {
 public:
  explicit context_var(std::string_view name) : id_(detail::new_context_variable()), name_(name) {}
  context_var(std::string_view name, T fallback)
      : id_(detail::new_context_variable()), name_(name), default_(std::move(fallback)) {}
  context_var(const context_var&) = delete;
  context_var& operator=(const context_var&) = delete;

  [[nodiscard]] const std::string& name() const noexcept { return name_; }

  /// The value in the running context, else the default.
  /// @throws std::out_of_range  neither is there
  [[nodiscard]] T get() const {
    if (auto* found = detail::find(detail::running_context(), id_)) return value_of(found);
    if (!default_) detail::throw_unset_variable(name_);
    return *default_;
  }

  /// The value in the running context, else `fallback`.
  [[nodiscard]] T get(T fallback) const {
    if (auto* found = detail::find(detail::running_context(), id_)) return value_of(found);
    return fallback;
  }

  /// Sets the value in the running context; the token undoes it.
  context_token<T> set(T value) const {
    detail::context_ref& where = detail::running_context();
    detail::context_value* const previous = detail::find(where, id_);
    if (previous != nullptr) previous->references.fetch_add(1, std::memory_order_relaxed);
    context_token<T> token(id_, previous);
    detail::assign(where, id_, new detail::typed_context_value<T>(std::move(value)));
    return token;
  }

  /// Makes the variable what it was before the `set` that returned the token.
  /// @throws std::logic_error  the token was used, or belongs to another variable
  void reset(context_token<T>&& token) const {
    if (token.used_ || token.variable_ != id_) detail::throw_wrong_token(name_);
    token.used_ = true;
    detail::assign(detail::running_context(), id_, std::exchange(token.previous_, nullptr));
  }
  void reset(context_token<T>& token) const { reset(std::move(token)); }

 private:
  friend class context;
  static const T& value_of(detail::context_value* found) noexcept {
    return static_cast<detail::typed_context_value<T>*>(found)->value;
  }

  std::uint64_t id_;
  std::string name_;
  std::optional<T> default_;
};

// ---- implementation ----------------------------------------------------------------

template <class T>
std::optional<T> context::get(const context_var<T>& variable) const {
  if (auto* found = detail::find(ref_, variable.id_)) return context_var<T>::value_of(found);
  return std::nullopt;
}

}  // namespace v0
}  // namespace rondo
