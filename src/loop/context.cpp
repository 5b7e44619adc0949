// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Contexts: immutable maps of variables, shared until one is set.
#include <rondo/context.hpp>

#include <rondo/detail/context_ref.hpp>
#include <rondo/detail/loop_core.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <stdexcept>
#include <utility>
#include <vector>

namespace rondo {
inline namespace v0 {
namespace detail {

struct context_entry {
  std::uint64_t variable;
  context_value* value;
};

// Sorted by variable. Programs have a handful of variables, so a copy of the whole map per `set` is
// cheaper than a tree.
struct context_map {
  std::atomic<std::uint32_t> references = 1;
  std::vector<context_entry> entries;

  ~context_map() {
    for (const context_entry& each : entries) release(each.value);
  }
};

struct context_object {
  std::atomic<std::uint32_t> references = 1;
  std::atomic<bool> entered = false;
  context_map* map = nullptr;
};

namespace {

void retain_map(context_map* map) noexcept {
  if (map != nullptr) map->references.fetch_add(1, std::memory_order_relaxed);
}
void release_map(context_map* map) noexcept {
  if (map != nullptr && map->references.fetch_sub(1, std::memory_order_acq_rel) == 1) delete map;
}

const context_entry* find_entry(const context_map& map, std::uint64_t variable) noexcept {
  const auto found = std::lower_bound(
      map.entries.begin(), map.entries.end(), variable,
      [](const context_entry& each, std::uint64_t wanted) { return each.variable < wanted; });
  if (found == map.entries.end() || found->variable != variable) return nullptr;
  return &*found;
}

// The context of a thread that runs no loop. Usable to the very end: destructors of static objects
// run after those of the main thread's variables, so what is destroyed then is only emptied.
union thread_context_holder {
  constexpr thread_context_holder() noexcept : context() {}
  ~thread_context_holder() {}  // NOLINT: must stay what it is
  context_ref context;
};
constinit thread_local thread_context_holder thread_context;

struct thread_context_cleanup {
  ~thread_context_cleanup() { thread_context.context = context_ref(); }
};

context_ref& own_context() noexcept {
  static thread_local const thread_context_cleanup at_exit;
  static_cast<void>(&at_exit);
  return thread_context.context;
}

}  // namespace

void release(context_value* value) noexcept {
  if (value != nullptr && value->references.fetch_sub(1, std::memory_order_acq_rel) == 1) {
    value->destroy(value);
  }
}

context_ref context_ref::of_map(context_map* map) noexcept {
  context_ref result;
  result.bits_ = reinterpret_cast<std::uintptr_t>(map);
  return result;
}
context_ref context_ref::of_object(context_object* object) noexcept {
  context_ref result;
  result.bits_ = reinterpret_cast<std::uintptr_t>(object) | 1U;
  return result;
}
context_object* context_ref::object() const noexcept {
  return (bits_ & 1U) != 0 ? reinterpret_cast<context_object*>(bits_ & ~std::uintptr_t{1})
                           : nullptr;
}
context_map* context_ref::map() const noexcept {
  if (context_object* const mine = object(); mine != nullptr) return mine->map;
  return reinterpret_cast<context_map*>(bits_);
}
void context_ref::set_map(context_map* map) noexcept {
  if (context_object* const mine = object(); mine != nullptr) {
    release_map(std::exchange(mine->map, map));
  } else {
    release_map(reinterpret_cast<context_map*>(
        std::exchange(bits_, reinterpret_cast<std::uintptr_t>(map))));
  }
}
void context_ref::retain() const noexcept {
  if (context_object* const mine = object(); mine != nullptr) {
    mine->references.fetch_add(1, std::memory_order_relaxed);
  } else {
    retain_map(reinterpret_cast<context_map*>(bits_));
  }
}
void context_ref::release() noexcept {
  if (context_object* const mine = object(); mine != nullptr) {
    if (mine->references.fetch_sub(1, std::memory_order_acq_rel) == 1) {
      release_map(mine->map);
      delete mine;
    }
  } else {
    release_map(reinterpret_cast<context_map*>(bits_));
  }
}
context_ref context_ref::snapshot_of_object() const noexcept {
  context_map* const shared = map();
  retain_map(shared);
  return of_map(shared);
}

std::uint64_t new_context_variable() noexcept {
  static std::atomic<std::uint64_t> last = 0;
  return last.fetch_add(1, std::memory_order_relaxed) + 1;
}

context_ref& running_context() noexcept {
  thread_state& thread = this_thread();
  return thread.context != nullptr ? *thread.context : own_context();
}

context_value* find(const context_ref& where, std::uint64_t variable) noexcept {
  const context_map* const map = where.map();
  if (map == nullptr) return nullptr;
  const context_entry* const found = find_entry(*map, variable);
  return found == nullptr ? nullptr : found->value;
}

void assign(context_ref& where, std::uint64_t variable, context_value* value) {
  // From here on the reference to `value` is owned, also when an allocation fails.
  std::unique_ptr<context_value, void (*)(context_value*) noexcept> owned(
      value, [](context_value* each) noexcept { detail::release(each); });
  auto changed = std::make_unique<context_map>();
  const context_map* const old = where.map();
  changed->entries.reserve((old == nullptr ? 0 : old->entries.size()) + 1);
  if (old != nullptr) {
    for (const context_entry& each : old->entries) {
      if (each.variable == variable) continue;
      each.value->references.fetch_add(1, std::memory_order_relaxed);
      changed->entries.push_back(each);
    }
  }
  if (owned) {
    const auto at = std::lower_bound(
        changed->entries.begin(), changed->entries.end(), variable,
        [](const context_entry& each, std::uint64_t wanted) { return each.variable < wanted; });
    changed->entries.insert(at, context_entry{variable, owned.release()});
  }
  where.set_map(changed.release());
}

void throw_unset_variable(const std::string& name) {
  throw std::out_of_range(fmt::format("context variable '{}' has no value", name));
}
void throw_wrong_token(const std::string& name) {
  throw std::logic_error(
      fmt::format("the token was used already or is not one of context variable '{}'", name));
}
void throw_context_entered() { throw std::logic_error("the context is already entered"); }

}  // namespace detail

context::context() : ref_(detail::context_ref::of_object(new detail::context_object)) {}

context::context(detail::context_ref ref) {
  if (ref.object() != nullptr) {
    ref_ = std::move(ref);
    return;
  }
  ref_ = detail::context_ref::of_object(new detail::context_object);
  detail::context_map* const map = ref.map();
  detail::retain_map(map);
  ref_.set_map(map);
}

context context::copy() const { return context(ref_.snapshot()); }

context::entered_scope::entered_scope(const context& entered)
    : ref_(entered.ref_), outer_(detail::this_thread().context) {
  if (ref_.object()->entered.exchange(true)) detail::throw_context_entered();
  detail::this_thread().context = &ref_;
}
context::entered_scope::~entered_scope() {
  detail::this_thread().context = outer_;
  ref_.object()->entered = false;
}

context copy_context() { return context(detail::running_context().snapshot()); }

}  // namespace v0
}  // namespace rondo
