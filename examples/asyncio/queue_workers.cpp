// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Three workers share the work of a queue: asyncio's page on queues,
// with a fixed amount of work. Python: queue_workers.py
#include <rondo/rondo.hpp>

#include <chrono>
#include <cstdio>
#include <string>
#include <vector>

using seconds = std::chrono::duration<double>;

static rondo::coro<> worker(std::string name, rondo::queue<seconds>& queue) {
  for (;;) {
    // Get a "work item" out of the queue.
    const seconds sleep_for = co_await queue.get();
    // Sleep for that many seconds.
    co_await rondo::sleep(sleep_for);
    // Tell the queue that the "work item" has been processed.
    queue.task_done();
    std::printf("%s has slept for %.2f seconds\n", name.c_str(), sleep_for.count());
  }
}

static rondo::coro<> amain() {
  // Create a queue that we will use to store our "workload".
  rondo::queue<seconds> queue;
  seconds total_sleep_time(0);
  for (const double sleep_for : {0.1, 0.2, 0.3, 0.3, 0.3, 0.3}) {
    total_sleep_time += seconds(sleep_for);
    queue.put_nowait(seconds(sleep_for));
  }

  // Create three worker tasks to process the queue concurrently.
  std::vector<rondo::task<>> tasks;
  for (int i = 0; i < 3; ++i) {
    const std::string name = "worker-" + std::to_string(i);
    tasks.push_back(rondo::create_task(worker(name, queue), {.name = name}));
  }

  // Wait until the queue is fully processed.
  const auto started_at = rondo::clock::now();
  co_await queue.join();
  const seconds total_slept_for = rondo::clock::now() - started_at;

  // Cancel our worker tasks, and wait until all are cancelled.
  for (const auto& task : tasks) task.cancel();
  for (const auto& task : tasks) {
    try {
      co_await task;
    } catch (const rondo::cancelled_error&) {
      std::printf("%s\n", task.cancelled() ? (task.name() + " is cancelled").c_str() : "?");
    }
  }

  std::puts("====");
  std::printf("3 workers slept in parallel: %s\n",
              total_slept_for < total_sleep_time ? "True" : "False");
  std::printf("total expected sleep time: %.2f seconds\n", total_sleep_time.count());
}

int main() { rondo::run(amain()); }
