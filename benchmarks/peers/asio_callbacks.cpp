// SPDX-License-Identifier: MIT
// rondo benchmarks: echo server with standalone Asio's completion handlers.
#include "../net/server_common.h"

#include <asio.hpp>

#include <array>
#include <csignal>
#include <memory>
#include <utility>

using asio::ip::tcp;

namespace {

class session : public std::enable_shared_from_this<session> {
 public:
  explicit session(tcp::socket socket) : socket_(std::move(socket)) {}

  void read() {
    auto self = shared_from_this();
    socket_.async_read_some(asio::buffer(data_), [this, self](auto error, std::size_t size) {
      if (!error) write(size);
    });
  }

 private:
  void write(std::size_t size) {
    auto self = shared_from_this();
    asio::async_write(socket_, asio::buffer(data_, size), [this, self](auto error, std::size_t) {
      if (!error) read();
    });
  }

  tcp::socket socket_;
  std::array<char, 65536> data_;
};

void accept(tcp::acceptor& acceptor) {
  acceptor.async_accept([&acceptor](auto error, tcp::socket socket) {
    if (!acceptor.is_open()) return;
    if (!error) {
      socket.set_option(tcp::no_delay(true));
      std::make_shared<session>(std::move(socket))->read();
    }
    accept(acceptor);
  });
}

void handle_signals(asio::signal_set& signals, asio::io_context& context) {
  signals.async_wait([&](auto error, int number) {
    if (error || number != SIGUSR1) return context.stop();
    server_report();
    handle_signals(signals, context);
  });
}

}  // namespace

int main(int argc, char** argv) {
  server_args args = server_start(argc, argv);
  asio::io_context context(1);
  asio::signal_set signals(context, SIGTERM, SIGINT, SIGUSR1);
  handle_signals(signals, context);
  tcp::acceptor acceptor(
      context, {asio::ip::address_v4::loopback(), static_cast<asio::ip::port_type>(args.port)});
  acceptor.listen(4096);
  accept(acceptor);
  server_ready(acceptor.local_endpoint().port());
  context.run();
}
