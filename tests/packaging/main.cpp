// SPDX-License-Identifier: MIT
// What every packaging test builds and runs: a stranger's program that echoes a line over TCP.
#include <rondo/rondo.hpp>
#include <rondo/version.hpp>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <utility>

namespace {

rondo::coro<> echo(rondo::stream_reader reader, rondo::stream_writer writer) {
  const std::string line = co_await reader.readline();
  writer.write(line);
  co_await writer.drain();
  writer.close();
}

rondo::coro<std::string> over_tcp(std::string line) {
  rondo::server server = co_await rondo::start_server(echo, "127.0.0.1", 0);
  const std::uint16_t port = server.sockets().front().getsockname().port();
  rondo::connection client = co_await rondo::open_connection("127.0.0.1", port);
  client.writer.write(line);
  std::string answer = co_await client.reader.readline();
  client.writer.close();
  co_await client.writer.wait_closed();
  server.close();
  co_return answer;
}

rondo::coro<std::string> main_task() {
  using namespace std::chrono_literals;
  rondo::task<std::string> task = rondo::create_task(over_tcp, std::string("a line\n"));
  co_await rondo::sleep(1ms);
  // An exception of the library's own must be caught by its type, across the border of a shared
  // one.
  bool timed_out = false;
  try {
    co_await rondo::wait_for(rondo::sleep(1h), 1ms);
  } catch (const rondo::timeout_error&) {
    timed_out = true;
  }
  if (!timed_out) co_return "no timeout";
  co_return co_await std::move(task);
}

}  // namespace

int main() {
  char headers[32];
  std::snprintf(headers, sizeof headers, "%d.%d.%d", RONDO_VERSION_MAJOR, RONDO_VERSION_MINOR,
                RONDO_VERSION_PATCH);
  const std::string answer = rondo::run(main_task());
  std::printf("rondo %s tls=%d io_uring=%d: %s", rondo::version(), RONDO_HAS_TLS, RONDO_HAS_URING,
              answer.c_str());
  return answer == "a line\n" && std::strcmp(rondo::version(), headers) == 0 ? 0 : 1;
}
