// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Memory that the transports of a thread share and reuse.
#include "transport/receive_memory.hpp"

#include <algorithm>
#include <array>
#include <climits>
#include <cstdint>
#include <memory>
#include <new>
#include <utility>

namespace rondo {
inline namespace v0 {
namespace detail {
namespace {

constexpr std::size_t receive_size = 256 * 1024;
constexpr std::size_t slice_count = IOV_MAX;
// What is kept of each storage class, and of write blocks: about 4 MiB in all.
constexpr std::array<std::uint32_t, storage_classes> most_storages = {256, 32, 16, 4};
constexpr std::uint32_t most_write_blocks = 128;

struct free_write_block {
  free_write_block* next;
};

struct storage_list {
  storage* first = nullptr;
  std::uint32_t room =
      0;  // how many more are kept; none before a destructor at thread exit is set up
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

// Trivially destructible, so that reaching it needs no guard; `cleanup` empties it.
constinit thread_local thread_memory memory;

struct cleanup {
  ~cleanup() {
    memory.exiting = true;
    delete[] std::exchange(memory.receive, nullptr);
    delete[] std::exchange(memory.slices, nullptr);
    for (storage_list& list : memory.storages) {
      while (list.first != nullptr) delete std::exchange(list.first, list.first->next);
      list.room = 0;
    }
    while (memory.write_blocks != nullptr) {
      ::operator delete(std::exchange(memory.write_blocks, memory.write_blocks->next));
    }
    memory.write_block_count = 0;
  }
};

[[gnu::noinline, gnu::cold]] void register_cleanup() {
  if (memory.cleans_up) return;
  memory.cleans_up = true;
  for (std::size_t i = 0; i < storage_classes; ++i) memory.storages[i].room = most_storages[i];
  static thread_local const cleanup at_exit;
  static_cast<void>(&at_exit);
}

[[gnu::noinline, gnu::cold]] void make_receive_buffer() {
  register_cleanup();
  memory.receive = new char[receive_size];
}

[[gnu::noinline, gnu::cold]] storage* make_storage(std::size_t size, std::size_t size_class) {
  if (!memory.exiting) register_cleanup();
  auto made = std::make_unique<storage>();
  made->size_class = size_class;
#if defined(__cpp_lib_string_resize_and_overwrite)
  made->bytes.resize_and_overwrite(size, [](char*, std::size_t all) { return all; });
#else
  made->bytes.resize(size);
#endif
  return made.release();
}

}  // namespace

std::span<char> shared_receive_buffer() {
  if (memory.receive == nullptr) [[unlikely]]
    make_receive_buffer();
  return {memory.receive, receive_size};
}

std::span<::iovec> shared_slices() {
  if (memory.slices == nullptr) {
    register_cleanup();
    memory.slices = new ::iovec[slice_count];
  }
  return {memory.slices, slice_count};
}

storage* take_storage(std::size_t at_least) {
  std::size_t size_class = 0;
  while (size_class < storage_classes && storage_size(size_class) < at_least) ++size_class;
  if (size_class == storage_classes) [[unlikely]]
    return make_storage(at_least, size_class);
  storage_list& list = memory.storages[size_class];
  storage* const taken = list.first;
  if (taken == nullptr) [[unlikely]]
    return make_storage(storage_size(size_class), size_class);
  list.first = taken->next;
  ++list.room;
  return taken;
}

void give_storage(storage* unused) noexcept {
  storage_list& list = memory.storages[unused->size_class];
  if (list.room == 0) [[unlikely]] {
    delete unused;
    return;
  }
  --list.room;
  unused->next = list.first;
  list.first = unused;
}

void* take_write_block(std::size_t size) {
  thread_memory& mine = memory;
  if (size <= write_block_size && mine.write_blocks != nullptr) {
    --mine.write_block_count;
    return std::exchange(mine.write_blocks, mine.write_blocks->next);
  }
  return ::operator new(std::max(size, write_block_size));
}

void give_write_block(void* unused, std::size_t size) noexcept {
  thread_memory& mine = memory;
  if (size == write_block_size && mine.write_block_count < most_write_blocks && !mine.exiting) {
    if (!mine.cleans_up) register_cleanup();
    mine.write_blocks = ::new (unused) free_write_block{mine.write_blocks};
    ++mine.write_block_count;
    return;
  }
  ::operator delete(unused);
}

}  // namespace detail
}  // namespace v0
}  // namespace rondo
