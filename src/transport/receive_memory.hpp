// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Memory that the transports of a thread share and reuse.
#pragma once

#include <rondo/detail/export.hpp>

#include <sys/uio.h>

#include <cstddef>
#include <span>
#include <string>

namespace rondo {
inline namespace v0 {
namespace detail {

// All of it belongs to the calling thread, is allocated when it is first used, and is kept up to a
// bound, so that a connection that is idle holds no buffers and one that is busy allocates none.

/// Where the bytes for protocols are received; they are used up before the next receive.
[[nodiscard]] RONDO_EXPORT std::span<char> shared_receive_buffer();

/// Room for the slices of one gathered send that completes at once.
[[nodiscard]] RONDO_EXPORT std::span<::iovec> shared_slices();

/// The sizes of storages: 4, 16, 64 and 256 KiB.
inline constexpr std::size_t storage_classes = 4;
[[nodiscard]] constexpr std::size_t storage_size(std::size_t size_class) noexcept {
  return std::size_t{4096} << (2 * size_class);
}

/// A string with room for what is received; its bytes have any value.
struct storage {
  std::string bytes;
  storage* next = nullptr;
  std::size_t size_class = 0;  // storage_classes: of another size, not kept
};

/// A storage of one of the sizes, or of a larger one if that is asked for.
[[nodiscard]] RONDO_EXPORT storage* take_storage(std::size_t at_least);
RONDO_EXPORT void give_storage(storage* unused) noexcept;

/// A block of at least `write_block_size` bytes for a write queue.
inline constexpr std::size_t write_block_size = 4096;
[[nodiscard]] RONDO_EXPORT void* take_write_block(std::size_t size);
RONDO_EXPORT void give_write_block(void* unused, std::size_t size) noexcept;

}  // namespace detail
}  // namespace v0
}  // namespace rondo
