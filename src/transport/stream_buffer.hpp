// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  What a stream reader has received and nobody has read.
#pragma once

#include <rondo/detail/export.hpp>
#include <rondo/detail/loop_core.hpp>
#include <rondo/detail/stream_awaiters.hpp>
#include <rondo/transports.hpp>

#include "transport/receive_memory.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

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
  std::span<char> prepare() {
    if (storage_ == nullptr) [[likely]] {
      storage_ = take_storage_of_class(size_class_);
    } else {
      make_room(least_room);
    }
    return {storage_->bytes.data() + end_, storage_->bytes.size() - end_};
  }
  /// So many bytes are in it.
  void commit(std::size_t count) {
    if (count == storage_->bytes.size() - end_) [[unlikely]] {
      use_larger();
    } else if (size_class_ > 0) [[unlikely]] {
      use_smaller(count);
    }
    end_ += count;
    after_feeding();
  }
  void append(std::string_view bytes);
  void feed_eof();
  void set_exception(std::exception_ptr error);

  // ---- reading, for read_request
  void start_read() {
    if (active != nullptr) [[unlikely]]
      throw_second_read();
    lent_ = false;
    if (retired_ != nullptr) [[unlikely]]
      give_storage(std::exchange(retired_, nullptr));
  }
  /// Whether the request can end now; what it gets is noted in it.
  bool satisfy(read_request& request) {
    if (request.rule_ != read_rule::some || end_ == begin_) return satisfy_other(request);
    request.amount_ = std::min(end_ - begin_, request.size_);
    request.outcome_ = read_request::outcome::done;
    return true;
  }
  void wait(read_request& request) {
    active = &request;
    if (paused_) [[unlikely]]
      resume_transport();
    if (begin_ == end_) return_storage();
  }
  /// Throws unless there are bytes to take.
  static void finish(read_request& request) {
    if (request.registered_) request.unregister();
    if (request.outcome_ == read_request::outcome::done && !request.yields_) [[likely]] {
      // It waited for input, which is there: a cancellation is left for the next suspension.
      if (request.task_ != nullptr) request.task_->postpone_cancel();
    } else {
      request.check();
    }
  }
  std::string take_string(std::size_t count);
  std::string_view take_view(std::size_t count) {
    const std::string_view result = unread().substr(0, count);
    lent_ = true;
    begin_ += count;
    after_reading();
    return result;
  }
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
  // A receive into less would be a waste of a system call.
  static constexpr std::size_t least_room = 2048;

  [[noreturn]] static void throw_second_read();
  bool satisfy_other(read_request& request);
  bool satisfy_line(read_request& request);
  bool satisfy_until(read_request& request);
  void make_room(std::size_t wanted);
  void use_larger() noexcept;
  void use_smaller(std::size_t received) noexcept;
  void after_feeding() {
    if (active != nullptr) wake_reader();
    if (size() > 2 * limit) [[unlikely]]
      pause_transport();
  }
  void after_reading() {
    if (paused_) [[unlikely]]
      resume_if_low();
  }
  void pause_transport();
  void resume_transport();
  void resume_if_low();
  void wake_reader() {
    read_request& waiting = *active;
    if (waiting.outcome_ == read_request::outcome::waiting && satisfy(waiting)) {
      waiting.task_->wake();
    }
  }
  void return_storage() noexcept {
    if (storage_ != nullptr) give_storage(std::exchange(storage_, nullptr));
    begin_ = 0;
    end_ = 0;
  }

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
