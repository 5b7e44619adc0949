// SPDX-License-Identifier: MIT
// rondo tests: processes with streams.
#include "process/support.hpp"

#include "support/fault_table.hpp"

#include <array>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <random>
#include <thread>
#include <vector>

namespace rondo_test {

namespace os = rondo::os;
namespace subprocess = rondo::subprocess;
using rondo::coro;
using rondo::create_subprocess_exec;
using rondo::create_subprocess_shell;

namespace {

/// A process whose end is awaited by whoever has it.
coro<int> code_of(rondo::process program) {
  const int code = co_await program.wait();
  co_return code;
}

coro<std::pair<std::string, std::string>> converse(rondo::process program, std::string input) {
  auto said = co_await program.communicate(std::move(input));
  co_return said;
}

}  // namespace

TEST_CASE("a program is found, gets its arguments and is read from", "[process]") {
  process_scene here;
  const std::vector<std::string> words{"c d", ""};
  const std::filesystem::path path = "/bin/echo";
  CHECK(output_of(here, create_subprocess_exec({.out = subprocess::pipe}, "echo", "a b", words,
                                               std::string("e"))) == "a b c d  e\n");
  CHECK(output_of(here, create_subprocess_exec({.out = subprocess::pipe}, path, path)) ==
        "/bin/echo\n");
  CHECK(output_of(here, create_subprocess_shell("echo $((6 * 7)); exit 3",
                                                {.out = subprocess::pipe})) == "42\n");
}

TEST_CASE("without options a program has the streams of this one", "[process]") {
  process_scene here;
  const auto program = start(here, create_subprocess_exec("true"));
  CHECK(program.stdin_writer() == nullptr);
  CHECK(program.stdout_reader() == nullptr);
  CHECK(program.stderr_reader() == nullptr);
  CHECK(here.run(program.wait()) == 0);
  CHECK(here.run(program.communicate()) == std::pair<std::string, std::string>());
}

// ---- its end -----------------------------------------------------------------------

TEST_CASE("the returncode is the exit status, or the negated signal", "[process][rule-255]") {
  process_scene here;
  CHECK(returncode_of(here, create_subprocess_exec("true")) == 0);
  CHECK(returncode_of(here, create_subprocess_shell("exit 255")) == 255);
  CHECK(returncode_of(here, create_subprocess_shell("exit 7")) == 7);
  CHECK(returncode_of(here, create_subprocess_shell("kill -TERM $$")) == -SIGTERM);
  CHECK(returncode_of(here, create_subprocess_shell("kill -KILL $$")) == -SIGKILL);
}

TEST_CASE("any number of tasks waits for the end, one of them may be cancelled",
          "[process][rule-255][fault-J2]") {
  process_scene here;
  auto program = start(here, create_subprocess_exec({.in = subprocess::pipe}, "cat"));
  CHECK_FALSE(program.returncode());
  std::vector<rondo::task<int>> waiting;
  for (int i = 0; i < 5; ++i) waiting.push_back(here.loop().create_task(code_of(program)));
  here.turn(2);
  waiting[2].cancel();
  here.turn(2);
  CHECK(waiting[2].cancelled());
  CHECK_FALSE(waiting[1].done());
  program.kill();
  here.until([&] { return waiting[4].done(); });
  for (const int i : {0, 1, 3, 4}) CHECK(waiting[static_cast<std::size_t>(i)].result() == -SIGKILL);
  CHECK(program.returncode() == -SIGKILL);
  CHECK(here.run(program.wait()) == -SIGKILL);
}

TEST_CASE("a child that has ended before anybody asks is known", "[process][fault-J2]") {
  process_scene here;
  auto program = start(here, create_subprocess_exec({.in = subprocess::pipe}, "cat"));
  end_unnoticed(program.pid());
  CHECK_FALSE(program.returncode());
  CHECK(here.run(program.wait()) == -SIGKILL);
}

TEST_CASE("the end of the child counts, not that of whoever holds its pipes",
          "[process][rule-256][fault-J3]") {
  process_scene here;
  auto program =
      start(here, create_subprocess_shell("echo first; (read x; echo $x) & exit 5",
                                          {.in = subprocess::pipe, .out = subprocess::pipe}));
  CHECK(here.run(program.wait()) == 5);
  // The grandchild, whose input a shell takes from /dev/null, may be gone or not: what is written
  // ends with it.
  auto rest = [](rondo::process of) -> coro<std::string> {
    auto all = co_await of.stdout_reader()->read();
    co_return all;
  };
  CHECK(here.run(rest(program)).starts_with("first\n"));
}

TEST_CASE("communicate ends with the pipes, or at a timeout", "[process][rule-256][fault-J3]") {
  process_scene here;
  // The grandchild keeps the output open until its own input ends.
  std::array<int, 2> gate{};
  REQUIRE(::pipe2(gate.data(), O_CLOEXEC) == 0);
  const std::array<int, 1> passed{gate[0]};
  auto program = start(
      here, create_subprocess_shell("cat <&" + std::to_string(gate[0]) + " & echo child; exit 0",
                                    {.out = subprocess::pipe, .pass_fds = passed}));
  ::close(gate[0]);
  CHECK(here.run(program.wait()) == 0);
  auto impatient = [](rondo::process with) -> coro<bool> {
    bool timed_out = false;
    try {
      co_await rondo::wait_for(with.communicate(), 20ms);
    } catch (const rondo::timeout_error&) {
      timed_out = true;
    }
    co_return timed_out;
  };
  CHECK(here.run(impatient(program)));
  REQUIRE(::write(gate[1], "grandchild\n", 11) == 11);
  ::close(gate[1]);
  // Cancelled reads lose nothing.
  CHECK(here.run(program.communicate()).first.find("grandchild\n") != std::string::npos);
}

TEST_CASE("signals to a child that has ended are no errors", "[process][rule-255][rule-260]") {
  process_scene here;
  auto program = start(here, create_subprocess_exec({.in = subprocess::pipe}, "cat"));
  end_unnoticed(program.pid());
  program.terminate();
  CHECK(here.run(program.wait()) == -SIGKILL);
  fault<&os::system_calls::pidfd_send_signal> pidfd_send_signal;
  fault<&os::system_calls::kill> kill;
  program.terminate();
  program.kill();
  program.send_signal(SIGUSR1);
  CHECK(pidfd_send_signal.calls() == 0);
  CHECK(kill.calls() == 0);
}

TEST_CASE("signals go through the descriptor of the process, never by a number",
          "[process][rule-260][fault-J6]") {
  process_scene here;
  fault<&os::system_calls::pidfd_send_signal> pidfd_send_signal;
  fault<&os::system_calls::kill> kill;
  auto program = start(here, create_subprocess_exec({.in = subprocess::pipe}, "cat"));
  program.send_signal(SIGUSR1);
  CHECK(here.run(program.wait()) == -SIGUSR1);
  CHECK(pidfd_send_signal.calls() == 1);
  CHECK(kill.calls() == 0);
}

TEST_CASE("a signal that does not exist is refused", "[process][rule-255]") {
  process_scene here;
  auto program = start(here, create_subprocess_exec({.in = subprocess::pipe}, "cat"));
  CHECK_THROWS_AS(program.send_signal(1000), std::invalid_argument);
  CHECK_THROWS_AS(program.send_signal(-1), std::invalid_argument);
  program.kill();
  here.run(program.wait());
}

TEST_CASE("a child that ignores SIGTERM ends by SIGKILL", "[process][fault-J7]") {
  process_scene here;
  auto program =
      start(here, create_subprocess_shell("trap '' TERM; echo ready; cat",
                                          {.in = subprocess::pipe, .out = subprocess::pipe}));
  auto body = [](rondo::process of) -> coro<> {
    co_await of.stdout_reader()->readline();
    of.terminate();
    bool ended = true;
    try {
      co_await rondo::wait_for(of.wait(), 20ms);
    } catch (const rondo::timeout_error&) {
      ended = false;
    }
    CHECK_FALSE(ended);
    of.kill();
    const int code = co_await of.wait();
    CHECK(code == -SIGKILL);
  };
  here.run(body(program));
}

TEST_CASE("children killed at any moment are all accounted for", "[process][fault-J2]") {
  process_scene here;
  std::minstd_rand random(7);
  for (int i = 0; i < (sanitized ? 10 : 40); ++i) {
    auto program = start(
        here, create_subprocess_shell("while :; do echo line; done", {.out = subprocess::pipe}));
    auto talking = here.loop().create_task(program.communicate());
    for (auto turns = random() % 6; turns > 0; --turns) here.loop().run_once(1ms);
    program.kill();
    here.until([&] { return talking.done(); });
    CHECK(program.returncode() == -SIGKILL);
    CHECK(talking.result().first.find_first_not_of("line\n") == std::string::npos);
  }
}

// ---- communicate -------------------------------------------------------------------

TEST_CASE("communicate sends, ends the input, reads both outputs and waits",
          "[process][rule-257]") {
  process_scene here;
  const auto pipes = [] {
    return rondo::subprocess_options{
        .in = subprocess::pipe, .out = subprocess::pipe, .err = subprocess::pipe};
  };
  auto program = start(here, create_subprocess_shell("cat; echo oops >&2; exit 4", pipes()));
  auto said = here.run(converse(program, "input"));
  CHECK(said.first == "input");
  CHECK(said.second == "oops\n");
  CHECK(program.returncode() == 4);
  // No input at all ends the input, too.
  CHECK(here.run(start(here, create_subprocess_exec(pipes(), "cat")).communicate()).first.empty());
  CHECK(here.run(converse(start(here, create_subprocess_exec(pipes(), "cat")), "")).first.empty());
  const std::string_view view = "seen";
  CHECK(here.run(start(here, create_subprocess_exec(pipes(), "cat")).communicate(view)).first ==
        "seen");
  CHECK(here.run(start(here, create_subprocess_exec(pipes(), "cat")).communicate("text")).first ==
        "text");
  // Input for what is no pipe is nobody's.
  CHECK(here.run(start(here,
                       create_subprocess_exec({.in = subprocess::devnull, .err = subprocess::pipe},
                                              "sh", "-c", "cat; echo end >&2"))
                     .communicate("ignored"))
            .second == "end\n");
}

TEST_CASE("a child that does not want its input is no error", "[process][rule-257][fault-J8]") {
  process_scene here;
  const std::string large(20'000'000, 'x');
  auto program = start(
      here,
      create_subprocess_exec({.in = subprocess::pipe, .out = subprocess::pipe}, "head", "-c", "1"));
  CHECK(here.run(converse(program, large)).first == "x");
  CHECK(program.returncode() == 0);
  // One that ends before anything was written.
  auto gone = start(here, create_subprocess_exec({.in = subprocess::pipe}, "true"));
  CHECK(here.run(gone.wait()) == 0);
  CHECK(here.run(converse(gone, "late")).first.empty());
}

namespace {

/// What the nightly run asks for: the sizes that the library promises, not a share of them.
bool takes_its_time() { return std::getenv("RONDO_LONG_TESTS") != nullptr; }

/// Bytes that anybody can make again, and their sum.
class noise {
 public:
  std::string next(std::size_t size) {
    std::string result(size, '\0');
    for (std::size_t i = 0; i + 8 <= size; i += 8) {
      state_ ^= state_ << 13U;
      state_ ^= state_ >> 7U;
      state_ ^= state_ << 17U;
      std::memcpy(result.data() + i, &state_, 8);
    }
    return result;
  }

 private:
  std::uint64_t state_ = 88172645463325252ULL;
};

struct digest {
  std::uint64_t value = 1469598103934665603ULL;
  std::size_t size = 0;
  void add(std::string_view bytes) {
    size += bytes.size();
    for (const char each : bytes) {
      value = (value ^ static_cast<unsigned char>(each)) * 1099511628211ULL;
    }
  }
  friend bool operator==(const digest&, const digest&) = default;
};

coro<digest> digest_of(rondo::stream_reader from) {
  digest result;
  for (;;) {
    const std::string_view bytes = co_await from.read_view();
    if (bytes.empty()) co_return result;
    result.add(bytes);
  }
}

coro<digest> send_noise(rondo::process to, std::size_t size) {
  noise source;
  digest sent;
  rondo::stream_writer& writer = *to.stdin_writer();
  while (sent.size < size) {
    std::string block = source.next(65536);
    sent.add(block);
    writer.write(std::move(block));
    co_await writer.drain();
  }
  writer.close();
  co_return sent;
}

void exchange(scene& here, std::size_t size) {
  auto program =
      start(here, create_subprocess_exec(
                      {.in = subprocess::pipe, .out = subprocess::pipe, .err = subprocess::pipe},
                      "tee", "/dev/stderr"));
  auto sending = here.loop().create_task(send_noise(program, size));
  auto out = here.loop().create_task(digest_of(*program.stdout_reader()));
  auto err = here.loop().create_task(digest_of(*program.stderr_reader()));
  auto ended = here.loop().create_task(code_of(program));
  while (!ended.done() || !out.done() || !err.done()) here.loop().run_once(1s);
  CHECK(ended.result() == 0);
  CHECK(sending.result().size >= size);
  CHECK(out.result() == sending.result());
  CHECK(err.result() == sending.result());
}

coro<int> run_true() {
  const rondo::process program =
      co_await create_subprocess_exec({.in = subprocess::devnull, .out = subprocess::pipe}, "true");
  const int code = co_await program.wait();
  co_return code;
}

coro<> run_many(int count, int& ended) {
  for (int i = 0; i < count; ++i) {
    const int code = co_await run_true();
    CHECK(code == 0);
    ++ended;
  }
}

void spawn_many(scene& here, int lanes, int each) {
  int ended = 0;
  std::vector<rondo::task<>> tasks;
  for (int i = 0; i < lanes; ++i) tasks.push_back(here.loop().create_task(run_many(each, ended)));
  for (const auto& task : tasks) {
    while (!task.done()) here.loop().run_once(1s);
    task.result();
  }
  CHECK(ended == lanes * each);
  CHECK_FALSE(has_children());
}

}  // namespace

TEST_CASE("bytes go through all three streams at once, and none is lost", "[process][fault-J9]") {
  process_scene here;
  exchange(here, takes_its_time() ? 100'000'000 : 8'000'000);
}

TEST_CASE("many children at a time leave nothing behind", "[process][fault-J10]") {
  process_scene here;
  if (takes_its_time()) {
    spawn_many(here, 200, 50);
  } else {
    spawn_many(here, 20, sanitized ? 3 : 10);
  }
}

// ---- handles -----------------------------------------------------------------------

TEST_CASE("dropping the last handle closes the pipes and lets the child live",
          "[process][lifetime]") {
  process_scene here;
  std::array<int, 2> said{};
  REQUIRE(::pipe2(said.data(), O_CLOEXEC | O_NONBLOCK) == 0);
  log_lines lines;
  {
    auto program = start(
        here, create_subprocess_shell("read line; echo \"$line\"; trap 'exit 9' TERM; read line; "
                                      "echo ended by $?",
                                      {.in = subprocess::pipe, .out = said[1]}));
    auto copy = program;
    program.stdin_writer()->write("hello\n");
  }
  ::close(said[1]);
  raw_peer output(said[0]);
  std::string got;
  here.until([&] {
    got += output.receive_now();
    return output.ended;
  });
  CHECK(got == "hello\nended by 1\n");
  CHECK(lines.warnings("") == 0);
}

TEST_CASE("a waiting task keeps what it needs", "[process][lifetime]") {
  process_scene here;
  rondo::task<std::pair<std::string, std::string>> talking;
  {
    auto program = start(
        here, create_subprocess_exec({.in = subprocess::pipe, .out = subprocess::pipe}, "cat"));
    talking = here.loop().create_task(program.communicate("kept"));
  }
  here.until([&] { return talking.done(); });
  CHECK(talking.result().first == "kept");
}

TEST_CASE("readers have the limit that was asked for", "[process][rule-158]") {
  process_scene here;
  auto body = []() -> coro<> {
    const rondo::process program = co_await create_subprocess_shell(
        "echo 0123456789; echo ok", {.out = subprocess::pipe, .limit = 4});
    bool over = false;
    try {
      co_await program.stdout_reader()->readline();
    } catch (const rondo::limit_overrun_error&) {
      over = true;
    }
    CHECK(over);
    const std::string line = co_await program.stdout_reader()->readline();
    CHECK(line == "ok\n");
    co_await program.wait();
  };
  here.run(body());
}

// ---- cancellation ------------------------------------------------------------------

TEST_CASE("creation that is cancelled anywhere leaves no child", "[process][rule-258][fault-J12]") {
  bool finished = false;
  for (int at = 0; !finished && at < 20; ++at) {
    CAPTURE(at);
    process_scene here;
    auto starting = here.loop().create_task(create_subprocess_exec(
        {.in = subprocess::pipe, .out = subprocess::pipe, .err = subprocess::pipe}, "cat"));
    for (int i = 0; i < at && !starting.done(); ++i) here.loop().run_once(1ms);
    finished = starting.done();
    starting.cancel();
    here.until([&] { return starting.done(); });
    CHECK(starting.cancelled() == !finished);
    if (finished) {
      starting.result().kill();
      here.until([&] { return starting.result().returncode().has_value(); });
    } else {
      // Killed, and waited for, before the cancellation came through.
      CHECK_FALSE(has_children());
    }
    starting = {};
    here.settle();
  }
  CHECK(finished);
}

TEST_CASE("communicate that is cancelled anywhere loses nothing and can be done again",
          "[process][rule-257][fault-D1]") {
  bool finished = false;
  for (int at = 0; !finished && at < 200; ++at) {
    CAPTURE(at);
    process_scene here;
    auto program = start(
        here,
        create_subprocess_exec(
            {.in = subprocess::pipe, .out = subprocess::pipe, .err = subprocess::pipe}, "cat"));
    auto talking = here.loop().create_task(program.communicate("twice told"));
    for (int i = 0; i < at && !talking.done(); ++i) here.loop().run_once(10ms);
    finished = talking.done();
    talking.cancel();
    here.until([&] { return talking.done(); });
    // What it had when the cancellation came is its result.
    finished = finished || !talking.cancelled();
    if (!finished) {
      here.turn();
      here.run(program.communicate("twice told"));
    }
    CHECK(program.returncode() == 0);
    talking = {};
  }
  CHECK(finished);
}

TEST_CASE("a wait that is cancelled anywhere does not disturb the child", "[process][fault-D1]") {
  for (int at = 0; at < 4; ++at) {
    process_scene here;
    auto program = start(here, create_subprocess_exec({.in = subprocess::pipe}, "cat"));
    auto waiting = here.loop().create_task(code_of(program));
    here.turn(at);
    waiting.cancel();
    here.until([&] { return waiting.done(); });
    CHECK(waiting.cancelled());
    CHECK_FALSE(program.returncode());
    program.stdin_writer()->close();
    CHECK(here.run(program.wait()) == 0);
  }
}

// ---- the loop's end ----------------------------------------------------------------

TEST_CASE("a child lives on when its loop is closed, and is waited for all the same",
          "[process][fault-J11][fault-E1]") {
  std::optional<rondo::process> kept;
  int code = 0;
  std::array<int, 2> gate{};
  REQUIRE(::pipe2(gate.data(), O_CLOEXEC) == 0);
  {
    scene here;
    SECTION("with a handle") {
      kept = start(here, create_subprocess_exec({.in = gate[0], .out = subprocess::pipe}, "cat"));
    }
    SECTION("with a handle and a task that waits") {
      kept = start(here, create_subprocess_exec({.in = gate[0], .out = subprocess::pipe}, "cat"));
      auto waiting = here.loop().create_task(code_of(*kept));
      waiting.core()->log_destroyed = false;
      here.turn(3);
    }
    SECTION("without") {
      start(here, create_subprocess_exec({.in = gate[0], .out = subprocess::pipe}, "cat"));
    }
    here.loop().close();
    CHECK(has_children());
    if (kept) {
      CHECK_FALSE(kept->returncode());
      code = kept->pid();
    }
    here.end_loop();
  }
  if (code != 0) CHECK(::kill(code, 0) == 0);
  ::close(gate[0]);
  ::close(gate[1]);
  const auto deadline = std::chrono::steady_clock::now() + 5s;
  while (has_children() && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
  CHECK_FALSE(has_children());
  if (kept) {
    while (!kept->returncode() && std::chrono::steady_clock::now() < deadline) {
      std::this_thread::yield();
    }
    CHECK(kept->returncode() == 0);
  }
}

TEST_CASE("a child that has ended when its loop is closed is waited for at once",
          "[process][fault-J11]") {
  std::optional<rondo::process> kept;
  {
    scene here;
    kept = start(here, create_subprocess_exec({.in = subprocess::pipe}, "cat"));
    end_unnoticed(kept->pid());
    here.loop().close();
    CHECK_FALSE(has_children());
    CHECK(kept->returncode() == -SIGKILL);
    here.end_loop();
    kept.reset();
  }
}

TEST_CASE("a loop that is destroyed at any moment of a conversation leaves nothing",
          "[process][fault-E1]") {
  for (int at = 0; at < 8; ++at) {
    CAPTURE(at);
    {
      scene here;
      auto program = start(
          here,
          create_subprocess_exec(
              {.in = subprocess::pipe, .out = subprocess::pipe, .err = subprocess::pipe}, "cat"));
      auto talking = here.loop().create_task(program.communicate("interrupted"));
      talking.core()->log_destroyed = false;
      for (int i = 0; i < at; ++i) here.loop().run_once(1ms);
      if (at % 2 == 0) here.loop().close();
      program = rondo::process(program);
      here.end_loop();
    }
    const auto deadline = std::chrono::steady_clock::now() + 5s;
    while (has_children() && std::chrono::steady_clock::now() < deadline) {
      std::this_thread::yield();
    }
    CHECK_FALSE(has_children());
  }
}

}  // namespace rondo_test
