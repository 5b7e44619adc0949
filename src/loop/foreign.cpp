// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Coroutines of other libraries.
#include <rondo/detail/foreign.hpp>

#include <rondo/detail/done_awaiter.hpp>

#include "waiter_kinds.hpp"

#include <stdexcept>

namespace rondo {
inline namespace v0 {
namespace detail {

void throw_coro_awaited_twice() {
  throw std::logic_error("a coro was awaited that is empty: moved from, or awaited already");
}

bool refuse_cancel(suspension& self, task_core& task) {
  static_cast<void>(self);
  static_cast<void>(task);
  return false;
}

foreign_shim make_foreign_shim() { co_return; }

bool cancel_done_awaiter(suspension& self, task_core& task) {
  auto& awaiter = static_cast<done_awaiter&>(self);
  if (awaiter.linked()) remove_waiter(*awaiter.on, awaiter);
  task.wake_cancelled();
  return true;
}

void wake_done_awaiter(future_waiter& self, future_core* done) {
  if (done != nullptr) static_cast<done_awaiter&>(self).task->wake();
}

namespace {
const waiter_kind done_awaiter_kind(
    &wake_done_awaiter,
    [](future_waiter& self) noexcept -> future_core* {
      return static_cast<done_awaiter&>(self).task;
    },
    waiter_kind::end::needs_this);
}  // namespace

}  // namespace detail
}  // namespace v0
}  // namespace rondo
