// SPDX-License-Identifier: MIT
// rondo tests: what the tests of debug mode and of call graphs share.
#pragma once

#include "coro/support.hpp"

#include <filesystem>
#include <source_location>
#include <string>

namespace debug_test {

using namespace coro_test;

/// "debug_test.cpp:12", the way in which reports name this line less `above`.
inline std::string line_of(int above = 0,
                           std::source_location place = std::source_location::current()) {
  return std::string(place.file_name()) + ":" +
         std::to_string(static_cast<int>(place.line()) - above) + " in ";
}

inline std::size_t count_in(const std::string& text, const std::string& part) {
  std::size_t found = 0;
  for (std::size_t at = text.find(part); at != text.npos; at = text.find(part, at + 1)) ++found;
  return found;
}

}  // namespace debug_test
