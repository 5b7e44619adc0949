// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Several errors at once.
#pragma once

#include <rondo/detail/export.hpp>

#include <exception>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace rondo {
inline namespace v0 {

/// Several exceptions that happened side by side. Never holds a cancelled_error.
///
/// @par asyncio
/// `ExceptionGroup`
class RONDO_EXPORT exception_group : public std::runtime_error {
 public:
  /// @param errors  in the order in which they happened
  /// @throws std::invalid_argument  there is none, or one of them is null
  exception_group(const std::string& message, std::vector<std::exception_ptr> errors);
  exception_group(const exception_group&) noexcept;
  ~exception_group() override;

  [[nodiscard]] const std::vector<std::exception_ptr>& exceptions() const noexcept {
    return *errors_;
  }

 private:
  // Shared: copying an exception must not throw.
  std::shared_ptr<const std::vector<std::exception_ptr>> errors_;
};

}  // namespace v0
}  // namespace rondo
