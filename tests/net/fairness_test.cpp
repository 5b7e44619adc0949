// SPDX-License-Identifier: MIT
// rondo tests: nobody is starved by one who always has something to do.
#include <rondo/rondo.hpp>

#include "net/transport_fixture.hpp"

namespace rondo_test {

using rondo::coro;
using rondo::stream_reader;
using rondo::stream_writer;

TEST_CASE("a handler that always finds a line buffered lets others run",
          "[streams][fairness][fault-D17]") {
  scene here;
  const stream_reader reader(1 << 20);
  std::string flood;
  for (int i = 0; i < 20'000; ++i) flood += "x\n";
  reader.feed_data(flood);
  reader.feed_eof();
  int lines = 0;
  int most_between = 0;
  int last = 0;
  bool finished = false;
  auto read_all = [&]() -> coro<> {
    while (auto line = co_await reader.next_line()) ++lines;
    finished = true;
  };
  auto watch = [&]() -> coro<> {
    while (!finished) {
      most_between = std::max(most_between, lines - last);
      last = lines;
      co_await rondo::yield_now();
    }
  };
  auto watching = here.loop().create_task(watch());
  here.run(read_all());
  here.until([&] { return watching.done(); });
  CHECK(lines == 20'000);
  CHECK(most_between > 0);
  CHECK(most_between <= 256);
}

TEST_CASE("a reader that always finds data can be cancelled", "[streams][fairness][rule-161]") {
  scene here;
  const stream_reader reader(1 << 20);
  reader.feed_data(std::string(1 << 20, '\n'));
  int lines = 0;
  auto read_all = [&]() -> coro<> {
    for (;;) {
      const auto line = co_await reader.readline();
      ++lines;
      if (line.empty()) break;
    }
  };
  auto task = here.loop().create_task(read_all());
  here.turn(2);
  task.cancel();
  here.until([&] { return task.done(); });
  CHECK(task.cancelled());
  CHECK(lines < 1000);
  // Nothing was lost on the way.
  auto rest = [](stream_reader from) -> coro<std::size_t> {
    from.feed_eof();
    const std::string left = co_await from.read();
    co_return left.size();
  };
  CHECK(here.run(rest(reader)) == (1U << 20U) - static_cast<std::size_t>(lines));
}

TEST_CASE("a task that writes and drains without end lets others run",
          "[streams][fairness][rule-165]") {
  scene here;
  auto [socket, raw] = tcp_pair();
  raw_peer peer(raw);
  auto made = here.run(rondo::open_connection(std::move(socket)));
  int written = 0;
  bool stop = false;
  auto write = [&]() -> coro<> {
    while (!stop) {
      made.writer.write("x");
      co_await made.writer.drain();
      ++written;
    }
  };
  auto task = here.loop().create_task(write());
  here.turn(3);
  CHECK(written > 100);
  CHECK(written < 1000);
  stop = true;
  here.until([&] {
    peer.receive_now();
    return task.done();
  });
  made.writer.close();
  here.settle();
}

TEST_CASE("one client that floods does not hold the others up", "[streams][fairness][fault-B10]") {
  scene here;
  auto echo = [](stream_reader reader, stream_writer writer) -> coro<> {
    try {
      while (auto line = co_await reader.next_line()) {
        writer.write(std::move(*line));
        co_await writer.drain();
      }
    } catch (const std::system_error&) {
      // The client went away.
    }
    writer.close();
  };
  rondo::server serving = here.run(rondo::start_server(echo, "127.0.0.1", 0));
  const auto port = serving.sockets().front().getsockname().port();
  bool stop = false;
  auto flood = [&]() -> coro<> {
    auto [reader, writer] = co_await rondo::open_connection("127.0.0.1", port);
    std::string lines;
    for (int i = 0; i < 10'000; ++i) lines += "a\n";
    auto sink = [](stream_reader from) -> coro<> {
      for (;;) {
        const auto view = co_await from.read_view();
        if (view.empty()) break;
      }
    };
    auto draining = rondo::create_task(sink(reader));
    while (!stop) {
      writer.write(lines);
      co_await writer.drain();
    }
    writer.close();
    co_await writer.wait_closed();
    co_await draining;
  };
  auto flooding = here.loop().create_task(flood());
  auto ask = [&]() -> coro<std::chrono::nanoseconds> {
    auto [reader, writer] = co_await rondo::open_connection("127.0.0.1", port);
    std::chrono::nanoseconds worst{0};
    for (int i = 0; i < 20; ++i) {
      const auto before = std::chrono::steady_clock::now();
      writer.write("canary\n");
      const auto line = co_await reader.readline();
      CHECK(line == "canary\n");
      worst = std::max<std::chrono::nanoseconds>(worst, std::chrono::steady_clock::now() - before);
      co_await rondo::sleep(2ms);
    }
    writer.close();
    co_return worst;
  };
  const auto worst = here.run(ask());
  // CPython takes a second; sanitizers and a busy machine take their time, too.
  CHECK(worst < 250ms);
  stop = true;
  here.until([&] { return flooding.done(); });
  serving.close();
  here.run(serving.wait_closed());
}

}  // namespace rondo_test
