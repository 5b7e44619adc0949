// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Why no connection could be made.
#include <rondo/connect_error.hpp>

#include <fmt/format.h>

#include <cstddef>
#include <stdexcept>
#include <string>

namespace rondo {
inline namespace v0 {
namespace {

// The text of the last one's code is what std::system_error puts behind.
std::string describe(const std::vector<connect_attempt>& attempts) {
  constexpr std::size_t most = 16;
  if (attempts.empty()) throw std::invalid_argument("a connect_error without an attempt");
  std::string text = "cannot connect to ";
  const std::size_t before_last = attempts.size() - 1;
  for (std::size_t i = 0; i < before_last; ++i) {
    if (i + 1 == most) {
      text += fmt::format("{} more addresses; ", before_last - i);
      break;
    }
    text += fmt::format("{}: {}; ", attempts[i].address.to_string(), attempts[i].code.message());
  }
  return text + attempts.back().address.to_string();
}

}  // namespace

connect_error::connect_error(std::vector<connect_attempt> attempts)
    : connect_error(describe(attempts), std::move(attempts)) {}

connect_error::connect_error(const std::string& what, std::vector<connect_attempt>&& attempts)
    : std::system_error(attempts.back().code, what),
      attempts_(std::make_shared<const std::vector<connect_attempt>>(std::move(attempts))) {}

connect_error::connect_error(const connect_error&) noexcept = default;
connect_error::~connect_error() = default;

}  // namespace v0
}  // namespace rondo
