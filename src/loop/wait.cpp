// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Waiting for several futures: wait and as_completed.
#include <rondo/wait.hpp>

#include <rondo/as_completed.hpp>
#include <rondo/detail/memory.hpp>
#include <rondo/detail/timer_heap.hpp>
#include <rondo/ensure_future.hpp>
#include <rondo/errors.hpp>
#include <rondo/event_loop.hpp>

#include "waiter_kinds.hpp"

#include <algorithm>
#include <cstddef>
#include <memory>
#include <new>
#include <stdexcept>
#include <utility>
#include <vector>

namespace rondo {
inline namespace v0 {
namespace detail {

std::vector<bool> find_duplicates(const future_list& futures) {
  const std::size_t count = futures.count;
  std::vector<bool> repeated;
  const auto mark = [&](std::size_t n) {
    repeated.resize(count);
    repeated[n] = true;
  };
  constexpr std::size_t few = 16;
  if (count <= few) {
    for (std::size_t n = 0; n < count; ++n) {
      const future_core* const core = &futures[n];
      for (std::size_t earlier = 0; earlier < n; ++earlier) {
        if (&futures[earlier] != core) continue;
        mark(n);
        break;
      }
    }
    return repeated;
  }
  std::vector<std::pair<const future_core*, std::size_t>> sorted;
  sorted.reserve(count);
  for (std::size_t n = 0; n < count; ++n) sorted.emplace_back(&futures[n], n);
  std::sort(sorted.begin(), sorted.end());
  for (std::size_t n = 1; n < count; ++n) {
    if (sorted[n].first == sorted[n - 1].first) mark(sorted[n].second);
  }
  return repeated;
}

namespace {

struct wait_child : future_waiter {
  wait_child(wait_block& set, future_core& awaited) noexcept;
  wait_block& block;
  core_ref<future_core> on;
};

void run_decision(ready_node& node, event_loop* loop);
void run_time_limit(ready_node& node, event_loop* loop);

struct decision_node : ready_node {
  explicit decision_node(wait_block& set) noexcept : ready_node(&run_decision), block(set) {}
  wait_block& block;
};
struct time_limit : timer_node {
  explicit time_limit(wait_block& set) noexcept : timer_node(&run_time_limit), block(set) {}
  wait_block& block;
};

}  // namespace

/// Not part of the awaiter, as the loop may still have its nodes in a queue when that is gone.
struct wait_block {
  explicit wait_block(const wait_options& how, std::size_t number) noexcept
      : options(how), count(number), unfinished(number), decision(*this), limit(*this) {}

  [[nodiscard]] static std::size_t size_for(std::size_t number) noexcept {
    return sizeof(wait_block) + number * sizeof(wait_child);
  }
  [[nodiscard]] wait_child* begin() noexcept {
    return std::launder(reinterpret_cast<wait_child*>(this + 1));
  }
  [[nodiscard]] wait_child* end() noexcept { return begin() + count; }

  std::uint32_t references = 1;  // of the awaiter; one for each node that is queued or armed
  wait_options options;
  std::size_t count;
  std::size_t unfinished;
  task_core* task = nullptr;  // while it is suspended here
  bool decided = false;
  decision_node decision;
  time_limit limit;
};
static_assert(sizeof(wait_block) % alignof(wait_child) == 0);

namespace {

void release(wait_block& block) noexcept {
  if (--block.references != 0) return;
  const std::size_t size = wait_block::size_for(block.count);
  std::destroy(block.begin(), block.end());
  block.~wait_block();
  free_block(&block, size);
}

void note_done(wait_block& block, future_core& done) noexcept {
  --block.unfinished;
  bool enough = block.unfinished == 0 || block.options.when == return_when::first_completed;
  if (block.options.when == return_when::first_exception && done.state == future_state::failed) {
    done.retrieved = true;
    enough = true;
  }
  if (!enough || block.decided) return;
  block.decided = true;
  ++block.references;
  done.core->ready.push(block.decision);
}

void notify_wait_child(future_waiter& self, future_core* done) {
  if (done != nullptr) note_done(static_cast<wait_child&>(self).block, *done);
}

wait_child::wait_child(wait_block& set, future_core& awaited) noexcept
    : future_waiter(&notify_wait_child), block(set), on(&awaited) {}

void disarm(wait_block& block, loop_core& core) noexcept {
  if (!block.limit.armed()) return;
  core.timers.erase(block.limit);
  release(block);
}

void run_decision(ready_node& node, event_loop* loop) {
  wait_block& block = static_cast<decision_node&>(node).block;
  if (loop != nullptr && block.task != nullptr) {
    disarm(block, *block.task->core);
    block.task->wake();
  }
  release(block);
}

void run_time_limit(ready_node& node, event_loop* loop) {
  wait_block& block = static_cast<time_limit&>(static_cast<timer_node&>(node)).block;
  if (loop != nullptr && block.task != nullptr) block.task->wake();
  release(block);
}

}  // namespace

wait_awaiter::wait_awaiter(const future_list& futures, const wait_options& options)
    : suspension(&request_cancel), block_(nullptr) {
  const std::size_t count = futures.count;
  if (count == 0) throw std::invalid_argument("Set of Tasks/Futures is empty.");
  if (options.when > return_when::first_exception) {
    throw std::invalid_argument("Invalid return_when value");
  }
  void* const memory = allocate_block(wait_block::size_for(count));
  block_ = ::new (memory) wait_block(options, count);
  wait_child* const first = block_->begin();
  for (std::size_t n = 0; n < count; ++n) {
    ::new (static_cast<void*>(first + n)) wait_child(*block_, futures[n]);
  }
}

wait_awaiter::~wait_awaiter() {
  block_->task = nullptr;
  disarm(*block_, *block_->begin()->on->core);
  for (wait_child& each : *block_) {
    if (each.linked()) remove_waiter(*each.on, each);
    each.on = {};  // a node that is queued keeps the block, but not the futures
  }
  release(*block_);
}

void wait_awaiter::begin(task_core& by, void* frame) {
  for (const wait_child& each : *block_) {
    if (each.on->core != by.core) throw_other_loop();
  }
  block_->task = &by;
  if (block_->options.timeout && *block_->options.timeout != interval::max()) {
    by.core->loop->arm_timer(block_->limit,
                             add_saturated(by.core->loop->time(), *block_->options.timeout));
    ++block_->references;
  }
  for (wait_child& each : *block_) {
    if (each.on->done()) {
      note_done(*block_, *each.on);
    } else {
      add_waiter(*each.on, each);
    }
  }
  by.suspend(frame, *this);
}

void wait_awaiter::await_resume() {
  task_core& task = *block_->task;
  block_->task = nullptr;
  task.check_cancelled();
}

bool wait_awaiter::request_cancel(suspension& self, task_core& task) {
  static_cast<void>(self);
  task.wake_cancelled();
  return true;
}

namespace {
// One of several may do, and there may be a time limit.
const waiter_kind waited_kind(
    &notify_wait_child,
    [](future_waiter& self) noexcept -> future_core* {
      return static_cast<wait_child&>(self).block.task;
    },
    waiter_kind::end::may_do_without);
}  // namespace

// ---- as_completed ----

namespace {

struct completion_child : future_waiter, ready_node {
  completion_child(completion_block& set, core_ref<future_core> awaited) noexcept;
  completion_block& block;
  core_ref<future_core> on;
  completion_child* next_done = nullptr;
};

void run_completion_limit(ready_node& node, event_loop* loop);

struct completion_limit : timer_node {
  explicit completion_limit(completion_block& set) noexcept
      : timer_node(&run_completion_limit), block(set) {}
  completion_block& block;
};

}  // namespace

struct completion_block {
  explicit completion_block(std::size_t number) noexcept
      : count(number), outstanding(number), limit(*this) {}

  [[nodiscard]] static std::size_t size_for(std::size_t number) noexcept {
    return sizeof(completion_block) + number * sizeof(completion_child);
  }
  [[nodiscard]] completion_child* begin() noexcept {
    return std::launder(reinterpret_cast<completion_child*>(this + 1));
  }
  [[nodiscard]] completion_child* end() noexcept { return begin() + count; }

  std::uint32_t handles = 1;
  std::uint32_t references = 1;  // of the handles; one for each node that is queued or armed
  std::size_t count;
  std::size_t outstanding;
  bool expired = false;
  completion_child* first_done = nullptr;  // not taken yet
  completion_child* last_done = nullptr;
  completion_awaiter* first_waiting = nullptr;
  completion_awaiter* last_waiting = nullptr;
  completion_limit limit;
};
static_assert(sizeof(completion_block) % alignof(completion_child) == 0);

namespace {

void release(completion_block& block) noexcept {
  if (--block.references != 0) return;
  const std::size_t size = completion_block::size_for(block.count);
  std::destroy(block.begin(), block.end());
  block.~completion_block();
  free_block(&block, size);
}

void disarm(completion_block& block) noexcept {
  if (!block.limit.armed()) return;
  block.begin()->on->core->timers.erase(block.limit);
  release(block);
}

void drop_handle(completion_block& block) noexcept {
  if (--block.handles != 0) return;
  disarm(block);
  for (completion_child& each : block) {
    if (each.linked()) remove_waiter(*each.on, each);
    each.on = {};
  }
  release(block);
}

void remove_waiting(completion_block& block, completion_awaiter& waiting) noexcept {
  completion_awaiter* before = nullptr;
  completion_awaiter* each = block.first_waiting;
  while (each != &waiting) {
    before = each;
    each = each->next;
  }
  (before == nullptr ? block.first_waiting : before->next) = waiting.next;
  if (block.last_waiting == &waiting) block.last_waiting = before;
  waiting.waits = false;
}

void wake_first(completion_block& block) noexcept {
  completion_awaiter* const first = block.first_waiting;
  if (first == nullptr) return;
  remove_waiting(block, *first);
  first->task->wake();
}

void wake_all(completion_block& block) noexcept {
  while (block.first_waiting != nullptr) wake_first(block);
}

void queue_completion(completion_child& child, future_core& done) noexcept {
  ++child.block.references;
  done.core->ready.push(child);
}

void notify_completion(future_waiter& self, future_core* done) {
  if (done != nullptr) queue_completion(static_cast<completion_child&>(self), *done);
}

const waiter_kind completion_kind(
    &notify_completion,
    [](future_waiter& self) noexcept -> future_core* {
      const completion_awaiter* const first =
          static_cast<completion_child&>(self).block.first_waiting;
      return first == nullptr ? nullptr : first->task;
    },
    waiter_kind::end::may_do_without);

void run_completion(ready_node& node, event_loop* loop) {
  auto& child = static_cast<completion_child&>(node);
  completion_block& block = child.block;
  if (loop != nullptr && block.handles != 0) {
    --block.outstanding;
    (block.last_done == nullptr ? block.first_done : block.last_done->next_done) = &child;
    block.last_done = &child;
    if (block.outstanding == 0) disarm(block);
    wake_first(block);
  }
  release(block);
}

completion_child::completion_child(completion_block& set, core_ref<future_core> awaited) noexcept
    : future_waiter(&notify_completion),
      ready_node(&run_completion),
      block(set),
      on(std::move(awaited)) {}

void run_completion_limit(ready_node& node, event_loop* loop) {
  completion_block& block = static_cast<completion_limit&>(static_cast<timer_node&>(node)).block;
  if (loop != nullptr && block.handles != 0) {
    block.expired = true;
    wake_all(block);
  }
  release(block);
}

}  // namespace

completions::completions(std::vector<core_ref<future_core>> futures,
                         std::optional<interval> timeout) {
  loop_core& core = common_loop(futures.data(), futures.size());
  if (core.closed) throw loop_closed_error();
  const std::vector<bool> repeated = find_duplicates(list_of(futures));
  if (!repeated.empty()) {
    std::size_t kept = 0;
    for (std::size_t n = 0; n < futures.size(); ++n) {
      if (!repeated[n]) std::swap(futures[kept++], futures[n]);
    }
    futures.erase(futures.begin() + static_cast<std::ptrdiff_t>(kept), futures.end());
  }
  const std::size_t count = futures.size();
  void* const memory = allocate_block(completion_block::size_for(count));
  block_ = ::new (memory) completion_block(count);
  completion_child* const first = block_->begin();
  for (std::size_t n = 0; n < count; ++n) {
    ::new (static_cast<void*>(first + n)) completion_child(*block_, std::move(futures[n]));
  }
  for (completion_child& each : *block_) {
    if (each.on->done()) {
      queue_completion(each, *each.on);
    } else {
      add_waiter(*each.on, each);
    }
  }
  if (count > 0 && timeout && *timeout != interval::max()) {
    core.loop->arm_timer(block_->limit, add_saturated(core.loop->time(), *timeout));
    ++block_->references;
  }
}

completions::completions(const completions& other) noexcept : block_(other.block_) {
  if (block_ != nullptr) ++block_->handles;
}
completions::completions(completions&& other) noexcept
    : block_(std::exchange(other.block_, nullptr)) {}
completions& completions::operator=(completions other) noexcept {
  std::swap(block_, other.block_);
  return *this;
}
completions::~completions() {
  if (block_ != nullptr) drop_handle(*block_);
}

bool completions::ready() const {
  if (block_ == nullptr) throw_empty_handle();
  return block_->first_done != nullptr || block_->outstanding == 0 || block_->expired;
}

core_ref<future_core> completions::take() const {
  completion_child* const first = block_->first_done;
  if (first == nullptr) {
    if (block_->outstanding == 0) return {};
    throw timeout_error();
  }
  block_->first_done = first->next_done;
  if (block_->first_done == nullptr) block_->last_done = nullptr;
  core_ref<future_core> result = first->on;
  // Those who wait in vain from here on.
  if (block_->first_done == nullptr && block_->outstanding == 0) wake_all(*block_);
  return result;
}

completion_awaiter::completion_awaiter(const completions& of) noexcept
    : suspension(&request_cancel), on_(of) {}

completion_awaiter::~completion_awaiter() {
  if (waits) remove_waiting(*on_.block_, *this);
}

void completion_awaiter::begin(task_core& by, void* frame) {
  completion_block& block = *on_.block_;
  if (block.begin()->on->core != by.core) throw_other_loop();
  task = &by;
  (block.last_waiting == nullptr ? block.first_waiting : block.last_waiting->next) = this;
  block.last_waiting = this;
  next = nullptr;
  waits = true;
  by.suspend(frame, *this);
}

void completion_awaiter::await_resume() const {
  // Woken for one that it will not take: the next one who waits gets it.
  if (task->throwing && on_.block_->first_done != nullptr) wake_first(*on_.block_);
  task->check_cancelled();
}

bool completion_awaiter::request_cancel(suspension& self, task_core& by) {
  auto& awaiter = static_cast<completion_awaiter&>(self);
  if (awaiter.waits) remove_waiting(*awaiter.on_.block_, awaiter);
  by.wake_cancelled();
  return true;
}

}  // namespace detail
}  // namespace v0
}  // namespace rondo
