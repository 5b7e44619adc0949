// SPDX-License-Identifier: MIT
// rondo tests: handles, the callables that they run, and their contexts (rules 9-12, 28).
#include "support/catch.hpp"
#include "support/oracle.hpp"

#include <rondo/rondo.hpp>

#include <array>
#include <chrono>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

using namespace std::chrono_literals;
using rondo_test::check_idle;
using rondo_test::oracle;

namespace {

const rondo::context_var<int> number("number", 0);

struct fixture {
  oracle unchanged;
  std::unique_ptr<rondo::event_loop> loop = rondo::new_event_loop();

  void run_one() {
    loop->stop();
    loop->run_forever();
  }
};

/// Tells when it is destroyed.
struct witness {
  explicit witness(bool& flag) : gone(&flag) {}
  witness(witness&& other) noexcept : gone(std::exchange(other.gone, nullptr)) {}
  witness& operator=(witness&&) = delete;
  ~witness() {
    if (gone != nullptr) *gone = true;
  }
  bool* gone;
};

struct counter {
  int value = 0;
  void add(int amount) { value += amount; }
  int get() const { return value; }
};

}  // namespace

TEST_CASE("handles are empty by default and compare by what they name", "[rule-010]") {
  fixture f;
  const rondo::handle empty;
  CHECK_FALSE(static_cast<bool>(empty));
  CHECK_FALSE(empty.cancelled());
  empty.cancel();
  CHECK(empty == rondo::handle());
  CHECK_THROWS_AS(empty.get_context(), std::logic_error);
  CHECK(rondo::timer_handle().when() == rondo::time_point());

  const rondo::handle one = f.loop->call_soon([] {});
  const rondo::handle copy = one;
  const rondo::handle other = f.loop->call_soon([] {});
  CHECK(static_cast<bool>(one));
  CHECK(one == copy);
  CHECK(one != other);
  CHECK(one != empty);
  const rondo::timer_handle timer = f.loop->call_later(1h, [] {});
  const rondo::handle base = timer;
  CHECK(base == timer);
  rondo::handle moved = std::move(base);
  CHECK(moved == timer);
  moved = copy;
  CHECK(moved == one);
}

TEST_CASE("cancelling is idempotent, also after the call, and then says so", "[rule-010]") {
  fixture f;
  int calls = 0;
  const rondo::handle ran = f.loop->call_soon([&] { ++calls; });
  f.run_one();
  CHECK_FALSE(ran.cancelled());
  ran.cancel();
  ran.cancel();
  CHECK(ran.cancelled());
  CHECK(calls == 1);
  const rondo::handle never = f.loop->call_soon([&] { ++calls; });
  never.cancel();
  never.cancel();
  f.run_one();
  CHECK(calls == 1);
  check_idle(*f.loop);
}

TEST_CASE("when() works after the call and after cancelling", "[rule-011]") {
  fixture f;
  const auto when = f.loop->time() - 1s;
  const rondo::timer_handle due = f.loop->call_at(when, [] {});
  CHECK(due.when() == when);
  f.run_one();
  CHECK(due.when() == when);
  const auto far = f.loop->time() + 1h;
  const rondo::timer_handle cancelled = f.loop->call_at(far, [] {});
  cancelled.cancel();
  CHECK(cancelled.when() == far);
  CHECK(cancelled.cancelled());
  const auto before = f.loop->time();
  const rondo::timer_handle later = f.loop->call_later(1h, [] {});
  const auto after = f.loop->time();
  CHECK(later.when() >= before + 1h);
  CHECK(later.when() <= after + 1h);
}

TEST_CASE("cancelling destroys the callable and its arguments at once", "[rule-012]") {
  fixture f;
  bool callable_gone = false;
  bool argument_gone = false;
  const auto body = [kept = std::make_shared<witness>(callable_gone)](const witness&) {};
  SECTION("ready") {
    const rondo::handle handle =
        f.loop->call_soon([w = witness(callable_gone)](const witness&) {}, witness(argument_gone));
    CHECK_FALSE(callable_gone);
    handle.cancel();
    CHECK(callable_gone);
    CHECK(argument_gone);
    f.run_one();
  }
  SECTION("timer") {
    const rondo::timer_handle handle = f.loop->call_later(
        1h, [w = witness(callable_gone)](const witness&) {}, witness(argument_gone));
    CHECK_FALSE(callable_gone);
    handle.cancel();
    CHECK(callable_gone);
    CHECK(argument_gone);
  }
  SECTION("from inside its own call: when the call is over") {
    rondo::handle handle;
    bool gone_inside = true;
    handle = f.loop->call_soon(
        [&, w = witness(callable_gone)](const witness&) {
          handle.cancel();
          gone_inside = callable_gone || argument_gone;
        },
        witness(argument_gone));
    f.run_one();
    CHECK_FALSE(gone_inside);
    CHECK(callable_gone);
    CHECK(handle.cancelled());
  }
  SECTION("after the call they are gone without cancelling") {
    const rondo::handle handle =
        f.loop->call_soon([w = witness(callable_gone)](const witness&) {}, witness(argument_gone));
    f.run_one();
    CHECK(callable_gone);
    CHECK(argument_gone);
  }
}

TEST_CASE("a destructor that cancels its own handle does no harm", "[rule-012]") {
  fixture f;
  rondo::handle handle;
  struct canceller {
    rondo::handle* target;
    explicit canceller(rondo::handle& of) : target(&of) {}
    canceller(canceller&& other) noexcept : target(std::exchange(other.target, nullptr)) {}
    canceller& operator=(canceller&&) = delete;
    ~canceller() {
      if (target != nullptr) target->cancel();
    }
  };
  handle = f.loop->call_soon([c = canceller(handle)] {});
  handle.cancel();
  handle = f.loop->call_soon([c = canceller(handle)] {});
  f.run_one();
  CHECK(handle.cancelled());
}

TEST_CASE("callables may be move-only, member pointers, and any size", "[rule-004]") {
  fixture f;
  auto& loop = *f.loop;
  std::vector<std::string> seen;
  loop.call_soon([&, only = std::make_unique<int>(1)] { seen.push_back(std::to_string(*only)); });
  loop.call_soon([&](std::unique_ptr<int> only) { seen.push_back(std::to_string(*only)); },
                 std::make_unique<int>(2));
  counter object;
  loop.call_soon(&counter::add, &object, 3);
  loop.call_soon(&counter::add, std::ref(object), 4);
  auto shared = std::make_shared<counter>();
  loop.call_later(-1s, &counter::add, shared, 5);
  // What it returns is dropped, and a const member function will do.
  loop.call_soon(&counter::get, &object);
  std::array<char, 4096> large{};
  large[4095] = 'x';
  loop.call_soon([&, large] { seen.push_back(std::string(1, large[4095])); });
  struct alignas(64) aligned {  // lint: allow(over-aligned)
    int value = 6;
  };
  loop.call_soon(
      [&](const aligned& a) {
        seen.push_back(reinterpret_cast<std::uintptr_t>(&a) % 64 == 0 ? std::to_string(a.value)
                                                                      : "misplaced");
      },
      aligned());
  // An lvalue argument is copied.
  std::string text = "before";
  loop.call_soon([&](const std::string& copy) { seen.push_back(copy); }, text);
  text = "after";
  f.run_one();
  CHECK(object.value == 7);
  CHECK(shared->value == 5);
  CHECK(seen == std::vector<std::string>{"1", "2", "x", "6", "before"});
}

TEST_CASE("a callable that runs once is invoked as an rvalue", "[rule-004]") {
  fixture f;
  struct once {
    std::string* out;
    void operator()(std::string&&) && { *out = "rvalue"; }
    void operator()(const std::string&) & { *out = "lvalue"; }
  };
  std::string seen;
  f.loop->call_soon(once{&seen}, std::string("moved in"));
  f.run_one();
  CHECK(seen == "rvalue");
}

TEST_CASE("a callable that throws when it is moved in leaves nothing behind", "[rule-004]") {
  fixture f;
  struct explosive {
    explosive() = default;
    explosive(const explosive&) { throw std::runtime_error("copy"); }
    void operator()() const {}
  };
  const explosive callable;
  CHECK_THROWS_AS(f.loop->call_soon(callable), std::runtime_error);
  CHECK_THROWS_AS(f.loop->call_later(1s, callable), std::runtime_error);
  check_idle(*f.loop);
}

TEST_CASE("a callback runs in the context in which it was scheduled", "[rule-028]") {
  fixture f;
  auto& loop = *f.loop;
  std::vector<int> seen;
  const auto token = number.set(1);
  loop.call_soon([&] {
    seen.push_back(number.get());
    static_cast<void>(number.set(100));  // seen by nobody else
    loop.call_soon([&] { seen.push_back(number.get()); });
  });
  loop.call_later(-1s, [&] { seen.push_back(number.get()); });
  loop.call_soon_threadsafe([&] { seen.push_back(number.get()); });
  static_cast<void>(number.set(2));  // after the snapshot
  f.run_one();
  f.run_one();
  CHECK(seen == std::vector<int>{1, 1, 1, 100});
  CHECK(number.get() == 2);
  static_cast<void>(number.set(0));
}

TEST_CASE("a context that is given is that very object", "[rule-028]") {
  fixture f;
  auto& loop = *f.loop;
  const rondo::context own;
  std::vector<int> seen;
  const rondo::handle handle = loop.call_soon(own, [&] {
    seen.push_back(number.get());
    static_cast<void>(number.set(5));
  });
  CHECK(handle.get_context() == own);
  loop.call_later(own, -1s, [&] { seen.push_back(number.get()); });
  loop.call_at(own, loop.time() - 1h, [&] { seen.push_back(number.get()); });
  const auto threadsafe = loop.call_soon_threadsafe(own, [&] { seen.push_back(number.get()); });
  CHECK(threadsafe.get_context() == own);
  CHECK(static_cast<bool>(threadsafe));
  f.run_one();
  CHECK(seen == std::vector<int>{0, 5, 5, 5});
  CHECK(own.get(number) == 5);
  CHECK(number.get() == 0);
}

TEST_CASE("get_context names the context that the callback runs in", "[rule-028]") {
  fixture f;
  rondo::handle handle;
  handle = f.loop->call_soon([&] { static_cast<void>(number.set(9)); });
  const rondo::context context = handle.get_context();
  CHECK(context == handle.get_context());
  f.run_one();
  CHECK(context.get(number) == 9);
}

TEST_CASE("handles outlive their loop", "[rule-010]") {
  const oracle unchanged;
  rondo::handle ready;
  rondo::timer_handle timer;
  rondo::threadsafe_handle threadsafe;
  bool gone = false;
  {
    const auto loop = rondo::new_event_loop();
    ready = loop->call_soon([w = witness(gone)] {});
    timer = loop->call_later(1h, [] {});
    threadsafe = loop->call_soon_threadsafe([] {});
  }
  CHECK(gone);
  ready.cancel();
  timer.cancel();
  threadsafe.cancel();
  CHECK(timer.cancelled());
  CHECK(threadsafe.cancelled());
  CHECK(timer.when() > rondo::clock::now());
}

TEST_CASE("threadsafe handles cancel and copy", "[rule-010][rule-024]") {
  fixture f;
  int calls = 0;
  const auto first = f.loop->call_soon_threadsafe([&] { ++calls; });
  rondo::threadsafe_handle copy = first;
  CHECK(copy == first);
  CHECK_FALSE(first.cancelled());
  copy.cancel();
  CHECK(first.cancelled());
  const auto second = f.loop->call_soon_threadsafe([&] { calls += 10; });
  f.run_one();
  CHECK(calls == 10);
  second.cancel();
  CHECK(second.cancelled());
  const rondo::threadsafe_handle empty;
  CHECK_FALSE(static_cast<bool>(empty));
  empty.cancel();
  CHECK_FALSE(empty.cancelled());
  CHECK_THROWS_AS(empty.get_context(), std::logic_error);
}

TEST_CASE("call_soon_threadsafe from the loop's thread keeps its place among call_soon",
          "[rule-025]") {
  fixture f;
  std::vector<int> seen;
  f.loop->call_soon([&] {
    f.loop->call_soon([&] { seen.push_back(1); });
    f.loop->call_soon_threadsafe([&] { seen.push_back(2); });
    f.loop->call_soon([&] { seen.push_back(3); });
  });
  f.run_one();
  f.run_one();
  CHECK(seen == std::vector<int>{1, 2, 3});
}
