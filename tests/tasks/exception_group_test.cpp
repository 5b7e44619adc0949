// SPDX-License-Identifier: MIT
// rondo tests: exception_group: what it holds, and how it is taken apart.
#include "tasks/task_support.hpp"

using namespace task_test;
using rondo::exception_group;

namespace {

template <class E>
std::exception_ptr error(const char* text) {
  return std::make_exception_ptr(E(text));
}

exception_group example() {
  const exception_group inner(
      "inner", {error<std::out_of_range>("range"), error<std::runtime_error>("deep")});
  return exception_group("outer",
                         {error<std::runtime_error>("first"), std::make_exception_ptr(inner),
                          error<std::invalid_argument>("last")});
}

std::string shape(const std::optional<exception_group>& group) {
  if (!group) return "nothing";
  return thrown_by([&] { throw exception_group(*group); });
}

}  // namespace

TEST_CASE("an exception_group has a message and exceptions, in order", "[exception_group]") {
  const exception_group group = example();
  CHECK(group.message() == "outer");
  CHECK(std::string(group.what()) == "outer (3 sub-exceptions)");
  CHECK(shape(group) == "group[first group[range deep] last]");
  const exception_group one("one", {error<std::runtime_error>("x")});
  CHECK(std::string(one.what()) == "one (1 sub-exception)");
  static_assert(std::is_nothrow_copy_constructible_v<exception_group>);
  const exception_group copy = group;
  CHECK(&copy.exceptions() == &group.exceptions());
}

TEST_CASE("an exception_group holds errors only", "[exception_group]") {
  CHECK_THROWS_AS(exception_group("empty", {}), std::invalid_argument);
  CHECK_THROWS_AS(exception_group("null", {nullptr}), std::invalid_argument);
  CHECK_THROWS_AS(exception_group("cancelled", {std::make_exception_ptr(rondo::cancelled_error())}),
                  std::invalid_argument);
  CHECK_THROWS_AS(
      exception_group("interrupt", {std::make_exception_ptr(rondo::keyboard_interrupt())}),
      std::invalid_argument);
  CHECK_THROWS_AS(exception_group("exit", {std::make_exception_ptr(rondo::system_exit(1))}),
                  std::invalid_argument);
  // Anything may be thrown in C++.
  const exception_group odd("odd", {std::make_exception_ptr(7)});
  CHECK(odd.subgroup<int>().has_value());
}

TEST_CASE("split keeps the nesting on both sides", "[exception_group]") {
  const exception_group group = example();
  const auto logic = group.split<std::logic_error>();
  CHECK(shape(logic.match) == "group[group[range] last]");
  CHECK(shape(logic.rest) == "group[first group[deep]]");
  CHECK(logic.match->message() == "outer");
  const auto none = group.split<std::bad_alloc>();
  CHECK(shape(none.match) == "nothing");
  CHECK(shape(none.rest) == shape(group));
  // What is in a group counts, not that the group is a std::runtime_error itself.
  CHECK(shape(group.subgroup<std::runtime_error>()) == "group[first group[deep]]");
  CHECK(shape(group.subgroup<std::invalid_argument, std::out_of_range>()) ==
        "group[group[range] last]");
  const auto all = group.split<std::exception>();
  CHECK(shape(all.match) == shape(group));
  CHECK(shape(all.rest) == "nothing");
  CHECK(shape(group.subgroup<std::out_of_range>()) == "group[group[range]]");
  CHECK(shape(group.subgroup<exception_group>()) == shape(group));
}

TEST_CASE("handle calls a function for each error that matches", "[exception_group]") {
  const exception_group group = example();
  events seen;
  const auto rest = group.handle<std::logic_error>(
      [&](const std::logic_error& each) { seen.push_back(each.what()); });
  CHECK(seen == events{"range", "last"});
  CHECK(shape(rest) == "group[first group[deep]]");
  CHECK_FALSE(group.handle<std::exception>([](const std::exception&) {}).has_value());
  // What the function throws comes out.
  CHECK_THROWS_AS(group.handle<std::logic_error>([](const std::logic_error&) { throw 5; }), int);
}
