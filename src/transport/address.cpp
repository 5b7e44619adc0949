// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Addresses: text, comparison, and what the kernel wants.
#include <rondo/address.hpp>

#include "os/syscalls.hpp"
#include "transport/raw_address.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <optional>
#include <stdexcept>
#include <system_error>

namespace rondo {
inline namespace v0 {
namespace {

constexpr std::size_t unix_offset = offsetof(::sockaddr_un, sun_path);
constexpr std::size_t unix_capacity = sizeof(::sockaddr_un) - unix_offset;
constexpr std::size_t family_size = sizeof(::sa_family_t);

// Inputs come from outside: what is shown of them is bounded and printable.
std::string quoted(std::string_view text) {
  constexpr std::size_t shown = 120;
  std::string result = "'";
  for (const char c : text.substr(0, shown)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) {
      result += fmt::format("\\x{:02x}", byte);
    } else {
      result += c;
    }
  }
  result += text.size() > shown ? "...'" : "'";
  return result;
}

[[noreturn]] void refuse(std::string_view what, std::string_view text) {
  throw std::invalid_argument(fmt::format("{}: {}", what, quoted(text)));
}

std::optional<std::uint32_t> to_number(std::string_view digits, std::uint32_t most) noexcept {
  std::uint32_t number = 0;
  const char* const end = digits.data() + digits.size();
  const auto [stop, error] = std::from_chars(digits.data(), end, number);
  if (digits.empty() || error != std::errc() || stop != end || number > most) return std::nullopt;
  return number;
}

// inet_pton wants a terminated string; a NUL inside must not end the text early.
bool read_ip(int family, std::string_view text, void* bytes) noexcept {
  std::array<char, INET6_ADDRSTRLEN + 1> terminated = {};
  if (text.size() >= terminated.size() || text.find('\0') != text.npos) return false;
  std::copy(text.begin(), text.end(), terminated.begin());
  return ::inet_pton(family, terminated.data(), bytes) == 1;
}

std::optional<std::uint32_t> read_scope(std::string_view zone) {
  if (zone.empty() || zone.find('\0') != zone.npos) return std::nullopt;
  if (const auto number = to_number(zone, 0xffffffffU)) return number;
  if (zone.size() >= IF_NAMESIZE) return std::nullopt;
  const unsigned index = os::sys.if_nametoindex(std::string(zone).c_str());
  if (index == 0) return std::nullopt;
  return index;
}

}  // namespace

address::address(std::string_view ip, std::uint16_t port) : port_(port) {
  if (read_ip(AF_INET, ip, inline_.data())) {
    family_ = AF_INET;
    form_ = form::ipv4;
    return;
  }
  const std::size_t percent = ip.find('%');
  if (!read_ip(AF_INET6, ip.substr(0, percent), inline_.data())) {
    refuse("not an IPv4 or IPv6 address", ip);
  }
  if (percent != ip.npos) {
    const auto scope = read_scope(ip.substr(percent + 1));
    if (!scope) refuse("no such network interface in address", ip);
    scope_ = *scope;
  }
  family_ = AF_INET6;
  form_ = form::ipv6;
}

address address::unix_path(std::string_view path) {
  const bool abstract = !path.empty() && path.front() == '\0';
  if (!abstract && path.find('\0') != path.npos) refuse("NUL in the path of a unix socket", path);
  // A path is terminated by a NUL, an abstract name by its length.
  if (path.size() > (abstract ? unix_capacity : unix_capacity - 1)) {
    refuse(fmt::format("path of a unix socket is longer than {} bytes",
                       abstract ? unix_capacity : unix_capacity - 1),
           path);
  }
  address result;
  result.set_bytes(form::path, AF_UNIX, path);
  return result;
}

address address::parse(std::string_view text) {
  if (!text.empty() && text.front() == '/') return unix_path(text);
  if (!text.empty() && text.front() == '@') {
    std::string name(text);
    name.front() = '\0';
    return unix_path(name);
  }
  const std::size_t colon = text.rfind(':');
  if (colon == text.npos)
    refuse("an address needs a port, as in '127.0.0.1:80' or '[::1]:80'", text);
  std::string_view host = text.substr(0, colon);
  const bool bracketed = host.size() >= 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) {
    host = host.substr(1, host.size() - 2);
  }
  if (bracketed != (host.find(':') != host.npos)) {
    refuse("an IPv6 address stands in brackets, as in '[::1]:80', and no other does", text);
  }
  const auto port = to_number(text.substr(colon + 1), 0xffff);
  if (!port) refuse("not a port between 0 and 65535 in address", text);
  return address(host, static_cast<std::uint16_t>(*port));
}

address::address(const address& other)
    : inline_(other.inline_),
      scope_(other.scope_),
      flow_(other.flow_),
      port_(other.port_),
      family_(other.family_),
      form_(form::none) {
  if (other.on_heap()) {
    set_bytes(other.form_, other.family_, other.bytes());
  } else {
    form_ = other.form_;
  }
}

address& address::operator=(const address& other) {
  address copy(other);
  swap(copy);
  return *this;
}

bool address::is_loopback() const noexcept {
  if (form_ == form::ipv4) return inline_[0] == 127;
  if (form_ != form::ipv6) return false;
  return std::all_of(inline_.begin(), inline_.end() - 1, [](unsigned char b) { return b == 0; }) &&
         inline_.back() == 1;
}

std::string address::host() const {
  if (!is_ipv4() && !is_ipv6()) return {};
  std::array<char, INET6_ADDRSTRLEN> text;
  std::string result = ::inet_ntop(family_, inline_.data(), text.data(), text.size());
  if (scope_ != 0) {
    std::array<char, IF_NAMESIZE> name;
    const char* const zone = os::sys.if_indextoname(scope_, name.data());
    result += '%';
    result += zone != nullptr ? std::string(zone) : std::to_string(scope_);
  }
  return result;
}

std::string address::path() const { return is_unix() ? std::string(bytes()) : std::string(); }

std::string address::to_string() const {
  switch (form_) {
    case form::none:
      return {};
    case form::ipv4:
      return fmt::format("{}:{}", host(), port_);
    case form::ipv6:
      return fmt::format("[{}]:{}", host(), port_);
    case form::path: {
      std::string text = path();
      if (!text.empty() && text.front() == '\0') text.front() = '@';
      return text;
    }
    case form::other:
      break;
  }
  return fmt::format("address of family {}", family_);
}

std::size_t address::hash() const noexcept {
  const std::string_view content = bytes();
  const std::size_t numbers = (std::size_t{family_} << 16U | port_) ^ (std::size_t{scope_} << 32U);
  return std::hash<std::string_view>()(content) ^ (numbers * 0x9e3779b97f4a7c15U);
}

std::string_view address::bytes() const noexcept {
  if (on_heap()) {
    heap_bytes held;
    std::memcpy(&held, inline_.data(), sizeof held);
    return {held.data, held.size};
  }
  return {reinterpret_cast<const char*>(inline_.data()), inline_.size()};
}

void address::set_bytes(form what, int family, std::string_view bytes) {
  heap_bytes held{nullptr, bytes.size()};
  if (!bytes.empty()) {
    held.data = new char[bytes.size()];
    std::copy(bytes.begin(), bytes.end(), held.data);
  }
  std::memcpy(inline_.data(), &held, sizeof held);
  family_ = static_cast<std::uint16_t>(family);
  form_ = what;
}

void address::free_bytes() noexcept { delete[] bytes().data(); }

std::strong_ordering address::compare(const address& other) const noexcept {
  if (const auto order = family_ <=> other.family_; order != 0) return order;
  if (const auto order = form_ <=> other.form_; order != 0) return order;
  if (const auto order = bytes() <=> other.bytes(); order != 0) return order;
  if (const auto order = port_ <=> other.port_; order != 0) return order;
  if (const auto order = scope_ <=> other.scope_; order != 0) return order;
  return flow_ <=> other.flow_;
}

namespace detail {

struct address_access {
  static address read(const void* raw, std::size_t size) {
    address result;
    ::sa_family_t family = AF_UNSPEC;
    if (size < family_size) return result;
    std::memcpy(&family, raw, family_size);
    const char* const bytes = static_cast<const char*>(raw);
    if (family == AF_INET && size >= sizeof(::sockaddr_in)) {
      ::sockaddr_in in;
      std::memcpy(&in, raw, sizeof in);
      std::memcpy(result.inline_.data(), &in.sin_addr, sizeof in.sin_addr);
      result.port_ = ntohs(in.sin_port);
      result.family_ = family;
      result.form_ = address::form::ipv4;
    } else if (family == AF_INET6 && size >= sizeof(::sockaddr_in6)) {
      ::sockaddr_in6 in;
      std::memcpy(&in, raw, sizeof in);
      std::memcpy(result.inline_.data(), &in.sin6_addr, sizeof in.sin6_addr);
      result.port_ = ntohs(in.sin6_port);
      result.scope_ = in.sin6_scope_id;
      result.flow_ = in.sin6_flowinfo;
      result.family_ = family;
      result.form_ = address::form::ipv6;
    } else if (family == AF_UNIX) {
      std::string_view path(bytes + unix_offset, size - unix_offset);
      // The kernel counts the terminator of a path in or not, depending on who bound it; in an
      // abstract name every byte counts.
      if (!path.empty() && path.front() != '\0') path = path.substr(0, path.find('\0'));
      result.set_bytes(address::form::path, family, path);
    } else if (family != AF_UNSPEC) {
      result.set_bytes(address::form::other, family, {bytes + family_size, size - family_size});
    }
    return result;
  }

  static raw_address write(const address& value) {
    raw_address raw;
    switch (value.form_) {
      case address::form::none:
        throw std::invalid_argument("an empty address");
      case address::form::ipv4: {
        ::sockaddr_in in = {};
        in.sin_family = AF_INET;
        in.sin_port = htons(value.port_);
        std::memcpy(&in.sin_addr, value.inline_.data(), sizeof in.sin_addr);
        std::memcpy(&raw.storage, &in, sizeof in);
        raw.size = sizeof in;
        break;
      }
      case address::form::ipv6: {
        ::sockaddr_in6 in = {};
        in.sin6_family = AF_INET6;
        in.sin6_port = htons(value.port_);
        in.sin6_flowinfo = value.flow_;
        in.sin6_scope_id = value.scope_;
        std::memcpy(&in.sin6_addr, value.inline_.data(), sizeof in.sin6_addr);
        std::memcpy(&raw.storage, &in, sizeof in);
        raw.size = sizeof in;
        break;
      }
      case address::form::path: {
        const std::string_view path = value.bytes();
        write_bytes(raw, value.family_, path, unix_offset);
        if (!path.empty() && path.front() != '\0') ++raw.size;  // its terminator
        break;
      }
      case address::form::other:
        write_bytes(raw, value.family_, value.bytes(), family_size);
        break;
    }
    return raw;
  }

 private:
  static void write_bytes(raw_address& raw, int family, std::string_view bytes,
                          std::size_t offset) noexcept {
    raw.storage.ss_family = static_cast<::sa_family_t>(family);
    const std::size_t size = std::min(bytes.size(), sizeof raw.storage - offset - 1);
    std::copy_n(bytes.data(), size, reinterpret_cast<char*>(&raw.storage) + offset);
    raw.size = static_cast<::socklen_t>(offset + size);
  }
};

address to_address(const void* raw, std::size_t size) { return address_access::read(raw, size); }

raw_address to_raw(const address& value) { return address_access::write(value); }

}  // namespace detail
}  // namespace v0
}  // namespace rondo
