// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Call graphs: who awaits whom, and on which line.
#pragma once

#include <rondo/detail/export.hpp>
#include <rondo/future.hpp>

#include <cstddef>
#include <iosfwd>
#include <source_location>
#include <string>
#include <vector>

namespace rondo {
inline namespace v0 {
class event_loop;

/// A future or a task in a call graph.
///
/// @par asyncio
/// `asyncio.FutureCallGraph`
struct call_graph_node {
  any_future future;
  /// The awaits that the task is suspended in, the innermost first. Of the running task: the line
  /// that captured the graph. Empty for other futures, and for what is done.
  std::vector<std::source_location> call_stack;
  /// What awaits it, as places in `call_graph::nodes`.
  std::vector<std::size_t> awaited_by;
};

/// Futures, and what awaits them, directly or through `gather`, `shield`, task groups and the like.
///
/// Each future is in it once, also where tasks await each other in a ring. It keeps what it names
/// alive, and shows how things stood when it was made.
struct call_graph {
  std::vector<call_graph_node> nodes;  ///< the captured one first; empty: there was none
};

/// Looks at a task or a future, and at everything that awaits it.
/// @param future  empty: the running task
///
/// @par asyncio
/// `asyncio.capture_call_graph`
/// @par Thread safety
/// The loop's thread only.
[[nodiscard]] RONDO_EXPORT call_graph capture_call_graph(
    const any_future& future = {}, std::source_location place = std::source_location::current());
/// The same for every task of a loop that is not done.
[[nodiscard]] RONDO_EXPORT call_graph
capture_call_graph(event_loop& loop, std::source_location place = std::source_location::current());

/// The graph as text: each future with its lines and, indented, what awaits it. What comes up again
/// is mentioned with `(see above)`.
///
/// @par asyncio
/// `asyncio.format_call_graph`
[[nodiscard]] RONDO_EXPORT std::string format_call_graph(const call_graph& graph);
[[nodiscard]] RONDO_EXPORT std::string format_call_graph(
    const any_future& future = {}, std::source_location place = std::source_location::current());
[[nodiscard]] RONDO_EXPORT std::string format_call_graph(
    event_loop& loop, std::source_location place = std::source_location::current());

/// Writes the graph of a task, or of the running one, to standard error or to a stream.
///
/// @par asyncio
/// `asyncio.print_call_graph`
RONDO_EXPORT void print_call_graph(const any_future& future = {},
                                   std::source_location place = std::source_location::current());
RONDO_EXPORT void print_call_graph(const any_future& future, std::ostream& to,
                                   std::source_location place = std::source_location::current());

}  // namespace v0
}  // namespace rondo
