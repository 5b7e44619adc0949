// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  The event loop.
#pragma once

#include <rondo/address.hpp>
#include <rondo/context.hpp>
#include <rondo/coro.hpp>
#include <rondo/detail/callback.hpp>
#include <rondo/detail/connect_arguments.hpp>
#include <rondo/detail/export.hpp>
#include <rondo/detail/loop_core.hpp>
#include <rondo/detail/ready_node.hpp>
#include <rondo/detail/timer_heap.hpp>
#include <rondo/exception_context.hpp>
#include <rondo/future.hpp>
#include <rondo/fwd.hpp>
#include <rondo/handle.hpp>
#include <rondo/interval.hpp>
#include <rondo/options.hpp>
#include <rondo/selector.hpp>
#include <rondo/task.hpp>
#include <rondo/threadsafe_promise.hpp>

#include <concepts>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <source_location>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace rondo {
inline namespace v0 {
class backend;

namespace detail {
struct loop_internals;
class unsubmitted_job;

template <class T>
void takes_future(const future<T>&);
/// Handles of futures and tasks, which run_until_complete runs as they are.
template <class A>
concept names_future = std::derived_from<std::remove_cvref_t<A>, any_future> ||
                       requires(const std::remove_cvref_t<A>& handle) { takes_future(handle); };

template <class R>
using plain_result = std::conditional_t<std::is_lvalue_reference_v<R>, R, std::remove_cvref_t<R>>;
/// What a callable that runs once returns: a value, or an lvalue.
template <class F, class... Args>
using call_result = plain_result<std::invoke_result_t<std::decay_t<F>, std::decay_t<Args>...>>;
}  // namespace detail

/// What a loop has done and holds; see `event_loop::metrics`.
struct loop_metrics {
  std::uint64_t iterations = 0;
  std::uint64_t callbacks = 0;  ///< callbacks, task steps and events run
  std::uint64_t polls = 0;
  std::size_t tasks = 0;       ///< not done
  std::size_t handles = 0;     ///< scheduled and not run
  std::size_t operations = 0;  ///< given to the backend and not completed
  std::ptrdiff_t frames = 0;   ///< coroutine frames alive in this thread
};

/// Runs callbacks, tasks, timers and input and output in one thread.
///
/// One iteration polls for input and output, adds due timers, and runs exactly what was ready then.
/// User code is never called from inside `call_soon`, `set_result` or `cancel`: it is scheduled.
///
/// @par asyncio
/// `asyncio.AbstractEventLoop`
/// @par Thread safety
/// One thread at a time, checked in debug mode. `call_soon_threadsafe` may be called from any
/// thread.
class RONDO_EXPORT event_loop {
 public:
  /// A loop on a backend of one's own; see also `new_event_loop`, `selector_event_loop`.
  explicit event_loop(std::unique_ptr<backend> io);
  event_loop(const event_loop&) = delete;
  event_loop& operator=(const event_loop&) = delete;
  /// Closes the loop if need be and destroys the tasks that are left, each reported as pending.
  virtual ~event_loop();

  // ---- running ----

  /// Runs until `stop`.
  /// @throws loop_running_error  this loop runs, or another one in this thread
  /// @throws loop_closed_error
  /// Lets keyboard_interrupt and system_exit of callbacks and tasks through; what is queued stays.
  void run_forever();

  /// Runs until the awaitable is done and returns its result, or throws its exception. A coro
  /// becomes a task.
  /// @throws std::logic_error  the loop was stopped before; `std::invalid_argument`: a future of
  /// another loop
  template <class T>
  T run_until_complete(coro<T> body);
  template <class T>
  T run_until_complete(const future<T>& awaited);
  /// Throws the exception where there is one; the result is the typed handle's.
  void run_until_complete(const any_future& awaited);
  template <class A>
    requires(detail::awaitable<A> && !detail::is_coro<std::remove_cvref_t<A>> &&
             !detail::names_future<A>)
  auto run_until_complete(A&& awaitable) {
    using result = detail::awaited_value<A>;
    return run_until_complete(
        detail::await_kept<result, std::decay_t<A>>(std::forward<A>(awaitable)));
  }

  /// Lets the running iteration end and the loop return then; before a run: makes it run one
  /// iteration.
  void stop();
  [[nodiscard]] bool is_running() const noexcept;
  [[nodiscard]] bool is_closed() const noexcept;

  /// Drops what is queued without running it, and closes what the loop holds. Pending tasks stay
  /// suspended. Idempotent.
  /// @throws loop_running_error  the loop runs
  void close();

  /// Closes the asynchronous generators that have begun and are not at their end, all at once, and
  /// reports what their cleanup throws. One that begins later is warned of.
  ///
  /// @par asyncio
  /// `loop.shutdown_asyncgens`
  [[nodiscard]] coro<> shutdown_asyncgens();

  /// One iteration that waits for events at most `max_wait`; how many callbacks it ran.
  std::size_t run_once(interval max_wait = std::chrono::seconds(0));

  // ---- callbacks ----

  /// Schedules `f(args...)` for the next iteration, in a copy of the running context or in the
  /// given one. What it throws goes to the exception handler.
  /// @param place  shown in reports about the callback
  /// @throws loop_closed_error
  ///
  /// @par asyncio
  /// `loop.call_soon`
  template <class F>
    requires std::invocable<std::decay_t<F>>
  handle call_soon(F&& f, std::source_location place = std::source_location::current()) {
    return schedule(make_block<detail::handle_block>(place, std::forward<F>(f)), nullptr);
  }
  template <class F, class Arg, class... Args>
    requires std::invocable<std::decay_t<F>, std::decay_t<Arg>, std::decay_t<Args>...>
  handle call_soon(F&& f, Arg&& arg, Args&&... args) {
    return schedule(make_block<detail::handle_block>({}, std::forward<F>(f), std::forward<Arg>(arg),
                                                     std::forward<Args>(args)...),
                    nullptr);
  }
  template <class F, class... Args>
  handle call_soon(const context& bound, F&& f, Args&&... args) {
    return schedule(
        make_block<detail::handle_block>({}, std::forward<F>(f), std::forward<Args>(args)...),
        &bound);
  }

  /// The same from any thread, also from one that runs no loop; wakes the loop if it sleeps. The
  /// calls of one thread stay in order.
  /// @throws loop_closed_error  the loop is closed or closing; every thread must expect it
  template <class F, class... Args>
    requires std::invocable<std::decay_t<F>, std::decay_t<Args>...>
  threadsafe_handle call_soon_threadsafe(F&& f, Args&&... args) {
    return post(detail::make_threadsafe_block(
                    detail::bind_once(std::forward<F>(f), std::forward<Args>(args)...)),
                nullptr);
  }
  template <class F, class... Args>
  threadsafe_handle call_soon_threadsafe(const context& bound, F&& f, Args&&... args) {
    return post(detail::make_threadsafe_block(
                    detail::bind_once(std::forward<F>(f), std::forward<Args>(args)...)),
                &bound);
  }

  /// Schedules `f(args...)` for when `delay` is over; a delay that is not positive means the next
  /// iteration's timers. It never comes before its time by more than the clock's resolution.
  ///
  /// @par asyncio
  /// `loop.call_later`
  template <class F>
    requires std::invocable<std::decay_t<F>>
  timer_handle call_later(interval delay, F&& f,
                          std::source_location place = std::source_location::current()) {
    return schedule_after(delay, make_block<detail::timer_block>(place, std::forward<F>(f)),
                          nullptr);
  }
  template <class F, class Arg, class... Args>
    requires std::invocable<std::decay_t<F>, std::decay_t<Arg>, std::decay_t<Args>...>
  timer_handle call_later(interval delay, F&& f, Arg&& arg, Args&&... args) {
    return schedule_after(
        delay,
        make_block<detail::timer_block>({}, std::forward<F>(f), std::forward<Arg>(arg),
                                        std::forward<Args>(args)...),
        nullptr);
  }
  template <class F, class... Args>
  timer_handle call_later(const context& bound, interval delay, F&& f, Args&&... args) {
    return schedule_after(
        delay, make_block<detail::timer_block>({}, std::forward<F>(f), std::forward<Args>(args)...),
        &bound);
  }

  /// Schedules `f(args...)` for a time; equal times run in the order of the calls.
  ///
  /// @par asyncio
  /// `loop.call_at`
  template <class F>
    requires std::invocable<std::decay_t<F>>
  timer_handle call_at(time_point when, F&& f,
                       std::source_location place = std::source_location::current()) {
    return schedule_at(when, make_block<detail::timer_block>(place, std::forward<F>(f)), nullptr);
  }
  template <class F, class Arg, class... Args>
    requires std::invocable<std::decay_t<F>, std::decay_t<Arg>, std::decay_t<Args>...>
  timer_handle call_at(time_point when, F&& f, Arg&& arg, Args&&... args) {
    return schedule_at(
        when,
        make_block<detail::timer_block>({}, std::forward<F>(f), std::forward<Arg>(arg),
                                        std::forward<Args>(args)...),
        nullptr);
  }
  template <class F, class... Args>
  timer_handle call_at(const context& bound, time_point when, F&& f, Args&&... args) {
    return schedule_at(
        when, make_block<detail::timer_block>({}, std::forward<F>(f), std::forward<Args>(args)...),
        &bound);
  }

  /// Now, on the loop's clock.
  [[nodiscard]] virtual time_point time() const noexcept;

  // ---- futures and tasks ----

  /// @throws loop_closed_error
  template <class T = void>
  [[nodiscard]] future<T> create_future() {
    return future<T>(*this);
  }
  /// A promise that any thread may fulfil.
  template <class T = void>
  [[nodiscard]] threadsafe_promise<T> create_threadsafe_promise() {
    return threadsafe_promise<T>(*this);
  }

  /// As the free functions, on this loop.
  template <class T>
  task<T> create_task(coro<T> body, task_options options = {}) {
    return detail::spawn(*core_, std::move(body), options);
  }
  template <class F, class... Args>
    requires detail::coroutine_function<F, Args...>
  task<detail::coroutine_result<F, Args...>> create_task(task_options options, F&& function,
                                                         Args&&... arguments) {
    return detail::spawn(*core_,
                         detail::invoke_kept<std::decay_t<F>, std::decay_t<Args>...>(
                             std::forward<F>(function), std::forward<Args>(arguments)...),
                         options);
  }
  template <class F, class... Args>
    requires detail::coroutine_function<F, Args...>
  task<detail::coroutine_result<F, Args...>> create_task(F&& function, Args&&... arguments) {
    return create_task(task_options{.place = {}}, std::forward<F>(function),
                       std::forward<Args>(arguments)...);
  }

  /// Makes the tasks from now on; null restores the default, `make_task`.
  void set_task_factory(task_factory factory) noexcept;
  [[nodiscard]] task_factory get_task_factory() const noexcept;

  // ---- descriptors and signals ----

  /// Calls `f(args...)` in every iteration in which the descriptor is readable, has failed or is
  /// hung up. Replaces an earlier reader. The descriptor stays the caller's; remove the reader
  /// before closing it.
  /// @throws std::system_error  it cannot be watched (EPERM: a regular file; EBADF)
  /// @throws std::logic_error  a transport uses it
  ///
  /// @par asyncio
  /// `loop.add_reader`
  template <class D, class F, class... Args>
  void add_reader(const D& fd, F&& f, Args&&... args) {
    watch(descriptor_of(fd), false, make_repeated(std::forward<F>(f), std::forward<Args>(args)...));
  }
  /// Ends it; a call of it that is queued does not run. Returns whether there was a reader.
  template <class D>
  bool remove_reader(const D& fd) {
    return unwatch(descriptor_of(fd), false);
  }
  /// The same for when it can be written to.
  template <class D, class F, class... Args>
  void add_writer(const D& fd, F&& f, Args&&... args) {
    watch(descriptor_of(fd), true, make_repeated(std::forward<F>(f), std::forward<Args>(args)...));
  }
  template <class D>
  bool remove_writer(const D& fd) {
    return unwatch(descriptor_of(fd), true);
  }

  /// Calls `f(args...)` in the loop when the process gets the signal; several arrivals may become
  /// one call. One loop per signal; replaces this loop's earlier handler. The signal's disposition
  /// is restored by removing it and by `close`.
  /// @throws std::invalid_argument  no such signal, or one that cannot be handled
  /// @throws std::logic_error  another loop handles it
  ///
  /// @par asyncio
  /// `loop.add_signal_handler`, from any thread that runs the loop.
  template <class F, class... Args>
  void add_signal_handler(int signal_number, F&& f, Args&&... args) {
    add_signal(signal_number, make_repeated(std::forward<F>(f), std::forward<Args>(args)...));
  }
  /// Returns whether there was a handler.
  bool remove_signal_handler(int signal_number);

  // ---- connections: include <rondo/connections.hpp> to call these ----

  /// Connects to a host, with the protocol that the factory makes: it returns a shared_ptr, a
  /// unique_ptr, or a pointer to a protocol that lives until connection_lost. connection_made has
  /// been called when this returns.
  /// @param host  a name or an address; empty or nullopt: this machine
  /// @param port  a number or the name of a service
  /// @throws std::invalid_argument  bad options, host or port
  /// @throws resolve_error  there is no such host
  /// @throws connect_error  no address could be connected to; it names each one
  ///
  /// @par asyncio
  /// `loop.create_connection`
  template <class F>
    requires detail::protocol_factory<F>
  coro<std::pair<std::shared_ptr<transport>, std::shared_ptr<detail::protocol_of<F>>>>
  create_connection(F&& factory, detail::host_argument host, detail::service_argument port,
                    connect_options options = {});
  /// The same on a socket that is connected; it is closed on failure.
  template <class F>
    requires detail::protocol_factory<F>
  coro<std::pair<std::shared_ptr<transport>, std::shared_ptr<detail::protocol_of<F>>>>
  create_connection(F&& factory, rondo::socket connected, connect_options options = {});

  /// The same for a socket that was accepted elsewhere.
  ///
  /// @par asyncio
  /// `loop.connect_accepted_socket`
  template <class F>
    requires detail::protocol_factory<F>
  coro<std::pair<std::shared_ptr<transport>, std::shared_ptr<detail::protocol_of<F>>>>
  connect_accepted_socket(F&& factory, rondo::socket accepted, server_options options = {});

  /// Listens on every address of the hosts; each connection gets a protocol from the factory.
  /// @param hosts  one host, a range of hosts, or nullopt: all interfaces
  /// @throws std::system_error  an address cannot be bound; it is in the text
  ///
  /// @par asyncio
  /// `loop.create_server`
  template <class F>
    requires detail::protocol_factory<F>
  coro<server> create_server(F&& factory, detail::host_list_argument hosts,
                             detail::service_argument port, server_options options = {});
  /// The same on a socket that is bound.
  template <class F>
    requires detail::protocol_factory<F>
  coro<server> create_server(F&& factory, rondo::socket bound, server_options options = {});

  /// Reads from one end of a pipe, a FIFO, a terminal or a socket: the protocol gets what comes,
  /// and after eof_received the connection is lost. The transport cannot be written to.
  /// @param fd  belongs to the transport from here on. It is made non-blocking; the open file that
  /// it may share with others gets its mode back when the transport closes
  /// @throws std::invalid_argument  it is of another kind; it stays the caller's
  ///
  /// @par asyncio
  /// `loop.connect_read_pipe`
  template <class F>
    requires detail::protocol_factory<F>
  coro<std::pair<std::shared_ptr<transport>, std::shared_ptr<detail::protocol_of<F>>>>
  connect_read_pipe(F&& factory, int fd);
  /// The same for the end that is written to: the connection is lost when nobody reads any more,
  /// with EPIPE if something was left to be sent. `write_eof` is `close`.
  ///
  /// @par asyncio
  /// `loop.connect_write_pipe`
  template <class F>
    requires detail::protocol_factory<F>
  coro<std::pair<std::shared_ptr<transport>, std::shared_ptr<detail::protocol_of<F>>>>
  connect_write_pipe(F&& factory, int fd);

  // ---- subprocesses: include <rondo/subprocess.hpp> to call these ----

  /// Starts a program, with the protocol that the factory makes. Its standard streams are pipes
  /// unless the options say something else. connection_made has been called when this returns.
  /// @param program, args  text, paths, or ranges of texts
  /// @throws std::system_error  it cannot be started: its text says what failed; nothing is left
  /// @throws std::invalid_argument  bad options, or a NUL in a text
  /// If it is cancelled the child is killed, and its end awaited.
  ///
  /// @par asyncio
  /// `loop.subprocess_exec`
  template <class F, class Program, class... Args>
    requires detail::protocol_factory<F>
  coro<std::pair<std::shared_ptr<subprocess_transport>, std::shared_ptr<detail::protocol_of<F>>>>
  subprocess_exec(F&& factory, subprocess_options options, const Program& program,
                  const Args&... args);
  template <class F, class Program, class... Args>
    requires(detail::protocol_factory<F> && !std::same_as<Program, subprocess_options>)
  coro<std::pair<std::shared_ptr<subprocess_transport>, std::shared_ptr<detail::protocol_of<F>>>>
  subprocess_exec(F&& factory, const Program& program, const Args&... args);

  /// The same for a command in /bin/sh.
  ///
  /// @par asyncio
  /// `loop.subprocess_shell`
  template <class F>
    requires detail::protocol_factory<F>
  coro<std::pair<std::shared_ptr<subprocess_transport>, std::shared_ptr<detail::protocol_of<F>>>>
  subprocess_shell(F&& factory, std::string_view command, subprocess_options options);
  template <class F>
    requires detail::protocol_factory<F>
  coro<std::pair<std::shared_ptr<subprocess_transport>, std::shared_ptr<detail::protocol_of<F>>>>
  subprocess_shell(F&& factory, std::string_view command);

  // ---- names ----

  /// The addresses of a host; never blocks the loop, and a cancelled await ends at once.
  /// @param host  a name or an address; empty or nullopt: this machine, or all interfaces with
  /// AI_PASSIVE
  /// @param port  a number or the name of a service
  /// @throws std::invalid_argument  the host is longer than 253 bytes, has a NUL or is not ASCII
  /// @throws resolve_error  there is no such name
  ///
  /// @par asyncio
  /// `loop.getaddrinfo`
  coro<std::vector<address_info>> getaddrinfo(detail::host_argument host,
                                              detail::service_argument port,
                                              resolve_options options = {});

  /// The names of an address and of its port. `flags`: NI_*.
  /// @throws resolve_error
  ///
  /// @par asyncio
  /// `loop.getnameinfo`
  coro<std::pair<std::string, std::string>> getnameinfo(const address& where, int flags = 0);

  using resolver_function = std::function<coro<std::vector<address_info>>(
      std::string host, std::string service, resolve_options options)>;

  /// Answers for every host that is no literal address, from now on; empty restores the default.
  void set_resolver(resolver_function resolver);

  // ---- executors: include <rondo/executor.hpp> to call these ----

  /// Calls `f(args...)` in an executor; null: in the default one, a thread pool that is made at the
  /// first use. The call runs in an empty context; see also `to_thread`. Cancelling the future
  /// stops the call only if it has not begun.
  /// @throws std::logic_error  the executor is shut down
  /// @throws std::system_error  there is no thread and none can be made
  ///
  /// @par asyncio
  /// `loop.run_in_executor`
  template <class F, class... Args>
    requires std::invocable<std::decay_t<F>, std::decay_t<Args>...>
  future<detail::call_result<F, Args...>> run_in_executor(executor* where, F&& f, Args&&... args);

  /// What null means for `run_in_executor`, and `to_thread`, from now on; null: a new default one.
  /// `close` shuts it down without waiting for it, whoever else uses it.
  void set_default_executor(std::shared_ptr<thread_pool_executor> pool);

  /// Refuses calls of the default executor from now on, and waits until those that were made are
  /// done. Idempotent.
  /// @param timeout  after it a warning is logged, and the threads are left to themselves
  ///
  /// @par asyncio
  /// `loop.shutdown_default_executor`
  coro<> shutdown_default_executor(std::optional<interval> timeout = {});

  // ---- errors and debugging ----

  using exception_handler = std::function<void(event_loop&, const exception_context&)>;

  /// Gets every error that nobody awaits; empty restores the default.
  void set_exception_handler(exception_handler handler);
  [[nodiscard]] exception_handler get_exception_handler() const;
  /// Writes a report through the log handler.
  virtual void default_exception_handler(const exception_context& report);
  /// Reports an error: calls the handler; if that throws, the default one.
  void call_exception_handler(const exception_context& report);

  [[nodiscard]] bool get_debug() const noexcept;
  /// Debug mode checks the calling thread and reports slow callbacks; RONDO_DEBUG=1 turns it on.
  void set_debug(bool enabled) noexcept;
  /// In debug mode, what runs at least this long is reported.
  interval slow_callback_duration = std::chrono::milliseconds(100);

  // ---- embedding ----

  /// "epoll", "poll", "select", "io_uring" or what an own backend says.
  [[nodiscard]] std::string_view backend_name() const noexcept;
  /// A descriptor that is readable when `run_once` has something to do; -1 where there is none.
  [[nodiscard]] int backend_fd() const;
  /// How long a host may wait before it calls `run_once` again; nullopt: until `backend_fd` is
  /// readable.
  [[nodiscard]] std::optional<interval> backend_timeout() const;
  [[nodiscard]] loop_metrics metrics() const noexcept;

  // ---- for backends and transports ----

  /// @throws std::logic_error  in debug mode, when another thread runs the loop
  void check_thread() const;

  /// Runs a node in the next batch. The loop's thread only.
  void queue_ready(detail::ready_node& node) noexcept { core_->ready.push(node); }
  void arm_timer(detail::timer_node& node, time_point when);
  void disarm_timer(detail::timer_node& node) noexcept;
  /// Sends a job off, for `result`; null: to the default executor.
  void submit_job(executor* where, detail::unsubmitted_job job, const any_future& result);
  [[nodiscard]] detail::loop_core& core() const noexcept { return *core_; }
  [[nodiscard]] detail::loop_internals& internals() const noexcept { return *internals_; }

 private:
  template <class Block, class F, class... Args>
  detail::block_ref<Block> make_block(std::source_location place, F&& f, Args&&... args) {
    detail::block_ref<Block> made = detail::make_handle_block<Block, false, std::decay_t<F>>(
        *core_, detail::bind_once(std::forward<F>(f), std::forward<Args>(args)...));
    made->made_at = place;
    return made;
  }
  template <class F, class... Args>
  detail::block_ref<detail::handle_block> make_repeated(F&& f, Args&&... args) {
    return detail::make_handle_block<detail::handle_block, true, std::decay_t<F>>(
        *core_, detail::bind_repeated(std::forward<F>(f), std::forward<Args>(args)...));
  }
  template <class D>
  static int descriptor_of(const D& fd) {
    if constexpr (std::convertible_to<const D&, int>) {
      return fd;
    } else {
      return fd.fileno();
    }
  }

  handle schedule(detail::block_ref<detail::handle_block> block, const context* bound);
  timer_handle schedule_after(interval delay, detail::block_ref<detail::timer_block> block,
                              const context* bound);
  timer_handle schedule_at(time_point when, detail::block_ref<detail::timer_block> block,
                           const context* bound);
  timer_handle arm(time_point when, detail::block_ref<detail::timer_block> block,
                   const context* bound);
  threadsafe_handle post(detail::threadsafe_block* block, const context* bound);
  void watch(int fd, bool writer, detail::block_ref<detail::handle_block> block);
  bool unwatch(int fd, bool writer);
  void add_signal(int signal_number, detail::block_ref<detail::handle_block> block);
  void check_can_run() const;
  void check_usable() const;
  void run_until_done(detail::future_core& awaited);

  class running_scope;
  std::size_t iterate(std::optional<interval> max_wait, bool may_skip);
  [[nodiscard]] std::optional<interval> poll_wait(std::optional<interval> max_wait) const;
  void poll_next() noexcept;
  bool may_skip_poll() noexcept;
  void look(std::optional<interval> max_wait, std::uint64_t newest, detail::ready_queue* later);
  std::size_t run_batch(const detail::ready_node* last);
  std::size_t run_last_batch(std::uint64_t newest);
  void run_at_end();
  void drop_queued() noexcept;

  detail::loop_core* core_;
  std::unique_ptr<detail::loop_internals> internals_;
};

/// A loop on a selector.
///
/// @par asyncio
/// `asyncio.SelectorEventLoop`
class RONDO_EXPORT selector_event_loop : public event_loop {
 public:
  /// On epoll.
  selector_event_loop();
  explicit selector_event_loop(std::unique_ptr<selector> chosen);
  ~selector_event_loop() override;
};

/// The loop that runs in this thread.
/// @throws std::logic_error  none runs
///
/// @par asyncio
/// `asyncio.get_running_loop`
[[nodiscard]] RONDO_EXPORT event_loop& get_running_loop();

/// The running loop, else what `set_event_loop` was given in this thread; null if there is none.
///
/// @par asyncio
/// `asyncio.get_event_loop`
[[nodiscard]] RONDO_EXPORT event_loop* get_event_loop();

/// Makes a loop this thread's current one; null for none. It must outlive that.
RONDO_EXPORT void set_event_loop(event_loop* loop);

/// Makes a loop: on epoll, or as RONDO_LOOP says.
/// @throws std::invalid_argument  RONDO_LOOP names something unknown or unavailable; the text lists
/// the others
///
/// @par asyncio
/// `asyncio.new_event_loop`
[[nodiscard]] RONDO_EXPORT std::unique_ptr<event_loop> new_event_loop();

// ---- implementation ----------------------------------------------------------------

namespace detail {

/// The result of a future that is done: moved if nobody else can look at it, or if it cannot be
/// copied.
template <class T>
T take_result(const future<T>& done) {
  done.result();
  if constexpr (std::is_reference_v<T>) {
    return done.result();
  } else if constexpr (!std::is_void_v<T>) {
    future_core& core = *done.core();
    if constexpr (copyable<T>) {
      if (core.references > 1) return value_of<T>(core);
    } else {
      core.moved_out = true;
    }
    return std::move(value_of<T>(core));
  }
}

}  // namespace detail

template <class T>
T event_loop::run_until_complete(coro<T> body) {
  check_can_run();
  const task<T> running = create_task(std::move(body));
  running.core()->log_destroyed = false;
  run_until_done(*running.core());
  return detail::take_result<T>(running);
}

template <class T>
T event_loop::run_until_complete(const future<T>& awaited) {
  check_can_run();
  const future<T> kept = awaited;
  run_until_done(*kept.core());
  return detail::take_result<T>(kept);
}

}  // namespace v0
}  // namespace rondo
