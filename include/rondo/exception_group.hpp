// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Several errors at once.
#pragma once

#include <rondo/detail/export.hpp>

#include <concepts>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace rondo {
inline namespace v0 {

/// Several exceptions that happened side by side, groups among them. Never holds a cancelled_error.
///
/// C++ has no `except*`: `handle` calls a function for each error of a type and returns the rest.
///
/// @par asyncio
/// `ExceptionGroup`
class RONDO_EXPORT exception_group : public std::runtime_error {
 public:
  struct parts;

  /// @param errors  in the order in which they happened
  /// @throws std::invalid_argument  there is none, or one of them is null, or a cancelled_error,
  /// keyboard_interrupt or system_exit
  exception_group(const std::string& message, std::vector<std::exception_ptr> errors);
  exception_group(const exception_group&) noexcept;
  exception_group& operator=(const exception_group&) noexcept;
  ~exception_group() override;

  /// Without the number of exceptions, which `what()` names as well.
  [[nodiscard]] const std::string& message() const noexcept;
  [[nodiscard]] const std::vector<std::exception_ptr>& exceptions() const noexcept;

  /// Takes the group apart: the errors of one of these types, and the rest. Both parts keep the
  /// messages and the nesting. Groups within are taken apart as well, whatever their base classes;
  /// `split<exception_group>` matches as a whole.
  ///
  /// @par asyncio
  /// `ExceptionGroup.split`
  template <class... Errors>
    requires(sizeof...(Errors) > 0)
  [[nodiscard]] parts split() const;

  /// The errors of one of these types, empty if there is none.
  ///
  /// @par asyncio
  /// `ExceptionGroup.subgroup`
  template <class... Errors>
    requires(sizeof...(Errors) > 0)
  [[nodiscard]] std::optional<exception_group> subgroup() const;

  /// Calls `f` with each error of the type, in order, also of those within nested groups; returns
  /// the rest, empty if there is none. What `f` throws gets out at once.
  ///
  /// @par asyncio
  /// `except*`
  template <class Error, std::invocable<const Error&> F>
  std::optional<exception_group> handle(F f) const;

 private:
  struct content;
  using match_function = bool (*)(const std::exception_ptr& error, void* user);

  /// @param whole_groups  nested groups may match, so that they are asked for before they are
  /// taken apart
  parts split_by(match_function matches, void* user, bool whole_groups) const;

  template <class... Errors>
  static constexpr bool names_groups = (std::derived_from<Errors, exception_group> || ...);

  template <class Error>
  [[nodiscard]] const Error* as() const noexcept {
    if constexpr (std::derived_from<Error, exception_group>) {
      return dynamic_cast<const Error*>(this);
    } else {
      return nullptr;
    }
  }

  template <class Error>
  static bool is(const std::exception_ptr& error) {
    try {
      std::rethrow_exception(error);
    } catch (const Error&) {
      return true;
    } catch (...) {
      return false;
    }
  }

  // Shared: copying an exception must not throw.
  std::shared_ptr<const content> content_;
};

/// The two sides of `exception_group::split`, each empty if there is nothing in it.
struct exception_group::parts {
  parts() = default;

  std::optional<exception_group> match;
  std::optional<exception_group> rest;
};

// ---- implementation ----------------------------------------------------------------

template <class... Errors>
  requires(sizeof...(Errors) > 0)
exception_group::parts exception_group::split() const {
  if ((as<Errors>() || ...)) {
    parts whole;
    whole.match = *this;
    return whole;
  }
  return split_by([](const std::exception_ptr& error, void*) { return (is<Errors>(error) || ...); },
                  nullptr, names_groups<Errors...>);
}

template <class... Errors>
  requires(sizeof...(Errors) > 0)
std::optional<exception_group> exception_group::subgroup() const {
  return split<Errors...>().match;
}

template <class Error, std::invocable<const Error&> F>
std::optional<exception_group> exception_group::handle(F f) const {
  if (const Error* const whole = as<Error>(); whole != nullptr) {
    std::invoke(f, *whole);
    return std::nullopt;
  }
  const match_function call = [](const std::exception_ptr& error, void* user) {
    try {
      std::rethrow_exception(error);
    } catch (const Error& matching) {
      std::invoke(*static_cast<F*>(user), matching);
      return true;
    } catch (...) {
      return false;
    }
  };
  return split_by(call, std::addressof(f), names_groups<Error>).rest;
}

}  // namespace v0
}  // namespace rondo
