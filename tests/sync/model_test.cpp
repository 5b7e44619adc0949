// SPDX-License-Identifier: MIT
// rondo tests: random scripts of operations, cancellations and timeouts against simple models.
#include <rondo/rondo.hpp>
#include <rondo/testing.hpp>

#include "support/catch.hpp"
#include "support/reference_model.hpp"
#include "sync/sync_support.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace {

using namespace rondo_test;
using namespace std::chrono_literals;

/// The tasks of one random script, on a virtual loop that goes on only when the script says so.
class script {
 public:
  explicit script(rondo::testing::virtual_options options)
      : ordered_(!options.shuffle), loop_(options) {}
  script(const script&) = delete;
  script& operator=(const script&) = delete;
  ~script() { loop_.close(); }

  unsigned pick(unsigned n) { return static_cast<unsigned>(loop_.random() % n); }
  /// Whether tasks run in the order in which they were woken.
  [[nodiscard]] bool ordered() const noexcept { return ordered_; }

  /// Runs `body()` as a task, every third time with a timeout.
  template <class Body>
  rondo::task<> start(Body body) {
    std::optional<rondo::interval> limit;
    if (pick(3) == 0) limit = std::chrono::milliseconds(1 + pick(4));
    tasks_.push_back(loop_.create_task(attempt_quietly(std::move(body), limit)));
    return tasks_.back();
  }
  /// Something that happens to those who wait. Requests that are withdrawn at once can be left out.
  void disturb(bool withdraw = true) {
    switch (pick(6)) {
      case 0:
      case 1:
        if (!tasks_.empty()) tasks_[pick(static_cast<unsigned>(tasks_.size()))].cancel();
        break;
      case 2:
        loop_.advance(std::chrono::milliseconds(pick(3)));
        break;
      case 3:
        if (withdraw && !tasks_.empty()) {
          const auto& task = tasks_[pick(static_cast<unsigned>(tasks_.size()))];
          if (task.cancelling() == 0) {
            task.cancel();
            task.uncancel();
          }
        }
        break;
      default:
        step();
    }
  }
  void step() { loop_.run_once(); }
  /// Runs until nothing is ready; time stands still.
  void settle() {
    while (loop_.run_once() > 0) {
    }
  }
  /// Whether every task has ended.
  [[nodiscard]] bool over() const { return loop_.core().task_count == 0; }
  [[nodiscard]] std::size_t pending() const {
    return static_cast<std::size_t>(
        std::count_if(tasks_.begin(), tasks_.end(), [](const auto& task) { return !task.done(); }));
  }
  void end() {
    for (const auto& task : tasks_) task.cancel();
    settle();
    for (const auto& task : tasks_) task.cancel();
    settle();
  }

 private:
  template <class Body>
  static rondo::coro<> attempt_quietly(Body body, std::optional<rondo::interval> limit) {
    try {
      if (limit) {
        co_await rondo::wait_for(body(), limit);
      } else {
        co_await body();
      }
    } catch (const rondo::cancelled_error&) {
    } catch (const std::exception&) {
    }
  }

  bool ordered_;
  rondo::testing::virtual_loop loop_;
  std::vector<rondo::task<>> tasks_;
};

constexpr unsigned first_seed = 20251;

/// Runs `one(script&)`, which says what was wrong, for so many seeds: half of them in asyncio's
/// order, half of them shuffled.
template <class One>
void run_scripts(unsigned how_many, One one) {
  for (unsigned seed = first_seed; seed < first_seed + how_many; ++seed) {
    script steps({.seed = seed, .shuffle = seed % 2 == 0});
    std::string wrong = one(steps);
    if (wrong.empty() && !steps.over()) wrong = "a task never ended";
    if (!wrong.empty()) {
      CAPTURE(seed);
      FAIL(wrong);
    }
  }
  SUCCEED("scripts that went well: " << how_many);
}

// ---- queues ------------------------------------------------------------------------------------

template <class Queue>
std::string queue_script(script& s, item_order order) {
  const auto limit = static_cast<std::ptrdiff_t>(s.pick(4));
  Queue queue(limit);
  queue_model model(s.ordered() ? order : item_order::any,
                    limit == 0 ? 1'000'000 : static_cast<std::size_t>(limit));
  std::vector<rondo::task<>> getters;
  std::vector<rondo::task<>> putters;
  std::vector<rondo::task<>> joiners;
  int next = 0;
  const auto get = [&]() -> rondo::coro<> {
    const int item = co_await queue.get();
    model.got(item);
  };
  const auto put = [&](int item) -> rondo::coro<> {
    co_await queue.put(item);
    model.put(item);
  };
  const auto join = [&]() -> rondo::coro<> { co_await queue.join(); };
  const auto new_item = [&] {
    return order == item_order::fifo ? next++ : static_cast<int>(s.pick(9));
  };
  const unsigned length = 10 + s.pick(50);
  for (unsigned i = 0; i < length; ++i) {
    switch (s.pick(12)) {
      case 0:
      case 1:
        getters.push_back(s.start(get));
        break;
      case 2:
      case 3: {
        const int item = new_item();
        putters.push_back(s.start([&put, item] { return put(item); }));
        break;
      }
      case 4:
        if (!queue.full() && !model.shut()) {
          const int item = new_item();
          queue.put_nowait(item);
          model.put(item);
        }
        break;
      case 5:
        if (!queue.empty()) model.got(queue.get_nowait());
        break;
      case 6:
        if (model.done()) queue.task_done();
        break;
      case 7:
        if (s.pick(4) == 0) joiners.push_back(s.start(join));
        break;
      case 8:
        if (s.pick(20) == 0) {
          const bool immediate = s.pick(2) == 0;
          queue.shutdown(immediate);
          model.shut_down(immediate);
        }
        break;
      default:
        s.disturb();
    }
    model.judge().expect(queue.qsize() == model.size(), "another number of items than there are");
  }
  s.settle();
  const auto waiting = [](const std::vector<rondo::task<>>& tasks) {
    return std::any_of(tasks.begin(), tasks.end(), [](const auto& task) { return !task.done(); });
  };
  verdict& judge = model.judge();
  judge.expect(model.empty() || !waiting(getters), "a getter missed an item");
  judge.expect(model.full() || !waiting(putters), "a putter missed its room");
  judge.expect(!model.shut() || (!waiting(getters) && !waiting(putters)),
               "waits after the shutdown");
  judge.expect((model.unfinished() == 0) ? !waiting(joiners) : true, "a join missed the end");
  s.end();
  while (!queue.empty()) model.got(queue.get_nowait());
  judge.expect(model.empty(), "an item was lost");
  while (model.done()) queue.task_done();
  judge.expect(failure_of([&] { queue.task_done(); }) == "invalid_argument",
               "more work than items");
  return judge.text();
}

TEST_CASE("queues against the model [rule-149][rule-150][rule-152][rule-153][fault-D5][fault-H8]") {
  run_scripts(3000, [](script& s) { return queue_script<rondo::queue<int>>(s, item_order::fifo); });
}
TEST_CASE("lifo queues against the model [rule-151][fault-D5]") {
  run_scripts(1000,
              [](script& s) { return queue_script<rondo::lifo_queue<int>>(s, item_order::lifo); });
}
TEST_CASE("priority queues against the model [rule-151][fault-D5]") {
  run_scripts(1000, [](script& s) {
    return queue_script<rondo::priority_queue<int>>(s, item_order::smallest);
  });
}

// ---- locks, semaphores, limiters ---------------------------------------------------------------

/// `acquire(r)` is a coroutine that asks, waits, and tells the model; `release()` gives one permit
/// back.
template <class Acquire, class Release, class Free>
std::string permit_script(script& s, permit_model& model, bool may_add, Acquire acquire,
                          Release release, Free free) {
  const unsigned length = 10 + s.pick(50);
  for (unsigned i = 0; i < length; ++i) {
    switch (s.pick(6)) {
      case 0:
      case 1:
        s.start(acquire);
        break;
      case 2:
        if (model.held() > 0) {
          release();
          model.gives_back();
        } else if (may_add && s.pick(4) == 0) {
          release();
          model.adds();
        }
        break;
      default:
        s.disturb();
    }
  }
  s.settle();
  verdict& judge = model.judge();
  judge.expect(model.free() == 0 || s.pending() == 0, "somebody waits for a permit that is free");
  s.end();
  while (model.held() > 0) {
    release();
    model.gives_back();
  }
  judge.expect(free() == model.free(), "a permit was lost or doubled");
  return judge.text();
}

TEST_CASE("locks against the model [rule-133][rule-134][fault-D5]") {
  run_scripts(1500, [](script& s) {
    rondo::lock lock;
    permit_model model(1, s.ordered());
    const auto acquire = [&]() -> rondo::coro<> {
      const std::size_t request = model.asks();
      co_await lock.acquire();
      model.gets(request);
    };
    return permit_script(
        s, model, false, acquire, [&] { lock.release(); },
        [&] { return lock.acquire().await_ready() ? 1U : 0U; });
  });
}

TEST_CASE("semaphores against the model [rule-141][rule-142][fault-D5]") {
  run_scripts(1500, [](script& s) {
    const unsigned places = s.pick(4);
    rondo::semaphore semaphore(places);
    permit_model model(places, s.ordered());
    const auto acquire = [&]() -> rondo::coro<> {
      const std::size_t request = model.asks();
      co_await semaphore.acquire();
      model.gets(request);
    };
    const auto free = [&] {
      std::size_t count = 0;
      while (semaphore.acquire().await_ready()) ++count;
      return count;
    };
    return permit_script(
        s, model, true, acquire, [&] { semaphore.release(); }, free);
  });
}

TEST_CASE("capacity limiters against the model [fault-D5]") {
  run_scripts(1000, [](script& s) {
    const unsigned places = 1 + s.pick(3);
    rondo::capacity_limiter limiter(places);
    // A token is taken when it is reserved, so a newcomer may run before the one who has the other
    // token.
    permit_model model(places, false);
    // Borrowers are numbers; the addresses are those of the elements.
    std::vector<char> borrowers(4096);
    std::vector<const void*> holders;
    const auto acquire = [&]() -> rondo::coro<> {
      const std::size_t request = model.asks();
      const void* const borrower = &borrowers[request];
      co_await limiter.acquire_on_behalf_of(borrower);
      model.gets(request);
      holders.push_back(borrower);
    };
    const auto release = [&] {
      const auto which = holders.begin() +
                         static_cast<std::ptrdiff_t>(s.pick(static_cast<unsigned>(holders.size())));
      limiter.release_on_behalf_of(*which);
      holders.erase(which);
    };
    return permit_script(s, model, false, acquire, release,
                         [&] { return static_cast<std::size_t>(limiter.available_tokens()); });
  });
}

// ---- events ------------------------------------------------------------------------------------

TEST_CASE("events against the model [rule-136][fault-D5]") {
  run_scripts(1000, [](script& s) {
    rondo::event event;
    verdict judge;
    unsigned sets = 0;
    const auto wait = [&]() -> rondo::coro<> {
      const bool set = event.is_set();
      const unsigned before = sets;
      co_await event.wait();
      judge.expect(set || sets > before, "woke without a set");
    };
    std::vector<std::pair<rondo::task<>, unsigned>> waiters;
    const unsigned length = 10 + s.pick(40);
    for (unsigned i = 0; i < length; ++i) {
      switch (s.pick(7)) {
        case 0:
        case 1:
          waiters.emplace_back(s.start(wait), 0);
          s.step();
          waiters.back().second = sets;
          break;
        case 2:
          if (!event.is_set()) ++sets;
          event.set();
          break;
        case 3:
          event.clear();
          break;
        default:
          s.disturb();
      }
    }
    s.settle();
    for (const auto& [task, began] : waiters) {
      judge.expect(task.done() || (!event.is_set() && began == sets), "somebody missed a set");
    }
    s.end();
    return judge.text();
  });
}

// ---- conditions --------------------------------------------------------------------------------

TEST_CASE("conditions against the model [rule-137][rule-138][rule-139][fault-H11]") {
  run_scripts(1500, [](script& s) {
    rondo::condition condition;
    notification_model model;
    verdict& judge = model.judge();
    int next = 0;
    bool inside = false;
    const auto wait = [&]() -> rondo::coro<> {
      const int me = next++;
      const auto guard = co_await condition.scoped();
      judge.expect(!inside, "two tasks hold the lock");
      const rondo::any_task task = rondo::current_task();
      model.waits(me, [task] { return task.cancelling() == 0; });
      try {
        co_await condition.wait();
        model.wakes(me);
      } catch (const rondo::cancelled_error&) {
        model.leaves(me);
        judge.expect(condition.locked(), "without the lock after the wait");
        throw;
      }
      judge.expect(condition.locked() && !inside, "without the lock after the wait");
    };
    const auto notify = [&](std::size_t n) -> rondo::coro<> {
      const auto guard = co_await condition.scoped();
      inside = true;
      struct leave {
        bool* flag;
        ~leave() { *flag = false; }
      };
      const leave at_end{&inside};
      condition.notify(n);
      model.notify(n);
      // Sometimes the woken ones have to wait for the lock.
      if (n == 2) co_await rondo::yield_now();
    };
    const unsigned length = 10 + s.pick(50);
    for (unsigned i = 0; i < length; ++i) {
      switch (s.pick(6)) {
        case 0:
        case 1:
          s.start(wait);
          break;
        case 2: {
          const unsigned n = s.pick(4);
          s.start([&notify, n] { return notify(n); });
          break;
        }
        default:
          s.disturb(false);
      }
    }
    s.settle();
    judge.expect(model.entitled() == 0, "a notification was lost");
    judge.expect(s.pending() == model.waiting(), "somebody waits for something else");
    s.end();
    judge.expect(!condition.locked(), "the lock was never released");
    return judge.text();
  });
}

// ---- barriers ----------------------------------------------------------------------------------

TEST_CASE("barriers against the model [rule-144][rule-145][rule-146][fault-H12]") {
  run_scripts(1500, [](script& s) {
    const unsigned parties = 1 + s.pick(4);
    rondo::barrier barrier(parties);
    verdict judge;
    std::vector<bool> passed(parties);
    const auto wait = [&]() -> rondo::coro<> {
      const std::size_t index = co_await barrier.wait();
      // The last to arrive is the first to pass.
      if (index == parties - 1) passed.assign(parties, false);
      judge.expect(index < parties && !passed[index], "an index was given twice");
      passed[index] = true;
    };
    const auto abort = [&]() -> rondo::coro<> { co_await barrier.abort(); };
    const auto reset = [&]() -> rondo::coro<> { co_await barrier.reset(); };
    std::vector<rondo::task<>> waiters;
    const unsigned length = 10 + s.pick(50);
    for (unsigned i = 0; i < length; ++i) {
      switch (s.pick(8)) {
        case 0:
        case 1:
        case 2:
          waiters.push_back(s.start(wait));
          break;
        case 3:
          if (s.pick(8) == 0) s.start(abort);
          if (s.pick(4) == 0) s.start(reset);
          break;
        default:
          s.disturb();
      }
    }
    s.settle();
    const auto waiting = static_cast<std::size_t>(std::count_if(
        waiters.begin(), waiters.end(), [](const auto& task) { return !task.done(); }));
    judge.expect(waiting == barrier.n_waiting(), "somebody waits who is not counted");
    judge.expect(waiting < parties, "enough are there, and wait");
    s.end();
    judge.expect(barrier.n_waiting() == 0, "somebody is counted who left");
    return judge.text();
  });
}

// ---- channels ----------------------------------------------------------------------------------

TEST_CASE("memory channels against the model [fault-D5]") {
  run_scripts(2000, [](script& s) {
    const unsigned limit = s.pick(3);
    rondo::memory_channel<int> channel(limit);
    verdict judge;
    int next = 0;
    std::vector<int> sent;
    std::vector<int> received;
    std::vector<rondo::task<>> senders;
    std::vector<rondo::task<>> receivers;
    const auto send = [&]() -> rondo::coro<> {
      const int item = next++;
      co_await channel.sender.send(item);
      sent.push_back(item);
    };
    const auto receive = [&]() -> rondo::coro<> {
      const int item = co_await channel.receiver.receive();
      received.push_back(item);
    };
    const unsigned length = 10 + s.pick(50);
    for (unsigned i = 0; i < length; ++i) {
      switch (s.pick(9)) {
        case 0:
        case 1:
          senders.push_back(s.start(send));
          break;
        case 2:
        case 3:
          receivers.push_back(s.start(receive));
          break;
        case 4:
          try {
            channel.sender.send_nowait(next);
            sent.push_back(next++);
          } catch (const rondo::would_block&) {
          }
          break;
        case 5:
          try {
            received.push_back(channel.receiver.receive_nowait());
          } catch (const rondo::would_block&) {
          }
          break;
        default:
          s.disturb();
      }
    }
    s.settle();
    const auto waiting = [](const std::vector<rondo::task<>>& tasks) {
      return std::any_of(tasks.begin(), tasks.end(), [](const auto& task) { return !task.done(); });
    };
    const auto before = channel.sender.statistics();
    judge.expect(before.current_buffer_used == 0 || !waiting(receivers),
                 "a receiver missed an item");
    judge.expect(!waiting(senders) || !waiting(receivers),
                 "a sender and a receiver missed each other");
    judge.expect(!waiting(senders) || before.current_buffer_used >= limit,
                 "a sender missed its room");
    s.end();
    const auto after = channel.sender.statistics();
    judge.expect(after.tasks_waiting_send + after.tasks_waiting_receive == 0,
                 "somebody still waits");
    for (std::size_t left = after.current_buffer_used; left > 0; --left) {
      received.push_back(channel.receiver.receive_nowait());
    }
    judge.expect(!s.ordered() || std::is_sorted(received.begin(), received.end()),
                 "an item overtook another one");
    std::sort(received.begin(), received.end());
    std::sort(sent.begin(), sent.end());
    judge.expect(sent == received,
                 "an item was lost, doubled or sent by a task that was cancelled");
    return judge.text();
  });
}

}  // namespace
