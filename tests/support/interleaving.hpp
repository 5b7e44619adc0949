// SPDX-License-Identifier: MIT
// rondo tests: runs a few threads in every order of their steps.
#pragma once

#include <atomic>
#include <cstddef>
#include <functional>
#include <memory>
#include <semaphore>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace rondo_test::interleaving {

class scheduler;

/// The scheduler of the run that this thread is an actor of; null outside.
inline thread_local scheduler* current = nullptr;

/// Takes actors through one order of their steps after another: depth first, with at most so many
/// preemptions in a run.
///
/// Only one actor runs at a time, from one access of a `model_atomic` to the next. Switching away
/// from an actor that could go on is a preemption. An actor that waits for something is not
/// switched to until another one has made a step. What is explored is sequentially consistent; the
/// thread sanitizer sees to the rest.
class scheduler {
 public:
  explicit scheduler(int most_preemptions) : bound_(most_preemptions) {}

  /// Runs `make()`'s actors, `check`s the end state, and goes on to the next order until there is
  /// none. `make` builds the state anew and returns the actors; returns the number of runs.
  std::size_t explore(const std::function<std::vector<std::function<void()>>()>& make,
                      const std::function<void()>& check) {
    std::size_t runs = 0;
    do {
      run(make());
      ++runs;
      if (!failure_.empty()) throw std::runtime_error(failure_ + " in run " + std::to_string(runs));
      check();
    } while (next_order());
    return runs;
  }

  // For actors.

  /// Before each access of shared state.
  void step() {
    if (!failure_.empty()) return;  // what is left runs to its end
    yield_to(choose(true));
    for (auto& each : actors_) each->stuck = false;
  }

  /// Until `ready` holds; other actors must make it so.
  template <class Ready>
  void wait_until(Ready&& ready) {
    while (!ready()) pause();
  }

  /// This actor can do nothing until another one has made a step.
  void pause() {
    if (failure_.empty()) {
      actors_[running_]->stuck = true;
      yield_to(choose(false));
    }
    if (!failure_.empty()) throw abandoned();
  }

 private:
  struct actor {
    std::function<void()> body;
    std::binary_semaphore turn{0};
    std::thread thread;
    bool finished = false;
    bool stuck = false;
  };
  struct choice {
    std::vector<std::size_t> options;  // the first is to go on, where that is possible
    std::size_t taken = 0;
    bool costs = false;  // any but the first is a preemption
    int used = 0;        // preemptions before
  };
  struct abandoned {};

  void run(std::vector<std::function<void()>> bodies) {
    actors_.clear();
    position_ = 0;
    preemptions_ = 0;
    for (auto& body : bodies) {
      actors_.push_back(std::make_unique<actor>());
      actors_.back()->body = std::move(body);
    }
    for (std::size_t i = 0; i < actors_.size(); ++i) {
      actors_[i]->thread = std::thread([this, i] {
        current = this;
        actors_[i]->turn.acquire();
        try {
          if (failure_.empty()) actors_[i]->body();
        } catch (const abandoned&) {
        }
        actors_[i]->finished = true;
        current = nullptr;
        leave();
      });
    }
    running_ = 0;
    running_ = choose(false);
    actors_[running_]->turn.release();
    done_.acquire();
    for (auto& each : actors_) each->thread.join();
  }

  // An actor has ended: another one goes on, or the run is over.
  void leave() {
    for (auto& each : actors_) each->stuck = false;
    bool left = false;
    for (const auto& each : actors_) left = left || !each->finished;
    if (!left) {
      done_.release();
      return;
    }
    if (failure_.empty()) running_ = choose(false);
    if (failure_.empty()) {
      actors_[running_]->turn.release();
    } else {
      release_next();
    }
  }

  // A failed run: the actors leave one after the other.
  void release_next() {
    for (std::size_t i = 0; i < actors_.size(); ++i) {
      if (!actors_[i]->finished) {
        running_ = i;
        actors_[i]->turn.release();
        return;
      }
    }
  }

  void yield_to(std::size_t next) {
    const std::size_t mine = running_;
    if (next == mine) return;
    running_ = next;
    actors_[next]->turn.release();
    actors_[mine]->turn.acquire();
  }

  // Who runs next. `goes_on`: the running actor has made a step and could make another.
  std::size_t choose(bool goes_on) {
    choice here;
    here.costs = goes_on;
    here.used = preemptions_;
    if (goes_on) here.options.push_back(running_);
    if (!goes_on || preemptions_ < bound_) {
      for (std::size_t i = 0; i < actors_.size(); ++i) {
        if ((goes_on && i == running_) || actors_[i]->finished || actors_[i]->stuck) continue;
        here.options.push_back(i);
      }
    }
    if (here.options.empty()) {
      failure_ = "everybody waits";
      return running_;
    }
    if (position_ == path_.size()) path_.push_back(here);
    choice& taken = path_[position_++];
    if (taken.options != here.options) throw std::logic_error("the actors are not deterministic");
    if (taken.costs && taken.taken > 0) ++preemptions_;
    return taken.options[taken.taken];
  }

  bool next_order() {
    while (!path_.empty()) {
      choice& last = path_.back();
      if (last.taken + 1 < last.options.size()) {
        ++last.taken;
        return true;
      }
      path_.pop_back();
    }
    return false;
  }

  int bound_;
  int preemptions_ = 0;
  std::vector<std::unique_ptr<actor>> actors_;
  std::size_t running_ = 0;
  std::vector<choice> path_;
  std::size_t position_ = 0;
  std::string failure_;
  std::binary_semaphore done_{0};
};

/// An atomic whose every access is a step.
template <class T>
class model_atomic {
 public:
  explicit model_atomic(T value) : value_(value) {}

  T load(std::memory_order = std::memory_order_seq_cst) const {
    step();
    return value_.load();
  }
  T exchange(T value, std::memory_order = std::memory_order_seq_cst) {
    step();
    return value_.exchange(value);
  }
  T fetch_add(T value, std::memory_order = std::memory_order_seq_cst) {
    step();
    return value_.fetch_add(value);
  }
  T fetch_sub(T value, std::memory_order = std::memory_order_seq_cst) {
    step();
    return value_.fetch_sub(value);
  }
  bool compare_exchange_weak(T& expected, T value, std::memory_order, std::memory_order) {
    step();
    return value_.compare_exchange_strong(expected, value);
  }
  bool compare_exchange_strong(T& expected, T value, std::memory_order, std::memory_order) {
    step();
    return value_.compare_exchange_strong(expected, value);
  }

 private:
  static void step() {
    if (current != nullptr) current->step();
  }
  std::atomic<T> value_;
};

struct primitives {
  template <class T>
  using atomic = model_atomic<T>;
  static void pause() {
    if (current != nullptr) current->pause();
  }
};

}  // namespace rondo_test::interleaving
