// SPDX-License-Identifier: MIT
// rondo tests: receiving through a selector backend.
#include "net/selector_harness.hpp"

#include <rondo/errors.hpp>

using namespace selector_test;

TEST_CASE("bytes go to the sink, with one receive per readiness") {
  harness h;
  tcp_pair pair;
  library_descriptor ours(h, std::move(pair.ours));
  ours.state().kind = fd_state::stream_kind::tcp;
  byte_sink sink;
  h.io().start_receiving(ours.state(), sink);
  for (int round = 0; round < 3; ++round) {
    put(pair.peer, "hello");
    await_readable(ours.fd());
    fault<&system_calls::recv> recv;
    fault<&system_calls::epoll_ctl> control;
    wait_counter wait;
    fault<&system_calls::getsockopt> question;
    h.turn();
    CHECK(sink.calls == round + 1);
    CHECK(recv.calls() == 1);
    CHECK(control.calls() == 0);
    CHECK(wait.calls() == 1);
    CHECK(question.calls() == 0);
  }
  CHECK(sink.bytes == "hellohellohello");
  CHECK(sink.hints == 0);
}

TEST_CASE("a registration is made once and kept") {
  harness h;
  tcp_pair pair;
  fault<&system_calls::epoll_ctl> control;
  library_descriptor ours(h, std::move(pair.ours));
  CHECK(control.calls() == 0);
  byte_sink sink;
  h.io().start_receiving(ours.state(), sink);
  CHECK(control.calls() == 1);
  for (int i = 0; i < 5; ++i) {
    h.io().pause_receiving(ours.state());
    h.io().resume_receiving(ours.state());
    h.io().stop_receiving(ours.state());
    h.io().start_receiving(ours.state(), sink);
  }
  CHECK(control.calls() == 1);
  // A write that has to wait adds one call, the next one none.
  fill(ours.fd());
  std::string data = "x";
  for (int i = 0; i < 2; ++i) {
    request send(operation_kind::send, ours.fd(), data.data(), data.size());
    CHECK_FALSE(send.start(h));
    h.io().abandon(send);
  }
  CHECK(control.calls() == 2);
  ours.close();
  CHECK(control.calls() == 3);
}

TEST_CASE("what arrives while receiving is paused is kept for resume", "[fault-B16]") {
  const bool level = GENERATE(false, true);
  harness h(level);
  socket_pair pair;
  library_descriptor ours(h, std::move(pair.ours));
  byte_sink sink;
  h.io().start_receiving(ours.state(), sink);
  h.io().pause_receiving(ours.state());
  put(pair.peer, "abc");
  pair.peer.reset();
  wait_counter wait;
  h.turn(5);
  CHECK(sink.calls == 0);
  // No spinning: nothing is ready any more as far as the selector knows.
  wait.restart();
  h.run_until([] { return false; }, 50ms);
  CHECK(wait.calls() <= 2);
  h.io().resume_receiving(ours.state());
  CHECK(sink.calls == 0);  // never from inside
  h.turn();
  CHECK(sink.bytes == "abc");
  CHECK(sink.eofs == 1);
  h.turn(3);
  CHECK(sink.eofs == 1);
}

TEST_CASE("a resume after an event needs no system call but the receive") {
  harness h;
  tcp_pair pair;
  library_descriptor ours(h, std::move(pair.ours));
  byte_sink sink;
  h.io().start_receiving(ours.state(), sink);
  h.io().pause_receiving(ours.state());
  put(pair.peer, "abc");
  await_readable(ours.fd());
  fault<&system_calls::epoll_ctl> control;
  fault<&system_calls::recv> recv;
  h.turn(2);
  CHECK(recv.calls() == 0);
  h.io().resume_receiving(ours.state());
  h.turn();
  CHECK(sink.bytes == "abc");
  CHECK(control.calls() == 0);
  CHECK(recv.calls() == 1);
}

TEST_CASE("the end that came with the data is seen in the same turn") {
  const bool level = GENERATE(false, true);
  harness h(level);
  tcp_pair pair;
  library_descriptor ours(h, std::move(pair.ours));
  byte_sink sink;
  h.io().start_receiving(ours.state(), sink);
  put(pair.peer, "last words");
  REQUIRE(::shutdown(pair.peer.get(), SHUT_WR) == 0);
  await_readable(ours.fd(), POLLRDHUP);
  h.turn();
  CHECK(sink.bytes == "last words");
  CHECK(sink.eofs == 1);
  CHECK_FALSE(ours.state().receiving);
  CHECK(ours.state().open);
}

TEST_CASE("a reset comes after the bytes that arrived before it", "[fault-B1]") {
  const bool level = GENERATE(false, true);
  harness h(level);
  tcp_pair pair;
  library_descriptor ours(h, std::move(pair.ours));
  byte_sink sink;
  h.io().start_receiving(ours.state(), sink);
  reset_connection(pair.peer);
  REQUIRE(h.run_until([&] { return sink.errors == 1; }));
  CHECK(sink.error == ECONNRESET);
  h.turn(3);
  CHECK(sink.errors == 1);
  CHECK(sink.eofs == 0);
}

TEST_CASE("one busy socket leaves room for the others", "[fault-A12]") {
  const bool level = GENERATE(false, true);
  harness h(level);
  socket_pair busy;
  socket_pair canary;
  library_descriptor first(h, std::move(busy.ours));
  library_descriptor second(h, std::move(canary.ours));
  byte_sink many(64);
  byte_sink few;
  h.io().start_receiving(first.state(), many);
  h.io().start_receiving(second.state(), few);
  put(busy.peer, std::string(64 * 100, 'x'));
  put(canary.peer, "y");
  h.turn();
  CHECK(few.bytes == "y");
  CHECK(many.calls > 0);
  CHECK(many.calls < 20);
  REQUIRE(h.run_until([&] { return many.bytes.size() == 6400; }));
}

TEST_CASE("a full buffer is followed by another receive") {
  harness h;
  tcp_pair pair;
  library_descriptor ours(h, std::move(pair.ours));
  byte_sink sink(4);
  h.io().start_receiving(ours.state(), sink);
  put(pair.peer, "12345678");
  await_readable(ours.fd());
  fault<&system_calls::recv> recv;
  h.turn();
  CHECK(sink.bytes == "12345678");
  CHECK(recv.calls() == 3);  // the third one finds nothing
  put(pair.peer, "9");
  REQUIRE(h.run_until([&] { return sink.bytes == "123456789"; }));
}

TEST_CASE("a sink may pause, stop, close or be exchanged in its callback") {
  const bool level = GENERATE(false, true);
  harness h(level);
  socket_pair pair;
  library_descriptor ours(h, std::move(pair.ours));
  byte_sink sink(4);
  byte_sink other(4);
  h.io().start_receiving(ours.state(), sink);
  put(pair.peer, "1234567890");

  SECTION("pause") {
    sink.then = [&] { h.io().pause_receiving(ours.state()); };
    h.turn(3);
    CHECK(sink.bytes == "1234");
    h.io().resume_receiving(ours.state());
    h.turn(3);
    CHECK(sink.bytes == "12345678");
  }
  SECTION("stop and start again") {
    sink.then = [&] { h.io().stop_receiving(ours.state()); };
    h.turn(3);
    CHECK(sink.bytes == "1234");
    h.io().start_receiving(ours.state(), other);
    h.turn(3);
    CHECK(other.bytes == "567890");
  }
  SECTION("exchange") {
    sink.then = [&] { h.io().start_receiving(ours.state(), other); };
    h.turn(3);
    CHECK(sink.bytes == "1234");
    CHECK(other.bytes == "567890");
  }
  SECTION("close") {
    sink.then = [&] { ours.close(); };
    h.turn(3);
    CHECK(sink.bytes == "1234");
    CHECK(sink.eofs + sink.errors == 0);
  }
  SECTION("close in get_buffer") {
    sink.before = [&] { ours.close(); };
    h.turn(3);
    CHECK(sink.bytes.empty());
    CHECK(sink.eofs + sink.errors == 0);
  }
  SECTION("close at the end") {
    sink.at_end = [&] { ours.close(); };
    pair.peer.reset();
    h.turn(3);
    CHECK(sink.bytes == "1234567890");
    CHECK(sink.eofs == 1);
  }
  SECTION("close and open another descriptor with the same state") {
    socket_pair next;
    put(next.peer, "next");
    sink.then = [&] {
      sink.then = nullptr;
      h.io().close(ours.state());
      ours.state().fd = next.ours.get();
      h.io().open(ours.state());
      h.io().start_receiving(ours.state(), other);
    };
    h.turn(3);
    CHECK(sink.bytes == "1234");
    CHECK(other.bytes == "next");
    h.io().close(ours.state());
  }
}

TEST_CASE("a sink without room gets an error, and receiving stops", "[fault-B14]") {
  harness h;
  socket_pair pair;
  library_descriptor ours(h, std::move(pair.ours));
  byte_sink sink(0);
  h.io().start_receiving(ours.state(), sink);
  put(pair.peer, "x");
  h.turn(3);
  CHECK(sink.error == ENOBUFS);
  CHECK(sink.errors == 1);
}

TEST_CASE("an exception that passes through loses no readiness") {
  const bool level = GENERATE(false, true);
  harness h(level);
  socket_pair pair;
  library_descriptor ours(h, std::move(pair.ours));
  byte_sink sink(4);
  h.io().start_receiving(ours.state(), sink);
  put(pair.peer, "12345678");
  sink.then = [&] {
    sink.then = nullptr;
    throw rondo::keyboard_interrupt();
  };
  CHECK_THROWS_AS(h.turn(3), rondo::keyboard_interrupt);
  CHECK(sink.bytes == "1234");
  h.turn(3);
  CHECK(sink.bytes == "12345678");
}

TEST_CASE("closing a state whose node is queued makes the node do nothing", "[fault-F4]") {
  harness h;
  socket_pair first;
  socket_pair second;
  library_descriptor one(h, std::move(first.ours));
  library_descriptor two(h, std::move(second.ours));
  byte_sink sink_one;
  byte_sink sink_two;
  h.io().start_receiving(one.state(), sink_one);
  h.io().start_receiving(two.state(), sink_two);
  put(first.peer, "1");
  put(second.peer, "2");
  // Both are ready in the same batch; whichever runs first closes the other.
  sink_one.then = [&] { two.close(); };
  sink_two.then = [&] { one.close(); };
  h.turn(3);
  CHECK(sink_one.calls + sink_two.calls == 1);
}

TEST_CASE("an event never reaches the next owner of the number", "[fault-F4]") {
  const bool level = GENERATE(false, true);
  harness h(level);
  socket_pair pair;
  socket_pair next;
  const int number = pair.ours.get();
  descriptor copy(::fcntl(number, F_DUPFD_CLOEXEC, 0));
  auto old = std::make_unique<library_descriptor>(h, std::move(pair.ours));
  byte_sink old_sink;
  h.io().start_receiving(old->state(), old_sink);
  put(pair.peer, "for the old one");
  byte_sink new_sink;
  std::unique_ptr<library_descriptor> fresh;
  const auto reuse = [&] {
    old->close();
    REQUIRE(::dup3(next.ours.get(), number, O_CLOEXEC) == number);
    fresh = std::make_unique<library_descriptor>(h, descriptor(number));
    h.io().start_receiving(fresh->state(), new_sink);
  };
  SECTION("before the poll") {
    reuse();
    h.turn(3);
  }
  SECTION("between the poll and the dispatch") {
    // The watch of the other pair is in the same batch, and its callback closes the first one.
    pipe_pair trigger;
    watch_node node;
    node.then = [&] {
      h.io().unwatch(trigger.read_end.get(), rondo::watch_kind::read);
      reuse();
    };
    h.io().watch(trigger.read_end.get(), rondo::watch_kind::read, node, node.queued);
    put(trigger.write_end, "!");
    h.turn(3);
    CHECK(node.calls == 1);
  }
  CHECK(new_sink.calls == 0);
  CHECK(old_sink.calls <= 1);
  put(next.peer, "for the new one");
  h.turn(2);
  CHECK(new_sink.bytes == "for the new one");
}

TEST_CASE("closing unregisters, although a duplicate keeps the file open", "[fault-F5]") {
  const bool level = GENERATE(false, true);
  harness h(level);
  socket_pair pair;
  descriptor copy(::fcntl(pair.ours.get(), F_DUPFD_CLOEXEC, 0));
  library_descriptor ours(h, std::move(pair.ours));
  byte_sink sink;
  h.io().start_receiving(ours.state(), sink);
  ours.close();
  put(pair.peer, "x");
  wait_counter wait;
  h.run_until([] { return false; }, 50ms);
  CHECK(wait.calls() <= 2);
  CHECK(sink.calls == 0);
}

TEST_CASE("short reads give the same bytes", "[fault-B8]") {
  const bool level = GENERATE(false, true);
  const bool tcp = GENERATE(false, true);
  harness h(level);
  descriptor mine;
  descriptor peer;
  if (tcp) {
    tcp_pair pair;
    mine = std::move(pair.ours);
    peer = std::move(pair.peer);
  } else {
    socket_pair pair;
    mine = std::move(pair.ours);
    peer = std::move(pair.peer);
  }
  library_descriptor ours(h, std::move(mine));
  byte_sink sink(1);
  h.io().start_receiving(ours.state(), sink);
  const std::string text = "byte by byte, and nothing is lost";
  put(peer, text);
  REQUIRE(h.run_until([&] { return sink.bytes == text; }));
  peer.reset();
  REQUIRE(h.run_until([&] { return sink.eofs == 1; }));
}

TEST_CASE("EINTR in the middle of receiving is invisible", "[fault-B9]") {
  const bool level = GENERATE(false, true);
  harness h(level);
  socket_pair pair;
  library_descriptor ours(h, std::move(pair.ours));
  byte_sink sink(4);
  fault<&system_calls::recv> recv;
  fault<&system_calls::recvmsg> message;
  fault<&system_calls::epoll_wait> wait;
  fault<&system_calls::epoll_pwait2> precise;
  recv.fail_every_other(EINTR);
  message.fail_every_other(EINTR);
  wait.fail_every_other(EINTR);
  precise.fail_every_other(EINTR);
  h.io().start_receiving(ours.state(), sink);
  put(pair.peer, "1234567890");
  REQUIRE(h.run_until([&] { return sink.bytes == "1234567890"; }));
  pair.peer.reset();
  REQUIRE(h.run_until([&] { return sink.eofs == 1; }));
  CHECK(sink.errors == 0);
}

TEST_CASE("spurious readiness costs one try per event", "[fault-B10]") {
  const bool level = GENERATE(false, true);
  harness h(level);
  tcp_pair pair;
  library_descriptor ours(h, std::move(pair.ours));
  byte_sink sink;
  h.io().start_receiving(ours.state(), sink);
  fault<&system_calls::recv> recv;
  recv.fail(1, EAGAIN, 3);
  for (int i = 0; i < 3; ++i) {
    put(pair.peer, "x");
    await_readable(ours.fd());
    h.turn();
    CHECK(recv.calls() == i + 1);
  }
  put(pair.peer, "y");
  REQUIRE(h.run_until([&] { return sink.bytes == "xxxy"; }));
}

TEST_CASE("urgent data neither hides what follows nor spins", "[fault-B20]") {
  const bool level = GENERATE(false, true);
  harness h(level);
  tcp_pair pair;
  library_descriptor ours(h, std::move(pair.ours));
  byte_sink sink;
  h.io().start_receiving(ours.state(), sink);
  put(pair.peer, "before");
  REQUIRE(::send(pair.peer.get(), "!", 1, MSG_OOB) == 1);
  put(pair.peer, "after");
  REQUIRE(h.run_until([&] { return sink.bytes == "beforeafter"; }, 1s));
  wait_counter wait;
  h.run_until([] { return false; }, 50ms);
  CHECK(wait.calls() <= 2);
  put(pair.peer, "more");
  REQUIRE(h.run_until([&] { return sink.bytes == "beforeaftermore"; }, 1s));
}

TEST_CASE("a hang-up without data is handled once", "[fault-B21]") {
  const bool level = GENERATE(false, true);
  harness h(level);
  tcp_pair pair;
  library_descriptor ours(h, std::move(pair.ours));
  byte_sink sink;
  h.io().start_receiving(ours.state(), sink);
  h.io().pause_receiving(ours.state());
  pair.peer.reset();
  REQUIRE(::shutdown(ours.fd(), SHUT_WR) == 0);
  wait_counter wait;
  h.run_until([] { return false; }, 50ms);
  CHECK(wait.calls() <= 6);
  h.io().resume_receiving(ours.state());
  h.turn(2);
  CHECK(sink.eofs == 1);
  h.turn(2);
  CHECK(sink.eofs == 1);
  wait.restart();
  h.run_until([] { return false; }, 50ms);
  CHECK(wait.calls() <= 3);
}

TEST_CASE("a unix socket whose peer passes descriptors along loses nothing") {
  const bool level = GENERATE(false, true);
  harness h(level);
  socket_pair pair;
  library_descriptor ours(h, std::move(pair.ours));
  byte_sink sink;
  h.io().start_receiving(ours.state(), sink);
  // A receive ends behind the first message, although the second one is there.
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  std::string text = "with a descriptor";
  iovec part{text.data(), text.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  cmsghdr* const header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  const int passed = pair.peer.get();
  std::memcpy(CMSG_DATA(header), &passed, sizeof passed);
  REQUIRE(::sendmsg(pair.peer.get(), &message, 0) > 0);
  put(pair.peer, ", without");
  fault<&system_calls::recvmsg> receive;
  h.turn();
  CHECK(sink.bytes == "with a descriptor, without");
  CHECK(receive.calls() == 2);
}

TEST_CASE("pipes and terminals are received from as well") {
  const bool level = GENERATE(false, true);
  harness h(level);
  pipe_pair pair;
  library_descriptor ours(h, std::move(pair.read_end));
  byte_sink sink;
  h.io().start_receiving(ours.state(), sink);
  put(pair.write_end, "through a pipe");
  h.turn();
  CHECK(sink.bytes == "through a pipe");
  CHECK(ours.state().kind == fd_state::stream_kind::plain);
  put(pair.write_end, "!");
  pair.write_end.reset();
  h.turn(2);
  CHECK(sink.bytes == "through a pipe!");
  CHECK(sink.eofs == 1);
}

TEST_CASE("a registration that fails is an error of the caller only", "[fault-F8]") {
  const int error = GENERATE(ENOSPC, ENOMEM);
  harness h;
  socket_pair pair;
  socket_pair canary;
  library_descriptor ours(h, std::move(pair.ours));
  library_descriptor other(h, std::move(canary.ours));
  byte_sink sink;
  byte_sink other_sink;
  h.io().start_receiving(other.state(), other_sink);
  {
    fault<&system_calls::epoll_ctl> control;
    control.fail_always(error);
    try {
      h.io().start_receiving(ours.state(), sink);
      FAIL("no exception");
    } catch (const std::system_error& caught) {
      CHECK(caught.code().value() == error);
      CHECK(std::string(caught.what()).find(std::to_string(ours.fd())) != std::string::npos);
    }
    std::string room(8, ' ');
    request receive(operation_kind::receive, ours.fd(), room.data(), room.size());
    CHECK(receive.start(h));
    CHECK(receive.result == -error);
  }
  CHECK_FALSE(ours.state().receiving);
  put(canary.peer, "alive");
  put(pair.peer, "later");
  h.io().start_receiving(ours.state(), sink);
  h.turn();
  CHECK(other_sink.bytes == "alive");
  CHECK(sink.bytes == "later");
}

TEST_CASE("thousands of descriptors are served", "[fault-F10]") {
  harness h;
  const int count = 9000;  // two each, below the limit of 20,000
  std::vector<std::unique_ptr<library_descriptor>> ends;
  std::vector<descriptor> peers;
  std::vector<std::unique_ptr<byte_sink>> sinks;
  for (int i = 0; i < count; ++i) {
    std::array<int, 2> fds{};
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds.data()) != 0) {
      REQUIRE(errno == EMFILE);
      break;
    }
    peers.emplace_back(fds[1]);
    ends.push_back(std::make_unique<library_descriptor>(h, descriptor(fds[0])));
    sinks.push_back(std::make_unique<byte_sink>(16));
    h.io().start_receiving(ends.back()->state(), *sinks.back());
  }
  REQUIRE(ends.size() > 500);
  for (const descriptor& peer : peers) REQUIRE(::write(peer.get(), "x", 1) == 1);
  std::size_t received = 0;
  REQUIRE(h.run_until([&] {
    received = 0;
    for (const auto& sink : sinks) received += sink->bytes.size();
    return received == sinks.size();
  }));
  for (const auto& sink : sinks) CHECK(sink->bytes == "x");
}

TEST_CASE("descriptors of the library are told apart") {
  harness h;
  socket_pair pair;
  library_descriptor ours(h, std::move(pair.ours));
  CHECK(h.io().is_open(ours.fd()));
  CHECK_FALSE(h.io().is_open(pair.peer.get()));
  CHECK_FALSE(h.io().is_open(-1));
  CHECK_FALSE(h.io().is_open(1 << 30));
  fd_state twice(ours.fd());
  CHECK_THROWS_AS(h.io().open(twice), std::logic_error);
  fd_state nothing;
  CHECK_THROWS_AS(h.io().open(nothing), std::system_error);
}

TEST_CASE("a loop that closes lets go of states that are still open") {
  std::size_t before = open_descriptors();
  {
    fd_state state;
    byte_sink sink;
    socket_pair pair;
    std::string room(8, ' ');
    request waiting(operation_kind::receive, pair.peer.get(), room.data(), room.size());
    {
      harness h;
      state.fd = pair.ours.get();
      h.io().open(state);
      h.io().start_receiving(state, sink);
      CHECK_FALSE(waiting.start(h));
      put(pair.peer, "x");
      h.loop().close();
      CHECK_FALSE(state.open);
      CHECK_FALSE(waiting.pending);
      CHECK(waiting.completed == 0);
      h.io().close(state);
      CHECK_FALSE(h.io().unwatch(pair.ours.get(), rondo::watch_kind::read));
    }
  }
  CHECK(open_descriptors() == before);
}
