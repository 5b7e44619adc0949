// SPDX-License-Identifier: MIT
// rondo benchmarks: the least code that does each operation, written by hand as a lower bound.
#pragma once

#include "measure.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>
#include <utility>
#include <vector>

namespace hand {

// ---- ready queue -------------------------------------------------------------------------------

struct node {
  node* next = nullptr;
  void (*run)(node*) = nullptr;
};

class fifo {
 public:
  void push(node* n) noexcept {
    n->next = nullptr;
    *tail_ = n;
    tail_ = &n->next;
  }
  node* pop() noexcept {
    node* n = head_;
    if (!n) return nullptr;
    head_ = n->next;
    if (!head_) tail_ = &head_;
    return n;
  }
  void run() {
    while (node* n = pop()) n->run(n);
  }

 private:
  node* head_ = nullptr;
  node** tail_ = &head_;
};

inline fifo ready;

// ---- memory: one free list per multiple of 64 bytes --------------------------------------------

struct free_block {
  free_block* next;
};
inline free_block* free_blocks[16];

inline void* allocate(std::size_t size) {
  std::size_t index = (size - 1) / 64;
  if (index >= 16) return std::malloc(size);
  if (free_block* block = free_blocks[index]) {
    free_blocks[index] = block->next;
    return block;
  }
  return std::malloc((index + 1) * 64);
}

inline void release(void* memory, std::size_t size) noexcept {
  std::size_t index = (size - 1) / 64;
  if (index >= 16) return std::free(memory);
  auto* block = static_cast<free_block*>(memory);
  block->next = free_blocks[index];
  free_blocks[index] = block;
}

// ---- callbacks ---------------------------------------------------------------------------------

template <class F>
struct callback : node {
  explicit callback(F&& callable) : function(std::move(callable)) {
    run = [](node* n) {
      auto* self = static_cast<callback*>(n);
      F f = std::move(self->function);
      self->~callback();
      release(self, sizeof(callback));
      f();
    };
  }
  F function;
};

template <class F>
void call_soon(F f) {
  ready.push(new (allocate(sizeof(callback<F>))) callback<F>(std::move(f)));
}

// ---- coroutines: symmetric transfer, frames from the free lists --------------------------------

struct promise_base {
  static void* operator new(std::size_t size) { return allocate(size); }
  static void operator delete(void* frame, std::size_t size) noexcept { release(frame, size); }
  std::suspend_always initial_suspend() const noexcept { return {}; }
  void unhandled_exception() const noexcept { std::abort(); }
};

template <class T>
class coro {
 public:
  struct promise_type : promise_base {
    struct final_awaiter {
      bool await_ready() const noexcept { return false; }
      std::coroutine_handle<> await_suspend(std::coroutine_handle<promise_type> h) const noexcept {
        return h.promise().continuation;
      }
      void await_resume() const noexcept {}
    };
    coro get_return_object() noexcept {
      return coro(std::coroutine_handle<promise_type>::from_promise(*this));
    }
    final_awaiter final_suspend() const noexcept { return {}; }
    void return_value(T result) noexcept { value = result; }
    std::coroutine_handle<> continuation;
    T value{};
  };

  explicit coro(std::coroutine_handle<promise_type> frame) noexcept : frame_(frame) {}
  coro(coro&& other) noexcept : frame_(std::exchange(other.frame_, nullptr)) {}
  coro& operator=(coro&&) = delete;
  ~coro() {
    if (frame_) frame_.destroy();
  }

  bool await_ready() const noexcept { return false; }
  std::coroutine_handle<> await_suspend(std::coroutine_handle<> parent) const noexcept {
    frame_.promise().continuation = parent;
    return frame_;
  }
  T await_resume() const noexcept { return frame_.promise().value; }

  std::coroutine_handle<promise_type> frame() const noexcept { return frame_; }

 private:
  std::coroutine_handle<promise_type> frame_;
};

// Runs by itself from its first line on, and destroys itself at its end.
struct detached {
  struct promise_type : promise_base {
    detached get_return_object() const noexcept { return {}; }
    std::suspend_never initial_suspend() const noexcept { return {}; }
    std::suspend_never final_suspend() const noexcept { return {}; }
    void return_void() const noexcept {}
  };
};

// Waits in the ready queue; lives in the frame that it resumes.
struct resume_node : node {
  void arm(std::coroutine_handle<> h) noexcept {
    frame = h;
    run = [](node* n) { static_cast<resume_node*>(n)->frame.resume(); };
  }
  std::coroutine_handle<> frame;
};

struct yield : resume_node {
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> h) noexcept {
    arm(h);
    ready.push(this);
  }
  void await_resume() const noexcept {}
};

// One result, one waiter, no sharing. Awaited through a pointer, as g++ 12 copies an awaiter that
// an expression names by reference.
class future : resume_node {
 public:
  future() = default;
  future(const future&) = delete;
  future& operator=(const future&) = delete;
  static void* operator new(std::size_t size) { return allocate(size); }
  static void operator delete(void* p, std::size_t size) noexcept { release(p, size); }

  void set_result(int value) noexcept {
    value_ = value;
    done_ = true;
    if (frame) ready.push(this);
  }

  struct awaiter {
    bool await_ready() const noexcept { return on->done_; }
    void await_suspend(std::coroutine_handle<> h) const noexcept { on->arm(h); }
    int await_resume() const noexcept { return on->value_; }
    future* on;
  };
  awaiter operator co_await() noexcept { return awaiter{this}; }

 private:
  int value_ = 0;
  bool done_ = false;
};

class event {
 public:
  struct waiter : resume_node {
    explicit waiter(event& e) noexcept : owner(e) {}
    bool await_ready() const noexcept { return owner.set_; }
    void await_suspend(std::coroutine_handle<> h) noexcept {
      arm(h);
      owner.waiting_ = this;
    }
    void await_resume() const noexcept {}
    event& owner;
  };

  waiter wait() noexcept { return waiter(*this); }
  void set() noexcept {
    set_ = true;
    if (waiting_) ready.push(std::exchange(waiting_, nullptr));
  }
  void clear() noexcept { set_ = false; }

 private:
  bool set_ = false;
  waiter* waiting_ = nullptr;
};

// A coroutine that the ready queue starts, and that wakes who awaits it through the ready queue.
class task {
 public:
  struct promise_type : promise_base {
    struct final_awaiter {
      bool await_ready() const noexcept { return false; }
      void await_suspend(std::coroutine_handle<promise_type> h) const noexcept {
        promise_type& p = h.promise();
        p.done = true;
        if (p.waiter.frame) ready.push(&p.waiter);
      }
      void await_resume() const noexcept {}
    };
    task get_return_object() noexcept {
      auto frame = std::coroutine_handle<promise_type>::from_promise(*this);
      start.arm(frame);
      ready.push(&start);
      return task(frame);
    }
    final_awaiter final_suspend() const noexcept { return {}; }
    void return_value(int result) noexcept { value = result; }
    resume_node start, waiter;
    int value = 0;
    bool done = false;
  };

  explicit task(std::coroutine_handle<promise_type> frame) noexcept : frame_(frame) {}
  task(task&& other) noexcept : frame_(std::exchange(other.frame_, nullptr)) {}
  task& operator=(task&&) = delete;
  ~task() {
    if (frame_) frame_.destroy();
  }

  bool await_ready() const noexcept { return frame_.promise().done; }
  void await_suspend(std::coroutine_handle<> h) const noexcept { frame_.promise().waiter.arm(h); }
  int await_resume() const noexcept { return frame_.promise().value; }

 private:
  std::coroutine_handle<promise_type> frame_;
};

// ---- timers: a 4-ary heap whose entries hold the keys ------------------------------------------

struct timer : node {
  std::size_t index = 0;
};

class heap {
 public:
  bool empty() const noexcept { return entries_.empty(); }
  std::int64_t earliest() const noexcept { return entries_.front().when; }

  void add(timer* t, std::int64_t when) {
    entries_.push_back({when, sequence_++, t});
    up(entries_.size() - 1, entries_.back());
  }
  void erase(timer* t) noexcept {
    std::size_t hole = t->index;
    entry last = entries_.back();
    entries_.pop_back();
    if (hole == entries_.size()) return;
    if (hole > 0 && last < entries_[(hole - 1) / 4])
      up(hole, last);
    else
      down(hole, last);
  }
  timer* pop() noexcept {
    timer* t = entries_.front().owner;
    erase(t);
    return t;
  }

 private:
  struct entry {
    std::int64_t when;
    std::uint64_t sequence;
    timer* owner;
    bool operator<(const entry& other) const noexcept {
      return when != other.when ? when < other.when : sequence < other.sequence;
    }
  };

  void place(std::size_t at, entry e) noexcept {
    entries_[at] = e;
    e.owner->index = at;
  }
  void up(std::size_t hole, entry e) noexcept {
    while (hole > 0) {
      std::size_t parent = (hole - 1) / 4;
      if (!(e < entries_[parent])) break;
      place(hole, entries_[parent]);
      hole = parent;
    }
    place(hole, e);
  }
  void down(std::size_t hole, entry e) noexcept {
    std::size_t size = entries_.size();
    for (;;) {
      std::size_t first = hole * 4 + 1;
      if (first >= size) break;
      std::size_t least = first, end = first + 4 < size ? first + 4 : size;
      for (std::size_t i = first + 1; i < end; ++i)
        if (entries_[i] < entries_[least]) least = i;
      if (!(entries_[least] < e)) break;
      place(hole, entries_[least]);
      hole = least;
    }
    place(hole, e);
  }

  std::vector<entry> entries_;
  std::uint64_t sequence_ = 0;
};

inline heap timers;

struct timer_call : timer {
  explicit timer_call(std::int64_t* f) noexcept : fired(f) {
    run = [](node* n) {
      auto* self = static_cast<timer_call*>(n);
      ++*self->fired;
      delete self;
    };
  }
  static void* operator new(std::size_t size) { return allocate(size); }
  static void operator delete(void* p, std::size_t size) noexcept { release(p, size); }
  std::int64_t* fired;
};

// Moves what is due to the ready queue and runs it.
inline void run_due(std::int64_t now) {
  while (!timers.empty() && timers.earliest() <= now) ready.push(timers.pop());
  ready.run();
}

struct sleep_until : timer {
  explicit sleep_until(std::int64_t t) noexcept : when(t) {}
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> h) {
    frame = h;
    run = [](node* n) { static_cast<sleep_until*>(n)->frame.resume(); };
    timers.add(this, when);
  }
  void await_resume() const noexcept {}
  std::int64_t when;
  std::coroutine_handle<> frame;
};

// ---- posts from another thread: one CAS, and a write only if the loop sleeps -------------------

class mailbox {
 public:
  mailbox() : wake_fd_(eventfd(0, EFD_CLOEXEC)) {}
  mailbox(const mailbox&) = delete;
  mailbox& operator=(const mailbox&) = delete;
  ~mailbox() { close(wake_fd_); }

  void post(node* n) noexcept {
    n->next = head_.load(std::memory_order_relaxed);
    while (!head_.compare_exchange_weak(n->next, n)) {
    }
    if (sleeping_.load() && sleeping_.exchange(false)) {
      std::uint64_t one = 1;
      while (write(wake_fd_, &one, sizeof one) < 0) {
      }
    }
  }

  // Runs what has been posted, in order; sleeps while there is nothing.
  void run() {
    node* list = head_.exchange(nullptr);
    while (!list) {
      sleeping_ = true;
      if (!head_.load()) {
        std::uint64_t count;
        while (read(wake_fd_, &count, sizeof count) < 0) {
        }
      }
      sleeping_ = false;
      list = head_.exchange(nullptr);
    }
    node* in_order = nullptr;
    while (list) {
      node* next = list->next;
      list->next = in_order;
      in_order = list;
      list = next;
    }
    while (in_order) {
      node* n = std::exchange(in_order, in_order->next);
      n->run(n);
    }
  }

 private:
  std::atomic<node*> head_ = nullptr;
  std::atomic<bool> sleeping_ = false;
  int wake_fd_;
};

}  // namespace hand
