// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  A call on its way to an executor, and its result on the way back.
#pragma once

#include <rondo/detail/context_ref.hpp>
#include <rondo/detail/export.hpp>
#include <rondo/detail/future_core.hpp>
#include <rondo/detail/loop_core.hpp>
#include <rondo/detail/ready_node.hpp>
#include <rondo/event_loop.hpp>
#include <rondo/future.hpp>

#include <atomic>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <functional>
#include <memory>
#include <new>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace rondo {
inline namespace v0 {
namespace detail {
struct job_block;

/// What an executor does with a job; both take its reference over.
struct job_table {
  void (*run)(job_block&) noexcept;
  void (*drop)(job_block&) noexcept;
};

/// What an executor_job names.
struct job_block {
  explicit job_block(const job_table& functions) noexcept : table(&functions) {}
  job_block(const job_block&) = delete;
  job_block& operator=(const job_block&) = delete;

  const job_table* table;
  job_block* next_job = nullptr;  // in the queue of a pool

 protected:
  ~job_block() = default;
};

RONDO_EXPORT void report_job_error() noexcept;  // of the exception that is being handled

/// A job that nobody waits for.
template <class F>
struct plain_job final : job_block {
  template <class U>
  explicit plain_job(U&& callable) : job_block(functions), function(std::forward<U>(callable)) {}

  static void run(job_block& block) noexcept {
    const std::unique_ptr<plain_job> self(static_cast<plain_job*>(&block));
    try {
      static_cast<void>(std::invoke(std::move(self->function)));
    } catch (...) {
      report_job_error();
    }
  }
  static void drop(job_block& block) noexcept { delete static_cast<plain_job*>(&block); }
  static constexpr job_table functions = {&run, &drop};

  F function;
};

// ---- jobs of a loop ----------------------------------------------------------------

enum class job_state : std::uint8_t {
  queued,
  running,    // claimed by the executor
  finished,   // stands in the loop's inbox, with its result
  dropped,    // stands there without one: the executor let go of it
  abandoned,  // the loop has lost interest before it was claimed
};

struct loop_job;

struct loop_job_table {
  void (*call)(loop_job&);             // calls, and keeps the result
  void (*forget)(loop_job&) noexcept;  // destroys the callable
  void (*deliver)(loop_job&);          // gives the result to the future
  void (*destroy)(loop_job&) noexcept;
  std::string_view (*bytes)(
      loop_job&) noexcept;                 // of the result; null: it cannot leave its process
  bool (*take)(loop_job&, std::string&&);  // makes the result of bytes; false: they are not it
};

/// A call whose result a future of a loop waits for.
///
/// Shared by the executor and the loop. Whoever changes `state` from `queued` decides what becomes
/// of it.
struct RONDO_EXPORT loop_job : job_block, ready_node, loop_resource, future_waiter {
  RONDO_EXPORT explicit loop_job(const loop_job_table& functions) noexcept;
  RONDO_EXPORT void on_loop_close() noexcept override;

  const loop_job_table* calls;
  std::atomic<std::uint32_t> references = 1;
  std::atomic<job_state> state = job_state::queued;
  bool holds_callable = true;
  bool has_value = false;
  core_ref<future_core> target;  // the loop's thread only
  std::shared_ptr<void> inbox;   // outlives the loop
  std::exception_ptr error;
  context_ref bound_context;  // what the call runs in

 protected:
  ~loop_job() = default;
};

RONDO_EXPORT void release(loop_job& job) noexcept;

/// Owns a job that has not been submitted.
class unsubmitted_job {
 public:
  explicit unsubmitted_job(loop_job* job) noexcept : job_(job) {}
  unsubmitted_job(unsubmitted_job&& other) noexcept : job_(std::exchange(other.job_, nullptr)) {}
  unsubmitted_job& operator=(unsubmitted_job&&) = delete;
  ~unsubmitted_job() {
    if (job_ != nullptr) release(*job_);
  }
  loop_job* operator->() const noexcept { return job_; }
  [[nodiscard]] loop_job* detach() noexcept { return std::exchange(job_, nullptr); }

 private:
  loop_job* job_;
};

/// Whether a result can be sent from one process to another as its bytes.
template <class R>
inline constexpr bool leaves_process =
    std::is_void_v<R> || std::is_same_v<R, std::string> ||
    (std::is_trivially_copyable_v<R> && !std::is_reference_v<R> && !std::is_pointer_v<R> &&
     !std::is_member_pointer_v<R> && !std::is_same_v<R, std::string_view>);

template <class R, class Call>
struct typed_job final : loop_job {
  explicit typed_job(Call&& callable) : loop_job(functions), call(std::move(callable)) {}
  ~typed_job() {
    if (holds_callable) call.~Call();
    if constexpr (!std::is_void_v<R>) {
      if (has_value) value.~stored<R>();
    }
  }
  typed_job(const typed_job&) = delete;
  typed_job& operator=(const typed_job&) = delete;

  static typed_job& self(loop_job& job) noexcept { return static_cast<typed_job&>(job); }

  static void call_it(loop_job& job) {
    typed_job& mine = self(job);
    if constexpr (std::is_void_v<R>) {
      mine.call();
    } else if constexpr (std::is_reference_v<R>) {
      mine.value = std::addressof(mine.call());
    } else {
      ::new (static_cast<void*>(std::addressof(mine.value))) R(mine.call());
    }
    mine.has_value = true;
  }
  static void forget_it(loop_job& job) noexcept {
    if (!std::exchange(job.holds_callable, false)) return;
    self(job).call.~Call();
  }
  static void deliver_it(loop_job& job) {
    const future<R> to(job.target);
    if constexpr (std::is_void_v<R>) {
      to.set_result();
    } else if constexpr (std::is_reference_v<R>) {
      to.set_result(*self(job).value);
    } else {
      to.set_result(std::move(self(job).value));
    }
  }
  static void destroy_it(loop_job& job) noexcept { delete &self(job); }
  static std::string_view bytes_of(loop_job& job) noexcept {
    if constexpr (std::is_same_v<R, std::string>) {
      return self(job).value;
    } else if constexpr (!std::is_void_v<R> && leaves_process<R>) {
      return {reinterpret_cast<const char*>(std::addressof(self(job).value)), sizeof(R)};
    } else {
      return {};
    }
  }
  static bool take_it(loop_job& job, std::string&& bytes) {
    if constexpr (std::is_same_v<R, std::string>) {
      std::construct_at(std::addressof(self(job).value), std::move(bytes));
    } else if constexpr (!std::is_void_v<R> && leaves_process<R>) {
      if (bytes.size() != sizeof(R)) return false;
      std::memcpy(static_cast<void*>(std::addressof(self(job).value)), bytes.data(), sizeof(R));
    }
    job.has_value = true;
    return true;
  }
  static constexpr loop_job_table functions = {&call_it,
                                               &forget_it,
                                               &deliver_it,
                                               &destroy_it,
                                               leaves_process<R> ? &bytes_of : nullptr,
                                               leaves_process<R> ? &take_it : nullptr};

  union {
    Call call;
  };
  union {
    stored<R> value;
  };
};

/// Packs a callable with its arguments; both are moved into the call.
template <class F, class... Args>
[[nodiscard]] unsubmitted_job make_job(F&& f, Args&&... args) {
  using result = call_result<F, Args...>;
  static_assert(
      !is_coro<result>,
      "an executor runs plain functions: await a coroutine, or run a loop inside the call");
  static_assert(
      std::is_void_v<result> || std::is_reference_v<result> || std::move_constructible<result>,
      "the result is moved to the future");
  auto call = [function = std::decay_t<F>(std::forward<F>(f)),
               ... arguments =
                   std::decay_t<Args>(std::forward<Args>(args))]() mutable -> decltype(auto) {
    return std::invoke(std::move(function), std::move(arguments)...);
  };
  return unsubmitted_job(new typed_job<result, decltype(call)>(std::move(call)));
}

}  // namespace detail
}  // namespace v0
}  // namespace rondo
