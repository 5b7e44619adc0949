// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Errors that nobody awaits.
#include <rondo/errors.hpp>
#include <rondo/event_loop.hpp>
#include <rondo/log.hpp>

#include "describe.hpp"
#include "loop_internals.hpp"
#include "running_scope.hpp"

#include <fmt/format.h>

#include <exception>
#include <string>
#include <typeinfo>

namespace rondo {
inline namespace v0 {
namespace {

// The text of an exception, whatever it is; its what() may throw, too.
std::string describe(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& exception) {
    try {
      return fmt::format("{}: {}", typeid(exception).name(), exception.what());
    } catch (...) {
      return fmt::format("{}: (no text, what() threw)", typeid(exception).name());
    }
  } catch (const cancelled_error& cancelled) {
    return fmt::format("cancelled_error: {}", cancelled.what());
  } catch (...) {
    return "an exception that is no std::exception";
  }
}

// The context in which a custom handler runs: that of what it is told about.
detail::context_ref* context_of(const exception_context& report) {
  const any_future& owner =
      report.task ? static_cast<const any_future&>(report.task) : report.future;
  if (owner && owner.core()->is_task) {
    return &static_cast<detail::task_core&>(*owner.core()).bound_context;
  }
  if (report.handle) return report.handle.bound();
  return nullptr;
}

}  // namespace

void event_loop::default_exception_handler(const exception_context& report) {
  std::string text = report.message.empty() ? "Unhandled exception in event loop" : report.message;
  if (report.task) {
    const auto& task = static_cast<const detail::task_core&>(*report.task.core());
    text += fmt::format(" [task {}]", detail::describe(task));
  }
  if (report.handle) text += fmt::format(" [{}]", detail::describe(*report.handle.block()));
  if (report.exception) text += ": " + describe(report.exception);
  detail::log(log_level::error, text);
}

void event_loop::call_exception_handler(const exception_context& report) {
  if (!internals_->on_exception) {
    try {
      default_exception_handler(report);
    } catch (const keyboard_interrupt&) {
      throw;
    } catch (const system_exit&) {
      throw;
    } catch (...) {
      detail::log(log_level::error, "Exception in default exception handler");
    }
    return;
  }
  // The handler may replace itself.
  const exception_handler handler = internals_->on_exception;
  try {
    detail::context_ref* const bound = context_of(report);
    if (bound != nullptr) {
      const detail::context_scope scope(detail::this_thread(), *bound);
      handler(*this, report);
    } else {
      handler(*this, report);
    }
  } catch (const keyboard_interrupt&) {
    throw;
  } catch (const system_exit&) {
    throw;
  } catch (...) {
    exception_context nested("Unhandled error in exception handler", std::current_exception());
    nested.message += fmt::format(" (while it was told of: {})", report.message);
    if (report.exception) nested.message += fmt::format(" [{}]", describe(report.exception));
    try {
      default_exception_handler(nested);
    } catch (const keyboard_interrupt&) {
      throw;
    } catch (const system_exit&) {
      throw;
    } catch (...) {
      detail::log(log_level::error,
                  "Exception in default exception handler while handling an unexpected error in "
                  "custom exception handler");
    }
  }
}

}  // namespace v0
}  // namespace rondo
