// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  A descriptor on its way to a pipe transport.
#pragma once

#include <rondo/coro.hpp>
#include <rondo/detail/export.hpp>
#include <rondo/fwd.hpp>

#include <cstdint>
#include <memory>
#include <utility>

namespace rondo {
inline namespace v0 {
namespace detail {

enum class pipe_side : std::uint8_t { read, write };

/// Owns a descriptor until a transport has it.
class pipe_end {
 public:
  /// @throws std::invalid_argument  it is neither a pipe, a socket nor a terminal or another device
  /// of that kind; it stays the caller's, as it does when the other exceptions are thrown
  /// @throws std::system_error  it is not open
  RONDO_EXPORT pipe_end(int fd, pipe_side side);
  pipe_end(pipe_end&& other) noexcept : fd_(std::exchange(other.fd_, -1)), side_(other.side_) {}
  pipe_end& operator=(pipe_end&&) = delete;
  RONDO_EXPORT ~pipe_end();

  [[nodiscard]] pipe_side side() const noexcept { return side_; }
  [[nodiscard]] int release() noexcept { return std::exchange(fd_, -1); }

 private:
  int fd_;
  pipe_side side_;
};

/// Opens a transport for one end of a pipe and waits until connection_made was called.
[[nodiscard]] RONDO_EXPORT coro<std::shared_ptr<transport>> attach_pipe(
    event_loop& loop, pipe_end end, std::shared_ptr<base_protocol> attached);

}  // namespace detail
}  // namespace v0
}  // namespace rondo
