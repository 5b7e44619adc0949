// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  as_completed: futures in the order in which they are done.
#pragma once

#include <rondo/coro.hpp>
#include <rondo/detail/export.hpp>
#include <rondo/detail/future_core.hpp>
#include <rondo/detail/task_core.hpp>
#include <rondo/ensure_future.hpp>
#include <rondo/interval.hpp>

#include <coroutine>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

namespace rondo {
inline namespace v0 {
namespace detail {

struct completion_block;

/// The untyped part of a completion_stream. Copies name the same one.
class RONDO_EXPORT completions {
 public:
  /// @throws std::invalid_argument  the futures are of different loops
  completions(std::vector<core_ref<future_core>> futures, std::optional<interval> timeout);
  completions(const completions& other) noexcept;
  completions(completions&& other) noexcept;
  completions& operator=(completions other) noexcept;
  ~completions();

  /// Whether there is nothing to wait for: something is done, or nothing is left, or the time is
  /// up.
  [[nodiscard]] bool ready() const;
  /// The next one, empty if nothing is left. @throws timeout_error
  [[nodiscard]] core_ref<future_core> take() const;

 private:
  friend class completion_awaiter;
  completion_block* block_;
};

/// Waits until one of them is done or the time is up.
class RONDO_EXPORT completion_awaiter : public suspension {
 public:
  using rondo_awaiter = void;

  explicit completion_awaiter(const completions& of) noexcept;
  completion_awaiter(const completion_awaiter&) = delete;
  completion_awaiter& operator=(const completion_awaiter&) = delete;
  ~completion_awaiter();

  [[nodiscard]] bool await_ready() const noexcept { return false; }
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> frame) {
    begin(*frame.promise().task, frame.address());
  }
  void await_resume() const;

  task_core* task = nullptr;
  completion_awaiter* next = nullptr;  // in the queue of those who wait
  bool waits = false;                  // it stands there

 private:
  static bool request_cancel(suspension& self, task_core& by);
  void begin(task_core& by, void* frame);

  completions on_;
};

template <class F>
coro<std::optional<F>> run_next(completions of) {
  while (!of.ready()) {
    completion_awaiter more(of);
    co_await more;
  }
  core_ref<future_core> done = of.take();
  std::optional<F> result;
  if (done) result.emplace(std::move(done));
  co_return result;
}

}  // namespace detail

/// The futures or tasks that `as_completed` was given, in the order in which they are done.
/// Move-only.
template <class F>
class [[nodiscard]] completion_stream {
 public:
  completion_stream(completion_stream&&) noexcept = default;
  completion_stream& operator=(completion_stream&&) noexcept = default;
  ~completion_stream() = default;

  /// The next one that is done; nullopt when all have been taken. Several tasks may wait; they are
  /// served in order.
  /// @throws timeout_error  the time is up, all that are done have been taken, and something is
  /// outstanding
  [[nodiscard]] coro<std::optional<F>> next() { return detail::run_next<F>(state_); }

  // For the library.
  explicit completion_stream(detail::completions state) noexcept : state_(std::move(state)) {}

 private:
  detail::completions state_;
};

/// Awaits many awaitables at once: `while (auto t = co_await it.next())` gets each one as it is
/// done, as the future or task that it is. Coroutines become tasks, in the order of the range, at
/// the call. One that is named twice comes once.
///
/// Neither a timeout nor cancelling the task that asks cancels any of them.
/// @param timeout  from the call on; `next()` throws timeout_error when it is over and something is
/// outstanding
///
/// @par asyncio
/// `asyncio.as_completed`
/// @par Thread safety
/// The loop's thread only.
template <detail::awaitable_range R>
auto as_completed(R&& range, std::optional<interval> timeout = {}) {
  using element = detail::range_element<R>;
  detail::check_awaitable<element>();
  using handle_type = decltype(detail::as_handle(std::declval<element>()));
  std::vector<detail::core_ref<detail::future_core>> cores;
  if constexpr (std::ranges::sized_range<R>) cores.reserve(std::ranges::size(range));
  detail::for_each_awaitable(std::forward<R>(range), [&cores](element&& each) {
    cores.push_back(detail::as_handle(static_cast<element&&>(each)).core());
  });
  return completion_stream<handle_type>(detail::completions(std::move(cores), timeout));
}

}  // namespace v0
}  // namespace rondo
