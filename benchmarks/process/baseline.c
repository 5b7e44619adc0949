// SPDX-License-Identifier: MIT
// rondo benchmarks: the baseline of starting programs, written by hand.
//
// posix_spawn or vfork, a pidfd for each child, epoll, waitid: what a careful C program does that
// follows several children at a time. Usage: see spawn_common.h.
#define _GNU_SOURCE
#include "spawn_common.h"

#include <spawn.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/wait.h>

extern char** environ;

static int epoll;

static pid_t spawn_posix(void) {
  char* const arguments[] = {(char*)program, NULL};
  posix_spawnattr_t attributes;
  sigset_t none, defaults;
  sigemptyset(&none);
  sigemptyset(&defaults);
  sigaddset(&defaults, SIGPIPE);
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &defaults);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  pid_t pid;
  if (posix_spawn(&pid, program, NULL, &attributes, arguments, environ) != 0) fail("posix_spawn");
  posix_spawnattr_destroy(&attributes);
  return pid;
}

static pid_t spawn_vfork(void) {
  char* const arguments[] = {(char*)program, NULL};
  const pid_t pid = vfork();
  if (pid < 0) fail("vfork");
  if (pid == 0) {
    execve(program, arguments, environ);
    _exit(127);
  }
  return pid;
}

static void start(void) {
  const pid_t pid = use_vfork ? spawn_vfork() : spawn_posix();
  const int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
  if (pidfd < 0) fail("pidfd_open");
  struct epoll_event event = {.events = EPOLLIN, .data.u64 = (uint32_t)pidfd};
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, pidfd, &event) != 0) fail("epoll_ctl");
}

int main(int argc, char** argv) {
  read_arguments(argc, argv);
  epoll = epoll_create1(EPOLL_CLOEXEC);
  begin_measuring();
  long started = 0, ended = 0;
  while (started < parallel && started < count) {
    start();
    ++started;
  }
  while (ended < count) {
    struct epoll_event events[64];
    const int ready = epoll_wait(epoll, events, 64, -1);
    for (int i = 0; i < ready; ++i) {
      const int pidfd = (int)events[i].data.u64;
      siginfo_t info;
      if (waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED) != 0 || info.si_status != 0) fail("waitid");
      close(pidfd);
      ++ended;
      if (started < count) {
        start();
        ++started;
      }
    }
  }
  end_measuring();
  return 0;
}
