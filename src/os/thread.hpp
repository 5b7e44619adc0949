// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Which thread this is.
#pragma once

namespace rondo {
inline namespace v0 {
namespace os {

/// Whether this is the thread that main() runs in.
[[nodiscard]] bool is_main_thread() noexcept;

}  // namespace os
}  // namespace v0
}  // namespace rondo
