// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  The transport of a stream socket, and what pipes share with it.
#pragma once

#include <rondo/address.hpp>
#include <rondo/backend.hpp>
#include <rondo/detail/context_ref.hpp>
#include <rondo/detail/export.hpp>
#include <rondo/detail/loop_core.hpp>
#include <rondo/event_loop.hpp>
#include <rondo/future.hpp>
#include <rondo/protocols.hpp>
#include <rondo/socket.hpp>
#include <rondo/transports.hpp>

#include "os/descriptor.hpp"
#include "transport/byte_queue.hpp"
#include "transport/own_protocol.hpp"

#include <sys/socket.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace rondo {
inline namespace v0 {
namespace detail {
class socket_transport;

/// Who accepted a connection, and hears when it is over. Its transports form a circular list.
class connection_owner {
 public:
  virtual void connection_ended(socket_transport& ended) noexcept = 0;
  /// The local address of the connections, if it is the same for all; saves asking for it.
  [[nodiscard]] virtual const address* local_address() const noexcept = 0;

 protected:
  ~connection_owner() = default;
};

/// What a new transport is told.
struct transport_setup {
  fd_state::stream_kind kind = fd_state::stream_kind::unknown;
  address peer;  // empty: asked for when it is needed
  connection_owner* owner = nullptr;
  context_ref context;  // that the protocol's callbacks run in
  future<> opened;      // may be empty; completed when reading has begun
};

/// asyncio's `_SelectorSocketTransport` on the seam: reads through a sink, sends at once what it
/// can.
///
/// Events that call the protocol come as nodes: `event_node` for the beginning and for completed
/// sends, `end_node` for the end. A write that cannot be sent at once leaves with the others of the
/// iteration from `flush_node`. The loop owns the transport, through `self_`, until no node of it
/// is queued after the end.
class socket_transport : public transport, protected receive_sink, private loop_resource {
 public:
  /// Takes the descriptor over, also when it throws. Schedules connection_made.
  /// @throws std::logic_error  add_reader or another transport uses the descriptor
  /// @throws std::invalid_argument  the protocol is no protocol and no buffered_protocol
  static std::shared_ptr<socket_transport> open(event_loop& loop, os::descriptor fd,
                                                std::shared_ptr<base_protocol> attached,
                                                transport_setup setup);

  struct hidden {};
  socket_transport(hidden, event_loop& loop, int fd, transport_setup&& setup);
  ~socket_transport() override;

  [[nodiscard]] bool is_closing() const override { return closing_; }
  void close() override;
  void abort() override;
  using base_transport::set_protocol;
  void set_protocol(std::shared_ptr<base_protocol> next) override;
  [[nodiscard]] std::shared_ptr<base_protocol> get_protocol() const override { return protocol_; }
  [[nodiscard]] std::any get_extra_info(std::string_view name) const override;
  [[nodiscard]] std::optional<address> peername() const override;
  [[nodiscard]] std::optional<address> sockname() const override;
  [[nodiscard]] std::optional<transport_socket> socket() const override;

  [[nodiscard]] bool is_reading() const override { return !closing_ && !reading_paused_; }
  void pause_reading() override;
  void resume_reading() override;

  using write_transport::write;
  void write(std::string_view data) override;
  void write_eof() override;
  [[nodiscard]] bool can_write_eof() const override { return true; }
  [[nodiscard]] std::size_t get_write_buffer_size() const override { return queue_.size(); }
  [[nodiscard]] write_buffer_marks get_write_buffer_limits() const override {
    return {low_, high_};
  }
  void set_write_buffer_limits(buffer_limits limits) override;

  // For the owner: a reference while the loop holds one, and its list of connections.
  [[nodiscard]] std::shared_ptr<transport> keep() const noexcept { return self_; }
  socket_transport* next_connection = nullptr;
  socket_transport* previous_connection = nullptr;

 protected:
  void write_string(std::string&& data) override;
  void write_parts(std::span<const std::string_view> parts) override;

  // receive_sink
  std::span<char> get_buffer(std::ptrdiff_t hint) override;
  void on_bytes(std::span<char> bytes) override;
  void on_eof() override;
  void on_error(int error) override;

  // For the transports of other descriptors, which replace some of these.

  /// Takes the descriptor over and schedules connection_made. Where it throws, nothing has changed.
  static void begin_with(const std::shared_ptr<socket_transport>& made, os::descriptor& fd,
                         std::shared_ptr<base_protocol> attached, fd_state::stream_kind kind);
  virtual void start_reading();
  virtual void stop_reading() noexcept;
  /// @throws std::system_error  the descriptor cannot be watched
  void begin_receiving() {
    receiving_ = true;
    try {
      io_.start_receiving(state_, *this);
    } catch (...) {
      receiving_ = false;
      throw;
    }
  }
  /// Something happened that `queue_other_event` announced.
  virtual void on_other_event() {}
  void queue_other_event() noexcept {
    other_due_ = true;
    queue_event();
  }
  virtual void close_descriptor() noexcept;
  /// What an error is about: "receiving", "sending" and the like.
  [[nodiscard]] virtual std::string describe(const char* what) const;

  [[nodiscard]] loop_core& core() const noexcept { return core_; }
  [[nodiscard]] backend& io() const noexcept { return io_; }
  [[nodiscard]] fd_state& state() noexcept { return state_; }
  [[nodiscard]] const fd_state& state() const noexcept { return state_; }
  [[nodiscard]] bool ending() const noexcept { return ending_; }
  [[nodiscard]] bool let_go_of_descriptor() const noexcept { return let_go_; }
  [[nodiscard]] bool reading_paused() const noexcept { return reading_paused_; }
  [[nodiscard]] bool unsent() const noexcept { return sending_ || !queue_.empty(); }
  /// Sends with write(2) instead of send(2).
  void send_by_writing() noexcept {
    send_kind_ = operation_kind::write;
    gather_kind_ = operation_kind::write_message;
  }
  void os_error(std::int64_t error, const char* what);
  void force_close(std::exception_ptr error);
  /// The end of what is received, where it is the end of everything: connection_lost is scheduled
  /// before eof_received is called.
  void end_with_eof(std::exception_ptr error);

 private:
  struct event_node : ready_node {
    event_node() noexcept : ready_node(&run_event) {}
  };
  struct end_node : ready_node {
    end_node() noexcept : ready_node(&run_end) {}
  };
  struct flush_node : ready_node {  // stands in loop_core::at_end
    flush_node() noexcept : ready_node(&run_flush) {}
  };
  // The nodes and the pending send, and the way from each back to its transport.
  struct entries : event_node, end_node, flush_node, operation {
    explicit entries(socket_transport& transport) noexcept : owner(&transport) {}
    socket_transport* owner;
  };
  // One run of a node: afterwards, also on the way of an exception, what is due is queued again,
  // and the transport goes if that was its last node.
  class turn;
  // Only a backend whose sends complete in the kernel needs slices that outlive the call.
  struct kernel_slices {
    ::msghdr message;
    std::array<::iovec, 16> slices;
  };
  template <class Entry, class From>
  static socket_transport& from(From& entry) noexcept {
    return *static_cast<entries&>(static_cast<Entry&>(entry)).owner;
  }
  static void run_event(ready_node& node, event_loop* loop);
  static void run_end(ready_node& node, event_loop* loop);
  static void run_flush(ready_node& node, event_loop* loop);
  static void on_sent(operation& op) noexcept;

  // loop_resource
  void on_loop_close() noexcept override;

  void adopt_protocol(std::shared_ptr<base_protocol> next);
  void end_callback() noexcept {
    if (previous_protocol_ != nullptr) [[unlikely]]
      previous_protocol_.reset();
  }
  std::span<char> ask_for_buffer(std::ptrdiff_t hint);
  void copy_to_buffered(std::string_view bytes);
  /// In a catch block: lets keyboard_interrupt and system_exit through, ends the connection
  /// otherwise.
  void callback_failed(const char* message);
  /// The same, but the connection lives.
  void report_failed(const char* message);

  void on_event();
  void queue_event() noexcept;

  [[nodiscard]] bool may_send_now() noexcept;
  void check_writable() const;
  void ignore_write();
  std::int64_t start_send(const char* data, std::size_t size);
  std::int64_t start_gathered(std::span<::iovec> slices);
  /// After the first try of a write: keeps what the kernel did not take. False if the connection is
  /// lost.
  template <class Keep>
  [[gnu::noinline, gnu::cold]] void keep_rest(std::int64_t sent, std::size_t size, Keep&& keep);
  void send_queued();
  void start_in_kernel();
  void after_queueing();
  void queue_flush() noexcept;
  void after_sending(bool from_completion);
  void check_high_mark();
  void check_low_mark();

  void fatal_error(std::exception_ptr error, const char* message);
  void schedule_end(std::exception_ptr error);
  void end();
  void let_go() noexcept;
  void release_if_done() noexcept;
  void report(const char* message, std::exception_ptr error);
  void look_up_sockname() const;

  loop_core& core_;
  backend& io_;
  fd_state state_;
  entries entries_;
  byte_queue queue_;
  std::uint64_t last_write_ = ~std::uint64_t{0};  // the iteration of the last send at once
  std::size_t high_;
  std::size_t low_;
  protocol* plain_ = nullptr;  // one of these two is set
  buffered_protocol* buffered_ = nullptr;
  own_protocol* own_ = nullptr;  // the same as buffered_, or null
  const char* given_ = nullptr;  // what the buffered protocol gave for the next bytes
  std::shared_ptr<base_protocol> protocol_;
  std::shared_ptr<base_protocol> previous_protocol_;  // replaced inside one of its callbacks
  std::shared_ptr<socket_transport> self_;            // while the loop keeps it
  context_ref context_;
  future<> opened_;
  std::exception_ptr error_;
  connection_owner* owner_;
  address peer_;
  mutable std::unique_ptr<address> sockname_;
  mutable std::shared_ptr<shared_descriptor> view_;
  std::unique_ptr<kernel_slices> kernel_slices_;
  std::uint32_t writes_after_end_ = 0;
  operation_kind send_kind_ = operation_kind::send;
  operation_kind gather_kind_ = operation_kind::send_message;

  bool event_queued_ : 1 = false;
  bool end_queued_ : 1 = false;
  bool flush_queued_ : 1 = false;
  bool made_due_ : 1 = true;    // connection_made has not been called
  bool start_due_ : 1 = true;   // reading has not begun
  bool sent_due_ : 1 = false;   // a pending send has completed
  bool other_due_ : 1 = false;  // on_other_event is to be called
  bool in_kernel_ : 1 = false;  // sends complete in the kernel
  bool sending_ : 1 = false;    // a send is pending, or completed and not looked at
  bool closing_ : 1 = false;
  bool ending_ : 1 = false;      // connection_lost is scheduled
  bool ended_ : 1 = false;       // connection_lost was called, or never will be
  bool let_go_ : 1 = false;      // of the descriptor
  bool eof_wanted_ : 1 = false;  // write_eof was called
  bool eof_received_ : 1 = false;
  bool receiving_ : 1 = false;  // the backend was told to
  bool reading_paused_ : 1 = false;
  bool protocol_paused_ : 1 = false;
};

/// Sends small writes at once instead of waiting for more; a failure is no reason to give the
/// socket up.
RONDO_EXPORT void set_no_delay(int fd) noexcept;
/// What a socket of this family says about short receives, when its type is SOCK_STREAM.
[[nodiscard]] RONDO_EXPORT fd_state::stream_kind kind_of_family(int family) noexcept;

}  // namespace detail
}  // namespace v0
}  // namespace rondo
