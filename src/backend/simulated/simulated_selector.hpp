// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  The selector of a virtual loop without real descriptors.
#pragma once

#include <rondo/selector.hpp>

#include <cstdint>

namespace rondo {
inline namespace v0 {
namespace detail {

/// Knows one real descriptor, the one that other threads wake the loop through; it is asked only
/// when the loop has to wait for them.
class simulated_selector final : public selector {
 public:
  [[nodiscard]] std::string_view name() const noexcept override { return "simulated"; }
  [[nodiscard]] bool edge_triggered() const noexcept override { return true; }
  [[nodiscard]] int add(int fd, std::uint8_t interest, std::uint64_t data) noexcept override;
  [[nodiscard]] int modify(int fd, std::uint8_t interest, std::uint64_t data) noexcept override;
  int remove(int fd) noexcept override;
  std::ptrdiff_t select(std::span<event> events, std::optional<interval> wait) noexcept override;
  [[nodiscard]] int descriptor() const noexcept override { return -1; }

 private:
  int wake_ = -1;
};

}  // namespace detail
}  // namespace v0
}  // namespace rondo
