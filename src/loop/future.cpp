// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  How futures complete and whom they tell.
#include <rondo/future.hpp>

#include <rondo/errors.hpp>
#include <rondo/event_loop.hpp>
#include <rondo/log.hpp>

#include <atomic>
#include <exception>
#include <stdexcept>
#include <string>
#include <utility>

namespace rondo {
inline namespace v0 {
namespace detail {
namespace {

// Unlinks all waiters at once; their order is kept behind the returned one.
future_waiter* take_waiters(future_core& core) noexcept {
  future_waiter* const first = std::exchange(core.waiters, nullptr);
  if (first != nullptr) first->previous->next = nullptr;
  return first;
}

void notify_all(future_waiter* first, future_core* done) noexcept {
  while (first != nullptr) {
    future_waiter* const next = std::exchange(first->next, nullptr);
    first->notify(*first, done);
    first = next;
  }
}

void report_unretrieved(future_core& core) {
  const char* const what =
      core.is_task ? "Task exception was never retrieved" : "Future exception was never retrieved";
  loop_core& loop = *core.core;
  if (loop.loop == nullptr) {
    log(log_level::error, what);
    return;
  }
  // The handle in the report is a new one; it must not report again when it goes.
  core.retrieved = true;
  exception_context context(what, core.exception);
  context.future = any_future(core_ref<future_core>(&core));
  if (core.is_task) context.task = any_task(core_ref<future_core>(&core));
  loop.loop->call_exception_handler(context);
}

}  // namespace

void destroy(future_core& core) noexcept {
  if (core.table->outlive_handles != nullptr && core.table->outlive_handles(core)) return;
  if (core.state == future_state::failed && !core.retrieved) {
    core.references = 1;
    try {
      report_unretrieved(core);
    } catch (...) {
      // keyboard_interrupt or system_exit from a handler: a destructor cannot let it through.
      log(log_level::error, "an exception handler threw while it was told of an unread exception");
    }
    // A handler that kept the handle keeps the future.
    if (--core.references != 0) return;
  }
  if (core.waiters != nullptr) notify_all(take_waiters(core), nullptr);
  loop_core& loop = *core.core;
  core.table->destroy(core);
  release(loop);
}

void add_waiter(future_core& core, future_waiter& waiter) noexcept {
  if (core.waiters == nullptr) {
    waiter.next = &waiter;
    waiter.previous = &waiter;
    core.waiters = &waiter;
    return;
  }
  future_waiter& first = *core.waiters;
  waiter.next = &first;
  waiter.previous = first.previous;
  first.previous->next = &waiter;
  first.previous = &waiter;
}

void remove_waiter(future_core& core, future_waiter& waiter) noexcept {
  if (waiter.next == &waiter) {
    core.waiters = nullptr;
  } else {
    waiter.previous->next = waiter.next;
    waiter.next->previous = waiter.previous;
    if (core.waiters == &waiter) core.waiters = waiter.next;
  }
  waiter.next = nullptr;
}

void finish(future_core& core, future_state state) {
  core.state = state;
  future_waiter* const first = take_waiters(core);
  if (first == nullptr) return;
  if (core.core->closed) [[unlikely]] {
    notify_all(first, nullptr);
    throw loop_closed_error();
  }
  notify_all(first, &core);
}

bool cancel(future_core& core, std::string_view message) {
  check_thread(*core.core);
  if (core.is_task) return cancel_task(static_cast<task_core&>(core), message);
  if (core.done()) {
    core.retrieved = true;
    return false;
  }
  if (core.table->cancel != nullptr) return core.table->cancel(core, message);
  finish_cancelled(core, message);
  return true;
}

void finish_cancelled(future_core& core, std::string_view message) {
  if (!message.empty()) {
    core.exception = std::make_exception_ptr(cancelled_error(std::string(message)));
  }
  if (core.core->closed) {
    // Destructors cancel, also those of frames that a closed loop destroys: nobody is told, nothing
    // thrown.
    core.state = future_state::cancelled;
    notify_all(take_waiters(core), nullptr);
  } else {
    finish(core, future_state::cancelled);
  }
}

void check_settable(const future_core& core) {
  check_thread(*core.core);
  if (core.is_task) throw std::logic_error("a task's result is set by its coroutine only");
  if (core.done()) throw invalid_state_error("the future is done already");
}

void set_exception(future_core& core, std::exception_ptr error) {
  if (!error) throw_null_exception();
  check_settable(core);
  core.exception = std::move(error);
  finish(core, future_state::failed);
}

void throw_no_result(future_core& core) {
  switch (core.state) {
    case future_state::cancelled:
      if (core.exception) std::rethrow_exception(core.exception);
      throw cancelled_error();
    case future_state::failed:
      core.retrieved = true;
      std::rethrow_exception(core.exception);
    default:
      throw invalid_state_error("the result is not there yet");
  }
}

std::exception_ptr get_exception(future_core& core) {
  if (core.state == future_state::failed) {
    core.retrieved = true;
    return core.exception;
  }
  if (core.state != future_state::finished) throw_no_result(core);
  return nullptr;
}

void throw_moved_out() {
  throw invalid_state_error("the result was moved out by an await of an rvalue");
}
void throw_empty_handle() { throw std::logic_error("an empty handle: it names nothing"); }
void throw_null_exception() { throw std::invalid_argument("set_exception needs an exception"); }

event_loop& loop_of(const future_core& core) { return loop_of(*core.core); }

event_loop& loop_of(const loop_core& core) {
  if (core.loop == nullptr) throw std::logic_error("the loop is destroyed");
  return *core.loop;
}

// ---- done callbacks ----

void notify_done_block(future_waiter& self, future_core* done) {
  auto& block = static_cast<done_block&>(self);
  if (done == nullptr) {
    release(static_cast<handle_block&>(block));
    return;
  }
  block.on = core_ref<future_core>(done);
  ++done->core->handle_count;
  done->core->ready.push(block);
}

callback_id add_done_block(future_core& core, done_block* block, const context* bound) {
  static std::atomic<std::uint64_t> last_id = 0;
  block_ref<handle_block> owned = block_ref<handle_block>::adopt(block);
  check_thread(*core.core);
  block->id = last_id.fetch_add(1, std::memory_order_relaxed) + 1;
  block->bound_context = bound != nullptr ? bound->ref() : running_context().snapshot();
  if (!core.done()) {
    add_waiter(core, *block);
  } else {
    if (core.core->closed) throw loop_closed_error();
    notify_done_block(*block, &core);
  }
  static_cast<void>(owned.detach());
  return callback_id{block->id};
}

bool remove_done_block(future_core& core, callback_id id) noexcept {
  future_waiter* each = core.waiters;
  if (each == nullptr) return false;
  do {
    if (each->notify == &notify_done_block && static_cast<done_block*>(each)->id == id.value) {
      remove_waiter(core, *each);
      release(static_cast<handle_block&>(*static_cast<done_block*>(each)));
      return true;
    }
    each = each->next;
  } while (each != core.waiters);
  return false;
}

}  // namespace detail
}  // namespace v0
}  // namespace rondo
