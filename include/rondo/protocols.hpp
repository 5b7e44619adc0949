// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Protocols: what is called when something happens to a transport.
#pragma once

#include <rondo/detail/export.hpp>
#include <rondo/fwd.hpp>

#include <cstddef>
#include <exception>
#include <memory>
#include <span>
#include <string_view>

namespace rondo {
inline namespace v0 {

/// What all protocols share. Derive from `protocol` or `buffered_protocol`.
///
/// The loop calls in this order: connection_made once, data any number of times, eof_received at
/// most once, connection_lost once and nothing after it; pause_writing and resume_writing alternate
/// in between. Callbacks are plain functions and run in the context in which the connection was
/// asked for. A callback may do anything to its transport: close it, abort it, give it another
/// protocol.
///
/// @par asyncio
/// `asyncio.BaseProtocol`
/// @par Thread safety
/// Called on the loop's thread only.
class RONDO_EXPORT base_protocol {
 public:
  base_protocol() = default;
  base_protocol(const base_protocol&) = default;
  base_protocol& operator=(const base_protocol&) = default;
  virtual ~base_protocol();

  /// The connection is over: `error` is null after an end of file, `close` or `abort`. What it
  /// throws is reported.
  virtual void connection_lost(std::exception_ptr error);

  /// More than the high-water mark of bytes waits to be sent: better stop writing. What it throws
  /// is reported.
  virtual void pause_writing();
  /// The buffer has drained to the low-water mark.
  virtual void resume_writing();
};

/// Receives the bytes of a stream as views.
///
/// @par asyncio
/// `asyncio.Protocol`
class RONDO_EXPORT protocol : public base_protocol {
 public:
  ~protocol() override;

  /// The connection is there. What it throws is reported, and the connection goes on.
  virtual void connection_made(std::shared_ptr<rondo::transport> connected);

  /// Bytes arrived; never empty. The view is valid during the call. Throwing ends the connection
  /// with that error.
  virtual void data_received(std::string_view data);

  /// The peer sends nothing more. True keeps the connection open for writing, false closes it.
  virtual bool eof_received();
};

/// Receives the bytes of a stream into memory of its own.
///
/// @par asyncio
/// `asyncio.BufferedProtocol`
class RONDO_EXPORT buffered_protocol : public base_protocol {
 public:
  ~buffered_protocol() override;

  /// The connection is there. What it throws is reported, and the connection goes on.
  virtual void connection_made(std::shared_ptr<rondo::transport> connected);

  /// Memory for the next bytes, which stays valid until `buffer_updated`; called before each
  /// receive, also before the one that finds the end. An empty one ends the connection with an
  /// error, as throwing does.
  /// @param hint  how many bytes would be good; -1 when nothing is known
  virtual std::span<char> get_buffer(std::ptrdiff_t hint) = 0;

  /// So many bytes arrived in it; never 0. Throwing ends the connection with that error.
  virtual void buffer_updated(std::size_t count) = 0;

  /// As `protocol::eof_received`.
  virtual bool eof_received();
};

/// Follows a child process and its pipes.
///
/// connection_made comes first and connection_lost last, when the child has ended and all its pipes
/// are closed; what comes in between has no order. pause_writing and resume_writing are about the
/// child's standard input.
///
/// @par asyncio
/// `asyncio.SubprocessProtocol`
class RONDO_EXPORT subprocess_protocol : public base_protocol {
 public:
  ~subprocess_protocol() override;

  /// The child was started. What it throws is reported, and everything goes on.
  virtual void connection_made(std::shared_ptr<subprocess_transport> started);

  /// The child wrote to descriptor 1 or 2; never empty. The view is valid during the call. Throwing
  /// closes that pipe with the error.
  virtual void pipe_data_received(int fd, std::string_view data);
  /// The pipe to descriptor 0, 1 or 2 is closed; `error` is null if in order.
  virtual void pipe_connection_lost(int fd, std::exception_ptr error);
  /// The child has ended; its pipes may be held by others.
  virtual void process_exited();
};

}  // namespace v0
}  // namespace rondo
