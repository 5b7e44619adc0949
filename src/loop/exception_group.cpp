// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Several errors at once.
#include <rondo/exception_group.hpp>

#include <fmt/format.h>

#include <algorithm>

namespace rondo {
inline namespace v0 {
namespace {

std::string with_count(const std::string& message, const std::vector<std::exception_ptr>& errors) {
  if (errors.empty()) throw std::invalid_argument("an exception group without an exception");
  if (std::find(errors.begin(), errors.end(), nullptr) != errors.end()) {
    throw std::invalid_argument("a null exception in an exception group");
  }
  return fmt::format("{} ({} sub-exception{})", message, errors.size(),
                     errors.size() == 1 ? "" : "s");
}

}  // namespace

exception_group::exception_group(const std::string& message, std::vector<std::exception_ptr> errors)
    : std::runtime_error(with_count(message, errors)),
      errors_(std::make_shared<const std::vector<std::exception_ptr>>(std::move(errors))) {}
exception_group::exception_group(const exception_group&) noexcept = default;
exception_group::~exception_group() = default;

}  // namespace v0
}  // namespace rondo
