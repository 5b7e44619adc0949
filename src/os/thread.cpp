// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Which thread this is.
#include "thread.hpp"

#include <unistd.h>

namespace rondo {
inline namespace v0 {
namespace os {

bool is_main_thread() noexcept { return ::gettid() == ::getpid(); }

}  // namespace os
}  // namespace v0
}  // namespace rondo
