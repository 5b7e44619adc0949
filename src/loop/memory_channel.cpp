// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Who is woken when, in memory channels.
#include <rondo/memory_channel.hpp>

#include <stdexcept>

namespace rondo {
inline namespace v0 {
namespace detail {
namespace {

// They find that they were not served.
void dismiss(waiter_list& line) noexcept {
  while (!line.empty()) {
    waiter& first = line.front();
    first.unlink();
    first.wake();
  }
}

}  // namespace

channel_core::channel_core(std::ptrdiff_t most) : limit(static_cast<std::size_t>(most)) {
  if (most < 0) throw std::invalid_argument("a channel's buffer size must not be negative");
}

memory_channel_statistics channel_core::statistics() const noexcept {
  memory_channel_statistics result;
  result.current_buffer_used = buffered;
  result.max_buffer_size = limit;
  result.open_senders = open_senders;
  result.open_receivers = open_receivers;
  result.tasks_waiting_send = senders_waiting.count();
  result.tasks_waiting_receive = receivers_waiting.count();
  return result;
}

void channel_core::serve(waiter& first) noexcept {
  first.unlink();
  static_cast<served_waiter&>(first).served = true;
  first.wake();
}

void channel_core::offer() noexcept {
  while (unclaimed() > 0 && !receivers_waiting.empty()) {
    ++claimed;
    serve(receivers_waiting.front());
  }
}

void channel_core::close_sender() noexcept {
  if (--open_senders == 0) dismiss(receivers_waiting);
}

void channel_core::close_receiver() noexcept {
  if (--open_receivers > 0) return;
  dismiss(senders_waiting);
  dismiss(receivers_waiting);
}

void throw_closed_channel() { throw closed_channel_error(); }

}  // namespace detail
}  // namespace v0
}  // namespace rondo
