// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Writes what a server sends to standard output.
//
// Python: asyncio.open_connection, asyncio.timeout
// Run:    fetch --host 127.0.0.1 --port 7777 [--timeout 5] [--send 68656c6c6f0a]
// Exit:   0 end of file, 2 usage, 3 TLS error, 4 reset or refused, 5 timeout
#include "common/args.hpp"

#include <rondo/rondo.hpp>

#include <fmt/core.h>

#include <cstdio>
#include <exception>
#include <optional>
#include <stdexcept>
#include <string_view>
#include <system_error>

namespace {

enum exit_status { clean = 0, other_error = 1, usage = 2, tls = 3, refused = 4, timed_out = 5 };

rondo::coro<> copy_to_stdout(rondo::stream_reader reader) {
  for (;;) {
    const std::string_view bytes = co_await reader.read_view();
    if (bytes.empty()) co_return;
    if (std::fwrite(bytes.data(), 1, bytes.size(), stdout) != bytes.size()) {
      throw std::runtime_error("cannot write to standard output");
    }
    std::fflush(stdout);
  }
}

rondo::coro<> fetch(const examples::fetch_arguments& arguments) {
  auto [reader, writer] = co_await rondo::open_connection(arguments.host, arguments.port);
  if (!arguments.send.empty()) writer.write(arguments.send);
  co_await copy_to_stdout(reader);
  writer.close();
}

}  // namespace

int main(int argc, char** argv) {
  const auto arguments = examples::parse_fetch(argc, argv);
  std::optional<rondo::interval> limit;
  if (arguments.timeout) limit = *arguments.timeout;
  try {
    rondo::run(rondo::wait_for(fetch(arguments), limit));
    return clean;
  } catch (const rondo::timeout_error& error) {
    fmt::print(stderr, "fetch: {}\n", error.what());
    return timed_out;
  } catch (const std::system_error& error) {
    fmt::print(stderr, "fetch: {}\n", error.what());
    return refused;
  } catch (const rondo::keyboard_interrupt&) {
    return 130;
  } catch (const std::exception& error) {
    fmt::print(stderr, "fetch: {}\n", error.what());
    return other_error;
  }
}
