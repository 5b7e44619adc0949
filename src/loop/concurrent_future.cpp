// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Results that threads wait for: completion, cancelling, closed loops.
#include <rondo/concurrent_future.hpp>

#include <rondo/errors.hpp>
#include <rondo/log.hpp>

#include "loop_internals.hpp"

#include <atomic>
#include <exception>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <utility>

namespace rondo {
inline namespace v0 {
namespace detail {
namespace {

// The task is done: in the next iteration its result is taken, as that may run user code.
void note_task_done(future_waiter& self, future_core* done) {
  auto& core = static_cast<concurrent_core&>(self);
  core.task = nullptr;
  if (done != nullptr) {
    core.finished_task = core_ref<future_core>(done);
    done->core->ready.push(core.when_done);
    return;
  }
  core.end(future_state::cancelled, nullptr);
  release(core);
}

void run_when_done(ready_node& node, event_loop* loop) {
  concurrent_core& core = static_cast<concurrent_node&>(node).core;
  unlink_resource(*core.finished_task->core, core);
  // Also if the loop is closed: the result is there.
  static_cast<void>(loop);
  core.finish_from_task();
  core.finished_task = {};
  release(core);
}

void run_when_cancelled(ready_node& node, event_loop* loop) {
  concurrent_core& core = static_cast<concurrent_node&>(node).core;
  if (loop != nullptr && core.task != nullptr) cancel(*core.task, "");
  release(core);
}

void post(block_ref<promise_block> promise) noexcept {
  try {
    claim(promise.get());
    post_promise(*promise);
  } catch (...) {
    // The loop that was to be told is closed.
  }
}

// In the order of registration.
void tell_all(concurrent_callback* newest) noexcept {
  concurrent_callback* oldest = nullptr;
  while (newest != nullptr) {
    concurrent_callback* const before = newest->next;
    newest->next = oldest;
    oldest = newest;
    newest = before;
  }
  while (oldest != nullptr) {
    const std::unique_ptr<concurrent_callback> told(oldest);
    oldest = told->next;
    post(std::move(told->promise));
  }
}

}  // namespace

concurrent_core::concurrent_core(event_loop& from)
    : future_waiter(&note_task_done),
      when_done(*this, &run_when_done),
      when_cancelled(*this, &run_when_cancelled),
      loop(&from),
      inbox(from.internals().from_threads) {}

concurrent_core::~concurrent_core() {
  while (callbacks != nullptr) {
    const std::unique_ptr<concurrent_callback> dropped(callbacks);
    callbacks = dropped->next;
  }
}

void release(concurrent_core& core) noexcept {
  if (core.references.fetch_sub(1, std::memory_order_acq_rel) == 1) delete &core;
}

bool concurrent_core::done() noexcept {
  const std::lock_guard guard(lock);
  return state != future_state::pending;
}

bool concurrent_core::cancelled() noexcept {
  const std::lock_guard guard(lock);
  return state == future_state::cancelled;
}

bool concurrent_core::end(future_state how, std::exception_ptr why) noexcept {
  concurrent_callback* told = nullptr;
  {
    const std::lock_guard guard(lock);
    if (state != future_state::pending) return false;
    state = how;
    error = std::move(why);
    told = std::exchange(callbacks, nullptr);
    changed.notify_all();
  }
  tell_all(told);
  return true;
}

bool concurrent_core::cancel() noexcept {
  if (!end(future_state::cancelled, nullptr)) return false;
  retain(*this);
  if (this_thread().running == loop) {
    loop->queue_ready(when_cancelled);
  } else if (!static_cast<detail::inbox*>(inbox.get())->push(when_cancelled)) {
    release(*this);
  }
  return true;
}

void concurrent_core::wait(std::optional<interval> limit) {
  std::unique_lock guard(lock);
  const auto is_done = [this] { return state != future_state::pending; };
  if (is_done()) return;
  if (this_thread().running == loop) {
    throw std::logic_error(
        "the loop would wait for itself: await wrap_future(...) instead of get()");
  }
  if (!limit) {
    changed.wait(guard, is_done);
  } else if (!changed.wait_until(guard, add_saturated(clock::now(), *limit), is_done)) {
    throw timeout_error();
  }
}

void concurrent_core::check_result() {
  const std::lock_guard guard(lock);
  if (state == future_state::cancelled) throw cancelled_error();
  if (state == future_state::failed) std::rethrow_exception(error);
}

void concurrent_core::tell(block_ref<promise_block> promise) {
  auto callback = std::make_unique<concurrent_callback>(std::move(promise));
  {
    const std::lock_guard guard(lock);
    if (state == future_state::pending) {
      callback->next = callbacks;
      callbacks = callback.release();
      return;
    }
  }
  post(std::move(callback->promise));
}

void concurrent_core::watch(future_core& running) noexcept {
  retain(*this);
  if (running.done()) {  // it was started eagerly
    link_resource(*running.core, *this);
    note_task_done(*this, &running);
    return;
  }
  task = &running;
  link_resource(*running.core, *this);
  add_waiter(running, *this);
}

void concurrent_core::on_loop_close() noexcept { end(future_state::cancelled, nullptr); }

void concurrent_core::finish_from_task() noexcept {
  const future_state how = finished_task->state;
  std::exception_ptr why;
  if (how == future_state::failed) {
    why = finished_task->exception;
    // What came too late is reported, if nobody else has seen it.
    future_core& failed = *finished_task;
    if (end(how, std::move(why))) failed.retrieved = true;
    return;
  }
  if (how == future_state::finished) {
    const std::lock_guard guard(lock);
    if (state != future_state::pending) return;
    try {
      take();
    } catch (...) {
      why = std::current_exception();
    }
  }
  end(why ? future_state::failed : how, why);
}

}  // namespace detail
}  // namespace v0
}  // namespace rondo
