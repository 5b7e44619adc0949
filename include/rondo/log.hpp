// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Where warnings and reports are written.
#pragma once

#include <rondo/detail/export.hpp>

#include <string_view>

namespace rondo {
inline namespace v0 {

/// How bad a report is.
enum class log_level { debug, info, warning, error };

/// Receives one report, without a newline at its end.
using log_handler = void (*)(log_level level, std::string_view text, void* user);

/// Sends every report of the process to `handler`; null restores the default, standard error.
///
/// The handler may be called from any thread; what it throws is swallowed. The default prints
/// warnings and errors, and with RONDO_DEBUG=1 everything.
///
/// @par asyncio
/// The logger `asyncio`.
/// @par Thread safety
/// Callable from any thread.
RONDO_EXPORT void set_log_handler(log_handler handler, void* user = nullptr) noexcept;

namespace detail {
RONDO_EXPORT void log(log_level level, std::string_view text) noexcept;
}  // namespace detail

}  // namespace v0
}  // namespace rondo
