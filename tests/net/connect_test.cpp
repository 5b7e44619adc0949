// SPDX-License-Identifier: MIT
// rondo tests: connecting to hosts and binding listeners.
#include "transport/connect.hpp"

#include <rondo/errors.hpp>
#include <rondo/event_loop.hpp>
#include <rondo/sleep.hpp>
#include <rondo/task.hpp>
#include <rondo/timeouts.hpp>

#include "net/net_support.hpp"
#include "support/catch.hpp"
#include "support/fault_table.hpp"
#include "transport/operation_awaiter.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <exception>
#include <fstream>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using namespace std::string_literals;
using rondo::address;
using rondo::connect_error;
using rondo::connect_options;
using rondo::coro;
using rondo::detail::bind_listeners;
using rondo::detail::bind_unix_listener;
using rondo::detail::connect_any;
using rondo::detail::connect_to;
using rondo_test::closed_port;
using rondo_test::descriptor_count;
using rondo_test::fault;
using rondo_test::listener;
using rondo_test::resolve_all_to;
using rondo_test::silent_listener;

using calls = rondo::os::system_calls;
namespace aio = rondo;

aio::socket open(rondo::event_loop& loop, std::string_view host, std::string_view service,
                 const connect_options& options = {}) {
  return loop.run_until_complete(connect_any(loop, host, service, options));
}

template <class F>
std::optional<connect_error> connect_failure(F&& f) {
  try {
    f();
  } catch (const connect_error& e) {
    return e;
  }
  return std::nullopt;
}

template <class F>
std::string invalid(F&& f) {
  try {
    f();
  } catch (const std::invalid_argument& e) {
    return e.what();
  }
  return {};
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST_CASE("connect: to a literal address", "[connect][rule-195]") {
  rondo::selector_event_loop loop;
  fault<&calls::getaddrinfo> names;
  listener server;
  const aio::socket made = open(loop, "127.0.0.1", server.service());
  CHECK(made.getpeername() == server.where());
  CHECK(made.type() == SOCK_STREAM);
  auto [accepted, peer] = server.get().accept();
  CHECK(peer == made.getsockname());
  CHECK(names.calls() == 0);

  listener six("::1");
  CHECK(open(loop, "::1", six.service()).getpeername() == six.where());
}

TEST_CASE("connect: to a name and to no host", "[connect][rule-196]") {
  rondo::selector_event_loop loop;
  listener server;
  CHECK(open(loop, "localhost", server.service()).getpeername() == server.where());
  CHECK(open(loop, "", server.service()).getpeername() == server.where());
  CHECK(open(loop, "localhost", server.service(), {.family = AF_INET}).family() == AF_INET);
}

TEST_CASE("connect: the arguments are copied", "[connect]") {
  rondo::selector_event_loop loop;
  listener server;
  std::optional<rondo::coro<aio::socket>> connecting;
  {
    std::string host = "127.0.0.1";
    std::string service = server.service();
    std::string local = "127.0.0.1";
    connect_options options;
    options.local_addr = rondo::host_port{local, 0};
    connecting.emplace(connect_any(loop, host, service, options));
    host.assign(host.size(), '#');
    service.assign(service.size(), '#');
    local.assign(local.size(), '#');
  }
  CHECK(loop.run_until_complete(std::move(*connecting)).getpeername() == server.where());
}

TEST_CASE("connect: addresses are tried in order", "[connect][rule-196]") {
  rondo::selector_event_loop loop;
  closed_port first;
  closed_port second("127.0.0.2");
  listener third;
  listener fourth;
  resolve_all_to(loop, {first.where(), second.where(), third.where(), fourth.where()});
  const descriptor_count before;
  {
    fault<&calls::socket> sockets;
    const aio::socket made = open(loop, "name", "1");
    CHECK(made.getpeername() == third.where());
    CHECK(sockets.calls() == 3);
  }
  CHECK(before.unchanged());
}

TEST_CASE("connect: one error keeps its code and names the address", "[connect][rule-196]") {
  rondo::selector_event_loop loop;
  closed_port none;
  const descriptor_count before;
  const auto error = connect_failure([&] { open(loop, "127.0.0.1", none.service()); });
  REQUIRE(error);
  CHECK(error->code() == std::errc::connection_refused);
  REQUIRE(error->attempts().size() == 1);
  CHECK(error->attempts()[0].address == none.where());
  CHECK(error->attempts()[0].code == std::errc::connection_refused);
  CHECK(contains(error->what(), none.where().to_string()));
  CHECK(contains(error->what(), "Connection refused"));
  CHECK(before.unchanged());
}

TEST_CASE("connect: several errors are all told", "[connect][rule-196][fault-K5]") {
  rondo::selector_event_loop loop;
  const std::vector<address> targets = {address("127.0.0.1", 1), address("127.0.0.2", 2),
                                        address("127.0.0.3", 3), address("127.0.0.4", 4),
                                        address("127.0.0.5", 5)};
  const std::array errors = {ECONNREFUSED, EHOSTUNREACH, EACCES, EADDRNOTAVAIL, ETIMEDOUT};
  resolve_all_to(loop, targets);
  const descriptor_count before;
  fault<&calls::connect> call;
  for (std::size_t i = 0; i < errors.size(); ++i) call.fail(static_cast<int>(i) + 1, errors[i]);
  const auto error = connect_failure([&] { open(loop, "name", "1"); });
  REQUIRE(error);
  REQUIRE(error->attempts().size() == 5);
  for (std::size_t i = 0; i < errors.size(); ++i) {
    CHECK(error->attempts()[i].address == targets[i]);
    CHECK(error->attempts()[i].code.value() == errors[i]);
    CHECK(contains(error->what(), targets[i].to_string() + ": " + std::strerror(errors[i])));
  }
  CHECK(error->code().value() == ETIMEDOUT);
  const connect_error copy = *error;
  CHECK(copy.attempts().size() == 5);
  CHECK(before.unchanged());
}

TEST_CASE("connect: all errors as a group", "[connect][rule-196]") {
  rondo::selector_event_loop loop;
  closed_port none;
  try {
    open(loop, "127.0.0.1", none.service(), {.all_errors = true});
    FAIL("connected");
  } catch (const rondo::exception_group& group) {
    REQUIRE(group.exceptions().size() == 1);
    try {
      std::rethrow_exception(group.exceptions()[0]);
    } catch (const std::system_error& e) {
      CHECK(e.code() == std::errc::connection_refused);
      CHECK(contains(e.what(), none.where().to_string()));
    }
  }
}

TEST_CASE("connect: no socket is an error of that address", "[connect][rule-196]") {
  rondo::selector_event_loop loop;
  listener server;
  resolve_all_to(loop, {address("::1", 1), server.where()});
  fault<&calls::socket> call;
  call.fail(1, EAFNOSUPPORT);
  CHECK(open(loop, "name", "1").getpeername() == server.where());
  call.restart();
  call.heal().fail(1, EMFILE).fail(2, EMFILE);
  const auto error = connect_failure([&] { open(loop, "name", "1"); });
  REQUIRE(error);
  CHECK(error->code() == std::errc::too_many_files_open);
}

TEST_CASE("connect: an empty list and ten thousand addresses", "[connect][fault-K3][fault-K10]") {
  rondo::selector_event_loop loop;
  resolve_all_to(loop, {});
  try {
    open(loop, "some.name", "1");
    FAIL("connected");
  } catch (const rondo::resolve_error& e) {
    CHECK(contains(e.what(), "empty list"));
    CHECK(contains(e.what(), "some.name"));
  }
  std::vector<address> many;
  for (int i = 0; i < 10'000; ++i) {
    many.emplace_back("127.1." + std::to_string(i / 250) + '.' + std::to_string(i % 250), 1);
  }
  resolve_all_to(loop, many);
  fault<&calls::connect> call;
  call.fail_always(ECONNREFUSED);
  const auto error = connect_failure([&] { open(loop, "some.name", "1"); });
  REQUIRE(error);
  CHECK(call.calls() == 64);
  CHECK(error->attempts().size() == 64);
  CHECK(std::string(error->what()).size() < 4096);
}

TEST_CASE("connect: a local address", "[connect][rule-197]") {
  rondo::selector_event_loop loop;
  listener server;
  CHECK(open(loop, "127.0.0.1", server.service(), {.local_addr = rondo::host_port{"127.0.0.9", 0}})
            .getsockname()
            .host() == "127.0.0.9");
  closed_port own("127.0.0.1");
  const std::uint16_t port = own.port();
  {
    const descriptor_count before;
    const auto error = connect_failure([&] {
      open(loop, "127.0.0.1", server.service(),
           {.local_addr = rondo::host_port{"127.0.0.1", port}});
    });
    REQUIRE(error);
    CHECK(error->code() == std::errc::address_in_use);
    CHECK(contains(error->what(), own.where().to_string()));
    CHECK(contains(error->what(), server.where().to_string()));
    CHECK(before.unchanged());
  }
  // The local address of the other family is no use, and said to be.
  listener six("::1");
  const auto error = connect_failure([&] {
    open(loop, "::1", six.service(), {.local_addr = rondo::host_port{"127.0.0.1", 0}});
  });
  REQUIRE(error);
  CHECK(error->code() == std::errc::address_not_available);
  CHECK(contains(error->what(), "family"));
}

TEST_CASE("connect: local addresses of the right family, the next where one fails",
          "[connect][rule-197][fault-K8]") {
  rondo::selector_event_loop loop;
  listener server;
  closed_port taken;
  auto answer = [&](std::string host, std::string,
                    rondo::resolve_options) -> coro<std::vector<rondo::address_info>> {
    std::vector<rondo::address_info> result;
    if (host == "local") {
      result.push_back(rondo_test::stream_to(address("::1", 0)));
      result.push_back(rondo_test::stream_to(taken.where()));
      result.push_back(rondo_test::stream_to(address("127.0.0.7", 0)));
    } else {
      result.push_back(rondo_test::stream_to(address("::1", server.port())));
      result.push_back(rondo_test::stream_to(server.where()));
    }
    co_return result;
  };
  loop.set_resolver(answer);
  const descriptor_count before;
  {
    const aio::socket made =
        open(loop, "remote", "1", {.local_addr = rondo::host_port{"local", 0}});
    CHECK(made.getpeername() == server.where());
    CHECK(made.getsockname().host() == "127.0.0.7");
  }
  CHECK(before.unchanged());
}

TEST_CASE("connect: a socket that is connected to itself is refused", "[connect][fault-B25]") {
  rondo::selector_event_loop loop;
  const descriptor_count before;
  for (const char* host : {"127.0.0.1", "0.0.0.0"}) {
    CAPTURE(host);
    std::string service;
    std::uint16_t port = 0;
    {
      closed_port free;
      service = free.service();
      port = free.port();
    }
    const auto error = connect_failure([&] {
      open(loop, host, service, {.local_addr = rondo::host_port{"127.0.0.1", port}});
    });
    REQUIRE(error);
    CHECK(error->code() == std::errc::connection_refused);
    CHECK(before.unchanged());
  }
}

TEST_CASE("connect: interleaved families", "[connect][rule-198]") {
  rondo::selector_event_loop loop;
  std::vector<address> targets;
  for (std::uint16_t i = 1; i <= 4; ++i) targets.emplace_back("::1", i);
  for (std::uint16_t i = 11; i <= 12; ++i) targets.emplace_back("127.0.0.1", i);
  resolve_all_to(loop, targets);
  fault<&calls::connect> call;
  call.fail_always(ECONNREFUSED);
  const auto order = [&](const connect_options& options) {
    std::vector<int> ports;
    const auto error = connect_failure([&] { open(loop, "name", "1", options); });
    for (const auto& each : error.value().attempts()) ports.push_back(each.address.port());
    return ports;
  };
  CHECK(order({}) == std::vector{1, 2, 3, 4, 11, 12});
  CHECK(order({.interleave = 0}) == std::vector{1, 2, 3, 4, 11, 12});
  CHECK(order({.interleave = 1}) == std::vector{1, 11, 2, 12, 3, 4});
  CHECK(order({.interleave = 2}) == std::vector{1, 2, 11, 3, 12, 4});
  CHECK(order({.interleave = 9}) == std::vector{1, 2, 3, 4, 11, 12});
  CHECK(order({.happy_eyeballs_delay = 1s}) == std::vector{1, 11, 2, 12, 3, 4});
  CHECK(order({.happy_eyeballs_delay = 1s, .interleave = 2}) == std::vector{1, 2, 11, 3, 12, 4});
}

TEST_CASE("connect: side by side, the first hangs and the second answers",
          "[connect][rule-199][fault-K6]") {
  rondo::selector_event_loop loop;
  silent_listener silent;
  listener server;
  listener never;
  resolve_all_to(loop, {silent.where(), server.where(), never.where()});
  const descriptor_count before;
  {
    const auto begin = rondo::clock::now();
    const aio::socket made = open(loop, "name", "1", {.happy_eyeballs_delay = 20ms});
    const auto took = rondo::clock::now() - begin;
    CHECK(made.getpeername() == server.where());
    CHECK(took >= 19ms);
    CHECK(took < 2s);
    CHECK(rondo::all_tasks(loop).empty());
  }
  CHECK(before.unchanged());
}

TEST_CASE("connect: side by side, a failure begins the next at once", "[connect][rule-199]") {
  rondo::selector_event_loop loop;
  closed_port closed;
  closed_port closed2;
  listener server;
  resolve_all_to(loop, {closed.where(), closed2.where(), server.where()});
  const descriptor_count before;
  {
    const auto begin = rondo::clock::now();
    CHECK(open(loop, "name", "1", {.happy_eyeballs_delay = 60s}).getpeername() == server.where());
    CHECK(rondo::clock::now() - begin < 10s);
  }
  CHECK(before.unchanged());
  resolve_all_to(loop, {closed.where(), closed2.where()});
  const auto error =
      connect_failure([&] { open(loop, "name", "1", {.happy_eyeballs_delay = 60s}); });
  REQUIRE(error);
  CHECK(error->attempts().size() == 2);
  CHECK(before.unchanged());
}

TEST_CASE("connect: side by side, both answer at once", "[connect][rule-199][fault-K6]") {
  rondo::selector_event_loop loop;
  // Nobody accepts: the queue has room for all of them.
  listener one("127.0.0.1", 64);
  listener two("127.0.0.1", 64);
  resolve_all_to(loop, {one.where(), two.where()});
  const descriptor_count before;
  for (int i = 0; i < 20; ++i) {
    const aio::socket made = open(loop, "name", "1", {.happy_eyeballs_delay = 0s});
    CHECK(made);
  }
  CHECK(before.unchanged());
  CHECK(rondo::all_tasks(loop).empty());
}

TEST_CASE("connect: cancelled while it hangs", "[connect][rule-200][fault-K7]") {
  rondo::selector_event_loop loop;
  silent_listener silent;
  silent_listener silent2;
  loop.run_once();
  const bool side_by_side = GENERATE(false, true);
  CAPTURE(side_by_side);
  resolve_all_to(loop, {silent.where(), silent2.where()});
  connect_options options;
  if (side_by_side) options.happy_eyeballs_delay = 5ms;
  const descriptor_count before;
  auto body = [&]() -> coro<> {
    const auto connecting = rondo::create_task(connect_any(loop, "name", "1", options));
    co_await rondo::sleep(30ms);
    CHECK_FALSE(before.unchanged());
    connecting.cancel();
    bool cancelled = false;
    try {
      co_await connecting;
    } catch (const rondo::cancelled_error&) {
      cancelled = true;
    }
    CHECK(cancelled);
    // Closed before anybody hears of it.
    CHECK(before.unchanged());
    CHECK(rondo::all_tasks().size() == 1);
  };
  loop.run_until_complete(body());
  CHECK(before.unchanged());
}

TEST_CASE("connect: cancelled after each number of steps", "[connect][rule-200][fault-K7]") {
  rondo::selector_event_loop loop;
  closed_port closed;
  silent_listener silent;
  listener server("127.0.0.1", 1024);
  const bool side_by_side = GENERATE(false, true);
  CAPTURE(side_by_side);
  resolve_all_to(loop, {closed.where(), silent.where(), server.where()});
  connect_options options;
  if (side_by_side) options.happy_eyeballs_delay = 100us;
  loop.run_once();
  const descriptor_count before;
  auto body = [&]() -> coro<> {
    for (int steps = 0; steps < 40; ++steps) {
      {
        const auto connecting = rondo::create_task(connect_any(loop, "name", "1", options));
        for (int i = 0; i < steps; ++i) {
          co_await rondo::yield_now();
          if (i > 10) co_await rondo::sleep(20us);
        }
        connecting.cancel();
        try {
          co_await connecting;
        } catch (const rondo::cancelled_error&) {
        }
      }
      if (!before.unchanged()) FAIL("a descriptor is left after " << steps << " steps");
    }
  };
  loop.run_until_complete(body());
  CHECK(rondo::all_tasks(loop).empty());
  CHECK(before.unchanged());
}

TEST_CASE("connect: the loop goes while it hangs", "[connect][fault-K7]") {
  const bool side_by_side = GENERATE(false, true);
  CAPTURE(side_by_side);
  silent_listener silent;
  silent_listener silent2;
  const descriptor_count before;
  {
    rondo::selector_event_loop loop;
    loop.set_exception_handler([](rondo::event_loop&, const rondo::exception_context&) {});
    resolve_all_to(loop, {silent.where(), silent2.where()});
    connect_options options;
    if (side_by_side) options.happy_eyeballs_delay = 0s;
    const auto connecting = loop.create_task(connect_any(loop, "name", "1", options));
    for (int i = 0; i < 10; ++i) loop.run_once();
    CHECK_FALSE(connecting.done());
  }
  CHECK(before.unchanged());
}

TEST_CASE("connect: a timeout ends it", "[connect][rule-200]") {
  rondo::selector_event_loop loop;
  silent_listener silent;
  loop.run_once();
  const descriptor_count before;
  auto body = [&]() -> coro<> {
    aio::socket made = co_await rondo::wait_for(
        connect_any(loop, "127.0.0.1", silent.service(), {}), rondo::interval(20ms));
    CHECK_FALSE(made);
  };
  CHECK_THROWS_AS(loop.run_until_complete(body()), rondo::timeout_error);
  CHECK(before.unchanged());
}

TEST_CASE("connect: bad options are refused before anything is done", "[connect][rule-194]") {
  rondo::selector_event_loop loop;
  fault<&calls::socket> sockets;
  fault<&calls::getaddrinfo> names;
  const auto complaint = [&](const connect_options& options) {
    return invalid([&] { open(loop, "some.name", "80", options); });
  };
  CHECK(contains(complaint({.server_hostname = "x"}), "server_hostname"));
  CHECK(contains(complaint({.ssl_handshake_timeout = 1s}), "ssl_handshake_timeout"));
  CHECK(contains(complaint({.ssl_shutdown_timeout = 1s}), "ssl_shutdown_timeout"));
  CHECK(contains(complaint({.happy_eyeballs_delay = -1s}), "happy_eyeballs_delay"));
  CHECK(contains(complaint({.interleave = -1}), "interleave"));
  CHECK(contains(complaint({.family = AF_UNIX}), "family"));
  CHECK(contains(complaint({.limit = 0}), "limit"));
  CHECK(contains(invalid([&] { open(loop, "127.0.0.1", "65536"); }), "65536"));
  rondo::server_options server;
  server.backlog = -1;
  CHECK(contains(invalid([&] { rondo::detail::check_options(server); }), "backlog"));
  server = {};
  server.ssl_handshake_timeout = 1s;
  CHECK(contains(invalid([&] { rondo::detail::check_options(server); }), "ssl_handshake_timeout"));
  CHECK(sockets.calls() == 0);
  CHECK(names.calls() == 0);
}

// ---- one address -------------------------------------------------------------------

TEST_CASE("connect: a unix path", "[connect]") {
  rondo::selector_event_loop loop;
  const std::string path = "/tmp/rondo-connect-" + std::to_string(::getpid());
  {
    aio::socket server = bind_unix_listener(path);
    server.listen(8);
    CHECK(
        loop.run_until_complete(connect_to(loop, address::unix_path(path))).getpeername().path() ==
        path);
  }
  const auto error =
      connect_failure([&] { loop.run_until_complete(connect_to(loop, address::unix_path(path))); });
  REQUIRE(error);
  CHECK(error->code() == std::errc::connection_refused);
  CHECK(contains(error->what(), path));
  ::unlink(path.c_str());
  const auto missing =
      connect_failure([&] { loop.run_until_complete(connect_to(loop, address::unix_path(path))); });
  REQUIRE(missing);
  CHECK(missing->code() == std::errc::no_such_file_or_directory);
}

TEST_CASE("connect: a unix socket whose queue is full is waited for", "[connect]") {
  rondo::selector_event_loop loop;
  const std::string name = "\0rondo-full-"s + std::to_string(::getpid());
  aio::socket server = bind_unix_listener(name);
  server.listen(0);
  auto body = [&]() -> coro<> {
    std::vector<rondo::task<aio::socket>> connecting;
    for (int i = 0; i < 4; ++i) {
      connecting.push_back(rondo::create_task(connect_to(loop, address::unix_path(name))));
    }
    co_await rondo::sleep(10ms);
    const auto waiting = std::count_if(connecting.begin(), connecting.end(),
                                       [](const auto& each) { return !each.done(); });
    CHECK(waiting > 0);
    std::vector<aio::socket> accepted;
    while (accepted.size() < connecting.size()) {
      try {
        accepted.push_back(server.accept().first);
      } catch (const std::system_error&) {
      }
      co_await rondo::sleep(1ms);
    }
    for (const auto& each : connecting) co_await each;
  };
  loop.run_until_complete(body());
}

TEST_CASE("connect: a socket of the user's stays open and his", "[connect][rule-201]") {
  rondo::selector_event_loop loop;
  closed_port closed;
  aio::socket own(AF_INET, SOCK_STREAM);
  const auto error = connect_failure(
      [&] { loop.run_until_complete(rondo::detail::connect_socket(loop, own, closed.where())); });
  REQUIRE(error);
  CHECK(error->code() == std::errc::connection_refused);
  CHECK(contains(error->what(), closed.where().to_string()));
  CHECK(own.type() == SOCK_STREAM);
}

// ---- operations --------------------------------------------------------------------

TEST_CASE("operation: completes later, and at once", "[connect][operation]") {
  rondo::selector_event_loop loop;
  auto [a, b] = aio::socket::pair();
  auto body = [&]() -> coro<> {
    std::array<char, 8> memory{};
    rondo::detail::operation_awaiter later(loop, rondo::operation_kind::receive, a.fileno(),
                                           memory.data(), memory.size());
    auto write = [&] { CHECK(::send(b.fileno(), "xyz", 3, 0) == 3); };
    loop.call_soon(write);
    const std::int64_t received = co_await later;
    CHECK(received == 3);
    write();
    rondo::detail::operation_awaiter now(loop, rondo::operation_kind::receive, a.fileno(),
                                         memory.data(), memory.size());
    const auto before = loop.metrics().iterations;
    const std::int64_t again = co_await now;
    CHECK(again == 3);
    CHECK(loop.metrics().iterations == before);
    rondo::detail::operation_awaiter bad(loop, rondo::operation_kind::receive, -1, memory.data(),
                                         1);
    const std::int64_t failed = co_await bad;
    CHECK(failed == -EBADF);
  };
  loop.run_until_complete(body());
}

TEST_CASE("operation: cancelled while it waits", "[connect][operation]") {
  rondo::selector_event_loop loop;
  auto [a, b] = aio::socket::pair();
  auto receive = [&](std::array<char, 8>& memory) -> coro<std::int64_t> {
    rondo::detail::operation_awaiter later(loop, rondo::operation_kind::receive, a.fileno(),
                                           memory.data(), memory.size());
    const std::int64_t result = co_await later;
    co_return result;
  };
  auto body = [&]() -> coro<> {
    std::array<char, 8> memory{};
    const auto waiting = rondo::create_task(receive(memory));
    co_await rondo::yield_now();
    waiting.cancel("enough");
    waiting.cancel("more than enough");
    std::string message;
    try {
      co_await waiting;
    } catch (const rondo::cancelled_error& e) {
      message = e.message();
    }
    // As asyncio: the second request finds the first one on its way.
    CHECK(message == "enough");
    // Nothing of it is left: the bytes go to the next one.
    CHECK(::send(b.fileno(), "xyz", 3, 0) == 3);
    const std::int64_t received = co_await receive(memory);
    CHECK(received == 3);
  };
  loop.run_until_complete(body());
}

TEST_CASE("operation: a result that is there is kept when the task is cancelled",
          "[connect][operation]") {
  rondo::selector_event_loop loop;
  auto [a, b] = aio::socket::pair();
  std::int64_t received = 0;
  bool next_await_threw = false;
  auto receive = [&]() -> coro<> {
    std::array<char, 8> memory{};
    rondo::detail::operation_awaiter later(loop, rondo::operation_kind::receive, a.fileno(),
                                           memory.data(), memory.size());
    received = co_await later;
    try {
      co_await rondo::yield_now();
    } catch (const rondo::cancelled_error&) {
      next_await_threw = true;
      throw;
    }
  };
  const auto waiting = loop.create_task(receive());
  loop.run_once();
  REQUIRE(::send(b.fileno(), "xyz", 3, 0) == 3);
  // The event queues the task's step; the cancellation comes before that runs.
  for (int i = 0; i < 10 && received == 0; ++i) {
    if (i == 1) waiting.cancel();
    loop.run_once();
  }
  while (!waiting.done()) loop.run_once();
  CHECK(received == 3);
  CHECK(next_await_threw);
  CHECK(waiting.cancelled());
}

TEST_CASE("operation: its frame is destroyed while it waits", "[connect][operation]") {
  auto [a, b] = aio::socket::pair();
  {
    rondo::selector_event_loop loop;
    loop.set_exception_handler([](rondo::event_loop&, const rondo::exception_context&) {});
    auto receive = [&]() -> coro<> {
      std::array<char, 8> memory{};
      rondo::detail::operation_awaiter later(loop, rondo::operation_kind::receive, a.fileno(),
                                             memory.data(), memory.size());
      static_cast<void>(co_await later);
    };
    const auto waiting = loop.create_task(receive());
    loop.run_once();
    CHECK_FALSE(waiting.done());
  }
  CHECK(::send(b.fileno(), "xyz", 3, 0) == 3);
}

// ---- listening ---------------------------------------------------------------------

std::vector<aio::socket> bind_to(rondo::event_loop& loop, std::vector<std::string> hosts,
                                 std::string_view service,
                                 const rondo::server_options& options = {}) {
  std::vector<aio::socket> bound;
  auto body = [&]() -> coro<> {
    bound = co_await bind_listeners(loop, std::move(hosts), service, options);
  };
  loop.run_until_complete(body());
  return bound;
}

TEST_CASE("listen: no host is all interfaces, one socket a family", "[listen][rule-202]") {
  rondo::selector_event_loop loop;
  for (const auto& hosts : {std::vector<std::string>{}, std::vector<std::string>{""}}) {
    const auto bound = bind_to(loop, hosts, "0");
    REQUIRE(bound.size() == 2);
    CHECK(bound[0].getsockname().host() == "0.0.0.0");
    CHECK(bound[1].getsockname().host() == "::");
  }
  CHECK(bind_to(loop, {}, "0", {.family = AF_INET}).size() == 1);
}

TEST_CASE("listen: a port of its own for every socket", "[listen][rule-203]") {
  rondo::selector_event_loop loop;
  const auto bound = bind_to(loop, {"127.0.0.1", "127.0.0.2"}, "");
  REQUIRE(bound.size() == 2);
  CHECK(bound[0].getsockname().port() != 0);
  CHECK(bound[1].getsockname().port() != 0);
}

TEST_CASE("listen: duplicates are bound once", "[listen][rule-202]") {
  rondo::selector_event_loop loop;
  closed_port free;
  const std::string service = "0";
  CHECK(bind_to(loop, {"127.0.0.1", "127.0.0.1", "::1", "127.0.0.1"}, service).size() == 2);
}

TEST_CASE("listen: hosts are resolved side by side", "[listen][rule-202]") {
  rondo::selector_event_loop loop;
  int asking = 0;
  int most = 0;
  auto answer = [&](std::string host) -> coro<std::vector<rondo::address_info>> {
    most = std::max(most, ++asking);
    co_await rondo::sleep(5ms);
    --asking;
    if (host == "bad") throw rondo::resolve_error(EAI_NONAME, "no bad");
    std::vector<rondo::address_info> result;
    result.push_back(rondo_test::stream_to(address("127.0.0.1", 0)));
    co_return result;
  };
  loop.set_resolver(
      [&](std::string host, std::string, rondo::resolve_options) { return answer(host); });
  CHECK(bind_to(loop, {"a", "b", "c"}, "0").size() == 1);
  CHECK(most == 3);
  const descriptor_count before;
  CHECK_THROWS_AS(bind_to(loop, {"a", "bad", "slow"}, "0"), rondo::resolve_error);
  loop.run_once(50ms);
  CHECK(before.unchanged());
}

TEST_CASE("listen: options of the sockets", "[listen][rule-204]") {
  rondo::selector_event_loop loop;
  auto bound = bind_to(loop, {"127.0.0.1", "::1"}, "0");
  for (const auto& each : bound) {
    CHECK(each.get_option(SOL_SOCKET, SO_REUSEADDR) == 1);
    CHECK(each.get_option(SOL_SOCKET, SO_REUSEPORT) == 0);
    CHECK(each.get_option(SOL_SOCKET, SO_ACCEPTCONN) == 0);
  }
  CHECK(bound[1].get_option(IPPROTO_IPV6, IPV6_V6ONLY) == 1);
  bound = bind_to(loop, {"127.0.0.1"}, "0", {.reuse_address = false, .reuse_port = true});
  CHECK(bound[0].get_option(SOL_SOCKET, SO_REUSEADDR) == 0);
  CHECK(bound[0].get_option(SOL_SOCKET, SO_REUSEPORT) == 1);
}

TEST_CASE("listen: a port in use closes all and names the address",
          "[listen][rule-205][fault-A10]") {
  rondo::selector_event_loop loop;
  listener taken("127.0.0.2");
  const descriptor_count before;
  try {
    bind_to(loop, {"127.0.0.1", "127.0.0.2"}, taken.service());
    FAIL("bound");
  } catch (const std::system_error& e) {
    CHECK(e.code() == std::errc::address_in_use);
    CHECK(contains(e.what(), taken.where().to_string()));
  }
  CHECK(before.unchanged());
  fault<&calls::bind> call;
  call.fail(2, EACCES);
  CHECK_THROWS_AS(bind_to(loop, {"127.0.0.1", "127.0.0.2"}, "0"), std::system_error);
  CHECK(before.unchanged());
}

TEST_CASE("listen: what this machine does not have is left out", "[listen][rule-205][fault-A10]") {
  rondo::selector_event_loop loop;
  const descriptor_count before;
  CHECK(bind_to(loop, {"192.0.2.77", "127.0.0.1"}, "0").size() == 1);
  try {
    bind_to(loop, {"192.0.2.77"}, "0");
    FAIL("bound");
  } catch (const std::system_error& e) {
    CHECK(e.code() == std::errc::address_not_available);
    CHECK(contains(e.what(), "192.0.2.77"));
  }
  {
    fault<&calls::socket> call;
    call.fail(2, EAFNOSUPPORT);
    CHECK(bind_to(loop, {}, "0").size() == 1);
    call.restart();
    call.heal().fail(1, EMFILE);
    CHECK_THROWS_AS(bind_to(loop, {}, "0"), std::system_error);
  }
  CHECK(before.unchanged());
}

TEST_CASE("listen: options that the kernel refuses are errors", "[listen][fault-A14]") {
  rondo::selector_event_loop loop;
  const descriptor_count before;
  fault<&calls::setsockopt> call;
  call.fail(2, ENOPROTOOPT);
  try {
    bind_to(loop, {"127.0.0.1"}, "0", {.reuse_port = true});
    FAIL("bound");
  } catch (const std::system_error& e) {
    CHECK(e.code() == std::errc::no_protocol_option);
    CHECK(contains(e.what(), "SO_REUSEPORT"));
  }
  CHECK(before.unchanged());
}

TEST_CASE("listen: unix paths", "[listen]") {
  const std::string path = "/tmp/rondo-listen-" + std::to_string(::getpid());
  const descriptor_count before;
  {
    const aio::socket first = bind_unix_listener(path);
    CHECK(first.getsockname().path() == path);
    // A socket that is left there is replaced.
    const aio::socket second = bind_unix_listener(path);
    CHECK(second.getsockname().path() == path);
  }
  ::unlink(path.c_str());
  std::ofstream(path) << "data";
  try {
    static_cast<void>(bind_unix_listener(path));
    FAIL("bound");
  } catch (const std::system_error& e) {
    CHECK(e.code() == std::errc::address_in_use);
    CHECK(contains(e.what(), path));
  }
  struct ::stat found = {};
  CHECK(::stat(path.c_str(), &found) == 0);
  CHECK(found.st_size == 4);
  ::unlink(path.c_str());

  const std::string abstract = "\0rondo-listen-"s + std::to_string(::getpid());
  const aio::socket one = bind_unix_listener(abstract);
  CHECK_THROWS_AS(bind_unix_listener(abstract), std::system_error);
  CHECK_THROWS_AS(bind_unix_listener(""), std::invalid_argument);
  CHECK_THROWS_AS(bind_unix_listener(std::string(200, 'x')), std::invalid_argument);
}

}  // namespace
