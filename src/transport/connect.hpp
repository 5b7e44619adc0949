// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Making sockets that are connected, or bound to be listened on.
#pragma once

#include <rondo/address.hpp>
#include <rondo/coro.hpp>
#include <rondo/detail/export.hpp>
#include <rondo/fwd.hpp>
#include <rondo/options.hpp>
#include <rondo/socket.hpp>

#include <string>
#include <string_view>
#include <vector>

namespace rondo {
inline namespace v0 {
namespace detail {

// The functions that return a coro copy their arguments, and the texts that options point at.

/// @throws std::invalid_argument  options that contradict each other or are out of range
RONDO_EXPORT void check_options(const connect_options& options);
RONDO_EXPORT void check_options(const server_options& options);

/// A socket that is connected to one of the addresses of a host, tried in order.
/// @param host  empty: this machine
/// @param service  a port number, the name of a service, or empty for 0
/// @throws std::invalid_argument  bad options, host or service; before any input and output
/// @throws resolve_error  there is no such host
/// @throws connect_error  no address could be connected to
/// @throws exception_group  the same, with `all_errors`
[[nodiscard]] RONDO_EXPORT coro<socket> connect_any(event_loop& loop, std::string_view host,
                                                    std::string_view service,
                                                    const connect_options& options);

/// A socket that is connected to this address; for unix sockets, and where a host was resolved
/// before.
/// @throws connect_error
[[nodiscard]] RONDO_EXPORT coro<socket> connect_to(event_loop& loop, const address& where);

/// Connects a socket of the user's, which must outlive the await.
/// @throws connect_error
[[nodiscard]] RONDO_EXPORT coro<> connect_socket(event_loop& loop, const socket& connecting,
                                                 const address& where);

/// Sockets bound to every address of the hosts, each address once; `server` makes them listen.
/// @param hosts  none, or one that is empty: all interfaces
/// @throws std::system_error  an address cannot be bound; its text names it, and nothing stays
/// bound
[[nodiscard]] RONDO_EXPORT coro<std::vector<socket>> bind_listeners(event_loop& loop,
                                                                    std::vector<std::string> hosts,
                                                                    std::string_view service,
                                                                    const server_options& options);

/// A socket bound to the path. An abandoned socket at that path is removed; a file of another kind
/// is not.
/// @throws std::invalid_argument  the path is too long
/// @throws std::system_error  it cannot be bound; its text names the path
[[nodiscard]] RONDO_EXPORT socket bind_unix_listener(std::string_view path);

}  // namespace detail
}  // namespace v0
}  // namespace rondo
