// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Awaiting one operation of the backend.
#include "transport/operation_awaiter.hpp"

#include <cerrno>

namespace rondo {
inline namespace v0 {
namespace detail {

operation_awaiter::operation_awaiter(event_loop& loop, operation_kind what, int descriptor,
                                     void* memory, std::size_t length, int with_flags) noexcept
    : suspension(&on_cancel), loop_(&loop.core()) {
  kind = what;
  fd = descriptor;
  flags = with_flags;
  buffer = memory;
  size = length;
  complete = &on_complete;
}

operation_awaiter::~operation_awaiter() {
  if (started_ && loop_->io != nullptr) loop_->io->abandon(*this);
}

bool operation_awaiter::begin(task_core& by, void* frame) {
  if (loop_->io->start(*this) == backend::start_result::done_inline) return false;
  started_ = true;
  task_ = &by;
  by.suspend(frame, *this);
  return true;
}

void operation_awaiter::on_complete(operation& self) noexcept {
  auto& mine = static_cast<operation_awaiter&>(self);
  mine.started_ = false;
  if (mine.cancelling_) {
    mine.task_->wake_cancelled();
  } else {
    mine.task_->wake();
  }
}

bool operation_awaiter::on_cancel(suspension& self, task_core&) {
  auto& mine = static_cast<operation_awaiter&>(self);
  if (!mine.cancelling_) {
    mine.cancelling_ = true;
    mine.loop_->io->cancel(mine);
  }
  return true;
}

std::int64_t operation_awaiter::await_resume() {
  if (task_ != nullptr) {
    if (result == -ECANCELED) task_->check_cancelled();
    task_->postpone_cancel();
  }
  return result;
}

}  // namespace detail
}  // namespace v0
}  // namespace rondo
