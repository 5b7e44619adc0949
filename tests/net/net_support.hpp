// SPDX-License-Identifier: MIT
// rondo tests: sockets, ports and names for the tests of connecting.
#pragma once

#include <rondo/address.hpp>
#include <rondo/event_loop.hpp>
#include <rondo/socket.hpp>

#include "resolver/resolver.hpp"
#include "transport/connect.hpp"

#include <sys/socket.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <iterator>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace rondo_test {

/// How many descriptors this process has.
inline std::size_t open_descriptors() {
  const std::filesystem::directory_iterator all("/proc/self/fd");
  return static_cast<std::size_t>(std::distance(begin(all), end(all))) - 1;  // its own
}

/// Says at the end of a test whether descriptors were left open.
class descriptor_count {
 public:
  descriptor_count() : before_(open_descriptors()) {}
  [[nodiscard]] bool unchanged() const { return open_descriptors() == before_; }

 private:
  std::size_t before_;
};

/// A listening socket on a port of its own.
class listener {
 public:
  explicit listener(std::string_view host = "127.0.0.1", int backlog = 16)
      : socket_(rondo::address(host, 0).family(), SOCK_STREAM) {
    socket_.bind(rondo::address(host, 0));
    socket_.listen(backlog);
  }
  [[nodiscard]] rondo::socket& get() noexcept { return socket_; }
  [[nodiscard]] rondo::address where() const { return socket_.getsockname(); }
  [[nodiscard]] std::uint16_t port() const { return where().port(); }
  [[nodiscard]] std::string service() const { return std::to_string(port()); }

 private:
  rondo::socket socket_;
};

/// A port on which nobody listens, as long as this lives.
class closed_port {
 public:
  explicit closed_port(std::string_view host = "127.0.0.1")
      : socket_(rondo::address(host, 0).family(), SOCK_STREAM) {
    socket_.bind(rondo::address(host, 0));
  }
  [[nodiscard]] rondo::address where() const { return socket_.getsockname(); }
  [[nodiscard]] std::uint16_t port() const { return where().port(); }
  [[nodiscard]] std::string service() const { return std::to_string(port()); }

 private:
  rondo::socket socket_;
};

/// An address that answers no request to connect: the queue of its listener is full.
class silent_listener {
 public:
  silent_listener();
  [[nodiscard]] rondo::address where() const { return listener_.where(); }
  [[nodiscard]] std::string service() const { return listener_.service(); }

 private:
  listener listener_;
  std::vector<rondo::socket> fillers_;
};

/// A stream socket's answer for an address.
inline rondo::address_info stream_to(const rondo::address& where) {
  return rondo::address_info(where.family(), SOCK_STREAM, 0, where);
}

/// Makes every name of the loop mean these addresses, in this order.
inline void resolve_all_to(rondo::event_loop& loop, std::vector<rondo::address> addresses) {
  auto answer =
      [](std::vector<rondo::address> given) -> rondo::coro<std::vector<rondo::address_info>> {
    std::vector<rondo::address_info> result;
    for (const auto& each : given) result.push_back(stream_to(each));
    co_return result;
  };
  loop.set_resolver([addresses, answer](std::string, std::string, rondo::resolve_options) {
    return answer(addresses);
  });
}

/// Waits until no more than so many threads of the resolver ask something.
inline void wait_for_resolver(std::size_t asking = 0) {
  for (;;) {
    const auto load = rondo::detail::load_of_resolver();
    if (load.asking <= asking && load.queued == 0) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

}  // namespace rondo_test
