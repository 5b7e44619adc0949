// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Asynchronous generators: iterating, closing, and what the loop's
// shutdown does with them.
#include <rondo/async_generator.hpp>

#include <rondo/detail/done_awaiter.hpp>
#include <rondo/errors.hpp>
#include <rondo/event_loop.hpp>
#include <rondo/gather.hpp>
#include <rondo/log.hpp>
#include <rondo/task.hpp>

#include <coroutine>
#include <exception>
#include <stdexcept>
#include <utility>
#include <variant>
#include <vector>

namespace rondo {
inline namespace v0 {

generator_exit::generator_exit() noexcept = default;
generator_exit::generator_exit(const generator_exit&) noexcept = default;
generator_exit& generator_exit::operator=(const generator_exit&) noexcept = default;
generator_exit::~generator_exit() = default;
const char* generator_exit::what() const noexcept { return "the generator is being closed"; }

namespace detail {
namespace {

void link(loop_core& core, generator_promise_base& generator) noexcept {
  if (core.generators == nullptr) {
    generator.next = &generator;
    generator.previous = &generator;
    core.generators = &generator;
    return;
  }
  generator_promise_base& first = *core.generators;
  generator.next = &first;
  generator.previous = first.previous;
  first.previous->next = &generator;
  first.previous = &generator;
}

void unlink(loop_core& core, generator_promise_base& generator) noexcept {
  if (generator.next == nullptr) return;
  if (generator.next == &generator) {
    core.generators = nullptr;
  } else {
    generator.previous->next = generator.next;
    generator.next->previous = generator.previous;
    if (core.generators == &generator) core.generators = generator.next;
  }
  generator.next = nullptr;
}

void destroy_frame(generator_promise_base& generator) noexcept {
  std::coroutine_handle<>::from_address(generator.frame()).destroy();
}

// Nobody will ever name it again.
bool is_unowned(const generator_promise_base& generator) noexcept {
  return generator.orphaned && !generator.running && generator.owner == nullptr &&
         generator.keeper == nullptr;
}

/// Runs a generator to its end after its co_yield threw generator_exit.
class closing_awaiter {
 public:
  using rondo_awaiter = void;

  explicit closing_awaiter(generator_promise_base& generator) noexcept : generator_(generator) {}

  [[nodiscard]] bool await_ready() const noexcept { return false; }
  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> parent) {
    return resume_generator(generator_, parent.promise(), parent.address());
  }
  void await_resume() {
    const generator_use use{generator_};
    settle_generator(generator_);
  }

 private:
  generator_promise_base& generator_;
};

/// Names a generator in the frame of who closes it. It may go before that, when the loop destroys
/// its tasks.
class generator_ref {
 public:
  generator_ref(generator_promise_base& generator,
                generator_promise_base** generator_promise_base::*place) noexcept
      : generator_(&generator), place_(place) {
    generator_->*place_ = &generator_;
  }
  generator_ref(generator_ref&& other) noexcept
      : generator_(std::exchange(other.generator_, nullptr)), place_(other.place_) {
    if (generator_ != nullptr) generator_->*place_ = &generator_;
  }
  generator_ref& operator=(generator_ref&&) = delete;
  ~generator_ref() {
    if (generator_ == nullptr) return;
    generator_->*place_ = nullptr;
    if (is_unowned(*generator_)) destroy_frame(*generator_);
  }

  [[nodiscard]] generator_promise_base* get() const noexcept { return generator_; }

 private:
  generator_promise_base* generator_;
  generator_promise_base** generator_promise_base::*place_;
};

coro<void> close_and_destroy(generator_ref generator) { co_await close_generator(generator.get()); }

// Nobody waits for it, and so whoever cancels all tasks, as run() does, must not interrupt the
// cleanup.
coro<void> close_undisturbed(generator_ref generator) {
  const shield_scope scope;
  co_await close_and_destroy(std::move(generator));
}

/// A callback that closes a generator whose handle is gone. If it never runs the generator goes
/// with it.
struct finalizer {
  generator_ref generator;

  void operator()() {
    generator_promise_base* const closed = generator.get();
    if (closed == nullptr || closed->finished || closed->keeper != nullptr) return;
    // Eagerly: a task that is cancelled before its first step would not clean up.
    const task<void> closer = spawn(*closed->loop, close_undisturbed(std::move(generator)),
                                    task_options{{}, nullptr, true});
    if (!closer.done()) closed->closer = closer.core().get();
  }
};

coro<void> shut_down_generators(loop_core& core) {
  core.generators_shut_down = true;
  std::vector<coro<void>> closings;
  std::vector<core_ref<future_core>> begun;
  while (core.generators != nullptr) {
    generator_promise_base& each = *core.generators;
    unlink(core, each);
    if (each.closer != nullptr) {
      begun.emplace_back(each.closer);
    } else {
      closings.push_back(close_and_destroy(generator_ref(each, &generator_promise_base::keeper)));
    }
  }
  for (const core_ref<future_core>& each : begun) {
    done_awaiter end(each);
    co_await end;
  }
  if (closings.empty()) co_return;
  const std::vector<outcome<std::monostate>> ends = co_await gather_settled(std::move(closings));
  for (const outcome<std::monostate>& each : ends) {
    if (each) continue;
    try {
      std::rethrow_exception(each.exception());
    } catch (const cancelled_error&) {
    } catch (...) {
      loop_of(core).call_exception_handler(exception_context(
          "an error occurred during closing of asynchronous generator", each.exception()));
    }
  }
}

}  // namespace

void* generator_promise_base::frame() noexcept {
  // As promise_of in task.cpp, the other way round.
  return reinterpret_cast<char*>(this) - 2 * sizeof(void*);
}

generator_promise_base::~generator_promise_base() {
  if (owner != nullptr) *owner = nullptr;
  if (keeper != nullptr) *keeper = nullptr;
  if (loop != nullptr) {
    unlink(*loop, *this);
    detail::release(*loop);
  }
}

bool resume_generator(generator_promise_base& generator, coro_promise_base& by, void* parent) {
  loop_core& core = *by.task->core;
  if (generator.running) throw std::logic_error("the asynchronous generator is already running");
  if (!generator.started) {
    if (core.generators_shut_down) {
      log(log_level::warning,
          "an asynchronous generator was scheduled after loop.shutdown_asyncgens()");
    }
    generator.started = true;
    generator.loop = &core;
    ++core.references;
    link(core, generator);
  } else if (generator.loop != &core) {
    throw std::logic_error("the asynchronous generator belongs to another loop");
  }
  generator.running = true;
  generator.task = by.task;
  generator.continuation = parent;
  if (!may_descend(core)) [[unlikely]] {
    core.next_frame = generator.frame();
    return true;
  }
  std::coroutine_handle<>::from_address(generator.frame()).resume();
  if (core.next_frame != parent) return true;
  core.next_frame = nullptr;
  return false;
}

void settle_generator(generator_promise_base& generator) {
  loop_core& core = *generator.loop;
  if (generator.finished) unlink(core, generator);
  if (core.exception) [[unlikely]]
    std::rethrow_exception(std::exchange(core.exception, nullptr));
}

void release_generator(generator_promise_base& generator) noexcept {
  generator.running = false;
  if (is_unowned(generator)) drop_generator(generator);
}

coro<void> close_generator(generator_promise_base* generator) {
  if (generator == nullptr) co_return;
  if (generator->running) {
    throw std::logic_error("aclose(): the asynchronous generator is already running");
  }
  if (generator->finished) co_return;
  if (!generator->started) {
    generator->finished = true;
    co_return;
  }
  generator->closing = true;
  try {
    closing_awaiter end(*generator);
    co_await end;
  } catch (const generator_exit&) {
  }
  if (!generator->finished) {
    generator->closing = false;
    throw std::logic_error("the asynchronous generator ignored generator_exit");
  }
}

void drop_generator(generator_promise_base& generator) noexcept {
  generator.owner = nullptr;
  generator.orphaned = true;
  if (generator.running || generator.keeper != nullptr) return;
  if (!generator.started || generator.finished || generator.loop->closed) {
    destroy_frame(generator);
    return;
  }
  try {
    generator.loop->loop->call_soon(
        finalizer{generator_ref(generator, &generator_promise_base::owner)});
  } catch (...) {
    log(log_level::warning, "an asynchronous generator was destroyed without being closed");
  }
}

void throw_generator_exit() { throw generator_exit(); }

}  // namespace detail

coro<void> event_loop::shutdown_asyncgens() { return detail::shut_down_generators(*core_); }

}  // namespace v0
}  // namespace rondo
