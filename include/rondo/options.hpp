// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Keyword arguments of connecting, listening and resolving.
#pragma once

#include <rondo/interval.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <type_traits>

namespace rondo {
inline namespace v0 {
class ssl_context;

// Every struct here is trivially copyable: g++ 12 destroys other aggregates twice when they are
// written inside a co_await expression. What they point at is copied by the call that takes them.

/// A host, or the path of a unix socket, with a port.
struct host_port {
  std::string_view host = {};  ///< empty: loopback when connecting, all interfaces when listening
  std::uint16_t port = 0;      ///< 0: any free one
};
static_assert(std::is_trivially_copyable_v<host_port>);

/// How a connection is made.
///
/// @par asyncio
/// The keyword arguments of `loop.create_connection` and `asyncio.open_connection`.
struct connect_options {
  const ssl_context* ssl = nullptr;          ///< null: no TLS
  int family = 0;                            ///< AF_INET or AF_INET6 only; 0: both
  int proto = 0;                             ///< for the resolver
  int flags = 0;                             ///< AI_* for the resolver
  std::optional<host_port> local_addr = {};  ///< bound before connecting
  std::optional<std::string_view> server_hostname =
      {};                                              ///< TLS: the name to verify; unset: the host
  std::optional<interval> ssl_handshake_timeout = {};  ///< unset: 60 s
  std::optional<interval> ssl_shutdown_timeout = {};   ///< unset: 30 s
  std::optional<interval> happy_eyeballs_delay = {};   ///< unset: one address after the other
  std::optional<int> interleave = {};  ///< the first n addresses of one family, then alternating
  bool all_errors = false;  ///< fail with an exception_group, whatever the number of errors
  bool suppress_ragged_eofs = false;  ///< TLS: an end without close_notify is no error
  std::size_t limit = 65536;          ///< of the reader's buffer, in bytes; streams only
};
static_assert(std::is_trivially_copyable_v<connect_options>);

/// How a server listens, and what its connections are like.
///
/// @par asyncio
/// The keyword arguments of `loop.create_server` and `asyncio.start_server`.
struct server_options {
  int family = 0;                          ///< AF_INET or AF_INET6 only; 0: both
  int flags = /*AI_PASSIVE*/ 1;            ///< AI_* for the resolver
  int backlog = 100;                       ///< connections that wait to be accepted
  const ssl_context* ssl = nullptr;        ///< null: no TLS
  std::optional<bool> reuse_address = {};  ///< SO_REUSEADDR; unset: on
  std::optional<bool> reuse_port = {};     ///< SO_REUSEPORT; unset: off
  std::optional<bool> keep_alive = {};     ///< SO_KEEPALIVE on each connection; unset: off
  std::optional<interval> ssl_handshake_timeout = {};  ///< unset: 60 s
  std::optional<interval> ssl_shutdown_timeout = {};   ///< unset: 30 s
  bool start_serving = true;          ///< false: bound, but refusing until `server::start_serving`
  bool cleanup_socket = true;         ///< unix: remove the path when the server closes
  std::size_t limit = 65536;          ///< of each reader's buffer, in bytes; streams only
  bool suppress_ragged_eofs = false;  ///< TLS: an end without close_notify is no error
};
static_assert(std::is_trivially_copyable_v<server_options>);

/// How a datagram endpoint is made.
///
/// @par asyncio
/// The keyword arguments of `loop.create_datagram_endpoint`.
struct datagram_options {
  std::optional<host_port> local_addr = {};   ///< bound
  std::optional<host_port> remote_addr = {};  ///< the only peer
  int family = 0;                       ///< AF_INET, AF_INET6 or AF_UNIX; 0: what the addresses say
  int proto = 0;                        ///< for the resolver
  int flags = 0;                        ///< AI_* for the resolver
  std::optional<bool> reuse_port = {};  ///< SO_REUSEPORT; unset: off
  std::optional<bool> allow_broadcast = {};  ///< SO_BROADCAST; unset: off
};
static_assert(std::is_trivially_copyable_v<datagram_options>);

/// How a connection is upgraded to TLS.
///
/// @par asyncio
/// The keyword arguments of `loop.start_tls`.
struct tls_options {
  bool server_side = false;
  std::optional<std::string_view> server_hostname = {};  ///< the name to verify
  std::optional<interval> ssl_handshake_timeout = {};    ///< unset: 60 s
  std::optional<interval> ssl_shutdown_timeout = {};     ///< unset: 30 s
  bool suppress_ragged_eofs = false;  ///< an end without close_notify is no error
};
static_assert(std::is_trivially_copyable_v<tls_options>);

/// Which addresses of a name are wanted; the numbers are those of getaddrinfo(3).
struct resolve_options {
  int family = 0;  ///< AF_*; 0: any
  int type = 0;    ///< SOCK_*; 0: any
  int proto = 0;   ///< IPPROTO_*; 0: any
  int flags = 0;   ///< AI_*
};
static_assert(std::is_trivially_copyable_v<resolve_options>);

/// What part of a file is sent, and how.
///
/// @par asyncio
/// The keyword arguments of `loop.sendfile`.
struct sendfile_options {
  std::uint64_t offset = 0;                 ///< in bytes, from the start of the file
  std::optional<std::uint64_t> count = {};  ///< in bytes; unset: to the end of the file
  bool fallback = true;                     ///< read and send where the kernel cannot
};
static_assert(std::is_trivially_copyable_v<sendfile_options>);

}  // namespace v0
}  // namespace rondo
