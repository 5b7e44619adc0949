// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  wait: until one or all of several futures are done.
#pragma once

#include <rondo/coro.hpp>
#include <rondo/detail/export.hpp>
#include <rondo/detail/future_core.hpp>
#include <rondo/detail/task_core.hpp>
#include <rondo/ensure_future.hpp>
#include <rondo/interval.hpp>

#include <concepts>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

namespace rondo {
inline namespace v0 {

/// When `wait` returns.
///
/// @par asyncio
/// `asyncio.FIRST_COMPLETED` and its kin.
enum class return_when : std::uint8_t {
  all_completed,    ///< all are done
  first_completed,  ///< one is done
  first_exception,  ///< one ended with an exception (being cancelled is none), or all are done
};

/// How long `wait` waits.
struct wait_options {
  std::optional<interval> timeout = {};  ///< unset: for ever
  return_when when = return_when::all_completed;
};
static_assert(std::is_trivially_copyable_v<wait_options>);

/// What was done when `wait` returned, and what was not; each in the order of the argument.
template <class F>
struct wait_result {
  wait_result() = default;

  std::vector<F> done;
  std::vector<F> pending;
};

namespace detail {

struct wait_block;

/// The futures that handles of any type name.
struct future_list {
  const void* first;
  std::size_t count;
  future_core& (*at)(const void* first, std::size_t n);

  /// @throws std::logic_error  an empty handle
  [[nodiscard]] future_core& operator[](std::size_t n) const { return at(first, n); }
};

template <class F>
[[nodiscard]] future_list list_of(const std::vector<F>& handles) noexcept {
  return {handles.data(), handles.size(), [](const void* first, std::size_t n) -> future_core& {
            const F& handle = static_cast<const F*>(first)[n];
            if constexpr (std::is_same_v<F, core_ref<future_core>>) {
              return *handle;
            } else {
              return *handle.core();
            }
          }};
}

/// Suspends a task until enough futures are done or the time is up; it cancels none of them.
class RONDO_EXPORT wait_awaiter : public suspension {
 public:
  using rondo_awaiter = void;

  /// @throws std::invalid_argument  no future, or an unknown `when`; or one is of another loop
  wait_awaiter(const future_list& futures, const wait_options& options);
  wait_awaiter(const wait_awaiter&) = delete;
  wait_awaiter& operator=(const wait_awaiter&) = delete;
  ~wait_awaiter();

  // It suspends even if all are done, as asyncio's does.
  [[nodiscard]] bool await_ready() const noexcept { return false; }
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> frame) {
    begin(*frame.promise().task, frame.address());
  }
  void await_resume();

 private:
  static bool request_cancel(suspension& self, task_core& task);
  void begin(task_core& by, void* frame);

  wait_block* block_;
};

/// Marks what names a future for the second time; empty if nothing does.
/// @throws std::logic_error  an empty handle
[[nodiscard]] RONDO_EXPORT std::vector<bool> find_duplicates(const future_list& futures);

template <class F>
coro<wait_result<F>> run_wait(std::vector<F> handles, wait_options options) {
  const std::vector<bool> repeated = find_duplicates(list_of(handles));
  {
    wait_awaiter enough(list_of(handles), options);
    co_await enough;
  }
  wait_result<F> result;
  for (std::size_t n = 0; n < handles.size(); ++n) {
    if (!repeated.empty() && repeated[n]) continue;
    std::vector<F>& place = handles[n].done() ? result.done : result.pending;
    place.push_back(std::move(handles[n]));
  }
  co_return result;
}

template <class F>
concept future_handle = requires(const F& handle) {
  { handle.core() } -> std::same_as<const core_ref<future_core>&>;
};

}  // namespace detail

/// Waits until the futures or tasks of a range are done, or as the options say. It neither cancels
/// them nor throws their exceptions, and a timeout is no error. One that is named twice counts
/// once.
///
/// Cancelling the waiting task leaves them alone.
/// @param futures  handles; coroutines have to be made tasks first
/// @throws std::invalid_argument  the range is empty, or a future belongs to another loop
///
/// @par asyncio
/// `asyncio.wait`
/// @par Thread safety
/// The loop's thread only.
template <std::ranges::input_range R>
  requires detail::future_handle<std::ranges::range_value_t<R>>
[[nodiscard]] auto wait(R&& futures, wait_options options = {}) {
  using handle_type = std::ranges::range_value_t<R>;
  std::vector<handle_type> handles;
  if constexpr (std::is_same_v<R, std::vector<handle_type>>) {
    handles = std::forward<R>(futures);
  } else {
    for (auto&& each : futures) handles.push_back(each);
  }
  return detail::run_wait<handle_type>(std::move(handles), options);
}

}  // namespace v0
}  // namespace rondo
