// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  The backend of a virtual loop: its clock, and the order of what is
// ready.
#pragma once

#include <rondo/interval.hpp>
#include <rondo/testing.hpp>

#include "backend/selector/selector_backend.hpp"
#include "backend/simulated/random.hpp"
#include "loop/loop_internals.hpp"

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace rondo {
inline namespace v0 {
namespace detail {

/// A selector backend that never waits while a deadline can be reached by moving the clock.
class simulated_backend final : public selector_backend, private batch_arranger {
 public:
  explicit simulated_backend(const testing::virtual_options& options);
  ~simulated_backend() override;

  [[nodiscard]] std::string_view name() const noexcept override;
  void attach(event_loop& loop) override;
  void poll(std::optional<interval> wait) override;
  [[nodiscard]] int descriptor() const noexcept override;

  [[nodiscard]] time_point now() const noexcept { return now_; }
  void advance(interval by) noexcept { now_ = add_saturated(now_, by); }
  [[nodiscard]] std::uint64_t seed() const noexcept { return options_.seed; }
  [[nodiscard]] std::uint64_t random() noexcept { return for_tests_.next(); }
  [[nodiscard]] std::uint64_t trace_hash() const noexcept { return trace_.hash(); }

 private:
  void arrange(ready_queue& batch) override;
  void shuffle();
  [[nodiscard]] bool waits_for_threads() const noexcept;
  [[noreturn]] void report_deadlock() const;

  testing::virtual_options options_;
  event_loop* owner_ = nullptr;
  time_point now_{};
  seeded_random order_;
  seeded_random for_tests_;
  trace trace_;
  std::vector<ready_node*> batch_;    // the nodes, kept for its memory
  std::vector<ready_node*> movable_;  // those that may run in any order
};

}  // namespace detail
}  // namespace v0
}  // namespace rondo
