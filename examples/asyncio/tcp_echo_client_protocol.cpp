// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  A TCP echo client with a protocol class.
// Python: tcp_echo_client_protocol.py
#include <rondo/rondo.hpp>

#include <fmt/core.h>

#include <cstdint>
#include <cstdlib>
#include <exception>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

class echo_client_protocol : public rondo::protocol {
 public:
  echo_client_protocol(std::string message, rondo::future<> on_connection_lost)
      : message_(std::move(message)), on_connection_lost_(std::move(on_connection_lost)) {}

  void connection_made(std::shared_ptr<rondo::transport> transport) override {
    transport->write(message_);
    fmt::print("Data sent: '{}'\n", message_);
  }

  void data_received(std::string_view data) override { fmt::print("Data received: '{}'\n", data); }

  void connection_lost(std::exception_ptr) override {
    fmt::print("The server closed the connection\n");
    on_connection_lost_.set_result();
  }

 private:
  std::string message_;
  rondo::future<> on_connection_lost_;
};

static rondo::coro<> run_example(std::uint16_t port) {
  auto& loop = rondo::get_running_loop();
  auto on_connection_lost = loop.create_future();
  const auto factory = [on_connection_lost] {
    return std::make_shared<echo_client_protocol>("Hello World!", on_connection_lost);
  };
  auto [transport, protocol] = co_await loop.create_connection(factory, "127.0.0.1", port);
  co_await on_connection_lost;
  transport->close();
}

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  rondo::run(run_example(static_cast<std::uint16_t>(std::atoi(argv[1]))));
}
