// SPDX-License-Identifier: MIT
// rondo tests: a loop under observation, protocols that write down what happens, and raw peers.
#pragma once

#include <rondo/connections.hpp>
#include <rondo/detail/memory.hpp>
#include <rondo/event_loop.hpp>
#include <rondo/log.hpp>
#include <rondo/protocols.hpp>
#include <rondo/socket.hpp>
#include <rondo/transports.hpp>

#include "net/net_support.hpp"
#include "support/catch.hpp"

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace rondo_test {

using std::chrono_literals::operator""ms;
using std::chrono_literals::operator""s;

/// The errno value of a std::system_error, 0 for null, -1 for anything else.
inline int errno_of(const std::exception_ptr& error) {
  if (!error) return 0;
  try {
    std::rethrow_exception(error);
  } catch (const std::system_error& known) {
    return known.code().value();
  } catch (...) {
    return -1;
  }
}

/// More than the buffers of any kernel between two sockets hold.
inline constexpr std::size_t too_much = 24'000'000;

/// What an exception says.
inline std::string text_of(const std::exception_ptr& error) {
  if (!error) return "";
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& known) {
    return known.what();
  } catch (...) {
    return "?";
  }
}

/// Collects what the library logs while it lives.
class log_lines {
 public:
  log_lines() { rondo::set_log_handler(&keep, this); }
  log_lines(const log_lines&) = delete;
  log_lines& operator=(const log_lines&) = delete;
  ~log_lines() { rondo::set_log_handler(nullptr); }

  [[nodiscard]] std::size_t warnings(std::string_view part) const {
    return static_cast<std::size_t>(std::count_if(
        lines_.begin(), lines_.end(),
        [&](const std::string& line) { return line.find(part) != std::string::npos; }));
  }

 private:
  static void keep(rondo::log_level level, std::string_view text, void* self) {
    if (level == rondo::log_level::warning || level == rondo::log_level::error) {
      static_cast<log_lines*>(self)->lines_.emplace_back(text);
    }
  }
  std::vector<std::string> lines_;
};

/// A loop whose reports are kept. At its end everything must be as it was: descriptors, frames and
/// blocks.
class scene {
 public:
  scene()
      : frames_(rondo::detail::live_frames()),
        blocks_(rondo::detail::live_blocks()),
        loop_(rondo::new_event_loop()) {
    loop_->set_exception_handler([this](rondo::event_loop&, const rondo::exception_context& what) {
      messages.push_back(what.message);
      errors.push_back(what.exception);
      if (on_report) on_report();
    });
  }
  scene(const scene&) = delete;
  scene& operator=(const scene&) = delete;
  ~scene() {
    errors.clear();
    loop_.reset();
    CHECK(rondo::detail::live_frames() == frames_);
    CHECK(rondo::detail::live_blocks() == blocks_);
    CHECK(descriptors_.unchanged());
  }

  [[nodiscard]] rondo::event_loop& loop() { return *loop_; }
  /// Closes and destroys the loop early.
  void end_loop() { loop_.reset(); }

  /// Runs iterations until the condition holds; fails the test after five seconds.
  template <class F>
  void until(F&& condition) {
    const auto deadline = std::chrono::steady_clock::now() + 5s;
    while (!condition()) {
      if (std::chrono::steady_clock::now() > deadline) FAIL("the condition never came true");
      loop_->run_once(20ms);
    }
  }
  template <class T>
  T run(rondo::coro<T> body) {
    return loop_->run_until_complete(std::move(body));
  }
  void turn(int count = 1) {
    for (; count > 0 && loop_; --count) loop_->run_once();
  }
  /// As many iterations as it takes for nothing to be left to do at once.
  void settle() { turn(8); }

  std::vector<std::string> messages;
  std::vector<std::exception_ptr> errors;
  std::function<void()> on_report;

 private:
  descriptor_count descriptors_;
  std::ptrdiff_t frames_;
  std::ptrdiff_t blocks_;
  std::unique_ptr<rondo::event_loop> loop_;
};

/// The other end of a connection, without the library: blocking, and never for long.
class raw_peer {
 public:
  explicit raw_peer(int fd) : fd_(fd) {}
  raw_peer(raw_peer&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  raw_peer& operator=(raw_peer&&) = delete;
  ~raw_peer() { close(); }

  [[nodiscard]] int fd() const noexcept { return fd_; }
  void close() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }
  /// Closes so that the other side gets a reset (TCP only).
  void reset() {
    const ::linger hard{1, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    close();
  }
  void end() {
    if (::shutdown(fd_, SHUT_WR) != 0 && errno == ENOTSOCK) close();
  }
  void send(std::string_view data) {
    while (!data.empty()) {
      ssize_t count = ::send(fd_, data.data(), data.size(), MSG_NOSIGNAL);
      if (count < 0 && errno == ENOTSOCK) count = ::write(fd_, data.data(), data.size());
      if (count <= 0) throw std::runtime_error("the raw peer cannot send");
      data.remove_prefix(static_cast<std::size_t>(count));
    }
  }
  /// What is there now, at most `limit` bytes.
  std::string receive_now(std::size_t limit = 1 << 20) {
    std::string result;
    std::array<char, 65536> buffer;
    while (result.size() < limit) {
      const std::size_t room = std::min(buffer.size(), limit - result.size());
      ssize_t count = ::recv(fd_, buffer.data(), room, MSG_DONTWAIT);
      if (count < 0 && errno == ENOTSOCK) {
        ::pollfd entry{fd_, POLLIN, 0};
        if (::poll(&entry, 1, 0) == 0) break;
        count = ::read(fd_, buffer.data(), room);
      }
      if (count == 0) ended = true;
      if (count < 0 && errno == ECONNRESET) was_reset = true;
      if (count <= 0) break;
      result.append(buffer.data(), static_cast<std::size_t>(count));
    }
    return result;
  }

  bool ended = false;      // an end of file was met
  bool was_reset = false;  // a reset was met

 private:
  int fd_;
};

/// What a `recorder` wrote down and what it does in its callbacks.
struct record {
  std::vector<std::string> events;
  std::string data;
  std::shared_ptr<rondo::transport> transport;
  std::exception_ptr lost_with;
  bool lost = false;
  bool keep_open = false;  // what eof_received returns
  std::array<char, 4096> room = {};
  std::size_t room_size = 4096;

  std::function<void()> on_made, on_data, on_eof, on_lost, on_pause, on_resume, on_get_buffer;

  [[nodiscard]] std::size_t count(std::string_view event) const {
    return static_cast<std::size_t>(std::count(events.begin(), events.end(), event));
  }
  /// connection_made (data* eof? pause/resume*) connection_lost, the first and last once.
  [[nodiscard]] bool well_formed() const {
    if (events.empty() || events.front() != "made" || count("made") != 1) return false;
    if (count("lost") > 1 || count("eof") > 1) return false;
    if (count("lost") == 1 && events.back() != "lost") return false;
    const auto eof = std::find(events.begin(), events.end(), "eof");
    if (std::find(eof, events.end(), "data") != events.end()) return false;
    bool paused = false;
    for (const std::string& event : events) {
      if (event == "pause" && std::exchange(paused, true)) return false;
      if (event == "resume" && !std::exchange(paused, false)) return false;
    }
    return true;
  }

  void note(const char* event, const std::function<void()>& then) {
    events.emplace_back(event);
    // A copy: the callback may exchange it, or the whole protocol.
    if (const auto run = then) run();
  }
};

/// A protocol that writes down what happens. Its record outlives it.
class recorder : public rondo::protocol {
 public:
  explicit recorder(std::shared_ptr<record> notes = std::make_shared<record>())
      : notes_(std::move(notes)) {}
  ~recorder() override { *alive_ = false; }

  [[nodiscard]] const std::shared_ptr<record>& notes() const { return notes_; }
  [[nodiscard]] std::shared_ptr<bool> alive() const { return alive_; }

  void connection_made(std::shared_ptr<rondo::transport> connected) override {
    const auto notes = notes_;
    notes->transport = std::move(connected);
    notes->note("made", notes->on_made);
  }
  void data_received(std::string_view data) override {
    const auto notes = notes_;
    notes->data += data;
    notes->note("data", notes->on_data);
  }
  bool eof_received() override {
    const auto notes = notes_;
    notes->note("eof", notes->on_eof);
    return notes->keep_open;
  }
  void connection_lost(std::exception_ptr error) override {
    const auto notes = notes_;
    notes->lost = true;
    notes->lost_with = std::move(error);
    const auto transport = std::move(notes->transport);
    notes->transport = transport;
    notes->note("lost", notes->on_lost);
    notes->transport.reset();
  }
  void pause_writing() override { notes_->note("pause", notes_->on_pause); }
  void resume_writing() override { notes_->note("resume", notes_->on_resume); }

 private:
  std::shared_ptr<record> notes_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

/// The same with memory of its own.
class buffered_recorder : public rondo::buffered_protocol {
 public:
  explicit buffered_recorder(std::shared_ptr<record> notes = std::make_shared<record>())
      : notes_(std::move(notes)) {}

  [[nodiscard]] const std::shared_ptr<record>& notes() const { return notes_; }

  void connection_made(std::shared_ptr<rondo::transport> connected) override {
    notes_->transport = std::move(connected);
    notes_->note("made", notes_->on_made);
  }
  std::span<char> get_buffer(std::ptrdiff_t hint) override {
    const auto notes = notes_;
    last_hint = hint;
    ++gets;
    if (const auto run = notes->on_get_buffer) run();
    return std::span<char>(notes->room.data(), notes->room_size);
  }
  void buffer_updated(std::size_t count) override {
    const auto notes = notes_;
    notes->data.append(notes->room.data(), count);
    notes->note("data", notes->on_data);
  }
  bool eof_received() override {
    notes_->note("eof", notes_->on_eof);
    return notes_->keep_open;
  }
  void connection_lost(std::exception_ptr error) override {
    const auto notes = notes_;
    notes->lost = true;
    notes->lost_with = std::move(error);
    notes->note("lost", notes->on_lost);
    notes->transport.reset();
  }
  void pause_writing() override { notes_->note("pause", notes_->on_pause); }
  void resume_writing() override { notes_->note("resume", notes_->on_resume); }

  std::ptrdiff_t last_hint = 0;
  int gets = 0;

 private:
  std::shared_ptr<record> notes_;
};

/// Two connected TCP sockets over loopback.
inline std::pair<rondo::socket, int> tcp_pair() {
  listener accepting;
  const int raw = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  ::sockaddr_in where{};
  where.sin_family = AF_INET;
  where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  where.sin_port = htons(accepting.port());
  if (::connect(raw, reinterpret_cast<const ::sockaddr*>(&where), sizeof where) != 0) {
    throw std::runtime_error("cannot connect to the listener of a test");
  }
  for (;;) {
    try {
      return {accepting.get().accept().first, raw};
    } catch (const std::system_error& error) {
      if (error.code().value() != EAGAIN) throw;
    }
  }
}

/// What the transport contract is run on: makes a connected transport and the raw other end.
struct tcp_kind {
  static constexpr bool can_reset = true;
  static std::pair<rondo::socket, int> connect() { return tcp_pair(); }
};

/// The same over a unix socket pair.
struct local_kind {
  static constexpr bool can_reset = false;
  static std::pair<rondo::socket, int> connect() {
    std::array<int, 2> fds{};
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds.data()) != 0) {
      throw std::runtime_error("no socket pair");
    }
    return {rondo::socket(fds[0]), fds[1]};
  }
};

/// Whether a transport of this kind receives, and whether it sends: both, unless the kind says
/// something else.
template <class Kind>
inline constexpr bool receives = true;
template <class Kind>
  requires requires { Kind::receives; }
inline constexpr bool receives<Kind> = Kind::receives;
template <class Kind>
inline constexpr bool sends = true;
template <class Kind>
  requires requires { Kind::sends; }
inline constexpr bool sends<Kind> = Kind::sends;

/// What `connect()` gives to become a transport.
template <class Kind>
using end_of = typename decltype(Kind::connect())::first_type;

/// Opens the transport, in the kind's own way if it has one.
template <class Kind, class F>
auto open_end(rondo::event_loop& loop, F& factory, end_of<Kind> end) {
  if constexpr (requires { Kind::open(loop, factory, std::move(end)); }) {
    return Kind::open(loop, factory, std::move(end));
  } else {
    return loop.create_connection(factory, std::move(end));
  }
}

/// A scene with one connection: a protocol on a transport, and a raw peer.
template <class Kind, class Protocol = recorder>
class linked_scene : public scene {
 public:
  /// @param prepare  called with the record before connection_made
  template <class F = std::nullptr_t>
  explicit linked_scene(F&& prepare = nullptr) {
    if constexpr (!std::is_same_v<std::remove_cvref_t<F>, std::nullptr_t>) prepare(*notes);
    auto [socket, raw] = Kind::connect();
    peer_.emplace(raw);
    protocol = std::make_shared<Protocol>(notes);
    auto factory = [this] { return protocol; };
    auto connecting = loop().create_task(open_end<Kind>(loop(), factory, std::move(socket)));
    until([&] { return connecting.done(); });
    auto [made, same] = connecting.result();
    transport = made;
    CHECK(same == protocol);
  }
  ~linked_scene() {
    if (transport && !transport->is_closing()) transport->abort();
    settle();
    notes->transport.reset();
    CHECK(notes->well_formed());
  }

  [[nodiscard]] raw_peer& peer() { return *peer_; }
  void until_lost() {
    until([&] { return notes->lost; });
  }

  std::shared_ptr<record> notes = std::make_shared<record>();
  std::shared_ptr<Protocol> protocol;
  std::shared_ptr<rondo::transport> transport;

 private:
  std::optional<raw_peer> peer_;
};

}  // namespace rondo_test
