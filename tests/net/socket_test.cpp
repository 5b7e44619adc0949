// SPDX-License-Identifier: MIT
// rondo tests: sockets and the view of a transport's one.
#include <rondo/socket.hpp>

#include "net/net_support.hpp"
#include "support/catch.hpp"
#include "support/fault_table.hpp"

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <system_error>
#include <type_traits>
#include <utility>

namespace {

using rondo::address;
namespace aio = rondo;

static_assert(!std::is_copy_constructible_v<aio::socket>);
static_assert(std::is_nothrow_move_constructible_v<aio::socket>);
static_assert(sizeof(aio::socket) == sizeof(int));

template <class F>
std::error_code code_of(F&& f) {
  try {
    f();
  } catch (const std::system_error& e) {
    return e.code();
  }
  return {};
}

bool is_non_blocking(int fd) { return (::fcntl(fd, F_GETFL) & O_NONBLOCK) != 0; }
bool closes_on_exec(int fd) { return (::fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0; }
bool is_open(int fd) { return ::fcntl(fd, F_GETFD) >= 0; }

TEST_CASE("socket: owns a descriptor", "[socket]") {
  aio::socket none;
  CHECK_FALSE(none);
  CHECK(none.fileno() == -1);
  none.close();

  aio::socket s(AF_INET, SOCK_STREAM);
  const int fd = s.fileno();
  CHECK(is_non_blocking(fd));
  CHECK(closes_on_exec(fd));
  CHECK(s.family() == AF_INET);
  CHECK(s.type() == SOCK_STREAM);
  CHECK(s.proto() == IPPROTO_TCP);
  aio::socket t = std::move(s);
  CHECK_FALSE(s);
  CHECK(t.fileno() == fd);
  t = aio::socket(AF_INET, SOCK_DGRAM);
  CHECK_FALSE(t.fileno() == fd);
  CHECK_FALSE(is_open(fd));
  const int released = t.release();
  CHECK(is_open(released));
  aio::socket again(released);
  again.close();
  again.close();
  CHECK_FALSE(is_open(released));
}

TEST_CASE("socket: takes a descriptor over", "[socket]") {
  const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
  {
    const aio::socket s(fd);
    CHECK(is_non_blocking(fd));
    CHECK(closes_on_exec(fd));
  }
  CHECK_FALSE(is_open(fd));

  std::array<int, 2> ends{};
  REQUIRE(::pipe(ends.data()) == 0);
  CHECK(code_of([&] { const aio::socket s(ends[0]); }) == std::errc::not_a_socket);
  CHECK(is_open(ends[0]));
  CHECK_FALSE(is_non_blocking(ends[0]));
  ::close(ends[0]);
  ::close(ends[1]);
  CHECK(code_of([] { const aio::socket s(-1); }) == std::errc::bad_file_descriptor);
}

TEST_CASE("socket: pair, names and shutdown", "[socket]") {
  auto [a, b] = aio::socket::pair();
  CHECK(is_non_blocking(a.fileno()));
  CHECK(closes_on_exec(b.fileno()));
  CHECK(a.getsockname().is_unix());
  CHECK(a.getpeername().path().empty());
  a.shutdown(SHUT_WR);
  char byte = 0;
  CHECK(::recv(b.fileno(), &byte, 1, 0) == 0);
  auto [c, d] = aio::socket::pair(AF_UNIX, SOCK_DGRAM);
  CHECK(c.type() == SOCK_DGRAM);
  const aio::socket copy = d.dup();
  CHECK(copy.fileno() != d.fileno());
  CHECK(closes_on_exec(copy.fileno()));
}

TEST_CASE("socket: bind, listen, accept", "[socket]") {
  rondo_test::listener server;
  CHECK(code_of([&] { static_cast<void>(server.get().accept()); }) ==
        std::errc::resource_unavailable_try_again);
  aio::socket client(AF_INET, SOCK_STREAM);
  CHECK(code_of([&] { static_cast<void>(client.getpeername()); }) == std::errc::not_connected);
  rondo::selector_event_loop loop;
  loop.run_until_complete(rondo::detail::connect_socket(loop, client, server.where()));
  auto [accepted, peer] = server.get().accept();
  CHECK(peer == client.getsockname());
  CHECK(accepted.getpeername() == peer);
  CHECK(is_non_blocking(accepted.fileno()));
  CHECK(closes_on_exec(accepted.fileno()));

  aio::socket other(AF_INET, SOCK_STREAM);
  try {
    other.bind(server.where());
    FAIL("bound twice");
  } catch (const std::system_error& e) {
    CHECK(e.code() == std::errc::address_in_use);
    CHECK(std::string(e.what()).find(server.where().to_string()) != std::string::npos);
  }
}

TEST_CASE("socket: options", "[socket]") {
  aio::socket s(AF_INET, SOCK_STREAM);
  s.set_option(SOL_SOCKET, SO_KEEPALIVE, 1);
  CHECK(s.get_option(SOL_SOCKET, SO_KEEPALIVE) == 1);
  const ::linger wanted{1, 3};
  s.set_option(SOL_SOCKET, SO_LINGER, std::as_bytes(std::span(&wanted, 1)));
  const std::string got = s.get_option(SOL_SOCKET, SO_LINGER, sizeof(::linger));
  REQUIRE(got.size() == sizeof(::linger));
  CHECK(std::memcmp(got.data(), &wanted, sizeof wanted) == 0);
  CHECK(code_of([&] { s.set_option(SOL_SOCKET, -1, 1); }) == std::errc::no_protocol_option);
  CHECK(code_of([&] { static_cast<void>(s.get_option(SOL_SOCKET, -1)); }) ==
        std::errc::no_protocol_option);
}

TEST_CASE("socket: an error of the kernel is thrown", "[socket]") {
  rondo_test::fault<&rondo::os::system_calls::socket> socket_call;
  socket_call.fail(1, EMFILE);
  CHECK(code_of([] { const aio::socket s(AF_INET, SOCK_STREAM); }) ==
        std::errc::too_many_files_open);
}

TEST_CASE("transport_socket: a view that knows when its owner has closed", "[socket]") {
  const rondo::transport_socket none;
  CHECK_FALSE(none);
  CHECK(none.fileno() == -1);

  aio::socket s(AF_INET, SOCK_STREAM);
  const auto shared = std::make_shared<rondo::detail::shared_descriptor>(s.fileno());
  const rondo::transport_socket view(shared);
  const rondo::transport_socket copy = view;
  CHECK(view.fileno() == s.fileno());
  CHECK(view.family() == AF_INET);
  CHECK(view.type() == SOCK_STREAM);
  CHECK(view.proto() == IPPROTO_TCP);
  view.set_option(SOL_SOCKET, SO_KEEPALIVE, 1);
  CHECK(copy.get_option(SOL_SOCKET, SO_KEEPALIVE) == 1);
  CHECK(view.getsockname() == s.getsockname());
  const aio::socket own = view.dup();
  CHECK(own.fileno() != s.fileno());
  shared->fd = -1;
  CHECK_FALSE(copy);
  CHECK(code_of([&] { static_cast<void>(copy.getsockname()); }) == std::errc::bad_file_descriptor);
  CHECK(code_of([&] { static_cast<void>(copy.dup()); }) == std::errc::bad_file_descriptor);
}

}  // namespace
