// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  A TCP echo client with streams.
// Python: tcp_echo_client_streams.py
#include <rondo/rondo.hpp>

#include <fmt/core.h>

#include <cstdint>
#include <cstdlib>
#include <string>

static rondo::coro<> tcp_echo_client(std::string message, std::uint16_t port) {
  auto [reader, writer] = co_await rondo::open_connection("127.0.0.1", port);
  fmt::print("Send: '{}'\n", message);
  writer.write(message);
  co_await writer.drain();
  const std::string data = co_await reader.read(100);
  fmt::print("Received: '{}'\n", data);
  fmt::print("Close the connection\n");
  writer.close();
  co_await writer.wait_closed();
}

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  rondo::run(tcp_echo_client("Hello World!", static_cast<std::uint16_t>(std::atoi(argv[1]))));
}
