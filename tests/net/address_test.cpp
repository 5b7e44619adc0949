// SPDX-License-Identifier: MIT
// rondo tests: addresses.
#include <rondo/address.hpp>

#include "support/catch.hpp"
#include "support/fault_table.hpp"
#include "transport/raw_address.hpp"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <cstring>
#include <set>
#include <stdexcept>
#include <string>
#include <unordered_set>
#include <utility>

namespace {

using rondo::address;
using namespace std::string_literals;

std::string complaint(void (*f)(const std::string&), const std::string& text) {
  try {
    f(text);
  } catch (const std::invalid_argument& e) {
    return e.what();
  }
  return {};
}

TEST_CASE("address: IPv4", "[address]") {
  const address a("192.0.2.7", 8080);
  CHECK(a.family() == AF_INET);
  CHECK(a.is_ipv4());
  CHECK(a.host() == "192.0.2.7");
  CHECK(a.port() == 8080);
  CHECK(a.path().empty());
  CHECK(a.to_string() == "192.0.2.7:8080");
  CHECK_FALSE(a.is_loopback());
  CHECK(address("127.3.2.1", 0).is_loopback());
}

TEST_CASE("address: IPv6 with and without scope", "[address]") {
  const address a("2001:db8:0:0::1", 443);
  CHECK(a.family() == AF_INET6);
  CHECK(a.host() == "2001:db8::1");
  CHECK(a.to_string() == "[2001:db8::1]:443");
  CHECK(a.scope_id() == 0);
  CHECK(address("::1", 1).is_loopback());
  CHECK_FALSE(address("::2", 1).is_loopback());
  CHECK_FALSE(address("1::1", 1).is_loopback());

  const unsigned lo = ::if_nametoindex("lo");
  const address named("fe80::1%lo", 5);
  CHECK(named.scope_id() == lo);
  CHECK(named.host() == "fe80::1%lo");
  CHECK(named.to_string() == "[fe80::1%lo]:5");
  const address numbered("fe80::1%" + std::to_string(lo), 5);
  CHECK(numbered == named);
  CHECK(numbered != address("fe80::1", 5));
  // An interface that is gone keeps its number.
  CHECK(address("fe80::1%4000000", 5).host() == "fe80::1%4000000");
}

TEST_CASE("address: unix paths", "[address]") {
  const address a = address::unix_path("/run/app.sock");
  CHECK(a.family() == AF_UNIX);
  CHECK(a.is_unix());
  CHECK(a.path() == "/run/app.sock");
  CHECK(a.host().empty());
  CHECK(a.port() == 0);
  CHECK(a.to_string() == "/run/app.sock");

  const address abstract = address::unix_path("\0name\0x"s);
  CHECK(abstract.path() == "\0name\0x"s);
  CHECK(abstract.to_string() == "@name\0x"s);
  CHECK(address::unix_path("").path().empty());

  CHECK_NOTHROW(address::unix_path(std::string(107, 'p')));
  CHECK_THROWS_AS(address::unix_path(std::string(108, 'p')), std::invalid_argument);
  CHECK_NOTHROW(address::unix_path("\0"s + std::string(107, 'p')));
  CHECK_THROWS_AS(address::unix_path("\0"s + std::string(108, 'p')), std::invalid_argument);
  CHECK_THROWS_AS(address::unix_path("a\0b"s), std::invalid_argument);
}

TEST_CASE("address: parse reads what to_string writes", "[address]") {
  for (const char* text :
       {"127.0.0.1:80", "[::1]:0", "[fe80::1%lo]:65535", "/run/x", "@abstract"}) {
    CAPTURE(text);
    CHECK(address::parse(text).to_string() == text);
  }
  CHECK(address::parse("[::1%1]:80").scope_id() == 1);
}

TEST_CASE("address: bad text is refused, and named", "[address]") {
  const auto parse = [](const std::string& text) { static_cast<void>(address::parse(text)); };
  for (const std::string& text : {""s,
                                  "127.0.0.1"s,
                                  "127.0.0.1:"s,
                                  "127.0.0.1:65536"s,
                                  "127.0.0.1:-1"s,
                                  "127.0.0.1:+1"s,
                                  "127.0.0.1: 80"s,
                                  "127.0.0.1:80 "s,
                                  "::1:80"s,
                                  "[::1]"s,
                                  "[::1]80"s,
                                  "[127.0.0.1]:80"s,
                                  "localhost:80"s,
                                  "127.0.0.1\0:80"s,
                                  "[fe80::1%]:80"s,
                                  "[fe80::1%nosuchif0]:80"s,
                                  "[fe80::1%averyveryverylonginterfacename]:80"s,
                                  "127.1:80"s,
                                  "0x7f000001:80"s,
                                  "[::ffff:1.2.3.4.5]:1"s,
                                  "1:2:3"s,
                                  ":80"s,
                                  "[]:80"s,
                                  "127.0.0.1:99999999999999999999"s}) {
    CAPTURE(text);
    const std::string said = complaint(+parse, text);
    CHECK_FALSE(said.empty());
  }
  CHECK(complaint(+parse, "localhost:80").find("'localhost'") != std::string::npos);
  const auto ip = [](const std::string& text) { static_cast<void>(address(text, 1)); };
  CHECK(complaint(+ip, "127.0.0.256").find("127.0.0.256") != std::string::npos);
  CHECK_FALSE(complaint(+ip, "127.0.0.1\0"s).empty());
  CHECK_FALSE(complaint(+ip, "127.0.0.1%lo").empty());
  CHECK_FALSE(complaint(+ip, std::string(1000, '1')).empty());
  CHECK(complaint(+ip, "a\nb").find("a\\x0ab") != std::string::npos);
}

TEST_CASE("address: values", "[address]") {
  CHECK(sizeof(address) <= 40);
  const address none;
  CHECK(none.family() == 0);
  CHECK(none.to_string().empty());
  CHECK(none == address());

  address path = address::unix_path("/a/rather/long/path/that/lives/on/the/heap");
  address copy = path;
  CHECK(copy == path);
  copy = address("127.0.0.1", 1);
  CHECK(copy != path);
  copy = path;
  copy = *&copy;
  CHECK(copy.path() == path.path());
  address moved = std::move(copy);
  CHECK(moved == path);
  moved = address("::1", 9);
  CHECK(moved.port() == 9);

  CHECK(address("127.0.0.1", 1) < address("127.0.0.1", 2));
  CHECK(address("127.0.0.1", 9) < address("127.0.0.2", 1));
  const std::set<address> ordered{path, none, address("::1", 1), address("127.0.0.1", 1)};
  CHECK(ordered.size() == 4);
  const std::unordered_set<address> hashed{path, path, address("::1", 1), address("::1", 2)};
  CHECK(hashed.size() == 3);
  CHECK(std::hash<address>()(path) == std::hash<address>()(address::unix_path(path.path())));
}

TEST_CASE("address: to the kernel and back", "[address]") {
  for (const address& a :
       {address("10.1.2.3", 4), address("fe80::5%lo", 6), address::unix_path("/tmp/s"),
        address::unix_path("\0abc"s), address::unix_path("")}) {
    CAPTURE(a.to_string());
    const auto raw = rondo::detail::to_raw(a);
    CHECK(raw.get()->sa_family == a.family());
    CHECK(rondo::detail::to_address(raw) == a);
  }
  CHECK_THROWS_AS(rondo::detail::to_raw(address()), std::invalid_argument);

  // What is not known keeps its bytes.
  rondo::detail::raw_address other;
  other.storage.ss_family = AF_NETLINK;
  reinterpret_cast<char*>(&other.storage)[4] = 7;
  other.size = 12;
  const address opaque = rondo::detail::to_address(other);
  CHECK(opaque.family() == AF_NETLINK);
  const auto again = rondo::detail::to_raw(opaque);
  REQUIRE(again.size == 12);
  CHECK(std::memcmp(&again.storage, &other.storage, 12) == 0);

  CHECK(rondo::detail::to_address(&other.storage, 0) == address());
  // The kernel may or may not count the terminator of a path.
  ::sockaddr_un un = {};
  un.sun_family = AF_UNIX;
  std::strcpy(un.sun_path, "/x");
  CHECK(rondo::detail::to_address(&un, offsetof(::sockaddr_un, sun_path) + 2).path() == "/x");
  CHECK(rondo::detail::to_address(&un, offsetof(::sockaddr_un, sun_path) + 3).path() == "/x");
  CHECK(rondo::detail::to_address(&un, sizeof un).path() == "/x");
}

}  // namespace
