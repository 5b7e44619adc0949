// SPDX-License-Identifier: MIT
// rondo tests: operations on a selector backend, and its wake-up.
#include "net/selector_harness.hpp"

#include <sys/un.h>

#include <atomic>
#include <csignal>
#include <limits>
#include <thread>

using namespace selector_test;

namespace {

// Operations on descriptors of the library and of the user, with and without edges.
struct variant {
  bool library;
  bool level;
};

variant any_variant() {
  const int number = GENERATE(0, 1, 2, 3);
  return {(number & 1) != 0, (number & 2) != 0};
}

// Takes the descriptor over for the library where the variant says so.
struct subject {
  subject(harness& h, const variant& which, descriptor fd) : number(fd.get()) {
    if (which.library) {
      state = std::make_unique<library_descriptor>(h, std::move(fd));
    } else {
      plain = std::move(fd);
    }
  }

  int number;
  std::unique_ptr<library_descriptor> state;
  descriptor plain;
};

}  // namespace

TEST_CASE("what can be done at once is done at once", "[rule-229]") {
  const variant which = any_variant();
  harness h(which.level);
  socket_pair pair;
  subject ours(h, which, std::move(pair.ours));
  fault<&system_calls::epoll_ctl> control;
  std::string text = "hello";
  request send(operation_kind::send, ours.number, text.data(), text.size());
  CHECK(send.start(h));
  CHECK(send.result == 5);
  CHECK(drain(pair.peer.get()) == 5);
  put(pair.peer, "answer");
  std::string room(16, '\0');
  request receive(operation_kind::receive, ours.number, room.data(), room.size());
  CHECK(receive.start(h));
  CHECK(receive.result == 6);
  request poll_write(operation_kind::poll_write, ours.number);
  CHECK(poll_write.start(h));
  CHECK(poll_write.result == 0);
  h.turn(2);
  CHECK(send.completed + receive.completed + poll_write.completed == 0);
  CHECK(control.calls() == 0);
}

TEST_CASE("an operation waits until it can be done", "[rule-229]") {
  const variant which = any_variant();
  harness h(which.level);
  socket_pair pair;
  subject ours(h, which, std::move(pair.ours));

  SECTION("receive") {
    std::string room(16, '\0');
    request receive(operation_kind::receive, ours.number, room.data(), room.size());
    for (int round = 1; round <= 3; ++round) {
      CHECK_FALSE(receive.start(h));
      CHECK(receive.pending);
      h.turn(2);
      CHECK(receive.completed == round - 1);
      put(pair.peer, "later");
      REQUIRE(h.run_until([&] { return receive.completed == round; }));
      CHECK(receive.result == 5);
      CHECK(room.substr(0, 5) == "later");
      CHECK_FALSE(receive.pending);
    }
  }
  SECTION("read and write with two parts") {
    std::string room(16, '\0');
    request read(operation_kind::read, ours.number, room.data(), room.size());
    CHECK_FALSE(read.start(h));
    put(pair.peer, "later");
    REQUIRE(h.run_until([&] { return read.completed == 1; }));
    CHECK(read.result == 5);
  }
  SECTION("messages") {
    std::string room(16, '\0');
    iovec part{room.data(), room.size()};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    request receive(operation_kind::receive_message, ours.number);
    receive.message = &message;
    CHECK_FALSE(receive.start(h));
    put(pair.peer, "later");
    REQUIRE(h.run_until([&] { return receive.completed == 1; }));
    CHECK(receive.result == 5);
    request send(operation_kind::send_message, ours.number);
    part.iov_len = 5;
    send.message = &message;
    CHECK(send.start(h));
    CHECK(send.result == 5);
  }
  SECTION("poll_read") {
    request poll(operation_kind::poll_read, ours.number);
    CHECK_FALSE(poll.start(h));
    put(pair.peer, "later");
    REQUIRE(h.run_until([&] { return poll.completed == 1; }));
    CHECK(poll.result == 0);
    CHECK(drain(ours.number) == 5);
  }
  SECTION("the peer goes away") {
    request poll(operation_kind::poll_read, ours.number);
    std::string room(16, '\0');
    CHECK_FALSE(poll.start(h));
    pair.peer.reset();
    REQUIRE(h.run_until([&] { return poll.completed == 1; }));
    request receive(operation_kind::receive, ours.number, room.data(), room.size());
    CHECK(receive.start(h));
    CHECK(receive.result == 0);
  }
  SECTION("send and write") {
    const bool write = GENERATE(false, true);
    fill(ours.number);
    std::string text = "waits for room";
    request send(write ? operation_kind::write : operation_kind::send, ours.number, text.data(),
                 text.size());
    request poll(operation_kind::poll_write, ours.number);
    CHECK_FALSE(send.start(h));
    CHECK_FALSE(poll.start(h));
    h.turn(3);
    CHECK(send.completed == 0);
    drain(pair.peer.get());
    REQUIRE(h.run_until([&] { return send.completed == 1 && poll.completed == 1; }));
    CHECK(send.result == static_cast<std::int64_t>(text.size()));
  }
  SECTION("a send whose peer goes away") {
    fill(ours.number);
    std::string text = "waits for room";
    request send(operation_kind::send, ours.number, text.data(), text.size());
    CHECK_FALSE(send.start(h));
    pair.peer.reset();
    REQUIRE(h.run_until([&] { return send.completed == 1; }));
    CHECK((send.result == -EPIPE || send.result == -ECONNRESET));
  }
}

TEST_CASE("those that wait longest come first") {
  const variant which = any_variant();
  harness h(which.level);
  socket_pair pair(SOCK_DGRAM);
  subject ours(h, which, std::move(pair.ours));
  std::vector<std::string> rooms(4, std::string(4, '\0'));
  std::vector<std::unique_ptr<request>> requests;
  for (std::string& room : rooms) {
    requests.push_back(
        std::make_unique<request>(operation_kind::receive, ours.number, room.data(), room.size()));
  }
  for (int i = 0; i < 3; ++i) CHECK_FALSE(requests[static_cast<std::size_t>(i)]->start(h));
  put(pair.peer, "1");
  put(pair.peer, "2");
  // There is something to take, but others wait for it.
  CHECK_FALSE(requests[3]->start(h));
  put(pair.peer, "3");
  h.turn(2);
  CHECK(rooms[0].substr(0, 1) == "1");
  CHECK(rooms[1].substr(0, 1) == "2");
  CHECK(rooms[2].substr(0, 1) == "3");
  CHECK(requests[3]->completed == 0);
  put(pair.peer, "4");
  h.turn(2);
  CHECK(rooms[3].substr(0, 1) == "4");
}

TEST_CASE("a partial result leaves the rest for the next operation", "[fault-B7]") {
  const variant which = any_variant();
  harness h(which.level);
  socket_pair pair;
  subject ours(h, which, std::move(pair.ours));
  std::string room(1, '\0');
  request receive(operation_kind::receive, ours.number, room.data(), room.size());
  CHECK_FALSE(receive.start(h));
  put(pair.peer, "abc");
  REQUIRE(h.run_until([&] { return receive.completed == 1; }));
  CHECK(room == "a");
  request second(operation_kind::receive, ours.number, room.data(), room.size());
  CHECK(second.start(h));
  CHECK(room == "b");
  request third(operation_kind::receive, ours.number, room.data(), room.size());
  CHECK(third.start(h));
  request fourth(operation_kind::receive, ours.number, room.data(), room.size());
  CHECK_FALSE(fourth.start(h));
  put(pair.peer, "d");
  REQUIRE(h.run_until([&] { return fourth.completed == 1; }));
  CHECK(room == "d");
}

TEST_CASE("a direction is not tried again because the other one became ready") {
  const variant which = any_variant();
  harness h(which.level);
  socket_pair pair;
  subject ours(h, which, std::move(pair.ours));
  std::string room(8, '\0');
  request receive(operation_kind::receive, ours.number, room.data(), room.size());
  CHECK_FALSE(receive.start(h));
  put(pair.peer, "x");
  h.turn(2);
  REQUIRE(receive.completed == 1);
  CHECK_FALSE(receive.start(h));
  fill(ours.number);
  request send(operation_kind::send, ours.number, room.data(), room.size());
  CHECK_FALSE(send.start(h));
  fault<&system_calls::recv> recv;
  drain(pair.peer.get());
  REQUIRE(h.run_until([&] { return send.completed == 1; }));
  CHECK(recv.calls() == 0);
  h.io().abandon(receive);
}

TEST_CASE("cancel ends an operation at once, abandon says nothing", "[rule-229]") {
  const variant which = any_variant();
  harness h(which.level);
  socket_pair pair;
  subject ours(h, which, std::move(pair.ours));
  std::string room(8, '\0');
  request first(operation_kind::receive, ours.number, room.data(), room.size());
  request second(operation_kind::receive, ours.number, room.data(), room.size());
  request third(operation_kind::receive, ours.number, room.data(), room.size());
  CHECK_FALSE(first.start(h));
  CHECK_FALSE(second.start(h));
  CHECK_FALSE(third.start(h));
  h.io().cancel(second);
  CHECK(second.completed == 1);
  CHECK(second.result == -ECANCELED);
  CHECK_FALSE(second.pending);
  h.io().cancel(second);  // it is over
  CHECK(second.completed == 1);
  h.io().abandon(first);
  CHECK(first.completed == 0);
  // Started again, the first one is last in the queue.
  CHECK_FALSE(first.start(h));
  put(pair.peer, "x");
  h.turn(2);
  CHECK(third.completed == 1);
  CHECK(first.completed == 0);
  h.io().abandon(first);
  h.turn();
}

TEST_CASE("a cancelled receive loses nothing, and the next one gets it", "[rule-229]") {
  const variant which = any_variant();
  harness h(which.level);
  socket_pair pair;
  subject ours(h, which, std::move(pair.ours));
  std::string room(8, '\0');
  request first(operation_kind::receive, ours.number, room.data(), room.size());
  CHECK_FALSE(first.start(h));
  put(pair.peer, "kept");
  h.io().cancel(first);
  request second(operation_kind::receive, ours.number, room.data(), room.size());
  CHECK(second.start(h));
  CHECK(second.result == 4);
  h.turn(3);
  CHECK(first.completed == 1);
}

TEST_CASE("operations on the descriptors of the user cost one epoll_ctl each") {
  harness h;
  socket_pair pair;
  std::string room(8, '\0');
  fault<&system_calls::epoll_ctl> control;
  for (int i = 1; i <= 3; ++i) {
    request receive(operation_kind::receive, pair.ours.get(), room.data(), room.size());
    CHECK_FALSE(receive.start(h));
    put(pair.peer, "x");
    h.turn();
    CHECK(receive.completed == 1);
    CHECK(control.calls() == i);
  }
  // Between operations nothing is reported.
  put(pair.peer, "unwanted");
  wait_counter wait;
  h.run_until([] { return false; }, 30ms);
  CHECK(wait.calls() <= 2);
}

TEST_CASE("a cancelled operation leaves no registration behind", "[rule-229]") {
  const bool level = GENERATE(false, true);
  harness h(level);
  socket_pair pair;
  descriptor copy(::fcntl(pair.ours.get(), F_DUPFD_CLOEXEC, 0));
  std::string room(8, '\0');
  fault<&system_calls::epoll_ctl> control;
  std::vector<int> actions;
  control.hook([&](int, int action, int, epoll_event*) -> std::optional<int> {
    actions.push_back(action);
    return std::nullopt;
  });
  request receive(operation_kind::receive, pair.ours.get(), room.data(), room.size());
  CHECK_FALSE(receive.start(h));
  h.io().cancel(receive);
  CHECK(actions == std::vector<int>{EPOLL_CTL_ADD, EPOLL_CTL_DEL});
  pair.ours.reset();
  put(pair.peer, "x");
  wait_counter wait;
  h.run_until([] { return false; }, 30ms);
  CHECK(wait.calls() <= 2);
}

TEST_CASE("a number that the user closed and got again is registered anew", "[fault-F4]") {
  const bool level = GENERATE(false, true);
  harness h(level);
  std::string room(8, '\0');
  int number = -1;
  {
    socket_pair old;
    number = old.ours.get();
    request receive(operation_kind::receive, number, room.data(), room.size());
    CHECK_FALSE(receive.start(h));
    put(old.peer, "x");
    h.turn();
    CHECK(receive.completed == 1);
  }
  socket_pair next;
  REQUIRE(next.ours.get() == number);
  request receive(operation_kind::receive, number, room.data(), room.size());
  CHECK_FALSE(receive.start(h));
  put(next.peer, "yz");
  REQUIRE(h.run_until([&] { return receive.completed == 1; }));
  CHECK(receive.result == 2);
}

TEST_CASE("operations that wait for a descriptor that was closed end when it is noticed",
          "[fault-F3]") {
  const bool level = GENERATE(false, true);
  harness h(level);
  std::string room(8, '\0');
  auto old = std::make_unique<socket_pair>();
  const int number = old->ours.get();
  request lost(operation_kind::receive, number, room.data(), room.size());
  CHECK_FALSE(lost.start(h));
  old.reset();
  wait_counter wait;
  h.run_until([] { return false; }, 30ms);  // no event for ever, no spinning
  CHECK(wait.calls() <= 2);
  CHECK(lost.completed == 0);
  SECTION("by the next operation on that number") {
    socket_pair next;
    REQUIRE(next.ours.get() == number);
    request receive(operation_kind::receive, number, room.data(), room.size());
    CHECK_FALSE(receive.start(h));
    CHECK(lost.completed == 1);
    CHECK(lost.result == -EBADF);
    put(next.peer, "new");
    REQUIRE(h.run_until([&] { return receive.completed == 1; }));
    CHECK(receive.result == 3);
  }
  SECTION("by the library, which got the number") {
    socket_pair next;
    REQUIRE(next.ours.get() == number);
    library_descriptor ours(h, std::move(next.ours));
    CHECK(lost.completed == 1);
    CHECK(lost.result == -EBADF);
    byte_sink sink;
    h.io().start_receiving(ours.state(), sink);
    put(next.peer, "new");
    REQUIRE(h.run_until([&] { return sink.bytes == "new"; }));
  }
  SECTION("by a watch of that number") {
    socket_pair next;
    REQUIRE(next.ours.get() == number);
    watch_node node;
    h.io().watch(number, rondo::watch_kind::read, node, node.queued);
    CHECK(lost.completed == 1);
    put(next.peer, "new");
    REQUIRE(h.run_until([&] { return node.calls == 1; }));
    CHECK(h.io().unwatch(number, rondo::watch_kind::read));
  }
  SECTION("never") { h.io().abandon(lost); }
}

TEST_CASE("a user's descriptor becomes one of the library", "[rule-227]") {
  const bool level = GENERATE(false, true);
  harness h(level);
  socket_pair pair;
  const int number = pair.ours.get();
  std::string room(8, '\0');
  request receive(operation_kind::receive, number, room.data(), room.size());
  CHECK_FALSE(receive.start(h));
  fd_state refused(number);
  CHECK_THROWS_AS(h.io().open(refused), std::logic_error);
  CHECK_FALSE(refused.open);
  put(pair.peer, "x");
  REQUIRE(h.run_until([&] { return receive.completed == 1; }));
  fault<&system_calls::epoll_ctl> control;
  library_descriptor ours(h, std::move(pair.ours));
  byte_sink sink;
  h.io().start_receiving(ours.state(), sink);
  CHECK(control.calls() == 1);  // the registration is taken over
  put(pair.peer, "for the sink");
  REQUIRE(h.run_until([&] { return sink.bytes == "for the sink"; }));
}

TEST_CASE("closing a state abandons what waits for it") {
  const bool level = GENERATE(false, true);
  harness h(level);
  socket_pair pair;
  library_descriptor ours(h, std::move(pair.ours));
  fill(ours.fd());
  std::string room(8, '\0');
  request receive(operation_kind::receive, ours.fd(), room.data(), room.size());
  request send(operation_kind::send, ours.fd(), room.data(), room.size());
  CHECK_FALSE(receive.start(h));
  CHECK_FALSE(send.start(h));
  ours.close();
  CHECK_FALSE(receive.pending);
  CHECK_FALSE(send.pending);
  pair.peer.reset();
  h.turn(3);
  CHECK(receive.completed + send.completed == 0);
}

TEST_CASE("EINTR is invisible to operations", "[fault-B9]") {
  const variant which = any_variant();
  harness h(which.level);
  tcp_listener listener;
  fault<&system_calls::recv> recv;
  fault<&system_calls::send> send;
  fault<&system_calls::connect> connect;
  fault<&system_calls::accept4> accept;
  fault<&system_calls::poll> poll;
  fault<&system_calls::epoll_wait> wait;
  recv.fail_every_other(EINTR);
  send.fail_every_other(EINTR);
  connect.fail_every_other(EINTR);
  accept.fail_every_other(EINTR);
  poll.fail_every_other(EINTR);
  wait.fail_every_other(EINTR);

  subject door(h, which, std::move(listener.fd));
  request accepting(operation_kind::accept, door.number);
  CHECK_FALSE(accepting.start(h));
  subject client(h, which, tcp_socket());
  request connecting(operation_kind::connect, client.number, &listener.address,
                     sizeof listener.address);
  if (!connecting.start(h)) {
    REQUIRE(h.run_until([&] { return connecting.completed == 1; }));
  }
  CHECK(connecting.result == 0);
  REQUIRE(h.run_until([&] { return accepting.completed == 1; }));
  REQUIRE(accepting.result >= 0);
  const descriptor accepted(static_cast<int>(accepting.result));
  std::string text = "hi";
  request sending(operation_kind::send, client.number, text.data(), text.size());
  CHECK(sending.start(h));
  CHECK(sending.result == 2);
  await_readable(accepted.get());
  std::string room(8, '\0');
  request receiving(operation_kind::receive, accepted.get(), room.data(), room.size());
  CHECK(receiving.start(h));
  CHECK(receiving.result == 2);
  request asking(operation_kind::poll_write, client.number);
  CHECK(asking.start(h));
  CHECK(asking.result == 0);
}

TEST_CASE("connecting") {
  const variant which = any_variant();
  harness h(which.level);

  SECTION("to a listener") {
    tcp_listener listener;
    subject client(h, which, tcp_socket());
    request connecting(operation_kind::connect, client.number, &listener.address,
                       sizeof listener.address);
    if (!connecting.start(h)) {
      REQUIRE(h.run_until([&] { return connecting.completed == 1; }));
    }
    CHECK(connecting.result == 0);
    // What is sent to it arrives, whatever was registered for connecting.
    const descriptor accepted(::accept(listener.fd.get(), nullptr, nullptr));
    std::string room(8, '\0');
    request receive(operation_kind::receive, client.number, room.data(), room.size());
    CHECK_FALSE(receive.start(h));
    put(accepted, "hi");
    REQUIRE(h.run_until([&] { return receive.completed == 1; }));
    CHECK(receive.result == 2);
  }
  SECTION("to nobody") {
    sockaddr_in address{};
    {
      tcp_listener gone;
      address = gone.address;
    }
    subject client(h, which, tcp_socket());
    request connecting(operation_kind::connect, client.number, &address, sizeof address);
    if (!connecting.start(h)) {
      REQUIRE(h.run_until([&] { return connecting.completed == 1; }));
    }
    CHECK(connecting.result == -ECONNREFUSED);
  }
  SECTION("with an error that comes later") {
    tcp_listener listener;
    subject client(h, which, tcp_socket());
    fault<&system_calls::connect> connect;
    fault<&system_calls::getsockopt> option;
    connect.fail(1, EINPROGRESS);
    option.hook([](int, int, int name, void* value, socklen_t*) -> std::optional<int> {
      if (name != SO_ERROR) return std::nullopt;
      const int error = ETIMEDOUT;
      std::memcpy(value, &error, sizeof error);
      return 0;
    });
    request connecting(operation_kind::connect, client.number, &listener.address,
                       sizeof listener.address);
    CHECK_FALSE(connecting.start(h));
    REQUIRE(h.run_until([&] { return connecting.completed == 1; }));
    CHECK(connecting.result == -ETIMEDOUT);
  }
  SECTION("and being interrupted") {
    tcp_listener listener;
    subject client(h, which, tcp_socket());
    fault<&system_calls::connect> connect;
    request connecting(operation_kind::connect, client.number, &listener.address,
                       sizeof listener.address);
    connect.fail(1, EINTR).fail(2, EISCONN);
    CHECK(connecting.start(h));
    CHECK(connecting.result == 0);
    connect.fail(3, EINTR).fail(4, EALREADY);
    CHECK_FALSE(connecting.start(h));
    h.io().abandon(connecting);
    connect.fail(5, EALREADY).fail(6, EISCONN);
    CHECK(connecting.start(h));
    CHECK(connecting.result == -EALREADY);
    CHECK(connecting.start(h));
    CHECK(connecting.result == -EISCONN);
  }
  SECTION("a unix socket whose backlog is full") {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string name = "rondo-test-" + std::to_string(::getpid());
    std::memcpy(address.sun_path + 1, name.data(), name.size());  // abstract
    const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
    const descriptor door(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    REQUIRE(::bind(door.get(), reinterpret_cast<sockaddr*>(&address), size) == 0);
    REQUIRE(::listen(door.get(), 0) == 0);
    std::vector<descriptor> clients;
    std::int64_t last = 0;
    for (int i = 0; i < 4 && last == 0; ++i) {
      clients.emplace_back(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
      request connecting(operation_kind::connect, clients.back().get(), &address, size);
      CHECK(connecting.start(h));
      last = connecting.result;
    }
    CHECK(last == -EAGAIN);
  }
}

TEST_CASE("accepting one connection") {
  const variant which = any_variant();
  harness h(which.level);
  tcp_listener listener;
  subject door(h, which, std::move(listener.fd));
  sockaddr_in from{};
  request accepting(operation_kind::accept, door.number, &from, sizeof from);
  fault<&system_calls::accept4> accept;
  accept.fail(2, ECONNABORTED, 2);
  CHECK_FALSE(accepting.start(h));
  const descriptor client = listener.connect();
  REQUIRE(h.run_until([&] { return accepting.completed == 1; }));
  REQUIRE(accepting.result >= 0);
  CHECK(accept.calls() == 4);
  const descriptor accepted(static_cast<int>(accepting.result));
  CHECK(from.sin_family == AF_INET);
  CHECK(accepting.size == sizeof from);
  CHECK((::fcntl(accepted.get(), F_GETFL) & O_NONBLOCK) != 0);
  CHECK((::fcntl(accepted.get(), F_GETFD) & FD_CLOEXEC) != 0);
  accept.fail_next(EMFILE);
  request failing(operation_kind::accept, door.number);
  CHECK(failing.start(h));
  CHECK(failing.result == -EMFILE);
}

TEST_CASE("files are read and written at a position, and cannot be waited for", "[rule-231]") {
  harness h;
  std::array<char, 32> path{"/tmp/rondo-test-XXXXXX"};
  const descriptor file(::mkostemp(path.data(), O_CLOEXEC));
  REQUIRE(file);
  REQUIRE(::unlink(path.data()) == 0);
  std::string text = "0123456789";
  request write(operation_kind::write, file.get(), text.data(), text.size());
  write.offset = 5;
  CHECK(write.start(h));
  CHECK(write.result == 10);
  std::string room(4, '\0');
  request read(operation_kind::read, file.get(), room.data(), room.size());
  read.offset = 7;
  CHECK(read.start(h));
  CHECK(read.result == 4);
  CHECK(room == "2345");
  fault<&system_calls::read> reads;
  reads.fail_always(EAGAIN);
  request impossible(operation_kind::read, file.get(), room.data(), room.size());
  CHECK(impossible.start(h));
  CHECK(impossible.result == -EPERM);
}

TEST_CASE("errors of operations are results") {
  harness h;
  std::string room(8, '\0');
  request receive(operation_kind::receive, -1, room.data(), room.size());
  CHECK(receive.start(h));
  CHECK(receive.result == -EBADF);
  pipe_pair pipe;
  request wrong(operation_kind::receive, pipe.read_end.get(), room.data(), room.size());
  CHECK(wrong.start(h));
  CHECK(wrong.result == -ENOTSOCK);
  request closed(operation_kind::poll_read, 1 << 20);
  CHECK(closed.start(h));
  CHECK(closed.result == -EBADF);
  socket_pair pair;
  pair.peer.reset();
  request send(operation_kind::send, pair.ours.get(), room.data(), room.size());
  const auto previous = std::signal(SIGPIPE, SIG_DFL);
  CHECK(send.start(h));  // and the process lives
  std::signal(SIGPIPE, previous);
  CHECK(send.result == -EPIPE);
}

TEST_CASE("waiting operations do not spin", "[fault-B5]") {
  const variant which = any_variant();
  harness h(which.level);
  socket_pair pair;
  subject ours(h, which, std::move(pair.ours));
  fill(ours.number);
  std::string room(8, '\0');
  request send(operation_kind::send, ours.number, room.data(), room.size());
  request receive(operation_kind::receive, ours.number, room.data(), room.size());
  CHECK_FALSE(send.start(h));
  CHECK_FALSE(receive.start(h));
  wait_counter wait;
  h.run_until([] { return false; }, 50ms);
  CHECK(wait.calls() <= 3);
  drain(pair.peer.get());
  REQUIRE(h.run_until([&] { return send.completed == 1; }));
  wait.restart();
  h.run_until([] { return false; }, 50ms);
  CHECK(wait.calls() <= 3);
  h.io().abandon(receive);
}

// ---- waking ------------------------------------------------------------------------

TEST_CASE("a wake-up ends the wait, or the next one", "[rule-024]") {
  const bool level = GENERATE(false, true);
  harness h(level);
  const auto begin = std::chrono::steady_clock::now();
  h.io().wake();
  h.io().wake();
  h.io().poll(rondo::interval(10s));
  {
    std::atomic<bool> waiting{false};
    fault<&system_calls::epoll_wait> wait;
    wait.hook([&](int, epoll_event*, int, int) -> std::optional<int> {
      waiting.store(true);
      return std::nullopt;
    });
    std::thread other([&] {
      while (!waiting.load()) std::this_thread::yield();
      h.io().wake();
    });
    h.io().poll(rondo::interval(10s));
    other.join();
  }
  for (int i = 0; i < 3; ++i) {
    h.io().wake();
    h.io().poll(std::nullopt);
  }
  CHECK(std::chrono::steady_clock::now() - begin < 5s);
  // And no more than that.
  wait_counter wait;
  const auto quiet = std::chrono::steady_clock::now();
  h.io().poll(rondo::interval(20ms));
  CHECK(wait.calls() == 1);
  CHECK(std::chrono::steady_clock::now() - quiet >= 20ms);
}

TEST_CASE("a full wake-up counter still wakes", "[fault-E6]") {
  const bool level = GENERATE(false, true);
  harness h(level);
  const std::uint64_t most = std::numeric_limits<std::uint64_t>::max() - 1;
  h.io().poll(rondo::interval());
  REQUIRE(::write(h.io().wake_descriptor(), &most, sizeof most) == sizeof most);
  h.io().poll(rondo::interval(10s));
  REQUIRE(::write(h.io().wake_descriptor(), &most, sizeof most) != 0);
  h.io().poll(rondo::interval(1ms));
  const auto begin = std::chrono::steady_clock::now();
  h.io().wake();
  h.io().poll(rondo::interval(10s));
  CHECK(std::chrono::steady_clock::now() - begin < 5s);
}

TEST_CASE("wake keeps errno") {
  harness h;
  fault<&system_calls::write> write;
  write.fail(1, EINTR).fail(2, EAGAIN);
  errno = ERANGE;
  h.io().wake();
  CHECK(errno == ERANGE);
  CHECK(write.calls() == 3);
}
