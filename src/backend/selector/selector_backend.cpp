// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  The backend on top of a selector: try the call, wait for readiness.
#include "backend/selector/selector_backend.hpp"

#include <rondo/event_loop.hpp>

#include "os/broken_pipe.hpp"
#include "os/fork.hpp"
#include "os/syscalls.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <limits>
#include <new>
#include <stdexcept>
#include <string>
#include <utility>

#include <sys/eventfd.h>

namespace rondo {
inline namespace v0 {
namespace detail {
namespace {

constexpr std::size_t first_batch = 64;
constexpr std::size_t largest_batch = 256;
constexpr int receive_budget = 8;     // receives of one descriptor in one turn of the loop
constexpr int operation_budget = 64;  // operations of one descriptor and direction, likewise
constexpr int largest_accept_budget = 1024;
constexpr int failure_limit = 1024;  // accepts in a row that fail, before the listener rests
constexpr int stale_limit = 64;      // events without an owner, before the selector starts anew
constexpr interval accept_rest = std::chrono::seconds(1);

constexpr std::uint64_t wake_data = std::numeric_limits<std::uint64_t>::max();
constexpr std::uintptr_t user_tag = 1;
constexpr std::int64_t must_wait = std::numeric_limits<std::int64_t>::min();

constexpr std::uint8_t read_interest = selector::readable | selector::read_hang_up;
constexpr std::uint8_t directions = selector::readable | selector::writable;
// With one of these there may be an end or an error behind the data, or more data behind a mark.
constexpr std::uint8_t more_behind =
    selector::failed | selector::hang_up | selector::read_hang_up | selector::urgent;

constexpr std::uint8_t without(std::uint8_t set, std::uint8_t bits) noexcept {
  return static_cast<std::uint8_t>(set & ~bits);
}

constexpr std::uint8_t with(std::uint8_t set, std::uint8_t bits) noexcept {
  return static_cast<std::uint8_t>(set | bits);
}

// Readiness in terms of the two directions: whoever waits shall try, and meet the end or the error.
constexpr std::uint8_t expand(std::uint8_t ready) noexcept {
  if ((ready & more_behind) == 0) [[likely]]
    return ready;
  const bool both = (ready & (selector::failed | selector::hang_up)) != 0;
  return with(ready, both ? directions : selector::readable);
}

constexpr bool receives(const fd_state& state) noexcept {
  return state.open && state.receiving && !state.paused;
}

constexpr bool accepts(const fd_state& state) noexcept {
  return state.open && state.accepting && !state.paused;
}

constexpr bool wants_to_read(const fd_state& state) noexcept {
  return ((state.receiving || state.accepting) && !state.paused) || state.readers != nullptr;
}

// Whether something that arrived is waited for.
constexpr bool wants(const fd_state& state) noexcept {
  if ((state.ready & selector::readable) != 0 && wants_to_read(state)) return true;
  return (state.ready & selector::writable) != 0 && state.writers != nullptr;
}

// ---- the operations ----------------------------------------------------------------

constexpr bool is_write(operation_kind kind) noexcept {
  switch (kind) {
    case operation_kind::send:
    case operation_kind::send_message:
    case operation_kind::connect:
    case operation_kind::write:
    case operation_kind::write_message:
    case operation_kind::poll_write:
      return true;
    default:
      return false;
  }
}

std::int64_t try_connect(operation& op) noexcept {
  bool interrupted = false;
  for (;;) {
    if (os::sys.connect(op.fd, static_cast<const sockaddr*>(op.buffer),
                        static_cast<socklen_t>(op.size)) == 0) {
      return 0;
    }
    switch (errno) {
      case EINPROGRESS:
        return must_wait;
      case EINTR:
        // It goes on in the kernel; the second call tells whether it does, or is done already.
        interrupted = true;
        continue;
      case EALREADY:
        if (interrupted) return must_wait;
        return -EALREADY;
      case EISCONN:
        if (interrupted) return 0;
        return -EISCONN;
      default:
        // EAGAIN, too: a unix socket whose peer's backlog is full never becomes writable.
        return -errno;
    }
  }
}

std::int64_t try_poll(const operation& op, short events) noexcept {
  pollfd entry{};
  entry.fd = op.fd;
  entry.events = events;
  for (;;) {
    const int count = os::sys.poll(&entry, 1, 0);
    if (count == 0) return must_wait;
    if (count > 0) return (entry.revents & POLLNVAL) != 0 ? -EBADF : 0;
    if (errno != EINTR) return -errno;
  }
}

std::int64_t call(operation& op) noexcept {
  switch (op.kind) {
    case operation_kind::receive:
      return os::sys.recv(op.fd, op.buffer, op.size, op.flags);
    case operation_kind::send:
      return os::sys.send(op.fd, op.buffer, op.size, op.flags | MSG_NOSIGNAL);
    case operation_kind::receive_message:
      return os::sys.recvmsg(op.fd, op.message, op.flags);
    case operation_kind::send_message:
      return os::sys.sendmsg(op.fd, op.message, op.flags | MSG_NOSIGNAL);
    case operation_kind::accept: {
      auto size = static_cast<socklen_t>(op.size);
      const int fd =
          os::sys.accept4(op.fd, static_cast<sockaddr*>(op.buffer),
                          op.buffer == nullptr ? nullptr : &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd >= 0 && op.buffer != nullptr) op.size = size;
      return fd;
    }
    case operation_kind::read:
      return op.offset < 0 ? os::sys.read(op.fd, op.buffer, op.size)
                           : os::sys.pread(op.fd, op.buffer, op.size, op.offset);
    case operation_kind::write: {
      if (op.offset >= 0) return os::sys.pwrite(op.fd, op.buffer, op.size, op.offset);
      ::iovec part{};
      part.iov_base = op.buffer;
      part.iov_len = op.size;
      return os::write_without_signal(op.fd, &part, 1);
    }
    case operation_kind::write_message:
      return os::write_without_signal(op.fd, op.message->msg_iov,
                                      static_cast<int>(op.message->msg_iovlen));
    default:
      errno = EINVAL;
      return -1;
  }
}

// One try: the result, a negated errno value, or must_wait.
std::int64_t attempt(operation& op) noexcept {
  switch (op.kind) {
    case operation_kind::connect:
      return try_connect(op);
    case operation_kind::poll_read:
      return try_poll(op, POLLIN);
    case operation_kind::poll_write:
      return try_poll(op, POLLOUT);
    case operation_kind::poll_end:
      return try_poll(op, 0);
    default:
      break;
  }
  for (;;) {
    const std::int64_t result = call(op);
    if (result >= 0) return result;
    const int error = errno;
    if (error == EAGAIN) return must_wait;
    if (error == EINTR) continue;
    // The client gave up while it was queued; the next one may not have.
    if (error == ECONNABORTED && op.kind == operation_kind::accept) continue;
    return -error;
  }
}

// The try after the descriptor became ready.
std::int64_t attempt_again(operation& op) noexcept {
  if (op.kind != operation_kind::connect) return attempt(op);
  int error = 0;
  socklen_t size = sizeof error;
  if (os::sys.getsockopt(op.fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0) return -errno;
  return -error;
}

// A queue is a pointer to its first operation, whose `previous` is the last one.
void link(operation*& first, operation& op) noexcept {
  op.next = nullptr;
  op.backend_data = &first;
  op.pending = true;
  if (first == nullptr) {
    op.previous = &op;
    first = &op;
  } else {
    operation& last = *first->previous;
    last.next = &op;
    op.previous = &last;
    first->previous = &op;
  }
}

void unlink(operation& op) noexcept {
  operation*& first = *static_cast<operation**>(op.backend_data);
  if (first == &op) {
    first = op.next;
    if (first != nullptr) first->previous = op.previous;
  } else {
    op.previous->next = op.next;
    (op.next != nullptr ? op.next : first)->previous = op.previous;
  }
  op.next = nullptr;
  op.previous = nullptr;
  op.backend_data = nullptr;
  op.pending = false;
}

void finish(operation& op, std::int64_t result) noexcept {
  unlink(op);
  op.result = result;
  op.complete(op);
}

// Runs what waits in one direction, until it would have to wait again or the budget is spent.
void run_waiting(operation*& first, std::uint8_t& ready, std::uint8_t direction) noexcept {
  for (int budget = operation_budget; first != nullptr && budget > 0; --budget) {
    operation& op = *first;
    const std::int64_t result = attempt_again(op);
    if (result == must_wait) {
      ready = without(ready, direction);
      return;
    }
    finish(op, result);
  }
}

// ---- receiving ---------------------------------------------------------------------

int socket_option(int fd, int name) noexcept {
  int value = -1;
  socklen_t size = sizeof value;
  return os::sys.getsockopt(fd, SOL_SOCKET, name, &value, &size) == 0 ? value : -errno;
}

[[gnu::cold]] fd_state::stream_kind find_kind(int fd) noexcept {
  using kind = fd_state::stream_kind;
  const int protocol = socket_option(fd, SO_PROTOCOL);
  constexpr int multipath_tcp = 262;  // IPPROTO_MPTCP, which older headers lack
  if (protocol == IPPROTO_TCP || protocol == multipath_tcp) return kind::tcp;
  if (protocol == -ENOTSOCK) return kind::plain;
  if (protocol == 0 && socket_option(fd, SO_DOMAIN) == AF_UNIX &&
      socket_option(fd, SO_TYPE) == SOCK_STREAM) {
    return kind::local;
  }
  return kind::other;
}

// recv() for whatever is not TCP. `drained`: a short count means that nothing is left.
[[gnu::noinline]] ssize_t receive_other(const fd_state& state, std::span<char> room,
                                        bool& drained) noexcept {
  drained = false;
  switch (state.kind) {
    case fd_state::stream_kind::plain:
      return os::sys.read(state.fd, room.data(), room.size());
    case fd_state::stream_kind::local: {
      // A receive ends at a passed descriptor, and between senders if credentials are on. Either
      // way there was ancillary data, for which we have no room: the kernel says so.
      iovec part{};
      part.iov_base = room.data();
      part.iov_len = room.size();
      msghdr message{};
      message.msg_iov = &part;
      message.msg_iovlen = 1;
      const ssize_t count = os::sys.recvmsg(state.fd, &message, MSG_CMSG_CLOEXEC);
      drained = (message.msg_flags & MSG_CTRUNC) == 0;
      return count;
    }
    default:
      return os::sys.recv(state.fd, room.data(), room.size(), 0);
  }
}

// ---- accepting ---------------------------------------------------------------------

enum class accept_failure : std::uint8_t { would_block, skip, exhausted, broken };

accept_failure classify_accept(int error) noexcept {
  switch (error) {
    case EAGAIN:
      return accept_failure::would_block;
    case EINTR:
    case ECONNABORTED:
    // Errors of the network that accept(2) hands on belong to the one connection.
    case EPROTO:
    case ENETDOWN:
    case ENOPROTOOPT:
    case EHOSTDOWN:
    case ENONET:
    case EHOSTUNREACH:
    case EOPNOTSUPP:
    case ENETUNREACH:
    case EPERM:
      return accept_failure::skip;
    case EBADF:
    case EINVAL:
    case ENOTSOCK:
      return accept_failure::broken;
    default:
      // EMFILE, ENFILE, ENOBUFS, ENOMEM; and with what we do not know, better slowly than never.
      return accept_failure::exhausted;
  }
}

}  // namespace

// ---- set-up and teardown -----------------------------------------------------------

selector_backend::selector_backend(std::unique_ptr<selector> source)
    : events_(first_batch),
      selector_(source ? std::move(source) : std::make_unique<epoll_selector>()),
      edge_(selector_->edge_triggered()) {}

selector_backend::~selector_backend() {
  shut_down(false);
  while (free_entries_ != nullptr) delete std::exchange(free_entries_, free_entries_->next_free);
}

std::string_view selector_backend::name() const noexcept {
  return selector_ ? selector_->name() : std::string_view();
}

unsigned selector_backend::capabilities() const noexcept { return 0; }

void selector_backend::attach(event_loop& loop) {
  os::descriptor wake(os::sys.eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake) os::throw_error(errno, "eventfd");
  const std::uint8_t interest =
      edge_ ? with(selector::readable, selector::edge) : selector::readable;
  const int error = selector_->add(wake.get(), interest, wake_data);
  if (error != 0) os::throw_error(error, "the loop's wake-up descriptor cannot be watched");
  wake_ = std::move(wake);
  fork_generation_ = os::fork_generation();
  loop_ = &loop;
}

void selector_backend::shut_down(bool forked) noexcept {
  if (selector_ == nullptr) return;
  for (slot& place : table_) {
    if (fd_state* const state = library_owner(place)) {
      state->registered = 0;  // the selector goes as a whole; a forked parent's stays as it is
      forget(*state);
    } else if (user_entry* const entry = user_owner(place)) {
      for (operation*& first : entry->waiting) {
        while (first != nullptr) unlink(*first);
      }
      entry->watchers = {};
      entry->known = false;
      detach(*entry);
    }
    place.owner = 0;
    ++place.generation;
  }
  static_cast<void>(forked);
  wake_.reset();
  selector_.reset();
}

// The selector of a forked child is its parent's: what is removed here would be missing there.
bool selector_backend::in_child() const noexcept {
  return fork_generation_ != os::fork_generation();
}

int selector_backend::descriptor() const noexcept {
  return selector_ ? selector_->descriptor() : -1;
}

// ---- the table ---------------------------------------------------------------------

std::uint64_t selector_backend::data_of(int fd, std::uint32_t generation) noexcept {
  return static_cast<std::uint32_t>(fd) | std::uint64_t{generation} << 32U;
}

fd_state* selector_backend::library_owner(const slot& place) noexcept {
  // NOLINTNEXTLINE: the tag bit makes one word of two pointer types
  return (place.owner & user_tag) == 0 ? reinterpret_cast<fd_state*>(place.owner) : nullptr;
}

selector_backend::user_entry* selector_backend::user_owner(const slot& place) noexcept {
  // NOLINTNEXTLINE
  return (place.owner & user_tag) != 0 ? reinterpret_cast<user_entry*>(place.owner ^ user_tag)
                                       : nullptr;
}

selector_backend::slot* selector_backend::find(int fd) noexcept {
  const auto index = static_cast<std::uint32_t>(fd);
  return index < table_.size() ? &table_[index] : nullptr;
}

selector_backend::slot& selector_backend::slot_of(int fd) {
  const auto index = static_cast<std::size_t>(fd);
  if (index >= table_.size()) {
    table_.resize(std::max({index + 1, table_.size() * 2, std::size_t{64}}));
  }
  return table_[index];
}

bool selector_backend::is_open(int fd) const noexcept {
  const auto index = static_cast<std::uint32_t>(fd);
  return index < table_.size() && library_owner(table_[index]) != nullptr;
}

void selector_backend::queue(fd_state& state) noexcept {
  if (state.queued) return;
  state.queued = true;
  loop_->queue_ready(state);
}

void selector_backend::queue(user_entry& entry) noexcept {
  if (entry.queued) return;
  entry.queued = true;
  loop_->queue_ready(entry);
}

// ---- waiting -----------------------------------------------------------------------

void selector_backend::poll(std::optional<interval> wait) {
  if (stale_events_ >= stale_limit) rebuild();
  const std::ptrdiff_t count = selector_->select(events_, wait);
  if (count < 0) os::throw_error(static_cast<int>(-count), "waiting for events failed");
  const slot* const table = table_.data();  // nothing in here makes it grow
  const std::size_t size = table_.size();
  for (const selector::event& event : std::span(events_.data(), static_cast<std::size_t>(count))) {
    const auto index = static_cast<std::uint32_t>(event.data);
    if (index >= size || table[index].generation != event.data >> 32U) [[unlikely]] {
      on_other_event(event);
      continue;
    }
    fd_state* const state = library_owner(table[index]);
    if (state == nullptr) {
      on_user_event(*user_owner(table[index]), event.ready);
      continue;
    }
    state->ready = with(state->ready, expand(event.ready));
    if (wants(*state)) queue(*state);
    if (!edge_) ignore_unwanted(*state);
  }
  if (static_cast<std::size_t>(count) == events_.size() && events_.size() < largest_batch) {
    events_.resize(largest_batch);
  }
}

void selector_backend::on_other_event(const selector::event& event) noexcept {
  if (event.data == wake_data) {
    if (edge_) return;  // the next write is a new edge, whatever stands in the counter
    std::uint64_t count = 0;
    static_cast<void>(os::sys.read(wake_.get(), &count, sizeof count));
    return;
  }
  // The user closed a descriptor that is watched, while a copy of it (dup, a child) keeps the
  // registration alive: it cannot be removed by that number, and a level never falls.
  ++stale_events_;
}

void selector_backend::rebuild() noexcept {
  stale_events_ = 0;
  if (selector_->reset() != 0) return;
  static_cast<void>(selector_->add(
      wake_.get(), edge_ ? with(selector::readable, selector::edge) : selector::readable,
      wake_data));
  for (const slot& place : table_) {
    if (fd_state* const state = library_owner(place)) {
      const std::uint8_t interest = without(std::exchange(state->registered, 0), selector::edge);
      if (interest != 0) static_cast<void>(arm(*state, interest));
    } else if (user_entry* const entry = user_owner(place)) {
      entry->known = false;
      entry->armed = 0;
      update(*entry);
      recycle_if_idle(*entry);
    }
  }
}

void selector_backend::wake() noexcept {
  const int saved = errno;
  const std::uint64_t one = 1;
  while (os::sys.write(wake_.get(), &one, sizeof one) < 0) {
    if (errno == EAGAIN) {
      // The counter is full, so that there was no edge; emptied, it takes the write.
      std::uint64_t count = 0;
      static_cast<void>(os::sys.read(wake_.get(), &count, sizeof count));
    } else if (errno != EINTR) {
      break;
    }
  }
  errno = saved;
}

// ---- descriptors of the library ----------------------------------------------------

void selector_backend::open(fd_state& state) {
  if (state.fd < 0) os::throw_error(EBADF, "no file descriptor");
  slot& place = slot_of(state.fd);
  std::uint8_t registered = 0;
  if (library_owner(place) != nullptr) {
    throw std::logic_error("File descriptor " + std::to_string(state.fd) + " is used by transport");
  }
  if (user_entry* const entry = user_owner(place)) {
    if (const std::uint8_t interest = interest_of(*entry); interest != 0) {
      const int error = selector_->modify(state.fd, interest, data_of(state.fd, place.generation));
      // Unless the user closed that one, and ours has got its number.
      if (error != ENOENT) {
        throw std::logic_error("File descriptor " + std::to_string(state.fd) +
                               " is used by add_reader, add_writer or a socket operation");
      }
      end_stale(*entry, error);
    }
    // Left over and silent: it is taken over, which saves a call of removing it.
    if (entry->known) registered = selector::edge;
    entry->known = false;
    detach(*entry);
  }
  // NOLINTNEXTLINE: see library_owner
  place.owner = reinterpret_cast<std::uintptr_t>(&state);
  state.generation = ++place.generation;
  state.registered = registered;
  state.ready = 0;
  state.receiving = false;
  state.accepting = false;
  state.paused = false;
  state.open = true;
  state.kind = fd_state::stream_kind::unknown;
  state.receiver = nullptr;
  state.acceptor = nullptr;
  state.run = run_state;
  state.backend_data = this;
}

void selector_backend::close(fd_state& state) noexcept {
  if (!state.open) return;
  slot& place = *find(state.fd);
  if (state.registered != 0 && !in_child()) selector_->remove(state.fd);
  state.registered = 0;
  forget(state);
  place.owner = 0;
  ++place.generation;
  // A descriptor is about to be free: listeners that ran out of them may have it.
  if (resting_ != 0) resume_listeners();
}

void selector_backend::forget(fd_state& state) noexcept {
  if (state.accepting) remove_listener(state);
  state.open = false;
  state.receiving = false;
  state.accepting = false;
  state.ready = 0;
  while (state.readers != nullptr) unlink(*state.readers);
  while (state.writers != nullptr) unlink(*state.writers);
}

// Adds to what the kernel reports of the descriptor. Returns 0 or an errno value.
int selector_backend::arm(fd_state& state, std::uint8_t interest) noexcept {
  if ((state.registered & interest) == interest) return 0;
  const std::uint8_t wanted =
      with(with(state.registered, interest), edge_ ? selector::edge : std::uint8_t{0});
  const std::uint64_t data = data_of(state.fd, state.generation);
  int error = 0;
  if (state.registered == 0) {
    error = selector_->add(state.fd, wanted, data);
    if (error == EEXIST) error = selector_->modify(state.fd, wanted, data);
  } else {
    error = selector_->modify(state.fd, wanted, data);
    if (error == ENOENT) error = selector_->add(state.fd, wanted, data);
  }
  if (error == 0) state.registered = wanted;
  return error;
}

// Level-triggered selectors only: what nobody wants now must not be reported again and again.
void selector_backend::ignore_unwanted(fd_state& state) noexcept {
  const bool reads = wants_to_read(state);
  const bool writes = state.writers != nullptr;
  std::uint8_t wanted = state.registered;
  if (!reads && (state.ready & selector::readable) != 0) wanted = without(wanted, read_interest);
  if (!writes && (state.ready & selector::writable) != 0) {
    wanted = without(wanted, selector::writable);
  }
  if (wanted == state.registered && wanted != 0) return;
  // An end or an error is reported without being asked for: only removal silences it.
  const int error = wanted == 0
                        ? selector_->remove(state.fd)
                        : selector_->modify(state.fd, wanted, data_of(state.fd, state.generation));
  if (error == 0 || wanted == 0) state.registered = wanted;
}

void selector_backend::start_receiving(fd_state& state, receive_sink& sink) {
  const int error = arm(state, read_interest);
  if (error != 0) {
    os::throw_error(error, "cannot receive from file descriptor " + std::to_string(state.fd));
  }
  state.receiver = &sink;
  state.receiving = true;
  state.paused = false;
  if (wants(state)) queue(state);
}

void selector_backend::pause_receiving(fd_state& state) { state.paused = true; }

void selector_backend::resume_receiving(fd_state& state) {
  if (!state.receiving) return;
  const int error = arm(state, read_interest);
  if (error != 0) {
    os::throw_error(error, "cannot receive from file descriptor " + std::to_string(state.fd));
  }
  state.paused = false;
  if (wants(state)) queue(state);
}

void selector_backend::stop_receiving(fd_state& state) {
  state.receiving = false;
  state.receiver = nullptr;
}

void selector_backend::run_state(ready_node& node, event_loop* loop) {
  auto& state = static_cast<fd_state&>(node);
  state.queued = false;
  // Closed since it was queued; and what it is now, another node may have to serve.
  if (loop == nullptr || !state.open) return;
  auto& self = *static_cast<selector_backend*>(state.backend_data);
  // Also on the way of an exception (keyboard_interrupt, system_exit): no readiness may get lost.
  struct guard {
    selector_backend& backend;
    fd_state& served;
    ~guard() {
      if (wants(served) && served.open) backend.queue(served);
    }
  };
  const guard again{self, state};
  if ((state.ready & selector::readable) != 0) {
    if (receives(state)) [[likely]] {
      self.receive(state);
    } else if (accepts(state)) {
      self.accept(state);
    }
    if (state.readers != nullptr) run_waiting(state.readers, state.ready, selector::readable);
  }
  if ((state.ready & selector::writable) != 0 && state.writers != nullptr) {
    run_waiting(state.writers, state.ready, selector::writable);
  }
}

void selector_backend::receive(fd_state& state) {
  if (state.kind == fd_state::stream_kind::unknown) state.kind = find_kind(state.fd);
  // Any callback may pause, stop, close or reopen the state, or exchange the sink: nothing is kept
  // from before a call to after it.
  for (int budget = receive_budget; budget > 0; --budget) {
    const std::span<char> room = state.receiver->get_buffer(-1);
    if (!receives(state)) return;
    if (room.empty()) {
      state.receiving = false;
      state.receiver->on_error(ENOBUFS);
      return;
    }
    bool drained = true;
    const ssize_t count = state.kind == fd_state::stream_kind::tcp
                              ? os::sys.recv(state.fd, room.data(), room.size(), 0)
                              : receive_other(state, room, drained);
    if (count > 0) [[likely]] {
      const auto size = static_cast<std::size_t>(count);
      if (size < room.size() && drained && (state.ready & more_behind) == 0) {
        state.ready = without(state.ready, selector::readable);
      }
      state.receiver->on_bytes(room.first(size));
      if ((state.ready & selector::readable) == 0 || !receives(state)) return;
    } else if (count == 0) {
      state.receiving = false;
      state.receiver->on_eof();
      return;
    } else {
      const int error = errno;
      if (error == EINTR) continue;
      if (error == EAGAIN) {
        state.ready = without(state.ready, with(selector::readable, more_behind));
        return;
      }
      state.receiving = false;
      state.receiver->on_error(error);
      return;
    }
  }
}

// ---- listeners ---------------------------------------------------------------------

void selector_backend::start_accepting(fd_state& state, accept_sink& sink) {
  if (!state.accepting) {
    auto entry = std::make_unique<listener>();
    const int error = arm(state, selector::readable);
    if (error != 0) {
      os::throw_error(error, "cannot accept on file descriptor " + std::to_string(state.fd));
    }
    entry->run = run_listener;
    entry->state = &state;
    entry->owner = this;
    entry->next = listeners_;
    listeners_ = entry.release();
    state.accepting = true;
    state.paused = false;
  }
  state.acceptor = &sink;
  if (wants(state)) queue(state);
}

void selector_backend::stop_accepting(fd_state& state) {
  if (!state.accepting) return;
  remove_listener(state);
  state.accepting = false;
  state.paused = false;
  state.acceptor = nullptr;
}

void selector_backend::accept(fd_state& state) {
  int budget = std::clamp(state.acceptor->accept_budget(), 1, largest_accept_budget);
  for (; budget > 0; --budget) {
    sockaddr_storage address;  // NOLINT: the kernel fills what is read
    socklen_t size = sizeof address;
    const int fd = os::sys.accept4(state.fd, reinterpret_cast<sockaddr*>(&address),  // NOLINT
                                   &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) [[likely]] {
      state.failures = 0;
      state.acceptor->on_accept(fd, &address, size);
      if (!accepts(state)) return;
      continue;
    }
    const int error = errno;
    switch (classify_accept(error)) {
      case accept_failure::would_block:
        state.failures = 0;
        state.ready = without(state.ready, with(selector::readable, more_behind));
        return;
      case accept_failure::skip:
        // Each failure takes one connection from the queue, unless a sandbox forbids the call.
        if (++state.failures < failure_limit) break;
        state.failures = 0;
        rest(state, error);
        return;
      case accept_failure::exhausted:
        rest(state, error);
        return;
      case accept_failure::broken: {
        accept_sink& sink = *state.acceptor;
        stop_accepting(state);
        sink.on_accept_error(error, interval(), true);
        return;
      }
    }
  }
}

selector_backend::listener* selector_backend::listener_of(const fd_state& state) noexcept {
  listener* entry = listeners_;
  while (entry->state != &state) entry = entry->next;
  return entry;
}

// Out of descriptors or memory: leaves the queued clients where they are for a while.
void selector_backend::rest(fd_state& state, int error) {
  listener& entry = *listener_of(state);
  const bool report = !entry.quiet;
  if (report) {
    // Armed by the report, not by the rest: one that ends early, because a descriptor was closed,
    // may be followed by another one, and there is at most one report in that time.
    loop_->arm_timer(entry, add_saturated(loop_->time(), accept_rest));
    entry.quiet = true;
  }
  entry.resting = true;
  state.paused = true;
  ++resting_;
  if (report) state.acceptor->on_accept_error(error, accept_rest, false);
}

void selector_backend::run_listener(ready_node& node, event_loop* loop) {
  auto& entry = static_cast<listener&>(static_cast<timer_node&>(node));
  entry.quiet = false;
  if (entry.state == nullptr) {
    delete &entry;
  } else if (loop != nullptr && entry.resting) {
    entry.owner->resume(entry);
  }
}

void selector_backend::resume(listener& entry) noexcept {
  entry.resting = false;
  --resting_;
  fd_state& state = *entry.state;
  state.paused = false;
  // Later, not now: whoever closes a state closes its descriptor after it.
  if (arm(state, selector::readable) == 0 && wants(state)) queue(state);
}

void selector_backend::resume_listeners() noexcept {
  for (listener* entry = listeners_; entry != nullptr; entry = entry->next) {
    if (entry->resting) resume(*entry);
  }
}

void selector_backend::remove_listener(const fd_state& state) noexcept {
  listener** place = &listeners_;
  while ((*place)->state != &state) place = &(*place)->next;
  listener& entry = **place;
  *place = entry.next;
  if (entry.resting) --resting_;
  if (entry.armed()) {
    loop_->disarm_timer(entry);
    delete &entry;
  } else if (entry.quiet) {
    entry.state = nullptr;  // it stands in the ready queue, and is deleted when it runs
  } else {
    delete &entry;
  }
}

// ---- descriptors of the user -------------------------------------------------------

selector_backend::user_entry& selector_backend::make_user_entry(int fd, slot& place) {
  if (free_entries_ == nullptr) free_entries_ = new user_entry;
  user_entry& entry = *std::exchange(free_entries_, free_entries_->next_free);
  entry.run = run_user;
  entry.owner = this;
  entry.next_free = nullptr;
  entry.fd = fd;
  entry.known = false;
  entry.armed = 0;
  entry.ready = 0;
  // NOLINTNEXTLINE: see library_owner
  place.owner = reinterpret_cast<std::uintptr_t>(&entry) | user_tag;
  ++place.generation;
  return entry;
}

std::uint8_t selector_backend::interest_of(const user_entry& entry) noexcept {
  std::uint8_t interest = 0;
  if (entry.watchers[reading].node != nullptr || entry.waiting[reading] != nullptr) {
    interest = selector::readable;
  }
  if (entry.watchers[writing].node != nullptr || entry.waiting[writing] != nullptr) {
    interest = with(interest, selector::writable);
  }
  return interest;
}

// Tells the kernel, whatever it knows already. Returns 0 or an errno value.
int selector_backend::enroll(user_entry& entry, std::uint8_t interest) noexcept {
  const std::uint64_t data = data_of(entry.fd, find(entry.fd)->generation);
  int error = 0;
  if (entry.known) {
    error = selector_->modify(entry.fd, interest, data);
  } else {
    error = selector_->add(entry.fd, interest, data);
    if (error == EEXIST) error = selector_->modify(entry.fd, interest, data);
  }
  if (error == 0) {
    entry.known = true;
    entry.armed = interest;
  }
  return error;
}

// Registers one interest more, and so finds out whether the number still means the same file.
int selector_backend::request(user_entry& entry, std::uint8_t interest, bool level) noexcept {
  const auto mode = [&]() -> std::uint8_t {
    const bool watched = level || entry.watchers[reading].node || entry.watchers[writing].node;
    return edge_ && !watched ? selector::once : std::uint8_t{0};
  };
  const bool was_known = entry.known;
  int error = enroll(entry, with(with(interest_of(entry), interest), mode()));
  if (was_known && (error == ENOENT || error == EBADF)) {
    end_stale(entry, error);
    if (error == ENOENT) error = enroll(entry, with(interest, mode()));
  }
  return error;
}

// Makes the kernel report what is still wanted, and nothing else.
void selector_backend::update(user_entry& entry) noexcept {
  if (in_child()) return;
  std::uint8_t wanted = interest_of(entry);
  if (wanted == 0) {
    entry.ready = 0;
    // One that is silent by itself stays: the next operation needs one call less.
    if (entry.known && entry.armed != 0) {
      selector_->remove(entry.fd);
      entry.known = false;
      entry.armed = 0;
    }
    return;
  }
  const bool watched = entry.watchers[reading].node || entry.watchers[writing].node;
  if (edge_ && !watched) wanted = with(wanted, selector::once);
  if (wanted == entry.armed) return;
  // Whoever still waits for a descriptor that was closed would wait for ever.
  if (const int error = enroll(entry, wanted); error != 0) end_stale(entry, error);
}

// The user closed the descriptor: nothing that waited for it may see events of the next file.
void selector_backend::end_stale(user_entry& entry, int error) noexcept {
  entry.known = false;
  entry.armed = 0;
  entry.ready = 0;
  entry.watchers = {};
  ++find(entry.fd)->generation;
  for (operation*& first : entry.waiting) {
    while (first != nullptr) finish(*first, error == ENOENT ? -EBADF : -error);
  }
}

void selector_backend::detach(user_entry& entry) noexcept {
  slot& place = *find(entry.fd);
  place.owner = 0;
  ++place.generation;
  entry.fd = -1;
  if (entry.queued) return;  // goes to the free ones when its node has run
  entry.next_free = std::exchange(free_entries_, &entry);
}

void selector_backend::recycle_if_idle(user_entry& entry) noexcept {
  if (!entry.known && !entry.queued && interest_of(entry) == 0) detach(entry);
}

void selector_backend::watch(int fd, watch_kind kind, ready_node& node, bool& queued) {
  const auto describe = [&] { return "file descriptor " + std::to_string(fd); };
  // Asked before the table grows: numbers that mean nothing may be huge.
  if (fd < 0 || (find(fd) == nullptr && os::sys.fcntl(fd, F_GETFD, 0) < 0)) {
    os::throw_error(EBADF, describe());
  }
  slot& place = slot_of(fd);
  if (library_owner(place) != nullptr) {
    throw std::logic_error("File descriptor " + std::to_string(fd) + " is used by transport");
  }
  user_entry* entry = user_owner(place);
  if (entry == nullptr) entry = &make_user_entry(fd, place);
  const bool writes = kind == watch_kind::write;
  const int error = request(*entry, writes ? selector::writable : selector::readable, true);
  if (error != 0) {
    recycle_if_idle(*entry);
    os::throw_error(error, describe() + " cannot be watched");
  }
  entry->watchers[writes ? writing : reading] = {&node, &queued};
}

bool selector_backend::unwatch(int fd, watch_kind kind) noexcept {
  slot* const place = find(fd);
  user_entry* const entry = place != nullptr ? user_owner(*place) : nullptr;
  if (entry == nullptr) return false;
  watcher& watched = entry->watchers[kind == watch_kind::write ? writing : reading];
  if (watched.node == nullptr) return false;
  watched = {};
  update(*entry);
  recycle_if_idle(*entry);
  return true;
}

void selector_backend::on_user_event(user_entry& entry, std::uint8_t ready) noexcept {
  if ((entry.armed & selector::once) != 0) entry.armed = 0;
  const std::uint8_t found = expand(ready);
  const auto report = [&](std::size_t direction, std::uint8_t bit) {
    if ((found & bit) == 0) return;
    if (entry.waiting[direction] != nullptr) {
      entry.ready = with(entry.ready, bit);
      queue(entry);
    }
    const watcher& watched = entry.watchers[direction];
    if (watched.node != nullptr && !*watched.queued) {
      *watched.queued = true;
      loop_->queue_ready(*watched.node);
    }
  };
  report(reading, selector::readable);
  report(writing, selector::writable);
}

void selector_backend::run_user(ready_node& node, event_loop* loop) {
  auto& entry = static_cast<user_entry&>(node);
  selector_backend& self = *entry.owner;
  entry.queued = false;
  if (entry.fd < 0) {
    entry.next_free = std::exchange(self.free_entries_, &entry);
    return;
  }
  if (loop == nullptr) return;
  if ((entry.ready & selector::readable) != 0) {
    run_waiting(entry.waiting[reading], entry.ready, selector::readable);
  }
  if ((entry.ready & selector::writable) != 0) {
    run_waiting(entry.waiting[writing], entry.ready, selector::writable);
  }
  self.update(entry);
  if (((entry.ready & selector::readable) != 0 && entry.waiting[reading] != nullptr) ||
      ((entry.ready & selector::writable) != 0 && entry.waiting[writing] != nullptr)) {
    self.queue(entry);
  }
  self.recycle_if_idle(entry);
}

// ---- operations --------------------------------------------------------------------

backend::start_result selector_backend::start(operation& op) {
  // What nearly every operation is: a send on a descriptor of the library to which nobody waits to
  // write.
  if (op.kind == operation_kind::send) [[likely]] {
    const slot* const place = find(op.fd);
    const fd_state* const state = place != nullptr ? library_owner(*place) : nullptr;
    if (state != nullptr && state->writers == nullptr) [[likely]] {
      const ssize_t sent = os::sys.send(op.fd, op.buffer, op.size, op.flags | MSG_NOSIGNAL);
      if (sent >= 0) [[likely]] {
        op.result = sent;
        return start_result::done_inline;
      }
      if (errno == EAGAIN) return park(op, true);
      if (errno != EINTR) {
        op.result = -errno;
        return start_result::done_inline;
      }
    }
  }
  // Those that wait already go first.
  if (const slot* const place = find(op.fd); place != nullptr && place->owner != 0) {
    const bool writes = is_write(op.kind);
    const fd_state* const state = library_owner(*place);
    const operation* const first = state != nullptr
                                       ? (writes ? state->writers : state->readers)
                                       : user_owner(*place)->waiting[writes ? writing : reading];
    if (first != nullptr) return park(op, false);
  }
  const std::int64_t result = attempt(op);
  if (result == must_wait) return park(op, true);
  op.result = result;
  return start_result::done_inline;
}

// `tried`: the kernel has just said that there is nothing, so that older readiness is used up.
backend::start_result selector_backend::park(operation& op, bool tried) {
  const bool writes = is_write(op.kind);
  const std::uint8_t direction = writes ? selector::writable : selector::readable;
  slot& place = slot_of(op.fd);
  int error = 0;
  if (fd_state* const state = library_owner(place)) {
    std::uint8_t interest = writes ? selector::writable : read_interest;
    // What was connected will be read from, too; both at once save a call.
    if (op.kind == operation_kind::connect && edge_) interest = with(interest, read_interest);
    // What nobody reads may stay for ever: only the end, which is reported unasked, matters.
    if (op.kind == operation_kind::poll_end) interest = selector::failed;
    error = arm(*state, interest);
    if (error == 0) {
      if (tried) state->ready = without(state->ready, direction);
      link(writes ? state->writers : state->readers, op);
      return start_result::pending;
    }
  } else {
    user_entry* entry = user_owner(place);
    if (entry == nullptr) entry = &make_user_entry(op.fd, place);
    error = request(*entry, direction, false);
    if (error == 0) {
      if (tried) entry->ready = without(entry->ready, direction);
      link(entry->waiting[writes ? writing : reading], op);
      return start_result::pending;
    }
    recycle_if_idle(*entry);
  }
  op.result = -error;
  return start_result::done_inline;
}

void selector_backend::unpark(operation& op) noexcept {
  const void* const where = op.backend_data;
  unlink(op);
  slot& place = *find(op.fd);
  user_entry* const entry = user_owner(place);
  if (entry == nullptr) return;
  if (where != &entry->waiting[reading] && where != &entry->waiting[writing]) return;
  // Before anything else can use the descriptor.
  update(*entry);
  recycle_if_idle(*entry);
}

void selector_backend::cancel(operation& op) {
  if (!op.pending) return;
  unpark(op);
  op.result = -ECANCELED;
  op.complete(op);
}

void selector_backend::abandon(operation& op) noexcept {
  if (op.pending) unpark(op);
}

}  // namespace detail
}  // namespace v0
}  // namespace rondo
