// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Owners of descriptors, and errno values as exceptions.
#include "os/descriptor.hpp"

#include "os/syscalls.hpp"

#include <cerrno>
#include <system_error>

namespace rondo {
inline namespace v0 {
namespace os {

void descriptor::close_quietly(int fd) noexcept {
  const int saved = errno;
  // Not repeated after EINTR: Linux has closed it all the same, and the number may be taken again.
  static_cast<void>(sys.close(fd));
  errno = saved;
}

void throw_error(int error, const std::string& what) {
  throw std::system_error(error, std::system_category(), what);
}

void throw_error(int error, const char* what) {
  throw std::system_error(error, std::system_category(), what);
}

int set_non_blocking(int fd, bool on) noexcept {
  const int flags = sys.fcntl(fd, F_GETFL, 0);
  if (flags < 0) return errno;
  const int wanted = on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
  if (wanted == flags) return 0;
  return sys.fcntl(fd, F_SETFL, wanted) < 0 ? errno : 0;
}

}  // namespace os
}  // namespace v0
}  // namespace rondo
