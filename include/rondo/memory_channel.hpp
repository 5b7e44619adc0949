// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Memory channels: items from any number of senders to any number of
// receivers.
#pragma once

#include <rondo/coro.hpp>
#include <rondo/detail/export.hpp>
#include <rondo/detail/waiter_list.hpp>
#include <rondo/errors.hpp>
#include <rondo/queues.hpp>

#include <concepts>
#include <coroutine>
#include <cstddef>
#include <limits>
#include <optional>
#include <utility>

namespace rondo {
inline namespace v0 {

/// What a memory channel is doing.
struct memory_channel_statistics {
  std::size_t current_buffer_used = 0;
  std::size_t max_buffer_size = 0;
  std::size_t open_senders = 0;
  std::size_t open_receivers = 0;
  std::size_t tasks_waiting_send = 0;
  std::size_t tasks_waiting_receive = 0;
};

namespace detail {

/// What the ends of a channel share, whatever its items are.
///
/// An item that arrives while receivers wait is put into the buffer, above its limit if need be,
/// and the first receiver is woken: one item in the buffer is spoken for by each woken receiver. So
/// nothing is lost when that one is cancelled, it is just not spoken for any more.
class RONDO_EXPORT channel_core {
 public:
  explicit channel_core(std::ptrdiff_t limit);
  channel_core(const channel_core&) = delete;
  channel_core& operator=(const channel_core&) = delete;

  [[nodiscard]] memory_channel_statistics statistics() const noexcept;
  [[nodiscard]] std::size_t unclaimed() const noexcept { return buffered - claimed; }
  [[nodiscard]] bool may_send() const noexcept {
    return unclaimed() < limit || !receivers_waiting.empty();
  }
  [[nodiscard]] bool may_receive() const noexcept {
    return unclaimed() > 0 || !senders_waiting.empty();
  }
  /// Lets waiting receivers have what nobody has claimed.
  void offer() noexcept;
  void check_thread() const {
    receivers_waiting.check_thread();
    senders_waiting.check_thread();
  }
  static void serve(waiter& first) noexcept;
  void close_sender() noexcept;
  void close_receiver() noexcept;

  std::size_t limit;
  std::size_t buffered = 0;
  std::size_t claimed = 0;  // by receivers that are woken
  std::size_t open_senders = 1;
  std::size_t open_receivers = 1;
  std::size_t references = 2;  // ends, and awaiters that wait
  waiter_list senders_waiting;
  waiter_list receivers_waiting;
  loop_binding loop;

 protected:
  ~channel_core() = default;
};

template <class T>
struct channel_state final : channel_core {
  using channel_core::channel_core;

  void release() noexcept {
    if (--references == 0) delete this;
  }
  /// Puts an item in; `may_send` was true.
  template <class U>
  void add(U&& item);
  /// Takes the next item; `may_receive` was true, or the caller had a claim. The room goes to the
  /// first waiting sender.
  T take();

  fifo_items<T> items;
};

[[noreturn]] RONDO_EXPORT void throw_closed_channel();

template <class T>
class send_awaiter;
template <class T>
class receive_awaiter;
template <class T>
class next_awaiter;

}  // namespace detail

/// The sending end of a memory channel. Move-only; `clone` makes another one, and destroying it
/// closes it.
///
/// @par asyncio
/// anyio's `MemoryObjectSendStream`
/// @par Thread safety
/// The loop's thread only.
template <class T>
class memory_sender {
 public:
  using value_type = T;

  /// A closed end.
  memory_sender() noexcept = default;
  memory_sender(memory_sender&& other) noexcept : state_(std::exchange(other.state_, nullptr)) {}
  memory_sender& operator=(memory_sender&& other) noexcept {
    std::swap(state_, other.state_);
    return *this;
  }
  ~memory_sender() { close(); }

  /// Sends an item, waiting until it is in the buffer or a receiver has it. A coro<>.
  ///
  /// A task that is cancelled after its item was taken goes on, and meets the cancellation where it
  /// waits next.
  /// @throws closed_channel_error  this end is closed
  /// @throws broken_channel_error  every receiver is, also while it waits
  /// @throws cancelled_error  the task was cancelled; the item was not sent
  template <class U = T>
    requires std::constructible_from<T, U&&>
  [[nodiscard]] detail::send_awaiter<T> send(U&& item) {
    return detail::send_awaiter<T>(open(), std::forward<U>(item));
  }
  /// Sends an item at once. If this throws, the argument was not moved from.
  /// @throws would_block  the buffer is full and no receiver waits
  /// @throws as `send`
  template <class U = T>
    requires std::constructible_from<T, U&&>
  void send_nowait(U&& item) {
    detail::channel_state<T>& state = open();
    if (state.open_receivers == 0) throw broken_channel_error();
    if (!state.may_send()) throw would_block();
    state.add(std::forward<U>(item));
  }

  /// Another end of the same channel. @throws closed_channel_error
  [[nodiscard]] memory_sender clone() const {
    detail::channel_state<T>& state = open();
    ++state.open_senders;
    ++state.references;
    return memory_sender(&state);
  }
  /// Closes this end; with the last one receivers get what is left, then end_of_channel. Twice does
  /// nothing.
  void close() noexcept {
    if (auto* const state = std::exchange(state_, nullptr); state != nullptr) {
      state->close_sender();
      state->release();
    }
  }
  [[nodiscard]] bool closed() const noexcept { return state_ == nullptr; }
  /// @throws closed_channel_error
  [[nodiscard]] memory_channel_statistics statistics() const { return open().statistics(); }

  // For the library: takes over one reference.
  explicit memory_sender(detail::channel_state<T>* state) noexcept : state_(state) {}

 private:
  [[nodiscard]] detail::channel_state<T>& open() const {
    if (state_ == nullptr) detail::throw_closed_channel();
    return *state_;
  }

  detail::channel_state<T>* state_ = nullptr;
};

/// The receiving end of a memory channel. Move-only; `clone` makes another one, and destroying it
/// closes it.
///
/// Each item goes to one receiver; those who wait get them in order. One that is cancelled leaves
/// its item to the next.
///
/// @par asyncio
/// anyio's `MemoryObjectReceiveStream`
/// @par Thread safety
/// The loop's thread only.
template <class T>
class memory_receiver {
 public:
  using value_type = T;

  /// A closed end.
  memory_receiver() noexcept = default;
  memory_receiver(memory_receiver&& other) noexcept
      : state_(std::exchange(other.state_, nullptr)) {}
  memory_receiver& operator=(memory_receiver&& other) noexcept {
    std::swap(state_, other.state_);
    return *this;
  }
  ~memory_receiver() { close(); }

  /// Receives the next item, waiting for one. A coro<T>.
  /// @throws end_of_channel  every sender is closed and there are no items left
  /// @throws closed_channel_error  this end is closed, or every receiver was while it waited
  /// @throws cancelled_error  the task was cancelled; it took no item
  [[nodiscard]] detail::receive_awaiter<T> receive() { return detail::receive_awaiter<T>(open()); }
  /// The same, with nullopt for the end: `while (auto item = co_await receiver.next())`. A coro of
  /// an optional.
  [[nodiscard]] detail::next_awaiter<T> next() { return detail::next_awaiter<T>(open()); }
  /// Receives at once.
  /// @throws would_block  there is nothing
  /// @throws as `receive`
  [[nodiscard]] T receive_nowait() {
    detail::channel_state<T>& state = open();
    if (!state.may_receive()) {
      if (state.open_senders == 0) throw end_of_channel();
      throw would_block();
    }
    return state.take();
  }

  /// Another end of the same channel. @throws closed_channel_error
  [[nodiscard]] memory_receiver clone() const {
    detail::channel_state<T>& state = open();
    ++state.open_receivers;
    ++state.references;
    return memory_receiver(&state);
  }
  /// Closes this end; with the last one senders get broken_channel_error. Twice does nothing.
  void close() noexcept {
    if (auto* const state = std::exchange(state_, nullptr); state != nullptr) {
      state->close_receiver();
      state->release();
    }
  }
  [[nodiscard]] bool closed() const noexcept { return state_ == nullptr; }
  /// @throws closed_channel_error
  [[nodiscard]] memory_channel_statistics statistics() const { return open().statistics(); }

  explicit memory_receiver(detail::channel_state<T>* state) noexcept : state_(state) {}

 private:
  [[nodiscard]] detail::channel_state<T>& open() const {
    if (state_ == nullptr) detail::throw_closed_channel();
    return *state_;
  }

  detail::channel_state<T>* state_ = nullptr;
};

/// A new channel: `auto [sender, receiver] = memory_channel<int>(10);`
///
/// Both ends close when they are destroyed, so a receiver sees the end when its senders are gone,
/// without a sentinel.
///
/// @par asyncio
/// anyio's `create_memory_object_stream`
/// @par Thread safety
/// The loop's thread only.
template <class T>
class memory_channel {
 public:
  /// For `max_buffer_size`: no limit.
  static constexpr std::ptrdiff_t unlimited = std::numeric_limits<std::ptrdiff_t>::max();

  /// @param max_buffer_size  so many items are sent before anybody has to receive; 0: a sender
  /// waits for its receiver
  /// @throws std::invalid_argument  it is negative
  explicit memory_channel(std::ptrdiff_t max_buffer_size = 0)
      : memory_channel(*new detail::channel_state<T>(max_buffer_size)) {}

  memory_sender<T> sender;
  memory_receiver<T> receiver;

 private:
  explicit memory_channel(detail::channel_state<T>& state) noexcept
      : sender(&state), receiver(&state) {}
};

// ---- implementation ----------------------------------------------------------------

namespace detail {

/// The item of a waiting sender was taken, or there is one for a waiting receiver.
struct served_waiter : waiter {
  using waiter::waiter;
  served_waiter(served_waiter&&) noexcept = default;
  served_waiter& operator=(served_waiter&&) = delete;
  ~served_waiter() = default;

  bool served = false;
};

/// A task that waits at one end of a channel; it keeps the channel alive.
template <class T>
class channel_waiter : public served_waiter {
 public:
  using rondo_awaiter = void;

  explicit channel_waiter(channel_state<T>& state) noexcept
      : served_waiter(&cancel_waiter), state_(&state) {
    ++state.references;
  }
  channel_waiter(channel_waiter&& other) noexcept
      : served_waiter(std::move(other)), state_(other.state_) {
    ++state_->references;
  }
  channel_waiter& operator=(channel_waiter&&) = delete;

 protected:
  ~channel_waiter() {
    if (linked()) unlink();
    state_->release();
  }
  void wait(waiter_list& line, task_core& by, void* frame) {
    state_->loop.bind(by);
    task = &by;
    woken = false;
    served = false;
    line.push_back(*this);
    by.suspend(frame, *this);
  }

  channel_state<T>* state_;
};

template <class T>
class send_awaiter : public channel_waiter<T>, public coro_like<send_awaiter<T>> {
 public:
  using rondo_awaiter = void;

  template <class U>
  send_awaiter(channel_state<T>& state, U&& item)
      : channel_waiter<T>(state), item_(std::forward<U>(item)) {}
  send_awaiter(send_awaiter&&) = default;
  send_awaiter& operator=(send_awaiter&&) = delete;
  ~send_awaiter() = default;

  [[nodiscard]] bool await_ready() {
    channel_state<T>& state = *this->state_;
    if (state.open_receivers == 0) throw broken_channel_error();
    if (!state.may_send()) return false;
    state.add(std::move(item_));
    return true;
  }
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> frame) {
    this->wait(this->state_->senders_waiting, *frame.promise().task, frame.address());
  }
  void await_resume() {
    if (this->task == nullptr) return;
    task_core& by = *std::exchange(this->task, nullptr);
    if (this->served) {
      by.postpone_cancel();
      return;
    }
    by.check_cancelled();
    throw broken_channel_error();
  }

 private:
  friend struct channel_state<T>;
  T item_;
};

template <class T>
class receive_request : public channel_waiter<T> {
 public:
  using channel_waiter<T>::channel_waiter;
  receive_request(receive_request&&) noexcept = default;
  receive_request& operator=(receive_request&&) = delete;
  ~receive_request() {
    if (this->task != nullptr && this->served) unclaim();
  }

  [[nodiscard]] bool await_ready() const noexcept {
    const channel_state<T>& state = *this->state_;
    return state.may_receive() || state.open_senders == 0 || state.open_receivers == 0;
  }
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> frame) {
    this->wait(this->state_->receivers_waiting, *frame.promise().task, frame.address());
  }

 protected:
  /// Whether there is an item to take; false at the end of the channel.
  bool find_item() {
    channel_state<T>& state = *this->state_;
    if (this->task == nullptr) {
      if (state.may_receive()) return true;
    } else {
      task_core& by = *std::exchange(this->task, nullptr);
      if (by.throwing) {
        if (this->served) unclaim();
        by.throw_cancelled();
      }
      if (this->served) {
        --state.claimed;
        return true;
      }
    }
    if (state.open_receivers == 0) throw_closed_channel();
    return false;
  }

 private:
  void unclaim() noexcept {
    --this->state_->claimed;
    this->state_->offer();
  }
};

template <class T>
class receive_awaiter : public receive_request<T>, public coro_like<receive_awaiter<T>, T> {
 public:
  using rondo_awaiter = void;
  using receive_request<T>::receive_request;

  T await_resume() {
    if (!this->find_item()) throw end_of_channel();
    return this->state_->take();
  }
};

template <class T>
class next_awaiter : public receive_request<T>,
                     public coro_like<next_awaiter<T>, std::optional<T>> {
 public:
  using rondo_awaiter = void;
  using receive_request<T>::receive_request;

  std::optional<T> await_resume() {
    if (!this->find_item()) return std::nullopt;
    return std::optional<T>(this->state_->take());
  }
};

template <class T>
template <class U>
void channel_state<T>::add(U&& item) {
  check_thread();
  items.push(std::forward<U>(item));
  ++buffered;
  offer();
}

template <class T>
T channel_state<T>::take() {
  check_thread();
  // If an item cannot be moved it is still there, for somebody else.
  struct failed {
    channel_state* on;
    ~failed() {
      if (on != nullptr) on->offer();
    }
  } guard{this};
  if (!senders_waiting.empty() && unclaimed() <= limit) {
    auto& first = static_cast<send_awaiter<T>&>(senders_waiting.front());
    if (buffered == 0) {
      T item(std::move(first.item_));
      guard.on = nullptr;
      serve(first);
      return item;
    }
    items.push(std::move(first.item_));
    ++buffered;
    serve(first);
  }
  T item(std::move(items.front()));
  items.pop();
  --buffered;
  guard.on = nullptr;
  return item;
}

}  // namespace detail

}  // namespace v0
}  // namespace rondo
