// SPDX-License-Identifier: MIT
// rondo tests: which loop runs, which is current, who makes them (rules 24, 263; API: RONDO_LOOP,
// policies).
#include "support/catch.hpp"
#include "support/oracle.hpp"

#include <rondo/rondo.hpp>

#include <rondo/backend.hpp>
#include <rondo/policy.hpp>

#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>

using rondo_test::environment;
using rondo_test::oracle;

namespace {
rondo::coro<int> answer() { co_return 42; }
}  // namespace

TEST_CASE("get_running_loop outside a loop", "[rule-263]") {
  CHECK_THROWS_AS(rondo::get_running_loop(), std::logic_error);
  const rondo_test::log_capture quiet;  // a coroutine is refused
  CHECK(rondo_test::message_of([] { static_cast<void>(rondo::get_running_loop()); }) ==
        "no running event loop");
  CHECK_THROWS_AS(rondo::create_task(answer()), std::logic_error);
  CHECK_THROWS_AS(rondo::all_tasks(), std::logic_error);
  CHECK_FALSE(static_cast<bool>(rondo::current_task()));
}

TEST_CASE("the running loop is this thread's, inside callbacks, tasks and timers", "[rule-263]") {
  const oracle unchanged;
  const auto loop = rondo::new_event_loop();
  const auto other = rondo::new_event_loop();
  int right = 0;
  const auto look = [&] {
    if (&rondo::get_running_loop() == loop.get() && rondo::get_event_loop() == loop.get()) ++right;
  };
  rondo::set_event_loop(other.get());  // the running one goes first
  loop->call_soon(look);
  loop->call_later(std::chrono::seconds(-1), look);
  loop->create_task(
      [](std::function<void()> f) -> rondo::coro<> {
        f();
        co_return;
      },
      std::function<void()>(look));
  loop->stop();
  loop->run_forever();
  CHECK(right == 3);
  CHECK(rondo::get_event_loop() == other.get());
  rondo::set_event_loop(nullptr);
  CHECK(rondo::get_event_loop() == nullptr);
  CHECK_THROWS_AS(rondo::get_running_loop(), std::logic_error);
}

TEST_CASE("the current loop is per thread", "[rule-263]") {
  const auto loop = rondo::new_event_loop();
  rondo::set_event_loop(loop.get());
  rondo::event_loop* seen = loop.get();
  std::thread([&] { seen = rondo::get_event_loop(); }).join();
  CHECK(seen == nullptr);
  CHECK(rondo::get_event_loop() == loop.get());
  rondo::set_event_loop(nullptr);
}

TEST_CASE("a runner does not mind what the current loop does in another thread", "[rule-262]") {
  const auto loop = rondo::new_event_loop();
  int result = 0;
  std::thread([&] {
    loop->call_soon([&] {
      // Meanwhile, in the thread whose current loop it is:
      std::thread([&] {
        rondo::set_event_loop(loop.get());
        result = rondo::run(answer());
      }).join();
    });
    loop->run_once();
  }).join();
  CHECK(result == 42);
}

TEST_CASE("RONDO_LOOP chooses the loop", "[api]") {
  const oracle unchanged;
  for (const char* const name : {static_cast<const char*>(nullptr), "", "epoll"}) {
    const environment variable("RONDO_LOOP", name);
    CHECK(rondo::new_event_loop()->backend_name() == "epoll");
    CHECK(rondo::run(answer()) == 42);
  }
  for (const char* const name : {"nonsense", "EPOLL", " epoll", "epoll,poll"}) {
    const environment variable("RONDO_LOOP", name);
    CHECK_THROWS_AS(rondo::new_event_loop(), std::invalid_argument);
    const std::string text =
        rondo_test::message_of([] { static_cast<void>(rondo::new_event_loop()); });
    INFO(text);
    CHECK(text.find(name) != std::string::npos);
    CHECK(text.find("available") != std::string::npos);
    CHECK(text.find(", epoll") + text.find(": epoll") != 2 * std::string::npos);
  }
}

TEST_CASE("a loop on a chosen selector, and on none", "[api]") {
  const oracle unchanged;
  rondo::selector_event_loop loop(std::make_unique<rondo::epoll_selector>());
  CHECK(loop.backend_name() == "epoll");
  CHECK(loop.run_until_complete(answer()) == 42);
  CHECK_THROWS_AS(rondo::event_loop(nullptr), std::invalid_argument);
}

TEST_CASE("policies", "[api]") {
  const oracle unchanged;
  class counting final : public rondo::default_event_loop_policy {
   public:
    explicit counting(int& made) : made_(&made) {}
    std::unique_ptr<rondo::event_loop> new_event_loop() override {
      ++*made_;
      return rondo::default_event_loop_policy::new_event_loop();
    }
    rondo::event_loop* get_event_loop() override { return mine_; }
    void set_event_loop(rondo::event_loop* loop) override { mine_ = loop; }

   private:
    int* made_;
    rondo::event_loop* mine_ = nullptr;
  };
  int made = 0;
  rondo::set_event_loop_policy(std::make_unique<counting>(made));
  const auto loop = rondo::new_event_loop();
  CHECK(made == 1);
  CHECK(rondo::run(answer()) == 42);
  CHECK(made == 2);
  rondo::set_event_loop(loop.get());
  CHECK(rondo::get_event_loop() == loop.get());
  CHECK(rondo::get_event_loop_policy().get_event_loop() == loop.get());
  rondo::set_event_loop_policy(nullptr);
  CHECK(rondo::get_event_loop() == nullptr);
  CHECK(rondo::get_event_loop_policy().new_event_loop() != nullptr);
  CHECK(made == 2);
}
