// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Hosts, ports and protocol factories as users write them.
#pragma once

#include <rondo/detail/bytes.hpp>
#include <rondo/detail/export.hpp>
#include <rondo/fwd.hpp>
#include <rondo/protocols.hpp>

#include <concepts>
#include <cstddef>
#include <functional>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace rondo {
inline namespace v0 {
namespace detail {

[[noreturn]] RONDO_EXPORT void throw_bad_port();
[[noreturn]] RONDO_EXPORT void throw_null_protocol();

/// A port number or the name of a service.
struct service_argument {
  template <std::integral I>
  service_argument(I port) {  // NOLINT: implicit by design
    if (std::cmp_less(port, 0) || std::cmp_greater(port, 65535)) throw_bad_port();
    text = std::to_string(port);
  }
  template <class T>
    requires(!std::integral<T> && text_like<T>)
  service_argument(const T& service)  // NOLINT: implicit by design
      : text(std::string_view(service)) {}
  service_argument(std::nullopt_t) {}  // NOLINT: implicit by design

  std::string text;
};

/// One host; empty or nullopt: this machine.
struct host_argument {
  template <class T>
    requires text_like<T>
  host_argument(const T& host)  // NOLINT: implicit by design
      : text(std::string_view(host)) {}
  host_argument(std::nullopt_t) {}  // NOLINT: implicit by design
  template <class T>
    requires text_like<T>
  host_argument(const std::optional<T>& host) {  // NOLINT: implicit by design
    if (host) text = std::string_view(*host);
  }

  std::string text;
};

/// Any number of hosts; none: all interfaces.
struct host_list_argument {
  template <class T>
    requires text_like<T>
  host_list_argument(const T& host)  // NOLINT: implicit by design
      : hosts(1, std::string(std::string_view(host))) {}
  host_list_argument(std::nullopt_t) {}  // NOLINT: implicit by design
  template <class T>
    requires text_like<T>
  host_list_argument(const std::optional<T>& host) {  // NOLINT: implicit by design
    if (host) hosts.emplace_back(std::string_view(*host));
  }
  template <class R>
    requires(!text_like<R> &&
             requires(const R& range) {
               { *std::begin(range) } -> std::convertible_to<std::string_view>;
               std::begin(range) != std::end(range);
             })
  host_list_argument(const R& range) {  // NOLINT: implicit by design
    for (const auto& host : range) hosts.emplace_back(std::string_view(host));
  }

  std::vector<std::string> hosts;
};

template <class T>
struct protocol_handle {};
template <class P>
struct protocol_handle<std::shared_ptr<P>> {
  using type = P;
  static std::shared_ptr<P> share(std::shared_ptr<P> made) { return made; }
};
template <class P, class D>
struct protocol_handle<std::unique_ptr<P, D>> {
  using type = P;
  static std::shared_ptr<P> share(std::unique_ptr<P, D> made) { return made; }
};
template <class P>
struct protocol_handle<P*> {
  using type = P;
  // No control block: the protocol is borrowed.
  static std::shared_ptr<P> share(P* made) {
    return std::shared_ptr<P>(std::shared_ptr<void>(), made);
  }
};

template <class F>
using made_by = std::remove_cvref_t<std::invoke_result_t<std::decay_t<F>&>>;

/// A callable that returns a shared_ptr, a unique_ptr or a borrowed pointer to a protocol.
template <class F>
concept protocol_factory = std::invocable<std::decay_t<F>&> && requires {
  typename protocol_handle<made_by<F>>::type;
  requires std::derived_from<typename protocol_handle<made_by<F>>::type, base_protocol>;
};

template <class F>
using protocol_of = typename protocol_handle<made_by<F>>::type;

template <class F>
std::shared_ptr<protocol_of<F>> make_protocol(F& factory) {
  std::shared_ptr<protocol_of<F>> made = protocol_handle<made_by<F>>::share(std::invoke(factory));
  if (made == nullptr) throw_null_protocol();
  return made;
}

/// A factory whose type does not matter.
class RONDO_EXPORT protocol_maker {
 public:
  protocol_maker() = default;
  protocol_maker(const protocol_maker&) = delete;
  protocol_maker& operator=(const protocol_maker&) = delete;
  RONDO_EXPORT virtual ~protocol_maker();
  virtual std::shared_ptr<base_protocol> make() = 0;
};

template <class F>
class protocol_maker_of final : public protocol_maker {
 public:
  explicit protocol_maker_of(F factory) : factory_(std::move(factory)) {}
  std::shared_ptr<base_protocol> make() override { return make_protocol(factory_); }

 private:
  F factory_;
};

}  // namespace detail
}  // namespace v0
}  // namespace rondo
