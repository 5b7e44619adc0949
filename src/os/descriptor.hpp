// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Owners of descriptors, and errno values as exceptions.
#pragma once

#include <rondo/detail/export.hpp>

#include <string>
#include <utility>

namespace rondo {
inline namespace v0 {
namespace os {

/// Owns a descriptor and closes it.
class descriptor {
 public:
  constexpr descriptor() noexcept = default;
  constexpr explicit descriptor(int fd) noexcept : fd_(fd) {}
  descriptor(descriptor&& other) noexcept : fd_(other.release()) {}
  descriptor& operator=(descriptor&& other) noexcept {
    reset(other.release());
    return *this;
  }
  ~descriptor() { reset(); }

  [[nodiscard]] constexpr int get() const noexcept { return fd_; }
  [[nodiscard]] constexpr explicit operator bool() const noexcept { return fd_ >= 0; }

  /// Gives the descriptor away; nothing is closed.
  [[nodiscard]] constexpr int release() noexcept { return std::exchange(fd_, -1); }

  /// Closes the descriptor and owns `fd` instead. Keeps errno.
  void reset(int fd = -1) noexcept {
    const int old = std::exchange(fd_, fd);
    if (old >= 0) close_quietly(old);
  }

  /// Closes `fd` whatever the kernel says about it. Keeps errno.
  RONDO_EXPORT static void close_quietly(int fd) noexcept;

 private:
  int fd_ = -1;
};

/// Throws the std::system_error of an errno value; `what` says what was attempted, on what.
[[noreturn]] RONDO_EXPORT void throw_error(int error, const std::string& what);
[[noreturn]] RONDO_EXPORT void throw_error(int error, const char* what);

/// Makes the descriptor non-blocking or blocking. Returns 0 or an errno value.
[[nodiscard]] RONDO_EXPORT int set_non_blocking(int fd, bool on = true) noexcept;

}  // namespace os
}  // namespace v0
}  // namespace rondo
