// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Addresses: where a socket is, and where its peer is.
#pragma once

#include <rondo/detail/export.hpp>

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>

namespace rondo {
inline namespace v0 {
namespace detail {
struct address_access;
}  // namespace detail

/// The address of a socket: IPv4, IPv6 with its scope, or a unix socket's path.
///
/// A value of 32 bytes; only paths take memory of their own. Ordered and hashable.
///
/// @par asyncio
/// The tuples and strings that `sock.getsockname()` returns.
/// @par Thread safety
/// As an int.
class RONDO_EXPORT address {
 public:
  /// No address: family 0.
  address() noexcept = default;

  /// An IPv4 or IPv6 address in its usual text form, without brackets; "fe80::1%eth0" and
  /// "fe80::1%2" have a scope.
  /// @throws std::invalid_argument  it is no such address, or there is no such interface
  address(std::string_view ip, std::uint16_t port);

  /// The address of a unix socket. A leading NUL makes it abstract: it is in no file system. An
  /// empty path is that of an unbound socket.
  /// @throws std::invalid_argument  longer than 107 bytes (abstract: 108), or with a NUL inside a
  /// path
  [[nodiscard]] static address unix_path(std::string_view path);

  /// Reads what `to_string` writes: "127.0.0.1:80", "[::1]:80", "[fe80::1%eth0]:80",
  /// "/run/app.sock", "@abstract".
  /// @throws std::invalid_argument  it is none of these; the text is in the message
  [[nodiscard]] static address parse(std::string_view text);

  address(const address& other);
  address(address&& other) noexcept : address() { swap(other); }
  address& operator=(const address& other);
  address& operator=(address&& other) noexcept {
    swap(other);
    return *this;
  }
  ~address() {
    if (on_heap()) free_bytes();
  }

  /// AF_INET, AF_INET6, AF_UNIX, another AF_* number, or 0.
  [[nodiscard]] int family() const noexcept { return family_; }
  [[nodiscard]] bool is_ipv4() const noexcept { return form_ == form::ipv4; }
  [[nodiscard]] bool is_ipv6() const noexcept { return form_ == form::ipv6; }
  [[nodiscard]] bool is_unix() const noexcept { return form_ == form::path; }
  /// Whether it is of this machine only: 127.0.0.0/8 or ::1.
  [[nodiscard]] bool is_loopback() const noexcept;

  /// The IP address as text, a scope after '%'; empty for other families.
  [[nodiscard]] std::string host() const;
  /// The port; 0 for other families.
  [[nodiscard]] std::uint16_t port() const noexcept { return port_; }
  /// The path of a unix socket, with a leading NUL if it is abstract; empty for other families.
  [[nodiscard]] std::string path() const;
  /// The number of the interface that an IPv6 address is tied to, or 0.
  [[nodiscard]] std::uint32_t scope_id() const noexcept { return scope_; }

  /// "127.0.0.1:80", "[::1]:80", "/run/app.sock", "@abstract".
  [[nodiscard]] std::string to_string() const;

  [[nodiscard]] std::size_t hash() const noexcept;

  friend bool operator==(const address& a, const address& b) noexcept {
    return a.compare(b) == std::strong_ordering::equal;
  }
  friend std::strong_ordering operator<=>(const address& a, const address& b) noexcept {
    return a.compare(b);
  }

 private:
  friend struct detail::address_access;

  enum class form : std::uint8_t { none, ipv4, ipv6, path, other };
  struct heap_bytes {
    char* data;
    std::size_t size;
  };

  [[nodiscard]] bool on_heap() const noexcept { return form_ >= form::path; }
  [[nodiscard]] std::string_view bytes() const noexcept;
  void set_bytes(form what, int family, std::string_view bytes);
  void free_bytes() noexcept;
  [[nodiscard]] std::strong_ordering compare(const address& other) const noexcept;
  void swap(address& other) noexcept {
    std::swap(inline_, other.inline_);
    std::swap(scope_, other.scope_);
    std::swap(flow_, other.flow_);
    std::swap(port_, other.port_);
    std::swap(family_, other.family_);
    std::swap(form_, other.form_);
  }

  // The IP address in network order, or a heap_bytes.
  alignas(heap_bytes) std::array<unsigned char, 16> inline_ = {};
  std::uint32_t scope_ = 0;
  std::uint32_t flow_ = 0;  // in network order
  std::uint16_t port_ = 0;
  std::uint16_t family_ = 0;
  form form_ = form::none;
};
static_assert(sizeof(address) <= 40);

/// One answer of a resolver.
///
/// @par asyncio
/// The tuples that `loop.getaddrinfo` returns.
struct address_info {
  address_info() = default;
  address_info(int family_number, int type_number, int proto_number, rondo::address where,
               std::string name = {})
      : family(family_number),
        type(type_number),
        proto(proto_number),
        canonname(std::move(name)),
        address(std::move(where)) {}

  int family = 0;         ///< AF_*
  int type = 0;           ///< SOCK_*
  int proto = 0;          ///< IPPROTO_*
  std::string canonname;  ///< the name's canonical form, if it was asked for
  rondo::address address;
};

}  // namespace v0
}  // namespace rondo

template <>
struct std::hash<rondo::address> {
  std::size_t operator()(const rondo::address& value) const noexcept { return value.hash(); }
};
