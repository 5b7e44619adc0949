// SPDX-License-Identifier: MIT
// rondo tests: a loop on a selector backend, sinks, sockets and operations for tests of the seam.
#pragma once

#include "backend/selector/selector_backend.hpp"
#include "os/descriptor.hpp"
#include "os/syscalls.hpp"
#include "support/catch.hpp"
#include "support/fault_table.hpp"

#include <rondo/event_loop.hpp>

#include <dirent.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace selector_test {

using namespace std::chrono_literals;
using rondo::fd_state;
using rondo::operation;
using rondo::operation_kind;
using rondo::detail::selector_backend;
using rondo::os::descriptor;
using rondo::os::system_calls;
using rondo_test::fault;

/// epoll without edges and one-shots: what poll and select will be like.
class level_selector final : public rondo::selector {
 public:
  [[nodiscard]] std::string_view name() const noexcept override { return "level"; }
  [[nodiscard]] bool edge_triggered() const noexcept override { return false; }
  [[nodiscard]] int add(int fd, std::uint8_t interest, std::uint64_t data) noexcept override {
    check(interest);
    return inner_.add(fd, interest, data);
  }
  [[nodiscard]] int modify(int fd, std::uint8_t interest, std::uint64_t data) noexcept override {
    check(interest);
    return inner_.modify(fd, interest, data);
  }
  int remove(int fd) noexcept override { return inner_.remove(fd); }
  std::ptrdiff_t select(std::span<event> events,
                        std::optional<rondo::interval> wait) noexcept override {
    return inner_.select(events, wait);
  }
  int reset() noexcept override { return inner_.reset(); }
  [[nodiscard]] int descriptor() const noexcept override { return inner_.descriptor(); }

 private:
  static void check(std::uint8_t interest) noexcept {
    if ((interest & (edge | once)) != 0) std::abort();
  }
  rondo::epoll_selector inner_;
};

/// A loop whose clock can be put forward.
class shifted_loop final : public rondo::event_loop {
 public:
  using event_loop::event_loop;
  [[nodiscard]] rondo::time_point time() const noexcept override {
    return event_loop::time() + shift;
  }
  rondo::clock::duration shift{};
};

/// Counts the waits of an epoll selector, whichever call they take.
class wait_counter {
 public:
  [[nodiscard]] int calls() const { return coarse_.calls() + fine_.calls(); }
  void restart() {
    coarse_.restart();
    fine_.restart();
  }

 private:
  fault<&system_calls::epoll_wait> coarse_;
  fault<&system_calls::epoll_pwait2> fine_;
};

inline std::size_t open_descriptors() {
  std::size_t count = 0;
  DIR* const directory = ::opendir("/proc/self/fd");
  while (::readdir(directory) != nullptr) ++count;
  ::closedir(directory);
  return count;
}

/// A loop and its backend; checks at the end that no descriptor was left over.
class harness {
 public:
  explicit harness(bool level = false) {
    std::unique_ptr<rondo::selector> source;
    if (level) source = std::make_unique<level_selector>();
    auto backend = std::make_unique<selector_backend>(std::move(source));
    io_ = backend.get();
    loop_ = std::make_unique<shifted_loop>(std::move(backend));
  }
  harness(const harness&) = delete;
  harness& operator=(const harness&) = delete;
  ~harness() {
    loop_.reset();
    CHECK(open_descriptors() == descriptors_);
  }

  [[nodiscard]] selector_backend& io() const { return *io_; }
  [[nodiscard]] rondo::event_loop& loop() const { return *loop_; }

  /// Puts the loop's clock forward.
  void advance(std::chrono::nanoseconds by) const { loop_->shift += by; }

  /// Iterations that do not wait.
  void turn(int count = 1) const {
    while (count-- > 0) loop_->run_once();
  }

  /// Iterations until `done()`; false where that takes longer than `limit`.
  bool run_until(const std::function<bool()>& done, std::chrono::milliseconds limit = 5s) const {
    const auto end = std::chrono::steady_clock::now() + limit;
    while (!done()) {
      const auto left = end - std::chrono::steady_clock::now();
      if (left <= 0s) return false;
      loop_->run_once(left);
    }
    return true;
  }

 private:
  std::size_t descriptors_ = open_descriptors();
  std::unique_ptr<shifted_loop> loop_;
  selector_backend* io_ = nullptr;
};

/// A descriptor that the backend knows as one of the library.
class library_descriptor {
 public:
  library_descriptor(harness& h, descriptor fd)
      : harness_(h), fd_(std::move(fd)), state_(fd_.get()) {
    harness_.io().open(state_);
  }
  library_descriptor(const library_descriptor&) = delete;
  library_descriptor& operator=(const library_descriptor&) = delete;
  ~library_descriptor() {
    close();
    while (state_.queued) harness_.turn();
  }

  [[nodiscard]] fd_state& state() { return state_; }
  [[nodiscard]] int fd() const { return fd_.get(); }
  void close() {
    harness_.io().close(state_);
    fd_.reset();
  }

 private:
  harness& harness_;
  descriptor fd_;
  fd_state state_;
};

class byte_sink final : public rondo::receive_sink {
 public:
  explicit byte_sink(std::size_t room = 65536) : buffer_(room) {}

  std::span<char> get_buffer(std::ptrdiff_t hint) override {
    hints += hint == -1 ? 0 : 1;
    ++buffers;
    call(before);
    return buffer_;
  }
  void on_bytes(std::span<char> received) override {
    ++calls;
    bytes.append(received.data(), received.size());
    call(then);
  }
  void on_eof() override {
    ++eofs;
    call(at_end);
  }
  void on_error(int code) override {
    error = code;
    ++errors;
    call(at_end);
  }

  std::string bytes;
  int buffers = 0;
  int hints = 0;
  int calls = 0;
  int eofs = 0;
  int errors = 0;
  int error = 0;
  std::function<void()> before;
  std::function<void()> then;
  std::function<void()> at_end;

 private:
  // By value: it may exchange itself.
  static void call(std::function<void()> function) {
    if (function) function();
  }

  std::vector<char> buffer_;
};

/// An operation that remembers how it ended.
struct request : operation {
  request(operation_kind what, int descriptor, void* data = nullptr, std::size_t length = 0) {
    kind = what;
    fd = descriptor;
    buffer = data;
    size = length;
    complete = [](operation& self) noexcept { ++static_cast<request&>(self).completed; };
  }

  /// True where it ended at once.
  bool start(harness& h) {
    return h.io().start(*this) == rondo::backend::start_result::done_inline;
  }

  int completed = 0;
};

/// A callback of add_reader or add_writer: counts its calls.
struct watch_node : rondo::detail::ready_node {
  watch_node() : ready_node(&called) {}

  static void called(ready_node& node, rondo::event_loop* loop) {
    auto& self = static_cast<watch_node&>(node);
    self.queued = false;
    if (loop == nullptr) return;
    ++self.calls;
    if (const auto then = self.then) then();
  }

  bool queued = false;
  int calls = 0;
  std::function<void()> then;
};

struct socket_pair {
  explicit socket_pair(int type = SOCK_STREAM) {
    std::array<int, 2> fds{};
    REQUIRE(::socketpair(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds.data()) == 0);
    ours = descriptor(fds[0]);
    peer = descriptor(fds[1]);
  }
  descriptor ours;
  descriptor peer;
};

struct pipe_pair {
  pipe_pair() {
    std::array<int, 2> fds{};
    REQUIRE(::pipe2(fds.data(), O_NONBLOCK | O_CLOEXEC) == 0);
    read_end = descriptor(fds[0]);
    write_end = descriptor(fds[1]);
  }
  descriptor read_end;
  descriptor write_end;
};

inline sockaddr_in loopback(std::uint16_t port = 0) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  return address;
}

inline sockaddr* any(sockaddr_in& address) { return reinterpret_cast<sockaddr*>(&address); }

inline descriptor tcp_socket() {
  descriptor result(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  REQUIRE(result);
  return result;
}

/// A listening socket on the loopback interface.
struct tcp_listener {
  explicit tcp_listener(int backlog = 128) : fd(tcp_socket()), address(loopback()) {
    socklen_t size = sizeof address;
    REQUIRE(::bind(fd.get(), any(address), sizeof address) == 0);
    REQUIRE(::listen(fd.get(), backlog) == 0);
    REQUIRE(::getsockname(fd.get(), any(address), &size) == 0);
  }

  /// A connected client (blocking connect); it may not be accepted yet.
  [[nodiscard]] descriptor connect() {
    descriptor client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    REQUIRE(client);
    REQUIRE(::connect(client.get(), any(address), sizeof address) == 0);
    REQUIRE(rondo::os::set_non_blocking(client.get()) == 0);
    return client;
  }

  descriptor fd;
  sockaddr_in address;
};

/// Two ends of one TCP connection, both non-blocking.
struct tcp_pair {
  tcp_pair() {
    tcp_listener listener;
    peer = listener.connect();
    ours = descriptor(::accept4(listener.fd.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    REQUIRE(ours);
  }
  descriptor ours;
  descriptor peer;
};

inline void put(const descriptor& fd, std::string_view text) {
  REQUIRE(::write(fd.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()));
}

/// Waits, without the loop, until there is something to read.
inline void await_readable(int fd, short events = POLLIN) {
  pollfd entry{};
  entry.fd = fd;
  entry.events = events;
  REQUIRE(::poll(&entry, 1, 5000) == 1);
}

/// Writes until the kernel takes no more; how much it took.
inline std::size_t fill(int fd) {
  const std::vector<char> block(65536, 'x');
  std::size_t sum = 0;
  for (;;) {
    const ssize_t count = ::write(fd, block.data(), block.size());
    if (count < 0) return sum;
    sum += static_cast<std::size_t>(count);
  }
}

/// Reads whatever is there; how much it was.
inline std::size_t drain(int fd) {
  std::vector<char> block(65536);
  std::size_t sum = 0;
  for (;;) {
    const ssize_t count = ::read(fd, block.data(), block.size());
    if (count <= 0) return sum;
    sum += static_cast<std::size_t>(count);
  }
}

/// Closes with a reset instead of an ordinary end.
inline void reset_connection(descriptor& fd) {
  const linger now{1, 0};
  REQUIRE(::setsockopt(fd.get(), SOL_SOCKET, SO_LINGER, &now, sizeof now) == 0);
  fd.reset();
}

}  // namespace selector_test
