// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  The table of system calls, as it is outside of tests.
#include "os/syscalls.hpp"

#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

namespace rondo {
inline namespace v0 {
namespace os {
namespace {

// Variadic functions have no pointer type of their own: each gets the one form that is used here.
int open_with_mode(const char* path, int flags, mode_t mode) { return ::open(path, flags, mode); }

int fcntl_with_int(int fd, int command, int argument) { return ::fcntl(fd, command, argument); }

int ioctl_with_pointer(int fd, unsigned long request, void* argument) {
  return ::ioctl(fd, request, argument);
}

// glibc has it since 2.35; the number is the same on every architecture.
int epoll_pwait2_by_number(int epoll, ::epoll_event* events, int count, const ::timespec* wait,
                           const ::sigset_t* mask) {
#if defined(SYS_epoll_pwait2) && __SIZEOF_LONG__ == 8
  return static_cast<int>(
      ::syscall(SYS_epoll_pwait2, epoll, events, count, wait, mask, std::size_t{_NSIG / 8}));
#else
  static_cast<void>(epoll), static_cast<void>(events), static_cast<void>(count);
  static_cast<void>(wait), static_cast<void>(mask);
  errno = ENOSYS;
  return -1;
#endif
}

// The C library's declaration of the last parameter differs between versions.
int recvmmsg_untimed(int fd, ::mmsghdr* messages, unsigned count, int flags, ::timespec* wait) {
  return ::recvmmsg(fd, messages, count, flags, wait);
}

pid_t clone_with_pidfd(int (*function)(void*), void* stack, int flags, void* argument, int* pidfd) {
  return ::clone(function, stack, flags, argument, pidfd);
}

// glibc has them since 2.36.
int pidfd_open_by_number(pid_t process, unsigned flags) {
  constexpr long number = 434;
  return static_cast<int>(::syscall(number, process, flags));
}

int pidfd_send_signal_by_number(int pidfd, int signal) {
  constexpr long number = 424;
  return static_cast<int>(::syscall(number, pidfd, signal, nullptr, 0U));
}

}  // namespace

constinit system_calls sys{
    .socket = ::socket,
    .socketpair = ::socketpair,
    .bind = ::bind,
    .listen = ::listen,
    .accept4 = ::accept4,
    .connect = ::connect,
    .send = ::send,
    .sendto = ::sendto,
    .sendmsg = ::sendmsg,
    .sendmmsg = ::sendmmsg,
    .recv = ::recv,
    .recvfrom = ::recvfrom,
    .recvmsg = ::recvmsg,
    .recvmmsg = recvmmsg_untimed,
    .getsockopt = ::getsockopt,
    .setsockopt = ::setsockopt,
    .getsockname = ::getsockname,
    .getpeername = ::getpeername,
    .shutdown = ::shutdown,

    .open = open_with_mode,
    .close = ::close,
    .read = ::read,
    .readv = ::readv,
    .pread = ::pread,
    .write = ::write,
    .writev = ::writev,
    .pwrite = ::pwrite,
    .pwritev2 = ::pwritev2,
    .sendfile = ::sendfile,
    .splice = ::splice,
    .lseek = ::lseek,
    .fsync = ::fsync,
    .fcntl = fcntl_with_int,
    .ioctl = ioctl_with_pointer,
    .dup = ::dup,
    .dup3 = ::dup3,
    .pipe2 = ::pipe2,
    .unlink = ::unlink,
    .stat = ::stat,
    .lstat = ::lstat,
    .fstat = ::fstat,
    .memfd_create = ::memfd_create,

    .epoll_create1 = ::epoll_create1,
    .epoll_ctl = ::epoll_ctl,
    .epoll_wait = ::epoll_wait,
    .epoll_pwait2 = epoll_pwait2_by_number,
    .poll = ::poll,
    .select = ::select,
    .eventfd = ::eventfd,

    .clock_gettime = ::clock_gettime,
    .sigaction = ::sigaction,
    .pthread_sigmask = ::pthread_sigmask,
    .sigtimedwait = ::sigtimedwait,
    .raise = ::raise,
    .kill = ::kill,
    .getpid = ::getpid,
    .fork = ::fork,
    .waitpid = ::waitpid,
    .waitid = ::waitid,
    .exit_at_once = ::_exit,
    .pthread_create = ::pthread_create,
    .clone = clone_with_pidfd,
    .pidfd_open = pidfd_open_by_number,
    .pidfd_send_signal = pidfd_send_signal_by_number,

    .getaddrinfo = ::getaddrinfo,
    .freeaddrinfo = ::freeaddrinfo,
    .getnameinfo = ::getnameinfo,
    .gai_strerror = ::gai_strerror,
    .if_nametoindex = ::if_nametoindex,
    .if_indextoname = ::if_indextoname,
};

}  // namespace os
}  // namespace v0
}  // namespace rondo
