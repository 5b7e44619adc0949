// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Protocols of the library itself.
#pragma once

#include <rondo/protocols.hpp>

namespace rondo {
inline namespace v0 {
namespace detail {

/// A protocol whose `get_buffer` and `buffer_updated` call nobody's code: they run in no context of
/// their own, give memory always, and leave the transport and its protocol as they are.
class own_protocol : public buffered_protocol {};

}  // namespace detail
}  // namespace v0
}  // namespace rondo
