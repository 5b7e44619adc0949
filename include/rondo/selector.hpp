// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Selectors: which descriptors are ready.
#pragma once

#include <rondo/detail/export.hpp>
#include <rondo/interval.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace rondo {
inline namespace v0 {

/// Tells which of its descriptors are ready; what a `selector_event_loop` is made with.
///
/// @par asyncio
/// `selectors.BaseSelector`
/// @par Thread safety
/// One loop only.
class RONDO_EXPORT selector {
 public:
  // Interest and readiness. `failed` (EPOLLERR) and `hang_up` are reported whether asked for or
  // not; `edge` asks for one report per change where `edge_triggered()`.
  static constexpr std::uint8_t readable = 1U << 0;
  static constexpr std::uint8_t writable = 1U << 1;
  static constexpr std::uint8_t failed = 1U << 2;
  static constexpr std::uint8_t hang_up = 1U << 3;       ///< both directions are over
  static constexpr std::uint8_t read_hang_up = 1U << 4;  ///< the peer sends nothing more
  static constexpr std::uint8_t edge = 1U << 5;
  /// Reported with `edge` only: urgent data stand in the stream, and a receive stops before them.
  static constexpr std::uint8_t urgent = 1U << 6;
  /// Asks for one report, after which nothing is until `modify`; where `edge_triggered()` only.
  static constexpr std::uint8_t once = 1U << 7;

  /// One ready descriptor: what was given to `add` and what it is ready for.
  struct event {
    std::uint64_t data = 0;
    std::uint8_t ready = 0;
  };

  selector() = default;
  selector(const selector&) = delete;
  selector& operator=(const selector&) = delete;
  virtual ~selector();

  [[nodiscard]] virtual std::string_view name() const noexcept = 0;
  [[nodiscard]] virtual bool edge_triggered() const noexcept = 0;

  // Each returns 0 or an errno value, and leaves the selector as it was where it fails.
  [[nodiscard]] virtual int add(int fd, std::uint8_t interest, std::uint64_t data) noexcept = 0;
  [[nodiscard]] virtual int modify(int fd, std::uint8_t interest, std::uint64_t data) noexcept = 0;
  virtual int remove(int fd) noexcept = 0;

  /// Waits at most `wait` (nullopt: without end) and writes what is ready into `events`.
  /// Returns how many, or a negated errno value; an interruption by a signal is 0 events.
  virtual std::ptrdiff_t select(std::span<event> events, std::optional<interval> wait) noexcept = 0;

  /// Forgets every descriptor, closed ones included, which `remove` cannot name any more; keeps the
  /// number of `descriptor()`. Returns 0 or an errno value; ENOSYS where nothing can be forgotten.
  virtual int reset() noexcept;

  /// A descriptor that is readable when some descriptor is ready; -1 where there is none.
  [[nodiscard]] virtual int descriptor() const noexcept = 0;
};

/// Linux's epoll; the default.
class RONDO_EXPORT epoll_selector final : public selector {
 public:
  /// @throws std::system_error  the kernel gives no epoll instance
  epoll_selector();
  ~epoll_selector() override;

  [[nodiscard]] std::string_view name() const noexcept override;
  [[nodiscard]] bool edge_triggered() const noexcept override;
  [[nodiscard]] int add(int fd, std::uint8_t interest, std::uint64_t data) noexcept override;
  [[nodiscard]] int modify(int fd, std::uint8_t interest, std::uint64_t data) noexcept override;
  int remove(int fd) noexcept override;
  std::ptrdiff_t select(std::span<event> events, std::optional<interval> wait) noexcept override;
  int reset() noexcept override;
  [[nodiscard]] int descriptor() const noexcept override;

 private:
  int fd_;
  bool nanoseconds_ = true;  // the kernel has epoll_pwait2, as far as is known
};

}  // namespace v0
}  // namespace rondo
