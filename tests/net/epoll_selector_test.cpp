// SPDX-License-Identifier: MIT
// rondo tests: the epoll selector on its own.
#include "net/selector_harness.hpp"

#include <rondo/selector.hpp>

using namespace selector_test;
using rondo::epoll_selector;
using rondo::interval;
using rondo::selector;

namespace {

std::chrono::nanoseconds time_of(selector& source, std::optional<interval> wait) {
  std::array<selector::event, 4> events{};
  const auto begin = std::chrono::steady_clock::now();
  CHECK(source.select(events, wait) == 0);
  return std::chrono::steady_clock::now() - begin;
}

}  // namespace

TEST_CASE("waits are as long as asked for, to the nanosecond where the kernel can") {
  epoll_selector source;
  CHECK(time_of(source, interval(250us)) >= 250us);
  CHECK(time_of(source, interval(3ms)) >= 3ms);
  CHECK(time_of(source, interval()) < 1s);
  CHECK(time_of(source, interval(-5s)) < 1s);
}

TEST_CASE("short waits are rounded up where the kernel has no finer ones") {
  const int error = GENERATE(ENOSYS, EPERM);
  epoll_selector source;
  fault<&system_calls::epoll_pwait2> precise;
  fault<&system_calls::epoll_wait> wait;
  precise.fail_always(error);
  std::vector<int> milliseconds;
  wait.hook([&](int, epoll_event*, int, int limit) -> std::optional<int> {
    milliseconds.push_back(limit);
    return 0;
  });
  time_of(source, interval(1ns));
  time_of(source, interval(1'000'001ns));
  time_of(source, interval(2ms));
  time_of(source, interval::max());
  time_of(source, interval(24h));
  time_of(source, std::nullopt);
  time_of(source, interval::from_count(std::numeric_limits<std::int64_t>::min()));
  CHECK(milliseconds ==
        std::vector<int>{1, 2, 2, std::numeric_limits<int>::max(), 86'400'000, -1, 0});
  CHECK(precise.calls() == 1);  // asked once
}

TEST_CASE("the longest wait does not overflow", "[fault-I4]") {
  epoll_selector source;
  fault<&system_calls::epoll_pwait2> precise;
  timespec seen{};
  precise.hook(
      [&](int, epoll_event*, int, const timespec* limit, const sigset_t*) -> std::optional<int> {
        seen = *limit;
        return 0;
      });
  time_of(source, interval::max());
  CHECK(seen.tv_sec == 9'223'372'036);
  CHECK(seen.tv_nsec == 854'775'807);
}

TEST_CASE("the longest wait is accepted by the kernel", "[fault-I4]") {
  epoll_selector source;
  pipe_pair pipe;
  REQUIRE(source.add(pipe.read_end.get(), selector::readable, 7) == 0);
  put(pipe.write_end, "x");
  std::array<selector::event, 4> events{};
  CHECK(source.select(events, interval::max()) == 1);
  CHECK(events[0].data == 7);
}

TEST_CASE("readiness has the bits that it was asked for") {
  epoll_selector source;
  socket_pair pair;
  std::array<selector::event, 4> events{};
  const int fd = pair.ours.get();
  REQUIRE(source.add(fd, selector::readable | selector::writable | selector::read_hang_up, 42) ==
          0);
  REQUIRE(source.select(events, interval()) == 1);
  CHECK(events[0].data == 42);
  CHECK(events[0].ready == selector::writable);
  put(pair.peer, "x");
  REQUIRE(source.modify(fd, selector::readable, 43) == 0);
  REQUIRE(source.select(events, interval()) == 1);
  CHECK(events[0].data == 43);
  CHECK(events[0].ready == selector::readable);
  pair.peer.reset();
  REQUIRE(source.modify(fd, selector::readable | selector::read_hang_up, 44) == 0);
  REQUIRE(source.select(events, interval()) == 1);
  CHECK(events[0].ready == (selector::readable | selector::read_hang_up | selector::hang_up));
  CHECK(source.remove(fd) == 0);
  CHECK(source.select(events, interval()) == 0);
  pipe_pair pipe;
  REQUIRE(source.add(pipe.write_end.get(), 0, 45) == 0);
  pipe.read_end.reset();
  REQUIRE(source.select(events, interval()) == 1);
  CHECK(events[0].ready == selector::failed);
}

TEST_CASE("an edge is reported once, and `once` until it is asked for again") {
  epoll_selector source;
  socket_pair pair;
  std::array<selector::event, 4> events{};
  const int fd = pair.ours.get();
  put(pair.peer, "x");
  REQUIRE(source.add(fd, selector::readable | selector::edge, 1) == 0);
  CHECK(source.select(events, interval()) == 1);
  CHECK(source.select(events, interval()) == 0);
  put(pair.peer, "y");
  CHECK(source.select(events, interval()) == 1);
  REQUIRE(source.modify(fd, selector::readable | selector::once, 2) == 0);
  CHECK(source.select(events, interval()) == 1);
  put(pair.peer, "z");
  CHECK(source.select(events, interval()) == 0);
  REQUIRE(source.modify(fd, selector::readable, 3) == 0);
  CHECK(source.select(events, interval()) == 1);
  CHECK(source.select(events, interval()) == 1);
}

TEST_CASE("errors of registrations are errno values") {
  epoll_selector source;
  socket_pair pair;
  const int fd = pair.ours.get();
  CHECK(source.modify(fd, selector::readable, 0) == ENOENT);
  CHECK(source.remove(fd) == ENOENT);
  CHECK(source.add(fd, selector::readable, 0) == 0);
  CHECK(source.add(fd, selector::readable, 0) == EEXIST);
  CHECK(source.add(-1, selector::readable, 0) == EBADF);
  CHECK(source.add(source.descriptor(), selector::readable, 0) == EINVAL);
}

TEST_CASE("reset forgets everything and keeps the number") {
  epoll_selector source;
  socket_pair pair;
  std::array<selector::event, 4> events{};
  REQUIRE(source.add(pair.ours.get(), selector::writable, 1) == 0);
  const int number = source.descriptor();
  const std::size_t before = open_descriptors();
  REQUIRE(source.reset() == 0);
  CHECK(open_descriptors() == before);
  CHECK(source.descriptor() == number);
  CHECK((::fcntl(number, F_GETFD) & FD_CLOEXEC) != 0);
  CHECK(source.select(events, interval()) == 0);
  CHECK(source.add(pair.ours.get(), selector::writable, 2) == 0);
  CHECK(source.select(events, interval()) == 1);
  fault<&system_calls::epoll_create1> create;
  create.fail_always(EMFILE);
  CHECK(source.reset() == EMFILE);
  CHECK(source.select(events, interval()) == 1);
}
