// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Transports: where bytes go to and come from.
#pragma once

#include <rondo/address.hpp>
#include <rondo/detail/bytes.hpp>
#include <rondo/detail/export.hpp>
#include <rondo/fwd.hpp>
#include <rondo/socket.hpp>

#include <any>
#include <array>
#include <concepts>
#include <cstddef>
#include <iterator>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace rondo {
inline namespace v0 {

/// Marks of a write buffer, in bytes; an unset one follows from the other.
struct buffer_limits {
  std::optional<std::size_t> high = {};  ///< above it writing is paused
  std::optional<std::size_t> low = {};   ///< at it and below writing is resumed
};
static_assert(std::is_trivially_copyable_v<buffer_limits>);

/// What `get_write_buffer_limits` returns: `auto [low, high] = ...`, as asyncio's tuple.
struct write_buffer_marks {
  std::size_t low = 0;
  std::size_t high = 0;

  operator buffer_limits() const noexcept {
    return {high, low};
  }  // NOLINT: goes back into the setter
  friend bool operator==(const write_buffer_marks&, const write_buffer_marks&) = default;
};

/// What all transports share.
///
/// Every member that a transport does not have throws not_supported_error, so that users can write
/// their own. The loop keeps an open transport alive; a transport keeps its protocol until
/// connection_lost has returned.
///
/// @par asyncio
/// `asyncio.BaseTransport`
/// @par Thread safety
/// The loop's thread only.
class RONDO_EXPORT base_transport {
 public:
  base_transport() = default;
  base_transport(const base_transport&) = delete;
  base_transport& operator=(const base_transport&) = delete;
  virtual ~base_transport();

  /// Whether it is closing or closed.
  [[nodiscard]] virtual bool is_closing() const;
  /// Stops reading at once, sends what is buffered, then calls connection_lost(null). Idempotent.
  virtual void close();

  /// Gives what happens from now on to another protocol, of any kind; connection_made is not
  /// called.
  virtual void set_protocol(std::shared_ptr<base_protocol> next);
  /// The same for a protocol of the caller's, which must live until its connection_lost.
  void set_protocol(base_protocol* borrowed) {
    set_protocol(std::shared_ptr<base_protocol>(std::shared_ptr<void>(), borrowed));
  }
  /// Null once connection_lost has returned.
  [[nodiscard]] virtual std::shared_ptr<base_protocol> get_protocol() const;

  /// What is known under asyncio's name, as the type of the typed accessor; empty if nothing is.
  /// Addresses stay known after closing.
  [[nodiscard]] virtual std::any get_extra_info(std::string_view name) const;

  [[nodiscard]] virtual std::optional<address> peername() const;
  [[nodiscard]] virtual std::optional<address> sockname() const;
  /// A view of the socket; empty where there is none or it is closed.
  [[nodiscard]] virtual std::optional<transport_socket> socket() const;
  /// The descriptor of a pipe.
  [[nodiscard]] virtual std::optional<int> pipe() const;
  /// The process behind a subprocess transport.
  [[nodiscard]] virtual std::optional<int> subprocess_pid() const;
};

/// The side of a transport that receives.
///
/// @par asyncio
/// `asyncio.ReadTransport`
class RONDO_EXPORT read_transport : public virtual base_transport {
 public:
  ~read_transport() override;

  /// False while paused, and from closing on.
  [[nodiscard]] virtual bool is_reading() const;
  /// Calls no data_received until `resume_reading`. Idempotent.
  virtual void pause_reading();
  virtual void resume_reading();
};

/// The side of a transport that sends.
///
/// @par asyncio
/// `asyncio.WriteTransport`
class RONDO_EXPORT write_transport : public virtual base_transport {
 public:
  ~write_transport() override;

  /// Sends bytes, now or when the kernel takes them; never waits. What the kernel does not take is
  /// copied. Ignored when the transport is closing, with a warning from the fifth time on.
  /// @throws std::logic_error  after write_eof
  virtual void write(std::string_view data);
  /// The same for a span, vector or array of bytes.
  template <class B>
    requires detail::byte_sequence<B>
  void write(const B& bytes) {
    write(detail::view_of(bytes));
  }
  /// The same, taking a string over: what the kernel does not take is not copied.
  template <std::same_as<std::string> S>
  void write(S&& data) {  // NOLINT: S is never a reference
    write_string(std::move(data));
  }

  /// Sends all parts of a range with as few system calls as the kernel allows.
  template <class R>
    requires detail::range_of_bytes<R>
  void writelines(R&& parts);

  /// Tells the peer that nothing more will come, when all is sent; reading goes on. Idempotent.
  /// @throws not_supported_error  this transport cannot
  virtual void write_eof();
  [[nodiscard]] virtual bool can_write_eof() const;

  /// Closes at once: what is buffered is dropped, and connection_lost(null) follows.
  virtual void abort();

  /// Bytes that were written and are not sent.
  [[nodiscard]] virtual std::size_t get_write_buffer_size() const;
  [[nodiscard]] virtual write_buffer_marks get_write_buffer_limits() const;
  /// Unset: the defaults (64 KiB, 16 KiB); only one: low = high / 4. High 0 pauses whenever
  /// something is buffered. Pauses the protocol at once if more is buffered than `high`.
  /// @throws std::invalid_argument  low > high; nothing has changed
  virtual void set_write_buffer_limits(buffer_limits limits = {});

 protected:
  // What the templates above call; the defaults go to write().
  virtual void write_string(std::string&& data);
  virtual void write_parts(std::span<const std::string_view> parts);
};

/// A transport in both directions.
///
/// @par asyncio
/// `asyncio.Transport`
class RONDO_EXPORT transport : public read_transport, public write_transport {
 public:
  ~transport() override;
};

/// A child process and its pipes.
///
/// Closing it closes the pipes and kills the child if it runs.
///
/// @par asyncio
/// `asyncio.SubprocessTransport`
class RONDO_EXPORT subprocess_transport : public virtual base_transport {
 public:
  ~subprocess_transport() override;

  [[nodiscard]] virtual int get_pid() const;
  /// As `process::returncode`.
  [[nodiscard]] virtual std::optional<int> get_returncode() const;
  /// The pipe to the child's descriptor 0, 1 or 2; null where there is none.
  [[nodiscard]] virtual std::shared_ptr<transport> get_pipe_transport(int fd) const;
  /// As `process::send_signal`.
  virtual void send_signal(int signal_number);
  virtual void terminate();
  virtual void kill();
};

// ---- implementation ----------------------------------------------------------------

namespace detail {

template <class R>
using element_reference = decltype(*std::begin(std::declval<R&>()));

/// Whether views of the elements live as long as the range.
template <class R>
inline constexpr bool elements_stay =
    std::is_lvalue_reference_v<element_reference<R>> ||
    std::is_pointer_v<std::remove_cvref_t<element_reference<R>>> ||
    std::ranges::enable_borrowed_range<std::remove_cvref_t<element_reference<R>>>;

}  // namespace detail

template <class R>
  requires detail::range_of_bytes<R>
void write_transport::writelines(R&& parts) {
  if constexpr (detail::elements_stay<R>) {
    std::array<std::string_view, 16> few;
    std::size_t count = 0;
    auto at = std::begin(parts);
    const auto end = std::end(parts);
    for (; at != end && count < few.size(); ++at) few[count++] = detail::view_of(*at);
    if (at == end) {
      write_parts(std::span<const std::string_view>(few.data(), count));
      return;
    }
    std::vector<std::string_view> many(few.begin(), few.end());
    for (; at != end; ++at) many.push_back(detail::view_of(*at));
    write_parts(many);
  } else {
    std::string joined;
    for (auto&& part : parts) joined += detail::view_of(part);
    write_string(std::move(joined));
  }
}

}  // namespace v0
}  // namespace rondo
