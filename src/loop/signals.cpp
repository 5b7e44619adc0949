// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Signals: from the handler to the loop, and the dispositions before.
#include <rondo/errors.hpp>
#include <rondo/event_loop.hpp>

#include "../os/fork.hpp"
#include "../os/syscalls.hpp"
#include "inbox.hpp"
#include "loop_internals.hpp"
#include "slow_callbacks.hpp"

#include <fmt/format.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <new>
#include <stdexcept>
#include <system_error>
#include <thread>
#include <utility>

namespace rondo {
inline namespace v0 {
namespace {

void deliver(detail::ready_node& node, event_loop* loop);

/// One handled signal of one loop. It stands in the loop's inbox while an arrival is undelivered,
/// and is freed by the loop's thread only when it does not.
struct registration : detail::ready_node {
  registration(int number, detail::inbox& where) noexcept
      : ready_node(&deliver), signal_number(number), to(&where) {}
  int signal_number;
  detail::inbox* to;
  std::atomic<bool> queued = false;
  bool removed = false;
};

struct slot {
  std::atomic<registration*> current = nullptr;
  std::atomic<int> handlers_inside = 0;
  std::atomic<std::uint32_t> arrivals = 0;
  struct ::sigaction before = {};
};

constexpr int signal_count = 65;  // Linux numbers them 1 to 64

// Read by signal handlers, so constant-initialised and never destroyed.
constinit std::array<slot, signal_count> slots = {};

// Made anew in forked children: another thread of the parent may have held it.
union lock_storage {
  constexpr lock_storage() : lock() {}
  ~lock_storage() {}
  std::mutex lock;
};
constinit lock_storage table_lock;

extern "C" void rondo_on_signal(int number) {
  const int saved = errno;
  slot& mine = slots[static_cast<std::size_t>(number)];
  // Counted, so that a removal in another thread can wait until nobody is in here with the
  // registration.
  mine.handlers_inside.fetch_add(1, std::memory_order_seq_cst);
  if (registration* const found = mine.current.load(std::memory_order_seq_cst); found != nullptr) {
    mine.arrivals.fetch_add(1, std::memory_order_relaxed);
    if (!found->queued.exchange(true, std::memory_order_acq_rel) && !found->to->push(*found)) {
      found->queued.store(false, std::memory_order_release);
    }
  }
  mine.handlers_inside.fetch_sub(1, std::memory_order_release);
  errno = saved;
}

void deliver(detail::ready_node& node, event_loop* loop) {
  auto& arrived = static_cast<registration&>(node);
  // Cleared first: an arrival during the callback is delivered once more.
  arrived.queued.store(false, std::memory_order_release);
  if (arrived.removed) {
    delete &arrived;
    return;
  }
  if (loop == nullptr) return;
  auto& handlers = loop->internals().signals;
  const auto found = handlers.find(arrived.signal_number);
  if (found == handlers.end()) return;
  const detail::block_ref<detail::handle_block> block = found->second;
  const detail::slow_watch watch(loop->core(), "the handler of signal", arrived.signal_number);
  detail::run_repeated(*block, loop);
}

// A child of fork() must not wake its parent, nor swallow signals that nobody will look at.
void reset_in_child() {
  ::new (static_cast<void*>(&table_lock.lock)) std::mutex;
  for (std::size_t number = 1; number < slots.size(); ++number) {
    slot& each = slots[number];
    each.handlers_inside.store(0, std::memory_order_relaxed);
    if (each.current.exchange(nullptr, std::memory_order_relaxed) != nullptr) {
      os::sys.sigaction(static_cast<int>(number), &each.before, nullptr);
    }
  }
}

void install_fork_handler() {
  static const bool once = (os::at_fork_in_child(&reset_in_child), true);
  static_cast<void>(once);
}

[[noreturn]] void throw_bad_signal(int number) {
  throw std::invalid_argument(fmt::format("signal {} cannot be handled", number));
}

}  // namespace

std::uint32_t detail::signal_arrivals(int signal_number) noexcept {
  return slots[static_cast<std::size_t>(signal_number)].arrivals.load(std::memory_order_relaxed);
}

void event_loop::add_signal(int signal_number, detail::block_ref<detail::handle_block> block) {
  check_usable();
  if (signal_number < 1 || signal_number >= signal_count || signal_number == SIGKILL ||
      signal_number == SIGSTOP) {
    throw_bad_signal(signal_number);
  }
  block->bound_context = detail::running_context().snapshot();
  detail::inbox& mine = *internals_->from_threads;
  install_fork_handler();
  {
    const std::lock_guard guard(table_lock.lock);
    slot& place = slots[static_cast<std::size_t>(signal_number)];
    registration* const existing = place.current.load(std::memory_order_relaxed);
    if (existing != nullptr && existing->to != &mine) {
      throw std::logic_error(
          fmt::format("signal {} is handled by another event loop", signal_number));
    }
    if (existing == nullptr) {
      auto made = std::make_unique<registration>(signal_number, mine);
      struct ::sigaction action = {};
      action.sa_handler = &rondo_on_signal;
      action.sa_flags = SA_RESTART;
      sigemptyset(&action.sa_mask);
      place.current.store(made.get(), std::memory_order_seq_cst);
      if (os::sys.sigaction(signal_number, &action, &place.before) != 0) {
        place.current.store(nullptr, std::memory_order_seq_cst);
        if (errno == EINVAL) throw_bad_signal(signal_number);
        throw std::system_error(errno, std::generic_category(),
                                fmt::format("sigaction for signal {}", signal_number));
      }
      static_cast<void>(made.release());
    }
  }
  detail::block_ref<detail::handle_block>& stored = internals_->signals[signal_number];
  if (stored) handle(stored.get()).cancel();
  stored = std::move(block);
}

bool event_loop::remove_signal_handler(int signal_number) {
  if (signal_number < 1 || signal_number >= signal_count) throw_bad_signal(signal_number);
  if (core_->debug && !core_->closed) check_thread();
  const auto found = internals_->signals.find(signal_number);
  if (found == internals_->signals.end()) return false;
  {
    const std::lock_guard guard(table_lock.lock);
    slot& place = slots[static_cast<std::size_t>(signal_number)];
    registration* const mine = place.current.load(std::memory_order_relaxed);
    // In a forked child the slot is empty already.
    if (mine != nullptr && mine->to == internals_->from_threads.get()) {
      os::sys.sigaction(signal_number, &place.before, nullptr);
      place.current.store(nullptr, std::memory_order_seq_cst);
      while (place.handlers_inside.load(std::memory_order_seq_cst) != 0) std::this_thread::yield();
      if (mine->queued.load(std::memory_order_acquire)) {
        mine->removed = true;
      } else {
        delete mine;
      }
    }
  }
  const detail::block_ref<detail::handle_block> removed = std::move(found->second);
  internals_->signals.erase(found);
  handle(removed.get()).cancel();
  return true;
}

}  // namespace v0
}  // namespace rondo
