// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Making descriptors non-blocking that others use, too, for a while.
#pragma once

#include <rondo/detail/export.hpp>

#include <sys/types.h>

#include <cstdint>

namespace rondo {
inline namespace v0 {
namespace os {

/// Makes a descriptor non-blocking until it ends.
///
/// The flag belongs to the open file description, which other descriptors of this process (standard
/// input and output of a terminal) and other processes (the shell) may share. Where several leases
/// share one, the last to end puts the flag back.
class non_blocking_lease {
 public:
  non_blocking_lease() noexcept = default;
  non_blocking_lease(const non_blocking_lease&) = delete;
  non_blocking_lease& operator=(const non_blocking_lease&) = delete;
  ~non_blocking_lease() { end(); }

  /// Returns 0 or an errno value. The descriptor must stay open until `end`.
  [[nodiscard]] RONDO_EXPORT int begin(int fd) noexcept;
  RONDO_EXPORT void end() noexcept;

 private:
  [[nodiscard]] bool same_file(const non_blocking_lease& other) const noexcept {
    return device_ == other.device_ && inode_ == other.inode_;
  }

  int fd_ = -1;  // -1: not begun
  bool restores_ = false;
  ::dev_t device_ = 0;
  ::ino_t inode_ = 0;
  std::uint64_t forks_ = 0;
  non_blocking_lease* next_ = nullptr;
  non_blocking_lease* previous_ = nullptr;
};

}  // namespace os
}  // namespace v0
}  // namespace rondo
