// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Several errors at once, and how they are taken apart.
#include <rondo/exception_group.hpp>

#include "exception_kind.hpp"

#include <fmt/format.h>

#include <exception>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace rondo {
inline namespace v0 {
namespace {

std::string with_count(const std::string& message, const std::vector<std::exception_ptr>& errors) {
  if (errors.empty()) throw std::invalid_argument("an exception group without an exception");
  for (const std::exception_ptr& each : errors) {
    if (!each) throw std::invalid_argument("a null exception in an exception group");
    if (detail::kind_of(each) != detail::exception_kind::ordinary) {
      throw std::invalid_argument("an exception group holds errors, not what ends a task");
    }
  }
  return fmt::format("{} ({} sub-exception{})", message, errors.size(),
                     errors.size() == 1 ? "" : "s");
}

std::optional<exception_group> as_group(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const exception_group& nested) {
    return nested;
  } catch (...) {
    return std::nullopt;
  }
}

}  // namespace

struct exception_group::content {
  std::string message;
  std::vector<std::exception_ptr> errors;
};

exception_group::exception_group(const std::string& message, std::vector<std::exception_ptr> errors)
    : std::runtime_error(with_count(message, errors)),
      content_(std::make_shared<const content>(content{message, std::move(errors)})) {}
exception_group::exception_group(const exception_group&) noexcept = default;
exception_group& exception_group::operator=(const exception_group&) noexcept = default;
exception_group::~exception_group() = default;

const std::string& exception_group::message() const noexcept { return content_->message; }
const std::vector<std::exception_ptr>& exception_group::exceptions() const noexcept {
  return content_->errors;
}

exception_group::parts exception_group::split_by(match_function matches, void* user,
                                                 bool whole_groups) const {
  parts result;
  std::vector<std::exception_ptr> match;
  std::vector<std::exception_ptr> rest;
  for (const std::exception_ptr& each : content_->errors) {
    const std::optional<exception_group> nested = as_group(each);
    if (!nested || (whole_groups && matches(each, user))) {
      const bool matching = nested || matches(each, user);
      (matching ? match : rest).push_back(each);
      continue;
    }
    const parts inner = nested->split_by(matches, user, whole_groups);
    // What is not taken apart keeps its identity, and its type.
    if (!inner.rest) {
      match.push_back(each);
    } else if (!inner.match) {
      rest.push_back(each);
    } else {
      match.push_back(std::make_exception_ptr(*inner.match));
      rest.push_back(std::make_exception_ptr(*inner.rest));
    }
  }
  if (rest.empty()) {
    result.match = *this;
  } else if (match.empty()) {
    result.rest = *this;
  } else {
    result.match.emplace(message(), std::move(match));
    result.rest.emplace(message(), std::move(rest));
  }
  return result;
}

}  // namespace v0
}  // namespace rondo
