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

constexpr std::size_t slice_count = IOV_MAX;
// What is kept of each storage class, and of write blocks: about 4 MiB in all.
constexpr std::array<std::uint32_t, storage_classes> most_storages = {256, 32, 16, 4};
constexpr std::uint32_t most_write_blocks = 128;

struct cleanup {
  ~cleanup() {
    own_memory.exiting = true;
    delete[] std::exchange(own_memory.receive, nullptr);
    delete[] std::exchange(own_memory.slices, nullptr);
    for (storage_list& list : own_memory.storages) {
      while (list.first != nullptr) delete std::exchange(list.first, list.first->next);
      list.room = 0;
    }
    while (own_memory.write_blocks != nullptr) {
      ::operator delete(std::exchange(own_memory.write_blocks, own_memory.write_blocks->next));
    }
    own_memory.write_block_count = 0;
  }
};

[[gnu::noinline, gnu::cold]] void register_cleanup() {
  if (own_memory.cleans_up) return;
  own_memory.cleans_up = true;
  for (std::size_t i = 0; i < storage_classes; ++i) own_memory.storages[i].room = most_storages[i];
  static thread_local const cleanup at_exit;
  static_cast<void>(&at_exit);
}

}  // namespace

constinit thread_local thread_memory own_memory;

[[gnu::cold]] void make_receive_buffer() {
  register_cleanup();
  own_memory.receive = new char[receive_size];
}

[[gnu::cold]] storage* make_storage(std::size_t size, std::size_t size_class) {
  if (!own_memory.exiting) register_cleanup();
  auto made = std::make_unique<storage>();
  made->size_class = size_class;
#if defined(__cpp_lib_string_resize_and_overwrite)
  made->bytes.resize_and_overwrite(size, [](char*, std::size_t all) { return all; });
#else
  made->bytes.resize(size);
#endif
  return made.release();
}

[[gnu::cold]] void drop_storage(storage* unused) noexcept { delete unused; }

std::span<::iovec> shared_slices() {
  if (own_memory.slices == nullptr) {
    register_cleanup();
    own_memory.slices = new ::iovec[slice_count];
  }
  return {own_memory.slices, slice_count};
}

storage* take_storage(std::size_t at_least) {
  std::size_t size_class = 0;
  while (size_class < storage_classes && storage_size(size_class) < at_least) ++size_class;
  if (size_class == storage_classes) return make_storage(at_least, size_class);
  return take_storage_of_class(size_class);
}

void* take_write_block(std::size_t size) {
  thread_memory& mine = own_memory;
  if (size <= write_block_size && mine.write_blocks != nullptr) {
    --mine.write_block_count;
    return std::exchange(mine.write_blocks, mine.write_blocks->next);
  }
  return ::operator new(std::max(size, write_block_size));
}

void give_write_block(void* unused, std::size_t size) noexcept {
  thread_memory& mine = own_memory;
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
