// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Queues: items on their way from task to task.
#pragma once

#include <rondo/coro.hpp>
#include <rondo/detail/export.hpp>
#include <rondo/detail/ready_node.hpp>
#include <rondo/detail/waiter_list.hpp>
#include <rondo/errors.hpp>

#include <algorithm>
#include <concepts>
#include <coroutine>
#include <cstddef>
#include <functional>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>
#include <vector>

namespace rondo {
inline namespace v0 {
namespace detail {

class queue_core;

/// A task that waits for an item or for room. It looks again when its turn comes, before the task
/// goes on: somebody who did not wait may have been faster, and then it waits again without the
/// task having noticed.
class RONDO_EXPORT queue_waiter : public waiter, public ready_node {
 public:
  using rondo_awaiter = void;

  queue_waiter(queue_core& on, bool puts) noexcept
      : waiter(&on_cancel), ready_node(&on_turn), on_(&on), puts_(puts) {}
  queue_waiter(queue_waiter&& other) noexcept
      : waiter(std::move(other)), ready_node(&on_turn), on_(other.on_), puts_(other.puts_) {}
  queue_waiter& operator=(queue_waiter&&) = delete;
  ~queue_waiter() {
    if (linked()) abandon();
  }

  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> frame) {
    wait(*frame.promise().task, frame.address());
  }

 protected:
  void finish();

  queue_core* on_;

 private:
  friend class queue_core;

  static bool on_cancel(suspension& self, task_core& by);
  static void on_turn(ready_node& self, event_loop* loop);
  void wait(task_core& by, void* frame);
  void abandon() noexcept;
  void pass_on() noexcept;
  [[nodiscard]] bool may_go() const noexcept;

  bool puts_;
};

class RONDO_EXPORT join_awaiter : public waiter, public coro_like<join_awaiter> {
 public:
  explicit join_awaiter(queue_core& on) noexcept : waiter(&cancel_waiter), on_(&on) {}
  join_awaiter(join_awaiter&&) noexcept = default;
  join_awaiter& operator=(join_awaiter&&) = delete;
  ~join_awaiter() = default;

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

  queue_core* on_;
};

/// What queues of every type share: who waits, and how much there is.
class RONDO_EXPORT queue_core {
 public:
  queue_core(const queue_core&) = delete;
  queue_core& operator=(const queue_core&) = delete;

  /// How many items are in it.
  [[nodiscard]] std::size_t qsize() const noexcept { return size_; }
  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
  /// Whether there is no room; never of a queue without a limit.
  [[nodiscard]] bool full() const noexcept { return size_ >= limit_; }
  /// The limit as it was given; there is none if it is not positive.
  [[nodiscard]] std::ptrdiff_t maxsize() const noexcept { return maxsize_; }

  /// Says that an item that was got is dealt with.
  /// @throws std::invalid_argument  called more often than items were put
  void task_done();
  /// Waits until `task_done` was called for every item that was put. A coro<>.
  /// @throws cancelled_error  the task was cancelled
  [[nodiscard]] join_awaiter join() noexcept { return join_awaiter(*this); }

 protected:
  explicit queue_core(std::ptrdiff_t maxsize) noexcept;
  ~queue_core();

  void check_put() const {
    if (shut_down_) [[unlikely]]
      throw queue_shut_down();
    if (full()) [[unlikely]]
      throw queue_full();
  }
  void check_get() const {
    if (empty()) [[unlikely]]
      throw_nothing_to_get();
  }
  void check_thread() const {
    getters_.check_thread();
    putters_.check_thread();
  }
  void item_put() noexcept {
    ++size_;
    ++unfinished_;
    if (!getters_.empty()) wake_next(getters_);
  }
  void item_got() noexcept {
    --size_;
    if (!putters_.empty()) wake_next(putters_);
  }
  void wake_getter() noexcept {
    if (!empty() && !getters_.empty()) wake_next(getters_);
  }
  void wake_putter() noexcept {
    if (!full() && !putters_.empty()) wake_next(putters_);
  }
  void close(bool drop_items) noexcept;
  [[nodiscard]] bool is_shut_down() const noexcept { return shut_down_; }

 private:
  friend class queue_waiter;
  friend class join_awaiter;

  [[noreturn]] void throw_nothing_to_get() const;
  void wake_next(waiter_list& line) noexcept;
  void wake_joiners() noexcept;

  std::size_t size_ = 0;
  std::size_t limit_;
  std::size_t unfinished_ = 0;
  waiter_list getters_;
  waiter_list putters_;
  waiter_list woken_;  // of both kinds, until their turn
  waiter_list joiners_;
  loop_binding loop_;
  std::ptrdiff_t maxsize_;
  bool shut_down_ = false;
};

// ---- how items are kept; each operation has happened, or has thrown and changed nothing ----

/// First in, first out. Items do not move while they are in it, and steady use allocates nothing.
template <class T>
class fifo_items {
 public:
  fifo_items() noexcept = default;
  fifo_items(fifo_items&& other) noexcept
      : first_(std::exchange(other.first_, nullptr)),
        last_(std::exchange(other.last_, nullptr)),
        spare_(std::exchange(other.spare_, nullptr)),
        begin_(std::exchange(other.begin_, 0)),
        end_(std::exchange(other.end_, 0)) {}
  fifo_items& operator=(fifo_items&&) = delete;
  ~fifo_items() {
    while (first_ != last_ || begin_ != end_) pop();
    delete first_;
    delete spare_;
  }

  template <class U>
  void push(U&& item) {
    if (last_ == nullptr || end_ == per_chunk) [[unlikely]]
      add_chunk();
    ::new (static_cast<void*>(last_->at(end_))) T(std::forward<U>(item));
    ++end_;
  }

  [[nodiscard]] T& front() noexcept { return *first_->at(begin_); }

  void pop() noexcept {
    first_->at(begin_)->~T();
    ++begin_;
    if (first_ == last_) {
      if (begin_ == end_) begin_ = end_ = 0;
    } else if (begin_ == per_chunk) {
      drop_chunk();
    }
  }

  /// All of them, for the caller to destroy.
  [[nodiscard]] fifo_items release() noexcept { return std::move(*this); }

 private:
  static constexpr std::size_t per_chunk = std::max<std::size_t>(1, 512 / sizeof(T));

  struct chunk {
    [[nodiscard]] T* at(std::size_t index) noexcept {
      return std::launder(reinterpret_cast<T*>(bytes + index * sizeof(T)));
    }
    chunk* next = nullptr;
    alignas(T) unsigned char bytes[per_chunk * sizeof(T)];
  };

  void add_chunk() {
    chunk* const made = spare_ != nullptr ? std::exchange(spare_, nullptr) : new chunk;
    made->next = nullptr;
    (last_ == nullptr ? first_ : last_->next) = made;
    last_ = made;
    end_ = 0;
  }
  void drop_chunk() noexcept {
    chunk* const old = std::exchange(first_, first_->next);
    begin_ = 0;
    delete std::exchange(spare_, old);
  }

  chunk* first_ = nullptr;
  chunk* last_ = nullptr;
  chunk* spare_ = nullptr;
  std::size_t begin_ = 0;  // in first_
  std::size_t end_ = 0;    // in last_
};

/// An item as containers hold it that move their elements: itself, or behind a pointer if moving it
/// may throw.
template <class T>
class movable_item {
 public:
  template <class U>
    requires(!std::same_as<std::remove_cvref_t<U>, movable_item>)
  explicit movable_item(U&& item) : item_(std::forward<U>(item)) {}
  [[nodiscard]] T& get() noexcept { return item_; }

 private:
  T item_;
};
template <class T>
  requires(!std::is_nothrow_move_constructible_v<T> || !std::is_nothrow_move_assignable_v<T>)
class movable_item<T> {
 public:
  template <class U>
    requires(!std::same_as<std::remove_cvref_t<U>, movable_item>)
  explicit movable_item(U&& item) : item_(std::make_unique<T>(std::forward<U>(item))) {}
  [[nodiscard]] T& get() noexcept { return *item_; }

 private:
  std::unique_ptr<T> item_;
};

/// Last in, first out.
template <class T>
class lifo_items {
 public:
  template <class U>
  void push(U&& item) {
    items_.emplace_back(std::forward<U>(item));
  }
  [[nodiscard]] T& front() noexcept { return items_.back().get(); }
  void pop() noexcept { items_.pop_back(); }
  [[nodiscard]] std::vector<movable_item<T>> release() noexcept {
    return std::exchange(items_, {});
  }

 private:
  std::vector<movable_item<T>> items_;
};

/// The smallest first. The same binary heap as Python's heapq, so that equal items come in the same
/// order; all comparisons of an operation precede its first change, as they may throw.
template <class T, class Compare>
class heap_items {
 public:
  heap_items() = default;
  explicit heap_items(Compare compare) : less_(std::move(compare)) {}

  template <class U>
  void push(U&& item) {
    heap_.emplace_back(std::forward<U>(item));
    std::size_t place = heap_.size() - 1;
    try {
      while (place > 0 && less(heap_.size() - 1, (place - 1) / 2)) place = (place - 1) / 2;
    } catch (...) {
      heap_.pop_back();
      throw;
    }
    raise(heap_.size() - 1, place);
  }

  [[nodiscard]] T& front() noexcept { return heap_.front().get(); }

  /// Decides how `pop` will go; what can throw does so here.
  void prepare_pop() {
    const std::size_t size = heap_.size() - 1;  // the last one will fill the gap
    place_ = 0;
    if (size == 0) return;
    // As heapq._siftup: down to a leaf along the smaller children, then up again.
    while (2 * place_ + 1 < size) {
      const std::size_t left = 2 * place_ + 1;
      place_ = left + 1 < size && !less(left, left + 1) ? left + 1 : left;
    }
    while (place_ > 0 && less(size, place_)) place_ = (place_ - 1) / 2;
  }

  void pop() noexcept {
    // The path from the place up to the root moves one step up; the last one takes the place.
    if (heap_.size() > 1) {
      movable_item<T> moving = std::move(heap_.back());
      for (std::size_t at = place_;;) {
        std::swap(moving, heap_[at]);
        if (at == 0) break;
        at = (at - 1) / 2;
      }
    }
    heap_.pop_back();
  }

  [[nodiscard]] std::vector<movable_item<T>> release() noexcept { return std::exchange(heap_, {}); }

 private:
  [[nodiscard]] bool less(std::size_t a, std::size_t b) {
    return static_cast<bool>(
        std::invoke(less_, std::as_const(heap_[a].get()), std::as_const(heap_[b].get())));
  }
  void raise(std::size_t from, std::size_t to) noexcept {
    if (from == to) return;
    movable_item<T> moving = std::move(heap_[from]);
    for (; from != to; from = (from - 1) / 2) heap_[from] = std::move(heap_[(from - 1) / 2]);
    heap_[to] = std::move(moving);
  }

  std::vector<movable_item<T>> heap_;
  std::size_t place_ = 0;
  [[no_unique_address]] Compare less_{};
};

template <class T, class Items>
class put_awaiter;
template <class T, class Items>
class get_awaiter;

}  // namespace detail

/// What `queue`, `priority_queue` and `lifo_queue` have in common; they differ in which item comes
/// next.
///
/// Waiting putters and getters are woken in order, one for each item. A woken one looks again when
/// it runs, so that one who came just then and did not have to wait may be faster. A cancelled one
/// passes its wake-up on: no item and no wake-up is lost. If moving or comparing items throws, the
/// queue is as it was before.
///
/// The queue belongs to the first loop in which a task waits for it. Destroying it leaves those who
/// wait as they are, until they are cancelled.
///
/// @par asyncio
/// `asyncio.Queue`
/// @par Thread safety
/// The loop's thread only.
template <class T, class Items>
class basic_queue : public detail::queue_core {
 public:
  using value_type = T;

  /// @param maxsize  how many items it holds at most; not positive: any number
  explicit basic_queue(std::ptrdiff_t maxsize = 0) : queue_core(maxsize) {}
  basic_queue(std::ptrdiff_t maxsize, Items items)
      : queue_core(maxsize), items_(std::move(items)) {}

  /// Puts an item in, waiting for room; does not suspend if there is some. A coro<>.
  /// @throws queue_shut_down  also while it waits
  /// @throws cancelled_error  the task was cancelled; the item is not in the queue
  template <class U = T>
    requires std::constructible_from<T, U&&>
  [[nodiscard]] detail::put_awaiter<T, Items> put(U&& item) {
    return detail::put_awaiter<T, Items>(*this, std::forward<U>(item));
  }
  /// Takes the next item out, waiting for one; does not suspend if there is one. A coro<T>.
  /// @throws queue_shut_down  and there are no items left
  /// @throws cancelled_error  the task was cancelled; it took no item
  [[nodiscard]] detail::get_awaiter<T, Items> get() noexcept {
    return detail::get_awaiter<T, Items>(*this);
  }

  /// Puts an item in at once. If this throws, the argument was not moved from.
  /// @throws queue_full, queue_shut_down
  template <class U = T>
    requires std::constructible_from<T, U&&>
  void put_nowait(U&& item) {
    check_thread();
    check_put();
    items_.push(std::forward<U>(item));
    item_put();
  }
  /// Takes the next item out at once.
  /// @throws queue_empty, or queue_shut_down instead if it is that too
  [[nodiscard]] T get_nowait() { return take(); }

  /// Ends the queue: nothing can be put any more, also by those who wait; getters take what is
  /// left, then get queue_shut_down. `immediate` drops the items, which count as done.
  ///
  /// @par asyncio
  /// `Queue.shutdown`, Python 3.13
  void shutdown(bool immediate = false) {
    check_thread();
    if (!immediate) return close(false);
    // Destroyed last, as the items' destructors may use the queue.
    const auto dropped = items_.release();
    close(true);
  }

 private:
  friend class detail::put_awaiter<T, Items>;
  friend class detail::get_awaiter<T, Items>;

  // Whoever fails had a wake-up that somebody else can use.
  struct failed_get {
    basic_queue* on;
    ~failed_get() {
      if (on != nullptr) on->wake_getter();
    }
  };
  struct failed_put {
    basic_queue* on;
    ~failed_put() {
      if (on != nullptr) on->wake_putter();
    }
  };

  T take() {
    check_thread();
    check_get();
    failed_get guard{this};
    if constexpr (requires { items_.prepare_pop(); }) items_.prepare_pop();
    T item(std::move(items_.front()));
    items_.pop();
    guard.on = nullptr;
    item_got();
    return item;
  }
  void add(T&& item) {
    check_thread();
    check_put();
    failed_put guard{this};
    items_.push(std::move(item));
    guard.on = nullptr;
    item_put();
  }

  Items items_;
};

/// First in, first out.
///
/// @par asyncio
/// `asyncio.Queue`
template <class T>
class queue : public basic_queue<T, detail::fifo_items<T>> {
 public:
  using basic_queue<T, detail::fifo_items<T>>::basic_queue;
};

/// The smallest item first, as `Compare` has it.
///
/// @par asyncio
/// `asyncio.PriorityQueue`
template <class T, class Compare = std::less<T>>
class priority_queue : public basic_queue<T, detail::heap_items<T, Compare>> {
 public:
  explicit priority_queue(std::ptrdiff_t maxsize = 0) : priority_queue(maxsize, Compare()) {}
  priority_queue(std::ptrdiff_t maxsize, Compare compare)
      : basic_queue<T, detail::heap_items<T, Compare>>(
            maxsize, detail::heap_items<T, Compare>(std::move(compare))) {}
};

/// Last in, first out.
///
/// @par asyncio
/// `asyncio.LifoQueue`
template <class T>
class lifo_queue : public basic_queue<T, detail::lifo_items<T>> {
 public:
  using basic_queue<T, detail::lifo_items<T>>::basic_queue;
};

// ---- implementation ----------------------------------------------------------------

namespace detail {

inline bool join_awaiter::await_ready() const noexcept { return on_->unfinished_ == 0; }

template <class T, class Items>
class put_awaiter : public queue_waiter, public coro_like<put_awaiter<T, Items>> {
 public:
  using rondo_awaiter = void;

  template <class U>
  put_awaiter(basic_queue<T, Items>& on, U&& item)
      : queue_waiter(on, true), item_(std::forward<U>(item)) {}
  put_awaiter(put_awaiter&&) = default;
  put_awaiter& operator=(put_awaiter&&) = delete;
  ~put_awaiter() = default;

  [[nodiscard]] bool await_ready() const noexcept {
    return !queue().full() || queue().is_shut_down();
  }
  void await_resume() {
    if (task != nullptr) finish();
    queue().add(std::move(item_));
  }

 private:
  [[nodiscard]] basic_queue<T, Items>& queue() const noexcept {
    return static_cast<basic_queue<T, Items>&>(*on_);
  }
  T item_;
};

template <class T, class Items>
class get_awaiter : public queue_waiter, public coro_like<get_awaiter<T, Items>, T> {
 public:
  using rondo_awaiter = void;

  explicit get_awaiter(basic_queue<T, Items>& on) noexcept : queue_waiter(on, false) {}
  get_awaiter(get_awaiter&&) noexcept = default;
  get_awaiter& operator=(get_awaiter&&) = delete;
  ~get_awaiter() = default;

  [[nodiscard]] bool await_ready() const noexcept {
    return !queue().empty() || queue().is_shut_down();
  }
  T await_resume() {
    if (task != nullptr) finish();
    return queue().take();
  }

 private:
  [[nodiscard]] basic_queue<T, Items>& queue() const noexcept {
    return static_cast<basic_queue<T, Items>&>(*on_);
  }
};

}  // namespace detail

}  // namespace v0
}  // namespace rondo
