// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Testing: a loop whose time and whose order of events come from a
// seed.
#include <rondo/testing.hpp>

#include "backend/simulated/simulated_backend.hpp"

#include <memory>
#include <stdexcept>
#include <utility>

namespace rondo {
inline namespace v0 {
namespace testing {

deadlock_error::~deadlock_error() = default;

virtual_loop::virtual_loop(virtual_options options)
    : virtual_loop(std::make_unique<detail::simulated_backend>(options)) {}
virtual_loop::virtual_loop(std::uint64_t seed) : virtual_loop(virtual_options{.seed = seed}) {}
virtual_loop::virtual_loop(std::unique_ptr<detail::simulated_backend> io)
    : event_loop(std::move(io)), io_(static_cast<detail::simulated_backend*>(core().io)) {}
virtual_loop::~virtual_loop() = default;

time_point virtual_loop::time() const noexcept { return io_->now(); }

void virtual_loop::advance(interval by) {
  if (by < interval()) throw std::invalid_argument("time does not go backwards");
  io_->advance(by);
}

std::uint64_t virtual_loop::seed() const noexcept { return io_->seed(); }
std::uint64_t virtual_loop::random() noexcept { return io_->random(); }
std::uint64_t virtual_loop::trace_hash() const noexcept { return io_->trace_hash(); }

}  // namespace testing
}  // namespace v0
}  // namespace rondo
