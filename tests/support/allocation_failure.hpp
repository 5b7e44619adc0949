// SPDX-License-Identifier: MIT
// rondo tests: makes the n-th allocation of this thread fail. Include it in one source file of a
// test binary: it replaces operator new.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>

namespace rondo_test {

/// Counts this thread's allocations, and fails one of them.
struct allocation_counter {
  std::uint64_t made = 0;
  std::uint64_t freed = 0;
  std::uint64_t fail_at = 0;  // 0: none

  /// The n-th allocation from now throws std::bad_alloc, once.
  void fail_in(std::uint64_t n) { fail_at = n == 0 ? 0 : made + n; }
  [[nodiscard]] bool failed() const { return fail_at != 0 && made >= fail_at; }
  [[nodiscard]] std::int64_t alive() const {
    return static_cast<std::int64_t>(made) - static_cast<std::int64_t>(freed);
  }
};

inline allocation_counter& allocations() {
  static constinit thread_local allocation_counter counter;
  return counter;
}

namespace allocation_detail {

inline void* allocate(std::size_t size, std::size_t alignment) {
  allocation_counter& counter = allocations();
  ++counter.made;
  if (counter.made == counter.fail_at) throw std::bad_alloc();
  void* memory = nullptr;
  if (alignment <= alignof(std::max_align_t)) {
    memory = std::malloc(size == 0 ? 1 : size);
  } else if (::posix_memalign(&memory, alignment, size) != 0) {
    memory = nullptr;
  }
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

inline void release(void* memory) noexcept {
  if (memory == nullptr) return;
  ++allocations().freed;
  std::free(memory);
}

}  // namespace allocation_detail
}  // namespace rondo_test

// The failed one counts as made: whoever balances adds it.
void* operator new(std::size_t size) { return rondo_test::allocation_detail::allocate(size, 0); }
void* operator new[](std::size_t size) { return rondo_test::allocation_detail::allocate(size, 0); }
void* operator new(std::size_t size, std::align_val_t alignment) {
  return rondo_test::allocation_detail::allocate(size, static_cast<std::size_t>(alignment));
}
void* operator new[](std::size_t size, std::align_val_t alignment) {
  return rondo_test::allocation_detail::allocate(size, static_cast<std::size_t>(alignment));
}
// Replaced too, for the address sanitizer has one of its own.
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  try {
    return rondo_test::allocation_detail::allocate(size, 0);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}
void operator delete(void* memory) noexcept { rondo_test::allocation_detail::release(memory); }
void operator delete[](void* memory) noexcept { rondo_test::allocation_detail::release(memory); }
void operator delete(void* memory, std::size_t) noexcept {
  rondo_test::allocation_detail::release(memory);
}
void operator delete[](void* memory, std::size_t) noexcept {
  rondo_test::allocation_detail::release(memory);
}
void operator delete(void* memory, std::align_val_t) noexcept {
  rondo_test::allocation_detail::release(memory);
}
void operator delete[](void* memory, std::align_val_t) noexcept {
  rondo_test::allocation_detail::release(memory);
}
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept {
  rondo_test::allocation_detail::release(memory);
}
void operator delete[](void* memory, std::size_t, std::align_val_t) noexcept {
  rondo_test::allocation_detail::release(memory);
}
