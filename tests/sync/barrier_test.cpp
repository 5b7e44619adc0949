// SPDX-License-Identifier: MIT
// rondo tests: barriers.
#include <rondo/locks.hpp>

#include <rondo/rondo.hpp>

#include "support/catch.hpp"
#include "sync/sync_support.hpp"

#include <string>
#include <utility>

namespace {

using namespace rondo_test;

struct barrier_fixture {
  explicit barrier_fixture(std::ptrdiff_t parties) : barrier(parties) {}
  stepped_loop loop;
  record log;
  rondo::barrier barrier;

  rondo::coro<> pass(std::string name) {
    std::string outcome;
    try {
      const std::size_t index = co_await barrier.wait();
      outcome = name + std::to_string(index);
    } catch (...) {
      outcome = name + ":" + name_of_exception();
    }
    log(outcome);
  }
  rondo::task<> wait(std::string name) { return loop.create_task(pass(std::move(name))); }
  void abort() { loop.create_task(barrier.abort()); }
  void reset() { loop.create_task(barrier.reset()); }
};

TEST_CASE("a barrier opens when all have arrived [rule-144]") {
  barrier_fixture f(3);
  CHECK(f.barrier.parties() == 3);
  f.wait("a");
  f.wait("b");
  f.loop.step();
  CHECK(f.barrier.n_waiting() == 2);
  f.wait("c");
  f.loop.step();
  CHECK(f.log.take() == "c2");  // the last arrival returns first
  CHECK(f.barrier.n_waiting() == 0);
  f.loop.step();
  CHECK(f.log.take() == "a0 b1");
  // And again.
  f.wait("d");
  f.wait("e");
  f.wait("f");
  f.loop.settle();
  CHECK(f.log.take() == "f2 d0 e1");
  CHECK_FALSE(f.barrier.broken());
}

TEST_CASE("who comes while others leave waits for them [rule-144]") {
  barrier_fixture f(2);
  f.wait("a");
  f.loop.step();
  f.wait("b");
  f.wait("c");  // after b, before a left
  f.wait("d");
  f.loop.step();
  CHECK(f.log.take() == "b1");
  CHECK(f.barrier.n_waiting() == 0);
  f.loop.step();
  CHECK(f.log.take() == "a0");
  f.loop.settle();
  CHECK(f.log.take() == "d1 c0");
}

TEST_CASE("a barrier of one never waits [rule-144]") {
  barrier_fixture f(1);
  f.wait("a");
  f.wait("b");
  f.loop.step();
  CHECK(f.log.take() == "a0 b0");
}

TEST_CASE("abort breaks the barrier until it is reset [rule-145][fault-H12]") {
  barrier_fixture f(3);
  f.wait("a");
  f.wait("b");
  f.loop.step();
  f.abort();
  f.wait("c");
  f.loop.step();
  CHECK(f.log.take() == "c:broken");
  CHECK(f.barrier.broken());
  CHECK(f.barrier.n_waiting() == 0);
  f.loop.step();
  CHECK(f.log.take() == "a:broken b:broken");
  f.wait("d");
  f.loop.settle();
  CHECK(f.log.take() == "d:broken");
  f.reset();
  f.loop.settle();
  CHECK_FALSE(f.barrier.broken());
  f.wait("e");
  f.wait("f");
  f.wait("g");
  f.loop.settle();
  CHECK(f.log.take() == "g2 e0 f1");
}

TEST_CASE("reset throws in those who wait and leaves a barrier to use [rule-145][fault-H12]") {
  barrier_fixture f(2);
  f.wait("a");
  f.loop.step();
  f.reset();
  f.wait("b");  // waits for a to leave
  f.loop.step();
  CHECK(f.log.take().empty());
  f.loop.step();
  CHECK(f.log.take() == "a:broken");
  CHECK_FALSE(f.barrier.broken());
  f.wait("c");
  f.loop.settle();
  CHECK(f.log.take() == "c1 b0");
  // Of a barrier without waiters: nothing.
  f.reset();
  f.loop.settle();
  CHECK(f.barrier.n_waiting() == 0);
}

TEST_CASE("abort while others leave or wait for that [rule-145]") {
  barrier_fixture f(2);
  f.wait("a");
  f.loop.step();
  f.wait("b");
  f.wait("c");
  f.abort();
  f.loop.step();
  CHECK(f.log.take() == "b1");
  f.loop.settle();
  CHECK(f.log.take() == "a:broken c:broken");
  CHECK(f.barrier.broken());
}

TEST_CASE("a barrier needs a party [rule-145]") {
  CHECK(failure_of([] { rondo::barrier(0); }) == "invalid_argument");
  CHECK(failure_of([] { rondo::barrier(-1); }) == "invalid_argument");
}

TEST_CASE("a cancelled waiter just leaves, and indices stay unique [rule-146][fault-D5]") {
  barrier_fixture f(3);
  const auto a = f.wait("a");
  f.wait("b");
  f.loop.step();
  a.cancel();
  CHECK(f.barrier.n_waiting() == 1);
  f.wait("c");
  f.loop.step();
  // c is the second, though a's request was still on its way.
  CHECK(f.log.take() == "a:cancelled");
  CHECK(f.barrier.n_waiting() == 2);
  CHECK_FALSE(f.barrier.broken());
  f.wait("d");
  f.loop.settle();
  CHECK(f.log.take() == "d2 b0 c1");
}

TEST_CASE("cancelled after the barrier opened [rule-146]") {
  barrier_fixture f(3);
  const auto a = f.wait("a");
  f.wait("b");
  f.loop.step();
  f.wait("c");
  f.wait("d");
  f.loop.step();
  a.cancel();
  f.loop.step();
  CHECK(f.log.take() == "c2 a:cancelled b1");
  f.loop.settle();
  CHECK(f.barrier.n_waiting() == 1);  // d
  f.wait("e");
  f.wait("f");
  f.loop.settle();
  CHECK(f.log.take() == "f2 d0 e1");
}

TEST_CASE("cancelled while it waits for others to leave [rule-146]") {
  barrier_fixture f(2);
  f.wait("a");
  f.loop.step();
  f.wait("b");
  const auto c = f.wait("c");
  f.loop.step();
  c.cancel();
  f.loop.settle();
  CHECK(f.log.take() == "b1 a0 c:cancelled");
  CHECK(f.barrier.n_waiting() == 0);
}

TEST_CASE("a barrier's scope knows the index") {
  stepped_loop loop;
  record log;
  rondo::barrier barrier(2);
  const auto body = [&](std::string name) -> rondo::coro<> {
    const auto place = co_await barrier.scoped();
    log(name + std::to_string(place.index()));
  };
  loop.create_task(body("a"));
  loop.create_task(body("b"));
  loop.settle();
  CHECK(log.take() == "b1 a0");
}

}  // namespace
