// SPDX-License-Identifier: MIT
// rondo tests: how a program is started: every option, and every way to fail.
#include "process/support.hpp"

#include "os/spawn.hpp"
#include "support/child.hpp"
#include "support/fault_table.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <array>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <vector>

namespace rondo_test {

namespace os = rondo::os;
namespace subprocess = rondo::subprocess;
using rondo::coro;
using rondo::create_subprocess_exec;
using rondo::create_subprocess_shell;

namespace {

/// A directory that goes with everything in it.
class directory {
 public:
  directory() : path_("/tmp/rondo-process-XXXXXX") {
    if (::mkdtemp(path_.data()) == nullptr) throw std::runtime_error("no temporary directory");
  }
  directory(const directory&) = delete;
  directory& operator=(const directory&) = delete;
  ~directory() { std::filesystem::remove_all(path_); }

  [[nodiscard]] const std::string& path() const { return path_; }
  std::string add(const std::string& name, std::string_view text, ::mode_t mode) const {
    std::string file = path_ + "/" + name;
    const int fd = ::open(file.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    REQUIRE(::write(fd, text.data(), text.size()) == static_cast<::ssize_t>(text.size()));
    ::close(fd);
    ::chmod(file.c_str(), mode);
    return file;
  }

 private:
  std::string path_;
};

std::string said_by(scene& here, rondo::subprocess_options options, const char* command) {
  options.out = subprocess::pipe;
  return output_of(here, create_subprocess_shell(command, options));
}

}  // namespace

// ---- streams -----------------------------------------------------------------------

TEST_CASE("a standard stream is a pipe, nothing, a descriptor, or that of this program",
          "[process][stdio]") {
  process_scene here;
  directory files;
  const std::string text = files.add("text", "from a file\n", 0600);
  SECTION("nothing") {
    CHECK(said_by(here, {.in = subprocess::devnull}, "cat; echo end") == "end\n");
    CHECK(returncode_of(here, create_subprocess_shell(
                                  "echo gone; echo gone >&2",
                                  {.out = subprocess::devnull, .err = subprocess::devnull})) == 0);
  }
  SECTION("a descriptor, which stays open here") {
    const int fd = ::open(text.c_str(), O_RDONLY | O_CLOEXEC);
    CHECK(said_by(here, {.in = fd}, "cat") == "from a file\n");
    CHECK(::lseek(fd, 0, SEEK_SET) == 0);
    ::close(fd);
  }
  SECTION("a socket") {
    auto [mine, its] = rondo::socket::pair();
    CHECK(returncode_of(here, create_subprocess_exec({.out = its}, "echo", "to a socket")) == 0);
    raw_peer peer(mine.release());
    CHECK(peer.receive_now() == "to a socket\n");
  }
  SECTION("errors where the output goes") {
    CHECK(said_by(here, {.err = subprocess::to_stdout}, "echo out; echo err >&2") == "out\nerr\n");
    const int fd = ::open(text.c_str(), O_RDWR | O_CLOEXEC);
    CHECK(returncode_of(here, create_subprocess_shell("echo out; echo err >&2",
                                                      {.out = fd, .err = subprocess::to_stdout})) ==
          0);
    std::array<char, 16> got{};
    CHECK(::pread(fd, got.data(), got.size(), 0) >= 8);
    CHECK(std::string_view(got.data(), 8) == "out\nerr\n");
    ::close(fd);
  }
}

TEST_CASE("a pipe is a pipe, which the child may open again by its name", "[process][stdio]") {
  process_scene here;
  CHECK(said_by(here, {.in = subprocess::pipe},
                "echo again > /dev/stdout; stat -L -c %F /dev/stdin"
                " /dev/stdout") == "again\nfifo\nfifo\n");
  // The child's ends block, as programs expect.
  CHECK(said_by(here, {.in = subprocess::pipe},
                "grep -h flags /proc/self/fdinfo/0 /proc/self/fdinfo/1 | "
                "while read _ flags; do echo $((flags & 04000)); done") == "0\n0\n");
}

TEST_CASE("the descriptors that become the streams may stand anywhere", "[process][stdio]") {
  // In a child, whose own streams may be closed and exchanged.
  const auto child = run_in_child([] {
    directory files;
    const std::string text = files.add("text", "input\n", 0600);
    std::string said;
    ::close(0);
    ::close(1);
    ::close(2);
    const int out = ::open((files.path() + "/out").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    const int in = ::open(text.c_str(), O_RDONLY | O_CLOEXEC);
    if (out != 0 || in != 1) return std::string("unexpected numbers");
    const auto loop = rondo::new_event_loop();
    auto body = [&]() -> coro<std::string> {
      // Crosswise, with pipes among the low numbers.
      const rondo::process program = co_await create_subprocess_shell(
          "cat; echo err >&2", {.in = in, .out = out, .err = subprocess::pipe});
      auto both = co_await program.communicate();
      co_return both.second;
    };
    said = loop->run_until_complete(body());
    std::array<char, 16> got{};
    const ::ssize_t size = ::pread(out, got.data(), got.size(), 0);
    said.append(got.data(), static_cast<std::size_t>(size));
    return said;
  });
  CHECK(child.output == "err\ninput\n");
}

TEST_CASE("bad options are refused before anything happens", "[process]") {
  process_scene here;
  const std::string nul("a\0b", 3);
  const std::vector<std::string> nameless{"no equals sign"};
  const std::vector<std::string> empty_name{"=value"};
  const std::vector<std::string> nul_inside{std::string("A=\0", 3)};
  const std::array<int, 1> negative{-1};
  using options = rondo::subprocess_options;
  CHECK_THROWS_AS(create_subprocess_exec(nul), std::invalid_argument);
  CHECK_THROWS_AS(create_subprocess_exec("true", nul), std::invalid_argument);
  CHECK_THROWS_AS(create_subprocess_shell(nul), std::invalid_argument);
  for (const options& each :
       {options{.in = subprocess::to_stdout}, options{.out = subprocess::to_stdout},
        options{.in = -1}, options{.cwd = nul}, options{.executable = nul},
        options{.env = nameless}, options{.env = empty_name}, options{.env = nul_inside},
        options{.process_group = -1}, options{.pass_fds = negative}, options{.user = ~0U},
        options{.group = ~0U}, options{.umask = 01000}, options{.limit = 0}}) {
    CHECK_THROWS_AS(create_subprocess_exec(each, "true"), std::invalid_argument);
  }
  CHECK_THROWS_AS(here.run(create_subprocess_exec(std::vector<std::string>())),
                  std::invalid_argument);
}

// ---- surroundings ------------------------------------------------------------------

TEST_CASE("a program starts in the directory and with the environment that it is given",
          "[process]") {
  process_scene here;
  directory files;
  const std::vector<std::string> variables{"COLOUR=blue", "EMPTY="};
  CHECK(said_by(here, {.cwd = files.path()}, "pwd -P") ==
        std::filesystem::canonical(files.path()).string() + "\n");
  CHECK(said_by(here, {.env = variables}, "echo $COLOUR-$EMPTY-$HOME") == "blue--\n");
  const std::span<const std::string> none;
  CHECK(output_of(here, create_subprocess_exec({.out = subprocess::pipe, .env = none}, "env")) ==
        "");
  ::setenv("RONDO_TEST_INHERITED", "yes", 1);
  CHECK(said_by(here, {}, "echo $RONDO_TEST_INHERITED") == "yes\n");
  ::unsetenv("RONDO_TEST_INHERITED");
}

TEST_CASE("what is run may be another file than the name says", "[process]") {
  process_scene here;
  CHECK(output_of(here, create_subprocess_exec({.out = subprocess::pipe, .executable = "/bin/sh"},
                                               "renamed", "-c", "echo $0")) == "renamed\n");
  CHECK(output_of(here, create_subprocess_shell(
                            "echo $BASH", {.out = subprocess::pipe, .executable = "/bin/bash"})) ==
        "/bin/bash\n");
}

TEST_CASE("a name is looked for in PATH, that of the child's environment first", "[process]") {
  process_scene here;
  directory first;
  directory second;
  first.add("tool", "#!/bin/sh\necho first\n", 0600);  // may not be executed
  second.add("tool", "#!/bin/sh\necho second\n", 0700);
  const std::vector<std::string> both{"PATH=" + first.path() + ":" + second.path()};
  const std::vector<std::string> only{"PATH=" + first.path()};
  const std::vector<std::string> unset{"A=b"};
  const auto options = [](std::span<const std::string> variables) {
    return rondo::subprocess_options{.out = subprocess::pipe, .env = variables};
  };
  CHECK(output_of(here, create_subprocess_exec(options(both), "tool")) == "second\n");
  // Root executes what nobody may execute; the file says that nobody may.
  CHECK(error_of(here, create_subprocess_exec(options(only), "tool")) == EACCES);
  CHECK(error_of(here, create_subprocess_exec(options(both), "no-such-tool")) == ENOENT);
  CHECK(output_of(here, create_subprocess_exec(options(unset), "echo", "found")) == "found\n");
  // An empty part is the directory that the child starts in.
  const std::vector<std::string> empty_part{"PATH=" + first.path() + "/none:"};
  auto in_second = options(empty_part);
  in_second.cwd = second.path();
  CHECK(output_of(here, create_subprocess_exec(in_second, "tool")) == "second\n");
}

TEST_CASE("sessions, process groups and the mode of new files", "[process]") {
  process_scene here;
  const auto ids = [](std::string_view text) {
    std::istringstream in{std::string(text)};
    std::array<int, 3> result{};
    for (int& each : result) in >> each;
    return result;
  };
  // The process, its group and its session.
  const char* const ask = "set -- $(cat /proc/$$/stat); echo $1 $5 $6";
  const auto plain = ids(said_by(here, {}, ask));
  CHECK(plain[1] == ::getpgrp());
  CHECK(plain[2] == ::getsid(0));
  const auto session = ids(said_by(here, {.start_new_session = true}, ask));
  CHECK(session[1] == session[0]);
  CHECK(session[2] == session[0]);
  const auto group = ids(said_by(here, {.process_group = 0}, ask));
  CHECK(group[1] == group[0]);
  CHECK(group[2] == ::getsid(0));
  CHECK(said_by(here, {.umask = 027}, "umask") == "0027\n");
  const ::mode_t mine = ::umask(022);
  ::umask(mine);
  CHECK(error_of(here, create_subprocess_exec({.process_group = 1}, "true")) == EPERM);
}

TEST_CASE("groups and users change in the right order", "[process][fault-J15]") {
  process_scene here;
  const std::array<unsigned, 2> two{10, 20};
  const std::span<const unsigned> none;
  if (::geteuid() != 0) {
    CHECK(error_of(here, create_subprocess_exec({.extra_groups = two}, "true")) == EPERM);
    CHECK(error_of(here, create_subprocess_exec({.user = 0}, "true")) == EPERM);
    CHECK(error_of(here, create_subprocess_exec({.group = 0}, "true")) == EPERM);
    return;
  }
  const char* const ask = "id -u; id -g; id -G";
  CHECK(said_by(here, {.user = 65534, .group = 65533, .extra_groups = two}, ask) ==
        "65534\n65533\n65533 10 20\n");
  CHECK(said_by(here, {.user = 65534, .group = 65533, .extra_groups = none}, ask) ==
        "65534\n65533\n65533\n");
  CHECK(said_by(here, {.group = 65533}, "id -g; id -u") == "65533\n0\n");
  CHECK(::getuid() == 0);
  CHECK(::getgid() == 0);
  // The kernel's idea of this program's memory has not changed with the child's rights.
  std::ifstream readable("/proc/self/environ");
  CHECK(readable.good());
}

// ---- descriptors -------------------------------------------------------------------

TEST_CASE("a child gets no descriptors but those that it is given",
          "[process][fault-J13]"
          "[fault-E17]") {
  process_scene here;
  auto [mine, its] = rondo::socket::pair();
  // As a careless library opens them.
  std::array<int, 40> careless{};
  for (int& each : careless) each = ::open("/dev/null", O_RDONLY);
  const std::array<int, 2> passed{careless[7], careless[20]};
  // Not by a listing, which has a descriptor itself.
  const char* const list =
      "n=0; while [ $n -lt 200 ]; do [ -e /proc/$$/fd/$n ] && echo $n; n=$((n+1)); done; true";
  CHECK(said_by(here, {.in = subprocess::pipe, .err = subprocess::pipe}, list) == "0\n1\n2\n");
  const std::string got = said_by(here, {.pass_fds = passed}, list);
  std::vector<int> numbers;
  std::istringstream in(got);
  for (int number = 0; in >> number;) numbers.push_back(number);
  CHECK(numbers == std::vector<int>{0, 1, 2, passed[0], passed[1]});
  // They stay here what they were.
  CHECK((::fcntl(passed[0], F_GETFD) & FD_CLOEXEC) == 0);
  for (const int each : careless) ::close(each);
  CHECK(error_of(here, create_subprocess_exec({.pass_fds = passed}, "true")) == EBADF);
}

TEST_CASE("a kernel without close_range gives no more descriptors away", "[process][fault-J13]") {
  std::array<int, 60> careless{};
  for (int& each : careless) each = ::open("/dev/null", O_RDONLY);
  std::array<int, 2> ends{};
  REQUIRE(::pipe2(ends.data(), O_CLOEXEC) == 0);
  const std::array<const char*, 4> arguments{
      "sh", "-c",
      "n=0; while [ $n -lt 200 ]; do [ -e /proc/$$/fd/$n ] && echo $n; n=$((n+1)); done; true",
      nullptr};
  const std::array<const char*, 2> paths{"/bin/sh", nullptr};
  os::spawn_plan plan;
  plan.paths = paths.data();
  plan.arguments = arguments.data();
  plan.environment = environ;
  plan.stdio[1] = ends[1];
  plan.passed = &careless[50];
  plan.passed_count = 1;
  plan.has_close_range = false;
  const os::spawn_result result = os::spawn(plan);
  REQUIRE(result.failed == os::spawn_step::none);
  ::close(ends[1]);
  raw_peer reading(ends[0]);
  ::siginfo_t info{};
  REQUIRE(::waitid(P_PID, static_cast<::id_t>(result.pid), &info, WEXITED) == 0);
  const std::string kept = std::to_string(careless[50]);
  CHECK(reading.receive_now() == "0\n1\n2\n" + kept + "\n");
  ::close(result.pidfd);
  for (const int each : careless) ::close(each);
}

// ---- signals -----------------------------------------------------------------------

TEST_CASE("a child has its signals as a new program has them", "[process][fault-J14]") {
  process_scene here;
  ::sigset_t some;
  ::sigset_t before;
  sigemptyset(&some);
  sigaddset(&some, SIGUSR1);
  sigaddset(&some, SIGRTMIN + 3);
  ::pthread_sigmask(SIG_BLOCK, &some, &before);
  const auto pipe_before = std::signal(SIGPIPE, SIG_IGN);
  const auto hangup_before = std::signal(SIGHUP, SIG_IGN);
  const auto user_before = std::signal(SIGUSR2, [](int) {});
  // By a program that handles none itself.
  const auto ask = [&](rondo::subprocess_options options) {
    options.out = subprocess::pipe;
    std::istringstream lines(
        output_of(here, create_subprocess_exec(options, "cat", "/proc/self/status")));
    std::string result;
    for (std::string line; std::getline(lines, line);) {
      for (const char* const name : {"SigBlk:", "SigIgn:", "SigCgt:"}) {
        if (line.starts_with(name)) result += name + line.substr(8);
      }
    }
    return result;
  };
  const auto mask_of = [](std::initializer_list<int> numbers) {
    std::uint64_t mask = 0;
    for (const int each : numbers) mask |= std::uint64_t{1} << (each - 1);
    return fmt::format("{:016x}", mask);
  };
  // nohup's SIGHUP stays ignored; what libraries ignore does not.
  CHECK(ask({}) ==
        "SigBlk:" + mask_of({}) + "SigIgn:" + mask_of({SIGHUP}) + "SigCgt:" + mask_of({}));
  CHECK(ask({.restore_signals = false}) == "SigBlk:" + mask_of({SIGUSR1, SIGRTMIN + 3}) +
                                               "SigIgn:" + mask_of({SIGHUP, SIGPIPE}) +
                                               "SigCgt:" + mask_of({}));
  ::sigset_t after;
  ::pthread_sigmask(SIG_SETMASK, nullptr, &after);
  CHECK(sigismember(&after, SIGUSR1) == 1);
  CHECK(sigismember(&after, SIGTERM) == 0);
  std::signal(SIGUSR2, user_before);
  std::signal(SIGHUP, hangup_before);
  std::signal(SIGPIPE, pipe_before);
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

// ---- failures ----------------------------------------------------------------------

TEST_CASE("what cannot be started says why, and leaves nothing", "[process][rule-259][fault-J1]") {
  process_scene here;
  directory files;
  const std::string plain = files.add("plain", "#!/bin/sh\n", 0600);
  const std::string garbage = files.add("garbage", "\177not a program", 0700);
  const std::string orphan = files.add("orphan", "#!/no/such/interpreter\n", 0700);
  const std::string huge(300'000, 'x');
  const auto pipes = [] {
    return rondo::subprocess_options{
        .in = subprocess::pipe, .out = subprocess::pipe, .err = subprocess::pipe};
  };
  const auto error = [&](const auto&... words) {
    return error_of(here, create_subprocess_exec(pipes(), words...));
  };
  CHECK(error("/no/such/program") == ENOENT);
  CHECK(error("no-such-program") == ENOENT);
  CHECK(error("") == ENOENT);
  CHECK(error(plain) == EACCES);
  CHECK(error(files.path()) == EACCES);
  CHECK(error(garbage) == ENOEXEC);
  CHECK(error(orphan) == ENOENT);
  CHECK(error(plain + "/below") == ENOTDIR);
  CHECK(error("true", huge) == E2BIG);
  CHECK(error_of(here, create_subprocess_exec({.cwd = "/no/such/directory"}, "true")) == ENOENT);
  CHECK(error_of(here, create_subprocess_exec({.cwd = plain}, "true")) == ENOTDIR);
  CHECK(error_of(here, create_subprocess_exec({.out = 9999}, "true")) == EBADF);
  CHECK_FALSE(has_children());
  const auto text = [&](coro<rondo::process> starting) {
    try {
      here.run(std::move(starting));
    } catch (const std::system_error& failure) {
      return std::string(failure.what());
    }
    return std::string();
  };
  CHECK(text(create_subprocess_exec("/no/such/program")).find("/no/such/program") !=
        std::string::npos);
  CHECK(text(create_subprocess_exec({.cwd = "/no/such/directory"}, "true"))
            .find("directory '/no/such/directory'") != std::string::npos);
}

TEST_CASE("when the system has nothing left, nothing is lost", "[process][rule-259][fault-J1]") {
  process_scene here;
  const auto attempt = [&] {
    return error_of(
        here,
        create_subprocess_exec(
            {.in = subprocess::pipe, .out = subprocess::devnull, .err = subprocess::pipe}, "true"));
  };
  CHECK(attempt() == 0);
  SECTION("no process") {
    const int error = GENERATE(EAGAIN, ENOMEM, EPERM);
    fault<&os::system_calls::clone> clone;
    clone.fail_always(error);
    CHECK(attempt() == error);
  }
  SECTION("no pipe") {
    const int call = GENERATE(1, 2);
    fault<&os::system_calls::pipe2> pipe2;
    pipe2.fail(call, EMFILE);
    CHECK(attempt() == EMFILE);
  }
  SECTION("no /dev/null") {
    fault<&os::system_calls::open> open;
    open.fail_always(ENFILE);
    CHECK(attempt() == ENFILE);
  }
  SECTION("no mode") {
    fault<&os::system_calls::fcntl> fcntl;
    fcntl.fail_always(EPERM);
    CHECK(attempt() == EPERM);
  }
  SECTION("no mask") {
    fault<&os::system_calls::pthread_sigmask> pthread_sigmask;
    pthread_sigmask.fail_always(EINVAL);
    CHECK(attempt() == EINVAL);
  }
  CHECK_FALSE(has_children());
  CHECK(attempt() == 0);
}

}  // namespace rondo_test
