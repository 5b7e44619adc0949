// SPDX-License-Identifier: MIT
// rondo benchmarks: starting programs with rondo, as its users write it.
#include <rondo/run.hpp>
#include <rondo/subprocess.hpp>
#include <rondo/task.hpp>

#include "spawn_common.h"

#include <vector>

namespace {

long started = 0;

rondo::coro<> lane() {
  while (started < count) {
    ++started;
    const rondo::process child = co_await rondo::create_subprocess_exec(program);
    const int code = co_await child.wait();
    if (code != 0) fail("the program failed");
  }
}

rondo::coro<> amain() {
  begin_measuring();
  std::vector<rondo::task<>> lanes;
  for (long i = 0; i < parallel; ++i) lanes.push_back(rondo::create_task(lane()));
  for (const auto& each : lanes) co_await each;
  end_measuring();
}

}  // namespace

int main(int argc, char** argv) {
  read_arguments(argc, argv);
  rondo::run(amain());
  return 0;
}
