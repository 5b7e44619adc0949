// SPDX-License-Identifier: MIT
// rondo tests: the table of system calls, and the helper that makes its entries fail.
#include "support/fault_table.hpp"
#include "os/descriptor.hpp"
#include "os/syscalls.hpp"
#include "support/catch.hpp"

#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <string>
#include <system_error>

namespace os = rondo::os;
using os::system_calls;
using rondo_test::fault;

namespace {

// Static initialisation of this file comes before main, perhaps before that of the table's file.
const pid_t early = os::sys.getpid();

struct pair_of_sockets {
  pair_of_sockets() {
    std::array<int, 2> fds{};
    REQUIRE(os::sys.socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds.data()) == 0);
    left = os::descriptor(fds[0]);
    right = os::descriptor(fds[1]);
  }
  os::descriptor left;
  os::descriptor right;
};

}  // namespace

TEST_CASE("the table is usable during static initialisation") { CHECK(early == ::getpid()); }

TEST_CASE("call n fails with the errno value that was asked for") {
  pair_of_sockets pair;
  fault<&system_calls::send> send;
  send.fail(2, EPIPE).fail(4, EINTR, 2);
  std::array<int, 6> results{};
  for (int& result : results) {
    errno = 0;
    result = os::sys.send(pair.left.get(), "x", 1, 0) == 1 ? 0 : errno;
  }
  CHECK(results == std::array<int, 6>{0, EPIPE, 0, EINTR, EINTR, 0});
  CHECK(send.calls() == 6);
  CHECK(send.failed() == 3);
  send.fail_next(ENOBUFS);
  CHECK(os::sys.send(pair.left.get(), "x", 1, 0) == -1);
  CHECK(errno == ENOBUFS);
  send.heal();
  send.fail_every_other(EINTR);
  send.restart();
  CHECK(os::sys.send(pair.left.get(), "x", 1, 0) == -1);
  CHECK(os::sys.send(pair.left.get(), "x", 1, 0) == 1);
}

TEST_CASE("transfers come short") {
  pair_of_sockets pair;
  std::string room(16, '\0');
  iovec part{room.data(), room.size()};
  std::array<iovec, 2> parts{iovec{room.data(), 2}, iovec{room.data() + 2, 14}};
  msghdr message{};
  message.msg_iov = parts.data();
  message.msg_iovlen = parts.size();
  {
    fault<&system_calls::send> send;
    fault<&system_calls::write> write;
    fault<&system_calls::writev> gather;
    fault<&system_calls::sendmsg> message_call;
    fault<&system_calls::sendto> to;
    send.at_most(1);
    write.at_most(2);
    gather.at_most(3);
    message_call.at_most(3);
    to.at_most(4);
    CHECK(os::sys.send(pair.left.get(), "12345", 5, 0) == 1);
    CHECK(os::sys.write(pair.left.get(), "12345", 5) == 2);
    CHECK(os::sys.writev(pair.left.get(), parts.data(), 2) == 3);
    CHECK(os::sys.sendmsg(pair.left.get(), &message, 0) == 3);
    CHECK(os::sys.sendto(pair.left.get(), "12345", 5, 0, nullptr, 0) == 4);
  }
  CHECK(os::sys.send(pair.left.get(), "12345", 5, 0) == 5);
  fault<&system_calls::recv> recv;
  fault<&system_calls::read> read;
  fault<&system_calls::readv> scatter;
  fault<&system_calls::recvmsg> message_call;
  recv.at_most(1);
  read.at_most(2);
  scatter.at_most(3);
  message_call.at_most(3);
  CHECK(os::sys.recv(pair.right.get(), room.data(), room.size(), 0) == 1);
  CHECK(os::sys.read(pair.right.get(), room.data(), room.size()) == 2);
  CHECK(os::sys.readv(pair.right.get(), &part, 1) == 3);
  CHECK(os::sys.recvmsg(pair.right.get(), &message, 0) == 3);
}

TEST_CASE("a hook replaces a call or lets it through") {
  fault<&system_calls::getpid> process;
  int seen = 0;
  process.hook([&]() -> std::optional<pid_t> {
    if (++seen == 1) return 4711;
    return std::nullopt;
  });
  CHECK(os::sys.getpid() == 4711);
  CHECK(os::sys.getpid() == ::getpid());
}

TEST_CASE("calls that return what is wrong fail with it") {
  fault<&system_calls::getaddrinfo> resolve;
  fault<&system_calls::freeaddrinfo> release;
  resolve.fail(1, EAI_AGAIN);
  addrinfo* list = nullptr;
  CHECK(os::sys.getaddrinfo("127.0.0.1", nullptr, nullptr, &list) == EAI_AGAIN);
  CHECK(os::sys.getaddrinfo("127.0.0.1", nullptr, nullptr, &list) == 0);
  os::sys.freeaddrinfo(list);
  CHECK(release.calls() == 1);
}

TEST_CASE("everything is put back") {
  const system_calls before = os::sys;
  {
    const fault<&system_calls::recv> recv;
    CHECK(os::sys.recv != before.recv);
  }
  CHECK(os::sys.recv == before.recv);
  {
    const rondo_test::restore_system_calls restore;
    os::sys.close = nullptr;
  }
  CHECK(os::sys.close == before.close);
}

TEST_CASE("a descriptor closes what it owns, once") {
  std::array<int, 2> fds{};
  REQUIRE(os::sys.pipe2(fds.data(), O_CLOEXEC) == 0);
  const auto is_open = [](int fd) { return os::sys.fcntl(fd, F_GETFD, 0) >= 0; };
  {
    os::descriptor first(fds[0]);
    os::descriptor second = std::move(first);
    CHECK_FALSE(first);
    CHECK(second.get() == fds[0]);
    second = os::descriptor(fds[1]);
    CHECK_FALSE(is_open(fds[0]));
    const int given = second.release();
    CHECK(given == fds[1]);
    CHECK_FALSE(second);
  }
  CHECK(is_open(fds[1]));
  errno = ERANGE;
  {
    fault<&system_calls::close> close;
    close.hook([](int fd) -> std::optional<int> {
      ::close(fd);
      errno = EINTR;
      return -1;
    });
    os::descriptor owner(fds[1]);
    errno = ERANGE;
    owner.reset();
    CHECK(close.calls() == 1);  // not again, although it was interrupted
  }
  CHECK(errno == ERANGE);
  CHECK_FALSE(is_open(fds[1]));
}

TEST_CASE("errors carry their number and what was attempted") {
  try {
    os::throw_error(ENOSPC, "saving 'x'");
    FAIL("no exception");
  } catch (const std::system_error& caught) {
    CHECK(caught.code() == std::errc::no_space_on_device);
    CHECK(std::string(caught.what()).find("saving 'x'") == 0);
  }
}

TEST_CASE("descriptors become non-blocking and blocking again") {
  pair_of_sockets pair;
  const int fd = pair.left.get();
  CHECK((os::sys.fcntl(fd, F_GETFL, 0) & O_NONBLOCK) == 0);
  CHECK(os::set_non_blocking(fd) == 0);
  CHECK((os::sys.fcntl(fd, F_GETFL, 0) & O_NONBLOCK) != 0);
  CHECK(os::set_non_blocking(fd, false) == 0);
  CHECK((os::sys.fcntl(fd, F_GETFL, 0) & O_NONBLOCK) == 0);
  CHECK(os::set_non_blocking(-1) == EBADF);
}
