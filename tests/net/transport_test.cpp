// SPDX-License-Identifier: MIT
// rondo tests: the socket transport, by the contract of all transports and by what is its own.
#define RONDO_TRANSPORT_KINDS tcp_kind, local_kind
#include "net/transport_contract.hpp"

#include <netinet/tcp.h>

namespace rondo_test {

TEST_CASE("TCP transports send small writes at once", "[transport][rule-196]") {
  linked_scene<tcp_kind> here;
  CHECK(here.transport->socket()->get_option(IPPROTO_TCP, TCP_NODELAY) != 0);
}

TEST_CASE("a reset is an error, not an end", "[transport][rule-177]") {
  linked_scene<tcp_kind> here([](record& notes) { notes.keep_open = true; });
  here.peer().reset();
  here.until_lost();
  CHECK(errno_of(here.notes->lost_with) == ECONNRESET);
  CHECK(here.notes->count("eof") == 0);
  CHECK(here.messages.empty());
}

TEST_CASE("the socket is closed when the connection cannot be made", "[transport][rule-192]") {
  scene here;
  auto [socket, raw] = tcp_pair();
  raw_peer peer(raw);
  SECTION("the factory throws") {
    auto factory = []() -> std::shared_ptr<recorder> { throw std::runtime_error("no protocol"); };
    auto task = here.loop().create_task(here.loop().create_connection(factory, std::move(socket)));
    here.until([&] { return task.done(); });
    CHECK_THROWS_AS(task.result(), std::runtime_error);
  }
  SECTION("the factory gives nothing") {
    auto factory = [] { return std::shared_ptr<recorder>(); };
    auto task = here.loop().create_task(here.loop().create_connection(factory, std::move(socket)));
    here.until([&] { return task.done(); });
    CHECK_THROWS_AS(task.result(), std::invalid_argument);
  }
  SECTION("it is cancelled") {
    auto notes = std::make_shared<record>();
    auto factory = [&] { return std::make_shared<recorder>(notes); };
    auto task = here.loop().create_task(here.loop().create_connection(factory, std::move(socket)));
    here.turn();
    task.cancel();
    here.until([&] { return task.done(); });
    CHECK(task.cancelled());
    here.settle();
    CHECK(notes->events == std::vector<std::string>{"made", "lost"});
    notes->transport.reset();
  }
  here.settle();
  peer.receive_now();
  CHECK((peer.ended || peer.was_reset));
}

TEST_CASE("a datagram socket is no connection", "[transport][rule-192]") {
  scene here;
  auto factory = [] { return std::make_shared<recorder>(); };
  CHECK_THROWS_AS(here.loop().create_connection(factory, rondo::socket(AF_INET, SOCK_DGRAM)),
                  std::invalid_argument);
}

TEST_CASE("connect_accepted_socket makes a connection without a server", "[transport][rule-213]") {
  scene here;
  auto notes = std::make_shared<record>();
  auto [socket, raw] = tcp_pair();
  raw_peer peer(raw);
  auto factory = [&] { return std::make_shared<recorder>(notes); };
  auto task =
      here.loop().create_task(here.loop().connect_accepted_socket(factory, std::move(socket)));
  here.until([&] { return task.done(); });
  peer.send("hello");
  here.until([&] { return notes->data == "hello"; });
  peer.close();
  here.until([&] { return notes->lost; });
}

TEST_CASE("create_connection connects to a host and a port", "[transport][rule-171]") {
  scene here;
  listener accepting;
  auto notes = std::make_shared<record>();
  auto factory = [&] { return std::make_shared<recorder>(notes); };
  auto task = here.loop().create_task(
      here.loop().create_connection(factory, "127.0.0.1", accepting.port()));
  here.until([&] { return task.done(); });
  CHECK(task.result().first->peername() == accepting.where());
  rondo::socket accepted = accepting.get().accept().first;
  CHECK(accepted.getpeername() == *task.result().first->sockname());
  task.result().first->close();
  here.until([&] { return notes->lost; });
}

TEST_CASE("bad ports are refused before anything happens", "[transport][rule-171]") {
  scene here;
  auto factory = [] { return std::make_shared<recorder>(); };
  CHECK_THROWS_AS(here.loop().create_connection(factory, "127.0.0.1", 65536),
                  std::invalid_argument);
  CHECK_THROWS_AS(here.loop().create_connection(factory, "127.0.0.1", -1), std::invalid_argument);
}

TEST_CASE("a transport of one's own need not have everything", "[transport]") {
  struct half : rondo::transport {
    std::string text;
    using rondo::transport::write;
    void write(std::string_view data) override { text += data; }
  } mine;
  rondo::write_transport& seen = mine;
  seen.write(std::string("a"));
  const std::vector<std::string> parts{"b", "c"};
  seen.writelines(parts);
  CHECK(mine.text == "abc");
  CHECK_FALSE(mine.can_write_eof());
  CHECK_THROWS_AS(mine.write_eof(), rondo::not_supported_error);
  CHECK_THROWS_AS(mine.pause_reading(), rondo::not_supported_error);
  CHECK_FALSE(mine.peername());
}

}  // namespace rondo_test
