// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Where coroutine frames, handles and task states come from.
#pragma once

#include <rondo/detail/export.hpp>

#include <cstddef>

namespace rondo {
inline namespace v0 {
namespace detail {

// A cache of freed blocks by size class, one per thread and capped; plain new and delete under
// sanitizers, so that they see every use after free.
[[nodiscard]] RONDO_EXPORT void* allocate_block(std::size_t size);
RONDO_EXPORT void free_block(void* block, std::size_t size) noexcept;

// The same for coroutine frames, which are counted: see `loop_metrics::frames`.
[[nodiscard]] RONDO_EXPORT void* allocate_frame(std::size_t size);
RONDO_EXPORT void free_frame(void* frame, std::size_t size) noexcept;

/// Coroutine frames that are alive in this thread: made here less freed here.
[[nodiscard]] RONDO_EXPORT std::ptrdiff_t live_frames() noexcept;
/// Blocks of all other kinds that are alive in this thread: made here less freed here.
[[nodiscard]] RONDO_EXPORT std::ptrdiff_t live_blocks() noexcept;

}  // namespace detail
}  // namespace v0
}  // namespace rondo
