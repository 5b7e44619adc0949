// SPDX-License-Identifier: MIT
// rondo: asyncio for C++20.  The version of the library that is linked.
#include <rondo/version.hpp>

#define RONDO_STRINGIFY_(x) #x
#define RONDO_STRINGIFY(x) RONDO_STRINGIFY_(x)

namespace rondo {
inline namespace v0 {

const char* version() noexcept {
  return RONDO_STRINGIFY(RONDO_VERSION_MAJOR) "." RONDO_STRINGIFY(
      RONDO_VERSION_MINOR) "." RONDO_STRINGIFY(RONDO_VERSION_PATCH);
}

}  // namespace v0
}  // namespace rondo
