// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Results that arrive from other threads.
#include <rondo/threadsafe_promise.hpp>

#include <rondo/errors.hpp>
#include <rondo/event_loop.hpp>

#include "loop_internals.hpp"

#include <atomic>
#include <exception>
#include <utility>

namespace rondo {
inline namespace v0 {
namespace detail {
namespace {

constexpr std::uint32_t copies_mask = promise_block::in_queue - 1;

bool push(promise_block& block) noexcept {
  return static_cast<inbox*>(block.inbox.get())->push(block);
}

void deliver(promise_block& block) {
  block.delivered = true;
  if (block.target->done()) return;
  if (block.error) {
    set_exception(*block.target, block.error);
    return;
  }
  try {
    block.deliver(block);
  } catch (...) {
    // Moving the result threw.
    set_exception(*block.target, std::current_exception());
  }
}

}  // namespace

void open_inbox(promise_block& block, event_loop& loop) {
  block.inbox = loop.internals().from_threads;
  block.holders.fetch_or(promise_block::of_loop, std::memory_order_relaxed);
  link_resource(loop.core(), block);
}

// The loop's thread: somebody fulfilled it, or the last copy is gone.
void run_promise(ready_node& node, event_loop* loop) {
  auto& block = static_cast<promise_block&>(node);
  if (loop != nullptr && !block.delivered && block.taken.load(std::memory_order_acquire)) {
    deliver(block);
  }
  const std::uint32_t before =
      block.holders.fetch_and(~promise_block::in_queue, std::memory_order_acq_rel);
  if ((before & copies_mask) != 0) return;
  loop_core& core = *block.target->core;
  unlink_resource(core, block);
  block.destroy(block);
}

void promise_block::on_loop_close() noexcept {
  target = {};
  const std::uint32_t before = holders.fetch_and(~of_loop, std::memory_order_acq_rel);
  // A last copy that is on its way to the queue finds it closed, and destroys the block itself.
  if (before == of_loop) destroy(*this);
}

void release(promise_block& block) noexcept {
  std::uint32_t before = block.holders.load(std::memory_order_relaxed);
  std::uint32_t after = 0;
  do {
    after = before - 1;
    // Nobody else will: the loop's thread has to let go of the future.
    if (after == promise_block::of_loop) after |= promise_block::in_queue;
  } while (!block.holders.compare_exchange_weak(before, after, std::memory_order_acq_rel,
                                                std::memory_order_relaxed));
  if (after == 0) {
    block.destroy(block);
  } else if (after == (promise_block::of_loop | promise_block::in_queue) &&
             (before & promise_block::in_queue) == 0 && !push(block)) {
    // The loop is closed, or is just closing; whoever comes last destroys the block.
    if (block.holders.fetch_and(~promise_block::in_queue, std::memory_order_acq_rel) ==
        promise_block::in_queue) {
      block.destroy(block);
    }
  }
}

void claim(promise_block* block) {
  if (block == nullptr) throw_empty_handle();
  if (block->taken.exchange(true, std::memory_order_acq_rel)) {
    throw invalid_state_error("the promise was fulfilled already");
  }
}

void post_promise(promise_block& block) {
  block.holders.fetch_or(promise_block::in_queue, std::memory_order_relaxed);
  if (!push(block)) {
    block.holders.fetch_and(~promise_block::in_queue, std::memory_order_relaxed);
    throw loop_closed_error();
  }
}

}  // namespace detail
}  // namespace v0
}  // namespace rondo
