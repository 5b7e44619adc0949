// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  What a stream reader has received and nobody has read.
#pragma once

#include <rondo/detail/export.hpp>
#include <rondo/detail/loop_core.hpp>
#include <rondo/detail/stream_awaiters.hpp>
#include <rondo/transports.hpp>

#include "transport/receive_memory.hpp"

#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace rondo {
inline namespace v0 {
namespace detail {

/// One contiguous buffer: bytes are appended behind `end`, by the kernel itself, and read from
/// `begin`.
///
/// A view that was lent is never moved and never overwritten: where new bytes have no room behind
/// it they go to a new storage, and the old one is kept until the next read. The storage goes back
/// to the thread's stock when a read waits and nothing is buffered.
struct stream_buffer final : stream_buffer_head {
  explicit stream_buffer(std::size_t limit);
  ~stream_buffer();
  stream_buffer(const stream_buffer&) = delete;
  stream_buffer& operator=(const stream_buffer&) = delete;

  [[nodiscard]] std::size_t size() const noexcept { return end_ - begin_; }
  [[nodiscard]] std::string_view unread() const noexcept {
    return storage_ == nullptr ? std::string_view()
                               : std::string_view(storage_->bytes.data() + begin_, end_ - begin_);
  }

  // ---- feeding
  /// Room for a receive.
  std::span<char> prepare();
  /// So many bytes are in it.
  void commit(std::size_t count);
  void append(std::string_view bytes);
  void feed_eof();
  void set_exception(std::exception_ptr error);

  // ---- reading, for read_request
  void start_read();
  /// Whether the request can end now; what it gets is noted in it.
  bool satisfy(read_request& request);
  void wait(read_request& request);
  std::string take_string(std::size_t count);
  std::string_view take_view(std::size_t count);
  std::size_t take_into(std::span<char> into, std::size_t count);
  void drop(std::size_t count);

  loop_core* core = nullptr;  // of the connection; null for a reader that is fed by hand
  std::shared_ptr<read_transport> transport;  // may be null
  std::exception_ptr error;
  read_request* active = nullptr;  // the one read that has begun and not ended
  std::size_t limit;
  bool eof = false;
  bool fed_by_transport = false;  // set_transport was called, or there is a connection

 private:
  bool satisfy_line(read_request& request);
  bool satisfy_until(read_request& request);
  void make_room(std::size_t wanted);
  void after_feeding();
  void after_reading();
  void resume_transport();
  void wake_reader();
  void return_storage() noexcept;

  storage* storage_ = nullptr;  // the size of its bytes is the room there is
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  storage* retired_ = nullptr;   // lent, and no longer the storage
  std::uint8_t size_class_ = 0;  // of the next storage
  bool lent_ = false;            // a view of what stands before begin_ is in use
  bool paused_ = false;          // the transport
};

inline stream_buffer& buffer_of(const stream_buffer_ref& ref) {
  return static_cast<stream_buffer&>(*ref);
}

}  // namespace detail
}  // namespace v0
}  // namespace rondo
