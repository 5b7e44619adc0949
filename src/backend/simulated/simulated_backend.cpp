// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  The backend of a virtual loop: its clock, and the order of what is
// ready.
#include "backend/simulated/simulated_backend.hpp"

#include <rondo/detail/callback.hpp>
#include <rondo/detail/task_core.hpp>
#include <rondo/event_loop.hpp>
#include <rondo/sleep.hpp>
#include <rondo/threadsafe_promise.hpp>

#include "backend/simulated/simulated_selector.hpp"

#include <fmt/format.h>

#include <chrono>
#include <iterator>
#include <limits>
#include <memory>
#include <string>
#include <utility>

namespace rondo {
inline namespace v0 {
namespace detail {
namespace {

constexpr std::int64_t never = std::numeric_limits<std::int64_t>::max();
constexpr std::size_t most_listed_tasks = 100;

// What a node is to the order of a batch. The numbers are part of the trace.
enum class node_kind : std::uint8_t {
  urgent,   // cancels before anybody else runs
  ordered,  // of the library's own, where one may rely on an older one; calls of other threads
  task,
  callback,
  timer,
};

node_kind kind_of(const ready_node& node) noexcept {
  if (node.run == &step_task) return node_kind::task;
  if (node.run == &run_handle || node.run == &run_repeated) return node_kind::callback;
  if (node.run == &wake_sleeper || node.run == &expire_later) return node_kind::timer;
  if (node.run == &expire_soon) return node_kind::urgent;
  return node_kind::ordered;
}

std::unique_ptr<selector> make_selector(const testing::virtual_options& options) {
  if (options.real_io) return std::make_unique<epoll_selector>();
  return std::make_unique<simulated_selector>();
}

}  // namespace

simulated_backend::simulated_backend(const testing::virtual_options& options)
    : selector_backend(make_selector(options)),
      options_(options),
      order_(options.seed),
      for_tests_(mix(options.seed + 1)) {
  trace_.add(options.seed);
}

simulated_backend::~simulated_backend() = default;

std::string_view simulated_backend::name() const noexcept { return "simulated"; }

// A host program that polled it would see neither the clock's jumps nor what is simulated.
int simulated_backend::descriptor() const noexcept { return -1; }

void simulated_backend::attach(event_loop& loop) {
  selector_backend::attach(loop);
  owner_ = &loop;
  loop.internals().arranger = this;
}

// ---- time --------------------------------------------------------------------------

void simulated_backend::poll(std::optional<interval> wait) {
  selector_backend::poll(interval());
  const loop_core& core = owner_->core();
  if ((wait && wait->count() == 0) || !core.ready.empty()) return;
  if (owner_->internals().from_threads->has_work()) return;
  if (core.jobs != 0) {
    selector_backend::poll(std::nullopt);
    return;
  }
  // What is due at the end of time is never due.
  if (wait && (core.timers.empty() || core.timers.earliest() != never)) {
    advance(*wait);
    return;
  }
  if (!options_.real_io && !waits_for_threads()) report_deadlock();
  selector_backend::poll(std::nullopt);
}

bool simulated_backend::waits_for_threads() const noexcept {
  const loop_resource* const first = owner_->core().resources;
  for (const loop_resource* each = first; each != nullptr;) {
    if (dynamic_cast<const promise_block*>(each) != nullptr) return true;
    each = each->next_resource == first ? nullptr : each->next_resource;
  }
  return false;
}

void simulated_backend::report_deadlock() const {
  const std::chrono::duration<double> seconds = now_.time_since_epoch();
  std::string text =
      fmt::format("deadlock after {:.3f} s: nothing can happen any more", seconds.count());
  const task_core* const first = owner_->core().tasks;
  std::size_t listed = 0;
  for (const task_core* each = first; each != nullptr;) {
    if (++listed > most_listed_tasks) {
      text += fmt::format("\n  and {} more", owner_->core().task_count - most_listed_tasks);
      break;
    }
    text += fmt::format("\n  {} waits", task_name(*each));
    if (each->leaf != nullptr) {
      // The promise stands behind the two function pointers of a frame, see task.cpp.
      const auto* const promise = reinterpret_cast<const coro_promise_base*>(
          static_cast<const char*>(each->leaf) + 2 * sizeof(void*));
      text += fmt::format(" in {} at {}:{}", promise->where.function_name(),
                          promise->where.file_name(), promise->where.line());
    }
    each = each->next_task == first ? nullptr : each->next_task;
  }
  throw testing::deadlock_error(text);
}

// ---- order -------------------------------------------------------------------------

void simulated_backend::arrange(ready_queue& batch) {
  owner_->internals().poll_next = true;  // as asyncio, in every iteration
  if (batch.empty()) return;
  trace_.add(static_cast<std::uint64_t>(now_.time_since_epoch().count()));
  batch_.clear();
  try {
    while (!batch.empty()) {
      batch_.push_back(nullptr);
      batch_.back() = &batch.pop();
    }
    movable_.reserve(batch_.size());
  } catch (...) {
    for (std::size_t left = batch_.size(); left > 0; --left) {
      if (batch_[left - 1] != nullptr) batch.push_front(*batch_[left - 1]);
    }
    throw;
  }
  if (options_.shuffle && batch_.size() > 1) shuffle();
  for (ready_node* const node : batch_) {
    const node_kind kind = kind_of(*node);
    const std::uint64_t who =
        kind == node_kind::task ? static_cast<const task_core*>(node)->serial : 0;
    trace_.add(who << 8U | static_cast<std::uint64_t>(kind));
    batch.push(*node);
  }
}

// The movable nodes in any order, and the library's own somewhere among them, in their old order.
void simulated_backend::shuffle() {
  movable_.clear();
  std::size_t urgent = 0;
  std::size_t ordered = 0;
  for (ready_node* const node : batch_) {
    switch (kind_of(*node)) {
      case node_kind::urgent:
        // Swapped to the front; what stood there is moved on.
        for (std::size_t i = urgent + ordered; i > urgent; --i) batch_[i] = batch_[i - 1];
        batch_[urgent++] = node;
        break;
      case node_kind::ordered:
        batch_[urgent + ordered++] = node;
        break;
      default:
        movable_.push_back(node);
    }
  }
  for (std::size_t left = movable_.size(); left > 1; --left) {
    std::swap(movable_[left - 1], movable_[order_.below(static_cast<std::uint32_t>(left))]);
  }
  // Merged from behind: there the ordered ones make room.
  std::size_t next_ordered = urgent + ordered;
  std::size_t next_movable = movable_.size();
  for (std::size_t place = batch_.size(); next_movable > 0; --place) {
    const auto left = static_cast<std::uint32_t>(next_ordered - urgent + next_movable);
    if (order_.below(left) < next_movable) {
      batch_[place - 1] = movable_[--next_movable];
    } else {
      batch_[place - 1] = batch_[--next_ordered];
    }
  }
}

}  // namespace detail
}  // namespace v0
}  // namespace rondo
