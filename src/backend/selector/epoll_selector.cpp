// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Readiness from epoll.
#include <rondo/selector.hpp>

#include "os/descriptor.hpp"
#include "os/syscalls.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <limits>

namespace rondo {
inline namespace v0 {
namespace {

constexpr std::size_t batch_size = 256;
constexpr std::int64_t nanoseconds_per_millisecond = 1'000'000;
constexpr std::int64_t nanoseconds_per_second = 1'000'000'000;

// Both directions are a few shifts, since three of the bits stand in the same order; no table.
static_assert(EPOLLIN == selector::readable);
static_assert(EPOLLOUT == selector::writable << 1U);
static_assert(EPOLLERR == selector::failed << 1U);
static_assert(EPOLLHUP == selector::hang_up << 1U);
static_assert(EPOLLRDHUP == selector::read_hang_up << 9U);
static_assert(EPOLLPRI << 5U == selector::urgent);

constexpr std::uint8_t to_ready(std::uint32_t events) noexcept {
  return static_cast<std::uint8_t>(
      (events & EPOLLIN) |
      ((events >> 1U) & (selector::writable | selector::failed | selector::hang_up)) |
      ((events >> 9U) & selector::read_hang_up) | ((events << 5U) & selector::urgent));
}

constexpr std::uint32_t to_epoll(std::uint32_t interest) noexcept {
  std::uint32_t events = (interest & selector::readable) | ((interest & selector::writable) << 1U) |
                         ((interest & selector::read_hang_up) << 9U);
  if ((interest & selector::edge) != 0) {
    events |= EPOLLET;
    // A receive stops at the urgent mark although more is there; without this event the reader of
    // an edge-triggered descriptor would take the short count for the end of the data.
    if ((interest & selector::readable) != 0) events |= EPOLLPRI;
  }
  if ((interest & selector::once) != 0) events |= EPOLLONESHOT;
  return events;
}

int control(int epoll, int action, int fd, std::uint8_t interest, std::uint64_t data) noexcept {
  epoll_event event{};
  event.events = to_epoll(interest);
  event.data.u64 = data;
  return os::sys.epoll_ctl(epoll, action, fd, &event) == 0 ? 0 : errno;
}

int milliseconds_of(std::int64_t nanoseconds) noexcept {
  if (nanoseconds <= 0) return 0;
  // Rounded up: waking early would spin until the deadline.
  const std::int64_t count = (nanoseconds - 1) / nanoseconds_per_millisecond + 1;
  return static_cast<int>(std::min<std::int64_t>(count, std::numeric_limits<int>::max()));
}

}  // namespace

epoll_selector::epoll_selector() : fd_(os::sys.epoll_create1(EPOLL_CLOEXEC)) {
  if (fd_ < 0) os::throw_error(errno, "epoll_create1");
}

epoll_selector::~epoll_selector() { os::descriptor::close_quietly(fd_); }

std::string_view epoll_selector::name() const noexcept { return "epoll"; }

bool epoll_selector::edge_triggered() const noexcept { return true; }

int epoll_selector::add(int fd, std::uint8_t interest, std::uint64_t data) noexcept {
  return control(fd_, EPOLL_CTL_ADD, fd, interest, data);
}

int epoll_selector::modify(int fd, std::uint8_t interest, std::uint64_t data) noexcept {
  return control(fd_, EPOLL_CTL_MOD, fd, interest, data);
}

int epoll_selector::remove(int fd) noexcept { return control(fd_, EPOLL_CTL_DEL, fd, 0, 0); }

std::ptrdiff_t epoll_selector::select(std::span<event> events,
                                      std::optional<interval> wait) noexcept {
  std::array<epoll_event, batch_size> found;  // NOLINT: the kernel fills what is read
  const int room = static_cast<int>(std::min(events.size(), found.size()));
  const std::int64_t nanoseconds = wait ? wait->count() : 0;
  int count = -1;
  // Whole milliseconds, zero among them, need no newer call than every kernel and sandbox has.
  if (nanoseconds_ && nanoseconds > 0 && nanoseconds % nanoseconds_per_millisecond != 0) {
    timespec limit{};
    limit.tv_sec = nanoseconds / nanoseconds_per_second;
    limit.tv_nsec = nanoseconds % nanoseconds_per_second;
    count = os::sys.epoll_pwait2(fd_, found.data(), room, &limit, nullptr);
    // EPERM: how some sandboxes refuse calls that they do not know.
    if (count < 0 && (errno == ENOSYS || errno == EPERM)) {
      nanoseconds_ = false;
      count = os::sys.epoll_wait(fd_, found.data(), room, milliseconds_of(nanoseconds));
    }
  } else {
    count = os::sys.epoll_wait(fd_, found.data(), room, wait ? milliseconds_of(nanoseconds) : -1);
  }
  if (count < 0) return errno == EINTR ? 0 : -errno;
  for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i) {
    events[i].data = found[i].data.u64;
    events[i].ready = to_ready(found[i].events);
  }
  return count;
}

int epoll_selector::reset() noexcept {
  const int fresh = os::sys.epoll_create1(EPOLL_CLOEXEC);
  if (fresh < 0) return errno;
  // Whoever polls descriptor() knows it by its number.
  const int error = os::sys.dup3(fresh, fd_, O_CLOEXEC) < 0 ? errno : 0;
  os::descriptor::close_quietly(fresh);
  return error;
}

int epoll_selector::descriptor() const noexcept { return fd_; }

}  // namespace v0
}  // namespace rondo
