// SPDX-License-Identifier: MIT
// rondo tests: what happens just before a loop on epoll goes to sleep.
#pragma once

#include "support/fault_table.hpp"

#include <rondo/interval.hpp>

#include <sys/epoll.h>
#include <time.h>

#include <cerrno>
#include <chrono>
#include <functional>
#include <optional>
#include <utility>

namespace rondo_test {

/// Calls `f(wait)` before each wait of any loop, whichever system call makes it; without end is
/// interval::max(). What `f` returns is the result of the call: nothing makes the real one, a
/// negative one fails with that errno value.
class wait_hook {
 public:
  using function = std::function<std::optional<int>(rondo::interval wait)>;

  explicit wait_hook(function f) : function_(std::move(f)) {
    milliseconds_.hook([this](int, ::epoll_event*, int, int wait) {
      return call(wait < 0 ? rondo::interval::max()
                           : rondo::interval(std::chrono::milliseconds(wait)));
    });
    nanoseconds_.hook([this](int, ::epoll_event*, int, const ::timespec* wait, const ::sigset_t*) {
      return call(std::chrono::seconds(wait->tv_sec) + std::chrono::nanoseconds(wait->tv_nsec));
    });
  }
  wait_hook(const wait_hook&) = delete;
  wait_hook& operator=(const wait_hook&) = delete;
  ~wait_hook() = default;

 private:
  std::optional<int> call(rondo::interval wait) {
    const std::optional<int> result = function_(wait);
    if (!result || *result >= 0) return result;
    errno = -*result;
    return -1;
  }

  function function_;
  fault<&rondo::os::system_calls::epoll_wait> milliseconds_;
  fault<&rondo::os::system_calls::epoll_pwait2> nanoseconds_;
};

}  // namespace rondo_test
