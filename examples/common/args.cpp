// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  The command lines of the examples, with CLI11: the only file that
// pays for it.
#include "args.hpp"

#include <CLI/CLI.hpp>

#include <cmath>
#include <cstdlib>

namespace examples {
namespace {

void parse(CLI::App& app, int argc, char** argv) {
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    std::exit(app.exit(error) == 0 ? 0 : 2);
  }
}

int digit_of(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::string check_hexadecimal(const std::string& digits) {
  if (digits.size() % 2 != 0) return "an even number of hexadecimal digits is needed";
  for (const char each : digits) {
    if (digit_of(each) < 0) return "not a hexadecimal digit: " + std::string(1, each);
  }
  return {};
}

std::string check_service(const std::string& text) {
  const std::size_t end = text.find('=');
  return end == std::string::npos || end == 0 ? "not of the form NAME=COMMAND: " + text : "";
}

std::string bytes_of(const std::string& digits) {
  std::string bytes;
  for (std::size_t i = 0; i + 1 < digits.size(); i += 2) {
    bytes += static_cast<char>(digit_of(digits[i]) * 16 + digit_of(digits[i + 1]));
  }
  return bytes;
}

}  // namespace

echo_server_arguments parse_echo_server(int argc, char** argv) {
  echo_server_arguments result;
  std::string mode = "raw";
  CLI::App app(
      "Echoes what its clients send. Prints `READY port`; SIGTERM stops it in order, SIGUSR1 "
      "prints counters.");
  app.add_option("--host", result.host, "the address or name to listen on")->capture_default_str();
  app.add_option("--port", result.port, "the port; 0 takes a free one")->required();
  app.add_option("--mode", mode, "raw: bytes as they come; lines: whole lines")
      ->check(CLI::IsMember({"raw", "lines"}))
      ->capture_default_str();
  app.add_option("--limit", result.limit, "lines: the longest line, in bytes without its newline")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  parse(app, argc, argv);
  result.lines = mode == "lines";
  return result;
}

fetch_arguments parse_fetch(int argc, char** argv) {
  fetch_arguments result;
  std::optional<double> seconds;
  std::string digits;
  CLI::App app(
      "Writes what a server sends to standard output, until it closes the connection.\n"
      "Exit status: 0 end of file, 2 usage, 3 TLS error, 4 reset or refused, 5 timeout.");
  app.add_option("--host", result.host, "the server's address or name")->required();
  app.add_option("--port", result.port, "the server's port")->required();
  app.add_option("--timeout", seconds, "seconds that the whole run may take")
      ->check(CLI::NonNegativeNumber);
  app.add_option("--send", digits, "bytes to send first, as hexadecimal digits")
      ->check(CLI::Validator(check_hexadecimal, "HEX"));
  parse(app, argc, argv);
  if (seconds && !std::isnan(*seconds)) result.timeout = std::chrono::duration<double>(*seconds);
  result.send = bytes_of(digits);
  return result;
}

supervisor_arguments parse_supervisor(int argc, char** argv) {
  supervisor_arguments result;
  double grace = result.grace.count();
  double backoff = result.backoff.count();
  std::vector<std::string> services;
  CLI::App app(
      "Starts programs, tags what they say with their names, starts them again when they end. "
      "SIGTERM stops them, the last one first.");
  app.add_option("--grace", grace, "seconds between SIGTERM and SIGKILL")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--backoff", backoff, "seconds before the first restart; doubled each time")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--restart", result.restart, "which programs are started again")
      ->check(CLI::IsMember({"always", "failure", "never"}))
      ->capture_default_str();
  app.add_option("services", services, "what to run, in the order of starting: NAME=COMMAND")
      ->required()
      ->check(CLI::Validator(check_service, "NAME=COMMAND"));
  parse(app, argc, argv);
  result.grace = std::chrono::duration<double>(grace);
  result.backoff = std::chrono::duration<double>(backoff);
  for (const std::string& each : services) {
    const std::size_t end = each.find('=');
    result.services.emplace_back(each.substr(0, end), each.substr(end + 1));
  }
  return result;
}

}  // namespace examples
