// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Writing to pipes whose reader may be gone, without the signal.
#pragma once

#include <rondo/detail/export.hpp>

#include <signal.h>
#include <sys/types.h>
#include <sys/uio.h>

namespace rondo {
inline namespace v0 {
namespace os {

/// While it lives, a write of this thread to a pipe that nobody reads fails with EPIPE and raises
/// no SIGPIPE, whatever the program has made of that signal.
class broken_pipe_guard {
 public:
  RONDO_EXPORT broken_pipe_guard() noexcept;
  broken_pipe_guard(const broken_pipe_guard&) = delete;
  broken_pipe_guard& operator=(const broken_pipe_guard&) = delete;
  /// Takes the signal of this thread's write away if there is one.
  RONDO_EXPORT ~broken_pipe_guard();

 private:
  ::sigset_t before_;
  bool blocked_;
  bool was_pending_;
};

/// writev(2), without SIGPIPE.
[[nodiscard]] RONDO_EXPORT ssize_t write_without_signal(int fd, const ::iovec* parts,
                                                        int count) noexcept;

}  // namespace os
}  // namespace v0
}  // namespace rondo
