// SPDX-License-Identifier: MIT
// rondo tests: the same random scripts here and on the installed asyncio, event by event and tick
// by tick.
#include <rondo/rondo.hpp>

#include "support/catch.hpp"

#include <array>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace {

constexpr int workers = 4;
constexpr int operations = 9;

class generator {
 public:
  explicit generator(std::uint32_t seed) : state_(seed) {}
  int pick(int n) {
    state_ = (state_ * 1103515245U + 12345U) & 0x7FFFFFFFU;
    return static_cast<int>((state_ >> 8U) % static_cast<std::uint32_t>(n));
  }

 private:
  std::uint32_t state_;
};

// What of the queue's type is fixed by the seed: the three have the same members, but no common
// base.
struct any_queue {
  int kind;
  rondo::queue<int> fifo;
  rondo::lifo_queue<int> lifo;
  rondo::priority_queue<int> heap;

  any_queue(int which, int maxsize) : kind(which), fifo(maxsize), lifo(maxsize), heap(maxsize) {}
  template <class F>
  auto with(F f) {
    return kind == 0 ? f(fifo) : kind == 1 ? f(lifo) : f(heap);
  }
};

struct script {
  generator random;
  bool cancels = random.pick(4) > 0;
  rondo::lock lock;
  rondo::semaphore semaphore{random.pick(3)};
  int queue_kind = random.pick(3);
  any_queue queue{queue_kind, random.pick(3)};
  rondo::event event;
  rondo::condition condition;
  rondo::barrier barrier{2};
  std::string words;
  std::vector<rondo::task<>> tasks;
  std::array<std::array<std::pair<int, int>, operations>, workers> programs;

  explicit script(std::uint32_t seed) : random(seed) {
    for (auto& program : programs) {
      for (auto& [code, argument] : program) {
        code = random.pick(18);
        argument = random.pick(8);
      }
    }
  }

  void word(const std::string& text) { words += (words.empty() ? "" : " ") + text; }

  rondo::coro<std::string> operation(int who, int code, int argument) {
    const int item = who * 10 + argument;
    if (code == 2) {
      co_await lock.acquire();
      co_return "L";
    }
    if (code == 3) {
      if (!lock.locked()) co_return "-";
      lock.release();
      co_return "l";
    }
    if (code == 4) {
      co_await semaphore.acquire();
      co_return "S";
    }
    if (code == 5) {
      semaphore.release();
      co_return semaphore.locked() ? "s+" : "s";
    }
    if (code == 6 || code == 7) {
      const auto put = [item](auto& q) -> rondo::coro<> { return q.put(item); };
      co_await queue.with(put);
      co_return "P";
    }
    if (code == 8 || code == 9) {
      const int got = co_await queue.with([](auto& q) -> rondo::coro<int> { return q.get(); });
      co_return "G" + std::to_string(got);
    }
    if (code == 10) {
      if (queue.with([](auto& q) { return q.full(); })) co_return "f";
      queue.with([item](auto& q) { q.put_nowait(item); });
      co_return "p";
    }
    if (code == 11) {
      if (queue.with([](auto& q) { return q.empty(); })) co_return "e";
      co_return "g" + std::to_string(queue.with([](auto& q) { return q.get_nowait(); }));
    }
    if (code == 12) {
      co_await event.wait();
      co_return "E";
    }
    if (code == 13) {
      event.set();
      if (argument < 6) event.clear();
      co_return "v";
    }
    if ((code == 14 || code == 15) && cancels) {
      const int whom = argument % workers;
      if (whom != who) tasks[static_cast<std::size_t>(whom)].cancel();
      co_return "c" + std::to_string(whom);
    }
    if (code == 16 && !cancels) {
      const std::size_t index = co_await barrier.wait();
      co_return "B" + std::to_string(index);
    }
    if (code == 17 && !cancels) {
      const auto guard = co_await condition.scoped();
      if (argument < 4) {
        co_await condition.wait();
        co_return "N";
      }
      condition.notify(static_cast<std::size_t>(argument - 4));
      co_return "n";
    }
    co_await rondo::yield_now();
    co_return "y";
  }

  rondo::coro<> worker(int who) {
    const auto& program = programs[static_cast<std::size_t>(who)];
    for (const auto& [code, argument] : program) {
      std::string outcome = "X";
      try {
        outcome = co_await operation(who, code, argument);
      } catch (const rondo::cancelled_error&) {
      }
      word(std::to_string(who) + outcome);
    }
    word(std::to_string(who) + ".");
  }

  rondo::coro<> main() {
    for (int who = 0; who < workers; ++who) tasks.push_back(rondo::create_task(worker(who)));
    for (int i = 0; i < 20; ++i) {
      co_await rondo::yield_now();
      word("|");
    }
    word(std::to_string(lock.locked()) + std::to_string(semaphore.locked()) +
         std::to_string(queue.with([](auto& q) { return q.qsize(); })));
    // Cancelled conditions and barriers behave in another way on Python 3.11.
    const std::string happened = words;
    for (int i = 0; i < 60; ++i) {
      for (const auto& task : tasks) task.cancel();
      co_await rondo::yield_now();
    }
    if (!cancels) words = happened;
  }
};

TEST_CASE(
    "random scripts do here what they do on asyncio",
    "[rule-132][rule-133][rule-134][rule-136][rule-138][rule-141][rule-142][rule-144][rule-149]"
    "[rule-150][rule-151]") {
  constexpr std::uint32_t first = 1;
  constexpr int count = 3000;
  const std::string command = "python3 -B '" RONDO_TEST_FOLDER "/random_scripts.py' " +
                              std::to_string(first) + " " + std::to_string(count);
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> python(popen(command.c_str(), "r"),
                                                               &pclose);
  REQUIRE(python != nullptr);
  std::vector<char> line(1 << 16);
  int same = 0;
  for (std::uint32_t seed = first; seed < first + count; ++seed) {
    REQUIRE(std::fgets(line.data(), static_cast<int>(line.size()), python.get()) != nullptr);
    std::string expected = line.data();
    expected.pop_back();
    script here(seed);
    rondo::run(here.main());
    if (here.words == expected) {
      ++same;
      continue;
    }
    CAPTURE(seed);
    CHECK(here.words == expected);
  }
  CHECK(same == count);
}

}  // namespace
