// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  The loop: iterations, callbacks, timers, closing.
#include <rondo/event_loop.hpp>

#include <rondo/backend.hpp>
#include <rondo/errors.hpp>
#include <rondo/log.hpp>

#include "../os/fork.hpp"
#include "loop_internals.hpp"
#include "running_scope.hpp"
#include "task_list.hpp"

#include <fmt/format.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>

namespace rondo {
inline namespace v0 {
namespace {

// epoll and its kin take milliseconds as an int; asyncio caps at a day, too.
constexpr interval longest_wait = std::chrono::hours(24);
// How long a loop with work may go without looking at its descriptors and timers: about 50 us.
constexpr std::uint64_t longest_skip = 100'000;  // ticks
constexpr std::uint32_t most_skipped_nodes = 128;

// A clock whose only virtue is that it costs next to nothing; some 2 ticks a nanosecond.
std::uint64_t ticks() noexcept {
#if defined(__x86_64__)
  return __builtin_ia32_rdtsc();
#else
  return static_cast<std::uint64_t>(clock::now().time_since_epoch().count()) * 2;
#endif
}

std::int64_t nanoseconds(time_point when) noexcept { return when.time_since_epoch().count(); }

[[noreturn]] void throw_forked() {
  throw std::logic_error(
      "the event loop was made before fork(): the child must close it and make its own");
}

// The first node of a child that goes on with its parent's loop: what is queued belongs to the
// parent.
void run_fork_barrier(detail::ready_node&, event_loop* loop) {
  if (loop != nullptr) throw_forked();
}

}  // namespace

/// Marks the loop as the one that runs in this thread.
class event_loop::running_scope {
 public:
  explicit running_scope(event_loop& loop) : loop_(loop), thread_(detail::this_thread()) {
    loop.check_can_run();
    loop_.internals_->running = true;
    loop_.internals_->poll_next = true;
    thread_.running = &loop;
    thread_.fork_generation = os::fork_generation();
    loop_.core_->thread.store(&thread_, std::memory_order_relaxed);
    outer_context_ = std::exchange(thread_.context, &base_context_);
  }
  running_scope(const running_scope&) = delete;
  running_scope& operator=(const running_scope&) = delete;
  ~running_scope() {
    thread_.context = outer_context_;
    loop_.core_->thread.store(nullptr, std::memory_order_relaxed);
    thread_.running = nullptr;
    loop_.internals_->running = false;
    loop_.internals_->stopping = false;
  }

 private:
  event_loop& loop_;
  detail::thread_state& thread_;
  detail::context_ref base_context_;
  detail::context_ref* outer_context_ = nullptr;
};

event_loop::event_loop(std::unique_ptr<backend> io) : core_(nullptr) {
  if (io == nullptr) throw std::invalid_argument("an event loop needs a backend");
  internals_ = std::make_unique<detail::loop_internals>();
  internals_->fork_barrier.run = &run_fork_barrier;
  detail::stop_children_of_fork();
  core_ = new detail::loop_core;
  static std::atomic<std::uint64_t> last_id = 0;
  core_->id = last_id.fetch_add(1, std::memory_order_relaxed) + 1;
  core_->loop = this;
  core_->io = io.get();
  const char* const debug = std::getenv("RONDO_DEBUG");
  core_->debug = debug != nullptr && *debug != '\0';
  internals_->io = std::move(io);
  internals_->fork_generation = os::fork_generation();
  try {
    internals_->from_threads = std::make_shared<detail::inbox>(*internals_->io);
    internals_->io->attach(*this);
  } catch (...) {
    core_->loop = nullptr;
    detail::release(*core_);
    throw;
  }
  detail::log(log_level::debug, fmt::format("using the {} backend", backend_name()));
}

event_loop::~event_loop() {
  if (!core_->closed) {
    // As Python's ResourceWarning, which only its development mode shows.
    detail::log(core_->debug ? log_level::warning : log_level::debug,
                "an event loop was destroyed without being closed");
    if (!is_running()) close();
  }
  while (core_->tasks != nullptr) detail::destroy_pending_task(*core_->tasks);
  core_->loop = nullptr;
  core_->io = nullptr;
  detail::release(*core_);
}

// ---- running ----

void event_loop::check_can_run() const {
  if (core_->closed) throw loop_closed_error();
  if (is_running()) throw loop_running_error("This event loop is already running");
  if (detail::runs_in_this_thread()) {
    throw loop_running_error("Cannot run the event loop while another loop is running");
  }
  if (internals_->fork_generation != os::fork_generation()) throw_forked();
}

void event_loop::run_forever() {
  const running_scope scope(*this);
  do {
    iterate(std::nullopt, true);
  } while (!internals_->stopping);
}

std::size_t event_loop::run_once(interval max_wait) {
  const running_scope scope(*this);
  const std::size_t count = iterate(max_wait.count() > 0 ? max_wait : interval(), false);
  // Whoever polls `backend_fd` from here on hears of what other threads leave.
  static_cast<void>(internals_->from_threads->prepare_sleep());
  return count;
}

void event_loop::run_until_done(detail::future_core& awaited) {
  if (awaited.core != core_) {
    throw std::invalid_argument(
        "The future belongs to a different loop than the one that is to run it");
  }
  const any_future future{detail::core_ref<detail::future_core>(&awaited)};
  // Where an exception leaves the loop the callback may be queued already: it must not end a later
  // run.
  const std::uint64_t mine = ++internals_->run_number;
  const callback_id id = future.add_done_callback([this, mine] {
    if (internals_->run_number == mine) stop();
  });
  try {
    run_forever();
  } catch (...) {
    ++internals_->run_number;
    // Nobody can ask a task that was made here for its exception.
    if (!awaited.log_destroyed && awaited.done()) awaited.retrieved = true;
    future.remove_done_callback(id);
    throw;
  }
  ++internals_->run_number;
  future.remove_done_callback(id);
  if (!future.done()) throw std::logic_error("Event loop stopped before Future completed.");
}

void event_loop::run_until_complete(const any_future& awaited) {
  check_can_run();
  const any_future kept = awaited;
  run_until_done(*kept.core());
  if (kept.core()->state != detail::future_state::finished) detail::throw_no_result(*kept.core());
}

void event_loop::stop() { internals_->stopping = true; }

bool event_loop::is_running() const noexcept {
  return internals_->running && internals_->fork_generation == os::fork_generation();
}

bool event_loop::is_closed() const noexcept { return core_->closed; }

std::optional<interval> event_loop::poll_wait(std::optional<interval> max_wait) const {
  if (!core_->ready.empty() || !core_->at_end.empty() || internals_->stopping) return interval();
  std::optional<interval> wait = max_wait;
  if (!core_->timers.empty()) {
    // A deadline at either end of the range must not overflow.
    std::int64_t until = 0;
    if (__builtin_sub_overflow(core_->timers.earliest(), nanoseconds(time()), &until)) {
      until = core_->timers.earliest() > 0 ? std::numeric_limits<std::int64_t>::max() : 0;
    }
    const interval left = interval::from_count(until > 0 ? until : 0);
    if (!wait || left < *wait) wait = left;
  }
  if (wait && *wait > longest_wait) wait = longest_wait;
  return wait;
}

// A poll costs as much as many task switches. While there is work it is left out for a few
// iterations, unless those turn out to be slow, or somebody could tell: readers and writers of the
// user are called in every iteration, and a timer that is due when it is made runs in the next one.
bool event_loop::skip_poll() noexcept {
  detail::loop_internals& in = *internals_;
  if (core_->ready.empty() || in.stopping || in.poll_next || !in.watched.empty()) return false;
  if (in.nodes_since_poll >= most_skipped_nodes) return false;
  if (in.polls_to_keep > 0) {
    --in.polls_to_keep;
    return false;
  }
  // Looked at after 1, 2, 4, 8 ... nodes, so that a few slow ones are noticed as soon as many fast
  // ones.
  if (in.nodes_since_poll >= in.next_look) {
    const std::uint64_t now = ticks();
    if (in.skipping_since == 0) {
      in.skipping_since = now;
    } else if (now - in.skipping_since > longest_skip) {
      in.polls_to_keep = most_skipped_nodes;
      return false;
    }
    in.next_look = in.nodes_since_poll * 2;
  }
  return true;
}

// Appends what other threads left, what happened on descriptors, and the timers that are due; those
// that were armed after `newest` go to `later`.
void event_loop::look(std::optional<interval> max_wait, std::uint64_t newest,
                      detail::ready_queue* later) {
  detail::loop_internals& in = *internals_;
  if (in.fork_generation != os::fork_generation()) [[unlikely]]
    throw_forked();
  std::optional<interval> wait = poll_wait(max_wait);
  const bool sleeps = !wait || wait->count() > 0;
  if (sleeps && !in.from_threads->prepare_sleep()) wait = interval();
  ++in.polls;
  in.poll_next = false;
  in.nodes_since_poll = 0;
  in.next_look = 0;
  in.skipping_since = 0;
  in.io->poll(wait);
  if (sleeps || in.from_threads->has_work()) in.from_threads->drain(core_->ready);
  if (!core_->timers.empty()) {
    const std::int64_t now = nanoseconds(time());
    while (!core_->timers.empty() && core_->timers.earliest() <= now) {
      detail::ready_queue& to = core_->timers.earliest_sequence() < newest ? core_->ready : *later;
      to.push(core_->timers.pop());
    }
  }
  if (in.arranger != nullptr) [[unlikely]]
    in.arranger->arrange(core_->ready);
}

std::size_t event_loop::iterate(std::optional<interval> max_wait, bool may_skip_poll) {
  detail::loop_internals& in = *internals_;
  ++core_->iteration;
  if (in.from_threads->has_work()) in.from_threads->drain(core_->ready);
  if (!may_skip_poll || !skip_poll()) {
    look(max_wait, std::numeric_limits<std::uint64_t>::max(), nullptr);
    return run_batch(core_->ready.back());
  }
  const std::uint64_t newest = core_->timers.next_sequence();
  std::size_t count = run_batch(core_->ready.back());
  if (in.stopping) {
    // The last iteration, which in asyncio would have looked: what it finds runs before what the
    // batch added.
    detail::ready_queue added;
    added.append(core_->ready);
    look(std::nullopt, newest, &added);
    detail::ready_node* const last = core_->ready.empty() ? nullptr : core_->ready.back();
    core_->ready.append(added);
    if (last != nullptr) count += run_batch(last);
  }
  return count;
}

// Runs the ready nodes up to and including `last`, if there are any.
std::size_t event_loop::run_batch(const detail::ready_node* last) {
  detail::loop_core& core = *core_;
  std::size_t count = 0;
  struct counter {
    event_loop& loop;
    const std::size_t& count;
    ~counter() {
      loop.core_->callback_count += count;
      loop.internals_->nodes_since_poll += static_cast<std::uint32_t>(count);
    }
  } const counted{*this, count};
  if (!core.ready.empty()) {
    const bool timed = core.debug;
    for (bool more = true; more;) {
      detail::ready_node& node = core.ready.pop();
      more = &node != last;
      ++count;
      if (timed) [[unlikely]] {
        run_timed(node);
      } else {
        node.run(node, this);
      }
    }
  }
  while (!core.at_end.empty()) {
    detail::ready_node& node = core.at_end.pop();
    node.run(node, this);
  }
  return count;
}

// Debug mode: says who held the loop up.
void event_loop::run_timed(detail::ready_node& node) {
  const bool is_task = node.run == &detail::step_task;
  const std::string name =
      is_task ? "task " + detail::task_name(static_cast<detail::task_core&>(node)) : "a callback";
  struct timer {
    event_loop& loop;
    const std::string& name;
    time_point began;
    ~timer() {
      const auto took = std::chrono::duration_cast<std::chrono::nanoseconds>(loop.time() - began);
      if (interval(took) < loop.slow_callback_duration) return;
      detail::log(log_level::warning, fmt::format("Executing {} took {:.3f} seconds", name,
                                                  std::chrono::duration<double>(took).count()));
    }
  } const timed{*this, name, time()};
  node.run(node, this);
}

// ---- closing ----

void event_loop::drop_queued() noexcept {
  detail::loop_core& core = *core_;
  while (!core.ready.empty() || !core.at_end.empty() || !core.timers.empty()) {
    while (!core.ready.empty()) {
      detail::ready_node& node = core.ready.pop();
      node.run(node, nullptr);
    }
    while (!core.at_end.empty()) {
      detail::ready_node& node = core.at_end.pop();
      node.run(node, nullptr);
    }
    if (!core.timers.empty()) {
      detail::timer_node& node = core.timers.pop();
      node.run(node, nullptr);
    }
  }
}

void event_loop::close() {
  if (is_running()) throw loop_running_error("Cannot close a running event loop");
  if (core_->closed) return;
  core_->closed = true;
  detail::loop_internals& in = *internals_;
  const bool forked = in.fork_generation != os::fork_generation();
  in.from_threads->close(forked);
  while (!in.signals.empty()) remove_signal_handler(in.signals.begin()->first);
  for (auto& [fd, callbacks] : in.watched) {
    if (callbacks.reader) {
      if (!forked) in.io->unwatch(fd, watch_kind::read);
      detail::retire_repeated(*callbacks.reader);
    }
    if (callbacks.writer) {
      if (!forked) in.io->unwatch(fd, watch_kind::write);
      detail::retire_repeated(*callbacks.writer);
    }
  }
  in.watched.clear();
  drop_queued();
  while (core_->resources != nullptr) {
    detail::loop_resource& resource = *core_->resources;
    detail::unlink_resource(*core_, resource);
    resource.on_loop_close();
  }
  drop_queued();
  detail::close_default_executor(in);
  // Nothing queues a pending task any more: its memory may go before that of the queue.
  detail::task_core* const first = core_->tasks;
  for (detail::task_core* each = first; each != nullptr;) {
    each->scheduled = true;
    each = each->next_task == first ? nullptr : each->next_task;
  }
  in.io->shut_down(forked);
}

// ---- callbacks ----

void event_loop::check_usable() const {
  if (core_->closed) throw loop_closed_error();
  if (internals_->fork_generation != os::fork_generation()) [[unlikely]]
    throw_forked();
  if (core_->debug) [[unlikely]]
    check_thread();
}

void event_loop::check_thread() const {
  if (!core_->debug) return;
  const detail::thread_state* const runs = core_->thread.load(std::memory_order_relaxed);
  if (runs != nullptr && runs != &detail::this_thread()) {
    throw std::logic_error(
        "Non-thread-safe operation invoked on an event loop other than the current one");
  }
}

handle event_loop::schedule(detail::block_ref<detail::handle_block> block, const context* bound) {
  check_usable();
  block->bound_context = bound != nullptr ? bound->ref() : detail::running_context().snapshot();
  ++core_->handle_count;
  detail::handle_block* const queued = block.detach();
  core_->ready.push(*queued);
  return handle(queued);
}

timer_handle event_loop::schedule_after(interval delay,
                                        detail::block_ref<detail::timer_block> block,
                                        const context* bound) {
  if (delay.count() <= 0) internals_->poll_next = true;
  return arm(detail::add_saturated(time(), delay), std::move(block), bound);
}

timer_handle event_loop::schedule_at(time_point when, detail::block_ref<detail::timer_block> block,
                                     const context* bound) {
  const timer_handle result = arm(when, std::move(block), bound);
  // Only the earliest of all timers can be due; it alone costs a look at the clock.
  if (core_->timers.earliest() == nanoseconds(when) && when <= time()) {
    internals_->poll_next = true;
  }
  return result;
}

timer_handle event_loop::arm(time_point when, detail::block_ref<detail::timer_block> block,
                             const context* bound) {
  check_usable();
  block->bound_context = bound != nullptr ? bound->ref() : detail::running_context().snapshot();
  block->when = nanoseconds(when);
  core_->timers.push(block->when, *block);
  ++core_->handle_count;
  return timer_handle(block.detach());
}

threadsafe_handle event_loop::post(detail::threadsafe_block* block, const context* bound) {
  threadsafe_handle result(block);  // one reference for the queue, one for the caller
  block->bound_context = bound != nullptr ? bound->ref() : detail::running_context().snapshot();
  if (internals_->fork_generation != os::fork_generation()) {
    detail::release(*block);
    throw_forked();
  }
  // In the loop's own thread the call keeps its place among those of call_soon.
  if (detail::this_thread().running == this) {
    core_->ready.push(*block);
  } else if (!internals_->from_threads->push(*block)) {
    detail::release(*block);
    throw loop_closed_error();
  }
  return result;
}

time_point event_loop::time() const noexcept { return clock::now(); }

void event_loop::arm_timer(detail::timer_node& node, time_point when) {
  core_->timers.push(nanoseconds(when), node);
}
void event_loop::disarm_timer(detail::timer_node& node) noexcept {
  if (node.armed()) core_->timers.erase(node);
}

void event_loop::set_task_factory(task_factory factory) noexcept {
  internals_->factory = factory == &make_task ? nullptr : factory;
}
task_factory event_loop::get_task_factory() const noexcept { return internals_->factory; }

// ---- descriptors ----

void event_loop::watch(int fd, bool writer, detail::block_ref<detail::handle_block> block) {
  check_usable();
  block->bound_context = detail::running_context().snapshot();
  const watch_kind kind = writer ? watch_kind::write : watch_kind::read;
  detail::watchers& callbacks = internals_->watched[fd];
  try {
    internals_->io->watch(fd, kind, *block, block->queued);
  } catch (...) {
    if (!callbacks.reader && !callbacks.writer) internals_->watched.erase(fd);
    throw;
  }
  detail::block_ref<detail::handle_block>& place = writer ? callbacks.writer : callbacks.reader;
  if (const auto replaced = std::exchange(place, std::move(block))) {
    detail::retire_repeated(*replaced);
  }
}

bool event_loop::unwatch(int fd, bool writer) {
  if (core_->closed) return false;
  check_thread();
  const auto found = internals_->watched.find(fd);
  if (found == internals_->watched.end()) {
    if (internals_->io->is_open(fd)) {
      throw std::logic_error(fmt::format("File descriptor {} is used by transport", fd));
    }
    return false;
  }
  detail::block_ref<detail::handle_block>& place =
      writer ? found->second.writer : found->second.reader;
  if (!place) return false;
  internals_->io->unwatch(fd, writer ? watch_kind::write : watch_kind::read);
  const detail::block_ref<detail::handle_block> removed = std::exchange(place, {});
  if (!found->second.reader && !found->second.writer) internals_->watched.erase(found);
  detail::retire_repeated(*removed);
  return true;
}

// ---- errors and debugging ----

void event_loop::set_exception_handler(exception_handler handler) {
  internals_->on_exception = std::move(handler);
}
event_loop::exception_handler event_loop::get_exception_handler() const {
  return internals_->on_exception;
}

bool event_loop::get_debug() const noexcept { return core_->debug; }
void event_loop::set_debug(bool enabled) noexcept { core_->debug = enabled; }

// ---- embedding ----

std::string_view event_loop::backend_name() const noexcept { return internals_->io->name(); }

int event_loop::backend_fd() const { return internals_->io->descriptor(); }

std::optional<interval> event_loop::backend_timeout() const {
  // From here on the host sleeps: other threads must wake it through `backend_fd`.
  if (!core_->closed && !internals_->from_threads->prepare_sleep()) return interval();
  return poll_wait(std::nullopt);
}

loop_metrics event_loop::metrics() const noexcept {
  loop_metrics result;
  result.iterations = core_->iteration;
  result.callbacks = core_->callback_count;
  result.polls = internals_->polls;
  result.tasks = core_->task_count;
  result.handles = core_->handle_count;
  result.operations = core_->operation_count;
  result.frames = detail::live_frames();
  return result;
}

namespace detail {

loop_core& core_of(event_loop& loop) {
  if (loop.core().closed) throw loop_closed_error();
  return loop.core();
}

loop_core& running_core() { return get_running_loop().core(); }

void release(loop_core& core) noexcept {
  if (--core.references == 0) delete &core;
}

void link_resource(loop_core& core, loop_resource& resource) noexcept {
  if (core.resources == nullptr) {
    resource.next_resource = &resource;
    resource.previous_resource = &resource;
    core.resources = &resource;
    return;
  }
  loop_resource& first = *core.resources;
  resource.next_resource = &first;
  resource.previous_resource = first.previous_resource;
  first.previous_resource->next_resource = &resource;
  first.previous_resource = &resource;
}

void unlink_resource(loop_core& core, loop_resource& resource) noexcept {
  if (resource.next_resource == nullptr) return;
  if (resource.next_resource == &resource) {
    core.resources = nullptr;
  } else {
    resource.previous_resource->next_resource = resource.next_resource;
    resource.next_resource->previous_resource = resource.previous_resource;
    if (core.resources == &resource) core.resources = resource.next_resource;
  }
  resource.next_resource = nullptr;
}

}  // namespace detail
}  // namespace v0
}  // namespace rondo
