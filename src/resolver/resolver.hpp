// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Names and addresses, without blocking the loop.
#pragma once

#include <rondo/address.hpp>
#include <rondo/coro.hpp>
#include <rondo/detail/export.hpp>
#include <rondo/fwd.hpp>
#include <rondo/options.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace rondo {
inline namespace v0 {
namespace detail {

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

/// What the resolver's threads do now, for tests.
struct resolver_load {
  std::size_t threads = 0;
  std::size_t asking = 0;  ///< threads that are in a question
  std::size_t queued = 0;
};
[[nodiscard]] RONDO_EXPORT resolver_load load_of_resolver() noexcept;

}  // namespace detail
}  // namespace v0
}  // namespace rondo
