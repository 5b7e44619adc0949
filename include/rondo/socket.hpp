// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Sockets: owned descriptors, and the view of a transport's one.
#pragma once

#include <rondo/address.hpp>
#include <rondo/detail/export.hpp>

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <utility>

namespace rondo {
inline namespace v0 {

/// Owns a socket, which is always non-blocking and close-on-exec.
///
/// Families, types, levels and options are the numbers of the system's headers. To send, receive
/// and connect with it, use the `sock_*` functions of the loop, or give it to a transport.
///
/// @par asyncio
/// `socket.socket` with `setblocking(False)`.
/// @par Thread safety
/// As an int; the loop that uses it must not be using it.
class RONDO_EXPORT socket {
 public:
  /// No socket: `fileno()` is -1.
  socket() noexcept = default;
  /// @throws std::system_error  the kernel gives none
  socket(int family, int type, int protocol = 0);
  /// Takes a descriptor over and makes it non-blocking and close-on-exec.
  /// @throws std::system_error  it is no socket; it stays the caller's
  explicit socket(int fd);

  socket(socket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  socket& operator=(socket&& other) noexcept {
    reset(std::exchange(other.fd_, -1));
    return *this;
  }
  ~socket() { reset(-1); }

  /// Two stream sockets that are connected to each other.
  [[nodiscard]] static std::pair<rondo::socket, rondo::socket> pair();
  /// The same of another kind.
  [[nodiscard]] static std::pair<rondo::socket, rondo::socket> pair(int family, int type,
                                                                    int protocol = 0);

  /// @throws std::system_error  with the address in its text
  void bind(const address& where);
  /// @param backlog  how many connections may wait to be accepted
  void listen(int backlog = 128);
  /// Accepts a connection that is there; `event_loop::sock_accept` waits for one.
  /// @throws std::system_error  EAGAIN: there is none
  [[nodiscard]] std::pair<rondo::socket, address> accept();

  void set_option(int level, int name, int value);
  void set_option(int level, int name, std::span<const std::byte> value);
  [[nodiscard]] int get_option(int level, int name) const;
  /// The option's bytes, at most `size`.
  [[nodiscard]] std::string get_option(int level, int name, std::size_t size) const;

  [[nodiscard]] address getsockname() const;
  [[nodiscard]] address getpeername() const;
  /// AF_*, SOCK_* and IPPROTO_* numbers, as the kernel says.
  [[nodiscard]] int family() const;
  [[nodiscard]] int type() const;
  [[nodiscard]] int proto() const;

  /// The descriptor; -1 after `close` and `release`.
  [[nodiscard]] int fileno() const noexcept { return fd_; }
  [[nodiscard]] explicit operator bool() const noexcept { return fd_ >= 0; }
  /// Gives the descriptor away, open.
  [[nodiscard]] int release() noexcept { return std::exchange(fd_, -1); }
  /// Closes it; idempotent.
  void close() noexcept { reset(-1); }
  /// Ends one direction or both: SHUT_RD, SHUT_WR, SHUT_RDWR.
  void shutdown(int how);
  /// Another descriptor of the same socket.
  [[nodiscard]] rondo::socket dup() const;

 private:
  void reset(int fd) noexcept;

  int fd_ = -1;
};

namespace detail {

/// What views of a transport's socket share with the transport, which sets it to -1 when it closes.
struct shared_descriptor {
  explicit shared_descriptor(int descriptor) noexcept : fd(descriptor) {}
  int fd;
};

}  // namespace detail

/// A transport's or server's socket, without what would take it away from its owner.
///
/// Copies name the same socket. When the owner has closed it, `fileno` is -1 and all else fails
/// with EBADF.
///
/// @par asyncio
/// `asyncio.trsock.TransportSocket`
/// @par Thread safety
/// The loop's thread only.
class RONDO_EXPORT transport_socket {
 public:
  /// No socket.
  transport_socket() noexcept = default;

  [[nodiscard]] int fileno() const noexcept { return shared_ ? shared_->fd : -1; }
  [[nodiscard]] explicit operator bool() const noexcept { return fileno() >= 0; }
  [[nodiscard]] int family() const;
  [[nodiscard]] int type() const;
  [[nodiscard]] int proto() const;
  [[nodiscard]] address getsockname() const;
  [[nodiscard]] address getpeername() const;
  void set_option(int level, int name, int value) const;
  void set_option(int level, int name, std::span<const std::byte> value) const;
  [[nodiscard]] int get_option(int level, int name) const;
  [[nodiscard]] std::string get_option(int level, int name, std::size_t size) const;
  void shutdown(int how) const;
  /// A socket of one's own, on another descriptor.
  [[nodiscard]] rondo::socket dup() const;

  // For the library.
  explicit transport_socket(std::shared_ptr<const detail::shared_descriptor> shared) noexcept
      : shared_(std::move(shared)) {}

 private:
  std::shared_ptr<const detail::shared_descriptor> shared_;
};

}  // namespace v0
}  // namespace rondo
