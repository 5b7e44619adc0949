// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Awaiting one operation of the backend.
#pragma once

#include <rondo/backend.hpp>
#include <rondo/coro.hpp>
#include <rondo/detail/export.hpp>
#include <rondo/detail/task_core.hpp>
#include <rondo/event_loop.hpp>

#include <coroutine>
#include <cstddef>
#include <cstdint>

namespace rondo {
inline namespace v0 {
namespace detail {

/// Starts an operation when it is awaited, and yields its result: >= 0, or a negated errno value.
///
/// A cancellation asks the backend to end the operation, and the await ends when the kernel has let
/// go of it: with cancelled_error if nothing was done, else with the result, and the cancellation
/// waits for the next await. Its memory must outlive the await.
class RONDO_EXPORT operation_awaiter : public operation, suspension {
 public:
  using rondo_awaiter = void;

  operation_awaiter(event_loop& loop, operation_kind what, int descriptor, void* memory = nullptr,
                    std::size_t length = 0, int with_flags = 0) noexcept;
  operation_awaiter(const operation_awaiter&) = delete;
  operation_awaiter& operator=(const operation_awaiter&) = delete;
  ~operation_awaiter();

  [[nodiscard]] bool await_ready() const noexcept { return false; }

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> frame) {
    return begin(*frame.promise().task, frame.address());
  }

  std::int64_t await_resume();

 private:
  bool begin(task_core& by, void* frame);
  static void on_complete(operation& self) noexcept;
  static bool on_cancel(suspension& self, task_core& by);

  loop_core* loop_;
  task_core* task_ = nullptr;
  bool started_ = false;  // and not completed
  bool cancelling_ = false;
};

}  // namespace detail
}  // namespace v0
}  // namespace rondo
