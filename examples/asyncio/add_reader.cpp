// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Waits until a socket is readable, with add_reader on one end of a
// socket pair. Python: add_reader.py
#include <rondo/rondo.hpp>

#include <sys/socket.h>

#include <cstdio>

int main() {
  auto [reading, writing] = rondo::socket::pair();
  const auto loop = rondo::new_event_loop();

  loop->add_reader(reading, [&reading = reading, &loop] {
    char data[100];
    const auto count = ::recv(reading.fileno(), data, sizeof data, 0);
    std::printf("Received: %.*s\n", static_cast<int>(count), data);
    loop->remove_reader(reading);
    loop->stop();
  });
  loop->call_soon([&writing = writing] { ::send(writing.fileno(), "abc", 3, 0); });
  loop->run_forever();
  loop->close();
}
