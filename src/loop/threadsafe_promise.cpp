// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Results that arrive from other threads.
#include <rondo/threadsafe_promise.hpp>

#include <rondo/errors.hpp>
#include <rondo/event_loop.hpp>

#include "loop_internals.hpp"

#include <utility>

namespace rondo {
inline namespace v0 {
namespace detail {

void open_inbox(promise_block& block, event_loop& loop) {
  if (loop.is_closed()) throw loop_closed_error();
  block.inbox = loop.internals().from_threads;
}

// Runs in the loop's thread, with a reference that the queue held.
void run_promise(ready_node& node, event_loop* loop) {
  auto& block = static_cast<promise_block&>(node);
  if (block.references.load(std::memory_order_acquire) == 0) {
    block.destroy(block);
    return;
  }
  struct guard_type {
    promise_block& block;
    ~guard_type() {
      // What the loop's thread owns must not die with a copy in another thread.
      block.target = {};
      release(block);
    }
  } const guard{block};
  if (loop == nullptr || block.target->done()) return;
  if (block.error) {
    set_exception(*block.target, block.error);
  } else {
    block.deliver(block);
  }
}

void release(promise_block& block) noexcept {
  if (block.references.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  if (!block.target) {
    block.destroy(block);
    return;
  }
  // Unfulfilled: the future's reference count belongs to the loop's thread.
  const std::shared_ptr<void> alive = std::move(block.inbox);
  static_cast<inbox*>(alive.get())->push_for_disposal(block);
}

void claim(promise_block& block) {
  if (block.taken.exchange(true, std::memory_order_acq_rel)) {
    throw invalid_state_error("the promise was fulfilled already");
  }
}

void post_promise(promise_block& block) {
  retain(block);
  if (!static_cast<inbox*>(block.inbox.get())->push(block)) {
    release(block);
    throw loop_closed_error();
  }
}

}  // namespace detail
}  // namespace v0
}  // namespace rondo
