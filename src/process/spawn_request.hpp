// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Programs that are to be started, and those that just were.
#pragma once

#include <rondo/subprocess.hpp>

#include "os/descriptor.hpp"
#include "process/child.hpp"

#include <array>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace rondo {
inline namespace v0 {
namespace detail {

/// The options with all that they point at, and the words of the command line.
struct spawn_data {
  explicit spawn_data(const subprocess_options& given);
  spawn_data(const spawn_data&) = delete;
  spawn_data& operator=(const spawn_data&) = delete;
  ~spawn_data() = default;

  subprocess_options options;  // its views and spans are not used
  std::array<stdio, 3> streams;
  std::vector<std::string> words;
  std::string directory;
  std::string executable;
  std::optional<std::vector<std::string>> environment;
  std::vector<int> passed;
  std::optional<std::vector<unsigned>> groups;
};

/// A child and this program's ends of its pipes.
struct started_child {
  std::shared_ptr<child> process;
  std::array<os::descriptor, 3> pipes;  // non-blocking; empty where there is none
};

/// Starts the program; blocks for as long as that takes.
/// @param unset  what streams are that the options say nothing about
/// @throws std::system_error  nothing is left of it
[[nodiscard]] started_child start_child(event_loop& loop, const spawn_data& request, stdio unset);

}  // namespace detail
}  // namespace v0
}  // namespace rondo
