// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Debug mode: who held the loop up, and for how long.
#pragma once

#include <rondo/detail/loop_core.hpp>
#include <rondo/detail/ready_node.hpp>
#include <rondo/interval.hpp>

#include "running_scope.hpp"

namespace rondo {
inline namespace v0 {
class event_loop;

namespace detail {

/// Runs a node of the ready queue, and reports it if that takes long.
void run_timed(ready_node& node, event_loop& loop);

/// Times a callback that is no node of its own, as of a protocol, while it lives. Outside debug
/// mode it costs a look at a flag.
class slow_watch {
 public:
  slow_watch(loop_core& core, const char* name, int number = 0) noexcept
      : core_(core), name_(name), number_(number) {
    if (core.debug) [[unlikely]]
      begin();
  }
  slow_watch(const slow_watch&) = delete;
  slow_watch& operator=(const slow_watch&) = delete;
  ~slow_watch() {
    if (running_) [[unlikely]]
      end();
  }

 private:
  void begin() noexcept;
  void end() noexcept;

  loop_core& core_;
  const char* name_;
  int number_;  // behind the name; 0: none
  bool running_ = false;
  time_point began_;
};

/// A callback of a protocol: runs in a context, timed in debug mode.
class protocol_scope {
 public:
  protocol_scope(loop_core& core, context_ref& entered, const char* name) noexcept
      : watch_(core, name), context_(core, entered) {}

 private:
  slow_watch watch_;
  context_scope context_;
};

}  // namespace detail
}  // namespace v0
}  // namespace rondo
