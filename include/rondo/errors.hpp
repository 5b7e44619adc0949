// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  What is thrown, and by whom it may be caught.
#pragma once

#include <rondo/connect_error.hpp>  // IWYU pragma: export
#include <rondo/detail/export.hpp>
#include <rondo/exception_group.hpp>  // IWYU pragma: export

#include <cstddef>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>

namespace rondo {
inline namespace v0 {

// ---- not derived from std::exception: `catch (const std::exception&)` must not swallow them
// ------

/// The awaiting task was cancelled. A `catch (...)` that meets it must rethrow it.
///
/// @par asyncio
/// `asyncio.CancelledError`
class RONDO_EXPORT cancelled_error {
 public:
  explicit cancelled_error(std::string message = {});
  cancelled_error(const cancelled_error&);
  cancelled_error(cancelled_error&&) noexcept;
  cancelled_error& operator=(const cancelled_error&);
  cancelled_error& operator=(cancelled_error&&) noexcept;
  virtual ~cancelled_error();

  /// What was given to `cancel()`; empty by default.
  [[nodiscard]] const std::string& message() const noexcept { return message_; }
  [[nodiscard]] const char* what() const noexcept;

 private:
  std::string message_;
};

/// The user asked the program to end (Ctrl-C); leaves the loop at once.
///
/// @par asyncio
/// `KeyboardInterrupt`
class RONDO_EXPORT keyboard_interrupt {
 public:
  keyboard_interrupt() noexcept;
  keyboard_interrupt(const keyboard_interrupt&) noexcept;
  keyboard_interrupt& operator=(const keyboard_interrupt&) noexcept;
  virtual ~keyboard_interrupt();
  [[nodiscard]] const char* what() const noexcept;
};

/// The program should end with this exit code; leaves the loop at once.
///
/// @par asyncio
/// `SystemExit`
class RONDO_EXPORT system_exit {
 public:
  explicit system_exit(int exit_code = 0) noexcept;
  system_exit(const system_exit&) noexcept;
  system_exit& operator=(const system_exit&) noexcept;
  virtual ~system_exit();
  [[nodiscard]] const char* what() const noexcept;

  int code;
};

// ---- misuse ------------------------------------------------------------------------

/// A result was asked for that is not there, or was set twice. asyncio: `InvalidStateError`.
class RONDO_EXPORT invalid_state_error : public std::logic_error {
 public:
  explicit invalid_state_error(const std::string& what);
  ~invalid_state_error() override;
};

/// The loop is closed. asyncio: `RuntimeError: Event loop is closed`.
class RONDO_EXPORT loop_closed_error : public std::logic_error {
 public:
  loop_closed_error();
  explicit loop_closed_error(const std::string& what);
  ~loop_closed_error() override;
};

/// The loop, or another one of this thread, runs already. asyncio: `RuntimeError`.
class RONDO_EXPORT loop_running_error : public std::logic_error {
 public:
  explicit loop_running_error(const std::string& what);
  ~loop_running_error() override;
};

/// This transport cannot do that. asyncio: `NotImplementedError`.
class RONDO_EXPORT not_supported_error : public std::logic_error {
 public:
  explicit not_supported_error(const std::string& what);
  ~not_supported_error() override;
};

/// The barrier was aborted or reset. asyncio: `BrokenBarrierError`.
class RONDO_EXPORT broken_barrier_error : public std::logic_error {
 public:
  explicit broken_barrier_error(const std::string& what);
  ~broken_barrier_error() override;
};

/// The queue was shut down. asyncio: `QueueShutDown`.
class RONDO_EXPORT queue_shut_down : public std::logic_error {
 public:
  queue_shut_down();
  ~queue_shut_down() override;
};

/// This end of the channel is closed. anyio: `ClosedResourceError`.
class RONDO_EXPORT closed_channel_error : public std::logic_error {
 public:
  closed_channel_error();
  ~closed_channel_error() override;
};

// ---- queues and channels ---------------------------------------------------------------

/// There is no item to get at once. asyncio: `QueueEmpty`.
class RONDO_EXPORT queue_empty : public std::runtime_error {
 public:
  queue_empty();
  ~queue_empty() override;
};

/// There is no room for an item at once. asyncio: `QueueFull`.
class RONDO_EXPORT queue_full : public std::runtime_error {
 public:
  queue_full();
  ~queue_full() override;
};

/// It cannot be done at once. anyio: `WouldBlock`.
class RONDO_EXPORT would_block : public std::runtime_error {
 public:
  would_block();
  ~would_block() override;
};

/// Every sender is closed and every item taken. anyio: `EndOfStream`.
class RONDO_EXPORT end_of_channel : public std::runtime_error {
 public:
  end_of_channel();
  ~end_of_channel() override;
};

/// Every receiver is closed: nobody will ever take the item. anyio: `BrokenResourceError`.
class RONDO_EXPORT broken_channel_error : public std::runtime_error {
 public:
  broken_channel_error();
  ~broken_channel_error() override;
};

// ---- what happens to data ------------------------------------------------------------

/// The stream ended before all that was asked for arrived. asyncio: `IncompleteReadError`.
class RONDO_EXPORT incomplete_read_error : public std::runtime_error {
 public:
  incomplete_read_error(std::string partial_bytes, std::optional<std::size_t> expected_bytes);
  incomplete_read_error(const incomplete_read_error&);
  ~incomplete_read_error() override;

  std::string partial;                  ///< what was read
  std::optional<std::size_t> expected;  ///< how much was asked for, where that was a number
};

/// The limit of the reader was reached before the separator. asyncio: `LimitOverrunError`.
class RONDO_EXPORT limit_overrun_error : public std::runtime_error {
 public:
  limit_overrun_error(const std::string& what, std::size_t consumed_bytes);
  ~limit_overrun_error() override;

  std::size_t consumed;  ///< bytes before the separator, or searched without finding it
};

/// A process of a pool ended without a result. asyncio:
/// `concurrent.futures.process.BrokenProcessPool`, which breaks the whole pool.
class RONDO_EXPORT broken_process_pool : public std::runtime_error {
 public:
  explicit broken_process_pool(const std::string& what, int killed_by = 0,
                               std::optional<int> exit_status = {});
  ~broken_process_pool() override;

  int signal;                    ///< the number of the signal that killed it, else 0
  std::optional<int> exit_code;  ///< with which it left; empty if it was killed, or if nobody knows
};

// ---- operating system ----------------------------------------------------------------

/// The time was up; its code is ETIMEDOUT. asyncio: `TimeoutError`.
class RONDO_EXPORT timeout_error : public std::system_error {
 public:
  timeout_error();
  explicit timeout_error(const std::string& what);
  ~timeout_error() override;
};

/// A name could not be resolved; its code is an EAI_* value of `resolve_category()`.
///
/// @par asyncio
/// `socket.gaierror`
class RONDO_EXPORT resolve_error : public std::system_error {
 public:
  resolve_error(int code, const std::string& what);
  ~resolve_error() override;
};

/// The category of `resolve_error`: EAI_* values and their texts.
[[nodiscard]] RONDO_EXPORT const std::error_category& resolve_category() noexcept;

}  // namespace v0
}  // namespace rondo
