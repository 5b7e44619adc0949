// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Running, cancelling and freeing callbacks.
#include <rondo/detail/callback.hpp>

#include <rondo/detail/loop_core.hpp>
#include <rondo/errors.hpp>
#include <rondo/event_loop.hpp>
#include <rondo/handle.hpp>
#include <rondo/log.hpp>

#include "loop_internals.hpp"
#include "running_scope.hpp"

#include <exception>
#include <utility>

namespace rondo {
inline namespace v0 {
namespace detail {
namespace {

// Everything but the two exceptions that end a program goes to the exception handler.
void report(event_loop& loop, handle_block* block) {
  exception_context context("Exception in callback", std::current_exception());
  if (block != nullptr) context.handle = handle(block);
  loop.call_exception_handler(context);
}

struct run_once_guard {
  handle_block& block;
  ~run_once_guard() {
    --block.core->handle_count;
    if (block.holds_callable) destroy_callable(block);
    release(block);
  }
};

// Somebody cancelled the handle of a reader or writer that a report gave him: without a watch less,
// the descriptor would be reported in every iteration.
void end_watch_of(const handle_block& block, event_loop& loop) {
  for (const auto& [fd, callbacks] : loop.internals().watched) {
    if (callbacks.reader.get() == &block) {
      loop.remove_reader(fd);
      return;
    }
    if (callbacks.writer.get() == &block) {
      loop.remove_writer(fd);
      return;
    }
  }
}

}  // namespace

void identify(handle_block& block, const std::type_info& callable) noexcept {
  block.core->identified = &callable;
}

namespace {

// A member function that does not throw can only say so.
void report_other_thread(const loop_core& core) noexcept {
  try {
    check_thread_of(core);
  } catch (const std::exception& error) {
    log(log_level::error, error.what());
  }
}

}  // namespace

void destroy_callable(handle_block& block) noexcept {
  block.holds_callable = false;
  block.operate(block, callback_operation::destroy);
}

void run_handle(ready_node& node, event_loop* loop) {
  auto& block = static_cast<handle_block&>(node);
  const run_once_guard guard{block};
  if (loop == nullptr || block.cancelled) return;
  const context_scope scope(loop->core(), block.bound_context);
  block.running = true;
  try {
    block.operate(block, callback_operation::invoke);
  } catch (const keyboard_interrupt&) {
    throw;
  } catch (const system_exit&) {
    throw;
  } catch (...) {
    report(*loop, &block);
  }
}

void run_repeated(ready_node& node, event_loop* loop) {
  auto& block = static_cast<handle_block&>(node);
  block.queued = false;
  const bool orphaned = std::exchange(block.orphaned, false);
  // The callback may remove itself.
  const block_ref<handle_block> alive =
      orphaned ? block_ref<handle_block>::adopt(&block) : block_ref<handle_block>(&block);
  if (loop == nullptr) return;
  if (block.cancelled) {
    if (!orphaned) end_watch_of(block, *loop);
    return;
  }
  const context_scope scope(loop->core(), block.bound_context);
  struct running_guard {
    handle_block& block;
    ~running_guard() {
      block.running = false;
      if (block.cancelled && block.holds_callable) destroy_callable(block);
    }
  } const guard{block};
  block.running = true;
  try {
    block.operate(block, callback_operation::invoke);
  } catch (const keyboard_interrupt&) {
    throw;
  } catch (const system_exit&) {
    throw;
  } catch (...) {
    report(*loop, &block);
  }
}

void retire_repeated(handle_block& block) noexcept {
  if (block.queued && !block.orphaned) {
    block.orphaned = true;
    retain(block);
  }
  handle(&block).cancel();
}

void run_threadsafe(ready_node& node, event_loop* loop) {
  auto& block = static_cast<threadsafe_block&>(node);
  struct guard_type {
    threadsafe_block& block;
    ~guard_type() {
      block.holds_callable = false;
      block.operate(block, callback_operation::destroy);
      release(block);
    }
  } const guard{block};
  if (loop == nullptr || block.stop.load(std::memory_order_acquire)) return;
  // Entered as a copy: another thread may look at the block's own.
  context_ref bound = block.bound_context;
  const context_scope scope(loop->core(), bound);
  try {
    block.operate(block, callback_operation::invoke);
  } catch (const keyboard_interrupt&) {
    throw;
  } catch (const system_exit&) {
    throw;
  } catch (...) {
    report(*loop, nullptr);
  }
}

void release(threadsafe_block& block) noexcept {
  if (block.references.fetch_sub(1, std::memory_order_acq_rel) == 1) {
    if (block.holds_callable) block.operate(block, callback_operation::destroy);
    block.operate(block, callback_operation::deallocate);
  }
}

}  // namespace detail

void handle::cancel() const noexcept {
  if (!block_ || block_->cancelled) return;
  detail::handle_block& block = *block_;
  // Without its callable it has run or was dropped, and the loop may be gone.
  if (block.holds_callable && block.core->debug) [[unlikely]]
    detail::report_other_thread(*block.core);
  block.cancelled = true;
  if (block.armed()) {
    block.core->timers.erase(block);
    const detail::run_once_guard guard{block};  // the heap's reference
    return;
  }
  // A callback that cancels its own handle is destroyed when it returns.
  if (block.holds_callable && !block.running) detail::destroy_callable(block);
}

context handle::get_context() const {
  if (!block_) detail::throw_empty_handle();
  // The callback and the caller must see the same object from now on.
  const context shared(block_->bound_context);
  block_->bound_context = shared.ref();
  return shared;
}

time_point timer_handle::when() const noexcept {
  if (!block_) return time_point();
  return time_point(clock::duration(static_cast<const detail::timer_block*>(block_.get())->when));
}

threadsafe_handle::threadsafe_handle(detail::threadsafe_block* block) noexcept : block_(block) {
  if (block_ != nullptr) block_->references.fetch_add(1, std::memory_order_relaxed);
}
threadsafe_handle::threadsafe_handle(const threadsafe_handle& other) noexcept
    : threadsafe_handle(other.block_) {}
threadsafe_handle::threadsafe_handle(threadsafe_handle&& other) noexcept
    : block_(std::exchange(other.block_, nullptr)) {}
threadsafe_handle& threadsafe_handle::operator=(threadsafe_handle other) noexcept {
  std::swap(block_, other.block_);
  return *this;
}
threadsafe_handle::~threadsafe_handle() {
  if (block_ != nullptr) detail::release(*block_);
}
void threadsafe_handle::cancel() const noexcept {
  if (block_ != nullptr) block_->stop.store(true, std::memory_order_release);
}
bool threadsafe_handle::cancelled() const noexcept {
  return block_ != nullptr && block_->stop.load(std::memory_order_acquire);
}
context threadsafe_handle::get_context() const {
  if (block_ == nullptr) detail::throw_empty_handle();
  return context(block_->bound_context);
}

}  // namespace v0
}  // namespace rondo
