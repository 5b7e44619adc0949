// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  An echo server that stops in order.
//
// Python: asyncio.start_server with a handler coroutine, loop.add_signal_handler
// Run:    echo_server --port 7777 [--host 127.0.0.1] [--mode raw|lines] [--limit N]
// Try:    socat - TCP:127.0.0.1:7777
#include "common/args.hpp"

#include <rondo/rondo.hpp>

#include <fmt/core.h>

#include <csignal>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <iterator>
#include <map>
#include <string_view>
#include <system_error>
#include <utility>

namespace {

using namespace std::chrono_literals;

// What a stopped server gives its connections to finish, and a refused client to read why.
constexpr auto grace = 1s;

class echo_service {
 public:
  explicit echo_service(const examples::echo_server_arguments& arguments) : arguments_(arguments) {}

  rondo::coro<> run() {
    auto& loop = rondo::get_running_loop();
    const auto on_client = [this](rondo::stream_reader reader, rondo::stream_writer writer) {
      return serve(std::move(reader), std::move(writer));
    };
    rondo::server server = co_await rondo::start_server(on_client, arguments_.host, arguments_.port,
                                                        {.limit = arguments_.limit});
    auto stop = loop.create_future();
    const auto request_stop = [stop] {
      if (!stop.done()) stop.set_result();
    };
    loop.add_signal_handler(SIGTERM, request_stop);
    loop.add_signal_handler(SIGINT, request_stop);
    loop.add_signal_handler(SIGUSR1, [this] { print_counters(); });
    fmt::print("READY {}\n", server.sockets().front().getsockname().port());
    std::fflush(stdout);

    co_await stop;
    server.close();
    for (const auto& [id, writer] : clients_) stop_reading(writer);
    try {
      co_await rondo::wait_for(server.wait_closed(), grace);
    } catch (const rondo::timeout_error&) {
      server.abort_clients();
    }
    co_await server.wait_closed();
  }

 private:
  rondo::coro<> serve(rondo::stream_reader reader, rondo::stream_writer writer) {
    const auto id = next_id_++;
    clients_.emplace(id, writer);
    try {
      if (arguments_.lines) {
        co_await echo_lines(reader, writer);
      } else {
        co_await echo_bytes(reader, writer);
      }
    } catch (const std::system_error&) {
      // The client is gone: nothing to tell anybody.
    }
    writer.close();
    clients_.erase(id);
  }

  static rondo::coro<> echo_bytes(rondo::stream_reader reader, rondo::stream_writer writer) {
    for (;;) {
      const std::string_view bytes = co_await reader.read_view();
      if (bytes.empty()) co_return;
      writer.write(bytes);
      co_await writer.drain();
    }
  }

  static rondo::coro<> echo_lines(rondo::stream_reader reader, rondo::stream_writer writer) {
    bool too_long = false;
    while (!too_long) {
      try {
        const std::string_view line = co_await reader.readline_view();
        if (line.empty()) co_return;
        writer.write(line);
        co_await writer.drain();
      } catch (const rondo::limit_overrun_error&) {
        too_long = true;
      }
    }
    writer.write("ERROR limit\n");
    writer.write_eof();
    // Closing with bytes unread would reset the connection, and the client might never see the
    // answer.
    try {
      co_await rondo::wait_for(discard(reader), grace);
    } catch (const rondo::timeout_error&) {
      writer.transport()->abort();
    }
  }

  static rondo::coro<> discard(rondo::stream_reader reader) {
    for (;;) {
      const std::string_view bytes = co_await reader.read_view();
      if (bytes.empty()) co_return;
    }
  }

  // What has arrived is still read, then comes the end of the stream.
  static void stop_reading(const rondo::stream_writer& writer) {
    try {
      if (auto socket = writer.transport()->socket()) socket->shutdown(SHUT_RD);
    } catch (const std::system_error&) {
      // It is closing by itself.
    }
  }

  void print_counters() const {
    const auto metrics = rondo::get_running_loop().metrics();
    const std::filesystem::directory_iterator descriptors("/proc/self/fd");
    // One of them is the listing's own.
    const auto fds = std::distance(begin(descriptors), end(descriptors)) - 1;
    fmt::print("{{\"connections\":{},\"tasks\":{},\"handles\":{},\"fds\":{}}}\n", clients_.size(),
               metrics.tasks, metrics.handles, fds);
    std::fflush(stdout);
  }

  static constexpr int SHUT_RD = 0;  // <sys/socket.h>

  examples::echo_server_arguments arguments_;
  std::map<std::uint64_t, rondo::stream_writer> clients_;
  std::uint64_t next_id_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  const auto arguments = examples::parse_echo_server(argc, argv);
  try {
    echo_service service(arguments);
    rondo::run(service.run());
  } catch (const rondo::keyboard_interrupt&) {
    return 130;
  } catch (const std::exception& error) {
    fmt::print(stderr, "echo_server: {}\n", error.what());
    return 1;
  }
  return 0;
}
