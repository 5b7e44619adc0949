// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Debug mode: who held the loop up, and for how long.
#include "slow_callbacks.hpp"

#include <rondo/detail/callback.hpp>
#include <rondo/detail/task_core.hpp>
#include <rondo/event_loop.hpp>
#include <rondo/log.hpp>

#include "describe.hpp"
#include "loop_internals.hpp"

#include <fmt/format.h>

#include <chrono>
#include <cstdint>
#include <source_location>
#include <string>
#include <string_view>

namespace rondo {
inline namespace v0 {
namespace detail {
namespace {

void report(event_loop& loop, time_point began, std::string_view subject,
            std::string_view details = {}) {
  ++loop.internals().slow_reports;
  log(log_level::warning, fmt::format("Executing {} took {:.3f} seconds{}{}", subject,
                                      std::chrono::duration<double>(loop.time() - began).count(),
                                      details.empty() ? "" : ": ", details));
}

bool was_slow(const event_loop& loop, time_point began) noexcept {
  return interval(loop.time() - began) >= loop.slow_callback_duration;
}

/// A node that may be gone when it has run.
class timed_node {
 public:
  timed_node(ready_node& node, event_loop& loop) noexcept
      : loop_(loop), reports_before_(loop.internals().slow_reports) {
    if (node.run == &step_task) {
      auto& task = static_cast<task_core&>(node);
      task_ = core_ref<future_core>(&task);
      resumed_at_ = await_line(task);
      started_ = task.started;
    } else if (node.run == &run_handle || node.run == &run_repeated) {
      callback_ = block_ref<handle_block>(&static_cast<handle_block&>(node));
    } else {
      from_thread_ = node.run == &run_threadsafe;
    }
    began_ = loop.time();
  }
  timed_node(const timed_node&) = delete;
  timed_node& operator=(const timed_node&) = delete;
  ~timed_node() {
    if (!was_slow(loop_, began_)) return;
    try {
      if (task_) {
        report_task(static_cast<const task_core&>(*task_));
      } else if (callback_) {
        report_callback(*callback_);
      } else if (from_thread_) {
        report(loop_, began_, "a callback of call_soon_threadsafe");
      } else if (reports_before_ == loop_.internals().slow_reports) {
        // The node of a transport or a signal, which reports what it calls by itself.
        report(loop_, began_, "an event of the loop");
      }
    } catch (...) {
      log(log_level::warning, "Executing a callback took long");
    }
  }

 private:
  // From which await to which one: the slow code is between them.
  void report_task(const task_core& task) const {
    std::string details =
        fmt::format("{} at {}", started_ ? "resumed" : "started", describe(resumed_at_));
    if (task.done()) {
      details += ", to its end";
    } else if (const std::source_location now = await_line(task); known(now)) {
      details += ", now at " + describe(now);
    }
    report(loop_, began_, "task " + task_name(task), details);
  }

  void report_callback(handle_block& block) const {
    std::string subject = "callback";
    for (const auto& [fd, callbacks] : loop_.internals().watched) {
      if (callbacks.reader.get() == &block) subject = fmt::format("the reader of {},", fd);
      if (callbacks.writer.get() == &block) subject = fmt::format("the writer of {},", fd);
    }
    report(loop_, began_, fmt::format("{} {}", subject, callable_name(block)),
           known(block.made_at) ? "made at " + describe(block.made_at) : std::string());
  }

  event_loop& loop_;
  core_ref<future_core> task_;
  std::source_location resumed_at_;
  block_ref<handle_block> callback_;
  bool started_ = false;
  bool from_thread_ = false;
  std::uint64_t reports_before_;
  time_point began_;
};

}  // namespace

void run_timed(ready_node& node, event_loop& loop) {
  const timed_node timed(node, loop);
  node.run(node, &loop);
}

void slow_watch::begin() noexcept {
  running_ = true;
  began_ = core_.loop->time();
}

void slow_watch::end() noexcept {
  if (core_.loop == nullptr || !was_slow(*core_.loop, began_)) return;
  try {
    report(*core_.loop, began_, number_ == 0 ? name_ : fmt::format("{} {}", name_, number_));
  } catch (...) {
    log(log_level::warning, "Executing a callback took long");
  }
}

}  // namespace detail
}  // namespace v0
}  // namespace rondo
