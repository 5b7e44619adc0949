// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  The protocol behind a stream reader and a stream writer.
#pragma once

#include <rondo/detail/export.hpp>
#include <rondo/detail/loop_core.hpp>
#include <rondo/detail/stream_awaiters.hpp>
#include <rondo/future.hpp>
#include <rondo/protocols.hpp>
#include <rondo/streams.hpp>
#include <rondo/transports.hpp>

#include "transport/own_protocol.hpp"

#include <cstddef>
#include <exception>
#include <memory>
#include <span>

namespace rondo {
inline namespace v0 {
namespace detail {
struct stream_buffer;

/// asyncio's `StreamReaderProtocol`: feeds the reader, and tells the writer's tasks what happens.
///
/// Kept by the transport until the connection is lost, and through `self_` by writers and those who
/// wait.
class stream_link final : public stream_link_head,
                          public own_protocol,
                          public std::enable_shared_from_this<stream_link> {
 public:
  /// @param handler  what is called with the connection; null on the client's side
  stream_link(loop_core& core, std::size_t limit, std::shared_ptr<client_handler> handler);
  ~stream_link() override;

  [[nodiscard]] stream_reader reader() const { return stream_reader(buffer_); }
  [[nodiscard]] stream_writer writer();
  [[nodiscard]] const std::shared_ptr<rondo::transport>& transport() const noexcept {
    return transport_;
  }
  /// The last writer is gone.
  void writers_gone() noexcept;
  /// Nobody refers to it but, perhaps, the transport.
  void unreferenced() noexcept;

  // own_protocol
  void connection_made(std::shared_ptr<rondo::transport> connected) override;
  std::span<char> get_buffer(std::ptrdiff_t hint) override;
  void buffer_updated(std::size_t count) override;
  bool eof_received() override;
  void connection_lost(std::exception_ptr error) override;
  void pause_writing() override;
  void resume_writing() override;

  // For writer_awaiter.
  bool ready(writer_awaiter& waiter);
  void wait(writer_awaiter& waiter, task_core& by, void* frame);
  void finish(writer_awaiter& waiter);

 private:
  friend class writer_awaiter;

  [[nodiscard]] stream_link_ref reference();
  void run_handler();
  void handler_ended(const any_future& handler);
  void report_handler(std::exception_ptr error);
  void close_forgotten() noexcept;
  void wake(bool all);

  loop_core& core_;
  stream_buffer_ref buffer_;
  std::shared_ptr<rondo::transport> transport_;
  std::shared_ptr<client_handler> handler_;
  std::shared_ptr<stream_link> self_;
  writer_awaiter* waiting_ = nullptr;  // circular, the oldest first
  std::exception_ptr error_;           // that ended the connection
  bool paused_ = false;
  bool lost_ = false;
  bool handler_runs_ = false;
};

}  // namespace detail
}  // namespace v0
}  // namespace rondo
