// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Policies, for programs that are ported as they stand: legacy.
#pragma once

#include <rondo/detail/export.hpp>
#include <rondo/event_loop.hpp>

#include <memory>

namespace rondo {
inline namespace v0 {

/// Who makes loops and remembers the current one. Legacy: asyncio removes policies in 3.16; give
/// `run` a `loop_factory` instead.
///
/// @par asyncio
/// `asyncio.AbstractEventLoopPolicy`
class RONDO_EXPORT event_loop_policy {
 public:
  event_loop_policy() = default;
  event_loop_policy(const event_loop_policy&) = delete;
  event_loop_policy& operator=(const event_loop_policy&) = delete;
  virtual ~event_loop_policy();

  virtual event_loop* get_event_loop() = 0;
  virtual void set_event_loop(event_loop* loop) = 0;
  virtual std::unique_ptr<event_loop> new_event_loop() = 0;
};

/// What the free functions do.
class RONDO_EXPORT default_event_loop_policy : public event_loop_policy {
 public:
  ~default_event_loop_policy() override;
  event_loop* get_event_loop() override;
  void set_event_loop(event_loop* loop) override;
  std::unique_ptr<event_loop> new_event_loop() override;
};

[[nodiscard]] RONDO_EXPORT event_loop_policy& get_event_loop_policy();
/// Replaces the policy of the process; null restores the default.
RONDO_EXPORT void set_event_loop_policy(std::unique_ptr<event_loop_policy> policy);

}  // namespace v0
}  // namespace rondo
