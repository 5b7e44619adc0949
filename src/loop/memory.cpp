// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  A per-thread cache of small blocks.
#include <rondo/detail/memory.hpp>

#include <array>
#include <cstdint>
#include <new>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define RONDO_CACHE_BLOCKS 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || \
    __has_feature(memory_sanitizer)
#define RONDO_CACHE_BLOCKS 0
#endif
#endif
#ifndef RONDO_CACHE_BLOCKS
#define RONDO_CACHE_BLOCKS 1
#endif

namespace rondo {
inline namespace v0 {
namespace detail {
namespace {

constexpr std::size_t granularity = 16;
constexpr std::size_t largest_cached = 1024;
// What one thread may keep of one size; beyond it blocks go back to the heap.
[[maybe_unused]] constexpr std::size_t bytes_per_class = 64 * 1024;

struct free_block_link {
  free_block_link* next;
};

struct size_class {
  free_block_link* first = nullptr;
  std::uint32_t count = 0;
};

struct thread_cache {
  std::array<size_class, largest_cached / granularity> classes = {};
  std::ptrdiff_t frames = 0;
  std::ptrdiff_t blocks = 0;
  bool cleans_up = false;  // a destructor at thread exit is registered
  bool exiting = false;
};

// Trivially destructible and constant-initialised, so that reaching it needs no guard; the cache of
// a thread that ends is emptied by `cleanup`.
constinit thread_local thread_cache cache;

struct cleanup {
  ~cleanup() {
    cache.exiting = true;
    for (size_class& each : cache.classes) {
      while (each.first != nullptr) {
        free_block_link* const block = each.first;
        each.first = block->next;
        ::operator delete(static_cast<void*>(block));
      }
      each.count = 0;
    }
  }
};

[[gnu::noinline, gnu::cold, maybe_unused]] void register_cleanup(thread_cache& mine) {
  mine.cleans_up = true;
  static thread_local const cleanup at_exit;
  static_cast<void>(&at_exit);
}

void* take(thread_cache& mine, std::size_t size) {
#if RONDO_CACHE_BLOCKS
  const std::size_t index = (size - 1) / granularity;
  if (index < mine.classes.size()) [[likely]] {
    size_class& each = mine.classes[index];
    if (free_block_link* const block = each.first; block != nullptr) [[likely]] {
      each.first = block->next;
      --each.count;
      return block;
    }
    return ::operator new((index + 1) * granularity);
  }
#endif
  static_cast<void>(mine);
  return ::operator new(size);
}

void give(thread_cache& mine, void* memory, std::size_t size) noexcept {
#if RONDO_CACHE_BLOCKS
  const std::size_t index = (size - 1) / granularity;
  if (index < mine.classes.size()) [[likely]] {
    size_class& each = mine.classes[index];
    if (each.count * (index + 1) * granularity < bytes_per_class && !mine.exiting) [[likely]] {
      if (!mine.cleans_up) [[unlikely]]
        register_cleanup(mine);
      each.first = ::new (memory) free_block_link{each.first};
      ++each.count;
      return;
    }
  }
#endif
  static_cast<void>(mine);
  static_cast<void>(size);
  ::operator delete(memory);
}

}  // namespace

void* allocate_block(std::size_t size) {
  thread_cache& mine = cache;
  void* const block = take(mine, size);
  ++mine.blocks;
  return block;
}

void free_block(void* block, std::size_t size) noexcept {
  thread_cache& mine = cache;
  --mine.blocks;
  give(mine, block, size);
}

void* allocate_frame(std::size_t size) {
  thread_cache& mine = cache;
  void* const frame = take(mine, size);
  ++mine.frames;
  return frame;
}

void free_frame(void* frame, std::size_t size) noexcept {
  thread_cache& mine = cache;
  --mine.frames;
  give(mine, frame, size);
}

std::ptrdiff_t live_frames() noexcept { return cache.frames; }
std::ptrdiff_t live_blocks() noexcept { return cache.blocks; }

}  // namespace detail
}  // namespace v0
}  // namespace rondo
