// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Noticing that the process is a forked child.
#include "fork.hpp"

#include <pthread.h>

namespace rondo {
inline namespace v0 {
namespace os {

constinit std::atomic<std::uint64_t> detail::forks = 0;

namespace {

bool count_forks() noexcept {
  static const bool once = pthread_atfork(nullptr, nullptr, [] {
                             detail::forks.fetch_add(1, std::memory_order_relaxed);
                           }) == 0;
  return once;
}
[[maybe_unused]] const bool counts_forks = count_forks();

}  // namespace

void at_fork_in_child(void (*function)()) noexcept {
  // Children call the functions in this order, and the library's look at the count.
  static_cast<void>(count_forks());
  static_cast<void>(pthread_atfork(nullptr, nullptr, function));
}

}  // namespace os
}  // namespace v0
}  // namespace rondo
