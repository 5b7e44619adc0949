// SPDX-License-Identifier: MIT
// rondo tests: what primitives promise, in the simplest terms: nothing is lost, nothing is doubled,
// nobody overtakes.
#pragma once

#include <algorithm>
#include <cstddef>
#include <deque>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace rondo_test {

/// Collects what went wrong; an empty text is good news.
class verdict {
 public:
  void expect(bool good, const char* what) {
    if (!good && text_.empty()) text_ = what;
  }
  [[nodiscard]] const std::string& text() const noexcept { return text_; }

 private:
  std::string text_;
};

/// `any`: those who got an item may tell so in any order.
enum class item_order { fifo, lifo, smallest, any };

/// The items of a queue.
class queue_model {
 public:
  queue_model(item_order order, std::size_t limit) : order_(order), limit_(limit) {}

  void put(int item) {
    verdict_.expect(!shut_, "put into a queue that is shut down");
    verdict_.expect(items_.size() < limit_, "put into a full queue");
    items_.push_back(item);
    ++unfinished_;
  }
  void got(int item) {
    verdict_.expect(!items_.empty(), "got an item out of an empty queue");
    if (items_.empty()) return;
    const auto next = find_next(item);
    const bool found = next != items_.end() && *next == item;
    verdict_.expect(found, "got another item than the next one");
    if (found) items_.erase(next);
  }
  void shut_down(bool immediate) {
    shut_ = true;
    if (!immediate) return;
    unfinished_ -= std::min(items_.size(), unfinished_);
    items_.clear();
  }
  bool done() {
    if (unfinished_ == 0) return false;
    --unfinished_;
    return true;
  }

  [[nodiscard]] bool empty() const { return items_.empty(); }
  [[nodiscard]] bool full() const { return items_.size() >= limit_; }
  [[nodiscard]] bool shut() const { return shut_; }
  [[nodiscard]] std::size_t size() const { return items_.size(); }
  [[nodiscard]] std::size_t unfinished() const { return unfinished_; }
  [[nodiscard]] verdict& judge() { return verdict_; }

 private:
  [[nodiscard]] std::deque<int>::iterator find_next(int item) {
    switch (order_) {
      case item_order::fifo:
        return items_.begin();
      case item_order::lifo:
        return items_.end() - 1;
      case item_order::smallest:
        return std::min_element(items_.begin(), items_.end());
      default:
        return std::find(items_.begin(), items_.end(), item);
    }
  }

  item_order order_;
  std::size_t limit_;
  std::deque<int> items_;
  std::size_t unfinished_ = 0;
  bool shut_ = false;
  verdict verdict_;
};

/// Permits, and whether whoever has one knows so in the order of the requests.
class permit_model {
 public:
  explicit permit_model(std::size_t free, bool ordered = true) : free_(free), ordered_(ordered) {}

  /// A request; its number says when it came.
  std::size_t asks() { return ++requests_; }
  void gets(std::size_t request) {
    verdict_.expect(free_ > 0, "more permits were given than there are");
    verdict_.expect(!ordered_ || request > last_, "somebody overtook");
    last_ = request;
    --free_;
    ++held_;
  }
  void gives_back() {
    ++free_;
    --held_;
  }
  void adds() { ++free_; }

  [[nodiscard]] std::size_t free() const { return free_; }
  [[nodiscard]] std::size_t held() const { return held_; }
  [[nodiscard]] verdict& judge() { return verdict_; }

 private:
  std::size_t free_;
  bool ordered_;
  std::size_t held_ = 0;
  std::size_t requests_ = 0;
  std::size_t last_ = 0;
  verdict verdict_;
};

/// The tasks that wait for a notification, in order, and who of them is entitled to wake.
class notification_model {
 public:
  /// `live` says whether it still wants one.
  void waits(int who, std::function<bool()> live) { waiting_.push_back({who, std::move(live)}); }
  void notify(std::size_t n) {
    for (auto each = waiting_.begin(); n > 0 && each != waiting_.end();) {
      if (!each->live()) {
        ++each;
        continue;
      }
      entitled_.push_back(std::move(*each));
      each = waiting_.erase(each);
      --n;
    }
  }
  /// Somebody woke with a notification.
  void wakes(int who) { verdict_.expect(remove(entitled_, who), "woke without a notification"); }
  /// Somebody gave up; a notification that it had goes to the next one.
  void leaves(int who) {
    if (remove(entitled_, who)) {
      notify(1);
    } else {
      verdict_.expect(remove(waiting_, who), "left twice");
    }
  }
  [[nodiscard]] std::size_t entitled() const { return entitled_.size(); }
  [[nodiscard]] std::size_t waiting() const { return waiting_.size(); }
  [[nodiscard]] verdict& judge() { return verdict_; }

 private:
  struct waiter {
    int who;
    std::function<bool()> live;
  };
  static bool remove(std::vector<waiter>& from, int who) {
    const auto found = std::find_if(from.begin(), from.end(),
                                    [who](const waiter& each) { return each.who == who; });
    if (found == from.end()) return false;
    from.erase(found);
    return true;
  }

  std::vector<waiter> waiting_;
  std::vector<waiter> entitled_;
  verdict verdict_;
};

}  // namespace rondo_test
