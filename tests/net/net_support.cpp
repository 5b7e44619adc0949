// SPDX-License-Identifier: MIT
// rondo tests: a listener that answers nobody.
#include "net/net_support.hpp"

#include "transport/raw_address.hpp"

#include <poll.h>

#include <cerrno>
#include <stdexcept>

namespace rondo_test {

silent_listener::silent_listener() : listener_("127.0.0.1", 0) {
  const auto raw = rondo::detail::to_raw(where());
  for (int i = 0; i < 64; ++i) {
    rondo::socket filler(AF_INET, SOCK_STREAM);
    const int result = ::connect(filler.fileno(), raw.get(), raw.size);
    const bool pending = result != 0 && errno == EINPROGRESS;
    fillers_.push_back(std::move(filler));
    if (!pending) continue;
    ::pollfd entry{fillers_.back().fileno(), POLLOUT, 0};
    if (::poll(&entry, 1, 100) == 0) return;
  }
  throw std::runtime_error("a listener accepted without end");
}

}  // namespace rondo_test
