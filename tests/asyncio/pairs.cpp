// SPDX-License-Identifier: MIT
// rondo tests: runs the programs of both languages.
#include "asyncio/pairs.hpp"

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <sstream>

namespace asyncio_test {
namespace {

struct python_program {
  std::string words;
  bool too_old = false;  // the installed Python, for this program
};

// One process runs them all.
std::map<std::string, python_program> run_python() {
  const char* const command = "python3 -B '" RONDO_TEST_FOLDER "/programs'";
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> output(popen(command, "r"), &pclose);
  REQUIRE(output != nullptr);
  std::string text;
  char buffer[4096];
  for (std::size_t n = 0; (n = std::fread(buffer, 1, sizeof buffer, output.get())) > 0;) {
    text.append(buffer, n);
  }
  std::map<std::string, python_program> result;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.back() == '~') {
      line.pop_back();
      result[line] = python_program{{}, true};
      continue;
    }
    const std::size_t colon = line.find(": ");
    REQUIRE(colon != std::string::npos);
    result[line.substr(0, colon)] = python_program{line.substr(colon + 2)};
  }
  REQUIRE(!result.empty());
  return result;
}

const std::map<std::string, python_program>& programs() {
  static const std::map<std::string, python_program> all = run_python();
  return all;
}

}  // namespace

std::string describe(const std::exception_ptr& thrown) {
  if (!thrown) return "none";
  try {
    std::rethrow_exception(thrown);
  } catch (const rondo::cancelled_error& e) {
    return e.message().empty() ? "cancelled" : "cancelled(" + e.message() + ")";
  } catch (const rondo::system_exit& e) {
    return "exit(" + std::to_string(e.code) + ")";
  } catch (const rondo::timeout_error&) {
    return "timeout";
  } catch (const rondo::exception_group& group) {
    std::string text = "group[";
    for (const std::exception_ptr& each : group.exceptions()) {
      text += (text.back() == '[' ? "" : ",") + describe(each);
    }
    return text + "]";
  } catch (const error& e) {
    return std::string("error(") + e.what() + ")";
  } catch (const rondo::broken_barrier_error&) {
    return "broken";
  } catch (const rondo::invalid_state_error&) {
    return "invalid_state";
  } catch (const rondo::queue_shut_down&) {
    return "shut_down";
  } catch (const rondo::queue_empty&) {
    return "empty";
  } catch (const rondo::queue_full&) {
    return "full";
  } catch (const std::invalid_argument&) {
    return "invalid_argument";
  } catch (const std::logic_error&) {
    return "logic_error";
  } catch (...) {
    return "unknown";
  }
}

coro<> turns(int n) {
  for (int i = 0; i < n; ++i) co_await yield_now();
}

coro<> ticks(trace& out, int n) {
  for (int i = 0; i < n; ++i) {
    out("|");
    co_await yield_now();
  }
}

coro<int> work(trace& out, std::string name, int n, int result) {
  try {
    co_await turns(n);
  } catch (const rondo::cancelled_error&) {
    out(name + "-cancelled");
    throw;
  }
  out(name);
  co_return result;
}

coro<int> fail(trace& out, std::string name, int n) {
  co_await work(out, name, n);
  throw error(name);
}

coro<int> cleanup(trace& out, std::string name, int n) {
  std::exception_ptr cancelled;
  try {
    co_await sleep(1000s);
  } catch (const rondo::cancelled_error&) {
    cancelled = std::current_exception();
  }
  co_await turns(n);
  out(name + "-clean");
  std::rethrow_exception(cancelled);
}

int now() {
  const auto& running = static_cast<const loop&>(get_running_loop());
  return static_cast<int>(running.elapsed().count() / 1'000'000'000);
}

std::string run(coro<> (*program)(trace& out)) {
  trace out;
  std::string words;
  {
    loop runs;
    const task<> main = runs.create_task(program(out));
    runs.drive(main);
    runs.run_once();  // as run_until_complete, which is told in the next iteration
    words = out.text();
    rondo::detail::take_result<void>(main);
    for (const rondo::any_task& each : rondo::all_tasks(runs)) each.cancel();
    runs.settle();
  }
  return words;
}

std::string python(const std::string& name) {
  const auto found = programs().find(name);
  REQUIRE(found != programs().end());
  REQUIRE_FALSE(found->second.too_old);
  return found->second.words;
}

std::string python(const std::string& name, const std::string& expected) {
  const auto found = programs().find(name);
  REQUIRE(found != programs().end());
  if (!found->second.too_old) CHECK(found->second.words == expected);
  return expected;
}

TEST_CASE("every Python program has its twin") {
  std::string sources;
  for (const auto& each : std::filesystem::directory_iterator(RONDO_TEST_FOLDER)) {
    if (each.path().extension() != ".cpp") continue;
    std::ostringstream text;
    text << std::ifstream(each.path()).rdbuf();
    sources += text.str();
  }
  for (const auto& [name, program] : programs()) {
    CAPTURE(name);
    CHECK(sources.find("python(\"" + name + "\"") != std::string::npos);
  }
  CHECK(programs().size() >= 45);
}

}  // namespace asyncio_test
