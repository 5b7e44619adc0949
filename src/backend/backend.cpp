// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  The seam between a loop and the kernel.
#include <rondo/backend.hpp>
#include <rondo/selector.hpp>

#include <cerrno>

namespace rondo {
inline namespace v0 {

backend::~backend() = default;

selector::~selector() = default;

int selector::reset() noexcept { return ENOSYS; }

}  // namespace v0
}  // namespace rondo
