// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  The backend on top of a selector: try the call, wait for readiness.
#pragma once

#include <rondo/backend.hpp>
#include <rondo/detail/timer_heap.hpp>
#include <rondo/selector.hpp>

#include "os/descriptor.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace rondo {
inline namespace v0 {
namespace detail {

/// Serves a loop with any selector.
///
/// A table, indexed by descriptor, says who owns each one: an `fd_state` of the library, or a
/// `user_entry` for a descriptor of the user (add_reader, sock_*). Events carry the descriptor and
/// the generation of its owner, so that one that comes late never reaches the next owner of the
/// number.
///
/// Descriptors of the library are registered once, edge-triggered where the selector can; what
/// arrives while nobody wants it stays in `fd_state::ready` and costs no system call. Those of the
/// user may be closed behind our back at any time: a watch is level-triggered, an operation arms
/// the descriptor for one report, and each new request asks the kernel whether the number still
/// means the same file.
class selector_backend : public backend {
 public:
  /// @param source  null: epoll
  RONDO_EXPORT explicit selector_backend(std::unique_ptr<selector> source = nullptr);
  RONDO_EXPORT ~selector_backend() override;

  [[nodiscard]] std::string_view name() const noexcept override;
  [[nodiscard]] unsigned capabilities() const noexcept override;
  void attach(event_loop& loop) override;

  start_result start(operation& op) override;
  void cancel(operation& op) override;
  void abandon(operation& op) noexcept override;

  void open(fd_state& state) override;
  void close(fd_state& state) noexcept override;
  [[nodiscard]] bool is_open(int fd) const noexcept override;

  void start_receiving(fd_state& state, receive_sink& sink) override;
  void pause_receiving(fd_state& state) override;
  void resume_receiving(fd_state& state) override;
  void stop_receiving(fd_state& state) override;

  void start_accepting(fd_state& state, accept_sink& sink) override;
  void stop_accepting(fd_state& state) override;

  void watch(int fd, watch_kind kind, ready_node& node, bool& queued) override;
  bool unwatch(int fd, watch_kind kind) noexcept override;

  void poll(std::optional<interval> wait) override;
  void wake() noexcept override;
  [[nodiscard]] int descriptor() const noexcept override;
  void shut_down(bool forked) noexcept override;

  /// The eventfd of `wake`, for tests.
  [[nodiscard]] int wake_descriptor() const noexcept { return wake_.get(); }

 private:
  enum : std::size_t { reading, writing };

  struct watcher {
    ready_node* node = nullptr;
    bool* queued = nullptr;
  };

  /// A descriptor of the user, from its first use until it is neither watched nor known to the
  /// kernel.
  struct user_entry : ready_node {
    int fd = -1;         // -1: not in the table
    bool known = false;  // the kernel has a registration, as far as we know
    bool queued = false;
    std::uint8_t armed = 0;           // what it reports, `once` included
    std::uint8_t ready = 0;           // what arrived for the operations
    std::array<watcher, 2> watchers;  // [reading], [writing]
    std::array<operation*, 2> waiting{};
    selector_backend* owner = nullptr;
    user_entry* next_free = nullptr;
  };

  /// What a listener needs besides its fd_state.
  struct listener : timer_node {
    fd_state* state = nullptr;  // null: stopped while its node stood in the ready queue
    selector_backend* owner = nullptr;
    listener* next = nullptr;
    bool quiet = false;  // the last report is less than its rest ago
    bool resting = false;
  };

  /// The owner of one descriptor number. The lowest bit of `owner` tells a user_entry.
  struct slot {
    std::uintptr_t owner = 0;
    std::uint32_t generation = 0;
  };

  [[nodiscard]] slot* find(int fd) noexcept;
  slot& slot_of(int fd);
  static fd_state* library_owner(const slot& place) noexcept;
  static user_entry* user_owner(const slot& place) noexcept;
  static std::uint64_t data_of(int fd, std::uint32_t generation) noexcept;

  void queue(fd_state& state) noexcept;
  void queue(user_entry& entry) noexcept;

  // Library descriptors.
  int arm(fd_state& state, std::uint8_t interest) noexcept;
  void ignore_unwanted(fd_state& state) noexcept;
  void forget(fd_state& state) noexcept;
  static void run_state(ready_node& node, event_loop* loop);
  void receive(fd_state& state);
  void accept(fd_state& state);
  [[nodiscard]] listener* listener_of(const fd_state& state) noexcept;
  void rest(fd_state& state, int error);
  void resume(listener& entry) noexcept;
  void resume_listeners() noexcept;
  void remove_listener(const fd_state& state) noexcept;
  static void run_listener(ready_node& node, event_loop* loop);

  // User descriptors.
  user_entry& make_user_entry(int fd, slot& place);
  [[nodiscard]] static std::uint8_t interest_of(const user_entry& entry) noexcept;
  int enroll(user_entry& entry, std::uint8_t interest) noexcept;
  int request(user_entry& entry, std::uint8_t interest, bool level) noexcept;
  void update(user_entry& entry) noexcept;
  void end_stale(user_entry& entry, int error) noexcept;
  void recycle_if_idle(user_entry& entry) noexcept;
  void detach(user_entry& entry) noexcept;
  void on_user_event(user_entry& entry, std::uint8_t ready) noexcept;
  static void run_user(ready_node& node, event_loop* loop);

  // Operations.
  start_result park(operation& op, bool tried);
  void unpark(operation& op) noexcept;

  [[nodiscard]] bool in_child() const noexcept;
  void on_other_event(const selector::event& event) noexcept;
  void rebuild() noexcept;

  std::vector<slot> table_;
  std::vector<selector::event> events_;
  std::unique_ptr<selector> selector_;
  event_loop* loop_ = nullptr;
  os::descriptor wake_;
  std::uint64_t fork_generation_ = 0;
  bool edge_;
  int stale_events_ = 0;
  std::size_t resting_ = 0;  // listeners that wait for a free descriptor
  listener* listeners_ = nullptr;
  user_entry* free_entries_ = nullptr;
};

}  // namespace detail
}  // namespace v0
}  // namespace rondo
