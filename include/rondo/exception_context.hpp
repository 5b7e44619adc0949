// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  What an exception handler is told.
#pragma once

#include <rondo/future.hpp>
#include <rondo/handle.hpp>
#include <rondo/task.hpp>

#include <exception>
#include <string>

namespace rondo {
inline namespace v0 {
class base_protocol;
class base_transport;
class socket;

/// An error that nobody awaits, and what it belongs to. Unset members are empty or null.
///
/// @par asyncio
/// The `context` dictionary of `loop.call_exception_handler`.
struct exception_context {
  std::string message;
  std::exception_ptr exception;
  any_future future;
  any_task task;
  rondo::handle handle;
  base_protocol* protocol = nullptr;
  base_transport* transport = nullptr;
  rondo::socket* socket = nullptr;

  exception_context() = default;
  explicit exception_context(std::string text, std::exception_ptr error = nullptr)
      : message(std::move(text)), exception(std::move(error)) {}
};

}  // namespace v0
}  // namespace rondo
