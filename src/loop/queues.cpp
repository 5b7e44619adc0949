// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Who is woken when, in queues.
#include <rondo/queues.hpp>

#include <rondo/detail/task_core.hpp>

#include <limits>
#include <stdexcept>
#include <utility>

namespace rondo {
inline namespace v0 {
namespace detail {

// ---- waiting for an item or for room ----

bool queue_waiter::may_go() const noexcept {
  if (on_->shut_down_) return true;
  return puts_ ? !on_->full() : !on_->empty();
}

void queue_waiter::wait(task_core& by, void* frame) {
  on_->loop_.bind(by);
  task = &by;
  woken = false;
  (puts_ ? on_->putters_ : on_->getters_).push_back(*this);
  by.suspend(frame, *this);
}

bool queue_waiter::on_cancel(suspension& self, task_core& by) {
  auto& mine = static_cast<queue_waiter&>(self);
  // Woken already: the request is delivered in its turn, and can be withdrawn until then.
  if (mine.woken) return false;
  if (mine.linked()) mine.unlink();
  by.wake_cancelled();
  return true;
}

void queue_waiter::on_turn(ready_node& self, event_loop* loop) {
  if (loop == nullptr) return;
  auto& mine = static_cast<queue_waiter&>(self);
  task_core& by = *mine.task;
  if (!mine.orphaned && !by.must_cancel && !mine.may_go()) {
    mine.unlink();
    mine.woken = false;
    (mine.puts_ ? mine.on_->putters_ : mine.on_->getters_).push_back(mine);
    return;
  }
  by.waiting_on = nullptr;
  step_task(by, loop);
}

void queue_waiter::finish() {
  task_core& by = *std::exchange(task, nullptr);
  if (by.throwing) {
    if (linked()) abandon();
    by.throw_cancelled();
  }
  if (orphaned) throw_orphaned();
  unlink();
}

void queue_waiter::abandon() noexcept {
  unlink();
  if (woken) pass_on();
}

void queue_waiter::pass_on() noexcept { puts_ ? on_->wake_putter() : on_->wake_getter(); }

// ---- waiting for the end of the work ----

void join_awaiter::wait(task_core& by, void* frame) {
  on_->loop_.bind(by);
  task = &by;
  on_->joiners_.push_back(*this);
  by.suspend(frame, *this);
}

// ---- queue_core ----

queue_core::queue_core(std::ptrdiff_t maxsize) noexcept
    : limit_(maxsize > 0 ? static_cast<std::size_t>(maxsize)
                         : std::numeric_limits<std::size_t>::max()),
      maxsize_(maxsize) {}

queue_core::~queue_core() = default;

void queue_core::task_done() {
  if (unfinished_ == 0) throw std::invalid_argument("task_done() was called too many times");
  joiners_.check_thread();
  if (--unfinished_ == 0) wake_joiners();
}

void queue_core::throw_nothing_to_get() const {
  if (shut_down_) throw queue_shut_down();
  throw queue_empty();
}

void queue_core::wake_next(waiter_list& line) noexcept {
  auto& first = static_cast<queue_waiter&>(line.front());
  first.unlink();
  first.woken = true;
  woken_.push_back(first);
  loop_core& core = *first.task->core;
  if (!core.closed) core.ready.push(first);
}

void queue_core::wake_joiners() noexcept {
  while (!joiners_.empty()) {
    waiter& first = joiners_.front();
    first.unlink();
    first.wake();
  }
}

void queue_core::close(bool drop_items) noexcept {
  shut_down_ = true;
  if (drop_items) {
    unfinished_ -= size_ < unfinished_ ? size_ : unfinished_;
    size_ = 0;
    if (unfinished_ == 0) wake_joiners();
  }
  while (!getters_.empty()) wake_next(getters_);
  while (!putters_.empty()) wake_next(putters_);
}

}  // namespace detail
}  // namespace v0
}  // namespace rondo
