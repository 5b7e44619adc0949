// SPDX-License-Identifier: MIT
// rondo tests: memory channels.
#include <rondo/memory_channel.hpp>

#include <rondo/rondo.hpp>

#include "support/catch.hpp"
#include "sync/sync_support.hpp"

#include <chrono>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

namespace {

using namespace rondo_test;
using namespace std::chrono_literals;

static_assert(!std::is_copy_constructible_v<rondo::memory_sender<int>>);
static_assert(std::is_nothrow_move_constructible_v<rondo::memory_receiver<int>>);

struct channel_fixture {
  explicit channel_fixture(std::ptrdiff_t n) : channel(n) {}
  stepped_loop loop;
  record log;
  rondo::memory_channel<int> channel;

  rondo::coro<> receive_one(std::string name) {
    std::string outcome;
    try {
      const int got = co_await channel.receiver.receive();
      outcome = name + std::to_string(got);
    } catch (...) {
      outcome = name + ":" + name_of_exception();
    }
    log(outcome);
  }
  rondo::task<> receive(std::string name) { return loop.create_task(receive_one(std::move(name))); }
  rondo::task<> send(std::string name, int item) {
    return spawn(loop, log, std::move(name), [this, item] { return channel.sender.send(item); });
  }
};

TEST_CASE("a channel is a buffer between its ends") {
  auto [sender, receiver] = rondo::memory_channel<int>(2);
  sender.send_nowait(1);
  sender.send_nowait(2);
  CHECK(failure_of([&] { sender.send_nowait(3); }) == "would_block");
  CHECK(sender.statistics().current_buffer_used == 2);
  CHECK(sender.statistics().max_buffer_size == 2);
  CHECK(receiver.receive_nowait() == 1);
  CHECK(receiver.receive_nowait() == 2);
  CHECK(failure_of([&] { static_cast<void>(receiver.receive_nowait()); }) == "would_block");
  sender.send_nowait(4);
  sender.close();
  sender.close();
  CHECK(sender.closed());
  CHECK(failure_of([&] { sender.send_nowait(5); }) == "closed_channel");
  CHECK(failure_of([&] { static_cast<void>(sender.clone()); }) == "closed_channel");
  CHECK(receiver.receive_nowait() == 4);
  CHECK(failure_of([&] { static_cast<void>(receiver.receive_nowait()); }) == "end");
  CHECK(failure_of([] { rondo::memory_channel<int>(-1); }) == "invalid_argument");
  rondo::memory_channel<int> any(rondo::memory_channel<int>::unlimited);
  for (int i = 0; i < 10000; ++i) any.sender.send_nowait(i);
}

TEST_CASE("a channel without a buffer hands over from task to task") {
  channel_fixture f(0);
  CHECK(failure_of([&] { f.channel.sender.send_nowait(0); }) == "would_block");
  f.receive("a");
  f.receive("b");
  f.loop.step();
  CHECK(f.channel.sender.statistics().tasks_waiting_receive == 2);
  f.channel.sender.send_nowait(1);  // as a waits
  f.send("s", 2);
  f.send("t", 3);
  f.loop.step();
  CHECK(f.log.take() == "a1 s");
  f.loop.step();
  CHECK(f.log.take() == "b2");
  CHECK(f.channel.receiver.statistics().tasks_waiting_send == 1);
  CHECK(f.channel.receiver.receive_nowait() == 3);  // from the task that waits
  f.loop.step();
  CHECK(f.log.take() == "t");
  CHECK(f.channel.sender.statistics().current_buffer_used == 0);
}

TEST_CASE("waiting senders move up when there is room") {
  channel_fixture f(1);
  f.send("a", 1);
  f.send("b", 2);
  f.send("c", 3);
  f.loop.step();
  CHECK(f.log.take() == "a");
  CHECK(f.channel.receiver.receive_nowait() == 1);
  CHECK(failure_of([&] { f.channel.sender.send_nowait(9); }) == "would_block");
  f.loop.step();
  CHECK(f.log.take() == "b");
  CHECK(f.channel.receiver.receive_nowait() == 2);
  CHECK(f.channel.receiver.receive_nowait() == 3);
  f.loop.step();
  CHECK(f.log.take() == "c");
}

TEST_CASE("what a woken receiver is about to take is not given away") {
  channel_fixture f(2);
  f.receive("a");
  f.loop.step();
  f.channel.sender.send_nowait(1);
  CHECK(failure_of([&] { static_cast<void>(f.channel.receiver.receive_nowait()); }) ==
        "would_block");
  f.channel.sender.send_nowait(2);
  f.channel.sender.send_nowait(3);  // there is room for two more than a's
  CHECK(failure_of([&] { f.channel.sender.send_nowait(4); }) == "would_block");
  f.loop.step();
  CHECK(f.log.take() == "a1");
}

TEST_CASE("a cancelled receiver leaves its item to the next [fault-D5]") {
  channel_fixture f(0);
  const auto a = f.receive("a");
  SECTION("who waits") {
    f.receive("b");
    f.loop.step();
    f.channel.sender.send_nowait(1);
    a.cancel();
    f.loop.step();
    CHECK(f.log.take() == "a:cancelled");
    f.loop.step();
    CHECK(f.log.take() == "b1");
  }
  SECTION("who comes later") {
    f.loop.step();
    f.channel.sender.send_nowait(1);
    a.cancel();
    f.loop.step();
    CHECK(f.log.take() == "a:cancelled");
    CHECK(f.channel.sender.statistics().current_buffer_used == 1);
    CHECK(failure_of([&] { f.channel.sender.send_nowait(2); }) == "would_block");
    f.send("s", 2);
    f.loop.step();
    CHECK(f.channel.receiver.receive_nowait() == 1);
    CHECK(f.channel.receiver.receive_nowait() == 2);
    f.loop.step();
    CHECK(f.log.take() == "s");
  }
  SECTION("cancelled before") {
    f.receive("b");
    f.loop.step();
    a.cancel();
    f.channel.sender.send_nowait(1);
    f.loop.step();
    CHECK(f.log.take() == "a:cancelled b1");
  }
}

TEST_CASE("a sender that is cancelled has sent or has not [fault-D5]") {
  channel_fixture f(0);
  const auto a = f.send("a", 1);
  f.loop.step();
  SECTION("before its item was taken") {
    a.cancel();
    CHECK(failure_of([&] { static_cast<void>(f.channel.receiver.receive_nowait()); }) ==
          "would_block");
    f.loop.step();
    CHECK(f.log.take() == "a:cancelled");
  }
  SECTION("after: it goes on") {
    CHECK(f.channel.receiver.receive_nowait() == 1);
    a.cancel();
    f.loop.step();
    CHECK(f.log.take() == "a");
    CHECK(a.done());
    CHECK_FALSE(a.cancelled());
  }
}

TEST_CASE("the end of a channel") {
  channel_fixture f(0);
  SECTION("the last sender closes") {
    f.receive("a");
    f.receive("b");
    const auto c = f.receive("c");
    f.loop.step();
    auto second = f.channel.sender.clone();
    CHECK(second.statistics().open_senders == 2);
    f.channel.sender.close();
    f.loop.settle();
    CHECK(f.log.take().empty());
    second.send_nowait(1);
    second = {};
    c.cancel();
    f.loop.step();
    CHECK(f.log.take() == "a1 b:end c:cancelled");
  }
  SECTION("the last receiver closes") {
    f.send("a", 1);
    f.send("b", 2);
    f.loop.step();
    auto second = f.channel.receiver.clone();
    f.channel.receiver.close();
    CHECK(second.receive_nowait() == 1);
    second.close();
    CHECK(failure_of([&] { f.channel.sender.send_nowait(3); }) == "broken_channel");
    f.send("c", 4);
    f.loop.step();
    CHECK(f.log.take() == "a b:broken_channel c:broken_channel");
  }
  SECTION("the receiver closes while a task waits with it") {
    f.receive("a");
    f.loop.step();
    f.channel.receiver.close();
    f.loop.step();
    CHECK(f.log.take() == "a:closed_channel");
    f.receive("b");
    f.loop.step();
    CHECK(f.log.take() == "b:closed_channel");
  }
  SECTION("the item of a sender that is gone is still delivered") {
    spawn(f.loop, f.log, "s", [&]() -> rondo::coro<> {
      auto mine = std::move(f.channel.sender);
      co_await mine.send(5);
    });
    f.loop.step();
    f.receive("a");
    f.receive("b");
    f.loop.settle();
    CHECK(f.log.take() == "a5 s b:end");
  }
}

TEST_CASE("next gives nullopt at the end") {
  stepped_loop loop;
  record log;
  const auto consume = [&](rondo::memory_receiver<int> from) -> rondo::coro<> {
    while (auto item = co_await from.next()) log(std::to_string(*item));
    log("end");
  };
  const auto produce = [&](rondo::memory_sender<int> to, int base) -> rondo::coro<> {
    for (int i = 0; i < 3; ++i) co_await to.send(base + i);
  };
  {
    rondo::memory_channel<int> channel(0);
    loop.create_task(produce(channel.sender.clone(), 10));
    loop.create_task(produce(std::move(channel.sender), 20));
    loop.create_task(consume(std::move(channel.receiver)));
  }
  loop.settle();
  CHECK(log.take() == "10 20 11 12 21 22 end");
}

TEST_CASE("an awaiter of a channel is as good as a coro, and keeps the channel") {
  stepped_loop loop;
  record log;
  std::optional<rondo::coro<int>> later;
  {
    rondo::memory_channel<int> channel(1);
    channel.sender.send_nowait(3);
    later.emplace(channel.receiver.receive());
  }
  const auto body = [&]() -> rondo::coro<> {
    std::string outcome;
    try {
      const int got = co_await *std::move(later);
      outcome = std::to_string(got);
    } catch (...) {
      outcome = name_of_exception();
    }
    log(outcome);
  };
  loop.create_task(body());
  loop.settle();
  CHECK(log.take() == "3");
}

TEST_CASE("a send that meets its timeout in the same iteration has been sent") {
  stepped_loop loop;
  record log;
  rondo::memory_channel<int> channel(0);
  spawn(loop, log, "s", [&] { return rondo::wait_for(channel.sender.send(1), 1s); });
  loop.step();
  loop.advance(1s);
  CHECK(channel.receiver.receive_nowait() == 1);
  loop.settle();
  CHECK(log.take() == "s");
}

}  // namespace
