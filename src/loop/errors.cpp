// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Exception classes and their texts.
#include <rondo/errors.hpp>

#include <rondo/detail/future_core.hpp>
#include <rondo/interval.hpp>

#include "../os/syscalls.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <stdexcept>
#include <utility>

namespace rondo {
inline namespace v0 {

// Destructors are here so that each class has one vtable and one type_info in the whole process.
cancelled_error::cancelled_error(std::string message) : message_(std::move(message)) {}
cancelled_error::cancelled_error(const cancelled_error&) = default;
cancelled_error::cancelled_error(cancelled_error&&) noexcept = default;
cancelled_error& cancelled_error::operator=(const cancelled_error&) = default;
cancelled_error& cancelled_error::operator=(cancelled_error&&) noexcept = default;
cancelled_error::~cancelled_error() = default;
const char* cancelled_error::what() const noexcept {
  return message_.empty() ? "cancelled" : message_.c_str();
}

keyboard_interrupt::keyboard_interrupt() noexcept = default;
keyboard_interrupt::keyboard_interrupt(const keyboard_interrupt&) noexcept = default;
keyboard_interrupt& keyboard_interrupt::operator=(const keyboard_interrupt&) noexcept = default;
keyboard_interrupt::~keyboard_interrupt() = default;
const char* keyboard_interrupt::what() const noexcept { return "keyboard interrupt"; }

system_exit::system_exit(int exit_code) noexcept : code(exit_code) {}
system_exit::system_exit(const system_exit&) noexcept = default;
system_exit& system_exit::operator=(const system_exit&) noexcept = default;
system_exit::~system_exit() = default;
const char* system_exit::what() const noexcept { return "system exit"; }

invalid_state_error::invalid_state_error(const std::string& what) : std::logic_error(what) {}
invalid_state_error::~invalid_state_error() = default;

loop_closed_error::loop_closed_error() : std::logic_error("Event loop is closed") {}
loop_closed_error::loop_closed_error(const std::string& what) : std::logic_error(what) {}
loop_closed_error::~loop_closed_error() = default;

loop_running_error::loop_running_error(const std::string& what) : std::logic_error(what) {}
loop_running_error::~loop_running_error() = default;

not_supported_error::not_supported_error(const std::string& what) : std::logic_error(what) {}
not_supported_error::~not_supported_error() = default;

broken_barrier_error::broken_barrier_error(const std::string& what) : std::logic_error(what) {}
broken_barrier_error::~broken_barrier_error() = default;

queue_shut_down::queue_shut_down() : std::logic_error("the queue is shut down") {}
queue_shut_down::~queue_shut_down() = default;

closed_channel_error::closed_channel_error()
    : std::logic_error("this end of the channel is closed") {}
closed_channel_error::~closed_channel_error() = default;

queue_empty::queue_empty() : std::runtime_error("the queue is empty") {}
queue_empty::~queue_empty() = default;

queue_full::queue_full() : std::runtime_error("the queue is full") {}
queue_full::~queue_full() = default;

would_block::would_block() : std::runtime_error("it would have to wait") {}
would_block::~would_block() = default;

end_of_channel::end_of_channel()
    : std::runtime_error("every sender is closed and every item taken") {}
end_of_channel::~end_of_channel() = default;

broken_channel_error::broken_channel_error()
    : std::runtime_error("every receiver of the channel is closed") {}
broken_channel_error::~broken_channel_error() = default;

incomplete_read_error::incomplete_read_error(std::string partial_bytes,
                                             std::optional<std::size_t> expected_bytes)
    : std::runtime_error(
          expected_bytes
              ? fmt::format("{} bytes read on a total of {} expected bytes", partial_bytes.size(),
                            *expected_bytes)
              : fmt::format("{} bytes read before the stream ended without the separator",
                            partial_bytes.size())),
      partial(std::move(partial_bytes)),
      expected(expected_bytes) {}
incomplete_read_error::incomplete_read_error(const incomplete_read_error&) = default;
incomplete_read_error::~incomplete_read_error() = default;

limit_overrun_error::limit_overrun_error(const std::string& what, std::size_t consumed_bytes)
    : std::runtime_error(what), consumed(consumed_bytes) {}
limit_overrun_error::~limit_overrun_error() = default;

timeout_error::timeout_error() : timeout_error("the time was up") {}
timeout_error::timeout_error(const std::string& what)
    : std::system_error(ETIMEDOUT, std::generic_category(), what) {}
timeout_error::~timeout_error() = default;

resolve_error::resolve_error(int code, const std::string& what)
    : std::system_error(code, resolve_category(), what) {}
resolve_error::~resolve_error() = default;

const std::error_category& resolve_category() noexcept {
  class category final : public std::error_category {
   public:
    [[nodiscard]] const char* name() const noexcept override { return "resolve"; }
    [[nodiscard]] std::string message(int code) const override {
      return os::sys.gai_strerror(code);
    }
  };
  static const category instance;
  return instance;
}

namespace detail {

void throw_not_a_number() { throw std::invalid_argument("a time that is not a number"); }

}  // namespace detail
}  // namespace v0
}  // namespace rondo
