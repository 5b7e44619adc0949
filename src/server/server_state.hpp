// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  What server handles share.
#pragma once

#include <rondo/address.hpp>
#include <rondo/backend.hpp>
#include <rondo/detail/connect_arguments.hpp>
#include <rondo/detail/context_ref.hpp>
#include <rondo/detail/loop_core.hpp>
#include <rondo/event_loop.hpp>
#include <rondo/future.hpp>
#include <rondo/options.hpp>
#include <rondo/socket.hpp>

#include "transport/socket_transport.hpp"

#include <cstddef>
#include <exception>
#include <memory>
#include <vector>

namespace rondo {
inline namespace v0 {
namespace detail {
class server_state;

/// One listening socket.
class listener final : public accept_sink, public connection_owner {
 public:
  listener(server_state& server, rondo::socket bound);

  void on_accept(int fd, const void* address, std::size_t size) override;
  void on_accept_error(int error, interval retry_after, bool fatal) override;
  [[nodiscard]] int accept_budget() const noexcept override;

  void connection_ended(socket_transport& ended) noexcept override;
  [[nodiscard]] const address* local_address() const noexcept override {
    return specific ? &where : nullptr;
  }

  server_state& server;
  rondo::socket bound;
  fd_state state;
  address where;
  bool specific = false;  // bound to one address, not to all interfaces
  fd_state::stream_kind kind = fd_state::stream_kind::unknown;
  std::shared_ptr<shared_descriptor> view;
};

/// Listens, makes a transport of each connection, and knows which are open.
///
/// Kept by the handles, and through `self_` by the loop while it serves, has connections, or a node
/// of a closed listener may stand in the ready queue.
class server_state final : public std::enable_shared_from_this<server_state>,
                           private ready_node,
                           private loop_resource {
 public:
  server_state(event_loop& loop, std::shared_ptr<protocol_maker> maker,
               std::vector<rondo::socket> sockets, const server_options& options);
  ~server_state();

  void start();
  void close();
  void close_clients();
  void abort_clients();

  void on_accept(listener& from, int fd, const void* raw, std::size_t size);
  void on_accept_error(listener& from, int error, interval retry_after, bool fatal);
  void connection_ended(socket_transport& ended) noexcept;

  [[nodiscard]] event_loop& loop() const;
  [[nodiscard]] bool serving() const noexcept { return serving_; }
  [[nodiscard]] bool closed() const noexcept { return closed_; }
  [[nodiscard]] int backlog() const noexcept { return backlog_; }
  [[nodiscard]] std::vector<transport_socket> sockets() const;
  /// Whether `wait_closed` has nothing to wait for.
  [[nodiscard]] bool over() const noexcept { return closed_ && connections_ == nullptr; }
  [[nodiscard]] future<> make_closed_waiter();

  future<> forever;  // of the one who awaits serve_forever

 private:
  static void run_node(ready_node& node, event_loop* loop);
  void on_loop_close() noexcept override;

  std::vector<std::shared_ptr<transport>> clients() const;
  void close_listener(listener& closing) noexcept;
  void close_listeners() noexcept;
  void wake_waiters();
  void update_lifetime() noexcept;

  loop_core& core_;
  std::shared_ptr<protocol_maker> maker_;
  std::vector<std::unique_ptr<listener>> listeners_;
  context_ref context_;
  socket_transport* connections_ = nullptr;  // circular, the oldest first
  std::vector<future<>> closed_waiters_;
  std::shared_ptr<server_state> self_;
  int backlog_;
  bool serving_ = false;
  bool closed_ = false;
  bool node_queued_ = false;
};

}  // namespace detail
}  // namespace v0
}  // namespace rondo
