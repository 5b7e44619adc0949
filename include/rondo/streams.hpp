// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Streams: reading and writing connections with co_await.
#pragma once

#include <rondo/coro.hpp>
#include <rondo/detail/bytes.hpp>
#include <rondo/detail/connect_arguments.hpp>
#include <rondo/detail/export.hpp>
#include <rondo/detail/stream_awaiters.hpp>
#include <rondo/fwd.hpp>
#include <rondo/options.hpp>
#include <rondo/server.hpp>
#include <rondo/socket.hpp>
#include <rondo/task.hpp>
#include <rondo/transports.hpp>

#include <any>
#include <concepts>
#include <cstddef>
#include <exception>
#include <functional>
#include <iterator>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace rondo {
inline namespace v0 {

/// Reads the bytes of a connection; a shared handle, copies read the same stream.
///
/// One read at a time; a second one throws std::logic_error. A read that is cancelled loses no
/// data. Bytes that are buffered are read before an end of file or an error shows. More than twice
/// `limit` bytes are not buffered unless a read asks for them: the peer has to wait.
///
/// A read that finds its bytes buffered does not suspend, except once in a while to let other tasks
/// run.
///
/// The views that `*_view` reads yield are valid until the next call on the reader.
///
/// @par asyncio
/// `asyncio.StreamReader`; `while (auto line = co_await reader.next_line())` is `async for line in
/// reader`.
/// @par Thread safety
/// The loop's thread only.
class RONDO_EXPORT stream_reader {
 public:
  /// A reader that is fed by hand, with `feed_data` and `feed_eof`.
  /// @param limit  bytes of the longest line; twice that is buffered at most
  /// @throws std::invalid_argument  the limit is 0
  explicit stream_reader(std::size_t limit = 65536);

  // All reads throw what `set_exception` or the connection gave, when what is buffered does not
  // suffice.

  /// At most `n` bytes as soon as there are any; with -1 everything up to the end. Empty at the
  /// end.
  [[nodiscard]] detail::read_awaiter<std::string> read(std::ptrdiff_t n = -1) const {
    return {buffer_, n < 0 ? detail::read_rule::all : detail::read_rule::some,
            static_cast<std::size_t>(n)};
  }

  /// A line with its '\n'; at the end what is left, which may be empty.
  /// @throws limit_overrun_error  the line is longer than the limit; it is dropped
  [[nodiscard]] detail::read_awaiter<std::string> readline() const {
    return {buffer_, detail::read_rule::line, 0};
  }

  /// The next line with its '\n', or what is left; empty when there is nothing more.
  /// @throws limit_overrun_error  as readline
  [[nodiscard]] detail::read_awaiter<std::optional<std::string>> next_line() const {
    return {buffer_, detail::read_rule::line, 0};
  }

  /// Exactly `n` bytes.
  /// @throws incomplete_read_error  the stream ended before; what there was is in it
  /// @throws std::invalid_argument  `n` is negative
  [[nodiscard]] detail::read_awaiter<std::string> readexactly(std::ptrdiff_t n) const {
    return {buffer_, detail::read_rule::exactly, detail::checked_size(n)};
  }

  /// Everything up to and including the separator.
  /// @throws incomplete_read_error  the stream ended before
  /// @throws limit_overrun_error  more than the limit before the separator; the bytes stay buffered
  /// @throws std::invalid_argument  the separator is empty
  [[nodiscard]] detail::until_awaiter<std::string> readuntil(
      std::string_view separator = "\n") const {
    return {buffer_, detail::separator_set(separator)};
  }
  /// The same with several separators: the one that ends first counts.
  template <class R>
    requires(!detail::text_like<R> && detail::range_of_bytes<const R>)
  [[nodiscard]] detail::until_awaiter<std::string> readuntil(const R& separators) const {
    return {buffer_, separators_of(separators)};
  }

  /// As `read(into.size())`, into memory that must outlive the await. Yields how many bytes; 0 at
  /// the end.
  [[nodiscard]] detail::read_into_awaiter read_into(std::span<char> into) const {
    return {buffer_, into};
  }

  /// All that is buffered, at least one byte; empty at the end. Copies nothing.
  [[nodiscard]] detail::read_awaiter<std::string_view> read_view() const {
    return {buffer_, detail::read_rule::some, static_cast<std::size_t>(-1)};
  }
  /// As readline; empty at the end only.
  [[nodiscard]] detail::read_awaiter<std::string_view> readline_view() const {
    return {buffer_, detail::read_rule::line, 0};
  }
  [[nodiscard]] detail::until_awaiter<std::string_view> readuntil_view(
      std::string_view separator = "\n") const {
    return {buffer_, detail::separator_set(separator)};
  }
  template <class R>
    requires(!detail::text_like<R> && detail::range_of_bytes<const R>)
  [[nodiscard]] detail::until_awaiter<std::string_view> readuntil_view(const R& separators) const {
    return {buffer_, separators_of(separators)};
  }
  [[nodiscard]] detail::read_awaiter<std::string_view> readexactly_view(std::ptrdiff_t n) const {
    return {buffer_, detail::read_rule::exactly, detail::checked_size(n)};
  }

  /// Whether everything was read and nothing more will come.
  [[nodiscard]] bool at_eof() const;
  /// What `set_exception` or the connection gave; null if nothing.
  [[nodiscard]] std::exception_ptr exception() const;

  // ---- the feeding side ----

  /// Appends bytes. @throws std::logic_error  after feed_eof
  void feed_data(std::string_view data) const;
  template <class B>
    requires detail::byte_sequence<B>
  void feed_data(const B& data) const {
    feed_data(detail::view_of(data));
  }
  /// Nothing more will come. Idempotent.
  void feed_eof() const;
  /// Fails the read that waits, and every later one when the buffered bytes are read.
  /// @throws std::invalid_argument  `error` is null
  void set_exception(std::exception_ptr error) const;
  template <class E>
    requires(!std::convertible_to<E, std::exception_ptr>)
  void set_exception(E&& error) const {
    set_exception(std::make_exception_ptr(std::forward<E>(error)));
  }
  /// What is paused while too much is buffered.
  /// @throws std::logic_error  there is one already
  void set_transport(std::shared_ptr<read_transport> fed_by) const;

  friend bool operator==(const stream_reader& a, const stream_reader& b) noexcept {
    return a.buffer_.get() == b.buffer_.get();
  }

  // For the library.
  explicit stream_reader(detail::stream_buffer_ref buffer) noexcept : buffer_(std::move(buffer)) {}
  [[nodiscard]] const detail::stream_buffer_ref& buffer() const noexcept { return buffer_; }

 private:
  template <class R>
  static detail::separator_set separators_of(const R& separators) {
    detail::separator_set set;
    for (const auto& each : separators) set.add(detail::view_of(each));
    return set;
  }

  detail::stream_buffer_ref buffer_;
};

/// Writes to a connection; a shared handle, copies write to the same one. Empty by default.
///
/// When the last copy is dropped without `close` a warning is logged and the connection is closed.
///
/// @par asyncio
/// `asyncio.StreamWriter`
/// @par Thread safety
/// The loop's thread only.
class RONDO_EXPORT stream_writer {
 public:
  stream_writer() noexcept = default;
  stream_writer(const stream_writer& other) noexcept : link_(other.link_) {
    if (link_) ++link_->writers;
  }
  stream_writer(stream_writer&& other) noexcept : link_(std::move(other.link_)) {}
  stream_writer& operator=(stream_writer other) noexcept {
    std::swap(link_, other.link_);
    return *this;
  }
  ~stream_writer() {
    if (link_) drop();
  }

  /// Sends or buffers bytes; never waits. Follow it with `co_await drain()`.
  void write(std::string_view data) const;
  template <class B>
    requires detail::byte_sequence<B>
  void write(const B& data) const {
    write(detail::view_of(data));
  }
  /// The same, taking a string over: what the kernel does not take at once is not copied.
  template <std::same_as<std::string> S>
  void write(S&& data) const {  // NOLINT: S is never a reference
    raw_transport().write(std::move(data));
  }
  /// Sends all parts of a range together.
  template <class R>
    requires detail::range_of_bytes<R>
  void writelines(R&& parts) const {
    raw_transport().writelines(std::forward<R>(parts));
  }

  /// Waits while more than the high-water mark is buffered, until the low-water mark is reached.
  /// Any number of tasks may wait.
  /// @throws std::system_error  the connection is lost: its error, or ECONNRESET
  [[nodiscard]] detail::writer_awaiter drain() const {
    return {link(), detail::writer_event::drained};
  }

  /// Closes the connection when everything is sent; `wait_closed` waits for that.
  void close() const;
  /// @throws  the error that ended the connection, if there was one
  [[nodiscard]] detail::writer_awaiter wait_closed() const {
    return {link(), detail::writer_event::closed};
  }
  [[nodiscard]] bool is_closing() const;

  [[nodiscard]] bool can_write_eof() const;
  /// Tells the peer that nothing more will come, when everything is sent.
  void write_eof() const;

  [[nodiscard]] std::shared_ptr<rondo::transport> transport() const;
  /// As `base_transport::get_extra_info`.
  [[nodiscard]] std::any get_extra_info(std::string_view name) const;

  explicit operator bool() const noexcept { return static_cast<bool>(link_); }
  friend bool operator==(const stream_writer& a, const stream_writer& b) noexcept {
    return a.link_.get() == b.link_.get();
  }

  // For the library.
  explicit stream_writer(detail::stream_link_ref link) noexcept : link_(std::move(link)) {
    ++link_->writers;
  }

 private:
  [[nodiscard]] const detail::stream_link_ref& link() const {
    if (!link_) detail::throw_empty_writer();
    return link_;
  }
  [[nodiscard]] rondo::transport& raw_transport() const;
  void drop() noexcept;

  detail::stream_link_ref link_;
};

/// Both ends of a connection: `auto [reader, writer] = co_await open_connection(host, port);`.
struct connection {
  connection(stream_reader reads, stream_writer writes) noexcept
      : reader(std::move(reads)), writer(std::move(writes)) {}

  stream_reader reader;
  stream_writer writer;
};

/// Connects to a host.
/// @param host  a name or an address; empty or nullopt: this machine
/// @param port  a number or the name of a service
/// @throws std::invalid_argument  bad options, host or port
/// @throws resolve_error  there is no such host
/// @throws connect_error  no address could be connected to; it names each one
///
/// @par asyncio
/// `asyncio.open_connection`
[[nodiscard]] RONDO_EXPORT coro<connection> open_connection(detail::host_argument host,
                                                            detail::service_argument port,
                                                            connect_options options = {});
/// The same on a socket that is connected; it is closed on failure.
[[nodiscard]] RONDO_EXPORT coro<connection> open_connection(rondo::socket connected,
                                                            connect_options options = {});

namespace detail {

/// What is called with each new connection of a stream server.
class RONDO_EXPORT client_handler {
 public:
  client_handler() = default;
  client_handler(const client_handler&) = delete;
  client_handler& operator=(const client_handler&) = delete;
  RONDO_EXPORT virtual ~client_handler();
  /// Returns the handler's task, empty if it is no coroutine.
  virtual any_task call(stream_reader reader, stream_writer writer) = 0;
};

template <class F>
class client_handler_of final : public client_handler {
 public:
  explicit client_handler_of(F function) : function_(std::move(function)) {}

  any_task call(stream_reader reader, stream_writer writer) override {
    using result = std::invoke_result_t<F&, stream_reader, stream_writer>;
    if constexpr (is_coro<std::remove_cvref_t<result>>) {
      return create_task(std::invoke(function_, std::move(reader), std::move(writer)));
    } else {
      static_cast<void>(std::invoke(function_, std::move(reader), std::move(writer)));
      return any_task();
    }
  }

 private:
  F function_;
};

[[nodiscard]] RONDO_EXPORT coro<server> serve_streams(std::shared_ptr<client_handler> handler,
                                                      host_list_argument hosts,
                                                      service_argument port,
                                                      server_options options);
[[nodiscard]] RONDO_EXPORT coro<server> serve_streams(std::shared_ptr<client_handler> handler,
                                                      rondo::socket bound, server_options options);

template <class F>
concept client_callback = std::invocable<std::decay_t<F>&, stream_reader, stream_writer>;

}  // namespace detail

/// Listens on every address of the hosts and calls `on_client(reader, writer)` for each connection.
/// A coroutine becomes a task; what it throws is reported, and its connection closed. The callable
/// is kept until its last task ends.
/// @param hosts  one host, a range of hosts, or nullopt: all interfaces
/// @param port  a number or the name of a service; 0: any free one
/// @throws std::system_error  an address cannot be bound; it is in the text
///
/// @par asyncio
/// `asyncio.start_server`
template <class F>
  requires detail::client_callback<F>
[[nodiscard]] coro<server> start_server(F&& on_client, detail::host_list_argument hosts,
                                        detail::service_argument port,
                                        server_options options = {}) {
  return detail::serve_streams(
      std::make_shared<detail::client_handler_of<std::decay_t<F>>>(std::forward<F>(on_client)),
      std::move(hosts), std::move(port), options);
}
/// The same on a socket that is bound.
template <class F>
  requires detail::client_callback<F>
[[nodiscard]] coro<server> start_server(F&& on_client, rondo::socket bound,
                                        server_options options = {}) {
  return detail::serve_streams(
      std::make_shared<detail::client_handler_of<std::decay_t<F>>>(std::forward<F>(on_client)),
      std::move(bound), options);
}

}  // namespace v0
}  // namespace rondo
