// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  What an exception means to a task, whatever it says.
#pragma once

#include <cstdint>
#include <exception>

namespace rondo {
inline namespace v0 {
namespace detail {

enum class exception_kind : std::uint8_t {
  ordinary,
  cancellation,  // cancelled_error
  ends_program,  // keyboard_interrupt, system_exit
};

[[nodiscard]] exception_kind kind_of(const std::exception_ptr& error) noexcept;

}  // namespace detail
}  // namespace v0
}  // namespace rondo
