// SPDX-License-Identifier: MIT
// rondo benchmarks: echo server with standalone Asio's C++20 coroutines.
#include "../net/server_common.h"

#include <asio.hpp>

#include <csignal>
#include <system_error>
#include <utility>

using asio::awaitable;
using asio::use_awaitable;
using asio::ip::tcp;

namespace {

awaitable<void> echo(tcp::socket socket) {
  try {
    char data[65536];
    for (;;) {
      std::size_t size = co_await socket.async_read_some(asio::buffer(data), use_awaitable);
      co_await asio::async_write(socket, asio::buffer(data, size), use_awaitable);
    }
  } catch (const std::system_error&) {
    // End of file comes here too.
  }
}

awaitable<void> accept(tcp::acceptor& acceptor) {
  for (;;) {
    tcp::socket socket = co_await acceptor.async_accept(use_awaitable);
    socket.set_option(tcp::no_delay(true));
    asio::co_spawn(acceptor.get_executor(), echo(std::move(socket)), asio::detached);
  }
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
  asio::co_spawn(context, accept(acceptor), asio::detached);
  server_ready(acceptor.local_endpoint().port());
  context.run();
}
