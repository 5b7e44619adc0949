// SPDX-License-Identifier: MIT
// The programs of docs/executors.md.
#include <rondo/rondo.hpp>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <string>

using namespace std::chrono_literals;

namespace {

std::string read_all(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

rondo::coro<> awaits_a_thread() {
  const std::string text = co_await rondo::to_thread(read_all, "/etc/hostname");
  std::printf("%s", text.c_str());
}

std::uint64_t sum_of_squares(std::uint64_t below) {
  std::uint64_t sum = 0;
  for (std::uint64_t i = 0; i < below; ++i) sum += i * i;
  return sum;
}

rondo::coro<> uses_pools() {
  auto& loop = rondo::get_running_loop();

  rondo::thread_pool_executor threads(4, "files");
  const std::string text = co_await loop.run_in_executor(&threads, read_all, "/etc/hostname");

  rondo::process_pool_executor processes(2);
  const auto sum = co_await loop.run_in_executor(&processes, sum_of_squares, 1000);
  std::printf("%zu bytes, %llu\n", text.size(), static_cast<unsigned long long>(sum));
}

rondo::coro<> survives_a_crash() {
  auto& loop = rondo::get_running_loop();
  rondo::process_pool_executor processes(2);
  try {
    co_await loop.run_in_executor(&processes, [] { __builtin_trap(); });
  } catch (const rondo::broken_process_pool& broken) {
    std::printf("signal %d: %s\n", broken.signal, broken.what());
  }
}

}  // namespace

int main() {
  rondo::run(awaits_a_thread());
  rondo::run(uses_pools());
  rondo::run(survives_a_crash());
}
