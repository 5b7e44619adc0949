// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  The tasks that a loop owns.
#pragma once

#include <rondo/detail/task_core.hpp>

namespace rondo {
inline namespace v0 {
namespace detail {

void link_task(task_core& task) noexcept;
void unlink_task(task_core& task) noexcept;
/// Destroys the frames of a task that will never run again, and reports it; drops the loop's
/// reference.
void destroy_pending_task(task_core& task) noexcept;

}  // namespace detail
}  // namespace v0
}  // namespace rondo
