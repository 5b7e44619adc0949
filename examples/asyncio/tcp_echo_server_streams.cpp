// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  A TCP echo server with streams: one message per connection.
// Python: tcp_echo_server_streams.py
#include <rondo/rondo.hpp>

#include <fmt/core.h>

#include <cstdio>
#include <string>
#include <utility>

static rondo::coro<> handle_echo(rondo::stream_reader reader, rondo::stream_writer writer) {
  const std::string data = co_await reader.read(100);
  fmt::print("Received '{}' from '{}'\n", data, writer.transport()->peername()->host());
  fmt::print("Send: '{}'\n", data);
  writer.write(data);
  co_await writer.drain();
  fmt::print("Close the connection\n");
  std::fflush(stdout);
  writer.close();
  co_await writer.wait_closed();
}

static rondo::coro<> run_example() {
  rondo::server server = co_await rondo::start_server(handle_echo, "127.0.0.1", 0);
  const auto address = server.sockets().front().getsockname();
  fmt::print("Serving on {}\nREADY {}\n", address.host(), address.port());
  std::fflush(stdout);
  const auto serve = [](rondo::server& serving) { return serving.serve_forever(); };
  co_await rondo::with_server(std::move(server), serve);
}

int main() { rondo::run(run_example()); }
