// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Writing to pipes whose reader may be gone, without the signal.
#include "broken_pipe.hpp"

#include "syscalls.hpp"

#include <atomic>
#include <cerrno>

namespace rondo {
inline namespace v0 {
namespace os {
namespace {

// Linux 6.18 and later; older headers lack it.
constexpr int rwf_nosignal = 0x100;

// Until a pipe has shown that the kernel does not know the flag.
constinit std::atomic<bool> flag_is_known = true;

bool is_pipe(int fd) noexcept {
  struct ::stat found = {};
  return sys.fstat(fd, &found) == 0 && S_ISFIFO(found.st_mode);
}

}  // namespace

broken_pipe_guard::broken_pipe_guard() noexcept {
  ::sigset_t pipe_signal;
  ::sigset_t pending;
  sigemptyset(&pipe_signal);
  sigaddset(&pipe_signal, SIGPIPE);
  blocked_ = sys.pthread_sigmask(SIG_BLOCK, &pipe_signal, &before_) == 0;
  was_pending_ = sigpending(&pending) == 0 && sigismember(&pending, SIGPIPE) == 1;
}

broken_pipe_guard::~broken_pipe_guard() {
  if (!blocked_) return;
  const int saved = errno;
  if (saved == EPIPE && !was_pending_) {
    // The signal of a write is directed at the thread, so that nobody else can take it.
    ::sigset_t pipe_signal;
    sigemptyset(&pipe_signal);
    sigaddset(&pipe_signal, SIGPIPE);
    const ::timespec now = {};
    static_cast<void>(sys.sigtimedwait(&pipe_signal, nullptr, &now));
  }
  sys.pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  errno = saved;
}

ssize_t write_without_signal(int fd, const ::iovec* parts, int count) noexcept {
  if (flag_is_known.load(std::memory_order_relaxed)) {
    const ssize_t written = sys.pwritev2(fd, parts, count, -1, rwf_nosignal);
    if (written >= 0 || (errno != EOPNOTSUPP && errno != ENOSYS)) return written;
    // Some devices do not know any flag; only a pipe tells about the kernel.
    if (is_pipe(fd)) flag_is_known.store(false, std::memory_order_relaxed);
  }
  const broken_pipe_guard quiet;
  return sys.writev(fd, parts, count);
}

}  // namespace os
}  // namespace v0
}  // namespace rondo
