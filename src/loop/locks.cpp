// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Who is woken when, in locks and their like.
#include <rondo/locks.hpp>

#include <rondo/detail/waiter_list.hpp>
#include <rondo/errors.hpp>
#include <rondo/event_loop.hpp>
#include <rondo/log.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <functional>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>

namespace rondo {
inline namespace v0 {
namespace detail {

// ---- waiters ----

std::size_t waiter_list::count() const noexcept {
  std::size_t result = 0;
  for (const waiter_link* each = head_.next; each != &head_; each = each->next) ++result;
  return result;
}

void waiter_list::abandon() noexcept {
  std::size_t left = 0;
  bool debug = false;
  while (!empty()) {
    waiter& first = front();
    first.unlink();
    first.orphaned = true;
    if (first.woken) continue;
    ++left;
    debug = debug || first.task->core->debug;
    // Nothing else could end its wait.
    if (first.shielded) first.wake();
  }
  if (!debug || left == 0) return;
  try {
    log(log_level::warning,
        fmt::format("a primitive was destroyed while {} tasks wait for it", left));
  } catch (...) {
    log(log_level::warning, "a primitive was destroyed while tasks wait for it");
  }
}

void waiter_list::check_thread_of_loop() const {
  const loop_core& core = *front().task->core;
  if (core.loop != nullptr) core.loop->check_thread();
}

void loop_binding::bind_to(std::uint64_t id) {
  if (id_ != 0) throw std::logic_error("the primitive is bound to a different event loop");
  id_ = id;
}

bool cancel_waiter(suspension& self, task_core& task) {
  auto& mine = static_cast<waiter&>(self);
  if (mine.linked()) mine.unlink();
  task.wake_cancelled();
  return true;
}

void throw_orphaned() {
  throw std::logic_error("what the task waited for was destroyed before the task could go on");
}

void report_failed_release() noexcept {
  try {
    throw;
  } catch (const std::exception& error) {
    log(log_level::error, error.what());
  } catch (...) {
    log(log_level::error, "the release at the end of a scope failed");
  }
}

// ---- lock ----

bool lock_awaiter::on_cancel(suspension& self, task_core& by) {
  auto& mine = static_cast<lock_awaiter&>(self);
  if (mine.shielded) return false;
  // It keeps its place until it runs, as asyncio's does: a release before that wakes nobody, and it
  // passes that on.
  mine.woken = true;
  by.wake_cancelled();
  return true;
}

void lock_awaiter::wait(task_core& by, void* frame) {
  on_->loop_.bind(by);
  task = &by;
  woken = false;
  on_->waiters_.push_back(*this);
  by.suspend(frame, *this);
}

void lock_awaiter::finish() {
  task_core& by = *std::exchange(task, nullptr);
  if (by.throwing && !shielded) {
    if (linked()) abandon();
    by.throw_cancelled();
  }
  if (orphaned) throw_orphaned();
  unlink();
  on_->locked_ = true;
}

void lock_awaiter::abandon() noexcept {
  unlink();
  if (woken && !on_->locked_) on_->wake_first();
}

// ---- event ----

void event_awaiter::wait(task_core& by, void* frame) {
  on_->loop_.bind(by);
  task = &by;
  on_->waiters_.push_back(*this);
  by.suspend(frame, *this);
}

// ---- semaphore ----

void semaphore_awaiter::wait(task_core& by, void* frame) {
  on_->loop_.bind(by);
  task = &by;
  woken = false;
  on_->waiting_.push_back(*this);
  by.suspend(frame, *this);
}

void semaphore_awaiter::finish() {
  task_core& by = *std::exchange(task, nullptr);
  if (by.throwing) {
    if (linked()) abandon();
    by.throw_cancelled();
  }
  if (orphaned) throw_orphaned();
  unlink();
  // Those who came since had to wait for this one, even if there are places.
  on_->grant_all();
}

void semaphore_awaiter::abandon() noexcept {
  unlink();
  if (!woken) return;
  ++on_->value_;
  on_->grant_all();
}

// ---- condition ----

/// One `condition::wait` from the release of the lock until it is held again.
class condition_awaiter : public waiter {
 public:
  using rondo_awaiter = void;

  explicit condition_awaiter(condition& on) noexcept : waiter(&on_cancel), on_(&on) {}
  condition_awaiter(const condition_awaiter&) = delete;
  condition_awaiter& operator=(const condition_awaiter&) = delete;
  // It was woken and has no use for that: the next one may.
  ~condition_awaiter() {
    if (!linked()) return;
    unlink();
    if (woken) on_->wake(1);
  }

  [[nodiscard]] bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<coro_promise<void>> frame) {
    task = frame.promise().task;
    on_->loop_.bind(*task);
    on_->lock_->release();
    on_->waiters_.push_back(*this);
    task->suspend(frame.address(), *this);
  }
  void await_resume() const { task->check_cancelled(); }

  /// The notification was of use.
  void done() noexcept {
    if (linked()) unlink();
  }

 private:
  // It stays linked, to hear of the end of the condition before it locks again.
  static bool on_cancel(suspension& self, task_core& by) {
    auto& mine = static_cast<condition_awaiter&>(self);
    if (mine.linked()) {
      mine.unlink();
      mine.on_->notified_.push_back(mine);
    }
    by.wake_cancelled();
    return true;
  }

  condition* on_;
};

/// Locks again, whatever happens meanwhile, and remembers the last cancellation.
class relock_awaiter : public lock_awaiter {
 public:
  relock_awaiter(lock& on, std::exception_ptr earlier) noexcept
      : lock_awaiter(on, true), cancellation(std::move(earlier)) {}

  void await_resume() {
    if (task != nullptr && task->throwing) {
      try {
        task->throw_cancelled();
      } catch (...) {
        cancellation = std::current_exception();
      }
    }
    if (orphaned && cancellation) std::rethrow_exception(cancellation);
    lock_awaiter::await_resume();
  }

  std::exception_ptr cancellation;
};

}  // namespace detail

// ---- lock ----

bool lock::live_waiters() noexcept {
  bool found = false;
  waiters_.for_each(
      [&found](const detail::waiter& each) { found = found || !each.task->throwing; });
  return found;
}

void lock::check_release() const {
  if (!locked_) throw std::logic_error("the lock is not locked");
  waiters_.check_thread();
}

// ---- condition ----

coro<> condition::wait() {
  if (!lock_->locked()) throw std::logic_error("cannot wait for a condition without its lock");
  detail::condition_awaiter notification(*this);
  std::exception_ptr cancellation;
  try {
    co_await notification;
  } catch (const cancelled_error&) {
    cancellation = std::current_exception();
  }
  // The lock may have gone with the condition.
  if (notification.orphaned) {
    if (cancellation) std::rethrow_exception(std::move(cancellation));
    detail::throw_orphaned();
  }
  detail::relock_awaiter locked(*lock_, std::move(cancellation));
  co_await locked;
  if (locked.cancellation) std::rethrow_exception(std::move(locked.cancellation));
  notification.done();
}

void condition::notify(std::size_t n) {
  if (!locked()) throw std::logic_error("cannot notify without the lock");
  waiters_.check_thread();
  wake(n);
}

void condition::notify_all() { notify(std::numeric_limits<std::size_t>::max()); }

void condition::wake(std::size_t n) noexcept {
  for (; n > 0 && !waiters_.empty(); --n) {
    detail::waiter& first = waiters_.front();
    first.unlink();
    notified_.push_back(first);
    first.wake();
  }
}

// ---- semaphore ----

semaphore::semaphore(std::ptrdiff_t value) : semaphore(value, false) {}

semaphore::semaphore(std::ptrdiff_t value, bool bounded)
    : value_(static_cast<std::size_t>(value)),
      bound_(bounded ? value_ : std::numeric_limits<std::size_t>::max()) {
  if (value < 0) throw std::invalid_argument("a semaphore's initial value must not be negative");
}

bounded_semaphore::bounded_semaphore(std::ptrdiff_t value) : semaphore(value, true) {}

void semaphore::throw_over_release() {
  throw std::invalid_argument("the bounded semaphore was released too many times");
}

void semaphore::grant() noexcept {
  --value_;
  detail::waiter& first = waiting_.front();
  first.unlink();
  granted_.push_back(first);
  first.wake();
}

void semaphore::grant_all() noexcept {
  while (value_ > 0 && !waiting_.empty()) grant();
}

// ---- barrier ----

namespace detail {

/// One task inside a barrier, or on its way there.
class barrier_seat : public waiter {
 public:
  using rondo_awaiter = void;

  barrier_seat(barrier& on, bool seated) noexcept : waiter(&on_cancel), on_(&on), seated_(seated) {}
  barrier_seat(const barrier_seat&) = delete;
  barrier_seat& operator=(const barrier_seat&) = delete;
  ~barrier_seat() {
    if (linked()) stand_up();
  }

  [[nodiscard]] bool await_ready() const noexcept { return false; }
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> frame) {
    task = frame.promise().task;
    on_->loop_.bind(*task);
    if (seated_) ++on_->seated_;
    (seated_ ? on_->seats_ : on_->outside_).push_back(*this);
    task->suspend(frame.address(), *this);
  }
  void await_resume() const {
    task->check_cancelled();
    if (orphaned) throw_orphaned();
  }

  std::size_t index = 0;

 private:
  // It leaves at once, so that nobody passes in the belief that it is still there.
  static bool on_cancel(suspension& self, task_core& by) {
    auto& mine = static_cast<barrier_seat&>(self);
    if (mine.linked()) mine.stand_up();
    by.wake_cancelled();
    return true;
  }
  void stand_up() noexcept {
    unlink();
    if (seated_) on_->leave();
  }

  barrier* on_;
  bool seated_;
};

}  // namespace detail

barrier::barrier(std::ptrdiff_t parties) : parties_(static_cast<std::size_t>(parties)) {
  if (parties < 1) throw std::invalid_argument("a barrier needs at least one party");
}

coro<std::size_t> barrier::wait() {
  while (state_ == state::draining || state_ == state::resetting) {
    detail::barrier_seat turn(*this, false);
    co_await turn;
  }
  if (state_ == state::broken) throw broken_barrier_error("the barrier is broken");
  if (seated_ + 1 == parties_) {
    trip();
    co_return parties_ - 1;
  }
  detail::barrier_seat seat(*this, true);
  co_await seat;
  if (state_ != state::draining) throw broken_barrier_error("the barrier was aborted or reset");
  co_return seat.index;
}

coro<barrier_guard> barrier::scoped() { co_return barrier_guard(co_await wait()); }

coro<> barrier::reset() {
  state_ = seated_ > 0 ? state::resetting : state::filling;
  wake_all(seats_);
  wake_all(outside_);
  co_return;
}

coro<> barrier::abort() {
  state_ = state::broken;
  wake_all(seats_);
  wake_all(outside_);
  co_return;
}

void barrier::trip() noexcept {
  if (seated_ == 0) return;
  state_ = state::draining;
  std::size_t index = 0;
  seats_.for_each(
      [&index](detail::waiter& each) { static_cast<detail::barrier_seat&>(each).index = index++; });
  wake_all(seats_);
}

void barrier::leave() noexcept {
  if (--seated_ > 0) return;
  if (state_ != state::broken) state_ = state::filling;
  wake_all(outside_);
}

void barrier::wake_all(detail::waiter_list& line) noexcept {
  line.for_each([](detail::waiter& each) {
    if (!each.woken) each.wake();
  });
}

// ---- capacity_limiter ----

namespace detail {

bool limiter_awaiter::wait(task_core& by, void* frame) {
  if (borrower_ == nullptr || by_task_) {
    borrower_ = &by;
    by_task_ = true;
  }
  if (on_->holds(borrower_)) {
    throw std::logic_error("the borrower has a token of this capacity limiter already");
  }
  if (on_->available()) {
    on_->lend(borrower_, by_task_ ? &by : nullptr);
    return false;
  }
  on_->loop_.bind(by);
  task = &by;
  woken = false;
  refused_ = false;
  on_->waiting_.push_back(*this);
  by.suspend(frame, *this);
  return true;
}

void limiter_awaiter::finish() {
  task_core& by = *std::exchange(task, nullptr);
  if (by.throwing) {
    if (linked()) abandon();
    by.throw_cancelled();
  }
  if (orphaned) throw_orphaned();
  unlink();
  if (refused_)
    throw std::logic_error("the borrower got a token of this capacity limiter meanwhile");
}

void limiter_awaiter::abandon() noexcept {
  unlink();
  if (woken && !refused_) on_->take_back(borrower_);
}

}  // namespace detail

capacity_limiter::capacity_limiter(std::ptrdiff_t total_tokens)
    : total_(static_cast<std::size_t>(total_tokens)) {
  if (total_tokens < 0)
    throw std::invalid_argument("a capacity limiter's tokens cannot be negative");
}

void capacity_limiter::set_total_tokens(std::ptrdiff_t total_tokens) {
  if (total_tokens < 0)
    throw std::invalid_argument("a capacity limiter's tokens cannot be negative");
  waiting_.check_thread();
  // Nothing is allocated when a token changes hands, so release cannot fail.
  borrowers_.reserve(borrowers_.size() + waiting_.count());
  total_ = static_cast<std::size_t>(total_tokens);
  grant_all();
}

std::ptrdiff_t capacity_limiter::available_tokens() const noexcept {
  return static_cast<std::ptrdiff_t>(total_) - static_cast<std::ptrdiff_t>(borrowers_.size());
}

capacity_limiter_statistics capacity_limiter::statistics() const noexcept {
  return {borrowers_.size(), total_, waiting_.count()};
}

detail::limiter_awaiter capacity_limiter::acquire_on_behalf_of(const void* borrower) {
  if (borrower == nullptr) throw std::invalid_argument("a borrower must not be null");
  return detail::limiter_awaiter(*this, borrower);
}

namespace {

detail::task_core& borrowing_task() {
  detail::task_core* const task = detail::running_task();
  if (task == nullptr) throw std::logic_error("no task runs that could be the borrower");
  return *task;
}

}  // namespace

void capacity_limiter::acquire_nowait() {
  detail::task_core& task = borrowing_task();
  if (holds(&task)) throw std::logic_error("the task has a token of this capacity limiter already");
  if (!available()) throw would_block();
  lend(&task, &task);
}

void capacity_limiter::acquire_on_behalf_of_nowait(const void* borrower) {
  if (borrower == nullptr) throw std::invalid_argument("a borrower must not be null");
  if (holds(borrower)) {
    throw std::logic_error("the borrower has a token of this capacity limiter already");
  }
  if (!available()) throw would_block();
  lend(borrower, nullptr);
}

void capacity_limiter::release() { release_on_behalf_of(&borrowing_task()); }

void capacity_limiter::release_on_behalf_of(const void* borrower) {
  if (!holds(borrower)) {
    throw std::logic_error("the borrower has no token of this capacity limiter");
  }
  waiting_.check_thread();
  take_back(borrower);
}

std::vector<capacity_limiter::loan>::iterator capacity_limiter::find(
    const void* borrower) noexcept {
  return std::lower_bound(
      borrowers_.begin(), borrowers_.end(), borrower,
      [](const loan& each, const void* wanted) { return std::less<>()(each.borrower, wanted); });
}

bool capacity_limiter::holds(const void* borrower) noexcept {
  const auto found = find(borrower);
  return found != borrowers_.end() && found->borrower == borrower;
}

void capacity_limiter::lend(const void* borrower, detail::task_core* task) {
  borrowers_.insert(find(borrower), loan{borrower, detail::core_ref<detail::future_core>(task)});
}

void capacity_limiter::take_back(const void* borrower) noexcept {
  borrowers_.erase(find(borrower));
  grant_all();
}

void capacity_limiter::grant_all() noexcept {
  while (borrowers_.size() < total_ && !waiting_.empty()) {
    auto& first = static_cast<detail::limiter_awaiter&>(waiting_.front());
    first.unlink();
    granted_.push_back(first);
    first.refused_ = holds(first.borrower_);
    if (!first.refused_) lend(first.borrower_, first.by_task_ ? first.task : nullptr);
    first.wake();
  }
}

borrowed_token::~borrowed_token() {
  if (from_ == nullptr) return;
  try {
    from_->release_on_behalf_of(borrower_);
  } catch (...) {
    detail::report_failed_release();
  }
}

void borrowed_token::release() {
  if (capacity_limiter* const from = std::exchange(from_, nullptr); from != nullptr) {
    from->release_on_behalf_of(borrower_);
  }
}

}  // namespace v0
}  // namespace rondo
