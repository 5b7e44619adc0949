// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Starting a program in a child process.
#pragma once

#include <rondo/detail/export.hpp>

#include <sys/types.h>

#include <cstddef>

namespace rondo {
inline namespace v0 {
namespace os {

/// Everything about a child that its parent decides. The child uses the memory of its parent, which
/// stands still meanwhile: nothing here may own anything, and every array is the caller's.
struct spawn_plan {
  static constexpr int inherited = -1;
  static constexpr int as_output = -2;

  const char* const* paths = nullptr;        ///< of the program: tried in order; null-terminated
  const char* const* arguments = nullptr;    ///< null-terminated
  const char* const* environment = nullptr;  ///< null-terminated
  const char* directory = nullptr;           ///< null: the parent's
  int stdio[3] = {inherited, inherited, inherited};  ///< what become descriptors 0, 1 and 2
  const int* passed = nullptr;  ///< other descriptors that the program gets, by their numbers
  std::size_t passed_count = 0;
  bool new_session = false;
  bool sets_process_group = false;
  ::pid_t process_group = 0;
  bool sets_umask = false;
  ::mode_t umask = 0;
  bool sets_groups = false;
  const ::gid_t* groups = nullptr;
  std::size_t group_count = 0;
  bool sets_group = false;
  ::gid_t group = 0;
  bool sets_user = false;
  ::uid_t user = 0;
  /// Signals that the parent ignores on behalf of its libraries act again, and none is blocked.
  bool restore_signals = true;
  bool has_close_range = true;  ///< false: as on a kernel without it, for tests
};

/// Where a child can fail before its program runs.
enum class spawn_step {
  none,
  start,
  standard_streams,
  directory,
  session,
  process_group,
  groups,
  group,
  user,
  passed_descriptor,
  execute,
};

struct spawn_result {
  ::pid_t pid = -1;
  int pidfd = -1;  ///< close-on-exec; -1: the kernel gives none
  spawn_step failed = spawn_step::none;
  int error = 0;
};

/// Starts the program. A child that fails before is reaped already.
///
/// The child runs in the parent's memory until its program does, so that the time does not depend
/// on the parent's size; except where it changes its user or groups, which would change what the
/// kernel thinks of that memory, too.
[[nodiscard]] RONDO_EXPORT spawn_result spawn(const spawn_plan& plan) noexcept;

}  // namespace os
}  // namespace v0
}  // namespace rondo
