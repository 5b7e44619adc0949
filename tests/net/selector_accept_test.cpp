// SPDX-License-Identifier: MIT
// rondo tests: accepting through a selector backend.
#include "net/selector_harness.hpp"

#include <rondo/errors.hpp>

#include <sys/resource.h>

using namespace selector_test;

namespace {

class door_keeper final : public rondo::accept_sink {
 public:
  explicit door_keeper(int most = 100) : budget(most) {}

  void on_accept(int fd, const void* address, std::size_t size) override {
    accepted.emplace_back(fd);
    family = static_cast<const sockaddr*>(address)->sa_family;
    address_size = size;
    if (const auto call = then) call();
  }
  void on_accept_error(int code, rondo::interval retry_after, bool fatal) override {
    errors.push_back(code);
    last_retry = retry_after;
    fatals += fatal ? 1 : 0;
    if (const auto call = at_error) call();
  }
  [[nodiscard]] int accept_budget() const noexcept override { return budget; }

  int budget;
  std::vector<descriptor> accepted;
  std::vector<int> errors;
  rondo::interval last_retry;
  int fatals = 0;
  int family = 0;
  std::size_t address_size = 0;
  std::function<void()> then;
  std::function<void()> at_error;
};

std::vector<descriptor> connect_many(tcp_listener& listener, int count) {
  std::vector<descriptor> result;
  for (int i = 0; i < count; ++i) result.push_back(listener.connect());
  return result;
}

}  // namespace

TEST_CASE("connections are accepted non-blocking and close-on-exec", "[rule-207]") {
  const bool level = GENERATE(false, true);
  harness h(level);
  tcp_listener listener;
  const std::vector<descriptor> early = connect_many(listener, 2);  // before we listen to it
  library_descriptor door(h, std::move(listener.fd));
  door_keeper keeper;
  h.io().start_accepting(door.state(), keeper);
  h.turn();
  CHECK(keeper.accepted.size() == 2);
  const std::vector<descriptor> later = connect_many(listener, 3);
  REQUIRE(h.run_until([&] { return keeper.accepted.size() == 5; }));
  for (const descriptor& fd : keeper.accepted) {
    CHECK((::fcntl(fd.get(), F_GETFL) & O_NONBLOCK) != 0);
    CHECK((::fcntl(fd.get(), F_GETFD) & FD_CLOEXEC) != 0);
  }
  CHECK(keeper.family == AF_INET);
  CHECK(keeper.address_size == sizeof(sockaddr_in));
  CHECK(keeper.errors.empty());
}

TEST_CASE("one turn accepts at most the budget", "[rule-207][fault-A12]") {
  const bool level = GENERATE(false, true);
  harness h(level);
  tcp_listener listener;
  library_descriptor door(h, std::move(listener.fd));
  door_keeper keeper(3);
  h.io().start_accepting(door.state(), keeper);
  const std::vector<descriptor> clients = connect_many(listener, 8);
  h.turn();
  CHECK(keeper.accepted.size() == 3);
  h.turn();
  CHECK(keeper.accepted.size() == 6);
  h.turn();
  CHECK(keeper.accepted.size() == 8);
  SECTION("a budget of nothing is one") {
    keeper.budget = GENERATE(0, -5);
    const std::vector<descriptor> more = connect_many(listener, 2);
    h.turn();
    CHECK(keeper.accepted.size() == 9);
    h.turn();
    CHECK(keeper.accepted.size() == 10);
  }
}

TEST_CASE("a sink may stop or close its listener") {
  const bool level = GENERATE(false, true);
  harness h(level);
  tcp_listener listener;
  library_descriptor door(h, std::move(listener.fd));
  door_keeper keeper;
  h.io().start_accepting(door.state(), keeper);
  const std::vector<descriptor> clients = connect_many(listener, 4);
  SECTION("stop") {
    keeper.then = [&] { h.io().stop_accepting(door.state()); };
    h.turn(3);
    CHECK(keeper.accepted.size() == 1);
    wait_counter wait;
    h.run_until([] { return false; }, 30ms);
    CHECK(wait.calls() <= 3);
    keeper.then = nullptr;
    h.io().start_accepting(door.state(), keeper);
    h.turn(2);
    CHECK(keeper.accepted.size() == 4);
  }
  SECTION("close") {
    keeper.then = [&] { door.close(); };
    h.turn(3);
    CHECK(keeper.accepted.size() == 1);
  }
  SECTION("throw what passes through") {
    keeper.then = [&] {
      keeper.then = nullptr;
      throw rondo::keyboard_interrupt();
    };
    CHECK_THROWS_AS(h.turn(), rondo::keyboard_interrupt);
    CHECK(keeper.accepted.size() == 1);
    h.turn(2);
    CHECK(keeper.accepted.size() == 4);
  }
}

TEST_CASE("connections that failed are skipped", "[rule-207][fault-A3][fault-A4]") {
  const bool level = GENERATE(false, true);
  const int error = GENERATE(ECONNABORTED, EPROTO, ENETDOWN, ENOPROTOOPT, EHOSTDOWN, ENONET,
                             EHOSTUNREACH, EOPNOTSUPP, ENETUNREACH, EPERM, EINTR);
  harness h(level);
  tcp_listener listener;
  library_descriptor door(h, std::move(listener.fd));
  door_keeper keeper;
  fault<&system_calls::accept4> accept;
  accept.fail(1, error, 3);
  h.io().start_accepting(door.state(), keeper);
  const std::vector<descriptor> clients = connect_many(listener, 2);
  REQUIRE(h.run_until([&] { return keeper.accepted.size() == 2; }));
  CHECK(keeper.errors.empty());
}

TEST_CASE("a client that resets while it is queued does no harm", "[fault-A3]") {
  const bool level = GENERATE(false, true);
  harness h(level);
  tcp_listener listener;
  library_descriptor door(h, std::move(listener.fd));
  door_keeper keeper;
  h.io().start_accepting(door.state(), keeper);
  for (int i = 0; i < 5; ++i) {
    descriptor gone = listener.connect();
    reset_connection(gone);
  }
  const descriptor client = listener.connect();
  std::string room(8, '\0');
  REQUIRE(h.run_until([&] { return !keeper.accepted.empty(); }));
  h.turn(3);
  CHECK(keeper.errors.empty());
  put(client, "x");
  await_readable(keeper.accepted.back().get());
  CHECK(::recv(keeper.accepted.back().get(), room.data(), room.size(), 0) == 1);
}

TEST_CASE("a sandbox that forbids accept4 does not make the loop spin") {
  harness h;
  tcp_listener listener;
  library_descriptor door(h, std::move(listener.fd));
  door_keeper keeper;
  fault<&system_calls::accept4> accept;
  accept.fail_always(EPERM);
  h.io().start_accepting(door.state(), keeper);
  const descriptor client = listener.connect();
  h.run_until([] { return false; }, 200ms);
  CHECK(accept.calls() <= 1100);
  CHECK(keeper.errors == std::vector<int>{EPERM});
  accept.heal();
  h.advance(1s);
  REQUIRE(h.run_until([&] { return keeper.accepted.size() == 1; }));
}

TEST_CASE("many aborted connections are no reason to rest", "[fault-A3]") {
  harness h;
  tcp_listener listener;
  library_descriptor door(h, std::move(listener.fd));
  door_keeper keeper;
  fault<&system_calls::accept4> accept;
  accept.fail(1, ECONNABORTED, 1000).fail(1002, ECONNABORTED, 1000);
  h.io().start_accepting(door.state(), keeper);
  const std::vector<descriptor> clients = connect_many(listener, 2);
  h.turn(30);
  CHECK(keeper.accepted.size() == 2);
  CHECK(keeper.errors.empty());
}

TEST_CASE("out of descriptors or memory, the listener rests", "[rule-207][fault-A2]") {
  const bool level = GENERATE(false, true);
  const int error = GENERATE(EMFILE, ENFILE, ENOBUFS, ENOMEM);
  harness h(level);
  tcp_listener listener;
  library_descriptor door(h, std::move(listener.fd));
  door_keeper keeper;
  fault<&system_calls::accept4> accept;
  accept.fail_always(error);
  h.io().start_accepting(door.state(), keeper);
  const std::vector<descriptor> clients = connect_many(listener, 3);
  wait_counter wait;
  h.run_until([] { return false; }, 30ms);
  CHECK(wait.calls() <= 4);
  CHECK(accept.calls() == 1);
  CHECK(keeper.errors == std::vector<int>{error});
  CHECK(keeper.last_retry == rondo::interval(1s));
  CHECK(keeper.fatals == 0);
  accept.heal();
  h.advance(900ms);
  h.turn(3);
  CHECK(keeper.accepted.empty());
  h.advance(100ms);
  h.turn(3);
  CHECK(keeper.accepted.size() == 3);
  CHECK(keeper.errors.size() == 1);
}

TEST_CASE("the rest of a listener is a second long", "[rule-207][fault-A2]") {
  harness h;
  tcp_listener listener;
  library_descriptor door(h, std::move(listener.fd));
  door_keeper keeper;
  fault<&system_calls::accept4> accept;
  accept.fail(1, EMFILE);
  h.io().start_accepting(door.state(), keeper);
  const descriptor client = listener.connect();
  const auto begin = std::chrono::steady_clock::now();
  REQUIRE(h.run_until([&] { return keeper.accepted.size() == 1; }));
  CHECK(std::chrono::steady_clock::now() - begin >= 990ms);
  CHECK(std::chrono::steady_clock::now() - begin < 1500ms);
}

TEST_CASE("each rest is reported once, and again when it did not help", "[rule-207][fault-A2]") {
  harness h;
  tcp_listener listener;
  library_descriptor door(h, std::move(listener.fd));
  door_keeper keeper;
  fault<&system_calls::accept4> accept;
  accept.fail_always(EMFILE);
  h.io().start_accepting(door.state(), keeper);
  const descriptor client = listener.connect();
  h.turn(3);
  h.advance(1s);
  h.turn(3);
  CHECK(keeper.errors.size() == 2);
  CHECK(accept.calls() == 2);
  SECTION("a descriptor that is closed is tried at once, silently") {
    socket_pair pair;
    library_descriptor other(h, std::move(pair.ours));
    other.close();
    h.turn(2);
    CHECK(accept.calls() == 3);
    CHECK(keeper.errors.size() == 2);
    h.turn(5);
    CHECK(accept.calls() == 3);
    accept.heal();
    socket_pair next;
    library_descriptor another(h, std::move(next.ours));
    another.close();
    h.turn(2);
    CHECK(keeper.accepted.size() == 1);
  }
  SECTION("stopping while it rests") {
    h.io().stop_accepting(door.state());
    h.advance(1s);
    h.turn(3);
    CHECK(accept.calls() == 2);
    accept.heal();
    h.io().start_accepting(door.state(), keeper);
    h.turn();
    CHECK(keeper.accepted.size() == 1);
  }
  SECTION("closing while it rests") {
    door.close();
    h.advance(1s);
    h.turn(3);
    CHECK(accept.calls() == 2);
  }
  SECTION("closing the loop while it rests") { h.loop().close(); }
  SECTION("stopping in the report") {
    keeper.at_error = [&] { h.io().stop_accepting(door.state()); };
    for (int i = 0; i < 3; ++i) {
      h.advance(1s);
      h.turn(3);
    }
    CHECK(keeper.errors.size() == 3);
  }
}

TEST_CASE("stopping when the rest is just over", "[fault-A2]") {
  const bool close_loop = GENERATE(false, true);
  harness h;
  tcp_listener listener;
  library_descriptor door(h, std::move(listener.fd));
  door_keeper keeper;
  fault<&system_calls::accept4> accept;
  accept.fail_always(EMFILE);
  pipe_pair trigger;
  watch_node node;
  h.io().watch(trigger.read_end.get(), rondo::watch_kind::read, node, node.queued);
  h.io().start_accepting(door.state(), keeper);
  const descriptor client = listener.connect();
  h.turn(3);
  CHECK(keeper.errors.size() == 1);
  // Both become due in the same iteration: the listener's timer stands in the ready queue already
  // when the watch stops the listener.
  h.advance(1s);
  put(trigger.write_end, "!");
  node.then = [&] {
    h.io().stop_accepting(door.state());
    h.io().unwatch(trigger.read_end.get(), rondo::watch_kind::read);
    if (close_loop) throw rondo::keyboard_interrupt();
  };
  if (close_loop) {
    CHECK_THROWS_AS(h.turn(), rondo::keyboard_interrupt);
    h.loop().close();
  } else {
    h.turn(3);
  }
  CHECK(node.calls == 1);
  CHECK(keeper.errors.size() == 1);
}

TEST_CASE("at the limit of descriptors every queued client is served", "[fault-A1]") {
  harness h;
  tcp_listener listener;
  library_descriptor door(h, std::move(listener.fd));
  const int client_count = 60;
  std::vector<descriptor> clients = connect_many(listener, client_count);
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
  const int lowest = ::dup(0);
  ::close(lowest);
  rlimit tight = before;
  tight.rlim_cur = static_cast<rlim_t>(lowest) + 20;  // room for about 20 connections
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &tight) == 0);

  // Each served connection goes after a while, as one of the library.
  door_keeper keeper;
  std::vector<std::unique_ptr<library_descriptor>> live;
  std::size_t served = 0;
  keeper.then = [&] {
    live.push_back(std::make_unique<library_descriptor>(h, std::move(keeper.accepted.back())));
    ++served;
  };
  h.io().start_accepting(door.state(), keeper);
  const auto begin = std::chrono::steady_clock::now();
  const bool all = h.run_until([&] {
    if (!live.empty()) live.erase(live.begin());
    return served == client_count;
  });
  const auto taken = std::chrono::steady_clock::now() - begin;
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &before) == 0);
  CHECK(all);
  CHECK(taken < 1s);  // resumed by each close, not by the timer
  CHECK(keeper.errors == std::vector<int>{EMFILE});
  live.clear();
  for (const descriptor& client : clients) {
    std::string room(8, '\0');
    CHECK(::recv(client.get(), room.data(), room.size(), 0) == 0);  // an ordinary end, no reset
  }
}

TEST_CASE("a listener that is broken says so once", "[fault-A5]") {
  const bool level = GENERATE(false, true);
  const int error = GENERATE(EBADF, EINVAL, ENOTSOCK);
  harness h(level);
  tcp_listener listener;
  library_descriptor door(h, std::move(listener.fd));
  door_keeper keeper;
  fault<&system_calls::accept4> accept;
  accept.fail_always(error);
  h.io().start_accepting(door.state(), keeper);
  const descriptor client = listener.connect();
  REQUIRE(h.run_until([&] { return !keeper.errors.empty(); }));
  h.run_until([] { return false; }, 30ms);
  CHECK(keeper.errors == std::vector<int>{error});
  CHECK(keeper.fatals == 1);
  CHECK(accept.calls() == 1);
  CHECK_FALSE(door.state().accepting);
}

TEST_CASE("a listener that cannot be registered is an error of the caller", "[fault-F8]") {
  harness h;
  tcp_listener listener;
  library_descriptor door(h, std::move(listener.fd));
  door_keeper keeper;
  {
    fault<&system_calls::epoll_ctl> control;
    control.fail_always(ENOSPC);
    CHECK_THROWS_AS(h.io().start_accepting(door.state(), keeper), std::system_error);
  }
  CHECK_FALSE(door.state().accepting);
  h.io().start_accepting(door.state(), keeper);
  const descriptor client = listener.connect();
  REQUIRE(h.run_until([&] { return keeper.accepted.size() == 1; }));
}
