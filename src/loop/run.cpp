// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  run and runner: interrupting the main coroutine, cleaning up behind
// it.
#include <rondo/run.hpp>

#include <rondo/detail/done_awaiter.hpp>
#include <rondo/errors.hpp>
#include <rondo/log.hpp>

#include "../os/syscalls.hpp"
#include "../os/thread.hpp"
#include "loop_internals.hpp"

#include <fmt/format.h>

#include <chrono>
#include <csignal>
#include <cstdint>
#include <exception>
#include <stdexcept>
#include <utility>
#include <vector>

namespace rondo {
inline namespace v0 {
namespace {

// As long as asyncio.run waits for threads.
constexpr interval executor_patience = std::chrono::seconds(300);

coro<void> wait_for_all(const std::vector<any_task>& tasks) {
  for (const any_task& each : tasks) co_await detail::done_awaiter(each.core());
}

void cancel_what_is_left(event_loop& loop) {
  const std::vector<any_task> left = all_tasks(loop);
  if (left.empty()) return;
  for (const any_task& each : left) each.cancel();
  loop.run_until_complete(wait_for_all(left));
  for (const any_task& each : left) {
    if (each.cancelled()) continue;
    if (const std::exception_ptr error = each.exception(); error) {
      exception_context report("unhandled exception during run() shutdown", error);
      report.task = each;
      loop.call_exception_handler(report);
    }
  }
}

/// Turns Ctrl-C into a cancellation of the main task, where nobody else handles it.
class interrupt_scope {
 public:
  interrupt_scope(event_loop& loop, any_task main) : loop_(loop), main_(std::move(main)) {
    if (!os::is_main_thread()) return;
    struct ::sigaction now = {};
    if (os::sys.sigaction(SIGINT, nullptr, &now) != 0) return;
    if ((now.sa_flags & SA_SIGINFO) != 0 || now.sa_handler != SIG_DFL) return;
    arrivals_ = detail::signal_arrivals(SIGINT);
    loop_.add_signal_handler(SIGINT, [this] { interrupted(); });
    installed_ = loop_.internals().signals[SIGINT];
  }
  interrupt_scope(const interrupt_scope&) = delete;
  interrupt_scope& operator=(const interrupt_scope&) = delete;
  ~interrupt_scope() {
    // Unless the program has put its own in its place meanwhile.
    if (!installed_) return;
    const auto& handlers = loop_.internals().signals;
    const auto found = handlers.find(SIGINT);
    if (found != handlers.end() && found->second.get() == installed_.get()) {
      loop_.remove_signal_handler(SIGINT);
    }
  }

  [[nodiscard]] bool happened() const noexcept { return count_ > 0; }

 private:
  void interrupted() {
    // Several arrivals may have become one call, but the second one must not wait for a third.
    count_ +=
        detail::signal_arrivals(SIGINT) - std::exchange(arrivals_, detail::signal_arrivals(SIGINT));
    if (count_ > 1 || main_.done()) throw keyboard_interrupt();
    main_.cancel();
  }

  event_loop& loop_;
  any_task main_;
  std::uint32_t arrivals_ = 0;
  std::uint32_t count_ = 0;
  detail::block_ref<detail::handle_block> installed_;
};

}  // namespace

runner::runner(run_options options) : options_(options) {}
runner::runner(std::unique_ptr<event_loop> loop, run_options options)
    : options_(options), loop_(std::move(loop)) {
  if (!loop_) throw std::invalid_argument("runner: the loop is null");
}

runner::~runner() {
  try {
    close();
  } catch (...) {
    detail::log(log_level::error, "closing a runner failed");
  }
}

event_loop& runner::get_loop() {
  if (closed_) throw std::logic_error("Runner is closed");
  if (!loop_) loop_ = options_.loop_factory != nullptr ? options_.loop_factory() : new_event_loop();
  if (!loop_) throw std::logic_error("the loop factory made no loop");
  if (!set_up_) {
    set_up_ = true;
    if (options_.debug) loop_->set_debug(*options_.debug);
    context_ = copy_context();
  }
  return *loop_;
}

void runner::begin() {
  if (closed_) throw std::logic_error("Runner is closed");
  if (detail::runs_in_this_thread()) {
    throw loop_running_error("Runner.run() cannot be called from a running event loop");
  }
  get_loop();
}

void runner::drive(detail::future_core& main) {
  const any_task task{detail::core_ref<detail::future_core>(&main)};
  main.log_destroyed = false;
  const interrupt_scope interrupts(*loop_, task);
  try {
    loop_->run_until_complete(task);
  } catch (const cancelled_error&) {
    if (interrupts.happened() && task.uncancel() == 0) throw keyboard_interrupt();
    throw;
  }
}

void runner::close() {
  if (closed_) return;
  if (loop_ && detail::runs_in_this_thread()) {
    throw loop_running_error("Runner.close() cannot be called from a running event loop");
  }
  closed_ = true;
  if (!loop_ || loop_->is_closed()) {
    loop_.reset();
    return;
  }
  struct closer {
    std::unique_ptr<event_loop>& loop;
    ~closer() {
      loop->close();
      loop.reset();
    }
  } const guard{loop_};
  cancel_what_is_left(*loop_);
  if (loop_->core().generators != nullptr) {
    loop_->run_until_complete(loop_->shutdown_asyncgens());
  }
  if (loop_->internals().default_executor) {
    loop_->run_until_complete(loop_->shutdown_default_executor(executor_patience));
  }
}

}  // namespace v0
}  // namespace rondo
