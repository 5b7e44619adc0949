// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Starting a program in a child process.
#include "spawn.hpp"

#include "descriptor.hpp"
#include "syscalls.hpp"

#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <memory>
#include <new>

#if defined(__clang__)
#define RONDO_UNINSTRUMENTED \
  __attribute__((noinline, no_sanitize("address", "thread", "undefined")))
#else
#define RONDO_UNINSTRUMENTED \
  __attribute__((noinline, no_sanitize_address, no_sanitize_thread, no_sanitize_undefined))
#endif

// Present in programs with the thread sanitizer, whose clone() cannot share the memory.
extern "C" __attribute__((weak)) void __tsan_init();  // NOLINT: its name

namespace rondo {
inline namespace v0 {
namespace os {
namespace {

constexpr std::size_t stack_size = std::size_t{32} * 1024;
constexpr unsigned close_range_cloexec = 4;  // CLOSE_RANGE_CLOEXEC
constexpr int signal_count = 64;
constexpr std::size_t kernel_sigset_size = 8;

struct child_failure {
  int step;
  int error;
};

struct child_work {
  const spawn_plan* plan;
  int report;  // the pipe for a child_failure, or -1
  std::uint64_t mask;
  volatile bool shares_memory;
  volatile int failed_step;
  volatile int failed_with;
};

// ---- in the child ------------------------------------------------------------------
//
// Only system calls from here to the next line of this kind: the child shares the memory of its
// parent, whose other threads go on and may hold any lock. They are made by number, since the
// functions of the C library may do more (setuid() would change the parent's threads), and since
// sanitizers replace those.

RONDO_UNINSTRUMENTED long call(long number, long a = 0, long b = 0, long c = 0, long d = 0) {
  return ::syscall(number, a, b, c, d);
}

template <class T>
RONDO_UNINSTRUMENTED long word(T* pointer) {
  return reinterpret_cast<long>(pointer);  // NOLINT: what system calls take
}

[[noreturn]] RONDO_UNINSTRUMENTED void fail(child_work& work, spawn_step step, int error) {
  work.failed_with = error;
  work.failed_step = static_cast<int>(step);
  if (work.report >= 0) {
    child_failure failure = {static_cast<int>(step), error};
    call(SYS_write, work.report, word(&failure), sizeof failure);
  }
  for (;;) call(SYS_exit_group, 255);
}

RONDO_UNINSTRUMENTED void place_streams(child_work& work) {
  const spawn_plan& plan = *work.plan;
  int from[3] = {plan.stdio[0], plan.stdio[1], plan.stdio[2]};
  // First out of the way of each other.
  for (int i = 0; i < 3; ++i) {
    if (from[i] < 0 || from[i] > 2 || from[i] == i) continue;
    const long moved = call(SYS_fcntl, from[i], F_DUPFD_CLOEXEC, 3);
    if (moved < 0) fail(work, spawn_step::standard_streams, errno);
    from[i] = static_cast<int>(moved);
  }
  for (int i = 0; i < 3; ++i) {
    long result = 0;
    if (from[i] == i) {
      result = call(SYS_fcntl, i, F_SETFD, 0);
    } else if (from[i] >= 0) {
      result = call(SYS_dup3, from[i], i, 0);
    } else if (from[i] == spawn_plan::as_output) {
      result = call(SYS_dup3, 1, i, 0);
    }
    if (result < 0) fail(work, spawn_step::standard_streams, errno);
  }
}

// The descriptors that close_range() is not there for: as /proc lists them, or all numbers there
// may be.
RONDO_UNINSTRUMENTED void mark_one_by_one() {
  constexpr int most_numbers = 65536;
  const long listing =
      call(SYS_openat, AT_FDCWD, word("/proc/self/fd"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (listing < 0) {
    ::rlimit limit = {};
    if (call(SYS_prlimit64, 0, RLIMIT_NOFILE, 0, word(&limit)) != 0) limit.rlim_cur = most_numbers;
    const int end = limit.rlim_cur < most_numbers ? static_cast<int>(limit.rlim_cur) : most_numbers;
    for (int fd = 3; fd < end; ++fd) call(SYS_fcntl, fd, F_SETFD, FD_CLOEXEC);
    return;
  }
  alignas(8) char entries[2048];
  for (;;) {
    const long size = call(SYS_getdents64, listing, word(entries), sizeof entries);
    if (size <= 0) break;
    for (long at = 0; at < size;) {
      constexpr long length_at = 16;  // in a linux_dirent64
      constexpr long name_at = 19;
      const auto* const entry = entries + at;
      int fd = 0;
      for (const char* digit = entry + name_at; *digit >= '0' && *digit <= '9'; ++digit) {
        fd = fd * 10 + (*digit - '0');
      }
      if (fd > 2) call(SYS_fcntl, fd, F_SETFD, FD_CLOEXEC);
      at += static_cast<unsigned char>(entry[length_at]) |
            static_cast<unsigned char>(entry[length_at + 1]) << 8;
    }
  }
  call(SYS_close, listing);
}

RONDO_UNINSTRUMENTED void choose_descriptors(child_work& work) {
  const spawn_plan& plan = *work.plan;
  if (!plan.has_close_range ||
      call(SYS_close_range, 3, static_cast<long>(~0U), close_range_cloexec) != 0) {
    mark_one_by_one();
  }
  for (std::size_t i = 0; i < plan.passed_count; ++i) {
    if (call(SYS_fcntl, plan.passed[i], F_SETFD, 0) < 0) {
      fail(work, spawn_step::passed_descriptor, errno);
    }
  }
}

// A handler of the parent must not run here, in its memory. exec() would do the rest by itself.
RONDO_UNINSTRUMENTED void reset_signals(bool restore) {
#if defined(__mips__)
  constexpr std::size_t handler_at = 1;
#else
  constexpr std::size_t handler_at = 0;
#endif
  constexpr unsigned long ignored = 1;  // SIG_IGN
  for (int number = 1; number <= signal_count; ++number) {
    unsigned long action[8] = {};  // at least what the kernel calls a sigaction
    if (call(SYS_rt_sigaction, number, 0, word(action), kernel_sigset_size) != 0) continue;
    const unsigned long handler = action[handler_at];
    if (handler == 0) continue;
    if (handler == ignored && (!restore || (number != SIGPIPE && number != SIGXFSZ))) continue;
    const unsigned long standard[8] = {};
    call(SYS_rt_sigaction, number, word(standard), 0, kernel_sigset_size);
  }
}

RONDO_UNINSTRUMENTED void become(child_work& work) {
  const spawn_plan& plan = *work.plan;
  if (plan.directory != nullptr && call(SYS_chdir, word(plan.directory)) != 0) {
    fail(work, spawn_step::directory, errno);
  }
  if (plan.sets_umask) call(SYS_umask, static_cast<long>(plan.umask));
  if (plan.new_session && call(SYS_setsid) < 0) fail(work, spawn_step::session, errno);
  if (plan.sets_process_group && call(SYS_setpgid, 0, plan.process_group) != 0) {
    fail(work, spawn_step::process_group, errno);
  }
#if defined(SYS_setgroups32)
  constexpr long set_groups = SYS_setgroups32;
  constexpr long set_group = SYS_setresgid32;
  constexpr long set_user = SYS_setresuid32;
#else
  constexpr long set_groups = SYS_setgroups;
  constexpr long set_group = SYS_setresgid;
  constexpr long set_user = SYS_setresuid;
#endif
  if (plan.sets_groups &&
      call(set_groups, static_cast<long>(plan.group_count), word(plan.groups)) != 0) {
    fail(work, spawn_step::groups, errno);
  }
  if (plan.sets_group && call(set_group, plan.group, plan.group, plan.group) != 0) {
    fail(work, spawn_step::group, errno);
  }
  if (plan.sets_user && call(set_user, plan.user, plan.user, plan.user) != 0) {
    fail(work, spawn_step::user, errno);
  }
}

RONDO_UNINSTRUMENTED int run_child(void* argument) {
  auto& work = *static_cast<child_work*>(argument);
  const spawn_plan& plan = *work.plan;
  work.shares_memory = true;
  reset_signals(plan.restore_signals);
  place_streams(work);
  become(work);
  choose_descriptors(work);
  call(SYS_rt_sigprocmask, SIG_SETMASK, word(&work.mask), 0, kernel_sigset_size);
  // As a shell: another path may have it, and what counts is what was wrong with one that is there.
  int error = 0;
  for (const char* const* path = plan.paths; *path != nullptr; ++path) {
    call(SYS_execve, word(*path), word(plan.arguments), word(plan.environment));
    if (error == 0 && errno != ENOENT && errno != ENOTDIR) error = errno;
  }
  fail(work, spawn_step::execute, error != 0 ? error : errno);
}

// ---- in the parent -----------------------------------------------------------------

// Whether children share the memory: some tools that run programs (valgrind among them) make copies
// of it instead. Until the first child has shown it, and wherever they do, failures come by a pipe.
constinit std::atomic<bool> sharing_is_proved = false;

spawn_result failed_to_start(int error) noexcept {
  spawn_result result;
  result.failed = spawn_step::start;
  result.error = error;
  return result;
}

child_failure read_failure(int report) noexcept {
  child_failure failure = {0, 0};
  for (;;) {
    const ssize_t size = sys.read(report, &failure, sizeof failure);
    if (size < 0 && errno == EINTR) continue;
    if (size != static_cast<ssize_t>(sizeof failure)) failure = {0, 0};
    return failure;
  }
}

void reap(::pid_t pid) noexcept {
  ::siginfo_t info;
  while (sys.waitid(P_PID, static_cast<::id_t>(pid), &info, WEXITED) != 0 && errno == EINTR) {
  }
}

}  // namespace

spawn_result spawn(const spawn_plan& plan) noexcept {
  const bool copies =
      plan.sets_groups || plan.sets_group || plan.sets_user || __tsan_init != nullptr;
  descriptor report_from;
  descriptor report_to;
  if (copies || !sharing_is_proved.load(std::memory_order_relaxed)) {
    int ends[2] = {-1, -1};
    if (sys.pipe2(ends, O_CLOEXEC) != 0) return failed_to_start(errno);
    report_from.reset(ends[0]);
    report_to.reset(ends[1]);
  }
  const std::unique_ptr<char[]> stack(new (std::nothrow) char[stack_size]);
  if (stack == nullptr) return failed_to_start(ENOMEM);
  char* const top = stack.get() + stack_size - reinterpret_cast<std::uintptr_t>(stack.get()) % 16;

  // No handler of this process may run in the child before it has reset them all.
  ::sigset_t all;
  ::sigset_t before;
  sigfillset(&all);
  if (const int error = sys.pthread_sigmask(SIG_SETMASK, &all, &before); error != 0) {
    return failed_to_start(error);
  }
  child_work work = {&plan, report_to.get(), 0, false, 0, 0};
  if (!plan.restore_signals) {
    for (int number = 1; number <= signal_count; ++number) {
      if (sigismember(&before, number) == 1) work.mask |= std::uint64_t{1} << (number - 1);
    }
  }
  spawn_result result;
  const int mode = copies ? SIGCHLD : CLONE_VM | CLONE_VFORK | SIGCHLD;
  result.pid = sys.clone(run_child, top, mode | CLONE_PIDFD, &work, &result.pidfd);
  // Out of descriptors, or a kernel or sandbox that has none of that kind.
  if (result.pid < 0 && (errno == EMFILE || errno == ENFILE || errno == EINVAL)) {
    result.pidfd = -1;
    result.pid = sys.clone(run_child, top, mode, &work, &result.pidfd);
    result.pidfd = -1;
  }
  const int error = errno;
  sys.pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (result.pid < 0) return failed_to_start(error);

  child_failure failure = {work.failed_step, work.failed_with};
  if (work.shares_memory) {
    sharing_is_proved.store(true, std::memory_order_relaxed);
  } else if (report_from) {
    report_to.reset();
    failure = read_failure(report_from.get());
  }
  if (failure.step != 0) {
    if (result.pidfd >= 0) descriptor::close_quietly(result.pidfd);
    reap(result.pid);
    result = spawn_result();
    result.failed = static_cast<spawn_step>(failure.step);
    result.error = failure.error;
    return result;
  }
  if (result.pidfd < 0) result.pidfd = sys.pidfd_open(result.pid, 0);
  return result;
}

}  // namespace os
}  // namespace v0
}  // namespace rondo
