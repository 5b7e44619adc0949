// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Noticing that the process is a forked child.
#include "fork.hpp"

#include <pthread.h>

namespace rondo {
inline namespace v0 {
namespace os {

constinit std::atomic<std::uint64_t> detail::forks = 0;

namespace {

[[maybe_unused]] const int counts_forks =
    pthread_atfork(nullptr, nullptr, [] { detail::forks.fetch_add(1, std::memory_order_relaxed); });

}  // namespace

void at_fork_in_child(void (*function)()) noexcept {
  static_cast<void>(pthread_atfork(nullptr, nullptr, function));
}

}  // namespace os
}  // namespace v0
}  // namespace rondo
