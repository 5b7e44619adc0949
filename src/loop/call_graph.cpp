// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Who awaits whom: capturing and writing call graphs, finding rings.
#include <rondo/call_graph.hpp>

#include <rondo/event_loop.hpp>
#include <rondo/log.hpp>

#include "describe.hpp"
#include "rings.hpp"
#include "waiter_kinds.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iostream>
#include <iterator>
#include <ranges>
#include <unordered_map>
#include <utility>

namespace rondo {
inline namespace v0 {
namespace detail {

constinit const waiter_kind* waiter_kind::first_ = nullptr;

const waiter_kind* waiter_kind::of(const future_waiter& waiter) noexcept {
  for (const waiter_kind* each = first_; each != nullptr; each = each->next_) {
    if (each->notify_ == waiter.notify) return each;
  }
  return nullptr;
}

namespace {

/// Calls `f(future_core&, const waiter_kind&)` for everything that awaits a future.
template <class F>
void for_each_awaiting(const future_core& core, F f) {
  future_waiter* each = core.waiters;
  if (each == nullptr) return;
  do {
    if (const waiter_kind* const kind = waiter_kind::of(*each); kind != nullptr) {
      // Without a handle nobody awaits it: callbacks keep it.
      future_core* const who = kind->who(*each);
      if (who != nullptr && who->references != 0) f(*who, *kind);
    }
    each = each->next;
  } while (each != core.waiters);
}

class capture {
 public:
  explicit capture(const std::source_location& place) : place_(place) {}

  /// Adds a future and all that awaits it, in one pass over `nodes`.
  void add(future_core& core) {
    std::size_t next = graph_.nodes.size();
    find(core);
    for (; next < graph_.nodes.size(); ++next) {
      future_core& each = *graph_.nodes[next].future.core();
      std::vector<std::size_t> awaited_by;
      for_each_awaiting(each, [&](future_core& who, const waiter_kind&) {
        const std::size_t at = find(who);
        // A gather of the same future twice waits for it twice.
        if (std::ranges::find(awaited_by, at) == awaited_by.end()) awaited_by.push_back(at);
      });
      graph_.nodes[next].awaited_by = std::move(awaited_by);
    }
  }

  [[nodiscard]] call_graph take() { return std::move(graph_); }

 private:
  std::size_t find(future_core& core) {
    const auto [found, added] = known_.emplace(&core, graph_.nodes.size());
    if (added) {
      call_graph_node& made = graph_.nodes.emplace_back();
      made.future = any_future(core_ref<future_core>(&core));
      if (core.is_task) {
        const auto& task = static_cast<task_core&>(core);
        made.call_stack = await_lines(task);
        if (core.core->current_task == &task) made.call_stack = {place_};
      }
    }
    return found->second;
  }

  call_graph graph_;
  std::unordered_map<future_core*, std::size_t> known_;
  std::source_location place_;
};

std::string title(const any_future& future) {
  const future_core& core = *future.core();
  if (core.is_task)
    return fmt::format("Task(name='{}')", task_name(static_cast<const task_core&>(core)));
  return "Future()";
}

// Chains of tasks may be long: what is nested deeper is not indented further.
constexpr std::size_t deepest_indent = 40;

class writer {
 public:
  explicit writer(const call_graph& graph) : nodes_(graph.nodes), state_(nodes_.size()) {}

  /// Writes a node and what awaits it; does nothing if it is written already.
  void write(std::size_t root) {
    if (state_[root] != state::unseen) return;
    enter(root);
    while (!stack_.empty()) {
      level& now = stack_.back();
      const std::vector<std::size_t>& awaited_by = nodes_[now.node].awaited_by;
      if (now.next == awaited_by.size()) {
        state_[now.node] = state::written;
        stack_.pop_back();
        continue;
      }
      if (now.next == 0) line("  + Awaited by:");
      const std::size_t next = awaited_by[now.next++];
      if (state_[next] == state::unseen) {
        enter(next);
      } else {
        stack_.push_back({next, 0});
        line(fmt::format("* {} (see above{})", title(nodes_[next].future),
                         state_[next] == state::open ? ": they await each other" : ""));
        stack_.pop_back();
      }
    }
  }

  [[nodiscard]] std::string take() { return std::move(text_); }

 private:
  enum class state : unsigned char { unseen, open, written };
  struct level {
    std::size_t node;
    std::size_t next;
  };

  void enter(std::size_t node) {
    stack_.push_back({node, 0});
    state_[node] = state::open;
    line("* " + title(nodes_[node].future));
    const auto& lines = nodes_[node].call_stack;
    if (!lines.empty()) line("  + Call stack:");
    for (const std::source_location& each : lines) line("  |   " + describe(each));
  }

  void line(std::string_view text) {
    const std::size_t depth = std::min(stack_.size() - 1, deepest_indent);
    text_.append(depth * 5, ' ');
    text_ += text;
    text_ += '\n';
  }

  const std::vector<call_graph_node>& nodes_;
  std::vector<state> state_;
  std::vector<level> stack_;
  std::string text_;
};

// How many tasks a search for rings looks at: it is made at every await of debug mode.
constexpr std::size_t longest_search = 1000;

}  // namespace

void report_ring(const task_core& task) noexcept {
  const auto& waits = static_cast<const future_suspension&>(*task.waiting_on);
  const future_core* const goal = waits.on;
  if (goal == nullptr || task.waiters == nullptr) return;
  try {
    // From the task to what awaits it, and so on, until that is what the task itself awaits.
    struct step {
      const future_core* future;
      std::size_t from;
    };
    std::vector<step> steps = {{&task, 0}};
    std::unordered_map<const future_core*, bool> seen;
    for (std::size_t next = 0; next < steps.size() && next < longest_search; ++next) {
      const future_core& each = *steps[next].future;
      if (&each == goal) {
        std::string text = "tasks await each other and will never go on: ";
        for (std::size_t at = next;; at = steps[at].from) {
          const future_core& member = *steps[at].future;
          text += member.is_task ? describe(static_cast<const task_core&>(member)) : "a future";
          text += " <- ";
          if (at == 0) break;
        }
        const future_core& first = *goal;
        text += first.is_task ? task_name(static_cast<const task_core&>(first)) : "a future";
        log(log_level::warning, text);
        return;
      }
      for_each_awaiting(each, [&](future_core& who, const waiter_kind& kind) {
        if (kind.needs_this() && seen.emplace(&who, true).second) steps.push_back({&who, next});
      });
    }
  } catch (...) {
    log(log_level::warning, "no memory to look for tasks that await each other");
  }
}

std::vector<std::source_location> stack_of(const task_core& task, std::size_t limit) {
  std::vector<std::source_location> result = await_lines(task, limit);
  std::ranges::reverse(result);
  return result;
}

void print_stack(const task_core& task, std::size_t limit, std::ostream* to) {
  const std::vector<std::source_location> lines = stack_of(task, limit);
  std::string text =
      lines.empty() ? fmt::format("No stack for task {}\n", task_name(task))
                    : fmt::format("Stack for task {} (innermost await last):\n", task_name(task));
  for (const std::source_location& each : lines) text += fmt::format("  {}\n", describe(each));
  (to == nullptr ? std::cerr : *to) << text;
}

}  // namespace detail

call_graph capture_call_graph(const any_future& future, std::source_location place) {
  const any_future root = future ? future : current_task();
  if (!root) return {};
  detail::capture made(place);
  made.add(*root.core());
  return made.take();
}

call_graph capture_call_graph(event_loop& loop, std::source_location place) {
  detail::capture made(place);
  for (const any_task& each : all_tasks(loop)) made.add(*each.core());
  return made.take();
}

std::string format_call_graph(const call_graph& graph) {
  if (graph.nodes.empty()) return "no task runs\n";
  detail::writer text(graph);
  // What awaits others is shown under them, so those that await nothing here come first.
  std::vector<bool> awaits(graph.nodes.size());
  for (const call_graph_node& each : graph.nodes) {
    for (const std::size_t by : each.awaited_by) awaits[by] = true;
  }
  for (const bool second : {false, true}) {
    for (std::size_t at = 0; at < graph.nodes.size(); ++at) {
      if (awaits[at] == second) text.write(at);
    }
  }
  return text.take();
}

std::string format_call_graph(const any_future& future, std::source_location place) {
  return format_call_graph(capture_call_graph(future, place));
}

std::string format_call_graph(event_loop& loop, std::source_location place) {
  return format_call_graph(capture_call_graph(loop, place));
}

void print_call_graph(const any_future& future, std::source_location place) {
  print_call_graph(future, std::cerr, place);
}

void print_call_graph(const any_future& future, std::ostream& to, std::source_location place) {
  to << format_call_graph(future, place);
}

}  // namespace v0
}  // namespace rondo
