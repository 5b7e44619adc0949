// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Sockets and the view of a transport's one.
#include <rondo/socket.hpp>

#include "os/descriptor.hpp"
#include "os/syscalls.hpp"
#include "transport/raw_address.hpp"

#include <fmt/format.h>

#include <array>
#include <cerrno>
#include <stdexcept>
#include <system_error>

namespace rondo {
inline namespace v0 {
namespace {

using detail::raw_address;

constexpr int always = SOCK_NONBLOCK | SOCK_CLOEXEC;

void check(int result, const char* call) {
  if (result < 0) os::throw_error(errno, call);
}

void set_bytes(int fd, int level, int name, const void* value, std::size_t size) {
  if (os::sys.setsockopt(fd, level, name, value, static_cast<::socklen_t>(size)) < 0) {
    const int error = errno;
    os::throw_error(error, fmt::format("cannot set option {} of level {}", name, level));
  }
}

std::string get_bytes(int fd, int level, int name, std::size_t size) {
  std::string value(size, '\0');
  auto length = static_cast<::socklen_t>(size);
  if (os::sys.getsockopt(fd, level, name, value.data(), &length) < 0) {
    const int error = errno;
    os::throw_error(error, fmt::format("cannot get option {} of level {}", name, level));
  }
  value.resize(length);
  return value;
}

int get_int(int fd, int level, int name) {
  int value = 0;
  ::socklen_t length = sizeof value;
  if (os::sys.getsockopt(fd, level, name, &value, &length) < 0) {
    const int error = errno;
    os::throw_error(error, fmt::format("cannot get option {} of level {}", name, level));
  }
  return value;
}

address own_address(int fd) {
  raw_address raw;
  check(os::sys.getsockname(fd, raw.get(), &raw.size), "getsockname");
  return detail::to_address(raw);
}

address peer_address(int fd) {
  raw_address raw;
  check(os::sys.getpeername(fd, raw.get(), &raw.size), "getpeername");
  return detail::to_address(raw);
}

int duplicate(int fd) {
  const int copy = os::sys.fcntl(fd, F_DUPFD_CLOEXEC, 0);
  check(copy, "dup");
  return copy;
}

}  // namespace

socket::socket(int family, int type, int protocol)
    : fd_(os::sys.socket(family, type | always, protocol)) {
  if (fd_ < 0) {
    const int error = errno;
    os::throw_error(error, fmt::format("cannot make a socket of family {}, type {}, protocol {}",
                                       family, type, protocol));
  }
}

socket::socket(int fd) {
  // All checks come first: where one fails the descriptor stays the caller's.
  static_cast<void>(get_int(fd, SOL_SOCKET, SO_TYPE));
  if (const int error = os::set_non_blocking(fd); error != 0) os::throw_error(error, "fcntl");
  check(os::sys.fcntl(fd, F_SETFD, FD_CLOEXEC), "fcntl");
  fd_ = fd;
}

std::pair<rondo::socket, rondo::socket> socket::pair() { return pair(AF_UNIX, SOCK_STREAM); }

std::pair<rondo::socket, rondo::socket> socket::pair(int family, int type, int protocol) {
  std::array<int, 2> ends = {-1, -1};
  check(os::sys.socketpair(family, type | always, protocol, ends.data()), "socketpair");
  std::pair<rondo::socket, rondo::socket> result;
  result.first.fd_ = ends[0];
  result.second.fd_ = ends[1];
  return result;
}

void socket::bind(const address& where) {
  const raw_address raw = detail::to_raw(where);
  if (os::sys.bind(fd_, raw.get(), raw.size) < 0) {
    const int error = errno;
    os::throw_error(error, fmt::format("cannot bind to {}", where.to_string()));
  }
}

void socket::listen(int backlog) { check(os::sys.listen(fd_, backlog), "listen"); }

std::pair<rondo::socket, address> socket::accept() {
  raw_address raw;
  std::pair<rondo::socket, address> result;
  result.first.fd_ = os::sys.accept4(fd_, raw.get(), &raw.size, always);
  check(result.first.fd_, "accept");
  result.second = detail::to_address(raw);
  return result;
}

void socket::set_option(int level, int name, int value) {
  set_bytes(fd_, level, name, &value, sizeof value);
}
void socket::set_option(int level, int name, std::span<const std::byte> value) {
  set_bytes(fd_, level, name, value.data(), value.size());
}
int socket::get_option(int level, int name) const { return get_int(fd_, level, name); }
std::string socket::get_option(int level, int name, std::size_t size) const {
  return get_bytes(fd_, level, name, size);
}

address socket::getsockname() const { return own_address(fd_); }
address socket::getpeername() const { return peer_address(fd_); }
int socket::family() const { return get_int(fd_, SOL_SOCKET, SO_DOMAIN); }
int socket::type() const { return get_int(fd_, SOL_SOCKET, SO_TYPE); }
int socket::proto() const { return get_int(fd_, SOL_SOCKET, SO_PROTOCOL); }

void socket::shutdown(int how) { check(os::sys.shutdown(fd_, how), "shutdown"); }

rondo::socket socket::dup() const {
  rondo::socket copy;
  copy.fd_ = duplicate(fd_);
  return copy;
}

void socket::reset(int fd) noexcept {
  const int old = std::exchange(fd_, fd);
  if (old >= 0) os::descriptor::close_quietly(old);
}

int transport_socket::family() const { return get_int(fileno(), SOL_SOCKET, SO_DOMAIN); }
int transport_socket::type() const { return get_int(fileno(), SOL_SOCKET, SO_TYPE); }
int transport_socket::proto() const { return get_int(fileno(), SOL_SOCKET, SO_PROTOCOL); }
address transport_socket::getsockname() const { return own_address(fileno()); }
address transport_socket::getpeername() const { return peer_address(fileno()); }
void transport_socket::set_option(int level, int name, int value) const {
  set_bytes(fileno(), level, name, &value, sizeof value);
}
void transport_socket::set_option(int level, int name, std::span<const std::byte> value) const {
  set_bytes(fileno(), level, name, value.data(), value.size());
}
int transport_socket::get_option(int level, int name) const {
  return get_int(fileno(), level, name);
}
std::string transport_socket::get_option(int level, int name, std::size_t size) const {
  return get_bytes(fileno(), level, name, size);
}
void transport_socket::shutdown(int how) const {
  check(os::sys.shutdown(fileno(), how), "shutdown");
}
rondo::socket transport_socket::dup() const {
  os::descriptor copy(duplicate(fileno()));
  rondo::socket result(copy.get());
  static_cast<void>(copy.release());
  return result;
}

}  // namespace v0
}  // namespace rondo
