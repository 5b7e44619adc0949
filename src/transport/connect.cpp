// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Making sockets that are connected, or bound to be listened on.
#include "transport/connect.hpp"

#include <rondo/errors.hpp>
#include <rondo/event_loop.hpp>
#include <rondo/sleep.hpp>

#include "os/descriptor.hpp"
#include "os/syscalls.hpp"
#include "resolver/resolver.hpp"
#include "transport/operation_awaiter.hpp"
#include "transport/raw_address.hpp"

#include <fmt/format.h>
#include <netinet/in.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <exception>
#include <iterator>
#include <memory>
#include <optional>
#include <stdexcept>
#include <system_error>
#include <utility>

namespace rondo {
inline namespace v0 {
namespace detail {
namespace {

using answers = std::vector<address_info>;

// A hostile name may have any number of addresses.
constexpr std::size_t most_attempts = 64;

std::error_code code_of(int error) noexcept { return {error, std::system_category()}; }

void require(bool condition, const char* what) {
  if (!condition) throw std::invalid_argument(what);
}

void check_family(int family) {
  if (family != AF_UNSPEC && family != AF_INET && family != AF_INET6) {
    throw std::invalid_argument(
        fmt::format("family {} is not AF_INET, AF_INET6 or 0 for both", family));
  }
}

template <class Options>
void check_tls(const Options& options) {
  require(options.ssl != nullptr || !options.ssl_handshake_timeout,
          "ssl_handshake_timeout is only meaningful with ssl");
  require(options.ssl != nullptr || !options.ssl_shutdown_timeout,
          "ssl_shutdown_timeout is only meaningful with ssl");
  require(!options.ssl_handshake_timeout || *options.ssl_handshake_timeout > interval(),
          "ssl_handshake_timeout must be positive");
  require(!options.ssl_shutdown_timeout || *options.ssl_shutdown_timeout > interval(),
          "ssl_shutdown_timeout must be positive");
}

// ---- one attempt -------------------------------------------------------------------

/// A connected socket, or why there is none.
struct outcome {
  explicit outcome(rondo::socket made) noexcept : connected(std::move(made)) {}
  outcome(const address& where, int error, std::string from = {})
      : failed(where, code_of(error)), local(std::move(from)) {}

  rondo::socket connected;
  connect_attempt failed;
  std::string local;  // the address that it could not be bound to
};

// A connection from a port to itself: what the kernel makes of two simultaneous opens, when nobody
// listens on a port of the range that it takes local ports from.
bool is_connected_to_itself(const rondo::socket& made, const address& to) {
  if (!to.is_ipv4() && !to.is_ipv6()) return false;
  raw_address own;
  if (os::sys.getsockname(made.fileno(), own.get(), &own.size) != 0) return false;
  const address here = to_address(own);
  if (here.port() != to.port()) return false;
  // Not `to` itself: who connects to 0.0.0.0 reaches this machine.
  raw_address peer;
  return os::sys.getpeername(made.fileno(), peer.get(), &peer.size) == 0 &&
         here == to_address(peer);
}

/// Binds to the first local address of the family that can be bound to.
std::optional<outcome> bind_local(const rondo::socket& made, const address_info& to,
                                  const answers& locals) {
  std::optional<outcome> failed;
  for (const address_info& local : locals) {
    if (local.address.family() != to.address.family()) continue;
    const raw_address raw = to_raw(local.address);
    if (os::sys.bind(made.fileno(), raw.get(), raw.size) == 0) return std::nullopt;
    failed.emplace(to.address, errno, local.address.to_string());
  }
  if (!failed) failed.emplace(to.address, EADDRNOTAVAIL, "no local address of its family");
  return failed;
}

coro<std::int64_t> connect_raw(event_loop& loop, int fd, raw_address to) {
  constexpr interval longest_pause = std::chrono::milliseconds(64);
  interval pause = std::chrono::milliseconds(1);
  for (;;) {
    operation_awaiter connecting(loop, operation_kind::connect, fd, to.get(), to.size);
    const std::int64_t result = co_await connecting;
    // The backlog of a unix socket is full, and the kernel does not say when it is not any more.
    if (result != -EAGAIN || to.storage.ss_family != AF_UNIX) co_return result;
    co_await sleep(pause);
    pause = std::min(longest_pause, interval::from_count(pause.count() * 2));
  }
}

// `locals` is not used after the first suspension: a cancelled attempt may outlive whoever wanted
// it.
coro<outcome> attempt(event_loop& loop, address_info to, const answers* locals) {
  const int fd = os::sys.socket(to.family, to.type | SOCK_NONBLOCK | SOCK_CLOEXEC, to.proto);
  if (fd < 0) co_return outcome(to.address, errno);
  os::descriptor owned(fd);
  rondo::socket made(fd);
  static_cast<void>(owned.release());
  if (locals != nullptr) {
    if (auto failed = bind_local(made, to, *locals)) co_return std::move(*failed);
  }
  const std::int64_t result = co_await connect_raw(loop, fd, to_raw(to.address));
  if (result != 0) co_return outcome(to.address, static_cast<int>(-result));
  if (is_connected_to_itself(made, to.address)) {
    co_return outcome(to.address, ECONNREFUSED);
  }
  co_return outcome(std::move(made));
}

[[noreturn]] void fail(std::vector<outcome> failures, bool all_errors) {
  if (all_errors) {
    std::vector<std::exception_ptr> errors;
    for (outcome& each : failures) {
      const std::string from = each.local.empty() ? "" : fmt::format(" from {}", each.local);
      errors.push_back(std::make_exception_ptr(std::system_error(
          each.failed.code,
          fmt::format("cannot connect to {}{}", each.failed.address.to_string(), from))));
    }
    throw exception_group("cannot connect", std::move(errors));
  }
  std::vector<connect_attempt> attempts;
  bool bound = true;
  std::string text = "cannot connect to ";
  for (outcome& each : failures) {
    const bool last = &each == &failures.back();
    text += each.failed.address.to_string();
    if (!each.local.empty()) {
      text += fmt::format(" from {}", each.local);
      bound = false;
    }
    if (!last) text += fmt::format(": {}; ", each.failed.code.message());
    attempts.push_back(std::move(each.failed));
  }
  if (bound) throw connect_error(std::move(attempts));
  throw connect_error(text, std::move(attempts));
}

// ---- several attempts --------------------------------------------------------------

/// The first `count` addresses of the first family, then one of each family in turn.
answers interleave(answers found, int count) {
  std::vector<answers> families;
  for (address_info& each : found) {
    const auto same = [&](const answers& a) { return a.front().family == each.family; };
    const auto place = std::find_if(families.begin(), families.end(), same);
    if (place == families.end()) {
      families.emplace_back();
      families.back().push_back(std::move(each));
    } else {
      place->push_back(std::move(each));
    }
  }
  answers result;
  std::vector<std::size_t> used(families.size(), 0);
  for (; count > 1 && used[0] < families[0].size(); --count) {
    result.push_back(std::move(families[0][used[0]++]));
  }
  for (bool more = true; more;) {
    more = false;
    for (std::size_t i = 0; i < families.size(); ++i) {
      if (used[i] == families[i].size()) continue;
      result.push_back(std::move(families[i][used[i]++]));
      more = true;
    }
  }
  return result;
}

coro<rondo::socket> connect_in_turn(event_loop& loop, const answers& found, const answers* locals,
                                    bool all_errors) {
  std::vector<outcome> failures;
  for (const address_info& to : found) {
    outcome result = co_await attempt(loop, to, locals);
    if (result.connected) co_return std::move(result.connected);
    failures.push_back(std::move(result));
  }
  fail(std::move(failures), all_errors);
}

/// Attempts that run side by side, each begun when the one before has failed or the delay is over.
class race {
 public:
  race(event_loop& loop, const answers& found, const answers* locals, interval delay)
      : loop_(loop),
        found_(found),
        locals_(locals),
        delay_(delay),
        news_(std::make_shared<news>(loop)) {}
  race(const race&) = delete;
  race& operator=(const race&) = delete;
  ~race() {
    if (loop_.core().closed) return;
    end_all();
    for (const task<outcome>& each : attempts_) {
      if (each.done() && !each.cancelled()) static_cast<void>(each.exception());  // seen
    }
  }

  /// The first connected socket; none if all have failed.
  coro<rondo::socket> run() {
    std::size_t seen = 0;
    for (;;) {
      std::size_t done = 0;
      for (const task<outcome>& each : attempts_) {
        if (!each.done()) continue;
        static_cast<void>(each.result());
        outcome& ended = value_of<outcome>(*each.core());
        if (ended.connected) co_return std::move(ended.connected);
        ++done;
      }
      const bool due = attempts_.empty() || done > seen || news_->time_is_up;
      seen = done;
      if (due && attempts_.size() < found_.size()) {
        begin_next();
      } else if (done == found_.size()) {
        co_return rondo::socket();
      }
      news_->arrived = future<>(loop_);
      co_await news_->arrived;
    }
  }

  /// Ends the others and waits until they are gone.
  coro<> finish() {
    end_all();
    for (const task<outcome>& each : attempts_) {
      while (!each.done()) {
        news_->arrived = future<>(loop_);
        co_await news_->arrived;
      }
    }
  }

  /// Why each attempt failed, when all have.
  [[nodiscard]] std::vector<outcome> take_failures() {
    std::vector<outcome> result;
    for (const task<outcome>& each : attempts_) {
      result.push_back(std::move(value_of<outcome>(*each.core())));
    }
    return result;
  }

 private:
  // Shared with callbacks that may run when the race is gone.
  struct news {
    explicit news(event_loop& loop) : arrived(loop) {}
    void tell() const {
      if (!arrived.done()) arrived.set_result();
    }
    future<> arrived;
    bool time_is_up = false;
  };

  void begin_next() {
    attempts_.push_back(
        spawn(loop_.core(), attempt(loop_, found_[attempts_.size()], locals_), task_options()));
    attempts_.back().core()->log_destroyed = false;
    attempts_.back().add_done_callback([shared = news_] { shared->tell(); });
    timer_.cancel();
    news_->time_is_up = false;
    timer_ = loop_.call_later(delay_, [shared = news_] {
      shared->time_is_up = true;
      shared->tell();
    });
  }

  void end_all() {
    timer_.cancel();
    for (const task<outcome>& each : attempts_) each.cancel();
  }

  event_loop& loop_;
  const answers& found_;
  const answers* locals_;
  interval delay_;
  std::shared_ptr<news> news_;
  timer_handle timer_;
  std::vector<task<outcome>> attempts_;
};

coro<rondo::socket> connect_side_by_side(event_loop& loop, const answers& found,
                                         const answers* locals, interval delay, bool all_errors) {
  race running(loop, found, locals, delay);
  rondo::socket won;
  std::exception_ptr error;
  try {
    won = co_await running.run();
  } catch (...) {
    error = std::current_exception();
  }
  co_await running.finish();
  if (error) std::rethrow_exception(std::move(error));
  if (!won) fail(running.take_failures(), all_errors);
  co_return won;
}

/// Resolves several hosts side by side.
class resolving {
 public:
  explicit resolving(event_loop& loop) noexcept : loop_(loop) {}
  resolving(const resolving&) = delete;
  resolving& operator=(const resolving&) = delete;
  ~resolving() {
    if (loop_.core().closed) return;
    for (const task<answers>& each : tasks_) {
      if (!each.cancel() && !each.cancelled()) static_cast<void>(each.exception());  // seen
    }
  }

  void begin(std::string_view host, std::string_view service, const resolve_options& options) {
    tasks_.push_back(spawn(loop_.core(), resolve(loop_, host, service, options), task_options()));
    tasks_.back().core()->log_destroyed = false;
  }

  [[nodiscard]] const task<answers>& operator[](std::size_t i) const { return tasks_[i]; }

 private:
  event_loop& loop_;
  std::vector<task<answers>> tasks_;
};

[[noreturn]] void fail_empty(const std::string& host) {
  throw resolve_error(EAI_NONAME,
                      fmt::format("the resolver returned an empty list for '{}'", host));
}

coro<rondo::socket> connect_any_inner(event_loop& loop, std::string host, std::string service,
                                      std::string local_host, connect_options options) {
  check_options(options);
  require(options.ssl == nullptr || options.server_hostname || !host.empty(),
          "server_hostname is needed with ssl and without a host");
  const resolve_options wanted{options.family, SOCK_STREAM, options.proto, options.flags};
  answers locals;
  answers found;
  if (options.local_addr) {
    resolving both(loop);
    both.begin(host, service, wanted);
    both.begin(local_host, service_of(options.local_addr->port), wanted);
    found = co_await both[0];
    locals = co_await both[1];
    if (locals.empty()) fail_empty(local_host);
  } else {
    found = co_await resolve(loop, host, service, wanted);
  }
  if (found.empty()) fail_empty(host);
  const int first = options.interleave.value_or(options.happy_eyeballs_delay ? 1 : 0);
  if (first > 0) found = interleave(std::move(found), first);
  if (found.size() > most_attempts) found.resize(most_attempts);
  const answers* const from = options.local_addr ? &locals : nullptr;
  rondo::socket made;
  if (options.happy_eyeballs_delay && found.size() > 1) {
    made = co_await connect_side_by_side(loop, found, from, *options.happy_eyeballs_delay,
                                         options.all_errors);
  } else {
    made = co_await connect_in_turn(loop, found, from, options.all_errors);
  }
  co_return made;
}

coro<rondo::socket> connect_to_inner(event_loop& loop, address where) {
  address_info to(where.family(), SOCK_STREAM, 0, where);
  outcome result = co_await attempt(loop, std::move(to), nullptr);
  if (!result.connected) {
    std::vector<outcome> failures;
    failures.push_back(std::move(result));
    fail(std::move(failures), false);
  }
  co_return std::move(result.connected);
}

coro<> connect_socket_inner(event_loop& loop, int fd, address where) {
  const std::int64_t result = co_await connect_raw(loop, fd, to_raw(where));
  if (result != 0) {
    std::vector<connect_attempt> attempts;
    attempts.emplace_back(std::move(where), code_of(static_cast<int>(-result)));
    throw connect_error(std::move(attempts));
  }
}

// ---- listening ---------------------------------------------------------------------

[[noreturn]] void fail_to_bind(const address& where, int error) {
  throw std::system_error(error, std::system_category(),
                          fmt::format("cannot bind to {}", where.to_string()));
}

void set_option(const rondo::socket& to, int level, int name, const char* what,
                const address& where) {
  const int on = 1;
  if (os::sys.setsockopt(to.fileno(), level, name, &on, sizeof on) != 0) {
    const int error = errno;
    throw std::system_error(error, std::system_category(),
                            fmt::format("cannot set {} for {}", what, where.to_string()));
  }
}

/// Bound sockets for every address once; what this machine does not have is left out.
std::vector<rondo::socket> bind_all(const answers& found, const server_options& options) {
  std::vector<rondo::socket> result;
  std::vector<address> seen;
  const address* missing = nullptr;
  int missing_error = 0;
  for (const address_info& each : found) {
    if (std::find(seen.begin(), seen.end(), each.address) != seen.end()) continue;
    seen.push_back(each.address);
    const int fd =
        os::sys.socket(each.family, each.type | SOCK_NONBLOCK | SOCK_CLOEXEC, each.proto);
    if (fd < 0) {
      const int error = errno;
      if (error != EAFNOSUPPORT && error != EPROTONOSUPPORT) fail_to_bind(each.address, error);
      missing = &each.address;
      missing_error = error;
      continue;
    }
    os::descriptor owned(fd);
    rondo::socket made(fd);
    static_cast<void>(owned.release());
    if (options.reuse_address.value_or(true)) {
      set_option(made, SOL_SOCKET, SO_REUSEADDR, "SO_REUSEADDR", each.address);
    }
    if (options.reuse_port.value_or(false)) {
      set_option(made, SOL_SOCKET, SO_REUSEPORT, "SO_REUSEPORT", each.address);
    }
    // Else the socket for all IPv6 addresses would take the IPv4 ones, too.
    if (each.family == AF_INET6) {
      set_option(made, IPPROTO_IPV6, IPV6_V6ONLY, "IPV6_V6ONLY", each.address);
    }
    const raw_address raw = to_raw(each.address);
    if (os::sys.bind(fd, raw.get(), raw.size) != 0) {
      const int error = errno;
      if (error != EADDRNOTAVAIL) fail_to_bind(each.address, error);
      missing = &each.address;
      missing_error = error;
      continue;
    }
    result.push_back(std::move(made));
  }
  if (result.empty()) fail_to_bind(*missing, missing_error);
  return result;
}

coro<std::vector<rondo::socket>> bind_listeners_inner(event_loop& loop,
                                                      std::vector<std::string> hosts,
                                                      std::string service, server_options options) {
  check_options(options);
  if (hosts.empty()) hosts.emplace_back();
  const resolve_options wanted{options.family, SOCK_STREAM, 0, options.flags};
  answers found;
  if (hosts.size() == 1) {
    found = co_await resolve(loop, hosts.front(), service, wanted);
    if (found.empty()) fail_empty(hosts.front());
  } else {
    resolving all(loop);
    for (const std::string& host : hosts) all.begin(host, service, wanted);
    for (std::size_t i = 0; i < hosts.size(); ++i) {
      answers some = co_await all[i];
      if (some.empty()) fail_empty(hosts[i]);
      std::move(some.begin(), some.end(), std::back_inserter(found));
    }
  }
  co_return bind_all(found, options);
}

}  // namespace

void check_options(const connect_options& options) {
  check_family(options.family);
  check_tls(options);
  require(options.ssl != nullptr || !options.server_hostname,
          "server_hostname is only meaningful with ssl");
  require(!options.happy_eyeballs_delay || *options.happy_eyeballs_delay >= interval(),
          "happy_eyeballs_delay must not be negative");
  require(options.interleave.value_or(0) >= 0, "interleave must not be negative");
  require(options.limit > 0, "limit must be positive");
}

void check_options(const server_options& options) {
  check_family(options.family);
  check_tls(options);
  require(options.backlog >= 0, "backlog must not be negative");
  require(options.limit > 0, "limit must be positive");
}

coro<rondo::socket> connect_any(event_loop& loop, std::string_view host, std::string_view service,
                                const connect_options& options) {
  std::string local_host;
  if (options.local_addr) local_host = options.local_addr->host;
  return connect_any_inner(loop, std::string(host), std::string(service), std::move(local_host),
                           options);
}

coro<rondo::socket> connect_to(event_loop& loop, const address& where) {
  return connect_to_inner(loop, where);
}

coro<> connect_socket(event_loop& loop, const rondo::socket& connecting, const address& where) {
  return connect_socket_inner(loop, connecting.fileno(), where);
}

coro<std::vector<rondo::socket>> bind_listeners(event_loop& loop, std::vector<std::string> hosts,
                                                std::string_view service,
                                                const server_options& options) {
  return bind_listeners_inner(loop, std::move(hosts), std::string(service), options);
}

rondo::socket bind_unix_listener(std::string_view path) {
  const address where = address::unix_path(path);
  require(!path.empty(), "the path of a unix socket is empty");
  rondo::socket made(AF_UNIX, SOCK_STREAM);
  if (path.front() != '\0') {
    // What a server left behind that did not close. A file that is no socket is somebody's data.
    const std::string name(path);
    struct ::stat found = {};
    if (os::sys.stat(name.c_str(), &found) == 0 && S_ISSOCK(found.st_mode)) {
      static_cast<void>(os::sys.unlink(name.c_str()));
    }
  }
  const raw_address raw = to_raw(where);
  if (os::sys.bind(made.fileno(), raw.get(), raw.size) != 0) fail_to_bind(where, errno);
  return made;
}

}  // namespace detail
}  // namespace v0
}  // namespace rondo
