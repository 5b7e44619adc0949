// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Locks, events, conditions, semaphores, barriers and capacity
// limiters.
#pragma once

#include <rondo/coro.hpp>
#include <rondo/detail/export.hpp>
#include <rondo/detail/future_core.hpp>
#include <rondo/detail/waiter_list.hpp>
#include <rondo/errors.hpp>

#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <type_traits>
#include <utility>
#include <vector>

namespace rondo {
inline namespace v0 {

// What all of these share. They belong to the first loop in which a task waits for them: waiting in
// another one throws std::logic_error, while what does not have to wait works anywhere. They
// neither move nor copy. One that is destroyed while tasks wait for it leaves them waiting until
// they are cancelled, as nobody can wake them any more (in debug mode this is logged); a task that
// was woken and did not run yet gets std::logic_error. What returns an awaiter here may be kept as
// a coro, and given to create_task and the like.

class barrier;
class capacity_limiter;
class condition;
class event;
class lock;
class semaphore;

namespace detail {

RONDO_EXPORT void report_failed_release() noexcept;

class RONDO_EXPORT lock_awaiter : public waiter, public coro_like<lock_awaiter> {
 public:
  explicit lock_awaiter(lock& on, bool uninterrupted = false) noexcept;
  lock_awaiter(lock_awaiter&&) noexcept = default;
  lock_awaiter& operator=(lock_awaiter&&) = delete;
  ~lock_awaiter() {
    if (linked()) abandon();
  }

  [[nodiscard]] bool await_ready() noexcept;
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> frame) {
    wait(*frame.promise().task, frame.address());
  }
  void await_resume() {
    if (task != nullptr) finish();
  }

 protected:
  lock* on_;

 private:
  static bool on_cancel(suspension& self, task_core& by);
  void wait(task_core& by, void* frame);
  void finish();
  void abandon() noexcept;
};

class RONDO_EXPORT event_awaiter : public waiter, public coro_like<event_awaiter> {
 public:
  explicit event_awaiter(event& on) noexcept : waiter(&cancel_waiter), on_(&on) {}
  event_awaiter(event_awaiter&&) noexcept = default;
  event_awaiter& operator=(event_awaiter&&) = delete;
  ~event_awaiter() = default;

  [[nodiscard]] bool await_ready() const noexcept;
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> frame) {
    wait(*frame.promise().task, frame.address());
  }
  void await_resume() {
    if (task != nullptr) std::exchange(task, nullptr)->check_cancelled();
  }

 private:
  void wait(task_core& by, void* frame);

  event* on_;
};

class RONDO_EXPORT semaphore_awaiter : public waiter, public coro_like<semaphore_awaiter> {
 public:
  explicit semaphore_awaiter(semaphore& on) noexcept : waiter(&cancel_waiter), on_(&on) {}
  semaphore_awaiter(semaphore_awaiter&&) noexcept = default;
  semaphore_awaiter& operator=(semaphore_awaiter&&) = delete;
  ~semaphore_awaiter() {
    if (linked()) abandon();
  }

  [[nodiscard]] bool await_ready() noexcept;
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> frame) {
    wait(*frame.promise().task, frame.address());
  }
  void await_resume() {
    if (task != nullptr) finish();
  }

 protected:
  semaphore* on_;

 private:
  void wait(task_core& by, void* frame);
  void finish();
  void abandon() noexcept;
};

class RONDO_EXPORT limiter_awaiter : public waiter, public coro_like<limiter_awaiter> {
 public:
  /// No borrower: the task that awaits this.
  limiter_awaiter(capacity_limiter& on, const void* borrower) noexcept
      : waiter(&cancel_waiter), on_(&on), borrower_(borrower) {}
  limiter_awaiter(limiter_awaiter&&) noexcept = default;
  limiter_awaiter& operator=(limiter_awaiter&&) = delete;
  ~limiter_awaiter() {
    if (linked()) abandon();
  }

  [[nodiscard]] bool await_ready() const noexcept {
    return false;
  }  // the borrower is not known yet
  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> frame) {
    return wait(*frame.promise().task, frame.address());
  }
  void await_resume() {
    if (task != nullptr) finish();
  }

 protected:
  capacity_limiter* on_;
  const void* borrower_;

 private:
  friend class rondo::v0::capacity_limiter;
  bool wait(task_core& by, void* frame);
  void finish();
  void abandon() noexcept;

  bool refused_ = false;  // the borrower got a token in another way meanwhile
  bool by_task_ = false;
};

class condition_awaiter;
class barrier_seat;

}  // namespace detail

/// Holds a lock, semaphore or condition and releases it at the end of its scope.
///
/// What `co_await x.scoped()` yields. Movable; an empty one releases nothing.
///
/// @par asyncio
/// `async with x:`
template <class Primitive>
class [[nodiscard]] scoped_guard {
 public:
  explicit scoped_guard(Primitive& held) noexcept : held_(&held) {}
  scoped_guard(scoped_guard&& other) noexcept : held_(std::exchange(other.held_, nullptr)) {}
  scoped_guard& operator=(scoped_guard&& other) noexcept {
    std::swap(held_, other.held_);
    return *this;
  }
  // A destructor cannot throw: what it cannot release, because somebody else did, is logged.
  ~scoped_guard() {
    if (held_ == nullptr) return;
    try {
      held_->release();
    } catch (...) {
      detail::report_failed_release();
    }
  }

  /// Releases it before the end of the scope.
  void release() {
    if (Primitive* const held = std::exchange(held_, nullptr); held != nullptr) held->release();
  }
  [[nodiscard]] explicit operator bool() const noexcept { return held_ != nullptr; }

 private:
  Primitive* held_;
};

namespace detail {

/// Acquires as `Awaiter` does and yields a guard.
template <class Primitive, class Awaiter>
class scope_awaiter : public Awaiter {
 public:
  template <class... Args>
  explicit scope_awaiter(Primitive& on, Args&&... args) noexcept
      : Awaiter(std::forward<Args>(args)...), held_(&on) {}
  scope_awaiter(scope_awaiter&&) noexcept = default;
  scope_awaiter& operator=(scope_awaiter&&) = delete;
  ~scope_awaiter() = default;

  scoped_guard<Primitive> await_resume() {
    Awaiter::await_resume();
    return scoped_guard<Primitive>(*held_);
  }
  operator coro<void>() && = delete;             // it would throw the guard away
  operator coro<scoped_guard<Primitive>>() && {  // NOLINT: implicit by design
    return await_kept<scoped_guard<Primitive>, scope_awaiter>(std::move(*this));
  }
  [[nodiscard]] foreign_task_awaiter<scoped_guard<Primitive>> operator co_await() && {
    return foreign_task_awaiter<scoped_guard<Primitive>>(std::move(*this));
  }

 private:
  Primitive* held_;
};

}  // namespace detail

/// Lets one task in at a time; the others wait in order.
///
/// Whoever releases it wakes the first waiter, and nobody can overtake that one. A waiter that is
/// cancelled passes its wake-up on. The lock does not know its owner: any code of the loop may
/// release it.
///
/// @par asyncio
/// `asyncio.Lock`; `auto guard = co_await lk.scoped();` where Python writes `async with lk:`
/// @par Thread safety
/// The loop's thread only.
class RONDO_EXPORT lock {
 public:
  lock() noexcept = default;
  lock(const lock&) = delete;
  lock& operator=(const lock&) = delete;

  /// Locks it, waiting while it is locked or others wait; does not suspend if it is free. A coro<>.
  /// @throws cancelled_error  the task was cancelled; it does not hold the lock
  [[nodiscard]] detail::lock_awaiter acquire() noexcept { return detail::lock_awaiter(*this); }
  /// The same; yields a guard that releases it.
  [[nodiscard]] detail::scope_awaiter<lock, detail::lock_awaiter> scoped() noexcept {
    return detail::scope_awaiter<lock, detail::lock_awaiter>(*this, *this);
  }
  /// Unlocks it and wakes the first waiter.
  /// @throws std::logic_error  it is not locked
  void release() {
    if (!locked_ || !waiters_.empty()) [[unlikely]]
      check_release();
    locked_ = false;
    wake_first();
  }
  [[nodiscard]] bool locked() const noexcept { return locked_; }

 private:
  friend class detail::lock_awaiter;
  friend class detail::condition_awaiter;

  void check_release() const;
  [[nodiscard]] bool live_waiters() noexcept;  // who were not cancelled
  void wake_first() noexcept {
    if (!waiters_.empty() && !waiters_.front().woken) waiters_.front().wake();
  }

  detail::waiter_list waiters_;  // one that is woken or cancelled stays until it runs
  detail::loop_binding loop_;
  bool locked_ = false;
};

/// A flag that tasks wait for.
///
/// @par asyncio
/// `asyncio.Event`
/// @par Thread safety
/// The loop's thread only.
class RONDO_EXPORT event {
 public:
  event() noexcept = default;
  event(const event&) = delete;
  event& operator=(const event&) = delete;

  /// Waits until it is set; does not suspend if it is. A task that `set` has woken goes on even if
  /// the flag is cleared again before it runs. A coro<>.
  /// @throws cancelled_error  the task was cancelled
  [[nodiscard]] detail::event_awaiter wait() noexcept { return detail::event_awaiter(*this); }
  /// Sets it and wakes all who wait.
  void set() {
    waiters_.check_thread();
    if (std::exchange(set_, true)) return;
    while (!waiters_.empty()) {
      detail::waiter& first = waiters_.front();
      first.unlink();
      first.wake();
    }
  }
  void clear() noexcept { set_ = false; }
  [[nodiscard]] bool is_set() const noexcept { return set_; }

 private:
  friend class detail::event_awaiter;

  detail::waiter_list waiters_;
  detail::loop_binding loop_;
  bool set_ = false;
};

/// Waits, inside a lock, for something to become true that others change inside the same lock.
///
/// @par asyncio
/// `asyncio.Condition` as of Python 3.13: a notification whose waiter is cancelled goes to the next
/// one.
/// @par Thread safety
/// The loop's thread only.
class RONDO_EXPORT condition {
 public:
  /// With a lock of its own.
  condition() noexcept : lock_(&own_) {}
  /// With a lock that others use too and that lives as long as this.
  explicit condition(lock& shared) noexcept : lock_(&shared) {}
  condition(const condition&) = delete;
  condition& operator=(const condition&) = delete;

  /// Of the lock.
  [[nodiscard]] detail::lock_awaiter acquire() noexcept { return lock_->acquire(); }
  [[nodiscard]] detail::scope_awaiter<lock, detail::lock_awaiter> scoped() noexcept {
    return lock_->scoped();
  }
  void release() { lock_->release(); }
  [[nodiscard]] bool locked() const noexcept { return lock_->locked(); }

  /// Releases the lock, waits for a notification, and locks again. It may also wake without one,
  /// see `wait_for`.
  ///
  /// Cancellation interrupts the waiting, but not the locking: the lock is always held when this
  /// ends.
  /// @throws std::logic_error  it is not locked
  /// @throws cancelled_error  the task was cancelled
  [[nodiscard]] coro<> wait();

  /// Waits until `predicate()` is true: tests first and after each wake-up. Yields what it
  /// returned.
  /// @throws as `wait`
  template <class Predicate>
  [[nodiscard]] coro<std::decay_t<std::invoke_result_t<Predicate&>>> wait_for(Predicate predicate) {
    for (;;) {
      auto result = std::invoke(predicate);
      if (result) co_return result;
      co_await wait();
    }
  }

  /// Wakes the `n` tasks that have waited longest; they run when they get the lock.
  /// @throws std::logic_error  it is not locked
  void notify(std::size_t n = 1);
  /// The same for all.
  void notify_all();

 private:
  friend class detail::condition_awaiter;
  void wake(std::size_t n) noexcept;

  lock own_;
  lock* lock_;
  detail::waiter_list waiters_;
  detail::waiter_list notified_;  // until they hold the lock
  detail::loop_binding loop_;
};

/// Counts free places; `acquire` takes one and waits if there is none.
///
/// Waiters are served in order, and a place that becomes free is the first waiter's at once. A
/// waiter that is cancelled passes it on.
///
/// @par asyncio
/// `asyncio.Semaphore`
/// @par Thread safety
/// The loop's thread only.
class RONDO_EXPORT semaphore {
 public:
  /// @throws std::invalid_argument  `value` is negative
  explicit semaphore(std::ptrdiff_t value = 1);
  semaphore(const semaphore&) = delete;
  semaphore& operator=(const semaphore&) = delete;

  /// Takes a place; does not suspend if one is free and nobody waits. A coro<>.
  /// @throws cancelled_error  the task was cancelled; it took no place
  [[nodiscard]] detail::semaphore_awaiter acquire() noexcept {
    return detail::semaphore_awaiter(*this);
  }
  /// The same; yields a guard that gives it back.
  [[nodiscard]] detail::scope_awaiter<semaphore, detail::semaphore_awaiter> scoped() noexcept {
    return detail::scope_awaiter<semaphore, detail::semaphore_awaiter>(*this, *this);
  }
  /// Gives a place back, or adds one.
  /// @throws std::invalid_argument  a bounded semaphore has all its places
  void release() {
    if (value_ >= bound_) [[unlikely]]
      throw_over_release();
    waiting_.check_thread();
    ++value_;
    if (!waiting_.empty()) grant();
  }
  /// Whether `acquire` would wait: no place is free, or others wait.
  [[nodiscard]] bool locked() const noexcept {
    return value_ == 0 || !waiting_.empty() || !granted_.empty();
  }

 protected:
  semaphore(std::ptrdiff_t value, bool bounded);

 private:
  friend class detail::semaphore_awaiter;

  [[noreturn]] static void throw_over_release();
  void grant() noexcept;      // one place to the first waiter
  void grant_all() noexcept;  // every place that is free

  std::size_t value_;
  std::size_t bound_;
  detail::waiter_list waiting_;
  detail::waiter_list granted_;  // they have a place and did not run yet
  detail::loop_binding loop_;
};

/// A semaphore that cannot be released more often than it was acquired.
///
/// @par asyncio
/// `asyncio.BoundedSemaphore`
class RONDO_EXPORT bounded_semaphore : public semaphore {
 public:
  /// @throws std::invalid_argument  `value` is negative
  explicit bounded_semaphore(std::ptrdiff_t value = 1);
};

/// A place behind a barrier: what `co_await b.scoped()` yields.
class [[nodiscard]] barrier_guard {
 public:
  explicit barrier_guard(std::size_t index) noexcept : index_(index) {}
  /// The order of arrival, from 0.
  [[nodiscard]] std::size_t index() const noexcept { return index_; }

 private:
  std::size_t index_;
};

/// Lets tasks wait for each other: nobody passes before all have arrived. Can be used again at
/// once.
///
/// A task that is cancelled while it waits just leaves. The indices of those who pass are 0 to
/// parties - 1 in order of arrival, whoever left in between.
///
/// @par asyncio
/// `asyncio.Barrier`
/// @par Thread safety
/// The loop's thread only.
class RONDO_EXPORT barrier {
 public:
  /// @throws std::invalid_argument  `parties` is less than 1
  explicit barrier(std::ptrdiff_t parties);
  barrier(const barrier&) = delete;
  barrier& operator=(const barrier&) = delete;

  /// Waits for the others and yields its index; the last to arrive does not suspend. While the
  /// others of the round before are on their way out, waits for those first.
  /// @throws broken_barrier_error  it is or was aborted, or was reset meanwhile
  /// @throws cancelled_error  the task was cancelled
  [[nodiscard]] coro<std::size_t> wait();
  /// The same; yields an object with `index()`. Nothing happens at the end of the scope.
  [[nodiscard]] coro<barrier_guard> scoped();

  /// Throws broken_barrier_error in those who wait; after that it can be used again.
  [[nodiscard]] coro<> reset();
  /// Throws broken_barrier_error in those who wait and in everybody who comes, until it is reset.
  [[nodiscard]] coro<> abort();

  [[nodiscard]] std::size_t parties() const noexcept { return parties_; }
  /// How many wait for the others to arrive.
  [[nodiscard]] std::size_t n_waiting() const noexcept {
    return state_ == state::filling ? seated_ : 0;
  }
  [[nodiscard]] bool broken() const noexcept { return state_ == state::broken; }

 private:
  friend class detail::barrier_seat;
  enum class state : std::uint8_t { filling, draining, resetting, broken };

  void trip() noexcept;
  void leave() noexcept;
  static void wake_all(detail::waiter_list& line) noexcept;

  std::size_t parties_;
  std::size_t seated_ = 0;       // who arrived and did not leave
  detail::waiter_list seats_;    // the same, linked until they leave
  detail::waiter_list outside_;  // who wait for the end of the round before
  detail::loop_binding loop_;
  state state_ = state::filling;
};

/// What a capacity_limiter is doing.
struct capacity_limiter_statistics {
  std::size_t borrowed_tokens = 0;
  std::size_t total_tokens = 0;
  std::size_t tasks_waiting = 0;
};

/// A semaphore whose places know who has them: a borrower takes one at most and only it can give it
/// back.
///
/// The borrower is the running task, or whatever object stands for one. A token that becomes free
/// is reserved for the first waiter at once; a waiter that is cancelled passes it on.
///
/// @par asyncio
/// anyio's `CapacityLimiter`
/// @par Thread safety
/// The loop's thread only.
class RONDO_EXPORT capacity_limiter {
 public:
  /// @throws std::invalid_argument  `total_tokens` is negative
  explicit capacity_limiter(std::ptrdiff_t total_tokens);
  capacity_limiter(const capacity_limiter&) = delete;
  capacity_limiter& operator=(const capacity_limiter&) = delete;

  [[nodiscard]] std::size_t total_tokens() const noexcept { return total_; }
  /// Changes how many there are. More: waiters get them at once. Fewer: those who have one keep it.
  /// @throws std::invalid_argument  it is negative
  void set_total_tokens(std::ptrdiff_t total_tokens);
  [[nodiscard]] std::size_t borrowed_tokens() const noexcept { return borrowers_.size(); }
  /// Negative while more are borrowed than there are.
  [[nodiscard]] std::ptrdiff_t available_tokens() const noexcept;
  [[nodiscard]] capacity_limiter_statistics statistics() const noexcept;

  /// Borrows a token for the awaiting task. A coro<>.
  /// @throws std::logic_error  it has one
  /// @throws cancelled_error  the task was cancelled; it got none
  [[nodiscard]] detail::limiter_awaiter acquire() noexcept {
    return detail::limiter_awaiter(*this, nullptr);
  }
  /// The same for a borrower, whose address counts: it must be alive as long as it has the token.
  /// @throws std::invalid_argument  it is null
  [[nodiscard]] detail::limiter_awaiter acquire_on_behalf_of(const void* borrower);
  /// The same; yields a guard that gives the token of the awaiting task back.
  [[nodiscard]] auto scoped() noexcept;

  /// Borrows at once.
  /// @throws would_block  there is none, or others wait
  /// @throws std::logic_error  the borrower has one; no task runs
  void acquire_nowait();
  void acquire_on_behalf_of_nowait(const void* borrower);

  /// Gives it back.
  /// @throws std::logic_error  the borrower has none; no task runs
  void release();
  void release_on_behalf_of(const void* borrower);

 private:
  friend class detail::limiter_awaiter;

  struct loan {
    const void* borrower;
    detail::core_ref<detail::future_core> task;  // so that no other task gets its address
  };

  [[nodiscard]] std::vector<loan>::iterator find(const void* borrower) noexcept;
  [[nodiscard]] bool holds(const void* borrower) noexcept;
  [[nodiscard]] bool available() const noexcept {
    return borrowers_.size() < total_ && waiting_.empty();
  }
  void lend(const void* borrower, detail::task_core* task);
  void take_back(const void* borrower) noexcept;
  void grant_all() noexcept;

  std::size_t total_;
  std::vector<loan> borrowers_;  // sorted by address
  detail::waiter_list waiting_;
  detail::waiter_list granted_;  // they have a token and did not run yet
  detail::loop_binding loop_;
};

/// A token of a capacity_limiter, given back at the end of the scope: what `co_await
/// limiter.scoped()` yields.
class RONDO_EXPORT borrowed_token {
 public:
  borrowed_token(capacity_limiter& from, const void* borrower) noexcept
      : from_(&from), borrower_(borrower) {}
  borrowed_token(borrowed_token&& other) noexcept
      : from_(std::exchange(other.from_, nullptr)), borrower_(other.borrower_) {}
  borrowed_token& operator=(borrowed_token&& other) noexcept {
    std::swap(from_, other.from_);
    std::swap(borrower_, other.borrower_);
    return *this;
  }
  ~borrowed_token();

  /// Gives it back before the end of the scope.
  void release();

 private:
  capacity_limiter* from_;
  const void* borrower_;
};

// ---- implementation ----------------------------------------------------------------

namespace detail {

inline lock_awaiter::lock_awaiter(lock& on, bool uninterrupted) noexcept
    : waiter(&on_cancel), on_(&on) {
  shielded = uninterrupted;
}

inline bool lock_awaiter::await_ready() noexcept {
  if (on_->locked_ || (!on_->waiters_.empty() && on_->live_waiters())) return false;
  on_->locked_ = true;
  return true;
}

inline bool event_awaiter::await_ready() const noexcept { return on_->is_set(); }

inline bool semaphore_awaiter::await_ready() noexcept {
  if (on_->locked()) return false;
  --on_->value_;
  return true;
}

class limiter_scope_awaiter : public limiter_awaiter {
 public:
  explicit limiter_scope_awaiter(capacity_limiter& on) noexcept : limiter_awaiter(on, nullptr) {}
  limiter_scope_awaiter(limiter_scope_awaiter&&) noexcept = default;
  limiter_scope_awaiter& operator=(limiter_scope_awaiter&&) = delete;
  ~limiter_scope_awaiter() = default;

  borrowed_token await_resume() {
    limiter_awaiter::await_resume();
    return borrowed_token(*on_, borrower_);
  }
  operator coro<void>() && = delete;
  operator coro<borrowed_token>() && {  // NOLINT: implicit by design
    return await_kept<borrowed_token, limiter_scope_awaiter>(std::move(*this));
  }
  [[nodiscard]] foreign_task_awaiter<borrowed_token> operator co_await() && {
    return foreign_task_awaiter<borrowed_token>(std::move(*this));
  }
};

}  // namespace detail

inline auto capacity_limiter::scoped() noexcept { return detail::limiter_scope_awaiter(*this); }

}  // namespace v0
}  // namespace rondo
