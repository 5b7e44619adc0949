// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Subprocesses: starting programs, talking to them, awaiting their end.
#pragma once

#include <rondo/coro.hpp>
#include <rondo/detail/bytes.hpp>
#include <rondo/detail/connect_arguments.hpp>
#include <rondo/detail/export.hpp>
#include <rondo/event_loop.hpp>
#include <rondo/protocols.hpp>
#include <rondo/streams.hpp>
#include <rondo/transports.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace rondo {
inline namespace v0 {

/// What a standard stream of a child is connected to: one of the constants in `rondo::subprocess`,
/// or a descriptor, which stays the caller's.
///
/// @par asyncio
/// The values of `stdin=`, `stdout=` and `stderr=`.
class stdio {
 public:
  /// Unset: a pipe for `subprocess_exec` and `subprocess_shell`, inherited for
  /// `create_subprocess_*`.
  constexpr stdio() noexcept = default;
  constexpr stdio(int descriptor) noexcept  // NOLINT: implicit by design
      : what_(kind::descriptor), descriptor_(descriptor) {}
  /// Anything with a `fileno()`, a socket for example.
  template <class T>
    requires requires(const T& has) {
      { has.fileno() } -> std::convertible_to<int>;
    }
  constexpr stdio(const T& has) noexcept : stdio(has.fileno()) {}  // NOLINT: implicit by design

  friend constexpr bool operator==(const stdio&, const stdio&) noexcept = default;

  // For the library and for the constants.
  enum class kind : std::uint8_t { unset, pipe, devnull, inherit, to_stdout, descriptor };
  constexpr explicit stdio(kind what) noexcept : what_(what) {}
  [[nodiscard]] constexpr kind what() const noexcept { return what_; }
  [[nodiscard]] constexpr int descriptor() const noexcept { return descriptor_; }

 private:
  kind what_ = kind::unset;
  int descriptor_ = -1;
};

namespace subprocess {

/// A pipe between the child and this program.
inline constexpr stdio pipe(stdio::kind::pipe);
/// /dev/null.
inline constexpr stdio devnull(stdio::kind::devnull);
/// What this program has.
inline constexpr stdio inherit(stdio::kind::inherit);
/// For the child's standard error: the same as its standard output.
inline constexpr stdio to_stdout(stdio::kind::to_stdout);

}  // namespace subprocess

/// How a program is started.
///
/// @par asyncio
/// The keyword arguments of `asyncio.create_subprocess_exec`, and those of `subprocess.Popen`.
struct subprocess_options {
  stdio in = {};
  stdio out = {};
  stdio err = {};
  std::string_view cwd = {};  ///< the directory that it starts in; empty: this program's
  std::optional<std::span<const std::string>> env = {};  ///< "NAME=value" each; unset: inherited
  std::string_view executable = {};       ///< the file that is run, if it is not `program`
  bool start_new_session = false;         ///< setsid(2)
  std::optional<int> process_group = {};  ///< setpgid(2); 0: a new one
  std::span<const int> pass_fds = {};     ///< descriptors that the child gets, under their numbers
  std::optional<unsigned> user = {};      ///< the user id that it runs with
  std::optional<unsigned> group = {};     ///< the group id
  std::optional<std::span<const unsigned>> extra_groups = {};  ///< the supplementary group ids
  std::optional<unsigned> umask = {};
  bool restore_signals = true;  ///< no signal blocked, SIGPIPE and SIGXFSZ not ignored
  std::size_t limit = 65536;    ///< of each reader's buffer, in bytes; `create_subprocess_*` only
};
static_assert(std::is_trivially_copyable_v<subprocess_options>);

namespace detail {
class process_state;
struct spawn_data;

template <class R>
concept range_of_text = !text_like<R> && requires(const R& range) {
  { *std::begin(range) } -> std::convertible_to<std::string_view>;
  std::begin(range) != std::end(range);
};

/// A word of a command line, or a range of them.
template <class T>
concept command_word = text_like<T> || path_like<T> || range_of_text<T>;

/// A program with its arguments and options, all of them copied.
class RONDO_EXPORT spawn_request {
 public:
  /// @throws std::invalid_argument  an option is out of range
  explicit spawn_request(const subprocess_options& options);
  spawn_request(spawn_request&& other) noexcept;
  spawn_request& operator=(spawn_request&&) = delete;
  ~spawn_request();

  /// @throws std::invalid_argument  it contains a NUL
  void add(std::string_view word);
  template <path_like P>
  void add(const P& path) {
    add(std::string_view(path.native()));
  }
  template <range_of_text R>
  void add(const R& words) {
    for (const auto& each : words) add(std::string_view(each));
  }
  [[nodiscard]] spawn_data& data() const noexcept { return *data_; }

 private:
  std::unique_ptr<spawn_data> data_;
};

template <class... Words>
spawn_request request_of(const subprocess_options& options, const Words&... words) {
  spawn_request result(options);
  (result.add(words), ...);
  return result;
}
/// The request to run a command in /bin/sh.
[[nodiscard]] RONDO_EXPORT spawn_request shell_request(const subprocess_options& options,
                                                       std::string_view command);

/// Starts the program and waits until the protocol's connection_made was called.
[[nodiscard]] RONDO_EXPORT coro<std::shared_ptr<subprocess_transport>> start_subprocess(
    event_loop& loop, spawn_request request, std::shared_ptr<subprocess_protocol> attached);

// g++ 12 warns of every coroutine whose frame holds a lambda of a function with internal linkage.
#pragma GCC diagnostic push
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wsubobject-linkage"
#endif
template <class F>
coro<std::pair<std::shared_ptr<subprocess_transport>, std::shared_ptr<protocol_of<F>>>>
start_with_protocol(event_loop& loop, F factory, spawn_request request) {
  std::shared_ptr<protocol_of<F>> made = make_protocol(factory);
  std::shared_ptr<subprocess_transport> started =
      co_await start_subprocess(loop, std::move(request), made);
  co_return std::pair<std::shared_ptr<subprocess_transport>, std::shared_ptr<protocol_of<F>>>(
      std::move(started), std::move(made));
}
#pragma GCC diagnostic pop

}  // namespace detail

/// A program that was started, and its end.
///
/// A shared handle: copies name the same child. When the last one is dropped while the child runs,
/// its pipes are closed; it is not killed, and the loop notices its end.
///
/// @par asyncio
/// `asyncio.subprocess.Process`
/// @par Thread safety
/// The loop's thread only.
class RONDO_EXPORT process {
 public:
  process(const process&) noexcept;
  process(process&&) noexcept;
  process& operator=(const process&) noexcept;
  process& operator=(process&&) noexcept;
  ~process();

  /// What the child reads from; null unless it is a pipe. It lives as long as this handle or a copy
  /// of it.
  [[nodiscard]] stream_writer* stdin_writer() const noexcept;
  /// What the child writes to its standard output; null unless it is a pipe.
  [[nodiscard]] stream_reader* stdout_reader() const noexcept;
  [[nodiscard]] stream_reader* stderr_reader() const noexcept;

  [[nodiscard]] int pid() const noexcept;
  /// How the child ended: its exit status, or the negated number of the signal that killed it.
  /// Empty while it runs; 255 where another part of the program took the status away.
  [[nodiscard]] std::optional<int> returncode() const;

  /// Waits until the child has ended, whoever still has its pipes. Yields `returncode`.
  [[nodiscard]] coro<int> wait() const;

  /// Sends `input` and closes the child's standard input, reads all of both outputs, and waits for
  /// the end. Yields what was read, nothing for what is no pipe. A child that does not read all of
  /// the input is no error. The input is copied.
  [[nodiscard]] coro<std::pair<std::string, std::string>> communicate(
      std::optional<std::string_view> input = {}) const;
  /// The same, taking a string over.
  template <std::same_as<std::string> S>
  [[nodiscard]] coro<std::pair<std::string, std::string>> communicate(S&& input) const {  // NOLINT
    return communicate_owned(std::move(input));
  }

  /// Sends a signal to the child, never to another process that got its number; nothing happens if
  /// it has ended.
  /// @throws std::invalid_argument  there is no such signal
  /// @throws std::system_error  EPERM: the child runs as another user
  void send_signal(int signal_number) const;
  /// SIGTERM.
  void terminate() const;
  /// SIGKILL.
  void kill() const;

  // For the library.
  explicit process(std::shared_ptr<detail::process_state> state) noexcept;

 private:
  [[nodiscard]] coro<std::pair<std::string, std::string>> communicate_owned(
      std::string input) const;

  std::shared_ptr<detail::process_state> state_;
};

namespace detail {

/// @param limit  of the readers
[[nodiscard]] RONDO_EXPORT coro<process> start_process(spawn_request request, std::size_t limit);

}  // namespace detail

/// Starts a program. Each argument is text, a path, or a range of texts.
/// @param program  a path, or a name that is looked for in PATH (that of `options.env` if it is
/// set)
/// @throws std::system_error  it cannot be started: its text says what failed; nothing is left
/// @throws std::invalid_argument  bad options, or a NUL in a text
/// If it is cancelled the child is killed.
///
/// @par asyncio
/// `asyncio.create_subprocess_exec`
template <detail::command_word Program, detail::command_word... Args>
[[nodiscard]] coro<process> create_subprocess_exec(subprocess_options options,
                                                   const Program& program, const Args&... args) {
  return detail::start_process(detail::request_of(options, program, args...), options.limit);
}
template <detail::command_word Program, detail::command_word... Args>
[[nodiscard]] coro<process> create_subprocess_exec(const Program& program, const Args&... args) {
  return create_subprocess_exec(subprocess_options(), program, args...);
}

/// Runs a command in /bin/sh. Mind what the shell makes of text that others have written.
///
/// @par asyncio
/// `asyncio.create_subprocess_shell`
[[nodiscard]] RONDO_EXPORT coro<process> create_subprocess_shell(std::string_view command,
                                                                 subprocess_options options = {});

// ---- implementation ----------------------------------------------------------------

template <class F, class Program, class... Args>
  requires detail::protocol_factory<F>
coro<std::pair<std::shared_ptr<subprocess_transport>, std::shared_ptr<detail::protocol_of<F>>>>
event_loop::subprocess_exec(F&& factory, subprocess_options options, const Program& program,
                            const Args&... args) {
  return detail::start_with_protocol<std::decay_t<F>>(
      *this, std::forward<F>(factory), detail::request_of(options, program, args...));
}

template <class F, class Program, class... Args>
  requires(detail::protocol_factory<F> && !std::same_as<Program, subprocess_options>)
coro<std::pair<std::shared_ptr<subprocess_transport>, std::shared_ptr<detail::protocol_of<F>>>>
event_loop::subprocess_exec(F&& factory, const Program& program, const Args&... args) {
  return detail::start_with_protocol<std::decay_t<F>>(
      *this, std::forward<F>(factory), detail::request_of(subprocess_options(), program, args...));
}

template <class F>
  requires detail::protocol_factory<F>
coro<std::pair<std::shared_ptr<subprocess_transport>, std::shared_ptr<detail::protocol_of<F>>>>
event_loop::subprocess_shell(F&& factory, std::string_view command, subprocess_options options) {
  return detail::start_with_protocol<std::decay_t<F>>(*this, std::forward<F>(factory),
                                                      detail::shell_request(options, command));
}

template <class F>
  requires detail::protocol_factory<F>
coro<std::pair<std::shared_ptr<subprocess_transport>, std::shared_ptr<detail::protocol_of<F>>>>
event_loop::subprocess_shell(F&& factory, std::string_view command) {
  return subprocess_shell(std::forward<F>(factory), command, subprocess_options());
}

}  // namespace v0
}  // namespace rondo
