// SPDX-License-Identifier: MIT
// rondo tests: programs here and on the installed asyncio that must say the same; the twin of
// programs/pairs.py.
#pragma once

#include "support/catch.hpp"
#include "support/manual_loop.hpp"

#include <rondo/rondo.hpp>

#include <concepts>
#include <cstddef>
#include <exception>
#include <functional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace asyncio_test {

using namespace std::chrono_literals;
using rondo::coro;
using rondo::create_task;
using rondo::event_loop;
using rondo::future;
using rondo::get_running_loop;
using rondo::sleep;
using rondo::task;
using rondo::yield_now;

/// The words that a program says: `out("word")`. Values are written as Python writes them.
class trace {
 public:
  trace() = default;
  trace(const trace&) = delete;
  trace& operator=(const trace&) = delete;

  void operator()(std::string_view word) {
    if (!text_.empty()) text_ += ' ';
    text_ += word;
  }
  template <std::same_as<bool> B>
  void operator()(B value) {
    (*this)(value ? std::string_view("True") : std::string_view("False"));
  }
  template <std::integral N>
    requires(!std::same_as<N, bool>)
  void operator()(N number) {
    (*this)(std::to_string(number));
  }
  template <std::integral N>
  void operator()(const std::vector<N>& numbers) {
    std::string text = "[";
    for (const N each : numbers) {
      text += (text.size() == 1 ? "" : ", ") + std::to_string(each);
    }
    (*this)(text + "]");
  }

  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  std::string text_;
};

/// What the programs throw; `error(text)` in the trace.
struct error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// An exception in a word.
std::string describe(const std::exception_ptr& error);

/// How awaiting it ends, in a word.
template <class A>
coro<std::string> ended(A awaitable) {
  std::exception_ptr thrown;
  try {
    co_await std::move(awaitable);
  } catch (...) {
    thrown = std::current_exception();
  }
  co_return describe(thrown);
}

/// How a call ends, in a word.
template <class F>
std::string failure(F function) {
  std::exception_ptr thrown;
  try {
    function();
  } catch (...) {
    thrown = std::current_exception();
  }
  return describe(thrown);
}

/// Lets so many iterations pass.
coro<> turns(int n);
/// Says "|" in each iteration, to show what happens in the same one.
coro<> ticks(trace& out, int n);
/// Takes so many iterations; says its name at the end, or that it was cancelled.
coro<int> work(trace& out, std::string name, int n, int result = 0);
/// Takes so many iterations and throws.
coro<int> fail(trace& out, std::string name, int n);
/// Waits to be cancelled, and then takes so many iterations.
coro<int> cleanup(trace& out, std::string name, int n);

/// How many requests to cancel the running task there are.
inline std::size_t requests() { return rondo::current_task().cancelling(); }
/// The time of the loop in whole seconds since it was made.
int now();

/// A loop whose clock jumps to the next deadline when nothing is ready.
using loop = rondo_test::manual_loop;

/// What a program says on this library.
std::string run(coro<> (*program)(trace& out));

/// What the Python program of this name says.
std::string python(const std::string& name);
/// The same for a program that older versions of Python run in another way: these words, which a
/// Python that is new enough has to say, too.
std::string python(const std::string& name, const std::string& expected);

}  // namespace asyncio_test
