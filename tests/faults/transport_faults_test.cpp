// SPDX-License-Identifier: MIT
// rondo tests: stream transports, while the kernel and the peer fail.
#include <rondo/rondo.hpp>

#include "net/transport_fixture.hpp"
#include "support/fault_table.hpp"

#include <csignal>

namespace rondo_test {

namespace os = rondo::os;
using rondo::coro;

TEST_CASE("a reset after n bytes: the bytes first, then the error",
          "[faults][transport][fault-B1]") {
  for (std::size_t count = 0; count <= 8; ++count) {
    linked_scene<tcp_kind> here;
    const std::string sent = std::string("received").substr(0, count);
    if (count > 0) here.peer().send(sent);
    here.until([&] { return here.notes->data == sent; });
    here.peer().reset();
    here.until_lost();
    CHECK(here.notes->data == sent);
    CHECK(errno_of(here.notes->lost_with) == ECONNRESET);
  }
}

TEST_CASE("a receive that fails is the error of the connection",
          "[faults][transport][rule-177][fault-B18][fault-B19]") {
  const int error = GENERATE(ECONNRESET, ECONNABORTED, ETIMEDOUT, EHOSTUNREACH, ENETUNREACH, EIO);
  linked_scene<tcp_kind> here;
  fault<&os::system_calls::recv> recv;
  recv.fail_next(error);
  here.peer().send("x");
  here.until_lost();
  CHECK(errno_of(here.notes->lost_with) == error);
  CHECK(here.messages.empty());
}

TEST_CASE("a send that fails is the error of the connection",
          "[faults][transport][rule-177][fault-B2]") {
  const int error = GENERATE(EPIPE, ECONNRESET, ETIMEDOUT, ENOBUFS);
  linked_scene<tcp_kind> here;
  fault<&os::system_calls::send> send;
  fault<&os::system_calls::sendmsg> sendmsg;
  SECTION("at once") {
    send.fail_always(error);
    here.transport->write("x");
  }
  SECTION("at the end of the iteration") {
    send.fail(2, error);
    here.transport->write("x");
    here.transport->write("y");
  }
  SECTION("gathered") {
    sendmsg.fail_always(error);
    const std::vector<std::string> parts{"a", "b"};
    here.transport->writelines(parts);
  }
  SECTION("pending") {
    send.fail(1, EAGAIN);
    send.fail(2, error);
    here.transport->write("x");
  }
  CHECK_FALSE(here.notes->lost);
  here.until_lost();
  CHECK(errno_of(here.notes->lost_with) == error);
  CHECK(here.messages.empty());
}

TEST_CASE("a peer that went away does not kill the process", "[faults][transport][fault-B2]") {
  const auto previous = std::signal(SIGPIPE, SIG_DFL);
  {
    linked_scene<local_kind> here([](record& notes) { notes.keep_open = true; });
    SECTION("write") {
      here.peer().close();
      here.transport->write("x");
    }
    SECTION("writelines") {
      here.peer().close();
      const std::vector<std::string> parts{"a", "b"};
      here.transport->writelines(parts);
    }
    SECTION("pending") {
      here.transport->write(std::string(too_much, 'x'));
      here.settle();
      here.peer().close();
    }
    here.until_lost();
    const int error = errno_of(here.notes->lost_with);
    CHECK((error == EPIPE || error == ECONNRESET));
  }
  std::signal(SIGPIPE, previous);
}

TEST_CASE("a pending drain ends when the peer resets", "[faults][streams][fault-B2]") {
  scene here;
  auto [socket, raw] = tcp_pair();
  raw_peer peer(raw);
  auto made = here.run(rondo::open_connection(std::move(socket)));
  made.writer.write(std::string(too_much, 'x'));
  auto drain = [](rondo::stream_writer writer) -> coro<> { co_await writer.drain(); };
  auto task = here.loop().create_task(drain(made.writer));
  here.settle();
  CHECK_FALSE(task.done());
  peer.reset();
  here.until([&] { return task.done(); });
  CHECK_THROWS_AS(task.result(), std::system_error);
}

TEST_CASE("EINTR at every call is invisible", "[faults][transport][fault-B9]") {
  fault<&os::system_calls::recv> recv;
  fault<&os::system_calls::send> send;
  fault<&os::system_calls::sendmsg> sendmsg;
  fault<&os::system_calls::accept4> accept;
  recv.fail_every_other(EINTR);
  send.fail_every_other(EINTR);
  sendmsg.fail_every_other(EINTR);
  accept.fail_every_other(EINTR);
  scene here;
  auto echo = [](rondo::stream_reader reader, rondo::stream_writer writer) -> coro<> {
    while (auto line = co_await reader.next_line()) {
      writer.write(*line);
      writer.write(*line);
    }
    writer.close();
  };
  rondo::server serving = here.run(rondo::start_server(echo, "127.0.0.1", 0));
  auto client = [](std::uint16_t port) -> coro<std::string> {
    auto [reader, writer] = co_await rondo::open_connection("127.0.0.1", port);
    for (int i = 0; i < 10; ++i) {
      writer.write("a\n");
      writer.write("b\n");
      co_await rondo::sleep(1ms);
    }
    writer.write_eof();
    std::string all = co_await reader.read();
    writer.close();
    co_return all;
  };
  std::string expected;
  for (int i = 0; i < 10; ++i) expected += "a\na\nb\nb\n";
  CHECK(here.run(client(serving.sockets().front().getsockname().port())) == expected);
  serving.close();
  here.run(serving.wait_closed());
}

TEST_CASE("spurious readiness costs one try", "[faults][transport][fault-B10]") {
  linked_scene<tcp_kind> here;
  fault<&os::system_calls::recv> recv;
  recv.fail_always(EAGAIN);
  here.peer().send("x");
  here.settle();
  CHECK(recv.calls() <= 2);
  recv.heal();
  here.peer().send("y");
  here.until([&] { return here.notes->data == "xy"; });
}

TEST_CASE("byte by byte is the same as all at once, for protocols too",
          "[faults][transport][fault-B8]") {
  linked_scene<tcp_kind> here;
  fault<&os::system_calls::recv> recv;
  recv.at_most(1);
  here.peer().send("one by one");
  here.peer().end();
  here.until_lost();
  CHECK(here.notes->data == "one by one");
  CHECK(here.notes->count("data") == 10);
}

TEST_CASE("urgent data neither spins nor hides what follows", "[faults][transport][fault-B20]") {
  linked_scene<tcp_kind> here;
  here.peer().send("a");
  ::send(here.peer().fd(), "!", 1, MSG_OOB);
  here.peer().send("b");
  here.until([&] { return here.notes->data == "ab"; });
  const auto callbacks = here.loop().metrics().callbacks;
  for (int i = 0; i < 5; ++i) here.loop().run_once(5ms);
  CHECK(here.loop().metrics().callbacks - callbacks < 10);
}

TEST_CASE("both sides gone while paused: told at the resume, once",
          "[faults][transport][fault-B21][fault-B24]") {
  linked_scene<tcp_kind> here;
  here.transport->pause_reading();
  here.transport->write_eof();
  here.peer().close();
  const auto callbacks = here.loop().metrics().callbacks;
  for (int i = 0; i < 5; ++i) here.loop().run_once(5ms);
  CHECK(here.loop().metrics().callbacks - callbacks < 10);
  CHECK(here.notes->events == std::vector<std::string>{"made"});
  SECTION("resumed") { here.transport->resume_reading(); }
  SECTION("closed") { here.transport->close(); }
  here.until_lost();
  here.settle();
  CHECK_FALSE(here.transport->socket());
}

TEST_CASE("a peer that is gone before anybody asks who it was", "[faults][transport][fault-A13]") {
  scene here;
  fault<&os::system_calls::getpeername> getpeername;
  getpeername.fail_always(ENOTCONN);
  auto [socket, raw] = tcp_pair();
  raw_peer peer(raw);
  auto notes = std::make_shared<record>();
  auto factory = [&] { return std::make_shared<recorder>(notes); };
  auto made = here.run(here.loop().create_connection(factory, std::move(socket)));
  CHECK_FALSE(made.first->peername());
  CHECK_FALSE(made.first->get_extra_info("peername").has_value());
  peer.reset();
  here.until([&] { return notes->lost; });
  CHECK(notes->well_formed());
}

TEST_CASE("a descriptor that is watched by hand cannot become a transport",
          "[faults][transport][rule-228]") {
  scene here;
  auto [socket, raw] = tcp_pair();
  raw_peer peer(raw);
  const int fd = socket.fileno();
  here.loop().add_reader(fd, [] {});
  auto factory = [] { return std::make_shared<recorder>(); };
  CHECK_THROWS_AS(here.run(here.loop().create_connection(factory, std::move(socket))),
                  std::logic_error);
  here.loop().remove_reader(fd);
  peer.receive_now();
  CHECK((peer.ended || peer.was_reset));
}

TEST_CASE("a transport's descriptor cannot be watched by hand", "[faults][transport][rule-228]") {
  linked_scene<tcp_kind> here;
  const int fd = here.transport->socket()->fileno();
  CHECK_THROWS_AS(here.loop().add_reader(fd, [] {}), std::logic_error);
  here.peer().send("works");
  here.until([&] { return here.notes->data == "works"; });
}

TEST_CASE("conservation: what arrives is what was sent, whatever the kernel does",
          "[faults][transport][fault-B7]") {
  scene here;
  fault<&os::system_calls::send> send;
  fault<&os::system_calls::sendmsg> sendmsg;
  send.at_most(555);
  sendmsg.at_most(333);
  auto body = [&]() -> coro<> {
    auto echo = [](rondo::stream_reader reader, rondo::stream_writer writer) -> coro<> {
      for (;;) {
        const std::string_view data = co_await reader.read_view();
        if (data.empty()) break;
        writer.write(data.substr(0, data.size() / 2));
        writer.write(data.substr(data.size() / 2));
        co_await writer.drain();
      }
      writer.close();
    };
    rondo::server serving = co_await rondo::start_server(echo, "127.0.0.1", 0);
    auto [reader, writer] = co_await rondo::open_connection(
        "127.0.0.1", serving.sockets().front().getsockname().port());
    std::string sent;
    for (int i = 0; i < 200'000; ++i) sent += static_cast<char>('a' + i % 23);
    auto send_all = [](rondo::stream_writer to, const std::string& what) -> coro<> {
      for (std::size_t at = 0; at < what.size(); at += 10'000) {
        to.write(std::string_view(what).substr(at, 10'000));
        co_await to.drain();
      }
      to.write_eof();
    };
    auto sending = rondo::create_task(send_all(writer, sent));
    const std::string got = co_await reader.read();
    co_await sending;
    CHECK(got == sent);
    writer.close();
    serving.close();
    co_await serving.wait_closed();
  };
  here.run(body());
}

}  // namespace rondo_test
