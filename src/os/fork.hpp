// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Noticing that the process is a forked child.
#pragma once

#include <rondo/detail/export.hpp>

#include <atomic>
#include <cstdint>

namespace rondo {
inline namespace v0 {
namespace os {

namespace detail {
extern constinit std::atomic<std::uint64_t> forks;
}  // namespace detail

/// How many forks lie between the process that loaded the library and this one: what was made under
/// another number belongs to an ancestor.
[[nodiscard]] inline std::uint64_t fork_generation() noexcept {
  return detail::forks.load(std::memory_order_relaxed);
}

/// Runs `function` in every child right after fork(); it must be async-signal-safe. Never undone.
void at_fork_in_child(void (*function)()) noexcept;

}  // namespace os
}  // namespace v0
}  // namespace rondo
