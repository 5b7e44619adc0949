// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  One word that holds a context: shared variables, or an object of its
// own.
#pragma once

#include <rondo/detail/export.hpp>

#include <cstdint>
#include <utility>

namespace rondo {
inline namespace v0 {
namespace detail {

struct context_map;     // immutable variables, reference-counted; null is the empty map
struct context_object;  // what a `context` handle names: a map that can be replaced

/// What a callback or a task runs in. Copying a captured context costs one reference count, none if
/// it is empty; setting a variable replaces the map of this reference only, unless it names an
/// object.
class context_ref {
 public:
  constexpr context_ref() noexcept = default;
  context_ref(const context_ref& other) noexcept : bits_(other.bits_) {
    if (bits_ != 0) retain();
  }
  context_ref(context_ref&& other) noexcept : bits_(std::exchange(other.bits_, 0)) {}
  context_ref& operator=(context_ref other) noexcept {
    std::swap(bits_, other.bits_);
    return *this;
  }
  ~context_ref() {
    if (bits_ != 0) release();
  }

  /// Takes over one reference.
  RONDO_EXPORT static context_ref of_map(context_map* map) noexcept;
  RONDO_EXPORT static context_ref of_object(context_object* object) noexcept;

  /// Not null if this names an object.
  RONDO_EXPORT context_object* object() const noexcept;
  RONDO_EXPORT context_map* map() const noexcept;
  /// Replaces the map here or in the object; takes over one reference.
  RONDO_EXPORT void set_map(context_map* map) noexcept;
  /// A copy of the variables: later changes on either side stay there.
  [[nodiscard]] context_ref snapshot() const noexcept {
    return (bits_ & 1U) == 0 ? *this : snapshot_of_object();
  }

 private:
  RONDO_EXPORT void retain() const noexcept;
  RONDO_EXPORT void release() noexcept;
  RONDO_EXPORT context_ref snapshot_of_object() const noexcept;

  std::uintptr_t bits_ = 0;  // a context_map*, or a context_object* with the lowest bit set
};

}  // namespace detail
}  // namespace v0
}  // namespace rondo
