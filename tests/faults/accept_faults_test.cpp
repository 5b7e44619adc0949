// SPDX-License-Identifier: MIT
// rondo tests: accepting, while the kernel fails.
#include <rondo/rondo.hpp>

#include "net/transport_fixture.hpp"
#include "support/fault_table.hpp"

namespace rondo_test {

namespace os = rondo::os;

namespace {

struct serving_scene : scene {
  serving_scene() {
    auto factory = [this] {
      all.push_back(std::make_shared<record>());
      return std::make_shared<recorder>(all.back());
    };
    server.emplace(run(loop().create_server(factory, "127.0.0.1", 0)));
    port = server->sockets().front().getsockname().port();
  }
  ~serving_scene() {
    server->close();
    server->abort_clients();
    server.reset();
    settle();
  }

  raw_peer client() const {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ::sockaddr_in where{};
    where.sin_family = AF_INET;
    where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    where.sin_port = htons(port);
    if (::connect(fd, reinterpret_cast<const ::sockaddr*>(&where), sizeof where) != 0) {
      throw std::runtime_error("no connection");
    }
    return raw_peer(fd);
  }
  [[nodiscard]] bool made(std::size_t count) const {
    return all.size() == count && all.back()->count("made") == 1;
  }

  std::vector<std::shared_ptr<record>> all;
  std::optional<rondo::server> server;
  std::uint16_t port = 0;
};

}  // namespace

TEST_CASE("out of descriptors: one report, existing clients served, queued ones later",
          "[faults][server][rule-207][fault-A1][fault-A2]") {
  const int error = GENERATE(EMFILE, ENFILE, ENOBUFS, ENOMEM);
  serving_scene here;
  raw_peer first = here.client();
  here.until([&] { return here.made(1); });
  {
    fault<&os::system_calls::accept4> accept;
    accept.fail_always(error);
    std::vector<raw_peer> waiting;
    for (int i = 0; i < 5; ++i) waiting.push_back(here.client());
    here.until([&] { return !here.messages.empty(); });
    for (int i = 0; i < 50; ++i) {
      here.loop().run_once(2ms);
      first.send("x");
    }
    CHECK(here.messages.size() == 1);
    CHECK(here.messages[0].find("out of system resource") != std::string::npos);
    CHECK(here.messages[0].find("127.0.0.1:") != std::string::npos);
    CHECK(errno_of(here.errors[0]) == error);
    CHECK(accept.calls() < 10);
    here.until([&] { return here.all[0]->data.size() == 50; });
    accept.heal();
    // A descriptor becomes free: nobody waits for the second to pass.
    const auto before = std::chrono::steady_clock::now();
    first.close();
    here.until([&] { return here.made(6); });
    CHECK(std::chrono::steady_clock::now() - before < 500ms);
    here.settle();
  }
  CHECK(here.server->is_serving());
}

TEST_CASE("connections that died in the queue are skipped in silence",
          "[faults][server][fault-A3][fault-A4]") {
  const int error = GENERATE(ECONNABORTED, EPROTO, EHOSTUNREACH, ENETDOWN, EPERM, EINTR);
  serving_scene here;
  fault<&os::system_calls::accept4> accept;
  accept.fail(1, error, 3);
  raw_peer client = here.client();
  here.until([&] { return here.made(1); });
  CHECK(here.messages.empty());
}

TEST_CASE("a reset in the queue does not disturb the rest", "[faults][server][fault-A3]") {
  serving_scene here;
  for (int i = 0; i < 5; ++i) here.client().reset();
  raw_peer client = here.client();
  client.send("here");
  here.until([&] {
    return std::any_of(here.all.begin(), here.all.end(),
                       [](const auto& each) { return each->data == "here"; });
  });
  for (const auto& each : here.all) {
    if (each->data != "here") here.until([&] { return each->lost; });
  }
  CHECK(here.messages.empty());
}

TEST_CASE("a listener that was closed behind our back ends the server with one clear error",
          "[faults][server][fault-A5]") {
  const int error = GENERATE(EBADF, EINVAL, ENOTSOCK);
  serving_scene here;
  auto forever = here.loop().create_task(here.server->serve_forever());
  here.settle();
  const auto fds = open_descriptors();
  const int listening = here.server->sockets().front().fileno();
  fault<&os::system_calls::accept4> accept;
  accept.fail_always(error);
  raw_peer client = here.client();
  here.until([&] { return forever.done(); });
  CHECK_THROWS_AS(forever.result(), std::system_error);
  REQUIRE(here.messages.size() == 1);
  CHECK(here.messages[0].find("Fatal") != std::string::npos);
  CHECK(errno_of(here.errors[0]) == error);
  CHECK_FALSE(here.server->is_serving());
  here.settle();
  CHECK(accept.calls() == 1);
  client.close();
  // The number of a descriptor that was closed already is not closed again; the others are.
  if (error == EINVAL) {
    CHECK(open_descriptors() == fds - 1);
  } else {
    ::close(listening);
  }
}

TEST_CASE("a failing TCP_NODELAY is no reason to refuse a connection",
          "[faults][server][fault-A14]") {
  scene here;
  fault<&os::system_calls::setsockopt> setsockopt;
  setsockopt.hook([](int, int level, int, const void*, ::socklen_t) -> std::optional<int> {
    if (level != IPPROTO_TCP) return std::nullopt;
    errno = ENOPROTOOPT;
    return -1;
  });
  auto notes = std::make_shared<record>();
  auto factory = [&] { return std::make_shared<recorder>(notes); };
  rondo::server serving = here.run(here.loop().create_server(factory, "127.0.0.1", 0));
  auto made =
      here.run(rondo::open_connection("127.0.0.1", serving.sockets().front().getsockname().port()));
  made.writer.write("works");
  here.until([&] { return notes->data == "works"; });
  made.writer.close();
  here.until([&] { return notes->lost; });
  serving.close();
  here.settle();
}

TEST_CASE("a listen that fails is thrown, with the address", "[faults][server][fault-A10]") {
  scene here;
  fault<&os::system_calls::listen> listen;
  listen.fail(2, EADDRINUSE);
  auto factory = [] { return std::make_shared<recorder>(); };
  const std::array<std::string_view, 2> hosts{"127.0.0.1", "127.0.0.2"};
  std::string text;
  try {
    here.run(here.loop().create_server(factory, hosts, 0));
  } catch (const std::system_error& error) {
    text = error.what();
  }
  CHECK(text.find("127.0.0.2:") != std::string::npos);
}

TEST_CASE("a burst takes at most the backlog per turn", "[faults][server][fault-A12]") {
  scene here;
  std::size_t made = 0;
  std::vector<std::shared_ptr<record>> all;
  auto factory = [&] {
    ++made;
    all.push_back(std::make_shared<record>());
    return std::make_shared<recorder>(all.back());
  };
  rondo::server serving =
      here.run(here.loop().create_server(factory, "127.0.0.1", 0, {.backlog = 10}));
  const auto where = serving.sockets().front().getsockname();
  std::vector<rondo::socket> clients;
  for (int i = 0; i < 10; ++i) {
    rondo::socket client(AF_INET, SOCK_STREAM);
    ::sockaddr_in raw{};
    raw.sin_family = AF_INET;
    raw.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    raw.sin_port = htons(where.port());
    ::connect(client.fileno(), reinterpret_cast<const ::sockaddr*>(&raw), sizeof raw);
    clients.push_back(std::move(client));
  }
  std::size_t most = 0;
  here.until([&] {
    const std::size_t before = made;
    here.loop().run_once(10ms);
    most = std::max(most, made - before);
    return made == 10;
  });
  CHECK(most <= 10);
  clients.clear();
  serving.close();
  here.run(serving.wait_closed());
}

}  // namespace rondo_test
