// SPDX-License-Identifier: MIT
// rondo tests: makes chosen system calls of the library fail, come short, or be counted.
#pragma once

#include "os/syscalls.hpp"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <functional>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

namespace rondo_test {

/// Puts the whole table of system calls back when the scope ends.
class restore_system_calls {
 public:
  restore_system_calls() : saved_(rondo::os::sys) {}
  restore_system_calls(const restore_system_calls&) = delete;
  restore_system_calls& operator=(const restore_system_calls&) = delete;
  ~restore_system_calls() { rondo::os::sys = saved_; }

 private:
  rondo::os::system_calls saved_;
};

namespace fault_detail {

/// The start of a gather list, `limit` bytes in all, at least one part.
inline std::vector<::iovec> shorten(const ::iovec* parts, std::size_t count, std::size_t limit) {
  std::vector<::iovec> result;
  for (std::size_t i = 0; i < count && limit > 0; ++i) {
    ::iovec part = parts[i];
    part.iov_len = std::min(part.iov_len, limit);
    limit -= part.iov_len;
    result.push_back(part);
  }
  return result;
}

/// The real call with at most `limit` bytes, where the call transfers bytes.
template <class Function>
struct limiter {
  template <class... Args>
  static auto call(Function real, std::size_t, Args... args) {
    return real(args...);
  }
};
template <class Data, class... Rest>
struct limiter<ssize_t (*)(int, Data*, std::size_t, Rest...)> {
  static ssize_t call(ssize_t (*real)(int, Data*, std::size_t, Rest...), std::size_t limit, int fd,
                      Data* data, std::size_t size, Rest... rest) {
    return real(fd, data, std::min(size, limit), rest...);
  }
};
template <>
struct limiter<ssize_t (*)(int, const ::iovec*, int)> {
  static ssize_t call(ssize_t (*real)(int, const ::iovec*, int), std::size_t limit, int fd,
                      const ::iovec* parts, int count) {
    const auto fewer = shorten(parts, static_cast<std::size_t>(count), limit);
    return real(fd, fewer.data(), static_cast<int>(fewer.size()));
  }
};
template <class Message>
  requires std::is_same_v<std::remove_const_t<Message>, ::msghdr>
struct limiter<ssize_t (*)(int, Message*, int)> {
  static ssize_t call(ssize_t (*real)(int, Message*, int), std::size_t limit, int fd,
                      Message* message, int flags) {
    auto fewer = shorten(message->msg_iov, message->msg_iovlen, limit);
    ::msghdr copy = *message;
    copy.msg_iov = fewer.data();
    copy.msg_iovlen = fewer.size();
    const ssize_t result = real(fd, &copy, flags);
    if constexpr (!std::is_const_v<Message>) {
      message->msg_namelen = copy.msg_namelen;
      message->msg_controllen = copy.msg_controllen;
      message->msg_flags = copy.msg_flags;
    }
    return result;
  }
};

template <class T>
struct call_of;
template <class R, class... A>
struct call_of<R (*rondo::os::system_calls::*)(A...)> {
  using function = R (*)(A...);
  using result = R;
  // What returns nothing is replaced where the hook returns true.
  using hook = std::function<std::conditional_t<std::is_void_v<R>, bool, std::optional<R>>(A...)>;

  template <class Fault>
  static R run(A... args) {
    return Fault::on_call(args...);
  }
};

}  // namespace fault_detail

/// One entry of the table while the object lives: `fault<&os::system_calls::recv> recv;`.
///
/// Calls are counted from 1. Without rules the real call is made. One object per entry at a time.
/// Rules are set before other threads use the library; calls may come from any thread.
template <auto Entry>
class fault {
  using traits = fault_detail::call_of<std::remove_cv_t<decltype(Entry)>>;
  using function = typename traits::function;
  using result = typename traits::result;

 public:
  fault() { state().real = std::exchange(rondo::os::sys.*Entry, &traits::template run<fault>); }
  fault(const fault&) = delete;
  fault& operator=(const fault&) = delete;
  ~fault() {
    rondo::os::sys.*Entry = state().real;
    state().clear();
  }

  /// Calls `first` ... `first + count - 1` fail with this errno value (names: with this code).
  fault& fail(int first, int error, int count = 1) {
    state().failures.push_back({first, count, error});
    return *this;
  }
  /// The next calls fail, however many there were.
  fault& fail_next(int error, int count = 1) { return fail(calls() + 1, error, count); }
  fault& fail_always(int error) { return fail(1, error, 2'000'000'000); }
  /// Each odd call fails: whoever repeats a failed call gets through.
  fault& fail_every_other(int error) {
    state().every_other = error;
    return *this;
  }
  /// Each call transfers at most so many bytes.
  fault& at_most(std::size_t bytes) {
    state().limit = bytes;
    return *this;
  }
  /// Asked before each call that no rule fails; what it returns is the result, nothing: the real
  /// call.
  template <class F>
  fault& hook(F&& f) {
    state().hook = std::forward<F>(f);
    return *this;
  }
  /// Rules go, the count stays.
  fault& heal() {
    state().failures.clear();
    state().every_other = 0;
    state().limit = 0;
    state().hook = nullptr;
    return *this;
  }

  /// How many calls there were.
  [[nodiscard]] int calls() const { return state().calls.load(); }
  /// How many of them failed on purpose.
  [[nodiscard]] int failed() const { return state().failed.load(); }
  /// Starts counting anew.
  void restart() {
    state().calls = 0;
    state().failed = 0;
  }

  template <class... A>
  static result on_call(A... args) {
    auto& s = state();
    const int call = s.calls.fetch_add(1) + 1;
    int error = s.every_other != 0 && call % 2 == 1 ? s.every_other : 0;
    for (const auto& rule : s.failures) {
      if (call >= rule.first && call - rule.first < rule.count) error = rule.error;
    }
    if (error != 0) {
      s.failed.fetch_add(1);
      return failure(error);
    }
    if (s.hook) {
      if (auto given = s.hook(args...)) {
        if constexpr (std::is_void_v<result>) {
          return;
        } else {
          return *given;
        }
      }
    }
    if (s.limit != 0) return fault_detail::limiter<function>::call(s.real, s.limit, args...);
    return s.real(args...);
  }

 private:
  struct rule {
    int first;
    int count;
    int error;
  };
  struct shared {
    function real = nullptr;
    std::vector<rule> failures;
    int every_other = 0;
    std::size_t limit = 0;
    typename traits::hook hook;
    std::atomic<int> calls{0};
    std::atomic<int> failed{0};

    void clear() {
      failures.clear();
      every_other = 0;
      limit = 0;
      hook = nullptr;
      calls = 0;
      failed = 0;
    }
  };

  static shared& state() {
    static shared instance;
    return instance;
  }

  static result failure(int error) {
    using calls = rondo::os::system_calls;
    if constexpr (std::is_same_v<decltype(Entry), decltype(&calls::getaddrinfo)> ||
                  std::is_same_v<decltype(Entry), decltype(&calls::getnameinfo)> ||
                  std::is_same_v<decltype(Entry), decltype(&calls::pthread_sigmask)>) {
      return error;  // these return what is wrong
    } else {
      errno = error;
      if constexpr (std::is_pointer_v<result>) {
        return nullptr;
      } else if constexpr (!std::is_void_v<result>) {
        return static_cast<result>(-1);
      }
    }
  }
};

}  // namespace rondo_test
