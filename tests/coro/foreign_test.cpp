// SPDX-License-Identifier: MIT
// rondo tests: awaitables and coroutine types of other libraries.
#include "coro/support.hpp"

#include <coroutine>

using namespace coro_test;

namespace third_party {

/// What a library that knows nothing of loops hands out: somebody calls `fire` later.
struct signal {
  std::coroutine_handle<> waiting;
  int value = 0;
  bool ready = false;

  void fire(int with) {
    value = with;
    ready = true;
    if (const auto handle = std::exchange(waiting, nullptr)) handle.resume();
  }
};

struct void_awaiter {
  signal* on;
  [[nodiscard]] bool await_ready() const noexcept { return on->ready; }
  void await_suspend(std::coroutine_handle<> handle) const noexcept { on->waiting = handle; }
  [[nodiscard]] int await_resume() const {
    if (on->value < 0) throw std::runtime_error("negative");
    return on->value;
  }
};

struct bool_awaiter {
  signal* on;
  bool suspends;
  [[nodiscard]] static bool await_ready() noexcept { return false; }
  [[nodiscard]] bool await_suspend(std::coroutine_handle<> handle) const noexcept {
    if (suspends) on->waiting = handle;
    return suspends;
  }
  [[nodiscard]] int await_resume() const noexcept { return on->value; }
};

enum class transfer { to_itself, to_nobody, to_another };

struct handle_awaiter {
  signal* on;
  transfer how;
  std::coroutine_handle<> other;
  [[nodiscard]] static bool await_ready() noexcept { return false; }
  [[nodiscard]] std::coroutine_handle<> await_suspend(
      std::coroutine_handle<> handle) const noexcept {
    if (how == transfer::to_itself) return handle;
    on->waiting = handle;
    if (how == transfer::to_nobody) return std::noop_coroutine();
    return other;
  }
  [[nodiscard]] int await_resume() const noexcept { return on->value; }
};

struct inline_awaiter {
  [[nodiscard]] static bool await_ready() noexcept { return false; }
  static void await_suspend(std::coroutine_handle<> handle) { handle.resume(); }
  [[nodiscard]] static std::string await_resume() { return "inline"; }
};

struct throwing_awaiter {
  [[nodiscard]] static bool await_ready() noexcept { return false; }
  static void await_suspend(std::coroutine_handle<>) { throw std::runtime_error("await_suspend"); }
  static void await_resume() noexcept {}
};

struct member_operator {
  signal* on;
  void_awaiter operator co_await() const noexcept { return {on}; }
};
struct rvalue_operator {
  std::unique_ptr<signal> on;
  bool_awaiter operator co_await() && noexcept { return {on.get(), false}; }
};
struct free_operator {
  signal* on;
};
inline void_awaiter operator co_await(const free_operator& self) noexcept { return {self.on}; }

/// A task type of another library: lazy, with symmetric transfer.
template <class T>
class lazy {
 public:
  struct promise_type {
    std::coroutine_handle<> continuation;
    std::optional<T> value;
    std::exception_ptr error;

    lazy get_return_object() {
      return lazy(std::coroutine_handle<promise_type>::from_promise(*this));
    }
    static std::suspend_always initial_suspend() noexcept { return {}; }
    struct last {
      static bool await_ready() noexcept { return false; }
      std::coroutine_handle<> await_suspend(
          std::coroutine_handle<promise_type> self) const noexcept {
        const auto next = self.promise().continuation;
        return next ? next : std::noop_coroutine();
      }
      static void await_resume() noexcept {}
    };
    static last final_suspend() noexcept { return {}; }
    void return_value(T result) { value = std::move(result); }
    void unhandled_exception() { error = std::current_exception(); }
  };

  explicit lazy(std::coroutine_handle<promise_type> frame) : frame_(frame) {}
  lazy(lazy&& other) noexcept : frame_(std::exchange(other.frame_, nullptr)) {}
  lazy& operator=(lazy&&) = delete;
  ~lazy() {
    if (frame_) frame_.destroy();
  }

  [[nodiscard]] static bool await_ready() noexcept { return false; }
  std::coroutine_handle<> await_suspend(std::coroutine_handle<> awaiting) const {
    frame_.promise().continuation = awaiting;
    return frame_;
  }
  T await_resume() const {
    if (frame_.promise().error) std::rethrow_exception(frame_.promise().error);
    return std::move(*frame_.promise().value);
  }
  void start() const { frame_.resume(); }
  [[nodiscard]] bool done() const { return frame_.done(); }
  [[nodiscard]] std::exception_ptr error() const { return frame_.promise().error; }

 private:
  std::coroutine_handle<promise_type> frame_;
};

/// Fire and forget; lets exceptions out of resume().
struct detached {
  struct promise_type {
    static detached get_return_object() { return {}; }
    static std::suspend_never initial_suspend() noexcept { return {}; }
    static std::suspend_never final_suspend() noexcept { return {}; }
    static void return_void() noexcept {}
    [[noreturn]] static void unhandled_exception() { throw; }
    // A frame that an exception leaves is nobody's any more; the test frees its memory.
    static void* operator new(std::size_t size) { return last_frame = ::operator new(size); }
    static void operator delete(void* frame) noexcept { ::operator delete(frame); }
    static inline void* last_frame = nullptr;
  };
};

}  // namespace third_party

using third_party::detached;
using third_party::lazy;
using third_party::signal;

TEST_CASE("foreign awaitables of every kind", "[foreign]") {
  const balanced guard;
  manual_loop loop;
  const auto body = [&]() -> coro<strings> {
    strings log;
    signal on;
    const auto fire = [&] { on.fire(3); };
    loop.call_soon(fire);
    const std::uint64_t start = iteration();
    const third_party::void_awaiter plain{&on};
    int got = co_await plain;
    log.push_back("void " + std::to_string(got) + " " + std::to_string(iteration() - start));
    got = co_await plain;  // ready
    log.push_back("ready " + std::to_string(got));

    const third_party::bool_awaiter stays{&on, false};
    got = co_await stays;
    log.push_back("false " + std::to_string(got));
    on.value = 0;
    loop.call_soon(fire);
    const third_party::bool_awaiter suspends{&on, true};
    got = co_await suspends;
    log.push_back("true " + std::to_string(got));

    const third_party::handle_awaiter itself{&on, third_party::transfer::to_itself, nullptr};
    got = co_await itself;
    log.push_back("itself " + std::to_string(got));
    loop.call_soon(fire);
    const third_party::handle_awaiter nobody{&on, third_party::transfer::to_nobody, nullptr};
    got = co_await nobody;
    log.push_back("nobody " + std::to_string(got));

    const std::string text = co_await third_party::inline_awaiter();
    log.push_back(text);
    const third_party::member_operator member{&on};
    got = co_await member;
    log.push_back("member " + std::to_string(got));
    const third_party::free_operator free{&on};
    got = co_await free;
    log.push_back("free " + std::to_string(got));
    third_party::rvalue_operator rvalue{std::make_unique<signal>()};
    rvalue.on->value = 8;
    got = co_await std::move(rvalue);
    log.push_back("rvalue " + std::to_string(got));

    std::string error = co_await outcome(third_party::throwing_awaiter());
    log.push_back(error);
    on.fire(-1);
    error = co_await outcome(member);
    log.push_back(error);
    co_await std::suspend_never();
    co_await yield_now();
    co_return log;
  };
  CHECK(loop.run(body()) == strings{"void 3 2", "ready 3", "false 3", "true 3", "itself 3",
                                    "nobody 3", "inline", "member 3", "free 3", "rvalue 8",
                                    "await_suspend", "negative"});
}

TEST_CASE("a foreign task inside ours, and ours inside it", "[foreign]") {
  const balanced guard;
  manual_loop loop;
  const auto ours = [&](int n) -> coro<int> {
    co_await rondo::sleep(1s);
    if (n < 0) throw std::runtime_error("ours");
    co_return n + 1;
  };
  const auto theirs = [&](int n) -> lazy<int> {
    const int got = co_await ours(n);
    const int again = co_await ours(got);
    co_return again * 10;
  };
  const auto body = [&]() -> coro<> {
    const int got = co_await theirs(1);
    CHECK(got == 30);
    const std::string text = co_await outcome(theirs(-1));
    CHECK(text == "ours");
    const auto throws = []() -> lazy<int> {
      throw std::runtime_error("theirs");
      co_return 1;
    };
    const std::string thrown = co_await outcome(throws());
    CHECK(thrown == "theirs");
  };
  loop.run(body());
  CHECK(loop.elapsed() == rondo::interval(3s));
}

TEST_CASE("our coroutine is resumed in its own task, theirs by the loop", "[foreign]") {
  const balanced guard;
  manual_loop loop;
  strings log;
  const auto ours = [&]() -> coro<> {
    log.push_back(rondo::current_task().name());
    co_await yield_now();
  };
  const auto theirs = [&]() -> lazy<int> {
    log.push_back(rondo::current_task() ? rondo::current_task().name() : "none");
    co_await ours();
    log.push_back(rondo::current_task() ? rondo::current_task().name() : "none");
    co_return 1;
  };
  const auto body = [&]() -> coro<> {
    const auto foreign = theirs();
    const int got = co_await foreign;
    CHECK(got == 1);
    log.push_back(rondo::current_task().name());
  };
  const task<> t = loop.create_task(body(), {.name = "outer"});
  loop.drive(t);
  t.result();
  REQUIRE(log.size() == 4);
  CHECK(log[0] == "outer");
  CHECK(log[1].rfind("Task-", 0) == 0);
  CHECK(log[2] == "none");
  CHECK(log[3] == "outer");
}

TEST_CASE("a foreign coroutine that runs without a task awaits ours", "[foreign]") {
  const balanced guard;
  manual_loop loop;
  strings log;
  const auto ours = [&](std::string text) -> coro<std::string> {
    co_await yield_now();
    co_return text;
  };
  const auto start = [&](bool throws) -> detached {
    const std::string text = co_await ours("text");
    log.push_back(text);
    const move_only moved = co_await value(move_only(4));
    log.push_back(std::to_string(moved.value));
    co_await nothing();
    if (throws) throw std::runtime_error("out of resume");
  };
  loop.call_soon([&] { start(false); });
  loop.settle();
  CHECK(log == strings{"text", "4"});
  loop.call_soon([&] { start(true); });
  loop.settle();
  REQUIRE(loop.reports.size() == 1);
  CHECK(text_of(loop.reports[0].exception) == "out of resume");
  ::operator delete(detached::promise_type::last_frame);
}

TEST_CASE("a cancellation waits for a foreign awaitable to end", "[foreign][rule-067]") {
  const balanced guard;
  manual_loop loop;
  signal on;
  const auto body = [&]() -> coro<int> {
    const third_party::void_awaiter awaiter{&on};
    co_return co_await awaiter;
  };
  const task<int> t = loop.create_task(body());
  loop.settle();
  CHECK(t.cancel("msg"));
  loop.settle();
  CHECK(!t.done());
  on.fire(1);
  loop.settle();
  CHECK(t.cancelled());
  CHECK(loop.run(outcome(t)) == "cancelled: msg");

  // Self-cancellation: the awaitable suspends, so it is thrown there.
  signal again;
  const auto self = [&]() -> coro<int> {
    rondo::current_task().cancel();
    const third_party::bool_awaiter stays{&again, false};
    int got = co_await stays;  // does not suspend
    const third_party::void_awaiter awaiter{&again};
    got = co_await awaiter;
    co_return got;
  };
  const task<int> u = loop.create_task(self());
  loop.settle();
  CHECK(!u.done());
  again.fire(1);
  loop.settle();
  CHECK(u.cancelled());
}

TEST_CASE("a foreign coroutine that is destroyed while it awaits ours cancels it",
          "[foreign][fault-D16]") {
  const balanced guard;
  manual_loop loop;
  strings log;
  const auto ours = [&]() -> coro<int> {
    try {
      co_await rondo::sleep(1h);
    } catch (const cancelled_error&) {
      log.push_back("cancelled");
      throw;
    }
    co_return 1;
  };
  const auto theirs = [&](coro<int> inner) -> lazy<int> {
    const int got = co_await std::move(inner);
    log.push_back("resumed");
    co_return got;
  };
  {
    std::optional<lazy<int>> running = theirs(ours());
    loop.call_soon([&] { running->start(); });
    loop.settle();
    CHECK(loop.metrics().tasks == 1);
    running.reset();
    loop.settle();
    CHECK(log == strings{"cancelled"});
    CHECK(loop.metrics().tasks == 0);
  }
  log.clear();
  {
    // Destroyed when the task is done and the resumption is queued.
    std::optional<lazy<int>> running = theirs(value(1));
    loop.call_soon([&] { running->start(); });
    loop.run_once();
    loop.run_once();
    CHECK(loop.metrics().tasks == 0);
    running.reset();
    loop.settle();
    CHECK(log.empty());
  }
  {
    // Destroyed after the loop.
    captured_log reports;
    manual_loop short_lived;
    auto gone = std::make_unique<manual_loop>();
    gone->set_exception_handler({});
    std::optional<lazy<int>> running = theirs(ours());
    gone->call_soon([&] { running->start(); });
    gone->settle();
    gone.reset();
    running.reset();
    CHECK(reports.count("destroyed but it is pending") == 1);
    CHECK(log.empty());
  }
}

TEST_CASE("a foreign awaitable that fires after the task is destroyed does no harm",
          "[foreign][fault-D16]") {
  const balanced guard;
  captured_log log;
  signal on;
  {
    manual_loop loop;
    loop.set_exception_handler({});
    const auto body = [&]() -> coro<int> {
      const third_party::void_awaiter awaiter{&on};
      co_return co_await awaiter;
    };
    loop.create_task(body());
    loop.settle();
  }
  CHECK(log.count("destroyed but it is pending") == 1);
  CHECK(rondo::detail::live_frames() > 0);  // what `on` may still resume
  on.fire(1);
}

TEST_CASE("create_task, wait_for and run_until_complete take foreign awaitables", "[foreign]") {
  const balanced guard;
  manual_loop loop;
  signal on;
  const auto body = [&]() -> coro<> {
    const task<int> t = create_task(third_party::member_operator{&on});
    const auto fire = [&] { on.fire(5); };
    loop.call_soon(fire);
    const int got = co_await t;
    CHECK(got == 5);
    const third_party::free_operator free{&on};
    const int again = co_await rondo::wait_for(free, 1s);
    CHECK(again == 5);
    const int zero = co_await rondo::wait_for(value(6), std::nullopt);
    CHECK(zero == 6);
  };
  loop.run(body());
  CHECK(loop.run_until_complete(third_party::member_operator{&on}) == 5);
}
