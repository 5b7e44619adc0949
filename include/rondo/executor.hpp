// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Executors: functions that block, away from the loop's thread.
#pragma once

#include <rondo/detail/export.hpp>
#include <rondo/detail/job.hpp>
#include <rondo/event_loop.hpp>
#include <rondo/future.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <type_traits>
#include <utility>

namespace rondo {
inline namespace v0 {
namespace detail {
class thread_pool;
class process_pool;

/// How many threads or processes a pool may have; any integer.
struct worker_count {
  template <std::integral N>
  constexpr worker_count(N count) noexcept  // NOLINT: implicit by design
      : value(std::in_range<std::ptrdiff_t>(count) ? static_cast<std::ptrdiff_t>(count)
                                                   : PTRDIFF_MAX) {}
  std::ptrdiff_t value;
};

}  // namespace detail

/// One call that an executor has to make: `job()`, once, in any thread.
///
/// Calling it never throws: what the function throws goes to whoever awaits the result. A job that
/// is destroyed without having been called cancels the future that waits for it. Calling one whose
/// future was cancelled does nothing.
///
/// @par Thread safety
/// A value: one thread at a time, any thread.
class RONDO_EXPORT executor_job {
 public:
  /// An empty job, which must not be called.
  executor_job() noexcept = default;
  /// A job that nobody awaits; what it throws is logged.
  template <class F>
    requires(!std::same_as<std::remove_cvref_t<F>, executor_job> && std::invocable<std::decay_t<F>>)
  explicit executor_job(F&& f)
      : block_(new detail::plain_job<std::decay_t<F>>(std::forward<F>(f))) {}
  executor_job(executor_job&& other) noexcept : block_(std::exchange(other.block_, nullptr)) {}
  executor_job& operator=(executor_job&& other) noexcept {
    std::swap(block_, other.block_);
    return *this;
  }
  ~executor_job() {
    if (block_ != nullptr) block_->table->drop(*block_);
  }

  /// Calls the function and sends its result off; the job is empty afterwards.
  void operator()() noexcept {
    detail::job_block& block = *std::exchange(block_, nullptr);
    block.table->run(block);
  }
  explicit operator bool() const noexcept { return block_ != nullptr; }

  // For the library.
  explicit executor_job(detail::job_block* owned) noexcept : block_(owned) {}
  [[nodiscard]] detail::job_block* get() const noexcept { return block_; }
  [[nodiscard]] detail::job_block* detach() noexcept { return std::exchange(block_, nullptr); }

 private:
  detail::job_block* block_ = nullptr;
};

/// Where `event_loop::run_in_executor` sends calls; derive from it for one of your own.
///
/// @par asyncio
/// `concurrent.futures.Executor`
class RONDO_EXPORT executor {
 public:
  executor() = default;
  executor(const executor&) = delete;
  executor& operator=(const executor&) = delete;
  virtual ~executor();

  /// Sees to it that `job()` is called, here or in another thread, now or later. What it throws
  /// goes to the caller of `run_in_executor`.
  virtual void submit(executor_job job) = 0;
};

/// Calls functions in threads of its own, which are made as they are needed.
///
/// Queued calls begin in order. Cancelling the future of a call that has begun does not stop it:
/// its result is dropped. The threads have the signal mask of the thread whose call made them.
///
/// In a child of fork() the pool of the parent cannot be used: `submit` throws std::logic_error
/// there.
///
/// @par asyncio
/// `concurrent.futures.ThreadPoolExecutor`
/// @par Thread safety
/// Any thread; any number of loops may share one.
class RONDO_EXPORT thread_pool_executor : public executor {
 public:
  /// @param threads  at most so many; 0: as many as there are processors and 4, at most 32
  /// @param name  of the threads, cut so that it has room for a number: "name_0", "name_1" ...
  /// @throws std::invalid_argument  `threads` is negative
  explicit thread_pool_executor(detail::worker_count threads = 0, std::string_view name = "rondo");
  /// Waits for all calls, the queued ones too, as `shutdown()`; if `shutdown(false)` came before,
  /// for none.
  ~thread_pool_executor() override;

  /// @throws std::logic_error  after `shutdown`, or in a child of fork()
  /// @throws std::system_error  there is no thread and none can be made; if there are some they do
  /// the work
  void submit(executor_job job) override;

  /// Refuses calls from now on; the threads end when those that are queued are done.
  /// @param wait  returns when the threads have ended; from one of them it returns at once
  /// @param cancel  drops what has not begun: its futures are cancelled
  ///
  /// After `shutdown(false)` the threads run on their own, like detached ones: a program that
  /// returns from main meanwhile ends in the middle of what they do.
  void shutdown(bool wait = true, bool cancel = false);

  /// How many threads there may be.
  [[nodiscard]] std::size_t max_threads() const noexcept;
  /// How many there are.
  [[nodiscard]] std::size_t threads() const;

 private:
  friend class event_loop;

  std::shared_ptr<detail::thread_pool> pool_;
};

/// Calls each function in a process of its own, forked for it from the loop's thread.
///
/// The child is a copy of this process with one thread. It may allocate, read what the parent had
/// in memory, use descriptors, and even run a loop of its own. It must not use the parent's loop
/// (nothing runs in it: `get_running_loop()` throws), connections, TLS, or anything that needs a
/// lock or a thread of the parent: another thread may have held the lock when the process was
/// forked. Every descriptor of the parent is open in it too: what the parent closes meanwhile stays
/// open for its peer until the call is done.
///
/// Results are void, std::string, or trivially copyable without pointers into memory. What the
/// function throws comes back with its text: as std::system_error with the same code,
/// std::invalid_argument, std::out_of_range, another std::logic_error as std::logic_error, and
/// anything else as std::runtime_error. If the process ends without a result the await throws
/// broken_process_pool, which says how; other calls are not affected. If it cannot be made the
/// await throws std::system_error.
///
/// Cancelling the future of a call that has begun does not stop it. If the loop is closed, what is
/// queued is dropped, and what has begun goes on.
///
/// @par asyncio
/// `concurrent.futures.ProcessPoolExecutor` with the start method "fork" and
/// `max_tasks_per_child=1`
/// @par Thread safety
/// Any thread, with calls of a loop from that loop's; any number of loops may share one.
class RONDO_EXPORT process_pool_executor : public executor {
 public:
  /// @param processes  at most so many at a time; 0: as many as there are processors
  /// @throws std::invalid_argument  `processes` is negative
  explicit process_pool_executor(detail::worker_count processes = 0);
  /// As `shutdown(true, true)`: waits for the processes that run, and drops what is queued.
  ~process_pool_executor() override;

  /// Only jobs of `run_in_executor`.
  /// @throws std::invalid_argument  the result cannot come from another process, or nobody awaits
  /// it
  /// @throws std::logic_error  after `shutdown`, in a child of fork(), or outside the loop's thread
  void submit(executor_job job) override;

  /// Refuses calls from now on. What is queued begins as its loops run.
  /// @param wait  blocks until the processes that run have ended
  /// @param cancel  drops what has not begun: its futures are cancelled
  void shutdown(bool wait = true, bool cancel = false);

  /// Refuses calls from now on, drops what is queued, and sends SIGTERM to the processes that run.
  ///
  /// @par asyncio
  /// `ProcessPoolExecutor.terminate_workers`, of Python 3.14
  void terminate_workers();
  /// The same with SIGKILL.
  void kill_workers();

  /// How many processes there may be at a time.
  [[nodiscard]] std::size_t max_processes() const noexcept;
  /// How many have begun and have not been reaped.
  [[nodiscard]] std::size_t processes() const;

 private:
  std::shared_ptr<detail::process_pool> pool_;
};

// ---- implementation ----------------------------------------------------------------

template <class F, class... Args>
  requires std::invocable<std::decay_t<F>, std::decay_t<Args>...>
future<detail::call_result<F, Args...>> event_loop::run_in_executor(executor* where, F&& f,
                                                                    Args&&... args) {
  const future<detail::call_result<F, Args...>> result(*this);
  submit_job(where, detail::make_job(std::forward<F>(f), std::forward<Args>(args)...), result);
  return result;
}

}  // namespace v0
}  // namespace rondo
