// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  The transport of a child process, with its pipes.
#include <rondo/errors.hpp>
#include <rondo/exception_context.hpp>
#include <rondo/log.hpp>
#include <rondo/subprocess.hpp>

#include "loop/running_scope.hpp"
#include "process/child.hpp"
#include "process/spawn_request.hpp"
#include "transport/pipe_transport.hpp"

#include <array>
#include <csignal>
#include <cstddef>
#include <exception>
#include <stdexcept>
#include <utility>

namespace rondo {
inline namespace v0 {
namespace detail {
namespace {

/// asyncio's `BaseSubprocessTransport`.
///
/// The loop owns it, through `self_`, until connection_lost has returned. Its own node comes before
/// those of its pipes, so that connection_made does.
class child_transport final : public subprocess_transport,
                              private child_listener,
                              private ready_node,
                              private loop_resource,
                              public std::enable_shared_from_this<child_transport> {
 public:
  child_transport(event_loop& loop, std::shared_ptr<subprocess_protocol> attached)
      : ready_node(&run_node),
        core_(loop.core()),
        context_(running_context().snapshot()),
        opened_(loop.create_future<>()),
        protocol_(std::move(attached)) {
    ++core_.references;
  }
  ~child_transport() override { detail::release(core_); }

  /// Starts the program and schedules connection_made.
  void start(event_loop& loop, const spawn_data& request);
  [[nodiscard]] const future<>& opened() const noexcept { return opened_; }
  [[nodiscard]] const std::shared_ptr<child>& process() const noexcept { return child_; }

  [[nodiscard]] bool is_closing() const override { return closing_; }
  void close() override;
  using base_transport::set_protocol;
  void set_protocol(std::shared_ptr<base_protocol> given) override;
  [[nodiscard]] std::shared_ptr<base_protocol> get_protocol() const override { return protocol_; }
  [[nodiscard]] std::any get_extra_info(std::string_view name) const override;
  [[nodiscard]] std::optional<int> subprocess_pid() const override { return get_pid(); }

  [[nodiscard]] int get_pid() const override { return child_->pid(); }
  [[nodiscard]] std::optional<int> get_returncode() const override { return child_->returncode(); }
  [[nodiscard]] std::shared_ptr<transport> get_pipe_transport(int fd) const override;
  void send_signal(int signal_number) override { child_->send_signal(signal_number); }
  void terminate() override { send_signal(SIGTERM); }
  void kill() override { send_signal(SIGKILL); }

 private:
  class pipe_protocol;

  void open_pipe(event_loop& loop, int fd, os::descriptor end);
  void pipe_lost(int fd, std::exception_ptr error);
  void child_ended() override;
  void end_if_done();
  void queue() noexcept;
  static void run_node(ready_node& node, event_loop* loop);
  void on_node();
  void on_loop_close() noexcept override;
  void let_go() noexcept;

  /// Calls the protocol in its context; what it throws is reported.
  template <class F>
  void tell(const char* name, F&& call);

  loop_core& core_;
  context_ref context_;
  future<> opened_;
  std::shared_ptr<subprocess_protocol> protocol_;
  std::shared_ptr<child> child_;
  std::array<std::shared_ptr<transport>, 3> pipes_;
  std::shared_ptr<child_transport> self_;  // while the loop keeps it
  int open_pipes_ = 0;
  bool queued_ = false;
  bool made_ = false;
  bool exited_ = false;
  bool ended_early_ = false;
  bool closing_ = false;
  bool ended_ = false;
};

/// Hands what happens to one pipe on.
class child_transport::pipe_protocol final : public protocol {
 public:
  pipe_protocol(std::shared_ptr<child_transport> of, int fd) noexcept
      : of_(std::move(of)), fd_(fd) {}

  void data_received(std::string_view data) override {
    const std::shared_ptr<subprocess_protocol> told = of_->protocol_;
    if (told != nullptr) told->pipe_data_received(fd_, data);
  }
  void pause_writing() override {
    if (of_->protocol_ != nullptr) of_->protocol_->pause_writing();
  }
  void resume_writing() override {
    if (of_->protocol_ != nullptr) of_->protocol_->resume_writing();
  }
  void connection_lost(std::exception_ptr error) override { of_->pipe_lost(fd_, std::move(error)); }

 private:
  std::shared_ptr<child_transport> of_;
  int fd_;
};

void child_transport::start(event_loop& loop, const spawn_data& request) {
  started_child started = start_child(loop, request, rondo::subprocess::pipe);
  child_ = std::move(started.process);
  child_->set_listener(this);
  link_resource(core_, *this);
  self_ = shared_from_this();
  // Before those of the pipes.
  queue();
  try {
    for (int fd = 0; fd < 3; ++fd) {
      os::descriptor& end = started.pipes[static_cast<std::size_t>(fd)];
      if (end) open_pipe(loop, fd, std::move(end));
    }
  } catch (...) {
    close();
    throw;
  }
}

void child_transport::open_pipe(event_loop& loop, int fd, os::descriptor end) {
  auto attached = std::make_shared<pipe_protocol>(self_, fd);
  transport_setup setup;
  setup.kind = fd_state::stream_kind::plain;
  setup.context = context_;
  std::shared_ptr<transport>& place = pipes_[static_cast<std::size_t>(fd)];
  if (fd == 0) {
    place = write_pipe_transport::open(loop, std::move(end), false, std::move(attached),
                                       std::move(setup));
  } else {
    place = read_pipe_transport::open(loop, std::move(end), false, std::move(attached),
                                      std::move(setup));
  }
  ++open_pipes_;
}

void child_transport::queue() noexcept {
  if (queued_) return;
  queued_ = true;
  core_.ready.push(*this);
}

void child_transport::run_node(ready_node& node, event_loop* loop) {
  auto& self = static_cast<child_transport&>(node);
  const std::shared_ptr<child_transport> alive = self.self_;
  self.queued_ = false;
  if (loop != nullptr && !self.ended_) self.on_node();
}

void child_transport::on_node() {
  if (!made_) {
    made_ = true;
    // Also when keyboard_interrupt or system_exit passes: what is due comes in the next run.
    struct finally {
      child_transport& self;
      ~finally() {
        if (const future<> opened = std::exchange(self.opened_, future<>());
            opened && !opened.done()) {
          opened.set_result();
        }
        if (self.ended_early_) self.queue();
      }
    } const last{*this};
    tell("connection_made", [&] { protocol_->connection_made(self_); });
    return;
  }
  if (std::exchange(ended_early_, false)) {
    child_ended();
    return;
  }
  if (!exited_ || open_pipes_ != 0) return;
  ended_ = true;
  struct finally {
    child_transport& self;
    ~finally() { self.let_go(); }
  } const last{*this};
  tell("connection_lost", [&] { protocol_->connection_lost(nullptr); });
}

void child_transport::pipe_lost(int fd, std::exception_ptr error) {
  --open_pipes_;
  struct finally {
    child_transport& self;
    ~finally() { self.end_if_done(); }
  } const last{*this};
  if (protocol_ == nullptr) return;
  tell("pipe_connection_lost", [&] { protocol_->pipe_connection_lost(fd, std::move(error)); });
}

void child_transport::child_ended() {
  if (!made_) {
    // So quick a child is told of after connection_made.
    ended_early_ = true;
    return;
  }
  exited_ = true;
  struct finally {
    child_transport& self;
    ~finally() { self.end_if_done(); }
  } const last{*this};
  tell("process_exited", [&] { protocol_->process_exited(); });
}

void child_transport::end_if_done() {
  if (exited_ && open_pipes_ == 0 && !ended_) queue();
}

void child_transport::let_go() noexcept {
  ended_ = true;
  closing_ = true;
  unlink_resource(core_, *this);
  child_->set_listener(nullptr);
  const std::shared_ptr<subprocess_protocol> last = std::move(protocol_);
  const std::shared_ptr<child_transport> self = std::move(self_);
}

void child_transport::on_loop_close() noexcept {
  if (core_.debug) log(log_level::warning, "an open subprocess was closed by closing its loop");
  opened_ = future<>();
  let_go();
}

void child_transport::close() {
  if (closing_) return;
  closing_ = true;
  for (const std::shared_ptr<transport>& each : pipes_) {
    if (each != nullptr) each->close();
  }
  if (!exited_) static_cast<void>(child_->kill());
}

void child_transport::set_protocol(std::shared_ptr<base_protocol> given) {
  auto typed = std::dynamic_pointer_cast<subprocess_protocol>(std::move(given));
  if (typed == nullptr) {
    throw std::invalid_argument(
        "a subprocess transport needs an object of a class that derives from subprocess_protocol");
  }
  if (!ended_) protocol_ = std::move(typed);
}

std::any child_transport::get_extra_info(std::string_view name) const {
  if (name == "subprocess") return get_pid();
  return {};
}

std::shared_ptr<transport> child_transport::get_pipe_transport(int fd) const {
  return fd >= 0 && fd < 3 ? pipes_[static_cast<std::size_t>(fd)] : nullptr;
}

template <class F>
void child_transport::tell(const char* name, F&& call) {
  const std::shared_ptr<subprocess_protocol> alive = protocol_;
  try {
    const context_scope scope(core_, context_);
    call();
  } catch (const keyboard_interrupt&) {
    throw;
  } catch (const system_exit&) {
    throw;
  } catch (...) {
    exception_context context(std::string("Exception in callback protocol.") + name + "()",
                              std::current_exception());
    context.transport = this;
    context.protocol = alive.get();
    core_.loop->call_exception_handler(context);
  }
}

}  // namespace

coro<std::shared_ptr<subprocess_transport>> start_subprocess(
    event_loop& loop, spawn_request request, std::shared_ptr<subprocess_protocol> attached) {
  const auto made = std::make_shared<child_transport>(loop, std::move(attached));
  made->start(loop, request.data());
  std::exception_ptr error;
  try {
    const future<> opened = made->opened();
    co_await opened;
  } catch (...) {
    error = std::current_exception();
  }
  if (error) {
    made->close();
    if (made->process()->kill()) co_await wait_for_end(made->process());
    std::rethrow_exception(std::move(error));
  }
  co_return made;
}

}  // namespace detail
}  // namespace v0
}  // namespace rondo
