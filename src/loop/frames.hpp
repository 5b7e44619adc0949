// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  What a coroutine frame of this library begins with.
#pragma once

#include <rondo/detail/task_core.hpp>

namespace rondo {
inline namespace v0 {
namespace detail {

// Where the promise stands is part of both compilers' ABI: behind the two function pointers, for
// all promises that are aligned to 16 bytes at most (coro_promise asserts it).
inline coro_promise_base& promise_of(void* frame) noexcept {
  return *reinterpret_cast<coro_promise_base*>(static_cast<char*>(frame) + 2 * sizeof(void*));
}

}  // namespace detail
}  // namespace v0
}  // namespace rondo
