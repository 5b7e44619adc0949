// SPDX-License-Identifier: MIT
// rondo tests: containers of move-only values as results. They claim to be copyable.
#include "coro/support.hpp"

using namespace coro_test;

namespace {

using boxes = std::vector<std::unique_ptr<int>>;

coro<boxes> two() {
  boxes result;
  result.push_back(std::make_unique<int>(1));
  result.push_back(std::make_unique<int>(2));
  co_return result;
}

coro<int> sum() {
  auto task = create_task(two());
  const boxes from_task = co_await std::move(task);
  const boxes from_wait = co_await rondo::wait_for(two(), std::nullopt);
  co_return *from_task[0] + *from_task[1] + *from_wait[0] + *from_wait[1];
}

}  // namespace

TEST_CASE("a container of move-only values is moved out of its task", "[future]") {
  const balanced guard;
  manual_loop loop;
  CHECK(loop.run(sum()) == 6);
  CHECK(*loop.run(two()).at(1) == 2);
}
