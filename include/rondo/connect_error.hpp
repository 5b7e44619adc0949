// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Why no connection could be made, address by address.
#pragma once

#include <rondo/address.hpp>
#include <rondo/detail/export.hpp>

#include <memory>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace rondo {
inline namespace v0 {

/// One address that was tried, and why that failed.
struct connect_attempt {
  connect_attempt() = default;
  connect_attempt(rondo::address where, std::error_code why)
      : address(std::move(where)), code(why) {}

  rondo::address address;
  std::error_code code;
};

/// No address of a host could be connected to; its text names each one and the reason.
///
/// Its code is that of the only error, or of the last address.
///
/// @par asyncio
/// The `OSError` of `create_connection`, whose type and errno are lost when there were several.
class RONDO_EXPORT connect_error : public std::system_error {
 public:
  /// @param attempts  at least one, in the order in which they were made
  explicit connect_error(std::vector<connect_attempt> attempts);
  /// The same with a text of one's own, behind which the last code's is put.
  connect_error(const std::string& what, std::vector<connect_attempt>&& attempts);
  connect_error(const connect_error&) noexcept;
  ~connect_error() override;

  /// What was tried, in order.
  [[nodiscard]] const std::vector<connect_attempt>& attempts() const noexcept { return *attempts_; }

 private:
  // Shared: copying an exception must not throw.
  std::shared_ptr<const std::vector<connect_attempt>> attempts_;
};

}  // namespace v0
}  // namespace rondo
