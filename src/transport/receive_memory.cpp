// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Memory that the transports of a thread share and reuse.
#include "transport/receive_memory.hpp"

#include <algorithm>
#include <array>
#include <climits>
#include <cstdint>
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

struct free_storage {
  std::string bytes;
  free_storage* next = nullptr;
};

struct free_write_block {
  free_write_block* next;
};

struct storage_list {
  free_storage* first = nullptr;  // with strings in them
  std::uint32_t count = 0;
};

struct thread_memory {
  char* receive = nullptr;
  ::iovec* slices = nullptr;
  std::array<storage_list, storage_classes> storages = {};
  free_storage* empty_cells = nullptr;
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
      list.count = 0;
    }
    while (memory.empty_cells != nullptr) {
      delete std::exchange(memory.empty_cells, memory.empty_cells->next);
    }
    while (memory.write_blocks != nullptr) {
      ::operator delete(std::exchange(memory.write_blocks, memory.write_blocks->next));
    }
    memory.write_block_count = 0;
  }
};

[[gnu::noinline, gnu::cold]] void register_cleanup() {
  memory.cleans_up = true;
  static thread_local const cleanup at_exit;
  static_cast<void>(&at_exit);
}

[[gnu::noinline, gnu::cold]] void make_receive_buffer() {
  register_cleanup();
  memory.receive = new char[receive_size];
}

[[gnu::noinline, gnu::cold]] std::string make_storage(std::size_t size) {
  std::string made;
#if defined(__cpp_lib_string_resize_and_overwrite)
  made.resize_and_overwrite(size, [](char*, std::size_t all) { return all; });
#else
  made.resize(size);
#endif
  return made;
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

std::string take_storage(std::size_t at_least) {
  thread_memory& mine = memory;
  std::size_t size_class = 0;
  while (size_class < storage_classes && storage_size(size_class) < at_least) ++size_class;
  if (size_class == storage_classes) return make_storage(at_least);
  storage_list& list = mine.storages[size_class];
  if (list.first == nullptr) [[unlikely]]
    return make_storage(storage_size(size_class));
  free_storage* const cell = list.first;
  list.first = cell->next;
  --list.count;
  cell->next = mine.empty_cells;
  mine.empty_cells = cell;
  return std::move(cell->bytes);
}

void give_storage(std::string&& unused) noexcept {
  thread_memory& mine = memory;
  std::string bytes = std::move(unused);
  unused.clear();
  for (std::size_t size_class = 0; size_class < storage_classes; ++size_class) {
    if (storage_size(size_class) != bytes.size()) continue;
    storage_list& list = mine.storages[size_class];
    if (list.count >= most_storages[size_class] || mine.exiting) return;
    free_storage* cell = mine.empty_cells;
    if (cell != nullptr) {
      mine.empty_cells = cell->next;
    } else {
      cell = new (std::nothrow) free_storage;
      if (cell == nullptr) return;
      if (!mine.cleans_up) register_cleanup();
    }
    cell->bytes = std::move(bytes);
    cell->next = list.first;
    list.first = cell;
    ++list.count;
    return;
  }
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
