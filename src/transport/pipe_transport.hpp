// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  The transports of one end of a pipe, a FIFO or a terminal.
#pragma once

#include <rondo/detail/pipe_end.hpp>

#include "os/non_blocking_lease.hpp"
#include "transport/socket_transport.hpp"

#include <any>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace rondo {
inline namespace v0 {
namespace detail {

/// asyncio's `_UnixReadPipeTransport`: the other half does nothing, and cannot be written to.
class read_pipe_transport final : public socket_transport {
 public:
  /// Takes the descriptor over, also when it throws.
  /// @param shared  others may use the open file, too: it becomes non-blocking, until the end
  static std::shared_ptr<read_pipe_transport> open(event_loop& loop, os::descriptor fd, bool shared,
                                                   std::shared_ptr<base_protocol> attached,
                                                   transport_setup setup);

  using socket_transport::socket_transport;

  [[nodiscard]] std::any get_extra_info(std::string_view name) const override;
  [[nodiscard]] std::optional<address> peername() const override { return std::nullopt; }
  [[nodiscard]] std::optional<address> sockname() const override { return std::nullopt; }
  [[nodiscard]] std::optional<transport_socket> socket() const override { return std::nullopt; }
  [[nodiscard]] std::optional<int> pipe() const override;

  void resume_reading() override;

  using write_transport::write;
  void write(std::string_view data) override;
  void write_eof() override;
  [[nodiscard]] bool can_write_eof() const override { return false; }
  void set_write_buffer_limits(buffer_limits limits) override { static_cast<void>(limits); }

 private:
  void write_string(std::string&& data) override;
  void write_parts(std::span<const std::string_view> parts) override;
  void on_eof() override;
  void on_error(int error) override;
  void start_reading() override;
  void on_other_event() override;
  void close_descriptor() noexcept override;
  [[nodiscard]] std::string describe(const char* what) const override;

  os::non_blocking_lease lease_;
  bool always_ready_ = false;  // a device that cannot be watched, since it never blocks
};

/// asyncio's `_UnixWritePipeTransport`: the other half is inert, and notices when nobody reads any
/// more.
class write_pipe_transport final : public socket_transport {
 public:
  /// As `read_pipe_transport::open`.
  static std::shared_ptr<write_pipe_transport> open(event_loop& loop, os::descriptor fd,
                                                    bool shared,
                                                    std::shared_ptr<base_protocol> attached,
                                                    transport_setup setup);

  write_pipe_transport(hidden, event_loop& loop, int fd, transport_setup&& setup);

  [[nodiscard]] std::any get_extra_info(std::string_view name) const override;
  [[nodiscard]] std::optional<address> peername() const override { return std::nullopt; }
  [[nodiscard]] std::optional<address> sockname() const override { return std::nullopt; }
  [[nodiscard]] std::optional<transport_socket> socket() const override { return std::nullopt; }
  [[nodiscard]] std::optional<int> pipe() const override;

  [[nodiscard]] bool is_reading() const override { return false; }
  void pause_reading() override {}
  void resume_reading() override {}

  /// The end of what is written is the end of the pipe.
  void write_eof() override { close(); }

 private:
  struct end_watch : operation {
    write_pipe_transport* owner = nullptr;
  };

  static void on_end(operation& op) noexcept;
  void start_reading() override;
  void stop_reading() noexcept override;
  void on_other_event() override;
  void close_descriptor() noexcept override;
  [[nodiscard]] std::string describe(const char* what) const override;

  os::non_blocking_lease lease_;
  end_watch watch_;
};

}  // namespace detail
}  // namespace v0
}  // namespace rondo
