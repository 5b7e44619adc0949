// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Running coroutines from other threads, and waiting for them there.
#pragma once

#include <rondo/coro.hpp>
#include <rondo/detail/callback.hpp>
#include <rondo/detail/copyable.hpp>
#include <rondo/detail/export.hpp>
#include <rondo/detail/future_core.hpp>
#include <rondo/detail/loop_core.hpp>
#include <rondo/detail/ready_node.hpp>
#include <rondo/event_loop.hpp>
#include <rondo/future.hpp>
#include <rondo/interval.hpp>
#include <rondo/task.hpp>
#include <rondo/threadsafe_promise.hpp>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <type_traits>
#include <utility>

namespace rondo {
inline namespace v0 {
namespace detail {

struct concurrent_core;

/// Somebody who is told, in the thread that completes it, that a concurrent_future is done; belongs
/// to that.
struct concurrent_callback {
  explicit concurrent_callback(block_ref<promise_block> told) noexcept : promise(std::move(told)) {}
  concurrent_callback* next = nullptr;
  block_ref<promise_block> promise;
};

/// The places of a concurrent_core in the loop's queues.
struct concurrent_node : ready_node {
  concurrent_node(concurrent_core& owner, run_function run_as) noexcept
      : ready_node(run_as), core(owner) {}
  concurrent_core& core;
};

/// What the copies of a concurrent_future, the loop and those who wait share.
struct RONDO_EXPORT concurrent_core : future_waiter, loop_resource {
  explicit concurrent_core(event_loop& from);
  virtual ~concurrent_core();
  void on_loop_close() noexcept override;

  // Any thread.
  [[nodiscard]] bool done() noexcept;
  [[nodiscard]] bool cancelled() noexcept;
  bool cancel() noexcept;
  /// Waits until it is done. @throws timeout_error, std::logic_error (in the loop's own thread)
  void wait(std::optional<interval> limit);
  /// Throws what it ended with if that is no result.
  void check_result();
  /// Ends it, if it has not ended; false if it has.
  bool end(future_state how, std::exception_ptr why) noexcept;
  /// Has a loop told when it is done, or now.
  void tell(block_ref<promise_block> promise);

  // The loop's thread.
  /// The coroutine runs as this task.
  void watch(future_core& running) noexcept;
  void finish_from_task() noexcept;
  /// Takes the result out of `finished_task`; called under the lock.
  virtual void take() = 0;

  std::atomic<std::uint32_t> references = 1;
  std::mutex lock;
  std::condition_variable changed;
  // Under the lock.
  future_state state = future_state::pending;
  bool moved_out = false;
  std::exception_ptr error;
  concurrent_callback* callbacks = nullptr;  // the newest first
  // The loop's thread.
  future_core* task = nullptr;  // the loop keeps it until it is done
  core_ref<future_core> finished_task;
  concurrent_node when_done;
  concurrent_node when_cancelled;
  // Unchanging.
  event_loop* const loop;       // compared only
  std::shared_ptr<void> inbox;  // outlives the loop
};
inline void retain(concurrent_core& core) noexcept {
  core.references.fetch_add(1, std::memory_order_relaxed);
}
RONDO_EXPORT void release(concurrent_core& core) noexcept;

template <class T>
struct typed_concurrent final : concurrent_core {
  static_assert(!std::is_reference_v<T>, "a concurrent_future holds a value");

  using concurrent_core::concurrent_core;
  void take() override {
    if constexpr (!std::is_void_v<T>) {
      value.emplace(take_result<T>(future<T>(std::move(finished_task))));
    }
  }
  std::optional<stored<T>> value;
};

/// What the loop is given to start a coroutine of another thread. If it never runs, nobody waits in
/// vain.
template <class T>
class remote_start {
 public:
  remote_start(block_ref<concurrent_core> result, coro<T> body) noexcept
      : result_(std::move(result)), body_(std::move(body)) {}
  remote_start(remote_start&&) noexcept = default;
  remote_start& operator=(remote_start&&) = delete;
  ~remote_start() {
    drop();
    if (result_) result_->end(future_state::cancelled, nullptr);
  }

  void operator()() {
    const block_ref<concurrent_core> result = std::move(result_);
    if (result->done()) {  // cancelled meanwhile
      drop();
      return;
    }
    try {
      const rondo::task<T> running = spawn(running_core(), std::move(body_), task_options());
      result->watch(*running.core());
    } catch (...) {
      result->end(future_state::failed, std::current_exception());
      throw;
    }
  }

 private:
  // It never ran, and that is no mistake of its own.
  void drop() noexcept {
    if (body_.valid()) std::move(body_).release().destroy();
  }

  block_ref<concurrent_core> result_;
  coro<T> body_;
};

}  // namespace detail

/// The result of something that runs in a loop of another thread. Copies name the same one.
///
/// @par asyncio
/// `concurrent.futures.Future`
/// @par Thread safety
/// Any thread.
template <class T = void>
class concurrent_future {
 public:
  using value_type = T;

  /// An empty handle, which names nothing.
  concurrent_future() noexcept = default;

  [[nodiscard]] bool done() const { return core().done(); }
  [[nodiscard]] bool cancelled() const { return core().cancelled(); }

  /// Makes it cancelled at once, and asks the loop to cancel the task, which may take longer to
  /// end. False if it is done.
  bool cancel() const { return core().cancel(); }

  /// Blocks the thread until there is a result and returns it, or throws the exception. A result
  /// that cannot be copied can be got once.
  /// @param limit  how long to wait; unset: for ever
  /// @throws timeout_error  the time is up; the coroutine runs on
  /// @throws cancelled_error  it was cancelled, or the loop was closed before the end
  /// @throws std::logic_error  this thread runs the loop that the result comes from
  T get(std::optional<interval> limit = {}) const {
    detail::concurrent_core& shared = core();
    shared.wait(limit);
    shared.check_result();
    if constexpr (!std::is_void_v<T>) {
      auto& value = *static_cast<detail::typed_concurrent<T>&>(shared).value;
      if constexpr (detail::copyable<T>) {
        return value;
      } else {
        const std::lock_guard guard(shared.lock);
        if (shared.moved_out) detail::throw_moved_out();
        shared.moved_out = true;
        return std::move(value);
      }
    }
  }

  explicit operator bool() const noexcept { return static_cast<bool>(core_); }

  // For the library.
  explicit concurrent_future(detail::block_ref<detail::concurrent_core> core) noexcept
      : core_(std::move(core)) {}
  [[nodiscard]] detail::concurrent_core& core() const {
    if (!core_) detail::throw_empty_handle();
    return *core_;
  }

 private:
  detail::block_ref<detail::concurrent_core> core_;
};

/// Runs a coroutine in a loop, from any thread.
///
/// If the loop is closed before the coroutine has ended, the result is cancelled.
/// @throws loop_closed_error  the loop is closed; every thread must expect it
///
/// @par asyncio
/// `asyncio.run_coroutine_threadsafe`
template <class T>
concurrent_future<T> run_coroutine_threadsafe(coro<T> body, event_loop& loop) {
  if (!body.valid()) detail::throw_coro_awaited_twice();
  auto shared =
      detail::block_ref<detail::concurrent_core>::adopt(new detail::typed_concurrent<T>(loop));
  concurrent_future<T> result(shared);
  loop.call_soon_threadsafe(detail::remote_start<T>(std::move(shared), std::move(body)));
  return result;
}

namespace detail {

template <class T>
struct wrapping_block final : promise_block {
  explicit wrapping_block(concurrent_future<T> wrapped)
      : promise_block(&run_promise), from(std::move(wrapped)) {
    destroy = [](promise_block& self) noexcept { delete static_cast<wrapping_block*>(&self); };
    deliver = [](promise_block& self) {
      const concurrent_future<T> source = std::move(static_cast<wrapping_block&>(self).from);
      const future<T> to(self.target);
      if (source.cancelled()) {
        to.cancel();
      } else if constexpr (std::is_void_v<T>) {
        source.get();
        to.set_result();
      } else {
        to.set_result(source.get());
      }
    };
  }
  concurrent_future<T> from;
};

}  // namespace detail

/// A future of the running loop for what another thread's code waits for. Cancelling it cancels
/// that.
/// @throws std::logic_error  no loop runs in this thread
///
/// @par asyncio
/// `asyncio.wrap_future`
template <class T>
future<T> wrap_future(concurrent_future<T> from) {
  event_loop& loop = get_running_loop();
  auto block = detail::block_ref<detail::promise_block>::adopt(new detail::wrapping_block<T>(from));
  future<T> made(loop);
  block->target = made.core();
  detail::open_inbox(*block, loop);
  made.add_done_callback([from](const future<T>& done) {
    if (done.cancelled()) from.cancel();
  });
  from.core().tell(std::move(block));
  return made;
}

}  // namespace v0
}  // namespace rondo
