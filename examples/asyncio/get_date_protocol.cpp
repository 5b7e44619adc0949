// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Collects what a subprocess says, with a protocol class.
// Python: get_date_protocol.py
#include <rondo/rondo.hpp>

#include <fmt/core.h>

#include <exception>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

class date_protocol : public rondo::subprocess_protocol {
 public:
  explicit date_protocol(rondo::future<> exit_future) : exit_future_(std::move(exit_future)) {}

  void pipe_connection_lost(int, std::exception_ptr) override {
    pipe_closed_ = true;
    check_for_exit();
  }
  void pipe_data_received(int, std::string_view data) override { output_ += data; }
  void process_exited() override {
    exited_ = true;
    check_for_exit();
  }

  [[nodiscard]] const std::string& output() const { return output_; }

 private:
  // The two come in any order.
  void check_for_exit() {
    if (pipe_closed_ && exited_) exit_future_.set_result();
  }

  rondo::future<> exit_future_;
  std::string output_;
  bool pipe_closed_ = false;
  bool exited_ = false;
};

static rondo::coro<std::string> get_date() {
  auto& loop = rondo::get_running_loop();
  const char* const code = "import datetime; print(datetime.datetime.now())";
  auto exit_future = loop.create_future();
  const auto factory = [exit_future] { return std::make_shared<date_protocol>(exit_future); };
  auto [transport, protocol] = co_await loop.subprocess_exec(
      factory, {.in = rondo::subprocess::inherit, .err = rondo::subprocess::inherit}, "python3",
      "-c", code);
  co_await exit_future;
  transport->close();
  co_return protocol->output().substr(0, protocol->output().find_last_not_of('\n') + 1);
}

int main() { fmt::print("Current date: {}\n", rondo::run(get_date())); }
