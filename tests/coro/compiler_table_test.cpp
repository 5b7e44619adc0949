// SPDX-License-Identifier: MIT
// rondo tests: pins which constructs inside a co_await expression are safe on the compilers that we
// support.
//
// docs/compiler-notes.md tells users of g++ 12 what to write. Here is what they may write, as
// programs that count constructions and destructions; what g++ 12 gets wrong is compiled on the
// others only, so that a compiler that turns out to be wrong as well is noticed.
#include "coro/support.hpp"

#include <array>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string_view>
#include <tuple>

using namespace coro_test;

#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ < 13
#define RONDO_TEST_GCC_12 1
#else
#define RONDO_TEST_GCC_12 0
#endif

namespace {

/// Counts its lives.
struct counted {
  static inline int alive = 0;
  counted() { ++alive; }
  counted(const counted&) { ++alive; }
  counted(counted&&) noexcept { ++alive; }
  counted& operator=(const counted&) = default;
  counted& operator=(counted&&) noexcept = default;
  ~counted() { --alive; }
};

/// Checks that what was made in its scope was destroyed once each.
struct lives {
  int before = counted::alive;
  ~lives() { CHECK(counted::alive == before); }
};

struct trivial_options {
  std::string_view host = {};
  std::optional<std::string_view> name = {};
  std::chrono::seconds timeout = 3s;
  const int* pointer = nullptr;
  bool flag = false;
};

struct constructed {
  constructed() {}
  explicit constructed(std::string t) : text(std::move(t)) {}
  std::string text;
  counted one;
};

coro<int> with_options(trivial_options options) {
  co_await yield_now();
  co_return static_cast<int>(options.host.size()) + (options.flag ? 100 : 0);
}
coro<int> with_object(constructed object) {
  co_await yield_now();
  co_return static_cast<int>(object.text.size());
}
coro<int> with_object_reference(const constructed& object) {
  co_return static_cast<int>(object.text.size());
}
coro<int> with_string(std::string text) {
  co_await yield_now();
  co_return static_cast<int>(text.size());
}
coro<int> with_pair(std::pair<std::string, counted> pair) {
  co_await yield_now();
  co_return static_cast<int>(pair.first.size());
}
coro<int> with_tuple(std::tuple<std::string, std::unique_ptr<int>> tuple) {
  co_await yield_now();
  co_return *std::get<1>(tuple);
}
coro<int> with_optional(std::optional<std::string> text) {
  co_await yield_now();
  co_return static_cast<int>(text.value_or("").size());
}
coro<int> with_pointer(std::unique_ptr<int> pointer, std::shared_ptr<counted> shared) {
  co_await yield_now();
  co_return *pointer + static_cast<int>(shared.use_count());
}
template <class... Args>
coro<int> variadic(Args... args) {
  co_await yield_now();
  co_return (static_cast<int>(std::string_view(args).size()) + ... + 0);
}
coro<int> with_span(std::span<const std::string_view> parts) {
  int sum = 0;
  for (const std::string_view part : parts) sum += static_cast<int>(part.size());
  co_return sum;
}
template <class F>
coro<int> calls(F&& function) {
  // Used at once: the callee does not outlive the caller's expression.
  const int got = function();
  co_await yield_now();
  co_return got;
}
template <class F>
coro<int> calls_copy(F function) {
  co_await yield_now();
  co_return function();
}
coro<counted> makes() {
  co_await yield_now();
  co_return counted();
}

}  // namespace

TEST_CASE("safe: options of trivially destructible members", "[compiler]") {
  const balanced guard;
  manual_loop loop;
  const auto body = []() -> coro<int> {
    int sum = co_await with_options({.host = "abc", .timeout = 1s, .flag = true});
    sum += co_await with_options(trivial_options{.host = "x"});
    sum += co_await with_options({});
    co_return sum;
  };
  CHECK(loop.run(body()) == 104);
}

TEST_CASE("safe: classes with a constructor, pairs, tuples, strings, pointers", "[compiler]") {
  const balanced guard;
  const lives count;
  manual_loop loop;
  const auto body = []() -> coro<int> {
    int sum = co_await with_object(constructed(std::string(30, 'x')));
    sum += co_await with_object_reference(constructed(std::string(30, 'x')));
    sum += co_await with_string(std::string(40, 'x'));
    sum += co_await with_pair(std::pair(std::string(40, 'x'), counted()));
    sum += co_await with_tuple(std::tuple(std::string(40, 'x'), std::make_unique<int>(7)));
    sum += co_await with_optional(std::string(40, 'x'));
    sum += co_await with_pointer(std::make_unique<int>(5), std::make_shared<counted>());
    co_return sum;
  };
  CHECK(loop.run(body()) == 30 + 30 + 40 + 40 + 7 + 40 + 6);
}

TEST_CASE("safe: variadic arguments and spans of arrays of views", "[compiler]") {
  const balanced guard;
  manual_loop loop;
  const auto body = []() -> coro<int> {
    int sum = co_await variadic("ls", "-l", std::string(40, 'x'));
    const std::array<std::string_view, 2> parts{"ab", "cde"};
    sum += co_await with_span(parts);
    co_return sum;
  };
  CHECK(loop.run(body()) == 49);
}

TEST_CASE("safe: lambdas that capture by reference, are named first, or make a task first",
          "[compiler]") {
  const balanced guard;
  const lives count;
  manual_loop loop;
  const auto body = []() -> coro<int> {
    const auto shared = std::make_shared<int>(3);
    const counted witness;
    int sum = co_await calls([&] { return *shared; });
    const auto named = [shared, witness] { return *shared; };
    sum += co_await calls(named);
    sum += co_await calls_copy(named);
    auto first = calls_copy([shared, witness] { return *shared; });
    sum += co_await std::move(first);
    auto running = create_task([shared, witness]() -> coro<int> {
      co_await yield_now();
      co_return *shared;
    });
    sum += co_await running;
    const std::function<int()> function = named;
    sum += co_await calls_copy(function);
    CHECK(shared.use_count() >= 2);
    co_return sum;
  };
  CHECK(loop.run(body()) == 18);
}

TEST_CASE("safe: results, structured bindings, locals, declarations in while", "[compiler]") {
  const balanced guard;
  const lives count;
  manual_loop loop;
  const auto pairs = []() -> coro<std::pair<std::string, counted>> {
    co_await yield_now();
    co_return std::pair(std::string(40, 'x'), counted());
  };
  const auto body = [&]() -> coro<int> {
    const counted one = co_await makes();
    auto [text, other] = co_await pairs();
    int rounds = 0;
    const auto next = [&]() -> coro<std::optional<int>> {
      co_await yield_now();
      if (rounds == 3) co_return std::nullopt;
      co_return ++rounds;
    };
    while (auto got = co_await next()) {
      CHECK(*got == rounds);
    }
    const bool more = static_cast<bool>(co_await next());
    if (!more) ++rounds;
    co_return static_cast<int>(text.size()) + rounds;
  };
  CHECK(loop.run(body()) == 44);
}

TEST_CASE("safe: our own types as temporaries in a co_await expression", "[compiler]") {
  const balanced guard;
  manual_loop loop;
  const auto body = [&]() -> coro<int> {
    int sum = co_await create_task(value(1));
    sum += co_await rondo::wait_for(value(2), 1s);
    sum += co_await rondo::wait_for(create_task(value(3)), rondo::interval(1s));
    const auto inner = [](rondo::timeout&) -> coro<int> { co_return co_await value(4); };
    sum += co_await rondo::with_timeout(1s, inner);
    sum += co_await rondo::with_timeout(rondo::timeout(2s), inner);
    sum += co_await create_task(value(5), {.name = "named"});
    sum += co_await rondo::sleep(0s, 6);
    const future<int> f = loop.create_future<int>();
    f.set_result(7);
    sum += co_await future<int>(f);
    co_await any_future(f);
    co_return sum;
  };
  CHECK(loop.run(body()) == 1 + 2 + 3 + 4 + 4 + 5 + 6 + 7);
}

TEST_CASE("safe: exceptions while arguments are made", "[compiler]") {
  const balanced guard;
  const lives count;
  manual_loop loop;
  const auto broken = []() -> std::string { throw std::runtime_error("argument"); };
  const auto body = [&]() -> coro<int> {
    try {
      co_return co_await with_string(broken());
    } catch (const std::runtime_error&) {
    }
    try {
      const counted local;
      const int got = co_await with_pair(std::pair(broken(), counted()));
      co_return got;
    } catch (const std::runtime_error&) {
    }
    co_return 5;
  };
  CHECK(loop.run(body()) == 5);
}

#if !RONDO_TEST_GCC_12

namespace {

struct aggregate {
  std::string text;
  counted one;
};

coro<int> with_aggregate(aggregate options) {
  co_await yield_now();
  co_return static_cast<int>(options.text.size());
}
coro<int> with_vector(std::vector<std::string> parts) {
  co_await yield_now();
  co_return static_cast<int>(parts.size());
}
coro<bool> truth(bool which) {
  co_await yield_now();
  co_return which;
}
// No local in an enclosing block: what g++ 12 skips.
coro<int> condition(int& after) {
  // lint: allow(co-await-in-condition)
  if (co_await truth(true)) {
    ++after;
  }
  ++after;
  co_return after;
}

}  // namespace

TEST_CASE("not on g++ 12: aggregates, capturing lambdas, braces, conditions", "[compiler]") {
  const balanced guard;
  const lives count;
  manual_loop loop;
  const auto body = []() -> coro<int> {
    const auto shared = std::make_shared<int>(3);
    int sum = co_await with_aggregate({.text = std::string(40, 'x'), .one = {}});
    sum += co_await calls_copy([shared] { return *shared; });  // lint: allow(capturing-lambda)
    sum += co_await with_vector({"ls", "-l"});
    int after = 0;
    sum += co_await condition(after);
    co_return sum;
  };
  CHECK(loop.run(body()) == 40 + 3 + 2 + 2);
}

#endif
