// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Which loop is running, which is current, and who makes new ones.
#include <rondo/detail/loop_core.hpp>
#include <rondo/event_loop.hpp>
#include <rondo/policy.hpp>

#include "../backend/selector/selector_backend.hpp"
#include "../os/fork.hpp"
#include "loop_internals.hpp"

#include <fmt/format.h>

#include <cstdlib>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string_view>
#include <utility>

namespace rondo {
inline namespace v0 {
namespace detail {
namespace {
constinit thread_local thread_state state;
}  // namespace

thread_state& this_thread() noexcept { return state; }

bool runs_in_this_thread() noexcept {
  return state.running != nullptr && state.fork_generation == os::fork_generation();
}

// The child of a callback that forked would run the rest of its parent's batch once more.
void stop_children_of_fork() {
  static const bool once = [] {
    os::at_fork_in_child([] {
      event_loop* const loop = state.running;
      if (loop == nullptr || state.fork_generation + 1 != os::fork_generation()) return;
      loop->core().ready.push_front(loop->internals().fork_barrier);
    });
    return true;
  }();
  static_cast<void>(once);
}

}  // namespace detail

selector_event_loop::selector_event_loop()
    : selector_event_loop(std::make_unique<epoll_selector>()) {}
selector_event_loop::selector_event_loop(std::unique_ptr<selector> chosen)
    : event_loop(std::make_unique<detail::selector_backend>(std::move(chosen))) {}
selector_event_loop::~selector_event_loop() = default;

event_loop& get_running_loop() {
  // A child of fork() runs no loop, wherever its parent was.
  if (!detail::runs_in_this_thread()) throw std::logic_error("no running event loop");
  return *detail::this_thread().running;
}

namespace {

std::unique_ptr<event_loop> make_loop() {
  const char* const variable = std::getenv("RONDO_LOOP");
  const std::string_view wanted = variable == nullptr ? "" : variable;
  if (wanted.empty() || wanted == "epoll") return std::make_unique<selector_event_loop>();
  throw std::invalid_argument(
      fmt::format("RONDO_LOOP={}: there is no such loop here; available: epoll", wanted));
}

struct policy_holder {
  std::mutex lock;
  std::unique_ptr<event_loop_policy> policy;
};

// Never destroyed: loops may be made by threads that outlive main.
policy_holder& holder() {
  static policy_holder* const instance = new policy_holder;
  return *instance;
}

}  // namespace

event_loop_policy::~event_loop_policy() = default;
default_event_loop_policy::~default_event_loop_policy() = default;
event_loop* default_event_loop_policy::get_event_loop() { return detail::this_thread().current; }
void default_event_loop_policy::set_event_loop(event_loop* loop) {
  detail::this_thread().current = loop;
}
std::unique_ptr<event_loop> default_event_loop_policy::new_event_loop() { return make_loop(); }

event_loop_policy& get_event_loop_policy() {
  policy_holder& where = holder();
  const std::lock_guard guard(where.lock);
  if (!where.policy) where.policy = std::make_unique<default_event_loop_policy>();
  return *where.policy;
}

void set_event_loop_policy(std::unique_ptr<event_loop_policy> policy) {
  policy_holder& where = holder();
  const std::lock_guard guard(where.lock);
  where.policy = std::move(policy);
}

event_loop* get_event_loop() {
  if (detail::runs_in_this_thread()) return detail::this_thread().running;
  return get_event_loop_policy().get_event_loop();
}
void set_event_loop(event_loop* loop) { get_event_loop_policy().set_event_loop(loop); }
std::unique_ptr<event_loop> new_event_loop() { return get_event_loop_policy().new_event_loop(); }

}  // namespace v0
}  // namespace rondo
