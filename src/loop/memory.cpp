// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  A per-thread cache of small blocks.
#include <rondo/detail/memory.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <utility>

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

// malloc keeps 8 bytes before each block and rounds the whole to 16, so these sizes waste nothing.
constexpr std::size_t class_count = 64;
[[maybe_unused]] constexpr std::size_t class_of(std::size_t size) noexcept {
  return (size + 7) / 16;
}
[[maybe_unused]] constexpr std::size_t size_of_class(std::size_t index) noexcept {
  return index * 16 + 8;
}
// What one thread may keep of one size; beyond it blocks go back to the heap.
[[maybe_unused]] constexpr std::size_t bytes_per_class = 64 * 1024;

struct free_block_link {
  free_block_link* next;
};

struct size_class {
  free_block_link* first = nullptr;
  std::uint32_t room = 0;  // how many more it takes
};

struct block_cache {
  std::array<size_class, class_count> classes = {};
};

// They have nothing and take nothing, so that the usual paths need not ask whether a thread has a
// cache. Never written.
constinit block_cache not_yet;
constinit block_cache no_more;

// What is thread-local is small, trivially destructible and constant-initialised: reaching it needs
// no guard. The cache of a thread that ends is emptied by `cleanup`.
constinit thread_local block_cache* cache = &not_yet;
constinit thread_local std::ptrdiff_t frames = 0;
constinit thread_local std::ptrdiff_t blocks = 0;

struct cleanup {
  ~cleanup() {
    const std::unique_ptr<block_cache> mine(std::exchange(cache, &no_more));
    for (size_class& each : mine->classes) {
      while (each.first != nullptr) {
        ::operator delete(static_cast<void*>(std::exchange(each.first, each.first->next)));
      }
    }
  }
};

[[gnu::noinline, gnu::cold, maybe_unused]] void make_cache() noexcept {
  auto* const made = new (std::nothrow) block_cache;
  if (made == nullptr) return;
  for (std::size_t i = 0; i < class_count; ++i) {
    made->classes[i].room = static_cast<std::uint32_t>(bytes_per_class / size_of_class(i));
  }
  cache = made;
  static thread_local const cleanup at_exit;
  static_cast<void>(&at_exit);
}

void* take(std::size_t size) {
#if RONDO_CACHE_BLOCKS
  const std::size_t index = class_of(size);
  if (index < class_count) [[likely]] {
    size_class& each = cache->classes[index];
    if (free_block_link* const block = each.first; block != nullptr) [[likely]] {
      each.first = block->next;
      ++each.room;
      return block;
    }
    size = size_of_class(index);
  }
#endif
  return ::operator new(size);
}

[[maybe_unused]] inline bool keep(size_class& where, void* memory) noexcept {
  if (where.room == 0) return false;
  where.first = ::new (memory) free_block_link{where.first};
  --where.room;
  return true;
}

void give(void* memory, std::size_t size) noexcept {
#if RONDO_CACHE_BLOCKS
  const std::size_t index = class_of(size);
  if (index < class_count) [[likely]] {
    if (keep(cache->classes[index], memory)) [[likely]]
      return;
    if (cache == &not_yet) {
      make_cache();
      if (keep(cache->classes[index], memory)) return;
    }
  }
#endif
  static_cast<void>(size);
  ::operator delete(memory);
}

}  // namespace

void* allocate_block(std::size_t size) {
  void* const block = take(size);
  ++blocks;
  return block;
}

void free_block(void* block, std::size_t size) noexcept {
  --blocks;
  give(block, size);
}

void* allocate_frame(std::size_t size) {
  void* const frame = take(size);
  ++frames;
  return frame;
}

void free_frame(void* frame, std::size_t size) noexcept {
  --frames;
  give(frame, size);
}

std::ptrdiff_t live_frames() noexcept { return frames; }
std::ptrdiff_t live_blocks() noexcept { return blocks; }

}  // namespace detail
}  // namespace v0
}  // namespace rondo
