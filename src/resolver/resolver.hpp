// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Names and addresses, without blocking the loop.
#pragma once

#include <rondo/address.hpp>
#include <rondo/coro.hpp>
#include <rondo/detail/export.hpp>
#include <rondo/fwd.hpp>
#include <rondo/options.hpp>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace rondo {
inline namespace v0 {
namespace detail {

/// What `set_resolver` takes.
using resolver_function =
    std::function<coro<std::vector<address_info>>(std::string, std::string, resolve_options)>;

/// The addresses of a host; everything in the library that resolves comes here.
///
/// Literal addresses and an empty host (AI_PASSIVE: all interfaces, else loopback) are answered at
/// once, everything else by the loop's resolver if it has one, or by getaddrinfo in a thread of its
/// own. A cancelled await ends at once.
/// @param service  a number, the name of a service, or empty for port 0
/// @throws std::invalid_argument  (by the await) the host is longer than 253 bytes, has a NUL or a
/// byte
///         that is not ASCII; the port is beyond 65535
/// @throws resolve_error  there is no such name
[[nodiscard]] RONDO_EXPORT coro<std::vector<address_info>> resolve(event_loop& loop,
                                                                   std::string_view host,
                                                                   std::string_view service,
                                                                   const resolve_options& options);

/// The host and service names of an address. `flags`: NI_*; NI_NUMERICHOST with NI_NUMERICSERV
/// needs no thread.
[[nodiscard]] RONDO_EXPORT coro<std::pair<std::string, std::string>> resolve_name(
    event_loop& loop, const address& where, int flags);

/// A port as a service.
[[nodiscard]] RONDO_EXPORT std::string service_of(std::uint16_t port);

/// Threads of the resolver that exist now, for tests.
[[nodiscard]] RONDO_EXPORT std::size_t resolver_threads() noexcept;

}  // namespace detail
}  // namespace v0
}  // namespace rondo
