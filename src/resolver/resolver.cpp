// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Names and addresses, without blocking the loop.
#include "resolver/resolver.hpp"

#include <rondo/errors.hpp>
#include <rondo/event_loop.hpp>
#include <rondo/log.hpp>

#include "loop/loop_internals.hpp"
#include "os/syscalls.hpp"
#include "resolver/resolver_pool.hpp"
#include "transport/raw_address.hpp"

#include <fmt/format.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <exception>
#include <functional>
#include <optional>
#include <stdexcept>
#include <system_error>
#include <utility>

namespace rondo {
inline namespace v0 {
namespace detail {
namespace {

using answers = std::vector<address_info>;

constexpr std::size_t longest_host = 253;

std::string shown(std::string_view text) {
  constexpr std::size_t most = 80;
  std::string result(text.substr(0, most));
  for (char& c : result) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  }
  if (text.size() > most) result += "...";
  return result;
}

void check_host(std::string_view host, int flags) {
  if (host.find('\0') != host.npos) {
    throw std::invalid_argument(fmt::format("host name has a NUL: '{}'", shown(host)));
  }
  const std::size_t most = longest_host + (host.ends_with('.') ? 1 : 0);
  if (host.size() > most) {
    throw std::invalid_argument(fmt::format("host name is {} bytes long, the most are {}: '{}'",
                                            host.size(), longest_host, shown(host)));
  }
  const bool ascii = std::all_of(host.begin(), host.end(),
                                 [](char c) { return static_cast<unsigned char>(c) < 0x80; });
  if (!ascii && (flags & AI_IDN) == 0) {
    throw std::invalid_argument(fmt::format(
        "host name is not ASCII (write it as 'xn--...', or pass AI_IDN): '{}'", shown(host)));
  }
}

// The number of a service that is one; none if it is a name.
std::optional<std::uint16_t> to_port(std::string_view service) {
  if (service.find('\0') != service.npos) {
    throw std::invalid_argument(fmt::format("service name has a NUL: '{}'", shown(service)));
  }
  if (service.empty()) return std::uint16_t{0};
  if (!std::all_of(service.begin(), service.end(), [](char c) { return c >= '0' && c <= '9'; })) {
    if (service.size() > longest_host || service.front() == '-' || service.front() == '+') {
      throw std::invalid_argument(fmt::format("not a port or service: '{}'", shown(service)));
    }
    return std::nullopt;
  }
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(service.data(), service.data() + service.size(), port);
  if (error != std::errc()) {
    throw std::invalid_argument(
        fmt::format("port is not between 0 and 65535: '{}'", shown(service)));
  }
  return port;
}

std::optional<address> to_literal(const std::string& host, std::uint16_t port) {
  // A zone is the name of an interface, which is looked up.
  if (host.find('%') != host.npos) return std::nullopt;
  const bool may_be =
      host.find(':') != host.npos || host.find_first_not_of("0123456789.") == host.npos;
  if (!may_be) return std::nullopt;
  try {
    return address(host, port);
  } catch (const std::invalid_argument&) {
    return std::nullopt;
  }
}

// What needs no question, as far as one kind of socket is asked for; empty if it has to be asked.
answers known_answers(const std::string& host, std::uint16_t port, const resolve_options& options) {
  constexpr int harmless = AI_PASSIVE | AI_NUMERICHOST | AI_NUMERICSERV | AI_ADDRCONFIG;
  answers result;
  const int usual_proto = options.type == SOCK_STREAM  ? IPPROTO_TCP
                          : options.type == SOCK_DGRAM ? IPPROTO_UDP
                                                       : 0;
  if (usual_proto == 0 || (options.flags & ~harmless) != 0) return result;
  if (options.proto != 0 && options.proto != usual_proto) return result;
  const auto add = [&](address where) {
    if (options.family != AF_UNSPEC && options.family != where.family()) return;
    const int family = where.family();
    result.emplace_back(family, options.type, usual_proto, std::move(where));
  };
  if (!host.empty()) {
    if (auto literal = to_literal(host, port)) add(*std::move(literal));
  } else if ((options.flags & AI_PASSIVE) != 0) {
    add(address("0.0.0.0", port));
    add(address("::", port));
  } else {
    add(address("::1", port));
    add(address("127.0.0.1", port));
  }
  return result;
}

std::string describe(const std::string& host, const std::string& service) {
  if (host.empty()) return fmt::format("cannot resolve service '{}'", shown(service));
  return fmt::format("cannot resolve '{}'", shown(host));
}

[[noreturn]] void fail(int code, int error, std::string what) {
  if (code == EAI_SYSTEM) {
    what += fmt::format(" ({})", std::system_category().message(error));
  }
  throw resolve_error(code, what);
}

// ---- in the resolver's threads -----------------------------------------------------

class address_question final : public resolver_job {
 public:
  address_question(event_loop& loop, std::string host, std::string service, bool numeric,
                   const resolve_options& options)
      : resolver_job(loop),
        host_(std::move(host)),
        service_(std::move(service)),
        options_(options) {
    if (numeric) options_.flags |= AI_NUMERICSERV;
    if (service_.empty()) service_ = "0";
  }

  answers take() {
    if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
    return std::move(found_);
  }

 private:
  void ask() noexcept override {
    try {
      ::addrinfo hints = {};
      hints.ai_family = options_.family;
      hints.ai_socktype = options_.type;
      hints.ai_protocol = options_.proto;
      hints.ai_flags = options_.flags;
      ::addrinfo* list = nullptr;
      errno = 0;
      const int code = os::sys.getaddrinfo(host_.empty() ? nullptr : host_.c_str(),
                                           service_.c_str(), &hints, &list);
      const int error = errno;
      if (code != 0) fail(code, error, describe(host_, service_));
      struct list_owner {
        ::addrinfo* list;
        ~list_owner() {
          if (list != nullptr) os::sys.freeaddrinfo(list);
        }
      } const owner{list};
      for (const ::addrinfo* each = list; each != nullptr; each = each->ai_next) {
        found_.emplace_back(each->ai_family, each->ai_socktype, each->ai_protocol,
                            to_address(each->ai_addr, each->ai_addrlen),
                            each->ai_canonname != nullptr ? each->ai_canonname : "");
      }
    } catch (...) {
      error_ = std::current_exception();
    }
  }

  std::string host_;
  std::string service_;
  resolve_options options_;
  answers found_;
  std::exception_ptr error_;
};

class name_question final : public resolver_job {
 public:
  name_question(event_loop& loop, const address& where, int flags)
      : resolver_job(loop), where_(to_raw(where)), flags_(flags), text_(where.to_string()) {}

  std::pair<std::string, std::string> take() {
    if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
    return std::move(names_);
  }

 private:
  void ask() noexcept override {
    try {
      std::array<char, NI_MAXHOST> host = {};
      std::array<char, NI_MAXSERV> service = {};
      errno = 0;
      const int code = os::sys.getnameinfo(where_.get(), where_.size, host.data(), host.size(),
                                           service.data(), service.size(), flags_);
      const int error = errno;
      if (code != 0) fail(code, error, fmt::format("cannot find the name of {}", text_));
      names_.first = host.data();
      names_.second = service.data();
    } catch (...) {
      error_ = std::current_exception();
    }
  }

  raw_address where_;
  int flags_;
  std::string text_;
  std::pair<std::string, std::string> names_;
  std::exception_ptr error_;
};

// ---- on the loop -------------------------------------------------------------------

/// In debug mode: says how long a question took.
class answer_timer {
 public:
  explicit answer_timer(event_loop& loop) : loop_(loop), began_(loop.time()) {}

  void done(std::string_view host, std::string_view service, std::size_t found) const {
    if (!loop_.get_debug()) return;
    const auto took = loop_.time() - began_;
    log(interval(took) >= loop_.slow_callback_duration ? log_level::info : log_level::debug,
        fmt::format("Getting address info {}:{} took {:.3f}ms: {} addresses", shown(host),
                    shown(service), std::chrono::duration<double, std::milli>(took).count(),
                    found));
  }

 private:
  event_loop& loop_;
  time_point began_;
};

coro<answers> resolve_inner(event_loop& loop, std::string host, std::string service,
                            resolve_options options) {
  check_host(host, options.flags);
  const std::optional<std::uint16_t> port = to_port(service);
  if (port) {
    answers known = known_answers(host, *port, options);
    if (!known.empty()) co_return known;
  }
  // Kept here: it may be replaced while it runs.
  const event_loop::resolver_function own = loop.internals().resolver;
  const answer_timer timer(loop);
  answers found;
  if (own) {
    found = co_await own(host, service, options);
  } else {
    auto* const question = new address_question(loop, host, service, port.has_value(), options);
    const job_owner owner(question);
    resolver_await answered(*question);
    co_await answered;
    found = question->take();
  }
  timer.done(host, service, found.size());
  co_return found;
}

coro<std::pair<std::string, std::string>> resolve_name_inner(event_loop& loop, address where,
                                                             int flags) {
  constexpr int numeric = NI_NUMERICHOST | NI_NUMERICSERV;
  if ((where.is_ipv4() || where.is_ipv6()) && (flags & numeric) == numeric) {
    co_return std::pair<std::string, std::string>(where.host(), std::to_string(where.port()));
  }
  auto* const question = new name_question(loop, where, flags);
  const job_owner owner(question);
  resolver_await answered(*question);
  co_await answered;
  co_return question->take();
}

}  // namespace

coro<answers> resolve(event_loop& loop, std::string_view host, std::string_view service,
                      const resolve_options& options) {
  return resolve_inner(loop, std::string(host), std::string(service), options);
}

coro<std::pair<std::string, std::string>> resolve_name(event_loop& loop, const address& where,
                                                       int flags) {
  return resolve_name_inner(loop, where, flags);
}

std::string service_of(std::uint16_t port) { return std::to_string(port); }

}  // namespace detail

coro<std::vector<address_info>> event_loop::getaddrinfo(detail::host_argument host,
                                                        detail::service_argument port,
                                                        resolve_options options) {
  return detail::resolve(*this, host.text, port.text, options);
}

coro<std::pair<std::string, std::string>> event_loop::getnameinfo(const address& where, int flags) {
  return detail::resolve_name(*this, where, flags);
}

void event_loop::set_resolver(resolver_function resolver) {
  internals_->resolver = std::move(resolver);
}

}  // namespace v0
}  // namespace rondo
