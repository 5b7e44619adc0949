// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Making descriptors non-blocking that others use, too, for a while.
#include "non_blocking_lease.hpp"

#include "fork.hpp"
#include "syscalls.hpp"

#include <cerrno>
#include <mutex>
#include <utility>

namespace rondo {
inline namespace v0 {
namespace os {
namespace {

// All leases of the process. Constant-initialised and never destroyed: transports may end late.
constinit non_blocking_lease* first = nullptr;
union lock_storage {
  constexpr lock_storage() : lock() {}
  ~lock_storage() {}
  std::mutex lock;
};
constinit lock_storage list_lock;

}  // namespace

int non_blocking_lease::begin(int fd) noexcept {
  struct ::stat file = {};
  if (sys.fstat(fd, &file) != 0) return errno;
  const std::lock_guard guard(list_lock.lock);
  const int flags = sys.fcntl(fd, F_GETFL, 0);
  if (flags < 0) return errno;
  if ((flags & O_NONBLOCK) == 0) {
    if (sys.fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) return errno;
    restores_ = true;
  }
  fd_ = fd;
  device_ = file.st_dev;
  inode_ = file.st_ino;
  forks_ = fork_generation();
  next_ = first;
  if (first != nullptr) first->previous_ = this;
  first = this;
  return 0;
}

void non_blocking_lease::end() noexcept {
  if (fd_ < 0) return;
  const int fd = std::exchange(fd_, -1);
  // In a forked child the description is its parent's, too, which goes on with it.
  if (forks_ != fork_generation()) return;
  const int saved = errno;
  const std::lock_guard guard(list_lock.lock);
  (previous_ != nullptr ? previous_->next_ : first) = next_;
  if (next_ != nullptr) next_->previous_ = previous_;
  if (std::exchange(restores_, false)) {
    const int flags = sys.fcntl(fd, F_GETFL, 0);
    const bool restored = flags >= 0 && sys.fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) == 0;
    // Whoever sees the change shares the description: it still needs the flag, and inherits the
    // duty.
    for (non_blocking_lease* other = first; restored && other != nullptr; other = other->next_) {
      if (!same_file(*other)) continue;
      const int seen = sys.fcntl(other->fd_, F_GETFL, 0);
      if (seen < 0 || (seen & O_NONBLOCK) != 0) continue;
      static_cast<void>(sys.fcntl(fd, F_SETFL, flags));
      other->restores_ = true;
      break;
    }
  }
  errno = saved;
}

}  // namespace os
}  // namespace v0
}  // namespace rondo
