// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  The queue between threads and a loop, compiled once.
#include "inbox.hpp"

#include <rondo/backend.hpp>

namespace rondo {
inline namespace v0 {
namespace detail {

template class basic_inbox<backend>;

}  // namespace detail
}  // namespace v0
}  // namespace rondo
