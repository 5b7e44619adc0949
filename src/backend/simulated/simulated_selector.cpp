// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  The selector of a virtual loop without real descriptors.
#include "backend/simulated/simulated_selector.hpp"

#include "os/syscalls.hpp"

#include <cerrno>

namespace rondo {
inline namespace v0 {
namespace detail {

int simulated_selector::add(int fd, std::uint8_t, std::uint64_t) noexcept {
  if (wake_ >= 0) return EPERM;
  wake_ = fd;
  return 0;
}

int simulated_selector::modify(int, std::uint8_t, std::uint64_t) noexcept { return ENOENT; }

int simulated_selector::remove(int) noexcept { return ENOENT; }

std::ptrdiff_t simulated_selector::select(std::span<event>, std::optional<interval> wait) noexcept {
  if (wait) return 0;
  ::pollfd entry{};
  entry.fd = wake_;
  entry.events = POLLIN;
  if (os::sys.poll(&entry, 1, -1) < 0) return errno == EINTR ? 0 : -errno;
  std::uint64_t count = 0;
  static_cast<void>(os::sys.read(wake_, &count, sizeof count));
  return 0;
}

}  // namespace detail
}  // namespace v0
}  // namespace rondo
