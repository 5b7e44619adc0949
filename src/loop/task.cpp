// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  How tasks step, end and are cancelled.
#include <rondo/task.hpp>

#include <rondo/errors.hpp>
#include <rondo/event_loop.hpp>
#include <rondo/log.hpp>

#include "loop_internals.hpp"
#include "running_scope.hpp"
#include "task_list.hpp"

#include <fmt/format.h>

#include <atomic>
#include <coroutine>
#include <cstdint>
#include <exception>
#include <iterator>
#include <stdexcept>
#include <string>
#include <typeinfo>
#include <utility>
#include <vector>

namespace rondo {
inline namespace v0 {
namespace detail {

/// What few tasks have: a name of their own, a message for the cancellation.
struct task_label {
  std::string name;
  std::string message;
};

namespace {

// Where the promise stands is part of both compilers' ABI: behind the two function pointers, for
// all promises that are aligned to 16 bytes at most (coro_promise asserts it).
coro_promise_base& promise_of(void* frame) noexcept {
  return *reinterpret_cast<coro_promise_base*>(static_cast<char*>(frame) + 2 * sizeof(void*));
}

task_label* label_of(const task_core& task) noexcept {
  return (task.label & 1U) != 0 ? nullptr : reinterpret_cast<task_label*>(task.label);
}

task_label& make_label(task_core& task) {
  if (task_label* const existing = label_of(task); existing != nullptr) return *existing;
  auto* const made = new task_label{task_name(task), {}};
  task.label = reinterpret_cast<std::uintptr_t>(made);
  return *made;
}

std::uintptr_t next_number() noexcept {
  static std::atomic<std::uintptr_t> last = 0;
  return last.fetch_add(1, std::memory_order_relaxed) + 1;
}

enum class exception_kind : std::uint8_t { ordinary, cancellation, ends_program };

exception_kind find_kind_of(const std::exception_ptr& error) noexcept {
  try {
    std::rethrow_exception(error);
  } catch (const cancelled_error&) {
    return exception_kind::cancellation;
  } catch (const keyboard_interrupt&) {
    return exception_kind::ends_program;
  } catch (const system_exit&) {
    return exception_kind::ends_program;
  } catch (...) {
    return exception_kind::ordinary;
  }
}

exception_kind kind_of(const std::exception_ptr& error) noexcept {
#ifdef __GLIBCXX__
  // Rethrowing takes more than a microsecond. The answer depends on the type alone, so the last few
  // are remembered.
  struct known {
    const std::type_info* type;
    exception_kind kind;
  };
  static constinit thread_local known cache[8] = {};
  const std::type_info* const type = error.__cxa_exception_type();
  known& place = cache[(reinterpret_cast<std::uintptr_t>(type) >> 4U) % std::size(cache)];
  if (place.type != type) [[unlikely]]
    place = known{type, find_kind_of(error)};
  return place.kind;
#else
  return find_kind_of(error);
#endif
}

// The coroutine has ended: its result or exception becomes the task's. The frame is gone before
// anybody hears of it.
void complete(task_core& task, void* frame, std::exception_ptr error) {
  const core_ref<future_core> alive(&task);
  if (task.next_task != nullptr) {
    unlink_task(task);
    release(task);  // the loop's reference
  }
  auto state = future_state::finished;
  auto kind = exception_kind::ordinary;
  if (!error) {
    // A request that was never delivered: rule 75, and for completed input and output the exception
    // from it.
    if (task.must_cancel && !task.met_completed_io) {
      state = future_state::cancelled;
      if (task_label* const label = label_of(task); label != nullptr && !label->message.empty()) {
        task.exception = std::make_exception_ptr(cancelled_error(label->message));
      }
    } else {
      try {
        task.table->take_result(task, frame);
      } catch (...) {
        error = std::current_exception();
      }
    }
  }
  task.must_cancel = false;
  if (error) {
    kind = kind_of(error);
    state = kind == exception_kind::cancellation ? future_state::cancelled : future_state::failed;
    task.exception = error;
  }
  task.leaf = nullptr;
  std::coroutine_handle<>::from_address(frame).destroy();
  if (kind == exception_kind::ends_program) task.retrieved = true;
  finish(task, state);
  if (kind == exception_kind::ends_program) std::rethrow_exception(std::move(error));
}

// Saves what a step changes in the loop, as an eager task steps inside another one.
class step_scope {
 public:
  step_scope(task_core& task, const char* stack) noexcept
      : core_(*task.core),
        outer_task_(std::exchange(core_.current_task, &task)),
        outer_limit_(std::exchange(core_.stack_limit, stack - descent_stack_bytes)),
        outer_budget_(std::exchange(core_.inline_budget, inline_completion_budget)),
        context_(core_, task.bound_context) {}
  step_scope(const step_scope&) = delete;
  step_scope& operator=(const step_scope&) = delete;
  ~step_scope() {
    core_.current_task = outer_task_;
    core_.stack_limit = outer_limit_;
    core_.inline_budget = outer_budget_;
  }

 private:
  loop_core& core_;
  task_core* outer_task_;
  const char* outer_limit_;
  int outer_budget_;
  context_scope context_;
};

void step(task_core& task) {
  loop_core& core = *task.core;
  if (task.must_cancel) [[unlikely]] {
    task.must_cancel = false;
    task.throwing = true;
  }
  if (!task.started) {
    if (task.throwing) [[unlikely]] {
      // Cancelled before the first step: the body never runs.
      std::exception_ptr error;
      try {
        task.throw_cancelled();
      } catch (...) {
        error = std::current_exception();
      }
      complete(task, task.leaf, std::move(error));
      return;
    }
    task.started = true;
  }
  {
    const step_scope scope(task, static_cast<const char*>(__builtin_frame_address(0)));
    void* frame = task.leaf;
    do {
      core.next_frame = nullptr;
      std::coroutine_handle<>::from_address(frame).resume();
      frame = core.next_frame;
    } while (frame != nullptr);
  }
  if (task.frame_finished) complete(task, task.leaf, std::exchange(core.exception, nullptr));
}

// Whether the task waits for another task, and for which.
task_core* awaited_task(const task_core& task) noexcept {
  if (task.waiting_on == nullptr || task.waiting_on->request_cancel != &cancel_future_suspension) {
    return nullptr;
  }
  future_core* const on = static_cast<future_suspension*>(task.waiting_on)->on;
  return on != nullptr && on->is_task ? static_cast<task_core*>(on) : nullptr;
}

// The pending task that this one waits for.
task_core* next_in_chain(const task_core& task) noexcept {
  task_core* const inner = awaited_task(task);
  return inner == nullptr || inner->done() ? nullptr : inner;
}

// The last of the tasks that wait for each other, beginning with `task`: it waits for something
// else, or for one that was met before.
task_core* end_of_chain(task_core& task) noexcept {
  // Brent's algorithm: no memory, no marks.
  task_core* checkpoint = &task;
  std::size_t steps = 0;
  std::size_t limit = 1;
  for (task_core* each = &task;;) {
    task_core* const inner = next_in_chain(*each);
    if (inner == nullptr) return each;
    ++steps;
    if (inner == checkpoint) break;
    if (steps == limit) {
      checkpoint = inner;
      limit *= 2;
      steps = 0;
    }
    each = inner;
  }
  // A ring of `steps` tasks: two walkers that far apart meet where it begins.
  task_core* ahead = &task;
  task_core* before = nullptr;
  for (; steps > 0; --steps) {
    before = ahead;
    ahead = next_in_chain(*ahead);
  }
  for (task_core* behind = &task; behind != ahead; behind = next_in_chain(*behind)) {
    before = ahead;
    ahead = next_in_chain(*ahead);
  }
  return before;
}

void remember_message(task_core& task, std::string_view message) {
  if (task.throwing) return;  // the earlier request is on its way
  if (!message.empty()) {
    make_label(task).message = message;
  } else if (task_label* const label = label_of(task); label != nullptr) {
    label->message.clear();
  }
}

}  // namespace

task_core::~task_core() { delete label_of(*this); }

void link_task(task_core& task) noexcept {
  loop_core& core = *task.core;
  ++core.task_count;
  if (core.tasks == nullptr) {
    task.next_task = &task;
    task.previous_task = &task;
    core.tasks = &task;
    return;
  }
  task_core& first = *core.tasks;
  task.next_task = &first;
  task.previous_task = first.previous_task;
  first.previous_task->next_task = &task;
  first.previous_task = &task;
}

void unlink_task(task_core& task) noexcept {
  loop_core& core = *task.core;
  --core.task_count;
  if (task.next_task == &task) {
    core.tasks = nullptr;
  } else {
    task.previous_task->next_task = task.next_task;
    task.next_task->previous_task = task.previous_task;
    if (core.tasks == &task) core.tasks = task.next_task;
  }
  task.next_task = nullptr;
}

void destroy_pending_task(task_core& task) noexcept {
  const core_ref<future_core> owned_by_loop = core_ref<future_core>::adopt(&task);
  unlink_task(task);
  task.waiting_on = nullptr;
  void* const frame = std::exchange(task.leaf, nullptr);
  if (frame != nullptr) destroy_frames(frame);
  if (task.log_destroyed && task.core->loop != nullptr) {
    try {
      exception_context context("Task was destroyed but it is pending!");
      context.task = any_task(core_ref<future_core>(&task));
      context.future = context.task;
      task.core->loop->call_exception_handler(context);
    } catch (...) {
      log(log_level::error, "an exception handler threw while it was told of a pending task");
    }
  }
}

void start_task(task_core& task, void* frame, std::string_view name, const context* bound,
                bool eager) {
  loop_core& core = *task.core;
  task.serial = ++core.task_serial;
  task.bound_context = bound != nullptr ? bound->ref() : running_context().snapshot();
  if (name.empty()) {
    task.label = next_number() << 1U | 1U;
  } else {
    task.label = 1;
    try {
      set_task_name(task, name);
    } catch (...) {
      drop_unawaited(frame);
      throw;
    }
  }
  promise_of(frame).task = &task;
  task.leaf = frame;
  if (eager && core.thread != nullptr && core.thread == &this_thread()) {
    // Only a task that blocks becomes one of the loop's, rule 81.
    const core_ref<future_core> alive(&task);
    step(task);
    if (task.done()) return;
  } else {
    task.scheduled = true;
    core.ready.push(task);
  }
  retain(task);  // the loop's reference, until it is done
  link_task(task);
}

void step_task(ready_node& node, event_loop* loop) {
  auto& task = static_cast<task_core&>(node);
  task.scheduled = false;
  if (loop != nullptr) step(task);
}

void task_core::deliver_cancel() {
  if (waiting_on->request_cancel(*waiting_on, *this)) must_cancel = false;
}

void task_core::throw_cancelled() {
  throwing = false;
  const task_label* const own = label_of(*this);
  throw cancelled_error(own == nullptr ? std::string() : own->message);
}

bool cancel_task(task_core& task, std::string_view message) {
  if (task.done()) {
    task.retrieved = true;
    return false;
  }
  // Tasks that wait for each other form a chain, possibly a million long: no recursion. A ring of
  // them would never wake, so there the request stops at the last task that it has not met yet.
  task_core* const last = end_of_chain(task);
  for (task_core* each = &task;; each = awaited_task(*each)) {
    remember_message(*each, message);
    ++each->cancel_requests;
    each->met_completed_io = false;
    if (each == last) break;
  }
  if (last->waiting_on == nullptr) {
    last->must_cancel = true;
  } else if (const task_core* const inner = awaited_task(*last);
             inner != nullptr && !inner->done()) {
    auto& waits = static_cast<future_suspension&>(*last->waiting_on);
    if (waits.linked()) remove_waiter(*waits.on, waits);
    last->wake_cancelled();
  } else if (!last->waiting_on->request_cancel(*last->waiting_on, *last)) {
    last->must_cancel = true;
  }
  return true;
}

std::uint32_t uncancel_task(task_core& task) noexcept {
  if (task.cancel_requests > 0 && --task.cancel_requests == 0) {
    task.must_cancel = false;
    task.met_completed_io = false;
  }
  return task.cancel_requests;
}

std::string task_name(const task_core& task) {
  const task_label* const label = label_of(task);
  if (label != nullptr) return label->name;
  return fmt::format("Task-{}", task.label >> 1U);
}

void set_task_name(task_core& task, std::string_view name) { make_label(task).name = name; }

task_core* running_task() noexcept {
  event_loop* const loop = this_thread().running;
  return loop == nullptr ? nullptr : loop->core().current_task;
}

// ---- awaiting futures ----

future_suspension::~future_suspension() {
  if (linked()) remove_waiter(*on, *this);
}

void future_suspension::attach(future_core& awaited, task_core& by, void* frame) {
  if (awaited.core != by.core) {
    throw std::logic_error("the task awaits a future that belongs to another loop");
  }
  if (&awaited == static_cast<future_core*>(&by))
    throw std::logic_error("a task cannot await itself");
  on = &awaited;
  task = &by;
  add_waiter(awaited, *this);
  by.suspend(frame, *this);
}

void future_suspension::fail() {
  if (task != nullptr && task->throwing) {
    // As in asyncio, whoever is woken by a failure and cancelled has seen the failure.
    on->retrieved = true;
    // Cancelled both ways there is one cancellation to throw, the one that came first.
    if (on->state != future_state::cancelled) task->throw_cancelled();
    task->throwing = false;
  }
  throw_no_result(*on);
}

bool cancel_future_suspension(suspension& self, task_core& task) {
  // It wakes the task by completing: a future in the course of this call, a task later.
  future_core* const on = static_cast<future_suspension&>(self).on;
  const task_label* const label = label_of(task);
  return cancel(*on, label == nullptr ? std::string_view() : std::string_view(label->message));
}

void wake_future_suspension(future_waiter& self, future_core* done) {
  if (done != nullptr) static_cast<future_suspension&>(self).task->wake();
}

// ---- frames ----

void destroy_frames(void* leaf) noexcept {
  while (leaf != nullptr) {
    void* const outer = promise_of(leaf).continuation;
    std::coroutine_handle<>::from_address(leaf).destroy();
    leaf = outer;
  }
}

void drop_unawaited(void* frame) noexcept {
  // Coroutines that hold coroutines may be nested a million deep: the inner ones wait until the
  // outer frame is gone.
  static thread_local void* queue = nullptr;
  static thread_local bool busy = false;
  promise_of(frame).continuation = std::exchange(queue, frame);
  if (busy) return;
  log(log_level::warning, "a coroutine was never awaited");
  busy = true;
  while (queue != nullptr) {
    void* const next = queue;
    queue = promise_of(next).continuation;
    std::coroutine_handle<>::from_address(next).destroy();
  }
  busy = false;
}

void forget_waiting_task(future_core& task, done_block& waiting) noexcept {
  if (!task.done()) {
    remove_done_block(task, callback_id{waiting.id});
    cancel(task, "");
  } else {
    handle(&waiting).cancel();
  }
}

void check_can_create_task(const loop_core& core) {
  if (core.closed) throw loop_closed_error();
  if (core.debug) core.loop->check_thread();
}

task_factory factory_of(const loop_core& core) noexcept { return core.loop->internals().factory; }

void throw_wrong_factory_result() {
  throw std::logic_error("the task factory did not return a task of this coroutine's type");
}

}  // namespace detail

// ---- any_task, any_coro ----

detail::task_core& any_task::self() const { return static_cast<detail::task_core&>(*core_); }
std::string any_task::name() const { return detail::task_name(self()); }
void any_task::set_name(std::string_view name) const { detail::set_task_name(self(), name); }
bool any_task::cancel(std::string_view message) const {
  return detail::cancel_task(self(), message);
}
std::size_t any_task::uncancel() const { return detail::uncancel_task(self()); }
std::size_t any_task::cancelling() const { return self().cancel_requests; }
context any_task::get_context() const {
  detail::context_ref& bound = self().bound_context;
  const context shared(bound);
  bound = shared.ref();
  return shared;
}

any_coro::any_coro(any_coro&& other) noexcept
    : frame_(std::exchange(other.frame_, nullptr)), make_(other.make_) {}
any_coro& any_coro::operator=(any_coro&& other) noexcept {
  std::swap(frame_, other.frame_);
  std::swap(make_, other.make_);
  return *this;
}
any_coro::~any_coro() {
  if (frame_ != nullptr) detail::drop_unawaited(frame_);
}

namespace {

any_task make_any_task(event_loop& loop, any_coro body, const task_options& options, bool eager) {
  detail::check_can_create_task(loop.core());
  const detail::core_ref<detail::future_core> made = body.make(loop.core());
  detail::start_task(static_cast<detail::task_core&>(*made), body.release(), options.name,
                     options.context, options.eager_start.value_or(eager));
  return any_task(made);
}

}  // namespace

any_task make_task(event_loop& loop, any_coro body, const task_options& options) {
  return make_any_task(loop, std::move(body), options, false);
}

any_task eager_task_factory(event_loop& loop, any_coro body, const task_options& options) {
  return make_any_task(loop, std::move(body), options, true);
}

any_task current_task() {
  detail::task_core* const task = detail::running_task();
  return task == nullptr ? any_task() : any_task(detail::core_ref<detail::future_core>(task));
}
any_task current_task(event_loop& loop) {
  detail::task_core* const task = loop.core().current_task;
  return task == nullptr ? any_task() : any_task(detail::core_ref<detail::future_core>(task));
}

std::vector<any_task> all_tasks() { return all_tasks(get_running_loop()); }
std::vector<any_task> all_tasks(event_loop& loop) {
  std::vector<any_task> result;
  detail::task_core* const first = loop.core().tasks;
  result.reserve(loop.core().task_count);
  for (detail::task_core* each = first; each != nullptr;) {
    result.emplace_back(detail::core_ref<detail::future_core>(each));
    each = each->next_task == first ? nullptr : each->next_task;
  }
  return result;
}

}  // namespace v0
}  // namespace rondo
