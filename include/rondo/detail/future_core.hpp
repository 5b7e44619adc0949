// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  What futures and tasks of every type share.
#pragma once

#include <rondo/detail/export.hpp>
#include <rondo/detail/loop_core.hpp>
#include <rondo/detail/memory.hpp>

#include <cstddef>
#include <cstdint>
#include <exception>
#include <string_view>
#include <typeinfo>

namespace rondo {
inline namespace v0 {
namespace detail {
struct future_core;

enum class future_state : std::uint8_t { pending, finished, failed, cancelled };

/// Somebody who is told when a future is done; lives in the one who waits.
struct future_waiter {
  /// Called once, unlinked, when the future is done; it must only queue. `done` is null when the
  /// future died pending.
  using notify_function = void (*)(future_waiter& self, future_core* done);

  constexpr explicit future_waiter(notify_function function) noexcept : notify(function) {}
  future_waiter(const future_waiter&) = delete;
  future_waiter& operator=(const future_waiter&) = delete;

  [[nodiscard]] bool linked() const noexcept { return next != nullptr; }

  future_waiter* next = nullptr;  // circular, in the order of registration
  future_waiter* previous = nullptr;
  notify_function notify;

 protected:
  ~future_waiter() = default;
};

struct future_table {
  void (*destroy)(future_core&) noexcept;
  const std::type_info* type;  // of the result
  std::size_t value_offset;    // from the future_core
  // Tasks only: moves the result out of the finished frame.
  void (*take_result)(future_core& self, void* frame);
  // Futures that are made of others only, null elsewhere: asks those to end; and whether they keep
  // this one, which has no handle any more, because somebody waits.
  bool (*cancel)(future_core& self, std::string_view message);
  bool (*outlive_handles)(future_core& self) noexcept;
};

struct future_core {
  future_core(const future_table& operations, loop_core& where) noexcept
      : table(&operations), core(&where) {
    ++where.references;
  }
  future_core(const future_core&) = delete;
  future_core& operator=(const future_core&) = delete;

  [[nodiscard]] bool done() const noexcept { return state != future_state::pending; }
  [[nodiscard]] void* value() noexcept {
    return reinterpret_cast<char*>(this) + table->value_offset;
  }

  const future_table* table;
  loop_core* core;
  future_waiter* waiters = nullptr;  // the oldest; its `previous` is the newest
  std::exception_ptr exception;      // also of a cancellation that has a message
  std::uint32_t references = 1;
  future_state state = future_state::pending;
  bool is_task = false;
  bool retrieved = false;     // somebody saw the exception
  bool has_value = false;     // the value is constructed
  bool moved_out = false;     // an await of an rvalue took a value that cannot be copied
  bool log_destroyed = true;  // tasks: report if destroyed while pending

  // Tasks: what the next step does, see task_core.
  bool started = false;
  bool scheduled = false;
  bool must_cancel = false;
  bool throwing = false;
  bool met_completed_io = false;
  bool frame_finished = false;

 protected:
  ~future_core() = default;
};

/// What a suspended task waits for.
struct suspension {
  /// Asks it to end: true if it will wake the task (see task_core::wake_cancelled), false if it
  /// cannot be interrupted, so that the task has to be cancelled when it wakes by itself.
  using cancel_function = bool (*)(suspension& self, task_core& task);

  constexpr explicit suspension(cancel_function function) noexcept : request_cancel(function) {}

  cancel_function request_cancel;
};

RONDO_EXPORT void destroy(future_core& core) noexcept;  // the last reference is gone
inline void retain(future_core& core) noexcept { ++core.references; }
inline void release(future_core& core) noexcept {
  if (--core.references == 0) destroy(core);
}

/// Links a waiter behind the others of a pending future.
RONDO_EXPORT void add_waiter(future_core& core, future_waiter& waiter) noexcept;
/// Unlinks a waiter that is linked.
RONDO_EXPORT void remove_waiter(future_core& core, future_waiter& waiter) noexcept;
/// Changes the state and notifies the waiters in their order.
/// @throws loop_closed_error  there are callbacks and the loop is closed; the state has changed
RONDO_EXPORT void finish(future_core& core, future_state state);
RONDO_EXPORT bool cancel(future_core& core, std::string_view message);
/// Makes a pending one cancelled, whatever it is made of.
RONDO_EXPORT void finish_cancelled(future_core& core, std::string_view message);
RONDO_EXPORT void set_exception(future_core& core, std::exception_ptr error);
/// Throws unless a result can be set now.
RONDO_EXPORT void check_settable(const future_core& core);
/// Throws what `result()` of a future without a result throws.
[[noreturn]] RONDO_EXPORT void throw_no_result(future_core& core);
[[nodiscard]] RONDO_EXPORT std::exception_ptr get_exception(future_core& core);
[[noreturn]] RONDO_EXPORT void throw_moved_out();
[[noreturn]] RONDO_EXPORT void throw_empty_handle();
[[noreturn]] RONDO_EXPORT void throw_null_exception();
[[nodiscard]] RONDO_EXPORT event_loop& loop_of(const future_core& core);
/// The core of a loop, for new futures. @throws loop_closed_error
[[nodiscard]] RONDO_EXPORT loop_core& core_of(event_loop& loop);
/// The core of the loop that runs in this thread. @throws std::logic_error  none runs
[[nodiscard]] RONDO_EXPORT loop_core& running_core();

/// Owns one reference to a future or a task.
template <class Core>
class core_ref {
 public:
  constexpr core_ref() noexcept = default;
  explicit core_ref(Core* shared) noexcept : core_(shared) {
    if (core_ != nullptr) retain(*core_);
  }
  core_ref(const core_ref& other) noexcept : core_ref(other.core_) {}
  core_ref(core_ref&& other) noexcept : core_(other.core_) { other.core_ = nullptr; }
  core_ref& operator=(core_ref other) noexcept {
    Core* const mine = core_;
    core_ = other.core_;
    other.core_ = mine;
    return *this;
  }
  ~core_ref() {
    if (core_ != nullptr) release(*core_);
  }

  [[nodiscard]] static core_ref adopt(Core* owned) noexcept {
    core_ref result;
    result.core_ = owned;
    return result;
  }
  [[nodiscard]] Core* get() const noexcept { return core_; }
  [[nodiscard]] Core* detach() noexcept {
    Core* const mine = core_;
    core_ = nullptr;
    return mine;
  }
  Core& operator*() const {
    if (core_ == nullptr) throw_empty_handle();
    return *core_;
  }
  Core* operator->() const { return &**this; }
  explicit operator bool() const noexcept { return core_ != nullptr; }

 private:
  Core* core_ = nullptr;
};

}  // namespace detail
}  // namespace v0
}  // namespace rondo
