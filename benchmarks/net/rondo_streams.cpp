// SPDX-License-Identifier: MIT
// rondo benchmarks: the echo server with streams, one coroutine per connection: read_view and
// write. Compiled with RONDO_BENCHMARK_DRAIN it also waits for the client, as a server must that
// cannot trust its clients to read.
#include "server_common.h"

#include <rondo/rondo.hpp>

#include <csignal>
#include <cstdint>
#include <string_view>
#include <system_error>

namespace {

rondo::coro<> echo(rondo::stream_reader reader, rondo::stream_writer writer) {
  try {
    while (true) {
      std::string_view data = co_await reader.read_view();
      if (data.empty()) break;
      writer.write(data);
#ifdef RONDO_BENCHMARK_DRAIN
      co_await writer.drain();
#endif
    }
  } catch (const std::system_error&) {
    // The client reset the connection.
  }
  writer.close();
}

rondo::coro<> serve(int port) {
  rondo::event_loop& loop = rondo::get_running_loop();
  auto stopped = loop.create_future();
  auto stop = [stopped] {
    if (!stopped.done()) stopped.set_result();
  };
  loop.add_signal_handler(SIGTERM, stop);
  loop.add_signal_handler(SIGINT, stop);
  loop.add_signal_handler(SIGUSR1, server_report);

  rondo::server server = co_await rondo::start_server(
      echo, "127.0.0.1", static_cast<std::uint16_t>(port), {.backlog = 4096});
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
