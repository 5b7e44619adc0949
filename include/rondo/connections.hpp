// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Connections and servers of an event loop, with protocols.
#pragma once

#include <rondo/coro.hpp>
#include <rondo/detail/connect_arguments.hpp>
#include <rondo/detail/export.hpp>
#include <rondo/detail/pipe_end.hpp>
#include <rondo/event_loop.hpp>
#include <rondo/options.hpp>
#include <rondo/protocols.hpp>
#include <rondo/server.hpp>
#include <rondo/socket.hpp>
#include <rondo/transports.hpp>

#include <memory>
#include <type_traits>
#include <utility>

namespace rondo {
inline namespace v0 {
namespace detail {

/// Connects as the options say.
[[nodiscard]] RONDO_EXPORT coro<rondo::socket> open_socket(event_loop& loop,
                                                           const host_argument& host,
                                                           const service_argument& service,
                                                           const connect_options& options);

/// Checks that this is a stream socket. @throws std::invalid_argument
RONDO_EXPORT void check_stream_socket(const rondo::socket& given);

/// Opens a transport for a connected socket and waits until connection_made was called.
[[nodiscard]] RONDO_EXPORT coro<std::shared_ptr<transport>> attach_transport(
    event_loop& loop, rondo::socket connected, std::shared_ptr<base_protocol> attached);

/// A server on every address of the hosts, or on a socket that is bound.
[[nodiscard]] RONDO_EXPORT coro<server> open_server(event_loop& loop,
                                                    std::shared_ptr<protocol_maker> maker,
                                                    host_list_argument hosts,
                                                    const service_argument& service,
                                                    const server_options& options);
[[nodiscard]] RONDO_EXPORT coro<server> open_server(event_loop& loop,
                                                    std::shared_ptr<protocol_maker> maker,
                                                    rondo::socket bound,
                                                    const server_options& options);

RONDO_EXPORT void check_connect_options(const connect_options& options);
RONDO_EXPORT void check_server_options(const server_options& options);

template <class P>
using connected_pair = std::pair<std::shared_ptr<transport>, std::shared_ptr<P>>;

// g++ 12 warns of every coroutine whose frame holds a lambda of a function with internal linkage.
#pragma GCC diagnostic push
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wsubobject-linkage"
#endif
template <class F>
coro<connected_pair<protocol_of<F>>> connect_protocol(event_loop& loop, F factory,
                                                      coro<rondo::socket> connecting) {
  rondo::socket connected = co_await std::move(connecting);
  std::shared_ptr<protocol_of<F>> made = make_protocol(factory);
  std::shared_ptr<transport> opened = co_await attach_transport(loop, std::move(connected), made);
  co_return connected_pair<protocol_of<F>>(std::move(opened), std::move(made));
}

template <class F>
coro<connected_pair<protocol_of<F>>> connect_protocol(event_loop& loop, F factory,
                                                      rondo::socket connected) {
  std::shared_ptr<protocol_of<F>> made = make_protocol(factory);
  std::shared_ptr<transport> opened = co_await attach_transport(loop, std::move(connected), made);
  co_return connected_pair<protocol_of<F>>(std::move(opened), std::move(made));
}

template <class F>
coro<connected_pair<protocol_of<F>>> connect_protocol(event_loop& loop, F factory, pipe_end end) {
  std::shared_ptr<protocol_of<F>> made = make_protocol(factory);
  std::shared_ptr<transport> opened = co_await attach_pipe(loop, std::move(end), made);
  co_return connected_pair<protocol_of<F>>(std::move(opened), std::move(made));
}

#pragma GCC diagnostic pop

template <class F>
std::shared_ptr<protocol_maker> erase_factory(F&& factory) {
  return std::make_shared<protocol_maker_of<std::decay_t<F>>>(std::forward<F>(factory));
}

}  // namespace detail

template <class F>
  requires detail::protocol_factory<F>
coro<std::pair<std::shared_ptr<transport>, std::shared_ptr<detail::protocol_of<F>>>>
event_loop::create_connection(F&& factory, detail::host_argument host,
                              detail::service_argument port, connect_options options) {
  return detail::connect_protocol<std::decay_t<F>>(*this, std::forward<F>(factory),
                                                   detail::open_socket(*this, host, port, options));
}

template <class F>
  requires detail::protocol_factory<F>
coro<std::pair<std::shared_ptr<transport>, std::shared_ptr<detail::protocol_of<F>>>>
event_loop::create_connection(F&& factory, rondo::socket connected, connect_options options) {
  detail::check_connect_options(options);
  detail::check_stream_socket(connected);
  return detail::connect_protocol<std::decay_t<F>>(*this, std::forward<F>(factory),
                                                   std::move(connected));
}

template <class F>
  requires detail::protocol_factory<F>
coro<std::pair<std::shared_ptr<transport>, std::shared_ptr<detail::protocol_of<F>>>>
event_loop::connect_accepted_socket(F&& factory, rondo::socket accepted, server_options options) {
  detail::check_server_options(options);
  detail::check_stream_socket(accepted);
  return detail::connect_protocol<std::decay_t<F>>(*this, std::forward<F>(factory),
                                                   std::move(accepted));
}

template <class F>
  requires detail::protocol_factory<F>
coro<std::pair<std::shared_ptr<transport>, std::shared_ptr<detail::protocol_of<F>>>>
event_loop::connect_read_pipe(F&& factory, int fd) {
  return detail::connect_protocol<std::decay_t<F>>(*this, std::forward<F>(factory),
                                                   detail::pipe_end(fd, detail::pipe_side::read));
}

template <class F>
  requires detail::protocol_factory<F>
coro<std::pair<std::shared_ptr<transport>, std::shared_ptr<detail::protocol_of<F>>>>
event_loop::connect_write_pipe(F&& factory, int fd) {
  return detail::connect_protocol<std::decay_t<F>>(*this, std::forward<F>(factory),
                                                   detail::pipe_end(fd, detail::pipe_side::write));
}

template <class F>
  requires detail::protocol_factory<F>
coro<server> event_loop::create_server(F&& factory, detail::host_list_argument hosts,
                                       detail::service_argument port, server_options options) {
  return detail::open_server(*this, detail::erase_factory(std::forward<F>(factory)),
                             std::move(hosts), port, options);
}

template <class F>
  requires detail::protocol_factory<F>
coro<server> event_loop::create_server(F&& factory, rondo::socket bound, server_options options) {
  return detail::open_server(*this, detail::erase_factory(std::forward<F>(factory)),
                             std::move(bound), options);
}

}  // namespace v0
}  // namespace rondo
