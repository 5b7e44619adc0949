// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Tasks that await each other.
#pragma once

#include <rondo/detail/task_core.hpp>

namespace rondo {
inline namespace v0 {
namespace detail {

/// Warns if a task that has just begun to await a future is awaited by that in turn.
void report_ring(const task_core& task) noexcept;

}  // namespace detail
}  // namespace v0
}  // namespace rondo
