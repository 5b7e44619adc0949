// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Running a program's main coroutine.
#pragma once

#include <rondo/context.hpp>
#include <rondo/coro.hpp>
#include <rondo/detail/export.hpp>
#include <rondo/event_loop.hpp>
#include <rondo/task.hpp>

#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

namespace rondo {
inline namespace v0 {

/// How `run` and `runner` set their loop up.
struct run_options {
  std::optional<bool> debug = {};  ///< unset: as RONDO_DEBUG says
  std::unique_ptr<event_loop> (*loop_factory)() =
      nullptr;  ///< null: new_event_loop; wins over RONDO_LOOP
};
static_assert(std::is_trivially_copyable_v<run_options>);

/// Keeps one loop and one context for several main coroutines, then cleans up.
///
/// The first Ctrl-C during `run` in the main thread cancels the coroutine; if that ends it, `run`
/// throws keyboard_interrupt. The second one leaves the loop at once. A program with its own SIGINT
/// handler keeps it.
///
/// @par asyncio
/// `asyncio.Runner`
/// @par Thread safety
/// One thread.
class RONDO_EXPORT runner {
 public:
  explicit runner(run_options options = {});
  /// On a loop of one's own.
  explicit runner(std::unique_ptr<event_loop> loop, run_options options = {});
  runner(const runner&) = delete;
  runner& operator=(const runner&) = delete;
  /// Closes, and reports what goes wrong with it.
  ~runner();

  /// Runs a coroutine to its end and returns its result, or throws its exception.
  /// @throws loop_running_error  a loop runs in this thread
  /// @throws std::logic_error  the runner is closed
  template <class T>
  T run(coro<T> body, const context* bound = nullptr) {
    begin();
    const task<T> main = get_loop().create_task(
        std::move(body), task_options{{}, bound != nullptr ? bound : &*context_, {}});
    drive(*main.core());
    return detail::take_result<T>(main);
  }

  /// Cancels what is left, waits for it and for the calls of the default executor (300 s at most),
  /// and closes the loop. Idempotent.
  void close();

  /// The loop, made at the first use.
  event_loop& get_loop();

 private:
  void begin();
  void drive(detail::future_core& main);

  run_options options_;
  std::unique_ptr<event_loop> loop_;
  std::optional<context> context_;
  bool set_up_ = false;
  bool closed_ = false;
};

/// Runs a program's main coroutine on a loop of its own: afterwards the tasks that are left are
/// cancelled and awaited, and the loop is closed.
///
/// @throws loop_running_error  a loop runs in this thread
/// @throws keyboard_interrupt  the user interrupted the program
///
/// @par asyncio
/// `asyncio.run`
template <class T>
T run(coro<T> body, run_options options = {}) {
  runner on(options);
  if constexpr (std::is_void_v<T>) {
    on.run(std::move(body));
    on.close();
  } else {
    T result = on.run(std::move(body));
    on.close();
    return result;
  }
}

/// The same for a function that returns a coroutine; it and its arguments are kept alive.
template <class F, class... Args>
  requires detail::coroutine_function<F, Args...>
auto run(F&& function, Args&&... arguments) {
  return run(detail::invoke_kept<std::decay_t<F>, std::decay_t<Args>...>(
      std::forward<F>(function), std::forward<Args>(arguments)...));
}

}  // namespace v0
}  // namespace rondo
