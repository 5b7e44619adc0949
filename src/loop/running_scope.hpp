// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  What is set up while a callback or a task step runs.
#pragma once

#include <rondo/detail/context_ref.hpp>
#include <rondo/detail/loop_core.hpp>

#include <atomic>
#include <utility>

namespace rondo {
inline namespace v0 {
namespace detail {

/// Makes a context the running one of the loop's thread.
class context_scope {
 public:
  context_scope(loop_core& core, context_ref& entered) noexcept
      : context_scope(*core.thread.load(std::memory_order_relaxed), entered) {}
  context_scope(thread_state& thread, context_ref& entered) noexcept
      : thread_(thread), outer_(std::exchange(thread_.context, &entered)) {}
  context_scope(const context_scope&) = delete;
  context_scope& operator=(const context_scope&) = delete;
  ~context_scope() { thread_.context = outer_; }

 private:
  thread_state& thread_;
  context_ref* outer_;
};

}  // namespace detail
}  // namespace v0
}  // namespace rondo
