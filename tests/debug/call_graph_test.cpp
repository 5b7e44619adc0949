// SPDX-License-Identifier: MIT
// rondo tests: stacks of tasks, and who awaits whom.
#include "debug/debug_support.hpp"

#include <rondo/as_completed.hpp>
#include <rondo/call_graph.hpp>
#include <rondo/gather.hpp>
#include <rondo/shield.hpp>
#include <rondo/task_group.hpp>
#include <rondo/wait.hpp>

#include <functional>
#include <iostream>
#include <sstream>

using namespace debug_test;

namespace {

struct lines_of_chain {
  std::string outer;
  std::string middle;
  std::string inner;
};

coro<> inner(lines_of_chain& lines, const future<>& f) {
  lines.inner = line_of(-1);
  co_await f;
}
coro<> middle(lines_of_chain& lines, const future<>& f) {
  lines.middle = line_of(-1);
  co_await inner(lines, f);
}
coro<> outer(lines_of_chain& lines, const future<>& f) {
  lines.outer = line_of(-1);
  co_await middle(lines, f);
}

std::string place(const std::source_location& where) {
  return std::string(where.file_name()) + ":" + std::to_string(where.line()) + " in ";
}

}  // namespace

TEST_CASE("get_stack lists the awaits of a suspended task, the outermost first", "[call-graph]") {
  const balanced guard;
  manual_loop loop;
  lines_of_chain lines;
  const future<> f = loop.create_future();
  const task<> t = loop.create_task(outer(lines, f), {.name = "chain"});
  REQUIRE(t.get_stack().size() == 1);  // about to start
  CHECK(std::string(t.get_stack()[0].function_name()).find("outer(") != std::string::npos);
  loop.settle();
  const std::vector<std::source_location> stack = t.get_stack();
  REQUIRE(stack.size() == 3);
  CHECK(place(stack[0]) == lines.outer);
  CHECK(place(stack[1]) == lines.middle);
  CHECK(place(stack[2]) == lines.inner);
  REQUIRE(t.get_stack(1).size() == 1);
  CHECK(place(t.get_stack(1)[0]) == lines.inner);
  CHECK(any_task(t).get_stack().size() == 3);
  std::ostringstream text;
  t.print_stack(text);
  any_task(t).print_stack(text, 1);
  CHECK(text.str().find("Stack for task chain") == 0);
  CHECK(count_in(text.str(), lines.outer + "outer(") == 1);
  CHECK(count_in(text.str(), lines.inner + "inner(") == 2);
  CHECK(count_in(text.str(), "Frame") == 0);
  f.set_result();
  loop.drive(t);
  CHECK(t.get_stack().empty());
  text.str({});
  t.print_stack(text);
  CHECK(text.str() == "No stack for task chain\n");
}

TEST_CASE("the stack of a running task is not known", "[call-graph]") {
  manual_loop loop;
  task<> t;
  std::size_t while_running = 1;
  const auto body = [&]() -> coro<> {
    while_running = t.get_stack().size();
    co_await yield_now();
  };
  t = loop.create_task(body());
  loop.run_once();
  CHECK(while_running == 0);
  CHECK(t.get_stack().size() == 1);  // it yielded
  loop.drive(t);
}

TEST_CASE("print_stack and print_call_graph write to standard error", "[call-graph]") {
  manual_loop loop;
  const task<> t = loop.create_task(rondo::sleep(1h), {.name = "seen"});
  loop.settle();
  std::ostringstream text;
  std::streambuf* const before = std::cerr.rdbuf(text.rdbuf());
  t.print_stack();
  any_task(t).print_stack();
  rondo::print_call_graph(t);
  std::cerr.rdbuf(before);
  CHECK(count_in(text.str(), "Stack for task seen") == 2);
  CHECK(count_in(text.str(), "* Task(name='seen')") == 1);
  t.cancel();
  loop.settle();
}

TEST_CASE("a call graph tells who awaits a task, and on which line", "[call-graph]") {
  const balanced guard;
  manual_loop loop;
  lines_of_chain lines;
  const future<> f = loop.create_future();
  const task<> leaf = loop.create_task(outer(lines, f), {.name = "leaf"});
  std::string first;
  std::string second;
  const auto awaits_leaf = [&]() -> coro<> {
    first = line_of(-1);
    co_await leaf;
  };
  const task<> parent = loop.create_task(awaits_leaf(), {.name = "parent"});
  const auto awaits_end = [&]() -> coro<> {
    second = line_of(-1);
    co_await end_of(leaf);
  };
  const task<> other = loop.create_task(awaits_end(), {.name = "other"});
  const auto awaits_both = [&]() -> coro<> { co_await parent; };
  const task<> top = loop.create_task(awaits_both(), {.name = "top"});
  loop.settle();
  {
    const rondo::call_graph graph = rondo::capture_call_graph(leaf);
    REQUIRE(graph.nodes.size() == 4);
    CHECK(graph.nodes[0].future == any_future(leaf));
    REQUIRE(graph.nodes[0].call_stack.size() == 3);
    CHECK(place(graph.nodes[0].call_stack[0]) == lines.inner);  // the innermost first
    CHECK(graph.nodes[0].awaited_by == std::vector<std::size_t>{1, 2});
    CHECK(graph.nodes[1].future == any_future(parent));
    CHECK(graph.nodes[1].awaited_by == std::vector<std::size_t>{3});
    CHECK(graph.nodes[2].future == any_future(other));
    CHECK(graph.nodes[2].awaited_by.empty());
    CHECK(graph.nodes[3].future == any_future(top));
    const std::string text = rondo::format_call_graph(graph);
    CHECK(text == rondo::format_call_graph(leaf));
    const auto line = [&](const std::string& part) { return count_in(text, part + "\n"); };
    CHECK(text.rfind("* Task(name='leaf')\n  + Call stack:\n  |   " + lines.inner, 0) == 0);
    CHECK(line("  + Awaited by:\n     * Task(name='parent')") == 1);
    CHECK(count_in(text, "       |   " + first) == 1);
    CHECK(line("\n     * Task(name='other')") == 1);
    CHECK(count_in(text, "       |   " + second) == 1);
    CHECK(line("       + Awaited by:\n          * Task(name='top')") == 1);
    CHECK(count_in(text, "see above") == 0);
  }
  // Of the future at its root everything is seen.
  const rondo::call_graph from_future = rondo::capture_call_graph(any_future(f));
  REQUIRE(from_future.nodes.size() == 5);
  CHECK(from_future.nodes[0].call_stack.empty());
  CHECK(rondo::format_call_graph(from_future).rfind("* Future()\n  + Awaited by:\n", 0) == 0);
  f.set_result();
  loop.drive(top);
  loop.drive(other);
  CHECK(rondo::capture_call_graph(leaf).nodes.size() == 1);
}

TEST_CASE("the call graph of a loop shows each of its tasks once", "[call-graph]") {
  const balanced guard;
  manual_loop loop;
  const future<> f = loop.create_future();
  const task<> leaf = loop.create_task(wait_for_future(f), {.name = "leaf"});
  const auto waits = [](task<> on) -> coro<> { co_await on; };
  const task<> a = loop.create_task(waits(leaf), {.name = "a"});
  const task<> b = loop.create_task(waits(leaf), {.name = "b"});
  loop.settle();
  const std::string text = rondo::format_call_graph(loop);
  CHECK(count_in(text, "* Task(") == 3);
  CHECK(text.rfind("* Task(name='leaf')\n", 0) == 0);
  CHECK(count_in(text, "\n     * Task(name='a')\n") == 1);
  CHECK(count_in(text, "\n     * Task(name='b')\n") == 1);
  f.set_result();
  loop.drive(a);
  loop.drive(b);
}

// ---- through gather and its kin ----

namespace {

/// Two tasks that a third one awaits together, in some way.
struct together {
  explicit together(const std::function<coro<>(together&)>& how) {
    a = loop.create_task(wait_for_future(f), {.name = "a"});
    b = loop.create_task(wait_for_future(f), {.name = "b"});
    parent = loop.create_task(how(*this), {.name = "parent"});
    loop.settle();
    text = rondo::format_call_graph(loop);
    f.set_result();
    loop.drive(parent);
  }

  manual_loop loop;
  future<> f = loop.create_future();
  task<> a;
  task<> b;
  task<> parent;
  std::string text;
};

}  // namespace

TEST_CASE("a call graph goes through gather, and mentions once what is shared", "[call-graph]") {
  const balanced guard;
  const together seen([](together& on) -> coro<> { co_await rondo::gather(on.a, on.b); });
  CAPTURE(seen.text);
  CHECK(count_in(seen.text, "\n     * Future()\n") == 1);
  CHECK(count_in(seen.text, "\n          * Task(name='parent')\n") == 1);
  CHECK(count_in(seen.text, "\n     * Future() (see above)\n") == 1);
  CHECK(count_in(seen.text, "* Task(") == 3);
}

TEST_CASE("a call graph goes through shield, wait and as_completed", "[call-graph]") {
  const balanced guard;
  const together shielded([](together& on) -> coro<> { co_await rondo::shield(on.a); });
  CHECK(count_in(shielded.text, "\n          * Task(name='parent')\n") == 1);
  const together waited([](together& on) -> coro<> {
    const std::vector<task<>> both = {on.a, on.b};
    co_await rondo::wait(both);
  });
  CHECK(count_in(waited.text, "\n     * Task(name='parent')\n") == 1);
  CHECK(count_in(waited.text, "\n     * Task(name='parent') (see above)\n") == 1);
  const together one_by_one([](together& on) -> coro<> {
    const std::vector<task<>> both = {on.a, on.b};
    auto ended = rondo::as_completed(both);
    while (const auto each = co_await ended.next()) static_cast<void>(each->done());
  });
  CHECK(count_in(one_by_one.text, "\n     * Task(name='parent')\n") == 1);
  CHECK(count_in(one_by_one.text, "(see above)") == 1);
}

TEST_CASE("children of a task group are awaited by its task", "[call-graph]") {
  const balanced guard;
  const together seen([](together& on) -> coro<> {
    const auto body = [&on](rondo::task_group& group) -> coro<> {
      const task<> child = group.create_task(wait_for_future(on.f));
      child.set_name("child");
      co_return;
    };
    co_await rondo::with_task_group(body);
  });
  CAPTURE(seen.text);
  CHECK(count_in(seen.text, "* Task(name='child')\n") == 1);
  CHECK(count_in(seen.text, "\n     * Task(name='parent')\n") == 1);
}

TEST_CASE("a ring that goes through gather is found, one through wait may end", "[fault-D13]") {
  const balanced guard;
  captured_log log;
  manual_loop loop;
  loop.set_debug(true);
  task<> outer;
  const future<> f = loop.create_future();
  const auto inner_body = [&]() -> coro<> { co_await outer; };
  const task<> inner_task = loop.create_task(inner_body(), {.name = "inner"});
  const task<> other = loop.create_task(wait_for_future(f), {.name = "other"});
  const auto all = [&]() -> coro<> { co_await rondo::gather(inner_task, other); };
  outer = loop.create_task(all(), {.name = "outer"});
  loop.settle();
  CHECK(log.count("tasks await each other") == 1);
  outer.cancel();
  loop.settle();
  log.lines.clear();

  const auto again = [&]() -> coro<> { co_await outer; };
  const task<> inner_again = loop.create_task(again());
  const task<> other_again = loop.create_task(wait_for_future(loop.create_future()));
  const auto first = [&]() -> coro<> {
    const std::vector<task<>> both = {inner_again, other_again};
    const rondo::wait_options enough{.when = rondo::return_when::first_completed};
    co_await rondo::wait(both, enough);
  };
  outer = loop.create_task(first());
  loop.settle();
  CHECK(log.count("tasks await each other") == 0);
  outer.cancel();
  other_again.cancel();
  f.cancel();
  loop.settle();
  CHECK(loop.metrics().tasks == 0);
}

TEST_CASE("a ring of tasks appears once", "[call-graph][fault-D13]") {
  const balanced guard;
  captured_log log;
  manual_loop loop;
  std::vector<task<>> ring(3);
  const auto body = [&](std::size_t next) -> coro<> { co_await ring[next]; };
  for (std::size_t i = 0; i < ring.size(); ++i) {
    const std::string name = "ring " + std::to_string(i);
    ring[i] = loop.create_task(body((i + 1) % ring.size()), {.name = name});
  }
  loop.settle();
  const rondo::call_graph graph = rondo::capture_call_graph(ring[0]);
  REQUIRE(graph.nodes.size() == 3);
  const std::string text = rondo::format_call_graph(graph);
  for (const char* const name : {"ring 0", "ring 1", "ring 2"}) {
    CHECK(count_in(text, "* Task(name='" + std::string(name) + "')\n") == 1);
  }
  CHECK(count_in(text, "* Task(name='ring 0') (see above: they await each other)\n") == 1);
  CHECK(count_in(text, "see above") == 1);
  CHECK(rondo::format_call_graph(loop) == text);
  ring[0].cancel();
  loop.settle();
}

TEST_CASE("the running task is shown with the line that asks", "[call-graph]") {
  const balanced guard;
  manual_loop loop;
  std::string text;
  std::string asked;
  const auto body = [&]() -> coro<> {
    asked = line_of(-1);
    text = rondo::format_call_graph();
    co_return;
  };
  const task<> t = loop.create_task(body(), {.name = "asks"});
  const auto waits = [&]() -> coro<> { co_await t; };
  loop.run(waits());
  CHECK(text.rfind("* Task(name='asks')\n  + Call stack:\n  |   " + asked, 0) == 0);
  CHECK(rondo::capture_call_graph().nodes.empty());
  CHECK(rondo::capture_call_graph(any_future()).nodes.empty());
  CHECK(rondo::format_call_graph() == "no task runs\n");
  CHECK(rondo::format_call_graph(loop) == "no task runs\n");
}

TEST_CASE("a chain of 10,000 tasks is captured and written without recursion", "[call-graph]") {
  const balanced guard;
  manual_loop loop;
  const future<> f = loop.create_future();
  std::vector<task<>> chain = {loop.create_task(wait_for_future(f))};
  const auto waits = [](task<> on) -> coro<> { co_await on; };
  for (int i = 1; i < 10'000; ++i) chain.push_back(loop.create_task(waits(chain.back())));
  loop.settle();
  {
    const rondo::call_graph graph = rondo::capture_call_graph(chain.front());
    CHECK(graph.nodes.size() == chain.size());
    const std::string text = rondo::format_call_graph(graph);
    CHECK(count_in(text, "* Task(") == chain.size());
    CHECK(text.size() < chain.size() * 2000);
  }
  f.set_result();
  loop.drive(chain.back());
}
