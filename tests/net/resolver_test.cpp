// SPDX-License-Identifier: MIT
// rondo tests: names, literal addresses and the threads that ask for names.
#include <rondo/errors.hpp>
#include <rondo/event_loop.hpp>
#include <rondo/sleep.hpp>
#include <rondo/task.hpp>
#include <rondo/timeouts.hpp>

#include "net/net_support.hpp"
#include "resolver/resolver.hpp"
#include "support/catch.hpp"
#include "support/fault_table.hpp"

#include <netdb.h>
#include <netinet/in.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using namespace std::string_literals;
using rondo::address;
using rondo::address_info;
using rondo::coro;
using rondo::resolve_options;
using rondo_test::fault;
using rondo_test::wait_for_resolver;

using answers = std::vector<address_info>;

constexpr resolve_options stream{0, SOCK_STREAM, 0, 0};

answers resolve(std::string host, std::string service, resolve_options options = stream) {
  rondo::selector_event_loop loop;
  return loop.run_until_complete(rondo::detail::resolve(loop, host, service, options));
}

/// Makes questions wait until it is opened, in whatever thread they are asked.
class gate {
 public:
  void pass() {
    std::unique_lock lock(mutex_);
    ++waiting_;
    changed_.notify_all();
    changed_.wait(lock, [this] { return open_; });
    --waiting_;
  }
  void wait_for(int count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return waiting_ >= count; });
  }
  void open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int waiting_ = 0;
  bool open_ = false;
};

/// getaddrinfo that hangs for names which begin with "slow", and knows the address of all others.
class hanging_names {
 public:
  hanging_names() {
    call_.hook([this](const char* host, const char* service, const ::addrinfo* hints,
                      ::addrinfo** result) -> std::optional<int> {
      if (std::string_view(host).starts_with("slow")) gate_.pass();
      return ::getaddrinfo("127.0.0.1", service, hints, result);
    });
  }
  ~hanging_names() {
    gate_.open();
    wait_for_resolver();
  }
  gate& door() { return gate_; }
  [[nodiscard]] int calls() const { return call_.calls(); }

 private:
  gate gate_;
  fault<&rondo::os::system_calls::getaddrinfo> call_;
};

TEST_CASE("resolver: literals need no thread", "[resolver][rule-195]") {
  fault<&rondo::os::system_calls::getaddrinfo> call;
  const answers v4 = resolve("192.0.2.1", "80");
  REQUIRE(v4.size() == 1);
  CHECK(v4[0].address == address("192.0.2.1", 80));
  CHECK(v4[0].family == AF_INET);
  CHECK(v4[0].type == SOCK_STREAM);
  CHECK(v4[0].proto == IPPROTO_TCP);
  const answers v6 = resolve("2001:db8::1", "443", {AF_INET6, SOCK_DGRAM, 0, 0});
  REQUIRE(v6.size() == 1);
  CHECK(v6[0].address == address("2001:db8::1", 443));
  CHECK(v6[0].proto == IPPROTO_UDP);
  CHECK(resolve("127.0.0.1", "")[0].address.port() == 0);
  CHECK(call.calls() == 0);
}

TEST_CASE("resolver: an address with a zone is looked up", "[resolver][rule-195]") {
  fault<&rondo::os::system_calls::getaddrinfo> call;
  const answers found = resolve("fe80::1%lo", "80");
  CHECK(call.calls() == 1);
  REQUIRE(found.size() == 1);
  CHECK(found[0].address == address("fe80::1%lo", 80));
}

TEST_CASE("resolver: kinds of sockets that a literal does not tell are asked for", "[resolver]") {
  fault<&rondo::os::system_calls::getaddrinfo> call;
  CHECK(resolve("127.0.0.1", "80", {0, 0, 0, 0}).size() == 3);
  CHECK(call.calls() == 1);
  CHECK_THROWS_AS(resolve("127.0.0.1", "80", {AF_INET6, SOCK_STREAM, 0, 0}), rondo::resolve_error);
}

TEST_CASE("resolver: no host is loopback or all interfaces", "[resolver][rule-202]") {
  fault<&rondo::os::system_calls::getaddrinfo> call;
  const answers own = resolve("", "80");
  REQUIRE(own.size() == 2);
  CHECK(own[0].address == address("::1", 80));
  CHECK(own[1].address == address("127.0.0.1", 80));
  const answers all = resolve("", "80", {0, SOCK_STREAM, 0, AI_PASSIVE});
  REQUIRE(all.size() == 2);
  CHECK(all[0].address == address("0.0.0.0", 80));
  CHECK(all[1].address == address("::", 80));
  CHECK(resolve("", "80", {AF_INET6, SOCK_STREAM, 0, AI_PASSIVE}).size() == 1);
  CHECK(call.calls() == 0);
}

TEST_CASE("resolver: ports and services", "[resolver][rule-195]") {
  CHECK(resolve("127.0.0.1", "0080")[0].address.port() == 80);
  CHECK(resolve("127.0.0.1", "65535")[0].address.port() == 65535);
  for (const std::string& bad : {"65536"s, "99999999999999999999"s, "-1"s, "+80"s, "80\0"s,
                                 "http\0"s, std::string(300, 'x')}) {
    CAPTURE(bad);
    CHECK_THROWS_AS(resolve("127.0.0.1", bad), std::invalid_argument);
  }
  fault<&rondo::os::system_calls::getaddrinfo> call;
  std::string asked_service;
  int asked_flags = 0;
  call.hook([&](const char*, const char* service, const ::addrinfo* hints, ::addrinfo** result) {
    asked_service = service;
    asked_flags = hints->ai_flags;
    return std::optional<int>(::getaddrinfo("127.0.0.1", "80", hints, result));
  });
  CHECK(resolve("127.0.0.1", "http").size() == 1);
  CHECK(asked_service == "http");
  CHECK((asked_flags & AI_NUMERICSERV) == 0);
  CHECK(resolve("some.name", "80").size() == 1);
  CHECK(asked_service == "80");
  CHECK((asked_flags & AI_NUMERICSERV) != 0);
  CHECK(resolve("some.name", "").size() == 1);
  CHECK(asked_service == "0");
}

TEST_CASE("resolver: a service that does not exist", "[resolver]") {
  try {
    static_cast<void>(resolve("", "no-such-service-name"));
    FAIL("resolved");
  } catch (const rondo::resolve_error& e) {
    CHECK(e.code().value() == EAI_SERVICE);
    CHECK(std::string(e.what()).find("no-such-service-name") != std::string::npos);
  }
}

TEST_CASE("resolver: hosts that no resolver may see", "[resolver][fault-K4]") {
  fault<&rondo::os::system_calls::getaddrinfo> call;
  int seen = 0;
  rondo::selector_event_loop loop;
  auto answer = [&](std::string) -> coro<answers> {
    ++seen;
    answers some;
    some.push_back(rondo_test::stream_to(address("127.0.0.1", 1)));
    co_return some;
  };
  loop.set_resolver([&](std::string host, std::string, resolve_options) { return answer(host); });
  const std::string labels = std::string(63, 'a') + '.' + std::string(63, 'b') + '.' +
                             std::string(63, 'c') + '.' + std::string(61, 'd');
  REQUIRE(labels.size() == 253);
  for (const std::string& host :
       {labels + "e", labels + "e.", std::string(255, 'a'), std::string(256, 'a'),
        std::string(1000, 'a'), std::string(1 << 20, 'a'), "a\0b"s, "127.0.0.1\0"s, "\0"s,
        "b\xc3\xbc"
        "cher.example"s,
        "0x7f000001" + std::string(246, ' '), std::string(254, '0') + "0x7f000001"}) {
    CAPTURE(host.substr(0, 300));
    const auto one = [&] {
      static_cast<void>(loop.run_until_complete(rondo::detail::resolve(loop, host, "80", stream)));
    };
    CHECK_THROWS_AS(one(), std::invalid_argument);
    const auto connecting = [&] {
      static_cast<void>(loop.run_until_complete(rondo::detail::connect_any(loop, host, "80", {})));
    };
    CHECK_THROWS_AS(connecting(), std::invalid_argument);
  }
  CHECK(seen == 0);
  CHECK(call.calls() == 0);
  for (const std::string& host : {labels, labels + "."}) {
    static_cast<void>(loop.run_until_complete(rondo::detail::resolve(loop, host, "80", stream)));
  }
  CHECK(seen == 2);
  // Whoever asks for it gets international names.
  static_cast<void>(
      loop.run_until_complete(rondo::detail::resolve(loop,
                                                     "b\xc3\xbc"
                                                     "cher.example",
                                                     "80", {0, SOCK_STREAM, 0, AI_IDN})));
  CHECK(seen == 3);
}

TEST_CASE("resolver: failures carry the code and the name", "[resolver][fault-K1]") {
  fault<&rondo::os::system_calls::getaddrinfo> call;
  for (const int code : {EAI_NONAME, EAI_AGAIN, EAI_MEMORY, EAI_FAIL}) {
    call.fail_next(code);
    try {
      static_cast<void>(resolve("nosuch.example", "80"));
      FAIL("resolved");
    } catch (const rondo::resolve_error& e) {
      CHECK(e.code().value() == code);
      CHECK(e.code().category() == rondo::resolve_category());
      CHECK(std::string(e.what()).find("'nosuch.example'") != std::string::npos);
      CHECK(std::string(e.what()).find(::gai_strerror(code)) != std::string::npos);
    }
  }
  call.hook([](const char*, const char*, const ::addrinfo*, ::addrinfo**) {
    errno = EMFILE;
    return std::optional<int>(EAI_SYSTEM);
  });
  try {
    static_cast<void>(resolve("nosuch.example", "80"));
    FAIL("resolved");
  } catch (const rondo::resolve_error& e) {
    CHECK(e.code().value() == EAI_SYSTEM);
    CHECK(std::string(e.what()).find("Too many open files") != std::string::npos);
  }
}

TEST_CASE("resolver: a cancelled question ends at once", "[resolver][fault-K2]") {
  hanging_names names;
  rondo::selector_event_loop loop;
  auto body = [&]() -> coro<> {
    const rondo::task<answers> asking =
        rondo::create_task(rondo::detail::resolve(loop, "slow.example", "80", stream));
    while (rondo::detail::load_of_resolver().asking == 0) co_await rondo::sleep(1ms);
    const auto begin = rondo::clock::now();
    asking.cancel();
    bool cancelled = false;
    try {
      co_await asking;
    } catch (const rondo::cancelled_error&) {
      cancelled = true;
    }
    CHECK(cancelled);
    CHECK(rondo::clock::now() - begin < 1s);
    // Others are answered meanwhile.
    const answers quick = co_await rondo::detail::resolve(loop, "quick.example", "80", stream);
    CHECK(quick.size() == 1);
  };
  loop.run_until_complete(body());
  CHECK(rondo::detail::load_of_resolver().asking == 1);
}

TEST_CASE("resolver: a question that waits for a thread can be cancelled", "[resolver][fault-K2]") {
  hanging_names names;
  rondo::selector_event_loop loop;
  auto body = [&]() -> coro<> {
    std::vector<rondo::task<answers>> asking;
    for (int i = 0; i < 12; ++i) {
      asking.push_back(
          rondo::create_task(rondo::detail::resolve(loop, "slow.example", "80", stream)));
    }
    while (rondo::detail::load_of_resolver().asking < 8) co_await rondo::sleep(1ms);
    CHECK(rondo::detail::load_of_resolver().queued == 4);
    asking.back().cancel();
    co_await rondo::sleep(1ms);
    CHECK(asking.back().cancelled());
    CHECK(rondo::detail::load_of_resolver().queued == 3);
    asking.pop_back();
    // A thread that asks in vain does not count: the queue moves on.
    for (int i = 0; i < 3; ++i) asking[static_cast<std::size_t>(i)].cancel();
    while (rondo::detail::load_of_resolver().asking < 11) co_await rondo::sleep(1ms);
    names.door().open();
    for (std::size_t i = 3; i < asking.size(); ++i) {
      const answers found = co_await asking[i];
      CHECK(found.size() == 1);
    }
  };
  loop.run_until_complete(body());
}

TEST_CASE("resolver: closing a loop does not wait for its questions", "[resolver][fault-K2]") {
  hanging_names names;
  const auto begin = rondo::clock::now();
  {
    rondo::selector_event_loop loop;
    const auto asking =
        loop.create_task(rondo::detail::resolve(loop, "slow.example", "80", stream));
    while (rondo::detail::load_of_resolver().asking == 0) loop.run_once();
    loop.set_exception_handler([](rondo::event_loop&, const rondo::exception_context&) {});
    loop.close();
  }
  {
    // This one is destroyed with the answer on its way.
    rondo::selector_event_loop loop;
    const auto asking =
        loop.create_task(rondo::detail::resolve(loop, "quick.example", "80", stream));
    loop.run_once();
    wait_for_resolver(1);
    loop.set_exception_handler([](rondo::event_loop&, const rondo::exception_context&) {});
  }
  CHECK(rondo::clock::now() - begin < 2s);
}

TEST_CASE("resolver: a thousand questions leave the loop responsive", "[resolver][fault-K9]") {
  fault<&rondo::os::system_calls::getaddrinfo> call;
  call.hook([](const char*, const char* service, const ::addrinfo* hints, ::addrinfo** result) {
    std::this_thread::sleep_for(1ms);  // lint: allow(sleeping-test)
    return std::optional<int>(::getaddrinfo("127.0.0.1", service, hints, result));
  });
  rondo::selector_event_loop loop;
  auto body = [&]() -> coro<> {
    std::vector<rondo::task<answers>> asking;
    for (int i = 0; i < 1000; ++i) {
      asking.push_back(
          rondo::create_task(rondo::detail::resolve(loop, "some.example", "80", stream)));
    }
    auto longest = rondo::clock::duration::zero();
    while (!asking.back().done()) {
      const auto before = rondo::clock::now();
      co_await rondo::sleep(1ms);
      longest = std::max(longest, rondo::clock::now() - before);
    }
    CHECK(longest < 500ms);
    CHECK(rondo::detail::load_of_resolver().threads <= 64);
    for (const auto& each : asking) {
      const answers found = co_await each;
      CHECK(found.size() == 1);
    }
  };
  loop.run_until_complete(body());
  CHECK(call.calls() == 1000);
  wait_for_resolver();
}

TEST_CASE("resolver: what it throws in a thread reaches the await", "[resolver][fault-K10]") {
  fault<&rondo::os::system_calls::getaddrinfo> call;
  call.hook([](const char*, const char*, const ::addrinfo*, ::addrinfo**) -> std::optional<int> {
    throw std::runtime_error("broken");
  });
  CHECK_THROWS_AS(resolve("some.example", "80"), std::runtime_error);
  // An empty list is no answer for whoever connects, and an ordinary one here.
  call.hook([](const char*, const char*, const ::addrinfo*, ::addrinfo** result) {
    *result = nullptr;
    return std::optional<int>(0);
  });
  CHECK(resolve("some.example", "80").empty());
}

TEST_CASE("resolver: one of the program's own", "[resolver]") {
  fault<&rondo::os::system_calls::getaddrinfo> call;
  rondo::selector_event_loop loop;
  std::vector<std::string> asked;
  auto answer = [&](std::string host, std::string service,
                    resolve_options options) -> coro<answers> {
    asked.push_back(host + '|' + service + '|' + std::to_string(options.type));
    co_await rondo::sleep(1ms);
    if (host == "bad") throw std::runtime_error("own error");
    answers some;
    some.push_back(rondo_test::stream_to(address("192.0.2.9", 9)));
    co_return some;
  };
  loop.set_resolver(answer);
  const answers found = loop.run_until_complete(loop.getaddrinfo("name", "http", stream));
  REQUIRE(found.size() == 1);
  CHECK(found[0].address.port() == 9);
  CHECK(asked == std::vector<std::string>{"name|http|1"});
  CHECK_THROWS_AS(loop.run_until_complete(loop.getaddrinfo("bad", "80")), std::runtime_error);
  // Literals are no names.
  CHECK(loop.run_until_complete(loop.getaddrinfo("127.0.0.1", "80", stream)).size() == 1);
  CHECK(asked.size() == 2);
  CHECK(call.calls() == 0);
  loop.set_resolver(nullptr);
  call.fail(1, EAI_NONAME);
  CHECK_THROWS_AS(loop.run_until_complete(loop.getaddrinfo("name", "80")), rondo::resolve_error);
}

TEST_CASE("resolver: the canonical name", "[resolver]") {
  rondo::selector_event_loop loop;
  const answers found = loop.run_until_complete(
      loop.getaddrinfo("127.0.0.1", "80", {AF_INET, SOCK_STREAM, 0, AI_CANONNAME}));
  REQUIRE(found.size() == 1);
  CHECK(found[0].canonname == "127.0.0.1");
}

TEST_CASE("resolver: names of addresses", "[resolver]") {
  rondo::selector_event_loop loop;
  fault<&rondo::os::system_calls::getnameinfo> call;
  const auto numeric = loop.run_until_complete(
      loop.getnameinfo(address("fe80::1%lo", 80), NI_NUMERICHOST | NI_NUMERICSERV));
  CHECK(numeric == std::pair("fe80::1%lo"s, "80"s));
  CHECK(call.calls() == 0);
  const auto named =
      loop.run_until_complete(loop.getnameinfo(address("127.0.0.1", 80), NI_NUMERICHOST));
  CHECK(named.first == "127.0.0.1");
  CHECK_FALSE(named.second.empty());
  CHECK(call.calls() == 1);
  call.fail_next(EAI_AGAIN);
  try {
    static_cast<void>(loop.run_until_complete(loop.getnameinfo(address("127.0.0.1", 80))));
    FAIL("named");
  } catch (const rondo::resolve_error& e) {
    CHECK(e.code().value() == EAI_AGAIN);
    CHECK(std::string(e.what()).find("127.0.0.1:80") != std::string::npos);
  }
  CHECK_THROWS_AS(loop.run_until_complete(loop.getnameinfo(address(), 0)), std::invalid_argument);
}

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define RONDO_TEST_WITH_TSAN
#endif
#endif

// The thread sanitizer has no threads after a fork.
#ifndef RONDO_TEST_WITH_TSAN
TEST_CASE("resolver: a forked child has threads of its own", "[resolver]") {
  hanging_names names;
  rondo::selector_event_loop loop;
  const auto asking = loop.create_task(rondo::detail::resolve(loop, "slow.example", "80", stream));
  while (rondo::detail::load_of_resolver().asking == 0) loop.run_once();
  const ::pid_t child = ::fork();
  if (child == 0) {
    ::alarm(10);
    int status = 1;
    {
      rondo::selector_event_loop own;
      const answers found =
          own.run_until_complete(rondo::detail::resolve(own, "quick.example", "80", stream));
      if (found.size() == 1 && rondo::detail::load_of_resolver().threads == 1) status = 0;
    }
    ::_exit(status);
  }
  int status = -1;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
  names.door().open();
  loop.run_until_complete(asking);
}
#endif

TEST_CASE("resolver: several loops at once", "[resolver][threaded]") {
  std::vector<std::thread> threads;
  std::atomic<int> found = 0;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      rondo::selector_event_loop loop;
      auto body = [&]() -> coro<> {
        std::vector<rondo::task<answers>> asking;
        for (int j = 0; j < 20; ++j) {
          asking.push_back(
              rondo::create_task(rondo::detail::resolve(loop, "localhost", "http", stream)));
        }
        for (std::size_t j = 0; j < asking.size(); ++j) {
          if (j % 3 == 0) {
            asking[j].cancel();
            continue;
          }
          const answers some = co_await asking[j];
          if (!some.empty()) ++found;
        }
      };
      loop.run_until_complete(body());
    });
  }
  for (auto& each : threads) each.join();
  CHECK(found == 4 * 13);
}

}  // namespace
