// SPDX-License-Identifier: MIT
// rondo tests: watching descriptors of the user (add_reader, add_writer) on a selector backend.
#include "net/selector_harness.hpp"

#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <sys/wait.h>

#include <limits>
#include <stdexcept>

using namespace selector_test;
using rondo::watch_kind;

namespace {

void watch(harness& h, int fd, watch_kind kind, watch_node& node) {
  h.io().watch(fd, kind, node, node.queued);
}

// The errno value of the std::system_error; its text must name the descriptor.
int error_of_watch(harness& h, int fd) {
  watch_node node;
  try {
    watch(h, fd, watch_kind::read, node);
  } catch (const std::system_error& caught) {
    CHECK(std::string(caught.what()).find("file descriptor " + std::to_string(fd)) !=
          std::string::npos);
    return caught.code().value();
  }
  CHECK(h.io().unwatch(fd, watch_kind::read));
  return 0;
}

}  // namespace

TEST_CASE("a watch is called in every iteration in which its descriptor is ready", "[rule-228]") {
  const bool level = GENERATE(false, true);
  harness h(level);
  pipe_pair pipe;
  watch_node node;
  watch(h, pipe.read_end.get(), watch_kind::read, node);
  h.turn(3);
  CHECK(node.calls == 0);
  put(pipe.write_end, "x");
  h.turn(5);
  CHECK(node.calls == 5);
  drain(pipe.read_end.get());
  h.turn(3);
  CHECK(node.calls == 5);
  watch_node writer;
  watch(h, pipe.write_end.get(), watch_kind::write, writer);
  h.turn(4);
  CHECK(writer.calls == 4);
  CHECK(h.io().unwatch(pipe.write_end.get(), watch_kind::write));
  h.turn(4);
  CHECK(writer.calls == 4);
  CHECK(h.io().unwatch(pipe.read_end.get(), watch_kind::read));
}

TEST_CASE("a hang-up and an error wake reader and writer", "[rule-228]") {
  const bool level = GENERATE(false, true);
  harness h(level);
  watch_node reader;
  watch_node writer;
  SECTION("hang-up") {
    socket_pair pair;
    fill(pair.ours.get());
    watch(h, pair.ours.get(), watch_kind::read, reader);
    watch(h, pair.ours.get(), watch_kind::write, writer);
    h.turn();
    CHECK(reader.calls + writer.calls == 0);
    pair.peer.reset();
    h.turn();
    CHECK(reader.calls == 1);
    CHECK(writer.calls == 1);
    h.io().unwatch(pair.ours.get(), watch_kind::read);
    h.io().unwatch(pair.ours.get(), watch_kind::write);
  }
  SECTION("error, writer only") {
    pipe_pair pipe;
    fill(pipe.write_end.get());
    watch(h, pipe.write_end.get(), watch_kind::write, writer);
    h.turn();
    CHECK(writer.calls == 0);
    pipe.read_end.reset();  // EPOLLERR and nothing else
    h.turn();
    CHECK(writer.calls == 1);
    h.io().unwatch(pipe.write_end.get(), watch_kind::write);
  }
  SECTION("hang-up, reader only") {
    pipe_pair pipe;
    watch(h, pipe.read_end.get(), watch_kind::read, reader);
    pipe.write_end.reset();  // EPOLLHUP and nothing else
    h.turn();
    CHECK(reader.calls == 1);
    h.io().unwatch(pipe.read_end.get(), watch_kind::read);
  }
}

TEST_CASE("the reader of a descriptor comes before its writer", "[rule-002]") {
  const bool level = GENERATE(false, true);
  harness h(level);
  socket_pair pair;
  put(pair.peer, "x");
  std::string order;
  watch_node reader;
  watch_node writer;
  reader.then = [&] { order += 'r'; };
  writer.then = [&] { order += 'w'; };
  watch(h, pair.ours.get(), watch_kind::write, writer);
  watch(h, pair.ours.get(), watch_kind::read, reader);
  h.turn(2);
  CHECK(order == "rwrw");
  h.io().unwatch(pair.ours.get(), watch_kind::write);
  h.io().unwatch(pair.ours.get(), watch_kind::read);
}

TEST_CASE("a second watch replaces the first one", "[rule-225]") {
  const bool level = GENERATE(false, true);
  harness h(level);
  pipe_pair pipe;
  const int fd = pipe.read_end.get();
  put(pipe.write_end, "x");
  watch_node first;
  watch_node second;
  CHECK_FALSE(h.io().unwatch(fd, watch_kind::read));
  watch(h, fd, watch_kind::read, first);
  h.turn();
  watch(h, fd, watch_kind::read, second);
  h.turn(2);
  CHECK(first.calls == 1);
  CHECK(second.calls == 2);
  CHECK_FALSE(h.io().unwatch(fd, watch_kind::write));
  CHECK(h.io().unwatch(fd, watch_kind::read));
  CHECK_FALSE(h.io().unwatch(fd, watch_kind::read));
  h.turn(2);
  CHECK(second.calls == 2);
}

TEST_CASE("a watch that is removed by another callback is not queued again",
          "[rule-226][fault-F6]") {
  const bool level = GENERATE(false, true);
  harness h(level);
  pipe_pair one;
  pipe_pair two;
  watch_node first;
  watch_node second;
  first.then = [&] { h.io().unwatch(two.read_end.get(), watch_kind::read); };
  second.then = [&] { h.io().unwatch(one.read_end.get(), watch_kind::read); };
  watch(h, one.read_end.get(), watch_kind::read, first);
  watch(h, two.read_end.get(), watch_kind::read, second);
  put(one.write_end, "x");
  put(two.write_end, "x");
  // Both nodes stand in the queue: dropping the second one's call is its owner's, the loop's, part.
  h.turn();
  const int calls = first.calls + second.calls;
  CHECK(calls <= 2);
  h.turn(3);
  CHECK(first.calls + second.calls <= calls + 3);
  h.io().unwatch(one.read_end.get(), watch_kind::read);
  h.io().unwatch(two.read_end.get(), watch_kind::read);
  const int last = first.calls + second.calls;
  h.turn(3);
  CHECK(first.calls + second.calls == last);
}

TEST_CASE("a descriptor belongs to a transport or to the user", "[rule-227][fault-F7]") {
  const bool level = GENERATE(false, true);
  harness h(level);
  socket_pair pair;
  const int fd = pair.ours.get();
  watch_node node;
  SECTION("a transport's is not watched") {
    library_descriptor ours(h, std::move(pair.ours));
    try {
      watch(h, fd, watch_kind::read, node);
      FAIL("no exception");
    } catch (const std::logic_error& caught) {
      CHECK(std::string(caught.what()) ==
            "File descriptor " + std::to_string(fd) + " is used by transport");
    }
    CHECK_THROWS_AS(watch(h, fd, watch_kind::write, node), std::logic_error);
    CHECK_FALSE(h.io().unwatch(fd, watch_kind::read));
    byte_sink sink;
    h.io().start_receiving(ours.state(), sink);
    put(pair.peer, "undisturbed");
    h.turn();
    CHECK(sink.bytes == "undisturbed");
  }
  SECTION("one that is watched is not given to a transport") {
    watch(h, fd, watch_kind::read, node);
    fd_state state(fd);
    CHECK_THROWS_AS(h.io().open(state), std::logic_error);
    CHECK_FALSE(h.io().is_open(fd));
    put(pair.peer, "x");
    h.turn();
    CHECK(node.calls == 1);
    CHECK(h.io().unwatch(fd, watch_kind::read));
    h.io().open(state);
    CHECK(h.io().is_open(fd));
    h.io().close(state);
    watch(h, fd, watch_kind::read, node);
    h.turn();
    CHECK(node.calls == 2);
    CHECK(h.io().unwatch(fd, watch_kind::read));
  }
}

TEST_CASE("what cannot be watched is refused with its reason", "[rule-231][fault-F1][fault-F2]") {
  const bool level = GENERATE(false, true);
  harness h(level);
  const auto opened = [](const char* path, int flags = O_RDONLY) {
    return descriptor(::open(path, flags | O_CLOEXEC | O_NONBLOCK));
  };
  const descriptor file = opened("/etc/passwd");
  const descriptor directory = opened("/tmp", O_RDONLY | O_DIRECTORY);
  REQUIRE(file);
  REQUIRE(directory);
  CHECK(error_of_watch(h, file.get()) == EPERM);
  CHECK(error_of_watch(h, directory.get()) == EPERM);
  CHECK(error_of_watch(h, -1) == EBADF);
  CHECK(error_of_watch(h, std::numeric_limits<int>::min()) == EBADF);
  CHECK(error_of_watch(h, std::numeric_limits<int>::max()) == EBADF);
  int closed = -1;
  {
    const descriptor gone = opened("/dev/null");
    closed = gone.get();
  }
  CHECK(error_of_watch(h, closed) == EBADF);
  CHECK(error_of_watch(h, h.io().descriptor()) == EINVAL);
  CHECK(error_of_watch(h, opened("/dev/null").get()) == EPERM);
  CHECK(error_of_watch(h, opened("/dev/full", O_WRONLY).get()) == EPERM);
  const descriptor timer(::timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC));
  CHECK(error_of_watch(h, timer.get()) == 0);
  const descriptor inner(::epoll_create1(EPOLL_CLOEXEC));
  CHECK(error_of_watch(h, inner.get()) == 0);
  const descriptor terminal = opened("/dev/ptmx", O_RDWR);
  if (terminal) CHECK(error_of_watch(h, terminal.get()) == 0);
  h.turn(2);
}

TEST_CASE("a watch that fails leaves the other one as it is", "[fault-F8]") {
  const int error = GENERATE(ENOSPC, ENOMEM);
  harness h;
  socket_pair pair;
  watch_node reader;
  watch_node writer;
  {
    fault<&system_calls::epoll_ctl> control;
    control.fail_always(error);
    CHECK(error_of_watch(h, pair.ours.get()) == error);
  }
  watch(h, pair.ours.get(), watch_kind::read, reader);
  {
    fault<&system_calls::epoll_ctl> control;
    control.fail_always(error);
    CHECK_THROWS_AS(watch(h, pair.ours.get(), watch_kind::write, writer), std::system_error);
  }
  put(pair.peer, "x");
  h.turn(2);
  CHECK(reader.calls == 2);
  CHECK(writer.calls == 0);
  CHECK_FALSE(h.io().unwatch(pair.ours.get(), watch_kind::write));
  CHECK(h.io().unwatch(pair.ours.get(), watch_kind::read));
}

TEST_CASE("closing a watched descriptor is survived", "[fault-F3]") {
  const bool level = GENERATE(false, true);
  harness h(level);
  auto pipe = std::make_unique<pipe_pair>();
  const int fd = pipe->read_end.get();
  watch_node node;
  watch(h, fd, watch_kind::read, node);
  put(pipe->write_end, "x");
  pipe.reset();
  wait_counter wait;
  h.run_until([] { return false; }, 50ms);
  CHECK(wait.calls() <= 2);
  CHECK(node.calls == 0);
  SECTION("and removed") {
    CHECK(h.io().unwatch(fd, watch_kind::read));
    CHECK_FALSE(h.io().unwatch(fd, watch_kind::read));
  }
  SECTION("and the number watched again") {
    pipe_pair next;
    REQUIRE(next.read_end.get() == fd);
    watch_node other;
    watch(h, fd, watch_kind::read, other);
    put(next.write_end, "y");
    h.turn(2);
    CHECK(other.calls == 2);
    CHECK(node.calls == 0);
    CHECK(h.io().unwatch(fd, watch_kind::read));
  }
  SECTION("and the number watched the other way") {
    socket_pair next;
    REQUIRE(next.ours.get() == fd);
    watch_node writer;
    watch(h, fd, watch_kind::write, writer);
    put(next.peer, "y");
    h.turn(2);
    CHECK(writer.calls == 2);
    CHECK(node.calls == 0);  // it was a watch of another file
    CHECK(h.io().unwatch(fd, watch_kind::write));
  }
  SECTION("and the number given to the library") {
    socket_pair next;
    REQUIRE(next.ours.get() == fd);
    library_descriptor ours(h, std::move(next.ours));
    byte_sink sink;
    h.io().start_receiving(ours.state(), sink);
    put(next.peer, "y");
    h.turn(2);
    CHECK(sink.bytes == "y");
    CHECK(node.calls == 0);
    CHECK_FALSE(h.io().unwatch(fd, watch_kind::read));
  }
}

TEST_CASE("a registration that outlives its descriptor does not make the loop spin", "[fault-F3]") {
  const bool level = GENERATE(false, true);
  harness h(level);
  pipe_pair pipe;
  pipe_pair other;
  socket_pair pair;
  const int fd = pipe.read_end.get();
  watch_node node;
  watch_node kept;
  watch(h, fd, watch_kind::read, node);
  watch(h, other.read_end.get(), watch_kind::read, kept);
  library_descriptor ours(h, std::move(pair.ours));
  byte_sink sink;
  h.io().start_receiving(ours.state(), sink);
  std::string room(8, '\0');
  socket_pair third;
  request receive(operation_kind::receive, third.ours.get(), room.data(), room.size());
  CHECK_FALSE(receive.start(h));
  put(pipe.write_end, "x");
  h.turn();
  CHECK(node.calls == 1);
  // The copy keeps the file, and so the registration, alive; nothing can name it any more.
  const descriptor copy(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
  pipe.read_end.reset();
  CHECK(h.io().unwatch(fd, watch_kind::read));
  wait_counter wait;
  const int number = h.io().descriptor();
  h.run_until([] { return false; }, 50ms);
  CHECK(wait.calls() < 100);
  wait.restart();
  h.run_until([] { return false; }, 50ms);
  CHECK(wait.calls() <= 2);
  CHECK(node.calls == 1);
  CHECK(h.io().descriptor() == number);
  // Everything else is still there.
  put(other.write_end, "x");
  put(pair.peer, "abc");
  put(third.peer, "def");
  h.turn();
  CHECK(kept.calls == 1);
  CHECK(sink.bytes == "abc");
  CHECK(receive.completed == 1);
  h.io().wake();
  h.io().unwatch(other.read_end.get(), watch_kind::read);
  const auto begin = std::chrono::steady_clock::now();
  h.io().poll(rondo::interval(10s));
  CHECK(std::chrono::steady_clock::now() - begin < 5s);
}

TEST_CASE("an event of a closed descriptor does not reach the next owner of its number",
          "[fault-F4]") {
  const bool level = GENERATE(false, true);
  harness h(level);
  pipe_pair old;
  const int fd = old.read_end.get();
  watch_node stale;
  watch(h, fd, watch_kind::read, stale);
  // The copy keeps the old registration alive and ready.
  const descriptor copy(::fcntl(fd, F_DUPFD_CLOEXEC, 100));
  old.read_end.reset();
  put(old.write_end, "x");
  socket_pair next;
  REQUIRE(next.ours.get() == fd);
  SECTION("a watch") {
    watch_node node;
    watch(h, fd, watch_kind::read, node);
    h.turn(3);
    CHECK(node.calls == 0);
    put(next.peer, "y");
    h.turn(3);
    CHECK(node.calls == 3);
    CHECK(h.io().unwatch(fd, watch_kind::read));
  }
  SECTION("an operation") {
    std::string room(8, '\0');
    request poll(operation_kind::poll_read, fd);
    CHECK_FALSE(poll.start(h));
    h.turn(3);
    CHECK(poll.completed == 0);
    put(next.peer, "y");
    h.turn(2);
    CHECK(poll.completed == 1);
  }
  SECTION("a transport") {
    library_descriptor ours(h, std::move(next.ours));
    byte_sink sink;
    h.io().start_receiving(ours.state(), sink);
    h.turn(3);
    CHECK(sink.buffers == 0);
    put(next.peer, "y");
    h.turn(2);
    CHECK(sink.bytes == "y");
  }
  CHECK(stale.calls == 0);
}

TEST_CASE("a number that means the same file again is registered again") {
  const bool level = GENERATE(false, true);
  harness h(level);
  pipe_pair pipe;
  const int fd = pipe.read_end.get();
  watch_node node;
  watch(h, fd, watch_kind::read, node);
  descriptor copy(::fcntl(fd, F_DUPFD_CLOEXEC, 100));
  pipe.read_end.reset();
  CHECK(h.io().unwatch(fd, watch_kind::read));
  pipe.read_end.reset(::dup3(copy.get(), fd, O_CLOEXEC));
  REQUIRE(pipe.read_end.get() == fd);
  put(pipe.write_end, "x");
  h.turn(2);
  CHECK(node.calls == 0);
  SECTION("by a watch") {
    watch(h, fd, watch_kind::read, node);
    h.turn(2);
    CHECK(node.calls == 2);
    CHECK(h.io().unwatch(fd, watch_kind::read));
  }
  SECTION("by the library") {
    library_descriptor ours(h, std::move(pipe.read_end));
    byte_sink sink;
    h.io().start_receiving(ours.state(), sink);
    h.turn(2);
    CHECK(sink.bytes == "x");
  }
}

TEST_CASE("a node is queued once, however many polls find its descriptor ready") {
  harness h;
  pipe_pair pipe;
  watch_node node;
  watch(h, pipe.read_end.get(), watch_kind::read, node);
  put(pipe.write_end, "x");
  for (int i = 0; i < 3; ++i) h.io().poll(rondo::interval());
  CHECK(node.queued);
  h.turn();
  CHECK(node.calls == 1);
  CHECK(h.io().unwatch(pipe.read_end.get(), watch_kind::read));
}

TEST_CASE("watches and operations share a descriptor") {
  const bool level = GENERATE(false, true);
  harness h(level);
  socket_pair pair;
  const int fd = pair.ours.get();
  std::string room(8, '\0');
  watch_node writer;
  request receive(operation_kind::receive, fd, room.data(), room.size());
  CHECK_FALSE(receive.start(h));
  watch(h, fd, watch_kind::write, writer);
  h.turn(2);
  CHECK(writer.calls == 2);
  put(pair.peer, "abc");
  h.turn(2);
  CHECK(receive.completed == 1);
  CHECK(receive.result == 3);
  CHECK(writer.calls == 4);
  put(pair.peer, "nobody reads this");
  h.turn(2);
  CHECK(h.io().unwatch(fd, watch_kind::write));
  wait_counter wait;
  h.run_until([] { return false; }, 30ms);
  CHECK(wait.calls() <= 2);
}

TEST_CASE("both watches of a descriptor share one registration") {
  harness h;
  socket_pair pair;
  std::vector<int> actions;
  fault<&system_calls::epoll_ctl> control;
  control.hook([&](int, int action, int, epoll_event*) -> std::optional<int> {
    actions.push_back(action);
    return std::nullopt;
  });
  watch_node reader;
  watch_node writer;
  watch(h, pair.ours.get(), watch_kind::read, reader);
  watch(h, pair.ours.get(), watch_kind::write, writer);
  h.io().unwatch(pair.ours.get(), watch_kind::read);
  h.io().unwatch(pair.ours.get(), watch_kind::write);
  CHECK(actions == std::vector<int>{EPOLL_CTL_ADD, EPOLL_CTL_MOD, EPOLL_CTL_MOD, EPOLL_CTL_DEL});
}

TEST_CASE("an interrupted wait is repeated, a broken one is an error", "[fault-F9]") {
  harness h;
  fault<&system_calls::epoll_wait> wait;
  wait.fail(1, EINTR, 2).fail(3, EBADF);
  h.io().poll(rondo::interval());
  h.io().poll(rondo::interval());
  try {
    h.io().poll(rondo::interval());
    FAIL("no exception");
  } catch (const std::system_error& caught) {
    CHECK(caught.code().value() == EBADF);
  }
  h.io().poll(rondo::interval());
}

TEST_CASE("a loop without descriptors for itself cannot be made", "[fault-F8]") {
  const std::size_t before = open_descriptors();
  {
    fault<&system_calls::epoll_create1> create;
    create.fail_always(EMFILE);
    CHECK_THROWS_AS(selector_backend(), std::system_error);
  }
  {
    fault<&system_calls::eventfd> create;
    create.fail_always(EMFILE);
    CHECK_THROWS_AS(rondo::event_loop(std::make_unique<selector_backend>()), std::system_error);
  }
  {
    fault<&system_calls::epoll_ctl> control;
    control.fail_always(ENOSPC);
    CHECK_THROWS_AS(rondo::event_loop(std::make_unique<selector_backend>()), std::system_error);
  }
  CHECK(open_descriptors() == before);
}

TEST_CASE("a forked child that closes does not disturb its parent", "[fault-E8]") {
  harness h;
  socket_pair pair;
  socket_pair plain;
  pipe_pair pipe;
  library_descriptor ours(h, std::move(pair.ours));
  byte_sink sink;
  watch_node node;
  std::string room(8, '\0');
  request receive(operation_kind::receive, plain.ours.get(), room.data(), room.size());
  h.io().start_receiving(ours.state(), sink);
  watch(h, pipe.read_end.get(), watch_kind::read, node);
  CHECK_FALSE(receive.start(h));
  h.turn();
  const pid_t child = ::fork();
  if (child == 0) {
    h.io().abandon(receive);
    h.io().unwatch(pipe.read_end.get(), watch_kind::read);
    h.io().close(ours.state());
    h.io().shut_down(true);
    ::_exit(0);
  }
  REQUIRE(child > 0);
  int status = -1;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(status == 0);
  put(pair.peer, "abc");
  put(plain.peer, "def");
  put(pipe.write_end, "g");
  h.turn();
  CHECK(sink.bytes == "abc");
  CHECK(receive.completed == 1);
  CHECK(node.calls == 1);
  CHECK(h.io().unwatch(pipe.read_end.get(), watch_kind::read));
}
