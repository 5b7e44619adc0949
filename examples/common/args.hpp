// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  The command lines of the examples.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace examples {

struct echo_server_arguments {
  std::string host = "127.0.0.1";
  std::uint16_t port = 0;
  bool lines = false;
  std::size_t limit = 65536;
};

struct fetch_arguments {
  std::string host;
  std::uint16_t port = 0;
  std::optional<std::chrono::duration<double>> timeout;
  std::string send;  // bytes, given as hexadecimal digits
};

struct supervisor_arguments {
  std::chrono::duration<double> grace{5};
  std::chrono::duration<double> backoff{0.1};
  std::string restart = "always";
  std::vector<std::pair<std::string, std::string>> services;  // name and command
};

/// Reads a command line; prints a message and ends the program where it is wrong (status 2) or asks
/// for help.
echo_server_arguments parse_echo_server(int argc, char** argv);
fetch_arguments parse_fetch(int argc, char** argv);
supervisor_arguments parse_supervisor(int argc, char** argv);

}  // namespace examples
