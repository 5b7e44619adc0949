// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Addresses as the kernel wants them.
#pragma once

#include <rondo/address.hpp>
#include <rondo/detail/export.hpp>

#include <sys/socket.h>

#include <cstddef>

namespace rondo {
inline namespace v0 {
namespace detail {

/// A socket address as the kernel writes and reads it.
struct raw_address {
  ::sockaddr_storage storage = {};
  ::socklen_t size = sizeof(::sockaddr_storage);

  [[nodiscard]] ::sockaddr* get() noexcept { return reinterpret_cast<::sockaddr*>(&storage); }
  [[nodiscard]] const ::sockaddr* get() const noexcept {
    return reinterpret_cast<const ::sockaddr*>(&storage);
  }
};

/// What the kernel wrote. An empty one becomes an address of no family.
[[nodiscard]] RONDO_EXPORT address to_address(const void* raw, std::size_t size);
[[nodiscard]] inline address to_address(const raw_address& raw) {
  return to_address(&raw.storage, raw.size);
}

/// @throws std::invalid_argument  it is no address
[[nodiscard]] RONDO_EXPORT raw_address to_raw(const address& value);

}  // namespace detail
}  // namespace v0
}  // namespace rondo
