// SPDX-License-Identifier: MIT
// rondo tests: pipe transports, by the contract of all transports and by what is their own.
#include "net/transport_fixture.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <filesystem>

namespace rondo_test {

/// A FIFO in a directory of its own, open at both ends: non-blocking to read from, blocking to
/// write to.
inline std::pair<int, int> open_fifo() {
  std::string place = (std::filesystem::temp_directory_path() / "rondo-fifo-XXXXXX").string();
  if (::mkdtemp(place.data()) == nullptr) throw std::runtime_error("no temporary directory");
  const std::string path = place + "/fifo";
  if (::mkfifo(path.c_str(), 0600) != 0) throw std::runtime_error("no FIFO");
  const int reader = ::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  const int writer = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
  std::filesystem::remove_all(place);
  return {reader, writer};
}

inline std::pair<int, int> open_pipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw std::runtime_error("no pipe");
  return {ends[0], ends[1]};
}

inline std::pair<int, int> open_pair() {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    throw std::runtime_error("no socket pair");
  }
  return {ends[0], ends[1]};
}

template <std::pair<int, int> (*Open)()>
struct reading_kind {
  static constexpr bool sends = false;
  static std::pair<int, int> connect() { return Open(); }
  template <class F>
  static auto open(rondo::event_loop& loop, F& factory, int fd) {
    return loop.connect_read_pipe(factory, fd);
  }
};

template <std::pair<int, int> (*Open)()>
struct writing_kind {
  static constexpr bool receives = false;
  static std::pair<int, int> connect() {
    const auto [reader, writer] = Open();
    return {writer, reader};
  }
  template <class F>
  static auto open(rondo::event_loop& loop, F& factory, int fd) {
    return loop.connect_write_pipe(factory, fd);
  }
};

using read_pipe = reading_kind<&open_pipe>;
using read_fifo = reading_kind<&open_fifo>;
using read_socket = reading_kind<&open_pair>;
using write_pipe = writing_kind<&open_pipe>;
using write_fifo = writing_kind<&open_fifo>;
using write_socket = writing_kind<&open_pair>;

}  // namespace rondo_test

#define RONDO_READING_KINDS read_pipe, read_fifo, read_socket
#define RONDO_WRITING_KINDS write_pipe, write_fifo, write_socket
#include "net/transport_contract.hpp"
#include "support/child.hpp"
#include "support/fault_table.hpp"

#include <pty.h>
#include <termios.h>

#include <csignal>
#include <cstdlib>

namespace rondo_test {
namespace {

namespace os = rondo::os;

bool is_non_blocking(int fd) { return (::fcntl(fd, F_GETFL) & O_NONBLOCK) != 0; }

bool is_open(int fd) { return ::fcntl(fd, F_GETFD) >= 0; }

/// Both sides of a terminal that changes nothing on the way.
struct terminal {
  terminal() {
    ::termios raw{};
    ::cfmakeraw(&raw);
    if (::openpty(&controller, &program, nullptr, &raw, nullptr) != 0) {
      throw std::runtime_error("no terminal");
    }
  }
  terminal(const terminal&) = delete;
  terminal& operator=(const terminal&) = delete;
  ~terminal() {
    close(controller);
    close(program);
  }
  static void close(int& fd) {
    if (fd >= 0) ::close(std::exchange(fd, -1));
  }
  int controller = -1;
  int program = -1;
};

/// A protocol on a pipe transport.
class piped : public scene {
 public:
  void read_from(int fd) {
    auto factory = [this] { return std::make_shared<recorder>(notes); };
    transport = run(loop().connect_read_pipe(factory, fd)).first;
  }
  void write_to(int fd) {
    auto factory = [this] { return std::make_shared<recorder>(notes); };
    transport = run(loop().connect_write_pipe(factory, fd)).first;
  }
  ~piped() {
    if (transport && !transport->is_closing()) transport->abort();
    settle();
    CHECK(notes->well_formed());
  }
  void until_lost() {
    until([&] { return notes->lost; });
  }
  /// How many polls it takes to do nothing for a while.
  std::size_t polls_of_idling() {
    const auto before = loop().metrics().polls;
    loop().run_once(20ms);
    loop().run_once(20ms);
    return loop().metrics().polls - before;
  }

  std::shared_ptr<record> notes = std::make_shared<record>();
  std::shared_ptr<rondo::transport> transport;
};

}  // namespace

// ---- reading -----------------------------------------------------------------------

TEST_CASE("what eof_received of a read pipe schedules comes after connection_lost",
          "[pipe][rule-222]") {
  linked_scene<read_pipe> here;
  std::vector<std::string> order;
  here.notes->keep_open = true;  // which a pipe does not mind
  here.notes->on_eof = [&] {
    CHECK(here.transport->is_closing());
    here.loop().call_soon([&] { order.emplace_back("scheduled"); });
  };
  here.notes->on_lost = [&] { order.emplace_back("lost"); };
  here.peer().send("last");
  here.peer().close();
  here.until_lost();
  here.settle();
  CHECK(here.notes->data == "last");
  CHECK(here.notes->count("eof") == 1);
  CHECK(order == std::vector<std::string>{"lost", "scheduled"});
  CHECK(errno_of(here.notes->lost_with) == 0);
}

TEST_CASE("a terminal that is hung up ends its reader without a report",
          "[pipe][rule-222][fault-M10]") {
  piped here;
  terminal line;
  here.read_from(std::exchange(line.controller, -1));
  REQUIRE(::write(line.program, "typed\n", 6) == 6);
  here.until([&] { return here.notes->data == "typed\n"; });
  terminal::close(line.program);
  here.until_lost();
  CHECK(errno_of(here.notes->lost_with) == EIO);
  CHECK(here.notes->count("eof") == 1);
  CHECK(here.messages.empty());
}

TEST_CASE("only pipes, sockets and devices become pipe transports; others stay the caller's",
          "[pipe][rule-222][rule-223][fault-M7]") {
  scene here;
  auto factory = [] { return std::make_shared<recorder>(); };
  const char* const path = GENERATE("/proc/self/exe", "/tmp");
  const int fd = ::open(path, O_RDONLY | O_CLOEXEC);
  REQUIRE(fd >= 0);
  CHECK_THROWS_AS(here.loop().connect_read_pipe(factory, fd), std::invalid_argument);
  CHECK_THROWS_AS(here.loop().connect_write_pipe(factory, fd), std::invalid_argument);
  CHECK(is_open(fd));
  ::close(fd);
  CHECK_THROWS_AS(here.loop().connect_read_pipe(factory, fd), std::system_error);
  CHECK_THROWS_AS(here.loop().connect_write_pipe(factory, -1), std::system_error);
}

TEST_CASE("a device that is always ready can be read from", "[pipe][rule-222][fault-F2]") {
  piped here;
  SECTION("/dev/null ends at once") {
    here.read_from(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    here.until_lost();
    CHECK(here.notes->events == std::vector<std::string>{"made", "eof", "lost"});
    CHECK(errno_of(here.notes->lost_with) == 0);
  }
  SECTION("/dev/zero never ends, and stands still while it is paused") {
    here.read_from(::open("/dev/zero", O_RDONLY | O_CLOEXEC));
    here.notes->on_data = [&] { here.notes->data.clear(); };
    here.until([&] { return here.notes->count("data") == 3; });
    here.transport->pause_reading();
    here.settle();
    CHECK(here.notes->count("data") == 3);
    CHECK(here.polls_of_idling() <= 4);
    here.transport->resume_reading();
    here.transport->resume_reading();
    here.turn(2);
    CHECK(here.notes->count("data") == 5);
    here.transport->close();
    here.until_lost();
    CHECK(here.notes->count("data") == 5);
  }
}

TEST_CASE("a FIFO waits for its first writer, and is over when the last one has gone",
          "[pipe][fault-M6]") {
  piped here;
  std::string place = "/tmp/rondo-fifo-XXXXXX";
  REQUIRE(::mkdtemp(place.data()) != nullptr);
  const std::string path = place + "/fifo";
  REQUIRE(::mkfifo(path.c_str(), 0600) == 0);
  here.read_from(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  here.settle();
  CHECK_FALSE(here.transport->is_closing());
  CHECK(here.polls_of_idling() <= 4);
  const int first = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
  const int second = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
  REQUIRE(::write(first, "a", 1) == 1);
  here.until([&] { return here.notes->data == "a"; });
  ::close(first);
  here.settle();
  CHECK_FALSE(here.transport->is_closing());
  REQUIRE(::write(second, "b", 1) == 1);
  here.until([&] { return here.notes->data == "ab"; });
  ::close(second);
  here.until_lost();
  // Nobody reads what the next one writes.
  const int late = ::open(path.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC);
  CHECK(late == -1);
  CHECK(here.notes->events == std::vector<std::string>{"made", "data", "data", "eof", "lost"});
  std::filesystem::remove_all(place);
}

TEST_CASE("a paused read pipe whose writer is gone costs nothing, and ends when it is resumed",
          "[pipe][fault-M6]") {
  linked_scene<read_pipe> here;
  here.transport->pause_reading();
  here.peer().send("kept");
  here.peer().close();
  here.settle();
  const auto before = here.loop().metrics().polls;
  here.loop().run_once(20ms);
  here.loop().run_once(20ms);
  CHECK(here.loop().metrics().polls - before <= 4);
  CHECK(here.notes->events == std::vector<std::string>{"made"});
  here.transport->resume_reading();
  here.until_lost();
  CHECK(here.notes->events == std::vector<std::string>{"made", "data", "eof", "lost"});
}

TEST_CASE("a read pipe cannot be written to, and everything else about it is harmless",
          "[pipe][rule-222]") {
  linked_scene<read_pipe> here;
  const std::vector<std::string> parts{"a", "b"};
  CHECK_THROWS_AS(here.transport->write("x"), rondo::not_supported_error);
  CHECK_THROWS_AS(here.transport->write(std::string("x")), rondo::not_supported_error);
  CHECK_THROWS_AS(here.transport->writelines(parts), rondo::not_supported_error);
  CHECK_THROWS_AS(here.transport->write_eof(), rondo::not_supported_error);
  CHECK_FALSE(here.transport->can_write_eof());
  CHECK(here.transport->get_write_buffer_size() == 0);
  here.transport->set_write_buffer_limits({.high = 0});
  here.peer().send("unharmed");
  here.until([&] { return here.notes->data == "unharmed"; });
}

TEST_CASE("a read that fails is the error of the pipe", "[pipe][rule-222]") {
  const int error = GENERATE(EBADF, ENOMEM, EISDIR);
  linked_scene<read_pipe> here;
  {
    fault<&os::system_calls::read> read;
    read.fail_always(error);
    here.peer().send("x");
    here.until_lost();
  }
  CHECK(errno_of(here.notes->lost_with) == error);
  CHECK(here.notes->count("eof") == 0);
  CHECK(text_of(here.notes->lost_with).find("from a pipe") != std::string::npos);
  CHECK(here.messages.empty());
}

// ---- writing -----------------------------------------------------------------------

TEMPLATE_TEST_CASE("a write pipe that nobody reads any more is lost, and the process lives",
                   "[pipe][rule-223][fault-M6][fault-B2][fault-E14]", RONDO_WRITING_KINDS) {
  const auto previous = std::signal(SIGPIPE, SIG_DFL);
  {
    linked_scene<TestType> here;
    int expected = 0;
    SECTION("idle") { here.peer().close(); }
    SECTION("with bytes left to send") {
      here.transport->write(std::string(too_much, 'x'));
      here.settle();
      here.peer().close();
      expected = EPIPE;
    }
    SECTION("closing with bytes left to send") {
      here.transport->write(std::string(too_much, 'x'));
      here.settle();
      here.transport->close();
      here.peer().close();
      expected = EPIPE;
    }
    SECTION("at the next write") {
      here.peer().close();
      here.transport->write("x");
      expected = EPIPE;
    }
    here.until_lost();
    const int error = errno_of(here.notes->lost_with);
    // A socket that had received something says that it was reset.
    CHECK((error == expected || (expected != 0 && error == ECONNRESET)));
    CHECK(here.notes->count("eof") == 0);
    CHECK(here.messages.empty());
    here.notes->lost_with = nullptr;
  }
  ::sigset_t pending;
  ::sigpending(&pending);
  CHECK_FALSE(sigismember(&pending, SIGPIPE));
  std::signal(SIGPIPE, previous);
}

TEST_CASE("a kernel that cannot leave the signal out is no danger either",
          "[pipe][rule-223][fault-B2][fault-E14]") {
  // In a child: the library remembers for good what it learns about the kernel.
  const auto child = run_in_child([] {
    std::signal(SIGPIPE, SIG_DFL);
    fault<&os::system_calls::pwritev2> pwritev2;
    pwritev2.fail_always(EOPNOTSUPP);
    std::string said;
    for (int i = 0; i < 2; ++i) {
      linked_scene<write_pipe> here;
      here.transport->write("taken");
      if (here.peer().receive_now() != "taken") said += "nothing arrived ";
      here.peer().close();
      here.transport->write("x");
      here.until_lost();
      said += std::to_string(errno_of(here.notes->lost_with)) + " ";
      here.notes->lost_with = nullptr;
    }
    ::sigset_t pending;
    ::sigpending(&pending);
    if (sigismember(&pending, SIGPIPE)) said += "a signal is left ";
    return said + std::to_string(pwritev2.calls());
  });
  CHECK(child.signal == 0);
  CHECK(child.output == std::to_string(EPIPE) + " " + std::to_string(EPIPE) + " 1");
}

TEMPLATE_TEST_CASE("write_eof of a write pipe closes it when everything is sent",
                   "[pipe][rule-223]", RONDO_WRITING_KINDS) {
  linked_scene<TestType> here;
  CHECK(here.transport->can_write_eof());
  const std::string large(too_much, 'y');
  here.transport->write(large);
  here.transport->write_eof();
  here.transport->write_eof();
  CHECK(here.transport->is_closing());
  here.transport->write("ignored");
  std::string got;
  here.until([&] {
    got += here.peer().receive_now();
    return here.peer().ended;
  });
  CHECK(got == large);
  here.until_lost();
  CHECK(errno_of(here.notes->lost_with) == 0);
}

TEST_CASE("what a socket receives does not end its write pipe, and is left for others",
          "[pipe][rule-223]") {
  linked_scene<write_socket> here;
  const int copy = ::fcntl(*here.transport->pipe(), F_DUPFD_CLOEXEC, 0);
  REQUIRE(::send(here.peer().fd(), "meant for somebody", 18, 0) == 18);
  here.peer().end();
  here.settle();
  CHECK_FALSE(here.transport->is_closing());
  const auto before = here.loop().metrics().polls;
  here.loop().run_once(20ms);
  here.loop().run_once(20ms);
  CHECK(here.loop().metrics().polls - before <= 4);
  std::array<char, 32> room{};
  CHECK(::recv(copy, room.data(), room.size(), MSG_DONTWAIT) == 18);
  ::close(copy);
  here.transport->write("still there");
  CHECK(here.peer().receive_now() == "still there");
}

TEST_CASE("a FIFO that is open in both directions does not end by what is written to it",
          "[pipe][rule-223]") {
  piped here;
  std::string place = "/tmp/rondo-fifo-XXXXXX";
  REQUIRE(::mkdtemp(place.data()) != nullptr);
  const std::string path = place + "/fifo";
  REQUIRE(::mkfifo(path.c_str(), 0600) == 0);
  here.write_to(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  here.transport->write("kept");
  here.settle();
  CHECK_FALSE(here.transport->is_closing());
  CHECK(here.polls_of_idling() <= 4);
  std::filesystem::remove_all(place);
}

TEST_CASE("devices can be written to, and their errors show", "[pipe][rule-223][fault-M7]") {
  piped here;
  SECTION("/dev/null takes everything") {
    here.write_to(::open("/dev/null", O_WRONLY | O_CLOEXEC));
    here.transport->write(std::string(1 << 20, 'x'));
    CHECK(here.transport->get_write_buffer_size() == 0);
    here.transport->close();
    here.until_lost();
    CHECK(errno_of(here.notes->lost_with) == 0);
  }
  SECTION("/dev/full takes nothing") {
    here.write_to(::open("/dev/full", O_WRONLY | O_CLOEXEC));
    here.transport->write("x");
    here.until_lost();
    CHECK(errno_of(here.notes->lost_with) == ENOSPC);
    CHECK(text_of(here.notes->lost_with).find("to a pipe") != std::string::npos);
  }
  SECTION("a terminal") {
    terminal line;
    here.write_to(std::exchange(line.program, -1));
    const std::string large(300'000, 'x');
    here.transport->write(large);
    raw_peer screen(std::exchange(line.controller, -1));
    std::string shown;
    here.until([&] {
      shown += screen.receive_now();
      return shown.size() >= large.size();
    });
    CHECK(shown == large);
    CHECK_FALSE(here.transport->is_closing());
    screen.close();
    here.until_lost();
  }
  CHECK(here.messages.empty());
}

TEST_CASE("a write pipe reads nothing", "[pipe][rule-223]") {
  linked_scene<write_pipe> here;
  CHECK_FALSE(here.transport->is_reading());
  here.transport->pause_reading();
  here.transport->resume_reading();
  CHECK_FALSE(here.transport->is_reading());
  here.transport->write("works");
  CHECK(here.peer().receive_now() == "works");
}

TEST_CASE("a write that fails is the error of the pipe, at any kind of write",
          "[pipe][rule-223][fault-B2]") {
  linked_scene<write_pipe> here;
  {
    fault<&os::system_calls::pwritev2> pwritev2;
    SECTION("at once") {
      pwritev2.fail_always(EIO);
      here.transport->write("x");
    }
    SECTION("gathered") {
      pwritev2.fail_always(EIO);
      const std::vector<std::string> parts{"a", "b"};
      here.transport->writelines(parts);
    }
    SECTION("pending") {
      pwritev2.fail(1, EAGAIN).fail(2, EIO);
      here.transport->write("x");
    }
    here.until_lost();
  }
  CHECK(errno_of(here.notes->lost_with) == EIO);
  CHECK(here.messages.empty());
}

TEST_CASE("short and interrupted writes to a pipe lose nothing", "[pipe][fault-B7][fault-B9]") {
  linked_scene<write_pipe> here;
  fault<&os::system_calls::pwritev2> pwritev2;
  SECTION("short") {
    pwritev2.hook([](int fd, const ::iovec* parts, int, off_t, int) -> std::optional<ssize_t> {
      return ::write(fd, parts->iov_base, std::min<std::size_t>(parts->iov_len, 777));
    });
  }
  SECTION("interrupted") { pwritev2.fail_every_other(EINTR); }
  std::string sent;
  for (int i = 0; i < 100'000; ++i) sent += static_cast<char>('a' + i % 23);
  here.transport->write(sent.substr(0, 1000));
  here.transport->write(sent.substr(1000, 50'000));
  here.transport->write(sent.substr(51'000));
  std::string got;
  here.until([&] {
    got += here.peer().receive_now();
    return got.size() >= sent.size();
  });
  CHECK(got == sent);
}

// ---- what is known -----------------------------------------------------------------

TEST_CASE("a pipe transport knows its descriptor, until it is closed", "[pipe][rule-191]") {
  const auto check = [](auto& here) {
    REQUIRE(here.transport->pipe());
    CHECK(is_open(*here.transport->pipe()));
    CHECK(std::any_cast<int>(here.transport->get_extra_info("pipe")) == *here.transport->pipe());
    CHECK_FALSE(here.transport->get_extra_info("socket").has_value());
    CHECK_FALSE(here.transport->get_extra_info("peername").has_value());
    CHECK_FALSE(here.transport->socket());
    CHECK_FALSE(here.transport->peername());
    CHECK_FALSE(here.transport->sockname());
    here.transport->close();
    here.until_lost();
    here.settle();
    CHECK_FALSE(here.transport->pipe());
    CHECK_FALSE(here.transport->get_extra_info("pipe").has_value());
  };
  SECTION("read") {
    linked_scene<read_pipe> here;
    check(here);
  }
  SECTION("write") {
    linked_scene<write_socket> here;
    check(here);
  }
}

// ---- ownership and modes -----------------------------------------------------------

TEST_CASE("a pipe is closed when its transport cannot be made", "[pipe][rule-192]") {
  scene here;
  const auto [reader, writer] = open_pipe();
  SECTION("the factory throws") {
    auto factory = []() -> std::shared_ptr<recorder> { throw std::runtime_error("no protocol"); };
    CHECK_THROWS_AS(here.run(here.loop().connect_read_pipe(factory, reader)), std::runtime_error);
  }
  SECTION("nobody awaits it") {
    log_lines lines;
    auto factory = [] { return std::make_shared<recorder>(); };
    static_cast<void>(here.loop().connect_read_pipe(factory, reader));
  }
  SECTION("it is cancelled") {
    auto notes = std::make_shared<record>();
    auto factory = [&] { return std::make_shared<recorder>(notes); };
    auto task = here.loop().create_task(here.loop().connect_read_pipe(factory, reader));
    here.turn();
    task.cancel();
    here.until([&] { return task.done(); });
    CHECK(task.cancelled());
    here.settle();
    CHECK(notes->events == std::vector<std::string>{"made", "lost"});
    notes->transport.reset();
  }
  SECTION("it cannot be made non-blocking") {
    fault<&os::system_calls::fcntl> fcntl;
    fcntl.fail_always(EPERM);
    auto factory = [] { return std::make_shared<recorder>(); };
    CHECK_THROWS_AS(here.run(here.loop().connect_read_pipe(factory, reader)), std::system_error);
  }
  SECTION("somebody watches it") {
    here.loop().add_reader(reader, [] {});
    auto factory = [] { return std::make_shared<recorder>(); };
    CHECK_THROWS_AS(here.run(here.loop().connect_read_pipe(factory, reader)), std::logic_error);
    here.loop().remove_reader(reader);
  }
  CHECK_FALSE(is_open(reader));
  ::close(writer);
}

TEST_CASE("a pipe that the kernel does not want to watch is lost with the reason", "[pipe]") {
  const int error = GENERATE(ENOSPC, ENOMEM);
  piped here;
  const auto [reader, writer] = open_pipe();
  {
    fault<&os::system_calls::epoll_ctl> epoll_ctl;
    epoll_ctl.fail_always(error);
    here.read_from(reader);
    here.until_lost();
  }
  CHECK(errno_of(here.notes->lost_with) == error);
  ::close(writer);
}

TEST_CASE("the mode of the open file is restored when the transport closes",
          "[pipe][rule-224][fault-M9]") {
  piped here;
  const auto [reader, writer] = open_pipe();
  const int shared = ::fcntl(reader, F_DUPFD_CLOEXEC, 0);
  CHECK_FALSE(is_non_blocking(shared));
  SECTION("by close") {
    here.read_from(reader);
    CHECK(is_non_blocking(shared));
    here.transport->close();
    here.until_lost();
    here.settle();
  }
  SECTION("by the end of the file") {
    here.read_from(reader);
    CHECK(is_non_blocking(shared));
    ::close(::fcntl(writer, F_DUPFD_CLOEXEC, 0));
    here.transport->abort();
    here.until_lost();
    here.settle();
  }
  SECTION("by closing the loop") {
    here.read_from(reader);
    CHECK(is_non_blocking(shared));
    here.loop().close();
    here.notes->transport.reset();
    here.notes->lost = true;
    here.transport.reset();
    here.end_loop();
  }
  SECTION("by failing") {
    auto factory = []() -> std::shared_ptr<rondo::base_protocol> {
      return std::make_shared<rondo::base_protocol>();
    };
    CHECK_THROWS_AS(here.run(here.loop().connect_read_pipe(factory, reader)),
                    std::invalid_argument);
    here.notes->events.emplace_back("made");
  }
  CHECK_FALSE(is_non_blocking(shared));
  ::close(shared);
  ::close(writer);
}

TEST_CASE("what was non-blocking before stays so", "[pipe][rule-224]") {
  piped here;
  const auto [reader, writer] = open_pipe();
  const int shared = ::fcntl(reader, F_DUPFD_CLOEXEC, 0);
  ::fcntl(shared, F_SETFL, O_NONBLOCK);
  here.read_from(reader);
  here.transport->close();
  here.until_lost();
  here.settle();
  CHECK(is_non_blocking(shared));
  ::close(shared);
  ::close(writer);
}

TEST_CASE("of two transports on one terminal the last to close restores its mode",
          "[pipe][rule-224][fault-M9]") {
  piped in;
  piped out;
  // Another terminal's transport, which has nothing to do with it.
  piped other;
  terminal unrelated;
  other.read_from(::fcntl(unrelated.program, F_DUPFD_CLOEXEC, 0));
  terminal line;
  const int shell = ::fcntl(line.program, F_DUPFD_CLOEXEC, 0);
  in.read_from(::fcntl(line.program, F_DUPFD_CLOEXEC, 0));
  out.write_to(::fcntl(line.program, F_DUPFD_CLOEXEC, 0));
  CHECK(is_non_blocking(shell));
  auto& first = GENERATE(0, 1) == 0 ? in : out;
  auto& second = &first == &in ? out : in;
  first.transport->close();
  first.until_lost();
  first.settle();
  CHECK(is_non_blocking(shell));
  second.transport->close();
  second.until_lost();
  second.settle();
  CHECK_FALSE(is_non_blocking(shell));
  CHECK(is_non_blocking(unrelated.program));
  ::close(shell);
}

TEST_CASE("a forked child that closes its parent's loop leaves the parent's pipes as they are",
          "[pipe][rule-224][fault-E8]") {
  piped here;
  const auto [reader, writer] = open_pipe();
  const int shared = ::fcntl(reader, F_DUPFD_CLOEXEC, 0);
  here.read_from(reader);
  const auto child = run_in_child([&] {
    here.loop().close();
    return std::string("closed");
  });
  CHECK(child.output == "closed");
  CHECK(is_non_blocking(shared));
  REQUIRE(::write(writer, "on", 2) == 2);
  here.until([&] { return here.notes->data == "on"; });
  ::close(shared);
  ::close(writer);
}

// ---- both ends of a pipe in one loop -----------------------------------------------

TEST_CASE("a megabyte goes through a pipe with pauses and flow control", "[pipe][rule-183]") {
  piped from;
  const auto [reader, writer] = open_pipe();
  from.write_to(writer);
  auto to = std::make_shared<record>();
  auto factory = [&] { return std::make_shared<recorder>(to); };
  auto reading = from.run(from.loop().connect_read_pipe(factory, reader)).first;
  std::string sent;
  for (int i = 0; i < 1'000'000; ++i) sent += static_cast<char>('a' + i % 23);
  to->on_data = [&] {
    if (to->count("data") % 3 != 0) return;
    reading->pause_reading();
    from.loop().call_soon([&] { reading->resume_reading(); });
  };
  from.transport->write(sent);
  CHECK(from.notes->count("pause") == 1);
  from.transport->write_eof();
  from.until([&] { return to->lost && from.notes->lost; });
  CHECK(to->data == sent);
  CHECK(from.notes->count("resume") == 1);
  to->transport.reset();
}

}  // namespace rondo_test
