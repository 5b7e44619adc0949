// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Jobs: between a loop and an executor.
#include <rondo/detail/job.hpp>

#include <rondo/errors.hpp>
#include <rondo/executor.hpp>
#include <rondo/log.hpp>

#include "executor/jobs.hpp"
#include "loop/inbox.hpp"
#include "loop/loop_internals.hpp"
#include "loop/running_scope.hpp"

#include <exception>
#include <memory>
#include <string>
#include <utility>

namespace rondo {
inline namespace v0 {

executor::~executor() = default;

namespace detail {
namespace {

// The executor's reference goes into the loop's inbox, or ends here.
void post(loop_job& job) noexcept {
  if (!static_cast<inbox*>(job.inbox.get())->push(job)) release(job);
}

void run_in_place(job_block& block) noexcept {
  auto& job = static_cast<loop_job&>(block);
  if (!claim(job)) {
    release(job);
    return;
  }
  {
    const context_scope entered(this_thread(), job.bound_context);
    try {
      job.calls->call(job);
    } catch (...) {
      job.error = std::current_exception();
    }
    // Here and not in the loop's thread: what the callable holds was used here last.
    job.calls->forget(job);
  }
  job.state.store(job_state::finished, std::memory_order_release);
  post(job);
}

void drop_unrun(job_block& block) noexcept {
  auto& job = static_cast<loop_job&>(block);
  job_state expected = job_state::queued;
  if (job.state.compare_exchange_strong(expected, job_state::dropped, std::memory_order_acq_rel)) {
    post(job);
  } else {
    release(job);
  }
}

constexpr job_table loop_jobs = {&run_in_place, &drop_unrun};

// Ends the loop's interest; its reference goes.
void leave(loop_job& job) noexcept {
  if (job.linked()) remove_waiter(*job.target, job);
  unlink_resource(*job.target->core, job);
  --job.target->core->jobs;
  job.target = {};
  release(job);
}

void run_job(ready_node& node, event_loop* loop) {
  auto& job = static_cast<loop_job&>(node);
  if (job.state.load(std::memory_order_acquire) == job_state::abandoned) {
    job.calls->forget(job);
    if (loop != nullptr) leave(job);
    return;
  }
  const job_ref of_queue(&job);
  if (loop != nullptr) complete(job);
}

// The future was cancelled, or given another result.
void notice_done(future_waiter& self, future_core* done) {
  auto& job = static_cast<loop_job&>(self);
  job_state expected = job_state::queued;
  if (!job.state.compare_exchange_strong(expected, job_state::abandoned,
                                         std::memory_order_acq_rel)) {
    return;  // somebody has begun: the result will be dropped
  }
  // What the callable holds is destroyed soon, but not from inside of cancel().
  if (done != nullptr) done->core->ready.push(job);
}

}  // namespace

loop_job::loop_job(const loop_job_table& functions) noexcept
    : job_block(loop_jobs), ready_node(&run_job), future_waiter(&notice_done), calls(&functions) {}

void loop_job::on_loop_close() noexcept {
  if (linked()) remove_waiter(*target, *this);
  --target->core->jobs;
  target = {};
  release(*this);
}

void release(loop_job& job) noexcept {
  if (job.references.fetch_sub(1, std::memory_order_acq_rel) == 1) job.calls->destroy(job);
}

bool claim(loop_job& job) noexcept {
  job_state expected = job_state::queued;
  return job.state.compare_exchange_strong(expected, job_state::running, std::memory_order_acq_rel);
}

void complete(loop_job& job) {
  const core_ref<future_core> target = job.target;
  const bool wanted = !target->done();
  const bool dropped = job.state.load(std::memory_order_relaxed) == job_state::dropped;
  if (job.linked()) remove_waiter(*target, job);
  if (wanted && dropped) {
    cancel(*target, {});
  } else if (wanted && !job.error) {
    try {
      job.calls->deliver(job);
    } catch (...) {
      job.error = std::current_exception();  // moving the result threw
    }
  }
  if (wanted && job.error && !target->done()) set_exception(*target, std::move(job.error));
  leave(job);
}

loop_job* loop_job_of(const executor_job& job) noexcept {
  job_block* const block = job.get();
  return block != nullptr && block->table == &loop_jobs ? static_cast<loop_job*>(block) : nullptr;
}

void report_job_error() noexcept {
  try {
    throw;
  } catch (const std::exception& error) {
    log(log_level::error, std::string("a job that nobody awaits threw: ") + error.what());
  } catch (...) {
    log(log_level::error, "a job that nobody awaits threw something");
  }
}

}  // namespace detail
}  // namespace v0
}  // namespace rondo
