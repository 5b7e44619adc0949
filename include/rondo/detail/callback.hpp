// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  A callable with its arguments, its context and its place in a queue.
#pragma once

#include <rondo/detail/context_ref.hpp>
#include <rondo/detail/export.hpp>
#include <rondo/detail/memory.hpp>
#include <rondo/detail/timer_heap.hpp>

#include <atomic>
#include <concepts>
#include <cstdint>
#include <functional>
#include <new>
#include <source_location>
#include <type_traits>
#include <typeinfo>
#include <utility>

namespace rondo {
inline namespace v0 {
template <class T>
class coro;

namespace detail {
struct loop_core;

enum class callback_operation : std::uint8_t {
  invoke,
  destroy,
  deallocate,
  identify  // leaves the type of the callable in the loop_core; it may be destroyed already
};

/// What a handle names. It is alive while handles name it or a queue holds it.
struct handle_block : timer_node {
  using operate_function = void (*)(handle_block&, callback_operation);

  handle_block(run_function run_as, operate_function how, loop_core& where) noexcept
      : timer_node(run_as), operate(how), core(&where) {}

  std::uint32_t references = 1;
  bool holds_callable = true;
  bool cancelled = false;
  bool running = false;
  bool queued = false;    // for callbacks that run repeatedly: stands in the ready queue
  bool orphaned = false;  // and was removed meanwhile, so that the queue owns a reference
  operate_function operate;
  loop_core* core;
  context_ref bound_context;
  std::source_location made_at;  // line 0: unknown
};

struct timer_block : handle_block {
  using handle_block::handle_block;
  std::int64_t when = 0;
};

/// The same for callbacks that other threads schedule; only `references` and `stop` are shared.
struct threadsafe_block : ready_node {
  using operate_function = void (*)(threadsafe_block&, callback_operation);

  threadsafe_block(run_function run_as, operate_function how) noexcept
      : ready_node(run_as), operate(how) {}

  std::atomic<std::uint32_t> references = 1;
  std::atomic<bool> stop = false;
  bool holds_callable = true;
  operate_function operate;
  context_ref bound_context;
};

RONDO_EXPORT void run_handle(ready_node& node, event_loop* loop);
RONDO_EXPORT void run_repeated(ready_node& node, event_loop* loop);
/// Ends a callback that runs repeatedly, whether it stands in the ready queue or not.
RONDO_EXPORT void retire_repeated(handle_block& block) noexcept;
RONDO_EXPORT void run_threadsafe(ready_node& node, event_loop* loop);
RONDO_EXPORT void destroy_callable(handle_block& block) noexcept;

inline void retain(handle_block& block) noexcept { ++block.references; }
inline void release(handle_block& block) noexcept {
  if (--block.references == 0) {
    if (block.holds_callable) destroy_callable(block);
    block.operate(block, callback_operation::deallocate);
  }
}
RONDO_EXPORT void release(threadsafe_block& block) noexcept;

/// Owns one reference to a block.
template <class Block>
class block_ref {
 public:
  constexpr block_ref() noexcept = default;
  explicit block_ref(Block* shared) noexcept : block_(shared) {
    if (block_ != nullptr) retain(*block_);
  }
  block_ref(const block_ref& other) noexcept : block_ref(other.block_) {}
  block_ref(block_ref&& other) noexcept : block_(std::exchange(other.block_, nullptr)) {}
  block_ref& operator=(block_ref other) noexcept {
    std::swap(block_, other.block_);
    return *this;
  }
  ~block_ref() {
    if (block_ != nullptr) release(*block_);
  }

  [[nodiscard]] static block_ref adopt(Block* owned) noexcept {
    block_ref result;
    result.block_ = owned;
    return result;
  }
  [[nodiscard]] Block* get() const noexcept { return block_; }
  [[nodiscard]] Block* detach() noexcept { return std::exchange(block_, nullptr); }
  Block& operator*() const noexcept { return *block_; }
  Block* operator->() const noexcept { return block_; }
  explicit operator bool() const noexcept { return block_ != nullptr; }

 private:
  Block* block_ = nullptr;
};

template <class T>
inline constexpr bool is_coro = false;
template <class T>
inline constexpr bool is_coro<coro<T>> = true;

RONDO_EXPORT void identify(handle_block& block, const std::type_info& callable) noexcept;

/// A block of kind `Base` together with its callable; reports name that by the type `Named`.
template <class Base, bool repeated, class F, class Named = F>
struct callback final : Base {
  template <class... Args>
  explicit callback(F&& callable, Args&&... base)
      : Base(std::forward<Args>(base)...), function(std::move(callable)) {}
  ~callback() {}
  callback(const callback&) = delete;
  callback& operator=(const callback&) = delete;

  union {
    F function;
  };

  template <class Block>
  static void operate(Block& block, callback_operation what) {
    callback& self = static_cast<callback&>(static_cast<Base&>(block));
    // No switch: that becomes an indirect jump. The destructor of most callables does nothing.
    if (what == callback_operation::destroy) {
      self.function.~F();
    } else if (what == callback_operation::invoke) {
      self.function();
    } else if (what == callback_operation::deallocate) {
      self.~callback();
      deallocate(&self);
    } else if constexpr (std::derived_from<Base, handle_block>) {
      identify(self, typeid(Named));
    }
  }

  [[nodiscard]] static void* allocate() {
    if constexpr (alignof(callback) > 16) {
      return ::operator new(sizeof(callback), std::align_val_t(alignof(callback)));
    } else {
      return allocate_block(sizeof(callback));
    }
  }
  static void deallocate(void* memory) noexcept {
    if constexpr (alignof(callback) > 16) {
      ::operator delete(memory, std::align_val_t(alignof(callback)));
    } else {
      free_block(memory, sizeof(callback));
    }
  }
};

/// A new block; moving the callable into it may throw.
template <class Block, class F, class... Args>
[[nodiscard]] Block* make_callback(F&& bound, Args&&... base) {
  void* const memory = Block::allocate();
  try {
    return ::new (memory) Block(std::move(bound), std::forward<Args>(base)...);
  } catch (...) {
    Block::deallocate(memory);
    throw;
  }
}

template <class Result>
constexpr void refuse_coroutine() {
  static_assert(!is_coro<std::remove_cvref_t<Result>>,
                "coroutines cannot be used as callbacks: nobody would await them; use create_task");
}

/// Packs a callable that runs once with its arguments; both are moved into the call.
template <class F, class... Args>
[[nodiscard]] auto bind_once(F&& f, Args&&... args) {
  refuse_coroutine<std::invoke_result_t<std::decay_t<F>, std::decay_t<Args>...>>();
  return [function = std::decay_t<F>(std::forward<F>(f)),
          ... arguments = std::decay_t<Args>(std::forward<Args>(args))]() mutable {
    static_cast<void>(std::invoke(std::move(function), std::move(arguments)...));
  };
}

/// Packs a callable that runs any number of times.
template <class F, class... Args>
[[nodiscard]] auto bind_repeated(F&& f, Args&&... args) {
  refuse_coroutine<std::invoke_result_t<std::decay_t<F>&, std::decay_t<Args>&...>>();
  return [function = std::decay_t<F>(std::forward<F>(f)),
          ... arguments = std::decay_t<Args>(std::forward<Args>(args))]() mutable {
    static_cast<void>(std::invoke(function, arguments...));
  };
}

template <class Base, bool repeated, class Named, class F>
[[nodiscard]] block_ref<Base> make_handle_block(loop_core& core, F&& bound) {
  using block = callback<Base, repeated, std::remove_cvref_t<F>, Named>;
  return block_ref<Base>::adopt(make_callback<block>(std::forward<F>(bound),
                                                     repeated ? &run_repeated : &run_handle,
                                                     &block::template operate<handle_block>, core));
}

template <class F>
[[nodiscard]] threadsafe_block* make_threadsafe_block(F&& bound) {
  using block = callback<threadsafe_block, false, std::remove_cvref_t<F>>;
  return make_callback<block>(std::forward<F>(bound), &run_threadsafe,
                              &block::template operate<threadsafe_block>);
}

}  // namespace detail
}  // namespace v0
}  // namespace rondo
