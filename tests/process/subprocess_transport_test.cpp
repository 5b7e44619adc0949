// SPDX-License-Identifier: MIT
// rondo tests: subprocesses with a protocol.
#include "process/support.hpp"

#include <rondo/context.hpp>

#include "support/fault_table.hpp"

#include <thread>
#include <vector>

namespace rondo_test {

namespace os = rondo::os;
namespace subprocess = rondo::subprocess;
using rondo::coro;

namespace {

struct child_record {
  std::vector<std::string> events;
  std::string out, err;
  std::shared_ptr<rondo::subprocess_transport> transport;
  std::exception_ptr pipe_error;
  std::function<void()> on_made, on_exited, on_lost, on_data, on_pipe_lost;
  bool lost = false;

  [[nodiscard]] std::size_t count(std::string_view event) const {
    return static_cast<std::size_t>(std::count(events.begin(), events.end(), event));
  }
  [[nodiscard]] bool well_formed() const {
    return !events.empty() && events.front() == "made" && count("made") == 1 &&
           (!lost || (events.back() == "lost" && count("lost") == 1 && count("exited") == 1));
  }
};

class child_recorder : public rondo::subprocess_protocol {
 public:
  explicit child_recorder(std::shared_ptr<child_record> notes) : notes_(std::move(notes)) {}

  void connection_made(std::shared_ptr<rondo::subprocess_transport> started) override {
    notes_->transport = std::move(started);
    note("made", notes_->on_made);
  }
  void pipe_data_received(int fd, std::string_view data) override {
    (fd == 1 ? notes_->out : notes_->err) += data;
    note("data " + std::to_string(fd), notes_->on_data);
  }
  void pipe_connection_lost(int fd, std::exception_ptr error) override {
    notes_->pipe_error = std::move(error);
    note("pipe lost " + std::to_string(fd), notes_->on_pipe_lost);
  }
  void process_exited() override { note("exited", notes_->on_exited); }
  void connection_lost(std::exception_ptr error) override {
    CHECK_FALSE(error);
    notes_->lost = true;
    note("lost", notes_->on_lost);
    notes_->transport.reset();
  }
  void pause_writing() override { note("pause", nullptr); }
  void resume_writing() override { note("resume", nullptr); }

 private:
  void note(std::string event, std::function<void()> then) {
    const auto notes = notes_;
    notes->events.push_back(std::move(event));
    if (then) then();
  }
  std::shared_ptr<child_record> notes_;
};

class watched_child : public process_scene {
 public:
  [[nodiscard]] auto factory() {
    return [this] { return std::make_shared<child_recorder>(notes); };
  }
  template <class... Args>
  void exec(const Args&... args) {
    transport = run(loop().subprocess_exec(factory(), args...)).first;
  }
  void shell(std::string_view command, rondo::subprocess_options options = {}) {
    transport = run(loop().subprocess_shell(factory(), command, options)).first;
  }
  ~watched_child() {
    if (transport != nullptr) transport->close();
    if (!notes->events.empty()) {
      until([this] { return notes->lost; });
      CAPTURE(notes->events);
      CHECK(notes->well_formed());
    }
    notes->pipe_error = nullptr;
    notes->transport.reset();
  }
  void until_lost() {
    until([this] { return notes->lost; });
  }

  std::shared_ptr<child_record> notes = std::make_shared<child_record>();
  std::shared_ptr<rondo::subprocess_transport> transport;
};

}  // namespace

TEST_CASE("connection_made comes first, connection_lost last", "[subprocess][rule-254]") {
  watched_child here;
  std::vector<std::string> order;
  here.notes->on_made = [&] {
    order.emplace_back("made");
    here.loop().call_soon([&] { order.emplace_back("scheduled"); });
  };
  auto body = [&]() -> coro<> {
    auto made = co_await here.loop().subprocess_shell(here.factory(), "echo out; echo err >&2");
    order.emplace_back("returned");
    here.transport = made.first;
  };
  here.run(body());
  here.transport->get_pipe_transport(0)->close();
  here.until_lost();
  CHECK(order == std::vector<std::string>{"made", "scheduled", "returned"});
  CHECK(here.notes->out == "out\n");
  CHECK(here.notes->err == "err\n");
  CHECK(here.notes->count("pipe lost 0") == 1);
  CHECK(here.notes->count("pipe lost 1") == 1);
  CHECK(here.notes->count("pipe lost 2") == 1);
  CHECK(here.transport->get_returncode() == 0);
  CHECK_FALSE(here.transport->get_protocol());
}

TEST_CASE("the child's end is told before the loss of pipes that others hold",
          "[subprocess][rule-254][rule-256]") {
  watched_child here;
  std::array<int, 2> gate{};
  REQUIRE(::pipe2(gate.data(), O_CLOEXEC) == 0);
  here.shell("cat & exit 3", {.in = gate[0], .err = subprocess::devnull});
  ::close(gate[0]);
  // A shell's background job reads from /dev/null: this one holds the output only if it was quick.
  here.until([&] { return here.notes->count("exited") == 1; });
  CHECK(here.transport->get_returncode() == 3);
  ::close(gate[1]);
  here.until_lost();
}

TEST_CASE("the standard streams of a subprocess are pipes unless it is told otherwise",
          "[subprocess][stdio]") {
  watched_child here;
  SECTION("all of them") {
    here.exec("cat");
    for (const int fd : {0, 1, 2}) REQUIRE(here.transport->get_pipe_transport(fd) != nullptr);
    CHECK(here.transport->get_pipe_transport(0)->can_write_eof());
    CHECK(here.transport->get_pipe_transport(1)->is_reading());
    here.transport->get_pipe_transport(0)->write("through");
    here.transport->get_pipe_transport(0)->write_eof();
    here.until_lost();
    CHECK(here.notes->out == "through");
  }
  SECTION("only what is left") {
    here.exec(rondo::subprocess_options{.in = subprocess::devnull, .err = subprocess::to_stdout},
              "sh", "-c", "cat; echo err >&2");
    CHECK(here.transport->get_pipe_transport(0) == nullptr);
    CHECK(here.transport->get_pipe_transport(1) != nullptr);
    CHECK(here.transport->get_pipe_transport(2) == nullptr);
    here.until_lost();
    CHECK(here.notes->out == "err\n");
  }
  CHECK(here.transport->get_pipe_transport(3) == nullptr);
  CHECK(here.transport->get_pipe_transport(-1) == nullptr);
}

TEST_CASE("what is known about a subprocess", "[subprocess][rule-191]") {
  watched_child here;
  here.exec("cat");
  CHECK(here.transport->get_pid() > 0);
  CHECK(here.transport->subprocess_pid() == here.transport->get_pid());
  CHECK(std::any_cast<int>(here.transport->get_extra_info("subprocess")) ==
        here.transport->get_pid());
  CHECK_FALSE(here.transport->get_extra_info("pipe").has_value());
  CHECK_FALSE(here.transport->get_returncode());
  CHECK_FALSE(here.transport->is_closing());
  CHECK(here.transport->get_protocol() != nullptr);
  here.transport->terminate();
  here.until_lost();
  CHECK(here.transport->get_returncode() == -SIGTERM);
  here.transport->kill();
}

TEST_CASE("the protocol may use the pipes in connection_made", "[subprocess][rule-254]") {
  watched_child here;
  here.notes->on_made = [&] {
    here.notes->transport->get_pipe_transport(0)->write("at once");
    here.notes->transport->get_pipe_transport(0)->close();
    here.notes->transport->get_pipe_transport(1)->pause_reading();
  };
  here.exec("cat");
  here.until([&] { return here.notes->count("exited") == 1; });
  CHECK(here.notes->out.empty());
  here.transport->get_pipe_transport(1)->resume_reading();
  here.until_lost();
  CHECK(here.notes->out == "at once");
}

TEST_CASE("flow control of the child's input reaches the protocol", "[subprocess][rule-183]") {
  watched_child here;
  here.exec("cat");
  here.transport->get_pipe_transport(1)->pause_reading();
  const std::string large(3'000'000, 'x');
  here.transport->get_pipe_transport(0)->write(large);
  CHECK(here.notes->count("pause") == 1);
  here.transport->get_pipe_transport(1)->resume_reading();
  here.until([&] { return here.notes->count("resume") == 1; });
  here.transport->get_pipe_transport(0)->write_eof();
  here.until_lost();
  CHECK(here.notes->out == large);
}

TEST_CASE("closing kills the child and waits for it", "[subprocess][rule-258]") {
  watched_child here;
  here.shell("trap '' TERM INT; while :; do sleep 1; done");
  here.transport->close();
  here.transport->close();
  CHECK(here.transport->is_closing());
  CHECK_FALSE(here.notes->lost);
  here.until_lost();
  CHECK(here.transport->get_returncode() == -SIGKILL);
}

TEST_CASE("closing in any callback is in order", "[subprocess][rule-258][fault-B12]") {
  watched_child here;
  const auto close = [&] { here.notes->transport->close(); };
  SECTION("connection_made") { here.notes->on_made = close; }
  SECTION("pipe_data_received") { here.notes->on_data = close; }
  SECTION("pipe_connection_lost") { here.notes->on_pipe_lost = close; }
  SECTION("process_exited") { here.notes->on_exited = close; }
  SECTION("connection_lost") { here.notes->on_lost = close; }
  here.shell("echo x; exec 2>&-; cat");
  here.transport->get_pipe_transport(0)->close();
  here.until_lost();
  CHECK(here.messages.empty());
}

TEST_CASE("exceptions of the protocol are reported, and the child is followed to its end",
          "[subprocess][rule-182][fault-B13]") {
  watched_child here;
  const auto fail = [] { throw std::runtime_error("mine"); };
  std::size_t reports = 1;
  SECTION("connection_made") { here.notes->on_made = fail; }
  SECTION("pipe_data_received ends that pipe") { here.notes->on_data = fail; }
  SECTION("pipe_connection_lost") {
    here.notes->on_pipe_lost = fail;
    reports = 3;
  }
  SECTION("process_exited") { here.notes->on_exited = fail; }
  SECTION("connection_lost") { here.notes->on_lost = fail; }
  here.exec("echo", "x");
  here.until_lost();
  here.settle();
  CHECK(here.messages.size() == reports);
  here.notes->on_pipe_lost = nullptr;
  here.notes->transport.reset();
}

TEST_CASE("keyboard_interrupt from a callback leaves the loop, and nothing is lost",
          "[subprocess][rule-034]") {
  watched_child here;
  bool thrown = false;
  const auto interrupt = [&] {
    if (!std::exchange(thrown, true)) throw rondo::keyboard_interrupt();
  };
  SECTION("process_exited") { here.notes->on_exited = interrupt; }
  SECTION("pipe_connection_lost") { here.notes->on_pipe_lost = interrupt; }
  SECTION("pipe_data_received") { here.notes->on_data = interrupt; }
  here.exec("cat");
  here.transport->get_pipe_transport(0)->write("x\n");
  here.transport->get_pipe_transport(0)->write_eof();
  CHECK_THROWS_AS(here.until([] { return false; }), rondo::keyboard_interrupt);
  here.until_lost();
  CHECK(here.notes->out == "x\n");
  CHECK(here.messages.empty());
}

TEST_CASE("another protocol may take over", "[subprocess][rule-190]") {
  watched_child here;
  auto later = std::make_shared<child_record>();
  later->events.emplace_back("made");
  here.exec("cat");
  child_recorder mine(later);
  here.transport->set_protocol(&mine);
  CHECK(here.transport->get_protocol().get() == &mine);
  CHECK_THROWS_AS(here.transport->set_protocol(std::make_shared<recorder>()),
                  std::invalid_argument);
  CHECK_THROWS_AS(here.transport->set_protocol(nullptr), std::invalid_argument);
  here.transport->get_pipe_transport(0)->write("later");
  here.transport->get_pipe_transport(0)->write_eof();
  here.until([&] { return later->lost; });
  CHECK(later->out == "later");
  here.notes->events.clear();
}

TEST_CASE("callbacks run in the context of the call that started the child",
          "[subprocess][rule-031]") {
  static const rondo::context_var<int> colour("colour", 0);
  watched_child here;
  std::vector<int> seen;
  const auto look = [&] { seen.push_back(colour.get()); };
  here.notes->on_made = look;
  here.notes->on_data = look;
  here.notes->on_exited = look;
  here.notes->on_lost = look;
  auto body = [&]() -> coro<> {
    colour.set(7);
    auto made = co_await here.loop().subprocess_exec(here.factory(), "echo", "x");
    here.transport = made.first;
    colour.set(9);
  };
  auto task = here.loop().create_task(body());
  here.until_lost();
  CHECK(task.done());
  CHECK(seen == std::vector<int>{7, 7, 7, 7});
}

TEST_CASE("a start that fails makes no connection", "[subprocess][rule-259]") {
  watched_child here;
  CHECK_THROWS_AS(here.exec("/no/such/program"), std::system_error);
  CHECK(here.notes->events.empty());
  CHECK_FALSE(has_children());
}

TEST_CASE("a subprocess whose creation is cancelled is killed and waited for",
          "[subprocess][rule-258][fault-J12]") {
  bool finished = false;
  for (int at = 0; !finished && at < 20; ++at) {
    CAPTURE(at);
    watched_child here;
    auto starting = here.loop().create_task(here.loop().subprocess_exec(here.factory(), "cat"));
    here.turn(at);
    finished = starting.done();
    starting.cancel();
    here.until([&] { return starting.done(); });
    CHECK(starting.cancelled() == !finished);
    if (!finished) CHECK_FALSE(has_children());
    if (finished) here.transport = starting.result().first;
  }
  CHECK(finished);
}

TEST_CASE("a loop closed with a running subprocess lets go of everything",
          "[subprocess][fault-J11]") {
  std::weak_ptr<rondo::subprocess_transport> watched;
  {
    scene here;
    auto notes = std::make_shared<child_record>();
    auto factory = [&] { return std::make_shared<child_recorder>(notes); };
    auto transport = here.run(here.loop().subprocess_exec(factory, "cat")).first;
    SECTION("idle") {}
    SECTION("closing") { transport->close(); }
    SECTION("writing") { transport->get_pipe_transport(0)->write(std::string(1'000'000, 'x')); }
    watched = transport;
    notes->transport.reset();
    here.loop().close();
    CHECK(transport->is_closing());
    CHECK_FALSE(notes->lost);
    transport.reset();
    CHECK(watched.expired());
    here.end_loop();
  }
  // Its input has ended, or it was killed.
  const auto deadline = std::chrono::steady_clock::now() + 5s;
  while (has_children() && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
  CHECK_FALSE(has_children());
}

TEST_CASE("a transport of one's own need not follow a child", "[subprocess]") {
  struct nothing : rondo::subprocess_transport {
  } mine;
  CHECK_THROWS_AS(mine.get_pid(), rondo::not_supported_error);
  CHECK_THROWS_AS(mine.get_returncode(), rondo::not_supported_error);
  CHECK_THROWS_AS(mine.get_pipe_transport(0), rondo::not_supported_error);
  CHECK_THROWS_AS(mine.kill(), rondo::not_supported_error);
}

}  // namespace rondo_test
