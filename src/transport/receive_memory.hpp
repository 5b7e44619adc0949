// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Memory that the transports of a thread share and reuse.
#pragma once

#include <rondo/detail/export.hpp>

#include <sys/uio.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace rondo {
inline namespace v0 {
namespace detail {

// All of it belongs to the calling thread, is allocated when it is first used, and is kept up to a
// bound, so that a connection that is idle holds no buffers and one that is busy allocates none.

/// Where the bytes for protocols are received; they are used up before the next receive.
[[nodiscard]] std::span<char> shared_receive_buffer();

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
[[nodiscard]] storage* take_storage(std::size_t at_least);
/// A storage of one of the sizes.
[[nodiscard]] storage* take_storage_of_class(std::size_t size_class);
void give_storage(storage* unused) noexcept;

/// A block of at least `write_block_size` bytes for a write queue.
inline constexpr std::size_t write_block_size = 4096;
[[nodiscard]] RONDO_EXPORT void* take_write_block(std::size_t size);
RONDO_EXPORT void give_write_block(void* unused, std::size_t size) noexcept;

// ---- implementation ----------------------------------------------------------------

struct free_write_block {
  free_write_block* next;
};

struct storage_list {
  storage* first = nullptr;
  // How many more are kept; none before a destructor at thread exit is set up.
  std::uint32_t room = 0;
};

struct thread_memory {
  char* receive = nullptr;
  ::iovec* slices = nullptr;
  std::array<storage_list, storage_classes + 1> storages = {};  // the last one never has room
  free_write_block* write_blocks = nullptr;
  std::uint32_t write_block_count = 0;
  bool cleans_up = false;
  bool exiting = false;
};

// Trivially destructible, so that reaching it needs no guard.
extern constinit thread_local thread_memory own_memory;

inline constexpr std::size_t receive_size = 256 * 1024;

void make_receive_buffer();
[[nodiscard]] storage* make_storage(std::size_t size, std::size_t size_class);
void drop_storage(storage* unused) noexcept;

inline std::span<char> shared_receive_buffer() {
  if (own_memory.receive == nullptr) [[unlikely]]
    make_receive_buffer();
  return {own_memory.receive, receive_size};
}

inline storage* take_storage_of_class(std::size_t size_class) {
  storage_list& list = own_memory.storages[size_class];
  storage* const taken = list.first;
  if (taken == nullptr) [[unlikely]]
    return make_storage(storage_size(size_class), size_class);
  list.first = taken->next;
  ++list.room;
  return taken;
}

inline void give_storage(storage* unused) noexcept {
  storage_list& list = own_memory.storages[unused->size_class];
  if (list.room == 0) [[unlikely]] {
    drop_storage(unused);
    return;
  }
  --list.room;
  unused->next = list.first;
  list.first = unused;
}

}  // namespace detail
}  // namespace v0
}  // namespace rondo
