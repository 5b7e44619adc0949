// SPDX-License-Identifier: MIT
// The program of the README's first screen; docs/snippets/echo.py is its twin.
#include <rondo/rondo.hpp>

rondo::coro<> echo(rondo::stream_reader reader, rondo::stream_writer writer) {
  for (;;) {
    const std::string data = co_await reader.read(65536);
    if (data.empty()) break;
    writer.write(data);
    co_await writer.drain();
  }
  writer.close();
}

rondo::coro<> amain() {
  rondo::server server = co_await rondo::start_server(echo, "127.0.0.1", 8888);
  co_await server.serve_forever();
}

int main() { rondo::run(amain()); }
