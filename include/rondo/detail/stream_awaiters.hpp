// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  What awaiting a read, a drain or a close does.
#pragma once

#include <rondo/coro.hpp>
#include <rondo/detail/export.hpp>
#include <rondo/detail/future_core.hpp>
#include <rondo/detail/task_core.hpp>
#include <rondo/task.hpp>

#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace rondo {
inline namespace v0 {
namespace detail {

/// What stream_reader handles share: the visible part of a stream_buffer.
struct stream_buffer_head {
  std::uint32_t references = 1;
};
RONDO_EXPORT void destroy(stream_buffer_head& buffer) noexcept;
inline void retain(stream_buffer_head& buffer) noexcept { ++buffer.references; }
inline void release(stream_buffer_head& buffer) noexcept {
  if (--buffer.references == 0) destroy(buffer);
}
using stream_buffer_ref = core_ref<stream_buffer_head>;

/// What stream_writer handles share: the visible part of a stream_link.
struct stream_link_head {
  std::uint32_t references = 0;
  std::uint32_t writers = 0;  // handles; when the last one goes the connection must be closing
};
RONDO_EXPORT void destroy(stream_link_head& link) noexcept;
inline void retain(stream_link_head& link) noexcept { ++link.references; }
inline void release(stream_link_head& link) noexcept {
  if (--link.references == 0) destroy(link);
}
using stream_link_ref = core_ref<stream_link_head>;

class stream_link;
[[noreturn]] RONDO_EXPORT void throw_empty_writer();

enum class read_rule : std::uint8_t { some, all, exactly, line, until };

/// @throws std::invalid_argument  it is negative
[[nodiscard]] RONDO_EXPORT std::size_t checked_size(std::ptrdiff_t n);

/// One read. It says which bytes suffice, and remembers what it got until the task takes it.
class RONDO_EXPORT read_request : public suspension {
 public:
  using rondo_awaiter = void;

  read_request(const stream_buffer_ref& buffer, read_rule rule, std::size_t size) noexcept
      : suspension(&on_cancel), buffer_(buffer), size_(size), rule_(rule) {}
  read_request(read_request&&) noexcept = default;  // before it is awaited
  read_request& operator=(read_request&&) = delete;
  ~read_request() {
    if (registered_) unregister();
  }

  [[nodiscard]] bool await_ready() const noexcept { return false; }
  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> frame) {
    return start(*frame.promise().task, frame.address());
  }

 protected:
  std::string take_string();
  std::string_view take_view();
  std::size_t take_into(std::span<char> into);

 private:
  friend struct stream_buffer;

  enum class outcome : std::uint8_t { waiting, done, incomplete, overrun, overrun_found, failed };

  /// Whether it has to wait. @throws std::logic_error  another read waits
  bool start(task_core& by, void* frame);
  bool may_yield(task_core& by, void* frame);
  void unregister() noexcept;
  void check();
  [[noreturn]] void fail();
  static bool on_cancel(suspension& self, task_core& by);

  stream_buffer_ref buffer_;
  task_core* task_ = nullptr;
  std::size_t size_;
  std::size_t amount_ = 0;   // how many bytes to take, or a separator's place
  std::size_t scanned_ = 0;  // so many bytes hold no separator
  read_rule rule_;
  outcome outcome_ = outcome::waiting;
  bool registered_ = false;  // it is the reader's one read
  bool yields_ = false;      // it only lets others run
};

template <class T>
class read_awaiter : public read_request {
 public:
  using read_request::read_request;

  T await_resume() {
    if constexpr (std::is_same_v<T, std::string_view>) {
      return take_view();
    } else if constexpr (std::is_same_v<T, std::string>) {
      return take_string();
    } else {
      std::string line = take_string();
      if (line.empty()) return std::nullopt;
      return line;
    }
  }
  operator coro<T>() && { return await_kept<T>(std::move(*this)); }  // NOLINT: implicit by design
};

class read_into_awaiter : public read_request {
 public:
  read_into_awaiter(const stream_buffer_ref& buffer, std::span<char> into) noexcept
      : read_request(buffer, read_rule::some, into.size()), into_(into) {}

  std::size_t await_resume() { return take_into(into_); }
  operator coro<std::size_t>() && {  // NOLINT: implicit by design
    return await_kept<std::size_t>(std::move(*this));
  }

 private:
  std::span<char> into_;
};

/// The separators of one read; usually one.
class separator_set {
 public:
  separator_set() noexcept = default;
  explicit separator_set(std::string_view only) { add(only); }
  /// @throws std::invalid_argument  it is empty
  RONDO_EXPORT void add(std::string_view separator);

  struct match {
    std::size_t begin;
    std::size_t end;
  };
  /// The match that ends first; the separators cannot stand in the first `scanned` bytes.
  [[nodiscard]] RONDO_EXPORT std::optional<match> find(std::string_view text,
                                                       std::size_t scanned) const noexcept;
  /// How many bytes of a text without a match need not be searched again.
  [[nodiscard]] std::size_t searched(std::size_t text) const noexcept {
    return text + 1 > longest_ ? text + 1 - longest_ : 0;
  }
  [[nodiscard]] bool empty() const noexcept { return longest_ == 0; }

 private:
  std::string first_;
  std::vector<std::string> others_;
  std::size_t longest_ = 0;
};

[[noreturn]] RONDO_EXPORT void throw_no_separator();

class until_request : public read_request {
 public:
  until_request(const stream_buffer_ref& buffer, separator_set separators)
      : read_request(buffer, read_rule::until, 0), separators_(std::move(separators)) {
    if (separators_.empty()) throw_no_separator();
  }

 private:
  friend struct stream_buffer;
  separator_set separators_;
};

template <class T>
class until_awaiter : public until_request {
 public:
  using until_request::until_request;

  T await_resume() {
    if constexpr (std::is_same_v<T, std::string_view>) {
      return take_view();
    } else {
      return take_string();
    }
  }
  operator coro<T>() && { return await_kept<T>(std::move(*this)); }  // NOLINT: implicit by design
};

enum class writer_event : std::uint8_t { drained, closed };

/// A task that waits for a connection's write buffer, or for its end.
class RONDO_EXPORT writer_awaiter : public suspension {
 public:
  using rondo_awaiter = void;

  writer_awaiter(const stream_link_ref& link, writer_event event) noexcept
      : suspension(&on_cancel), link_(link), event_(event) {}
  writer_awaiter(writer_awaiter&&) noexcept = default;  // before it is awaited
  writer_awaiter& operator=(writer_awaiter&&) = delete;
  ~writer_awaiter() {
    if (next_ != nullptr) unlink();
  }

  [[nodiscard]] bool await_ready() const noexcept { return false; }
  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> frame) {
    return start(*frame.promise().task, frame.address());
  }
  void await_resume() { finish(); }

  operator coro<void>() && {
    return await_kept<void>(std::move(*this));
  }  // NOLINT: implicit by design

 private:
  friend class stream_link;

  [[nodiscard]] stream_link& link() const;
  /// Whether it has to wait.
  bool start(task_core& by, void* frame);
  void finish();
  void unlink() noexcept;
  static bool on_cancel(suspension& self, task_core& by);

  stream_link_ref link_;
  task_core* task_ = nullptr;
  writer_awaiter* next_ = nullptr;  // circular list of those who wait
  writer_awaiter* previous_ = nullptr;
  writer_event event_;
  bool yields_ = false;  // it was not linked, and only lets others run
};

}  // namespace detail
}  // namespace v0
}  // namespace rondo
