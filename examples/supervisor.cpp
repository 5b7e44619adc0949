// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Starts programs, tags what they say, and keeps them running.
//
// Python: asyncio.create_subprocess_shell, asyncio.timeout, loop.add_signal_handler
// Run:    supervisor [--grace 5] [--backoff 0.1] [--restart always|failure|never] NAME=COMMAND...
// Try:    supervisor "tick=while :; do date; sleep 1; done" "crash=sleep 3; exit 1"
#include "common/args.hpp"

#include <rondo/rondo.hpp>

#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using seconds = std::chrono::duration<double>;
namespace subprocess = rondo::subprocess;

// A program that ran at least this long is none that fails at its start: it is restarted at once.
constexpr seconds long_enough = 10s;
constexpr seconds longest_backoff = 60s;

void say(const std::string& line) {
  fmt::print("{}\n", line);
  std::fflush(stdout);
}

class service {
 public:
  service(std::string name, std::string command, const examples::supervisor_arguments& arguments)
      : name_(std::move(name)), command_(std::move(command)), arguments_(arguments) {}

  /// Runs the program again and again, until `stop` or until it is not to be restarted.
  rondo::coro<> run() {
    seconds backoff = arguments_.backoff;
    auto& loop = rondo::get_running_loop();
    while (!stopping_) {
      const auto began = loop.time();
      const int code = co_await run_once();
      const seconds lived = loop.time() - began;
      const bool restart =
          arguments_.restart == "always" || (arguments_.restart == "failure" && code != 0);
      if (stopping_ || !restart) {
        say(fmt::format("supervisor: {} ended with {}", name_, code));
        co_return;
      }
      if (lived >= long_enough) backoff = arguments_.backoff;
      say(fmt::format("supervisor: {} ended with {}, starts again in {:g} s", name_, code,
                      backoff.count()));
      wake_ = loop.create_future();
      try {
        co_await rondo::wait_for(wake_, backoff);
      } catch (const rondo::timeout_error&) {
        // Nobody woke us: time to start again.
      }
      backoff = std::min(longest_backoff, backoff * 2);
    }
  }

  /// Asks the program to end, and makes it end when the grace is over.
  rondo::coro<> stop() {
    stopping_ = true;
    if (wake_ && !wake_.done()) wake_.set_result();
    if (!program_) co_return;
    const rondo::process program = *program_;
    program.terminate();
    bool in_time = true;
    try {
      co_await rondo::wait_for(program.wait(), arguments_.grace);
    } catch (const rondo::timeout_error&) {
      in_time = false;
    }
    if (in_time) co_return;
    say(fmt::format("supervisor: {} does not stop: it is killed", name_));
    program.kill();
    co_await program.wait();
  }

 private:
  rondo::coro<int> run_once() {
    std::optional<rondo::process> started;
    try {
      started = co_await rondo::create_subprocess_shell(
          command_, {.in = subprocess::devnull, .out = subprocess::pipe, .err = subprocess::pipe});
    } catch (const std::system_error& error) {
      say(fmt::format("supervisor: {} cannot be started: {}", name_, error.what()));
      co_return -1;
    }
    program_ = started;
    if (stopping_) program_->kill();  // it was being started when everything was to stop
    say(fmt::format("supervisor: {} started, process {}", name_, program_->pid()));
    auto out = rondo::create_task(tag(*program_->stdout_reader(), '|'));
    auto err = rondo::create_task(tag(*program_->stderr_reader(), '!'));
    const int code = co_await program_->wait();
    // What the program has said is there; what it left behind may hold the pipes for ever.
    try {
      co_await rondo::wait_for(both(out, err), 1s);
    } catch (const rondo::timeout_error&) {
      out.cancel();
      err.cancel();
    }
    program_.reset();
    co_return code;
  }

  static rondo::coro<> both(rondo::task<> first, rondo::task<> second) {
    co_await first;
    co_await second;
  }

  rondo::coro<> tag(rondo::stream_reader from, char mark) {
    for (;;) {
      std::optional<std::string> line;
      try {
        line = co_await from.next_line();
      } catch (const rondo::limit_overrun_error&) {
        line = "(a line that is too long)";
      }
      if (!line) co_return;
      if (line->ends_with('\n')) line->pop_back();
      say(fmt::format("{} {} {}", name_, mark, *line));
    }
  }

  std::string name_;
  std::string command_;
  const examples::supervisor_arguments& arguments_;
  std::optional<rondo::process> program_;
  rondo::future<> wake_;
  bool stopping_ = false;
};

rondo::coro<> supervise(const examples::supervisor_arguments& arguments) {
  auto& loop = rondo::get_running_loop();
  std::vector<std::unique_ptr<service>> services;
  std::vector<rondo::task<>> tasks;
  for (const auto& [name, command] : arguments.services) {
    services.push_back(std::make_unique<service>(name, command, arguments));
    tasks.push_back(rondo::create_task(services.back()->run()));
  }
  auto stop = loop.create_future();
  const auto request_stop = [stop] {
    if (!stop.done()) stop.set_result();
  };
  loop.add_signal_handler(SIGTERM, request_stop);
  loop.add_signal_handler(SIGINT, request_stop);
  // Shared with the callbacks: the last of them may run when this has returned.
  const auto running = std::make_shared<std::size_t>(tasks.size());
  for (const auto& each : tasks) {
    each.add_done_callback([running, request_stop] {
      if (--*running == 0) request_stop();
    });
  }
  co_await stop;
  // The last that was started is the first to go: it may depend on the others.
  for (std::size_t i = services.size(); i-- > 0;) {
    co_await services[i]->stop();
    co_await tasks[i];
  }
  say("supervisor: everything has stopped");
}

}  // namespace

int main(int argc, char** argv) {
  const auto arguments = examples::parse_supervisor(argc, argv);
  try {
    rondo::run(supervise(arguments));
  } catch (const std::exception& error) {
    fmt::print(stderr, "supervisor: {}\n", error.what());
    return 1;
  }
  return 0;
}
