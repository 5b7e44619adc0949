// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Bytes that wait to be sent.
#pragma once

#include <rondo/detail/export.hpp>

#include <sys/uio.h>

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace rondo {
inline namespace v0 {
namespace detail {

/// A first-in, first-out queue of bytes in chunks that never move, so that the kernel may read from
/// them.
///
/// Small pieces share a chunk, strings that are moved in are chunks of their own. An empty queue
/// holds no memory.
class RONDO_EXPORT byte_queue {
 public:
  byte_queue() noexcept = default;
  byte_queue(const byte_queue&) = delete;
  byte_queue& operator=(const byte_queue&) = delete;
  ~byte_queue() { clear(); }

  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }

  /// Copies the bytes. @throws std::bad_alloc  nothing was appended
  void append(std::string_view bytes);
  /// Takes the string over, without its first `skip` bytes.
  void append_owned(std::string&& bytes, std::size_t skip = 0);

  /// Describes the front of the queue; returns how many slices were written.
  std::size_t gather(std::span<::iovec> slices) const noexcept;
  /// The first chunk's bytes. The queue must not be empty.
  [[nodiscard]] std::span<char> front() const noexcept;

  /// Drops bytes from the front, at most `size()`.
  void consume(std::size_t count) noexcept;
  void clear() noexcept;

 private:
  struct chunk;
  struct string_chunk;

  chunk* add_block(std::size_t capacity);
  void link(chunk* added) noexcept;
  static void free_chunk(chunk* unused) noexcept;

  chunk* first_ = nullptr;
  chunk* last_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace detail
}  // namespace v0
}  // namespace rondo
