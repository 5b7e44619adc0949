// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Servers: listening sockets and the connections they accepted.
#pragma once

#include <rondo/coro.hpp>
#include <rondo/detail/export.hpp>
#include <rondo/fwd.hpp>
#include <rondo/socket.hpp>
#include <rondo/task.hpp>

#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

namespace rondo {
inline namespace v0 {
namespace detail {
class server_state;
}  // namespace detail

/// A movable handle of a listening server; what `create_server` and `start_server` return.
///
/// The loop keeps a serving server alive: dropping the handle does not stop it, `close` does.
///
/// @par asyncio
/// `asyncio.Server`
/// @par Thread safety
/// The loop's thread only.
class RONDO_EXPORT server {
 public:
  server(server&&) noexcept;
  server& operator=(server&&) noexcept;
  ~server();

  /// Stops listening and closes the sockets; `serve_forever` ends. Open connections live on.
  /// Idempotent.
  void close();
  /// Closes the transports of all connections.
  void close_clients();
  /// Aborts the transports of all connections.
  void abort_clients();

  [[nodiscard]] event_loop& get_loop() const;
  /// Whether it accepts connections.
  [[nodiscard]] bool is_serving() const;
  /// The listening sockets; none after `close`.
  [[nodiscard]] std::vector<transport_socket> sockets() const;

  /// Begins to listen; idempotent.
  /// @throws std::system_error  the kernel refuses; the address is in the text
  /// @throws std::logic_error  the server is closed
  [[nodiscard]] coro<> start_serving();

  /// Listens until it is cancelled, which closes the server and waits for its connections. `close`
  /// cancels it, too.
  /// @throws cancelled_error  always, in the end
  /// @throws std::logic_error  it is closed, or somebody awaits this already
  [[nodiscard]] coro<> serve_forever();

  /// Waits until the server is closed and all its connections are gone, in whichever order.
  [[nodiscard]] coro<> wait_closed();

  // For the library.
  explicit server(std::shared_ptr<detail::server_state> state) noexcept;

 private:
  [[nodiscard]] detail::server_state& state() const;

  std::shared_ptr<detail::server_state> state_;
};

// ---- implementation ----------------------------------------------------------------

namespace detail {

template <class Body, class... Args>
decltype(auto) call_with_server(Body& body, server& entered, Args&... args) {
  if constexpr (std::invocable<Body&, server&, Args...>) {
    return std::invoke(body, entered, std::move(args)...);
  } else {
    return std::invoke(body, std::move(args)...);
  }
}

template <class Body, class... Args>
using server_body_result = typename std::remove_cvref_t<decltype(call_with_server(
    std::declval<Body&>(), std::declval<server&>(), std::declval<Args&>()...))>::value_type;

// g++ 12 warns of every coroutine whose frame holds a lambda of a function with internal linkage.
#pragma GCC diagnostic push
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wsubobject-linkage"
#endif
template <class T, class Body, class... Args>
coro<T> run_with_server(server entered, Body body, Args... args) {
  std::exception_ptr error;
  std::optional<stored<T>> result;
  try {
    if constexpr (std::is_void_v<T>) {
      co_await call_with_server(body, entered, args...);
    } else {
      result.emplace(co_await call_with_server(body, entered, args...));
    }
  } catch (...) {
    error = std::current_exception();
  }
  entered.close();
  co_await entered.wait_closed();
  if (error) std::rethrow_exception(std::move(error));
  if constexpr (!std::is_void_v<T>) co_return *std::move(result);
}
#pragma GCC diagnostic pop

}  // namespace detail

/// Awaits `body(server, args...)` or `body(args...)`, then closes the server and waits for its
/// connections. The callable and its arguments are kept until then. Yields what the body yields.
///
/// @par asyncio
/// `async with server:`
template <class Body, class... Args>
coro<detail::server_body_result<std::decay_t<Body>, std::decay_t<Args>...>> with_server(
    server entered, Body&& body, Args&&... args) {
  using result = detail::server_body_result<std::decay_t<Body>, std::decay_t<Args>...>;
  return detail::run_with_server<result, std::decay_t<Body>, std::decay_t<Args>...>(
      std::move(entered), std::forward<Body>(body), std::forward<Args>(args)...);
}

}  // namespace v0
}  // namespace rondo
