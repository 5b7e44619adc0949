// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  How reports name tasks, callbacks and places in the source.
#include "describe.hpp"

#include <rondo/detail/loop_core.hpp>

#include "frames.hpp"

#include <cxxabi.h>
#include <fmt/format.h>

#include <cstdlib>
#include <memory>

namespace rondo {
inline namespace v0 {
namespace detail {

namespace {

// The inline namespace says nothing to a reader.
std::string without_version(std::string name) {
  constexpr std::string_view version = "rondo::v0::";
  constexpr std::string_view plain = "rondo::";
  for (std::size_t at = name.find(version); at != name.npos; at = name.find(version, at)) {
    name.replace(at, version.size(), plain);
  }
  return name;
}

// g++ 12 gives the body of a coroutine as "void f(f(int)::_Z1fi.Frame*)": what it came from is the
// parameter.
std::string_view coroutine_function(std::string_view name) {
  constexpr std::string_view frame = ".Frame*)";
  if (!name.ends_with(frame)) return name;
  int depth = 0;
  std::size_t begin = name.size();
  while (begin > 0) {
    --begin;
    if (name[begin] == ')') ++depth;
    if (name[begin] == '(' && --depth == 0) break;
  }
  name = name.substr(begin + 1, name.size() - begin - 1 - frame.size());
  return name.substr(0, name.rfind("::_Z"));
}

// The same name without what it returns. clang gives that, and spells unnamed namespaces with a
// space and parentheses.
std::string_view without_result(std::string_view name) {
  constexpr std::string_view unnamed = "(anonymous namespace)::";
  std::size_t begin = 0;
  int depth = 0;
  for (std::size_t at = 0; at < name.size(); ++at) {
    if (name[at] == '<') ++depth;
    if (name[at] == '>') --depth;
    if (depth != 0) continue;
    if (name.substr(at).starts_with(unnamed)) {
      at += unnamed.size() - 1;
    } else if (name[at] == ' ') {
      begin = at + 1;
    } else if (name[at] == '(') {
      break;
    }
  }
  name = name.substr(begin);
  if (name.starts_with(unnamed)) name = name.substr(unnamed.size());
  return name;
}

// Whether it is a coroutine of this library's, such as sleep's; `coro<> f()` of a user's is not.
bool is_ours(const std::source_location& place) {
  return without_result(place.function_name()).starts_with("rondo::");
}

}  // namespace

std::string function_name(const std::source_location& place) {
  std::string_view name = coroutine_function(place.function_name());
  // What the parameters of a template stand for is longer than all the rest.
  if (name.ends_with(']')) name = name.substr(0, name.find(" ["));
  return without_version(std::string(without_result(name)));
}

std::string describe(const std::source_location& place) {
  if (!known(place)) return "an unknown place";
  return fmt::format("{}:{} in {}", place.file_name(), place.line(), function_name(place));
}

std::string describe(const std::type_info& type) {
  int status = 0;
  const std::unique_ptr<char, void (*)(void*)> readable(
      abi::__cxa_demangle(type.name(), nullptr, nullptr, &status), &std::free);
  return without_version(readable != nullptr ? readable.get() : type.name());
}

std::string callable_name(handle_block& block) {
  block.operate(block, callback_operation::identify);
  return describe(*block.core->identified);
}

std::string describe(handle_block& block) {
  std::string result = "callback " + callable_name(block);
  if (known(block.made_at)) result += ", made at " + describe(block.made_at);
  return result;
}

std::vector<std::source_location> await_lines(const task_core& task, std::size_t limit) {
  std::vector<std::source_location> result;
  if (is_running(task)) return result;
  for (void* frame = task.leaf; frame != nullptr && result.size() < limit;) {
    const coro_promise_base& promise = promise_of(frame);
    result.push_back(promise.where);
    frame = promise.continuation;
  }
  return result;
}

std::source_location await_line(const task_core& task) noexcept {
  if (task.leaf == nullptr || is_running(task)) return {};
  for (void* frame = task.leaf; frame != nullptr; frame = promise_of(frame).continuation) {
    if (!is_ours(promise_of(frame).where)) return promise_of(frame).where;
  }
  return promise_of(task.leaf).where;
}

std::string describe(const task_core& task) {
  std::string result = task_name(task);
  if (const std::source_location place = await_line(task); known(place)) {
    result += (task.started ? ", suspended at " : ", about to start ") + describe(place);
  }
  if (const std::source_location place = creation_of(task); known(place)) {
    result += ", made at " + describe(place);
  }
  return result;
}

}  // namespace detail
}  // namespace v0
}  // namespace rondo
