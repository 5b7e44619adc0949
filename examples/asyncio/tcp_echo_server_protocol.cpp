// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  A TCP echo server with a protocol class.
// Python: tcp_echo_server_protocol.py
#include <rondo/rondo.hpp>

#include <fmt/core.h>

#include <cstdio>
#include <memory>
#include <string_view>
#include <utility>

class echo_server_protocol : public rondo::protocol {
 public:
  void connection_made(std::shared_ptr<rondo::transport> transport) override {
    fmt::print("Connection from '{}'\n", transport->peername()->host());
    transport_ = std::move(transport);
  }

  void data_received(std::string_view data) override {
    fmt::print("Data received: '{}'\nSend: '{}'\n", data, data);
    transport_->write(data);
    fmt::print("Close the client socket\n");
    std::fflush(stdout);
    transport_->close();
  }

 private:
  std::shared_ptr<rondo::transport> transport_;
};

static rondo::coro<> run_example() {
  auto& loop = rondo::get_running_loop();
  const auto factory = [] { return std::make_shared<echo_server_protocol>(); };
  rondo::server server = co_await loop.create_server(factory, "127.0.0.1", 0);
  fmt::print("READY {}\n", server.sockets().front().getsockname().port());
  std::fflush(stdout);
  const auto serve = [](rondo::server& serving) { return serving.serve_forever(); };
  co_await rondo::with_server(std::move(server), serve);
}

int main() { rondo::run(run_example()); }
