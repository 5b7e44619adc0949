// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  How reports name tasks, callbacks and places in the source.
#pragma once

#include <rondo/detail/callback.hpp>
#include <rondo/detail/task_core.hpp>

#include <cstddef>
#include <limits>
#include <source_location>
#include <string>
#include <string_view>
#include <typeinfo>
#include <vector>

namespace rondo {
inline namespace v0 {
namespace detail {

[[nodiscard]] inline bool known(const std::source_location& place) noexcept {
  return place.line() != 0;
}
/// The name of the function, as a user would write it.
[[nodiscard]] std::string function_name(const std::source_location& place);
/// "fetch.cpp:12 in fetch(std::string)"
[[nodiscard]] std::string describe(const std::source_location& place);
[[nodiscard]] std::string describe(const std::type_info& type);
/// "main()::{lambda()#1}"
[[nodiscard]] std::string callable_name(handle_block& block);
/// "callback main()::{lambda()#1}, made at main.cpp:12 in main()"
[[nodiscard]] std::string describe(handle_block& block);

/// Whether the task is in the midst of a step, so that nobody knows where its coroutines are.
[[nodiscard]] inline bool is_running(const task_core& task) noexcept {
  return task.started && !task.done() && !task.scheduled && task.waiting_on == nullptr;
}
/// The awaits that a task is suspended in, the innermost first; none of a task that runs or is
/// done.
[[nodiscard]] std::vector<std::source_location> await_lines(
    const task_core& task, std::size_t limit = std::numeric_limits<std::size_t>::max());
/// The innermost of them that is not in the library.
[[nodiscard]] std::source_location await_line(const task_core& task) noexcept;
/// "Task-3, suspended at a.cpp:4 in f(), made at a.cpp:9 in main()"
[[nodiscard]] std::string describe(const task_core& task);

}  // namespace detail
}  // namespace v0
}  // namespace rondo
