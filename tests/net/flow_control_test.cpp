// SPDX-License-Identifier: MIT
// rondo tests: flow control of transports, and the queue behind it.
#include "net/transport_fixture.hpp"
#include "support/fault_table.hpp"
#include "transport/byte_queue.hpp"

#include <random>

namespace rondo_test {

namespace os = rondo::os;

TEST_CASE("pause_writing comes above the high mark, resume_writing at the low one, once each",
          "[transport][rule-183]") {
  linked_scene<local_kind> here;
  fault<&os::system_calls::send> send;
  send.fail_always(EAGAIN);
  here.transport->set_write_buffer_limits({.high = 100, .low = 40});
  here.transport->write(std::string(100, 'a'));
  CHECK(here.notes->count("pause") == 0);
  here.transport->write("b");
  CHECK(here.notes->count("pause") == 1);
  here.transport->write(std::string(1000, 'c'));
  CHECK(here.notes->count("pause") == 1);
  CHECK(here.transport->get_write_buffer_size() == 1101);
  send.heal();
  here.until([&] { return here.notes->count("resume") == 1; });
  CHECK(here.transport->get_write_buffer_size() <= 40);
  here.settle();
  CHECK(here.notes->count("resume") == 1);
}

TEST_CASE("resume_writing comes as soon as the low mark is reached, not before",
          "[transport][rule-183]") {
  linked_scene<local_kind> here;
  here.transport->set_write_buffer_limits({.high = 1000, .low = 500});
  here.transport->write(std::string(too_much, 'a'));
  REQUIRE(here.notes->count("pause") == 1);
  std::size_t size = 0;
  here.notes->on_resume = [&] { size = here.transport->get_write_buffer_size(); };
  std::size_t got = 0;
  here.until([&] {
    if (here.transport->get_write_buffer_size() > 500) CHECK(here.notes->count("resume") == 0);
    got += here.peer().receive_now(100'000).size();
    return here.notes->count("resume") == 1;
  });
  CHECK(size <= 500);
}

TEST_CASE("writes of one iteration pause the protocol only if the kernel refuses them",
          "[transport][rule-183][rule-178]") {
  linked_scene<tcp_kind> here;
  here.loop().call_soon([&] {
    for (int i = 0; i < 10; ++i) here.transport->write(std::string(20'000, 'x'));
  });
  here.turn();
  CHECK(here.notes->count("pause") == 0);
  CHECK(here.transport->get_write_buffer_size() == 0);
  CHECK(here.peer().receive_now().size() == 200'000);
}

TEST_CASE("the limits and their defaults", "[transport][rule-184][fault-B22]") {
  linked_scene<local_kind> here;
  auto& transport = *here.transport;
  using marks = rondo::write_buffer_marks;
  CHECK(transport.get_write_buffer_limits() == marks{16384, 65536});
  transport.set_write_buffer_limits({.high = 400});
  CHECK(transport.get_write_buffer_limits() == marks{100, 400});
  transport.set_write_buffer_limits({.low = 100});
  CHECK(transport.get_write_buffer_limits() == marks{100, 400});
  transport.set_write_buffer_limits({.high = 0});
  CHECK(transport.get_write_buffer_limits() == marks{0, 0});
  transport.set_write_buffer_limits({.high = 5, .low = 5});
  CHECK(transport.get_write_buffer_limits() == marks{5, 5});
  CHECK_THROWS_AS(transport.set_write_buffer_limits({.high = 5, .low = 6}), std::invalid_argument);
  CHECK(transport.get_write_buffer_limits() == marks{5, 5});
  transport.set_write_buffer_limits();
  const auto [low, high] = transport.get_write_buffer_limits();
  CHECK(low == 16384);
  CHECK(high == 65536);
  transport.set_write_buffer_limits(transport.get_write_buffer_limits());
  CHECK(transport.get_write_buffer_limits() == marks{16384, 65536});
}

TEST_CASE("limits below what is buffered pause at once; higher ones do not resume",
          "[transport][rule-185]") {
  linked_scene<local_kind> here;
  fault<&os::system_calls::send> send;
  send.fail_always(EAGAIN);
  here.transport->write(std::string(1000, 'a'));
  CHECK(here.notes->count("pause") == 0);
  here.transport->set_write_buffer_limits({.high = 999});
  CHECK(here.notes->count("pause") == 1);
  here.transport->set_write_buffer_limits({.high = 5000});
  CHECK(here.notes->count("resume") == 0);
  send.heal();
  here.until([&] { return here.notes->count("resume") == 1; });
}

TEST_CASE("exceptions from pause_writing and resume_writing are reported, and the connection lives",
          "[transport][rule-186][fault-B13]") {
  linked_scene<local_kind> here;
  here.transport->set_write_buffer_limits({.high = 0});
  here.notes->on_pause = [] { throw std::runtime_error("pause"); };
  here.notes->on_resume = [] { throw std::runtime_error("resume"); };
  here.transport->write(std::string(too_much, 'x'));
  REQUIRE(here.messages.size() == 1);
  CHECK(here.messages[0].find("pause_writing() failed") != std::string::npos);
  std::size_t got = 0;
  here.until([&] {
    got += here.peer().receive_now().size();
    return got == too_much;
  });
  here.until([&] { return here.messages.size() == 2; });
  CHECK(here.messages[1].find("resume_writing() failed") != std::string::npos);
  here.peer().send("alive");
  here.until([&] { return here.notes->data == "alive"; });
}

TEST_CASE("resume_writing may write, close or abort", "[transport][rule-183][fault-B12]") {
  linked_scene<local_kind> here;
  here.transport->set_write_buffer_limits({.high = 0});
  std::size_t expected = too_much;
  bool close = false;
  SECTION("write") {
    here.notes->on_resume = [&] {
      if (expected == too_much) {
        expected += 5;
        here.transport->write("again");
        here.transport->close();
        close = true;
      }
    };
  }
  SECTION("close") {
    close = true;
    here.notes->on_resume = [&] { here.transport->close(); };
  }
  SECTION("abort") {
    close = true;
    here.notes->on_resume = [&] { here.transport->abort(); };
  }
  here.transport->write(std::string(too_much, 'x'));
  std::size_t got = 0;
  here.until([&] {
    got += here.peer().receive_now(too_much).size();
    return here.notes->lost;
  });
  got += here.peer().receive_now(too_much).size();
  CHECK(close);
  CHECK(got == expected);
}

TEST_CASE("writelines obeys flow control", "[transport][rule-187][fault-B6]") {
  linked_scene<local_kind> here;
  const std::vector<std::string> parts(100, std::string(too_much / 100, 'x'));
  here.transport->writelines(parts);
  CHECK(here.notes->count("pause") == 1);
  std::size_t got = 0;
  here.until([&] {
    got += here.peer().receive_now().size();
    return got == too_much;
  });
  here.until([&] { return here.notes->count("resume") == 1; });
}

TEST_CASE("a peer that never reads costs memory for what was written, and no time",
          "[transport][fault-B5]") {
  linked_scene<tcp_kind> here;
  while (here.notes->count("pause") == 0) {
    here.transport->write(std::string(100'000, 'x'));
    here.turn();
  }
  CHECK(here.transport->get_write_buffer_size() <= 65536 + 100'000);
  const auto callbacks = here.loop().metrics().callbacks;
  here.loop().run_once(50ms);
  here.loop().run_once(50ms);
  CHECK(here.loop().metrics().callbacks - callbacks < 10);
}

TEST_CASE("short sends change nothing but their number", "[transport][fault-B7]") {
  linked_scene<local_kind> here;
  fault<&os::system_calls::send> send;
  fault<&os::system_calls::sendmsg> sendmsg;
  send.at_most(1);
  sendmsg.at_most(3);
  std::string all;
  for (int i = 0; i < 100; ++i) {
    const std::string text = "line " + std::to_string(i) + "\n";
    all += text;
    here.transport->write(text);
    if (i % 7 == 0) here.turn();
    if (i % 10 == 0) {
      const std::vector<std::string> parts{"a", "", "bcd", text};
      here.transport->writelines(parts);
      all += "abcd" + text;
    }
  }
  std::string got;
  here.until([&] {
    got += here.peer().receive_now();
    return got.size() >= all.size();
  });
  CHECK(got == all);
}

TEST_CASE("EAGAIN and EINTR at any send change nothing", "[transport][fault-B9][fault-B10]") {
  linked_scene<local_kind> here;
  fault<&os::system_calls::send> send;
  fault<&os::system_calls::sendmsg> sendmsg;
  SECTION("EAGAIN") {
    // Only the first: the kernel tells nobody of room that there has been all along.
    send.fail(1, EAGAIN);
  }
  SECTION("EINTR") {
    send.fail_every_other(EINTR);
    sendmsg.fail_every_other(EINTR);
  }
  std::string all;
  for (int i = 0; i < 50; ++i) {
    const std::string text = std::to_string(i) + ",";
    all += text;
    if (i % 3 == 0) {
      here.transport->write(std::string(text));
    } else {
      here.transport->write(text);
    }
    if (i % 5 == 0) here.turn();
  }
  here.transport->close();
  here.until_lost();
  CHECK(here.peer().receive_now() == all);
}

// ---- the queue ---------------------------------------------------------------------

TEST_CASE("a byte queue gives back what was put in, whatever the pieces", "[transport][rule-188]") {
  rondo::detail::byte_queue queue;
  std::mt19937 random(7);
  std::string expected;
  std::string got;
  const auto take = [&](std::size_t limit) {
    std::array<::iovec, 5> slices;
    std::size_t left = limit;
    for (const ::iovec& each : std::span(slices).first(queue.gather(slices))) {
      const std::size_t count = std::min(left, each.iov_len);
      got.append(static_cast<const char*>(each.iov_base), count);
      left -= count;
    }
    queue.consume(limit - left);
  };
  for (int i = 0; i < 5000; ++i) {
    const std::size_t size = random() % (i % 100 == 0 ? 200'000 : 300);
    std::string piece(size, static_cast<char>('a' + i % 26));
    switch (random() % 3) {
      case 0: {
        const std::size_t skip = size == 0 ? 0 : random() % size;
        expected += piece.substr(skip);
        queue.append_owned(std::move(piece), skip);
        break;
      }
      case 1:
        expected += piece;
        queue.append_owned(std::move(piece));
        break;
      default:
        expected += piece;
        queue.append(std::string_view(piece));
    }
    CHECK(queue.size() == expected.size() - got.size());
    take(random() % 5000);
  }
  while (!queue.empty()) take(100'000);
  CHECK(got == expected);
  std::array<::iovec, 1> none;
  CHECK(queue.gather(none) == 0);
}

TEST_CASE("many small pieces share few chunks, and a string that is moved in is not copied",
          "[transport][fault-B6]") {
  rondo::detail::byte_queue queue;
  for (int i = 0; i < 1'000'000; ++i) queue.append("0123456789");
  std::vector<::iovec> slices(1024);
  CHECK(queue.gather(slices) < 200);
  queue.clear();
  CHECK(queue.empty());
  std::string large(100'000, 'x');
  const char* const where = large.data();
  queue.append_owned(std::move(large));
  CHECK(queue.front().data() == where);
}

}  // namespace rondo_test
