// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  The seam between a loop and the kernel.
#pragma once

#include <rondo/detail/export.hpp>
#include <rondo/detail/ready_node.hpp>
#include <rondo/interval.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

struct msghdr;

namespace rondo {
inline namespace v0 {

/// What an `operation` asks of the kernel.
enum class operation_kind : std::uint8_t {
  receive,          ///< recv(fd, buffer, size, flags)
  send,             ///< send(fd, buffer, size, flags); MSG_NOSIGNAL is added
  receive_message,  ///< recvmsg(fd, message, flags)
  send_message,     ///< sendmsg(fd, message, flags); MSG_NOSIGNAL is added
  accept,           ///< accept4(fd, buffer, &address_size, ...): close-on-exec and non-blocking
  connect,          ///< connect(fd, buffer, size); `result` is 0 or the negated error
  read,             ///< read(fd, buffer, size), or pread where `offset` is not -1
  write,            ///< write(fd, buffer, size), or pwrite where `offset` is not -1; no SIGPIPE
  write_message,    ///< writev(fd, message's parts), for what is no socket; no SIGPIPE
  poll_read,        ///< wait until fd is readable or has failed; transfers nothing
  poll_write,       ///< wait until fd is writable or has failed; transfers nothing
  poll_end,         ///< wait until fd has failed or is hung up, whatever else it is ready for
};

/// One request to the kernel, owned by whoever waits for it; nothing in it may move until it ends.
///
/// `complete` is called at most once, by the backend, on the loop's thread, and must only queue
/// work. It is not called for an operation that `start` finished inline or that was abandoned.
struct operation {
  operation_kind kind = operation_kind::receive;
  int fd = -1;
  int flags = 0;
  void* buffer = nullptr;       ///< bytes, or a socket address for accept and connect
  std::size_t size = 0;         ///< of the buffer; accept writes the address's size back
  ::msghdr* message = nullptr;  ///< for the message kinds
  std::int64_t offset = -1;     ///< for read and write
  std::int64_t result = 0;      ///< >= 0, or a negated errno value
  void (*complete)(operation&) noexcept = nullptr;

  // The backend's own: links among the operations that wait for one descriptor, and its slot.
  operation* next = nullptr;
  operation* previous = nullptr;
  void* backend_data = nullptr;
  bool pending = false;
};

/// Where a backend puts what arrives on a descriptor; called from the loop's ready queue only.
class receive_sink {
 public:
  /// Room for the bytes of one receive; `hint` is -1 when nothing is known. Must not be empty.
  virtual std::span<char> get_buffer(std::ptrdiff_t hint) = 0;
  /// Bytes arrived: in the buffer that `get_buffer` gave last, or in the backend's own memory.
  virtual void on_bytes(std::span<char> bytes) = 0;
  /// The peer will send nothing more. Receiving has stopped.
  virtual void on_eof() = 0;
  /// Receiving failed with this errno value and has stopped.
  virtual void on_error(int error) = 0;

 protected:
  ~receive_sink() = default;
};

/// Who gets accepted connections; called from the loop's ready queue only.
class accept_sink {
 public:
  /// A connection, non-blocking and close-on-exec; the sink owns the descriptor from here on.
  /// `address` points at a socket address of `size` bytes, valid during the call.
  virtual void on_accept(int fd, const void* address, std::size_t size) = 0;
  /// Accepting failed; it goes on. `retry_after` is how long the listener rests (EMFILE and its
  /// kin), zero where the backend only reports. `fatal`: it has stopped for good.
  virtual void on_accept_error(int error, interval retry_after, bool fatal) = 0;
  /// How many connections one turn of the loop may take at most (the backlog).
  [[nodiscard]] virtual int accept_budget() const noexcept = 0;

 protected:
  ~accept_sink() = default;
};

/// What a backend keeps for one descriptor of the library; lives inside the descriptor's owner.
///
/// `backend::open` links it to the descriptor, `backend::close` unlinks it, which must happen
/// before the descriptor is closed and before this object dies. Where it is `queued` when it is
/// closed, the ready queue still refers to it: it must live until that node has run, which it has
/// when a node that was queued after `close` runs. A sink may close it in any callback, but not
/// destroy it there.
struct fd_state : detail::ready_node {
  /// What a receive that did not fill its buffer says about the descriptor.
  enum class stream_kind : std::uint8_t {
    unknown,  ///< the backend finds out, at the cost of one getsockopt
    tcp,      ///< all was taken: nothing is left until the next event
    local,    ///< a unix socket: it also stops at a descriptor that was passed along
    other,    ///< nothing: it has to be asked again
    plain,    ///< no socket at all (pipe, terminal): as `other`, and read() takes recv()'s place
  };

  explicit fd_state(int descriptor = -1) noexcept : fd(descriptor) {}
  ~fd_state() = default;

  int fd;
  std::uint32_t generation = 0;  ///< of the registration: an event of an older one is dropped
  std::uint8_t registered = 0;   ///< the interest that the kernel knows
  std::uint8_t ready = 0;        ///< readiness that arrived and is not used up
  std::uint16_t failures = 0;    ///< accepts in a row that failed
  bool queued = false;           ///< it stands in the ready queue
  bool receiving = false;        ///< start_receiving was called and has not been stopped
  bool paused = false;
  bool accepting = false;
  bool open = false;
  stream_kind kind =
      stream_kind::unknown;  ///< an owner who knows saves the question; set it after `open`
  receive_sink* receiver = nullptr;
  accept_sink* acceptor = nullptr;
  operation* readers = nullptr;  ///< operations that wait until it is readable, oldest first
  operation* writers = nullptr;
  void* backend_data = nullptr;
};

/// What a callback of `add_reader` or `add_writer` waits for.
enum class watch_kind : std::uint8_t { read, write };

/// How a loop reaches the kernel. Implement it to bring a loop of one's own.
///
/// One backend serves one loop, on the loop's thread; only `wake` may be called from elsewhere.
/// Nothing here calls user code: what happened is queued with `event_loop::queue_ready`, and sinks
/// are called when the loop runs the queued nodes. Every failure that has a caller is thrown as
/// std::system_error.
class RONDO_EXPORT backend {
 public:
  enum class start_result : std::uint8_t { done_inline, pending };

  /// `capabilities()`: operations complete in the kernel, so their buffers belong to it until then.
  static constexpr unsigned completes_in_kernel = 1U << 0;

  backend() = default;
  backend(const backend&) = delete;
  backend& operator=(const backend&) = delete;
  virtual ~backend();

  /// The word that RONDO_LOOP and `event_loop::backend_name` use.
  [[nodiscard]] virtual std::string_view name() const noexcept = 0;
  [[nodiscard]] virtual unsigned capabilities() const noexcept = 0;

  /// Called once, before anything else.
  virtual void attach(event_loop& loop) = 0;

  /// Tries the operation, and parks it where it cannot be done now. A failure is a result, too.
  virtual start_result start(operation& op) = 0;
  /// Asks a pending operation to end; it completes with -ECANCELED, or with its result if it had
  /// one.
  virtual void cancel(operation& op) = 0;
  /// Ends a pending operation without completing it; on return the kernel has let go of its memory.
  virtual void abandon(operation& op) noexcept = 0;

  /// Takes a descriptor of the library over; it costs no system call.
  /// @throws std::logic_error  `add_reader` or `add_writer` watches it
  virtual void open(fd_state& state) = 0;
  /// Forgets it; what is pending on it is abandoned. To be called before the descriptor is closed.
  virtual void close(fd_state& state) noexcept = 0;
  [[nodiscard]] virtual bool is_open(int fd) const noexcept = 0;

  virtual void start_receiving(fd_state& state, receive_sink& sink) = 0;
  virtual void pause_receiving(fd_state& state) = 0;
  virtual void resume_receiving(fd_state& state) = 0;
  virtual void stop_receiving(fd_state& state) = 0;

  virtual void start_accepting(fd_state& state, accept_sink& sink) = 0;
  virtual void stop_accepting(fd_state& state) = 0;

  /// Queues `node` whenever the descriptor is ready, in every iteration in which it is (level
  /// triggered). A watch replaces the earlier one of that kind. The node is queued at most once at
  /// a time: `*queued` is set by the backend when it queues it and is cleared by the node's owner
  /// when it runs.
  /// @throws std::system_error  the descriptor cannot be watched
  /// @throws std::logic_error  a transport uses it
  virtual void watch(int fd, watch_kind kind, detail::ready_node& node, bool& queued) = 0;
  /// Ends a watch; a descriptor that was closed meanwhile is no error. Returns whether there was
  /// one.
  virtual bool unwatch(int fd, watch_kind kind) noexcept = 0;

  /// Collects what happened and queues it; waits at most until `wait` is over (nullopt: without
  /// end), or until `wake` is called. Zero never waits.
  virtual void poll(std::optional<interval> wait) = 0;
  /// Ends a `poll` that waits, or the next one. Callable from any thread and from a signal handler.
  virtual void wake() noexcept = 0;
  /// A descriptor that is readable when `poll` has something to do; -1 where there is none.
  [[nodiscard]] virtual int descriptor() const noexcept = 0;
  /// Lets go of everything; the descriptor of a forked parent is closed without touching its
  /// registrations.
  virtual void shut_down(bool forked) noexcept = 0;
};

}  // namespace v0
}  // namespace rondo
