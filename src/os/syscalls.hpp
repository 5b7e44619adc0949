// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Every call of the kernel, in one table that tests replace.
#pragma once

#include <rondo/detail/export.hpp>

#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>

#include <cstddef>

namespace rondo {
inline namespace v0 {
namespace os {

/// The system calls of the library, each with its usual signature and errno.
///
/// Nothing else in the library calls the kernel (tools/check-syscalls proves it), so that a test
/// can make any call of any kind fail. Entries may be replaced while no other thread uses the
/// library.
struct system_calls {
  // ---- sockets
  int (*socket)(int domain, int type, int protocol);
  int (*socketpair)(int domain, int type, int protocol, int fds[2]);
  int (*bind)(int fd, const ::sockaddr* address, socklen_t size);
  int (*listen)(int fd, int backlog);
  int (*accept4)(int fd, ::sockaddr* address, socklen_t* size, int flags);
  int (*connect)(int fd, const ::sockaddr* address, socklen_t size);
  ssize_t (*send)(int fd, const void* data, std::size_t size, int flags);
  ssize_t (*sendto)(int fd, const void* data, std::size_t size, int flags,
                    const ::sockaddr* address, socklen_t address_size);
  ssize_t (*sendmsg)(int fd, const ::msghdr* message, int flags);
  int (*sendmmsg)(int fd, ::mmsghdr* messages, unsigned count, int flags);
  ssize_t (*recv)(int fd, void* data, std::size_t size, int flags);
  ssize_t (*recvfrom)(int fd, void* data, std::size_t size, int flags, ::sockaddr* address,
                      socklen_t* address_size);
  ssize_t (*recvmsg)(int fd, ::msghdr* message, int flags);
  int (*recvmmsg)(int fd, ::mmsghdr* messages, unsigned count, int flags, ::timespec* wait);
  int (*getsockopt)(int fd, int level, int name, void* value, socklen_t* size);
  int (*setsockopt)(int fd, int level, int name, const void* value, socklen_t size);
  int (*getsockname)(int fd, ::sockaddr* address, socklen_t* size);
  int (*getpeername)(int fd, ::sockaddr* address, socklen_t* size);
  int (*shutdown)(int fd, int how);

  // ---- descriptors and files
  int (*open)(const char* path, int flags, mode_t mode);
  int (*close)(int fd);
  ssize_t (*read)(int fd, void* data, std::size_t size);
  ssize_t (*readv)(int fd, const ::iovec* parts, int count);
  ssize_t (*pread)(int fd, void* data, std::size_t size, off_t offset);
  ssize_t (*write)(int fd, const void* data, std::size_t size);
  ssize_t (*writev)(int fd, const ::iovec* parts, int count);
  ssize_t (*pwrite)(int fd, const void* data, std::size_t size, off_t offset);
  ssize_t (*pwritev2)(int fd, const ::iovec* parts, int count, off_t offset, int flags);
  ssize_t (*sendfile)(int out, int in, off_t* offset, std::size_t size);
  ssize_t (*splice)(int in, off_t* in_offset, int out, off_t* out_offset, std::size_t size,
                    unsigned flags);
  off_t (*lseek)(int fd, off_t offset, int whence);
  int (*fsync)(int fd);
  int (*fcntl)(int fd, int command, int argument);
  int (*ioctl)(int fd, unsigned long request, void* argument);
  int (*dup)(int fd);
  int (*dup3)(int from, int to, int flags);
  int (*pipe2)(int fds[2], int flags);
  int (*unlink)(const char* path);
  int (*stat)(const char* path, struct ::stat* result);
  int (*lstat)(const char* path, struct ::stat* result);
  int (*fstat)(int fd, struct ::stat* result);
  int (*memfd_create)(const char* name, unsigned flags);

  // ---- readiness
  int (*epoll_create1)(int flags);
  int (*epoll_ctl)(int epoll, int action, int fd, ::epoll_event* event);
  int (*epoll_wait)(int epoll, ::epoll_event* events, int count, int milliseconds);
  int (*epoll_pwait2)(int epoll, ::epoll_event* events, int count, const ::timespec* wait,
                      const ::sigset_t* mask);
  int (*poll)(::pollfd* fds, nfds_t count, int milliseconds);
  int (*select)(int count, ::fd_set* reads, ::fd_set* writes, ::fd_set* errors, ::timeval* wait);
  int (*eventfd)(unsigned initial, int flags);

  // ---- time, signals, processes
  int (*clock_gettime)(clockid_t clock, ::timespec* result);
  int (*sigaction)(int signal, const struct ::sigaction* action, struct ::sigaction* previous);
  int (*pthread_sigmask)(int how, const ::sigset_t* mask, ::sigset_t* previous);
  int (*sigtimedwait)(const ::sigset_t* set, ::siginfo_t* found, const ::timespec* wait);
  int (*raise)(int signal);
  int (*kill)(pid_t process, int signal);
  pid_t (*getpid)();
  pid_t (*fork)();
  pid_t (*waitpid)(pid_t process, int* status, int flags);
  int (*waitid)(idtype_t kind, id_t which, ::siginfo_t* found, int flags);
  void (*exit_at_once)(int status);  // _exit
  int (*pthread_create)(pthread_t* made, const pthread_attr_t* attributes, void* (*entry)(void*),
                        void* argument);
  pid_t (*clone)(int (*function)(void*), void* stack, int flags, void* argument, int* pidfd);
  int (*pidfd_open)(pid_t process, unsigned flags);
  int (*pidfd_send_signal)(int pidfd, int signal);

  // ---- names
  int (*getaddrinfo)(const char* host, const char* service, const ::addrinfo* hints,
                     ::addrinfo** result);
  void (*freeaddrinfo)(::addrinfo* list);
  int (*getnameinfo)(const ::sockaddr* address, socklen_t size, char* host, socklen_t host_size,
                     char* service, socklen_t service_size, int flags);
  const char* (*gai_strerror)(int code);
  unsigned (*if_nametoindex)(const char* name);
  char* (*if_indextoname)(unsigned index, char* name);
};

/// The table in use. Initialised at compile time, so that static constructors may use it.
extern RONDO_EXPORT system_calls sys;

}  // namespace os
}  // namespace v0
}  // namespace rondo
