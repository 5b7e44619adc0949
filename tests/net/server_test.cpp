// SPDX-License-Identifier: MIT
// rondo tests: servers, with protocols and with streams.
#include <rondo/context.hpp>
#include <rondo/errors.hpp>
#include <rondo/rondo.hpp>

#include "net/transport_fixture.hpp"

#include <fcntl.h>

namespace rondo_test {

using rondo::coro;
using rondo::server;
using rondo::stream_reader;
using rondo::stream_writer;

namespace {

/// A raw client of a server on loopback.
raw_peer client_of(const server& serving) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  ::sockaddr_in where{};
  where.sin_family = AF_INET;
  where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  where.sin_port = htons(serving.sockets().front().getsockname().port());
  if (::connect(fd, reinterpret_cast<const ::sockaddr*>(&where), sizeof where) != 0) {
    const int error = errno;
    ::close(fd);
    throw std::system_error(error, std::system_category(), "connect");
  }
  return raw_peer(fd);
}

/// Every connection's record, and a factory for a server.
struct clients {
  std::vector<std::shared_ptr<record>> all;

  auto factory() {
    return [this] {
      all.push_back(std::make_shared<record>());
      return std::make_unique<recorder>(all.back());
    };
  }
  [[nodiscard]] std::size_t lost() const {
    return static_cast<std::size_t>(
        std::count_if(all.begin(), all.end(), [](const auto& each) { return each->lost; }));
  }
  [[nodiscard]] bool made(std::size_t count) const {
    return all.size() == count && std::all_of(all.begin(), all.end(), [](const auto& each) {
             return each->count("made") == 1;
           });
  }
};

server serve(scene& here, clients& each, rondo::server_options options = {}) {
  return here.run(here.loop().create_server(each.factory(), "127.0.0.1", 0, options));
}

}  // namespace

TEST_CASE("a server accepts connections and gives each its protocol", "[server][rule-207]") {
  scene here;
  clients each;
  server serving = serve(here, each);
  CHECK(serving.is_serving());
  CHECK(&serving.get_loop() == &here.loop());
  CHECK(serving.sockets().size() == 1);
  std::vector<raw_peer> peers;
  for (int i = 0; i < 10; ++i) peers.push_back(client_of(serving));
  here.until([&] { return each.made(10); });
  const int fd = each.all[0]->transport->socket()->fileno();
  CHECK((::fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
  CHECK((::fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
  CHECK(each.all[0]->transport->sockname() == serving.sockets().front().getsockname());
  peers[3].send("third");
  here.until([&] {
    return std::any_of(each.all.begin(), each.all.end(),
                       [](const auto& one) { return one->data == "third"; });
  });
  peers.clear();
  here.until([&] { return each.lost() == 10; });
  serving.close();
  here.settle();
}

TEST_CASE("accepted connections send at once, and are kept alive where that was asked for",
          "[server][rule-207]") {
  scene here;
  clients each;
  server serving = serve(here, each, {.keep_alive = true});
  raw_peer peer = client_of(serving);
  here.until([&] { return each.made(1); });
  const auto socket = *each.all[0]->transport->socket();
  CHECK(socket.get_option(IPPROTO_TCP, 1 /*TCP_NODELAY*/) != 0);
  CHECK(socket.get_option(SOL_SOCKET, SO_KEEPALIVE) != 0);
  serving.close();
  serving.abort_clients();
  here.settle();
}

TEST_CASE("a server that does not serve yet is bound and refuses", "[server][rule-206]") {
  scene here;
  clients each;
  server serving = serve(here, each, {.start_serving = false});
  CHECK_FALSE(serving.is_serving());
  CHECK(serving.sockets().front().getsockname().port() != 0);
  CHECK_THROWS_AS(client_of(serving), std::system_error);
  here.run(serving.start_serving());
  here.run(serving.start_serving());
  CHECK(serving.is_serving());
  raw_peer peer = client_of(serving);
  here.until([&] { return each.made(1); });
  peer.close();
  here.until([&] { return each.lost() == 1; });
  serving.close();
  CHECK_THROWS_AS(here.run(serving.start_serving()), std::logic_error);
  here.settle();
}

TEST_CASE("a server that never served is closed with its handle", "[server][rule-206]") {
  scene here;
  clients each;
  { const server serving = serve(here, each, {.start_serving = false}); }
  here.settle();
}

TEST_CASE("close stops listening and leaves the connections", "[server][rule-208]") {
  scene here;
  clients each;
  server serving = serve(here, each);
  const auto view = serving.sockets().front();
  raw_peer peer = client_of(serving);
  here.until([&] { return each.made(1); });
  serving.close();
  serving.close();
  CHECK_FALSE(serving.is_serving());
  CHECK(serving.sockets().empty());
  CHECK(view.fileno() == -1);
  peer.send("still");
  here.until([&] { return each.all[0]->data == "still"; });
  peer.close();
  here.until([&] { return each.lost() == 1; });
}

TEST_CASE("dropping the handle does not stop a server", "[server][rule-208]") {
  scene here;
  clients each;
  std::optional<server> serving = serve(here, each);
  raw_peer first = client_of(*serving);
  const auto port = serving->sockets().front().getsockname().port();
  serving.reset();
  here.until([&] { return each.made(1); });
  auto opened = here.run(rondo::open_connection("127.0.0.1", port));
  here.until([&] { return each.made(2); });
  opened.writer.close();
  first.close();
  here.until([&] { return each.lost() == 2; });
  // The loop closes what is left.
}

TEST_CASE("wait_closed waits for close and for the last connection, in whichever order",
          "[server][rule-209][fault-A8]") {
  scene here;
  clients each;
  server serving = serve(here, each);
  auto first = here.loop().create_task(serving.wait_closed());
  std::vector<raw_peer> peers;
  for (int i = 0; i < 20; ++i) peers.push_back(client_of(serving));
  here.until([&] { return each.made(20); });
  SECTION("closed first") {
    serving.close();
    here.settle();
    auto second = here.loop().create_task(serving.wait_closed());
    here.settle();
    CHECK_FALSE(first.done());
    CHECK_FALSE(second.done());
    SECTION("the peers go") { peers.clear(); }
    SECTION("close_clients") { serving.close_clients(); }
    SECTION("abort_clients") { serving.abort_clients(); }
    here.until([&] { return first.done() && second.done(); });
  }
  SECTION("connections first") {
    peers.clear();
    here.until([&] { return each.lost() == 20; });
    CHECK_FALSE(first.done());
    serving.close();
    here.until([&] { return first.done(); });
  }
  first.result();
  CHECK(each.lost() == 20);
  here.run(serving.wait_closed());
}

TEST_CASE("close_clients flushes, abort_clients does not", "[server][rule-210]") {
  scene here;
  clients each;
  server serving = serve(here, each);
  raw_peer peer = client_of(serving);
  here.until([&] { return each.made(1); });
  each.all[0]->transport->write(std::string(too_much, 'x'));
  serving.close_clients();
  here.settle();
  CHECK(each.lost() == 0);
  serving.abort_clients();
  here.until([&] { return each.lost() == 1; });
  serving.close();
}

TEST_CASE("closing in the middle of a burst serves or closes every client",
          "[server][rule-210][fault-A9]") {
  scene here;
  clients each;
  server serving = serve(here, each);
  std::vector<raw_peer> peers;
  for (int i = 0; i < 50; ++i) peers.push_back(client_of(serving));
  std::size_t made = 0;
  auto factory = [&]() -> std::shared_ptr<recorder> {
    if (++made == 5) serving.close();
    each.all.push_back(std::make_shared<record>());
    return std::make_shared<recorder>(each.all.back());
  };
  serving.close();
  serving = here.run(here.loop().create_server(factory, "127.0.0.1", 0));
  for (int i = 0; i < 20; ++i) peers.push_back(client_of(serving));
  here.until([&] { return made == 5; });
  here.settle();
  CHECK(made == 5);
  peers.clear();
  here.until([&] { return each.lost() + 1 >= each.all.size(); });
  here.run(serving.wait_closed());
}

TEST_CASE("serve_forever listens until it is cancelled, then closes and waits",
          "[server][rule-211]") {
  scene here;
  clients each;
  server serving = serve(here, each, {.start_serving = false});
  auto forever = here.loop().create_task(serving.serve_forever());
  here.settle();
  CHECK(serving.is_serving());
  CHECK_THROWS_AS(here.run(serving.serve_forever()), std::logic_error);
  raw_peer peer = client_of(serving);
  here.until([&] { return each.made(1); });
  SECTION("cancelled") { forever.cancel(); }
  SECTION("closed") { serving.close(); }
  here.settle();
  CHECK_FALSE(serving.is_serving());
  CHECK_FALSE(forever.done());
  peer.close();
  here.until([&] { return forever.done(); });
  CHECK(forever.cancelled());
  CHECK_THROWS_AS(here.run(serving.serve_forever()), std::logic_error);
}

TEST_CASE("with_server closes the server and waits for its connections", "[server][rule-212]") {
  scene here;
  clients each;
  int seen = 0;
  auto body = [&](server& entered, int value) -> coro<int> {
    seen = value;
    CHECK(entered.is_serving());
    co_return value + 1;
  };
  CHECK(here.run(rondo::with_server(serve(here, each), body, 41)) == 42);
  CHECK(seen == 41);
  auto failing = []() -> coro<> {
    throw std::runtime_error("inside");
    co_return;
  };
  CHECK_THROWS_AS(here.run(rondo::with_server(serve(here, each), failing)), std::runtime_error);
}

TEST_CASE("a server may listen on several hosts, and on a socket that is there",
          "[server][rule-205]") {
  scene here;
  clients each;
  const std::array<std::string_view, 2> hosts{"127.0.0.1", "127.0.0.2"};
  server both = here.run(here.loop().create_server(each.factory(), hosts, 0));
  CHECK(both.sockets().size() == 2);
  both.close();

  rondo::socket bound(AF_INET, SOCK_STREAM);
  bound.bind(rondo::address("127.0.0.1", 0));
  server given = here.run(here.loop().create_server(each.factory(), std::move(bound)));
  raw_peer peer = client_of(given);
  here.until([&] { return each.made(1); });
  peer.close();
  here.until([&] { return each.lost() == 1; });
  given.close();
  CHECK_THROWS_AS(
      here.run(here.loop().create_server(each.factory(), rondo::socket(AF_INET, SOCK_DGRAM))),
      std::invalid_argument);
  here.settle();
}

TEST_CASE("a port in use is named in the error", "[server][fault-A10]") {
  scene here;
  clients each;
  server first = serve(here, each);
  const auto where = first.sockets().front().getsockname();
  std::string text;
  try {
    here.run(here.loop().create_server(each.factory(), "127.0.0.1", where.port()));
  } catch (const std::system_error& error) {
    CHECK(error.code().value() == EADDRINUSE);
    text = error.what();
  }
  CHECK(text.find(where.to_string()) != std::string::npos);
  first.close();
}

TEST_CASE("a factory that throws closes that connection only", "[server][fault-A6]") {
  scene here;
  std::vector<std::shared_ptr<record>> all;
  int calls = 0;
  auto factory = [&]() -> std::shared_ptr<recorder> {
    if (++calls % 2 == 0) throw std::runtime_error("no protocol for you");
    all.push_back(std::make_shared<record>());
    return std::make_shared<recorder>(all.back());
  };
  server serving = here.run(here.loop().create_server(factory, "127.0.0.1", 0));
  std::vector<raw_peer> peers;
  for (int i = 0; i < 10; ++i) peers.push_back(client_of(serving));
  here.until([&] { return calls == 10; });
  here.settle();
  CHECK(all.size() == 5);
  CHECK(here.messages.size() == 5);
  std::size_t refused = 0;
  for (raw_peer& peer : peers) {
    peer.receive_now();
    refused += peer.ended || peer.was_reset;
  }
  CHECK(refused == 5);
  CHECK(serving.is_serving());
  peers.clear();
  serving.close();
  here.run(serving.wait_closed());
}

TEST_CASE("factory and callbacks run in the context of create_server", "[server][rule-031]") {
  static const rondo::context_var<int> colour("colour", 0);
  scene here;
  std::vector<int> seen;
  auto notes = std::make_shared<record>();
  notes->on_made = [&] { seen.push_back(colour.get()); };
  auto factory = [&] {
    seen.push_back(colour.get());
    colour.set(6);
    return std::make_shared<recorder>(notes);
  };
  auto body = [&]() -> coro<server> {
    colour.set(5);
    co_return co_await here.loop().create_server(factory, "127.0.0.1", 0);
  };
  server serving = here.run(body());
  raw_peer peer = client_of(serving);
  here.until([&] { return notes->count("made") == 1; });
  peer.close();
  here.until([&] { return notes->lost; });
  CHECK(seen == std::vector<int>{5, 6});
  serving.close();
}

TEST_CASE("closing the loop closes a server and its connections", "[server][rule-020]") {
  scene here;
  clients each;
  server serving = serve(here, each);
  raw_peer peer = client_of(serving);
  here.until([&] { return each.made(1); });
  raw_peer waiting = client_of(serving);
  each.all[0]->transport.reset();
  here.loop().close();
  CHECK_FALSE(serving.is_serving());
  CHECK(serving.sockets().empty());
  peer.receive_now();
  CHECK((peer.ended || peer.was_reset));
  here.end_loop();
  serving.close();
}

TEST_CASE("a moved-from handle says so", "[server]") {
  scene here;
  clients each;
  server serving = serve(here, each);
  server moved = std::move(serving);
  CHECK_THROWS_AS(serving.close(), std::logic_error);  // NOLINT: what this is about
  moved.close();
}

// ---- streams -----------------------------------------------------------------------

TEST_CASE("a stream server runs a task for each connection", "[server][streams][rule-167]") {
  scene here;
  auto echo = [](stream_reader reader, stream_writer writer) -> coro<> {
    while (auto line = co_await reader.next_line()) {
      writer.write(std::move(*line));
      co_await writer.drain();
    }
    writer.close();
    co_await writer.wait_closed();
  };
  server serving = here.run(rondo::start_server(echo, "127.0.0.1", 0));
  const auto port = serving.sockets().front().getsockname().port();
  auto client = [](std::uint16_t to, int number) -> coro<std::string> {
    auto [reader, writer] = co_await rondo::open_connection("127.0.0.1", to);
    for (int i = 0; i < 3; ++i) {
      writer.write("line " + std::to_string(number) + "\n");
      co_await writer.drain();
    }
    writer.write_eof();
    std::string all = co_await reader.read();
    writer.close();
    co_await writer.wait_closed();
    co_return all;
  };
  std::vector<rondo::task<std::string>> tasks;
  for (int i = 0; i < 20; ++i) tasks.push_back(here.loop().create_task(client(port, i)));
  for (int i = 0; i < 20; ++i) {
    here.until([&] { return tasks[static_cast<std::size_t>(i)].done(); });
    const std::string line = "line " + std::to_string(i) + "\n";
    CHECK(tasks[static_cast<std::size_t>(i)].result() == line + line + line);
  }
  serving.close();
  here.run(serving.wait_closed());
  CHECK(here.messages.empty());
}

TEST_CASE("a plain function may be the handler, and keep what it gets",
          "[server][streams][rule-167]") {
  scene here;
  std::optional<rondo::connection> kept;
  auto keep = [&](stream_reader reader, stream_writer writer) { kept.emplace(reader, writer); };
  server serving = here.run(rondo::start_server(keep, "127.0.0.1", 0));
  raw_peer peer = client_of(serving);
  here.until([&] { return kept.has_value(); });
  kept->writer.write("hello");
  here.settle();
  CHECK(peer.receive_now() == "hello");
  kept->writer.close();
  kept.reset();
  serving.close();
  here.run(serving.wait_closed());
}

TEST_CASE("what a handler throws is reported, and its connection is closed",
          "[server][streams][rule-167][fault-A7]") {
  scene here;
  log_lines lines;
  bool plain = false;
  SECTION("a coroutine") {}
  SECTION("a plain function") { plain = true; }
  auto coroutine = [](stream_reader, stream_writer) -> coro<> {
    co_await rondo::sleep(1ms);
    throw std::runtime_error("handler");
  };
  auto function = [](stream_reader, stream_writer) { throw std::runtime_error("handler"); };
  server serving = plain ? here.run(rondo::start_server(function, "127.0.0.1", 0))
                         : here.run(rondo::start_server(coroutine, "127.0.0.1", 0));
  raw_peer peer = client_of(serving);
  here.until([&] {
    peer.receive_now();
    return peer.ended;
  });
  REQUIRE(here.messages.size() == 1);
  CHECK(here.messages[0].find("client_connected_cb") != std::string::npos);
  CHECK(text_of(here.errors[0]) == "handler");
  CHECK(serving.is_serving());
  CHECK(lines.warnings("dropped") == 0);
  serving.close();
  here.run(serving.wait_closed());
}

TEST_CASE("a handler that is cancelled closes its connection quietly",
          "[server][streams][rule-167]") {
  scene here;
  log_lines lines;
  rondo::any_task running;
  auto wait = [&](stream_reader reader, stream_writer) -> coro<> {
    running = rondo::current_task();
    co_await reader.read();
  };
  server serving = here.run(rondo::start_server(wait, "127.0.0.1", 0));
  raw_peer peer = client_of(serving);
  here.until([&] { return static_cast<bool>(running); });
  here.settle();
  running.cancel();
  here.until([&] {
    peer.receive_now();
    return peer.ended;
  });
  CHECK(here.messages.empty());
  CHECK(lines.warnings("") == 0);
  running = {};
  serving.close();
  here.run(serving.wait_closed());
}

TEST_CASE("a handler that forgets to close is told so", "[server][streams][rule-170][fault-H13]") {
  scene here;
  log_lines lines;
  auto forget = [](stream_reader reader, stream_writer) -> coro<> { co_await reader.read(1); };
  server serving = here.run(rondo::start_server(forget, "127.0.0.1", 0));
  raw_peer peer = client_of(serving);
  peer.send("x");
  here.until([&] {
    peer.receive_now();
    return peer.ended;
  });
  CHECK(lines.warnings("dropped without close") == 1);
  serving.close();
  here.run(serving.wait_closed());
}

TEST_CASE("a handler's captures live as long as its last task", "[server][streams][rule-167]") {
  scene here;
  auto shared = std::make_shared<int>(7);
  const std::weak_ptr<int> watched = shared;
  int seen = 0;
  {
    auto handler = [shared, &seen](stream_reader reader, stream_writer writer) -> coro<> {
      co_await reader.read(1);
      seen = *shared;
      writer.close();
    };
    shared.reset();
    server serving = here.run(rondo::start_server(std::move(handler), "127.0.0.1", 0));
    raw_peer peer = client_of(serving);
    here.settle();
    serving.close();
    peer.send("x");
    here.run(serving.wait_closed());
  }
  here.settle();
  CHECK(seen == 7);
  CHECK(watched.expired());
}

}  // namespace rondo_test
