// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  The threads that ask for names.
#include "resolver/resolver_pool.hpp"

#include <rondo/event_loop.hpp>

#include "loop/inbox.hpp"
#include "loop/loop_internals.hpp"
#include "os/fork.hpp"
#include "os/syscalls.hpp"
#include "resolver/resolver.hpp"

#include <pthread.h>

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <system_error>
#include <thread>

namespace rondo {
inline namespace v0 {
namespace detail {
namespace {

constexpr std::size_t most_threads = 8;
// A thread whose question nobody waits for any more may still hang for minutes: it does not count.
constexpr std::size_t most_threads_in_all = 64;
constexpr std::chrono::seconds idle_time(5);

// Handlers of the program run in its own threads.
class signals_blocked {
 public:
  signals_blocked() noexcept {
    ::sigset_t all;
    sigfillset(&all);
    os::sys.pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  signals_blocked(const signals_blocked&) = delete;
  signals_blocked& operator=(const signals_blocked&) = delete;
  ~signals_blocked() { os::sys.pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  ::sigset_t before_;
};

}  // namespace

/// The threads of the process. Never destroyed: they may hang in getaddrinfo when the process ends.
class resolver_pool {
 public:
  static resolver_pool& instance();

  void submit(resolver_job& job);
  void give_up(resolver_job& job) noexcept;
  [[nodiscard]] resolver_load load() noexcept {
    const std::lock_guard lock(mutex_);
    return {threads_, asking_, queued_};
  }

 private:
  explicit resolver_pool(resolver_pool* of_parent) noexcept : of_parent_(of_parent) {}
  [[nodiscard]] bool of_this_process() const noexcept { return forks_ == os::fork_generation(); }

  void unlink(resolver_job& job) noexcept;
  void start_thread();
  void serve() noexcept;
  void answer(resolver_job& job, std::unique_lock<std::mutex>& lock) noexcept;

  static std::atomic<resolver_pool*> current_;

  const std::uint64_t forks_ = os::fork_generation();
  [[maybe_unused]] resolver_pool* const of_parent_;  // reachable, so that it is no leak
  std::mutex mutex_;
  std::condition_variable work_;
  resolver_job* first_ = nullptr;
  resolver_job* last_ = nullptr;
  std::size_t queued_ = 0;
  std::size_t threads_ = 0;
  std::size_t idle_ = 0;
  std::size_t asking_ = 0;
  std::size_t stuck_ = 0;  // threads that ask what nobody wants to know any more
};

constinit std::atomic<resolver_pool*> resolver_pool::current_ = nullptr;

resolver_pool& resolver_pool::instance() {
  resolver_pool* found = current_.load(std::memory_order_acquire);
  // A forked child has no threads, and cannot use the parent's mutex.
  while (found == nullptr || !found->of_this_process()) {
    auto made = std::unique_ptr<resolver_pool>(new resolver_pool(found));
    if (current_.compare_exchange_strong(found, made.get(), std::memory_order_acq_rel)) {
      return *made.release();
    }
  }
  return *found;
}

void resolver_pool::submit(resolver_job& job) {
  const std::lock_guard lock(mutex_);
  job.pool_ = this;
  job.earlier_ = last_;
  (last_ != nullptr ? last_->later_ : first_) = &job;
  last_ = &job;
  ++queued_;
  job.references_.fetch_add(1, std::memory_order_relaxed);
  if (queued_ <= idle_) {
    work_.notify_one();
    return;
  }
  try {
    start_thread();
  } catch (const std::system_error&) {
    if (threads_ > stuck_) return;  // somebody will come to it
    unlink(job);
    job.references_.fetch_sub(1, std::memory_order_relaxed);
    throw;
  }
}

// Without one where there are enough of them.
void resolver_pool::start_thread() {
  if (threads_ - stuck_ >= most_threads || threads_ >= most_threads_in_all) return;
  const signals_blocked guard;
  std::thread([this] { serve(); }).detach();
  ++threads_;
}

void resolver_pool::give_up(resolver_job& job) noexcept {
  if (!of_this_process()) return;
  const std::lock_guard lock(mutex_);
  switch (job.stage_) {
    case resolver_job::stage::queued:
      unlink(job);
      job.references_.fetch_sub(1, std::memory_order_relaxed);
      break;
    case resolver_job::stage::running:
      if (job.unwanted_) break;
      job.unwanted_ = true;
      ++stuck_;
      try {
        if (queued_ > idle_) start_thread();
      } catch (const std::system_error&) {
        // The others go on, and this one when it is back.
      }
      break;
    case resolver_job::stage::answered:
      break;
  }
}

void resolver_pool::unlink(resolver_job& job) noexcept {
  (job.earlier_ != nullptr ? job.earlier_->later_ : first_) = job.later_;
  (job.later_ != nullptr ? job.later_->earlier_ : last_) = job.earlier_;
  --queued_;
}

void resolver_pool::serve() noexcept {
  ::pthread_setname_np(::pthread_self(), "rondo-resolver");
  std::unique_lock lock(mutex_);
  for (;;) {
    while (first_ != nullptr) {
      resolver_job& job = *first_;
      unlink(job);
      answer(job, lock);
    }
    ++idle_;
    const bool called = work_.wait_for(lock, idle_time, [this] { return first_ != nullptr; });
    --idle_;
    if (!called) break;
  }
  --threads_;
}

void resolver_pool::answer(resolver_job& job, std::unique_lock<std::mutex>& lock) noexcept {
  job.stage_ = resolver_job::stage::running;
  ++asking_;
  lock.unlock();
  job.ask();
  lock.lock();
  --asking_;
  job.stage_ = resolver_job::stage::answered;
  const bool wanted = !job.unwanted_;
  if (!wanted) --stuck_;
  lock.unlock();
  // The pool's reference goes to the loop's queue, or ends here.
  if (!wanted || !job.reply_to_->push(job)) job.release();
  lock.lock();
}

resolver_load load_of_resolver() noexcept { return resolver_pool::instance().load(); }

// ---- jobs --------------------------------------------------------------------------

resolver_job::resolver_job(event_loop& loop)
    : ready_node(&deliver), reply_to_(loop.internals().from_threads), core_(&loop.core()) {}

resolver_job::~resolver_job() = default;

void resolver_job::deliver(ready_node& self, event_loop* loop) {
  auto& job = static_cast<resolver_job&>(self);
  job.delivered_ = true;
  if (loop != nullptr && job.waiting_ != nullptr) {
    std::exchange(job.waiting_, nullptr)->wake();
  }
  job.release();
}

void resolver_job::release() noexcept {
  if (references_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
}

job_owner::job_owner(resolver_job* job) : job_(job) {
  try {
    resolver_pool::instance().submit(*job);
  } catch (...) {
    job->release();
    throw;
  }
  ++job->core_->references;
  ++job->core_->jobs;
}

job_owner::~job_owner() {
  if (!job_->delivered_) job_->pool_->give_up(*job_);
  loop_core& core = *job_->core_;
  --core.jobs;
  job_->release();
  detail::release(core);
}

bool resolver_await::on_cancel(suspension& self, task_core& by) {
  static_cast<resolver_await&>(self).job_->waiting_ = nullptr;
  by.wake_cancelled();
  return true;
}

}  // namespace detail
}  // namespace v0
}  // namespace rondo
