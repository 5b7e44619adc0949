// SPDX-License-Identifier: MIT
// rondo benchmarks: the echo server as a protocol, written as asyncio's documentation shows it.
#include "server_common.h"

#include <rondo/rondo.hpp>

#include <csignal>
#include <cstdint>
#include <exception>
#include <memory>
#include <string_view>
#include <utility>

namespace {

class echo_protocol : public rondo::protocol {
 public:
  void connection_made(std::shared_ptr<rondo::transport> transport) override {
    transport_ = std::move(transport);
  }

  void data_received(std::string_view data) override { transport_->write(data); }

  // A client that does not read its answers is not read from.
  void pause_writing() override { transport_->pause_reading(); }
  void resume_writing() override { transport_->resume_reading(); }

  void connection_lost(std::exception_ptr) override { transport_.reset(); }

 private:
  std::shared_ptr<rondo::transport> transport_;
};

rondo::coro<> serve(int port) {
  rondo::event_loop& loop = rondo::get_running_loop();
  auto stopped = loop.create_future();
  auto stop = [stopped] {
    if (!stopped.done()) stopped.set_result();
  };
  loop.add_signal_handler(SIGTERM, stop);
  loop.add_signal_handler(SIGINT, stop);
  loop.add_signal_handler(SIGUSR1, server_report);

  auto factory = [] { return std::make_shared<echo_protocol>(); };
  rondo::server server = co_await loop.create_server(
      factory, "127.0.0.1", static_cast<std::uint16_t>(port), {.backlog = 4096});
  server_ready(server.sockets().front().getsockname().port());

  co_await stopped;
  server.close();
  server.abort_clients();
  co_await server.wait_closed();
}

}  // namespace

int main(int argc, char** argv) {
  server_args args = server_start(argc, argv);
  rondo::run(serve(args.port));
}
