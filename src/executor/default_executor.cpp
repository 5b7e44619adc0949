// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  The executor of a loop, and jobs on their way into one.
#include <rondo/event_loop.hpp>

#include <rondo/errors.hpp>
#include <rondo/executor.hpp>
#include <rondo/log.hpp>
#include <rondo/timeouts.hpp>

#include "executor/thread_pool.hpp"
#include "loop/loop_internals.hpp"

#include <fmt/format.h>

#include <chrono>
#include <exception>
#include <memory>
#include <stdexcept>
#include <utility>

namespace rondo {
inline namespace v0 {
namespace {

// A pool that this loop alone knows must not be waited for when it goes.
void let_go(std::shared_ptr<thread_pool_executor>&& pool) {
  const std::shared_ptr<thread_pool_executor> last = std::move(pool);
  if (last.use_count() == 1) last->shutdown(false);
}

// Something that a loop waits for threads with: the clock of a virtual loop stands still meanwhile.
class counted_job {
 public:
  explicit counted_job(detail::loop_core& core) noexcept : core_(core) { ++core_.jobs; }
  counted_job(const counted_job&) = delete;
  counted_job& operator=(const counted_job&) = delete;
  ~counted_job() { --core_.jobs; }

 private:
  detail::loop_core& core_;
};

}  // namespace

void event_loop::submit_job(executor* where, detail::unsubmitted_job job,
                            const any_future& result) {
  check_usable();
  std::shared_ptr<thread_pool_executor> by_default;  // a call in this very executor may replace it
  if (where == nullptr) {
    if (internals_->default_executor_shut_down) {
      throw std::logic_error("Executor shutdown has been called");
    }
    by_default = internals_->default_executor;
    if (!by_default) {
      by_default = std::make_shared<thread_pool_executor>(0, "asyncio");
      internals_->default_executor = by_default;
    }
    where = by_default.get();
  }
  job->target = result.core();
  job->inbox = internals_->from_threads;
  job->references.store(2, std::memory_order_relaxed);  // the loop's, the executor's
  detail::link_resource(*core_, *job.operator->());
  ++core_->jobs;
  detail::add_waiter(*result.core(), *job.operator->());
  where->submit(executor_job(static_cast<detail::job_block*>(job.detach())));
}

void event_loop::set_default_executor(std::shared_ptr<thread_pool_executor> pool) {
  check_usable();
  std::shared_ptr<thread_pool_executor> before =
      std::exchange(internals_->default_executor, std::move(pool));
  if (before && before != internals_->default_executor) let_go(std::move(before));
}

coro<> event_loop::shutdown_default_executor(std::optional<interval> timeout) {
  internals_->default_executor_shut_down = true;
  const std::shared_ptr<thread_pool_executor> pool = internals_->default_executor;
  if (!pool) co_return;
  detail::thread_pool& threads = *pool->pool_;
  threads.stop();
  const threadsafe_promise<void> ended = create_threadsafe_promise<void>();
  bool in_time = true;
  if (threads.when_ended(ended)) {
    const counted_job waiting(*core_);
    try {
      co_await wait_for(ended.get_future(), timeout);
    } catch (const timeout_error&) {
      in_time = false;
    }
  }
  if (in_time) {
    pool->shutdown();  // joins threads that have ended: does not block
    co_return;
  }
  detail::log(log_level::warning,
              fmt::format("The executor did not finish joining its threads within {} seconds.",
                          std::chrono::duration<double>(*timeout).count()));
  pool->shutdown(false);
}

namespace detail {

void close_default_executor(loop_internals& of) noexcept {
  of.default_executor_shut_down = true;
  const std::shared_ptr<thread_pool_executor> pool = std::exchange(of.default_executor, nullptr);
  if (pool) pool->shutdown(false);
}

}  // namespace detail
}  // namespace v0
}  // namespace rondo
