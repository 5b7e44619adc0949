// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  What a loop holds besides its core.
#pragma once

#include <rondo/backend.hpp>
#include <rondo/detail/callback.hpp>
#include <rondo/event_loop.hpp>

#include "inbox.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <unordered_map>

namespace rondo {
inline namespace v0 {
namespace detail {

/// The callbacks of add_reader and add_writer of one descriptor.
struct watchers {
  block_ref<handle_block> reader;
  block_ref<handle_block> writer;
};

struct loop_internals {
  std::unique_ptr<backend> io;
  std::shared_ptr<inbox> from_threads;
  event_loop::exception_handler on_exception;
  task_factory factory = nullptr;
  event_loop::resolver_function resolver;  // empty: the default
  std::unordered_map<int, watchers> watched;
  std::unordered_map<int, block_ref<handle_block>> signals;
  std::uint64_t fork_generation = 0;
  std::uint64_t polls = 0;
  bool running = false;
  bool stopping = false;

  // Skipping polls while there is work, see event_loop::iterate.
  std::uint32_t nodes_since_poll = 0;
  std::uint32_t polls_to_keep = 0;
  std::int64_t skipping_since = 0;
};

}  // namespace detail
}  // namespace v0
}  // namespace rondo
