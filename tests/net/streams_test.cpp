// SPDX-License-Identifier: MIT
// rondo tests: stream readers and writers.
#include <rondo/errors.hpp>
#include <rondo/rondo.hpp>

#include "net/transport_fixture.hpp"
#include "support/fault_table.hpp"

namespace rondo_test {

namespace os = rondo::os;
using rondo::coro;
using rondo::stream_reader;
using rondo::stream_writer;

namespace {

/// A read transport that only remembers whether it is paused.
class fake_transport : public rondo::read_transport {
 public:
  [[nodiscard]] bool is_reading() const override { return !paused; }
  void pause_reading() override {
    paused = true;
    ++pauses;
  }
  void resume_reading() override {
    paused = false;
    ++resumes;
  }
  bool paused = false;
  int pauses = 0;
  int resumes = 0;
};

/// Runs a coroutine whose reads must throw E, and gives what was thrown.
template <class E, class T>
E thrown_by(scene& here, coro<T> body) {
  try {
    here.run(std::move(body));
  } catch (const E& error) {
    return error;
  }
  throw std::runtime_error("nothing was thrown");
}

template <class A>
auto as_coro(A awaiter) -> coro<std::remove_cvref_t<decltype(awaiter.await_resume())>> {
  co_return co_await std::move(awaiter);
}

/// A stream to a raw peer.
class stream_scene : public scene {
 public:
  explicit stream_scene(std::size_t limit = 65536) {
    auto [socket, raw] = tcp_pair();
    peer_.emplace(raw);
    auto made = run(rondo::open_connection(std::move(socket), {.limit = limit}));
    reader = made.reader;
    writer = made.writer;
  }
  ~stream_scene() {
    if (writer && !writer.is_closing()) writer.transport()->abort();
    writer = stream_writer();
    settle();
  }
  [[nodiscard]] raw_peer& peer() { return *peer_; }

  stream_reader reader;
  stream_writer writer;

 private:
  std::optional<raw_peer> peer_;
};

}  // namespace

// ---- reads -------------------------------------------------------------------------

TEST_CASE("read gives at least one byte and at most n", "[streams][rule-154]") {
  scene here;
  const stream_reader reader;
  CHECK(here.run(as_coro(reader.read(0))).empty());
  reader.feed_data("hello");
  CHECK(here.run(as_coro(reader.read(2))) == "he");
  CHECK(here.run(as_coro(reader.read(100))) == "llo");
  auto waiting = here.loop().create_task(as_coro(reader.read(10)));
  here.settle();
  CHECK_FALSE(waiting.done());
  reader.feed_data("x");
  here.until([&] { return waiting.done(); });
  CHECK(waiting.result() == "x");
  CHECK_FALSE(reader.at_eof());
  reader.feed_eof();
  CHECK(reader.at_eof());
  CHECK(here.run(as_coro(reader.read(10))).empty());
  CHECK(here.run(as_coro(reader.read())).empty());
}

TEST_CASE("read(-1) reads to the end, however much that is", "[streams][rule-154]") {
  scene here;
  const stream_reader reader(16);
  const auto transport = std::make_shared<fake_transport>();
  reader.set_transport(transport);
  auto all = here.loop().create_task(as_coro(reader.read()));
  here.settle();
  std::string expected;
  for (int i = 0; i < 100; ++i) {
    CHECK_FALSE(transport->paused);
    expected += std::string(50, static_cast<char>('a' + i % 26));
    reader.feed_data(std::string(50, static_cast<char>('a' + i % 26)));
    here.turn();
  }
  CHECK_FALSE(all.done());
  reader.feed_eof();
  here.until([&] { return all.done(); });
  CHECK(all.result() == expected);
}

TEST_CASE("readexactly gives that many, or says what there was", "[streams][rule-155][fault-H3]") {
  scene here;
  const stream_reader reader;
  CHECK(here.run(as_coro(reader.readexactly(0))).empty());
  CHECK_THROWS_AS(reader.readexactly(-1), std::invalid_argument);
  reader.feed_data("abc");
  CHECK(here.run(as_coro(reader.readexactly(2))) == "ab");
  auto waiting = here.loop().create_task(as_coro(reader.readexactly(4)));
  here.settle();
  reader.feed_data("def!");
  here.until([&] { return waiting.done(); });
  CHECK(waiting.result() == "cdef");
  reader.feed_eof();
  const auto error = thrown_by<rondo::incomplete_read_error>(here, as_coro(reader.readexactly(5)));
  CHECK(error.partial == "!");
  CHECK(error.expected == 5);
  CHECK(reader.at_eof());
  CHECK(here.run(as_coro(reader.readexactly(0))).empty());
}

TEST_CASE("readexactly of more than flow control allows is not held up", "[streams][rule-160]") {
  stream_scene here(1024);
  auto waiting = here.loop().create_task(as_coro(here.reader.readexactly(2'000'000)));
  here.turn();
  std::size_t sent = 0;
  here.until([&] {
    if (sent < 2'000'000) {
      here.peer().send(std::string(50'000, 'x'));
      sent += 50'000;
    }
    return waiting.done();
  });
  CHECK(waiting.result() == std::string(2'000'000, 'x'));
}

TEST_CASE("readuntil finds separators across every boundary", "[streams][rule-156][fault-H2]") {
  scene here;
  const std::string text = "one\r\ntwo\r\n\rthree\r\n";
  for (std::size_t first = 0; first <= text.size(); ++first) {
    for (std::size_t second = first; second <= text.size(); ++second) {
      const stream_reader reader;
      auto body = [](stream_reader from) -> coro<std::vector<std::string>> {
        std::vector<std::string> found;
        for (int i = 0; i < 3; ++i) found.push_back(co_await from.readuntil("\r\n"));
        co_return found;
      };
      auto task = here.loop().create_task(body(reader));
      here.turn();
      reader.feed_data(text.substr(0, first));
      here.turn(2);
      reader.feed_data(text.substr(first, second - first));
      here.turn(2);
      reader.feed_data(text.substr(second));
      here.until([&] { return task.done(); });
      CHECK(task.result() == std::vector<std::string>{"one\r\n", "two\r\n", "\rthree\r\n"});
    }
  }
}

TEST_CASE("readuntil at the end of the stream", "[streams][rule-156]") {
  scene here;
  const stream_reader reader;
  CHECK_THROWS_AS(reader.readuntil(""), std::invalid_argument);
  reader.feed_data("a,b");
  reader.feed_eof();
  // Data with the separator comes before the end.
  CHECK(here.run(as_coro(reader.readuntil(","))) == "a,");
  const auto error = thrown_by<rondo::incomplete_read_error>(here, as_coro(reader.readuntil(",")));
  CHECK(error.partial == "b");
  CHECK_FALSE(error.expected);
  CHECK(reader.at_eof());
}

TEST_CASE("the limit counts the bytes before the separator; over it they stay buffered",
          "[streams][rule-157][fault-H4]") {
  scene here;
  const stream_reader reader(4);
  reader.feed_data("abcd\n");
  CHECK(here.run(as_coro(reader.readuntil())) == "abcd\n");
  reader.feed_data("abcde\nrest");
  auto error = thrown_by<rondo::limit_overrun_error>(here, as_coro(reader.readuntil()));
  CHECK(error.consumed == 5);
  CHECK(here.run(as_coro(reader.readexactly(static_cast<std::ptrdiff_t>(error.consumed)))) ==
        "abcde");
  CHECK(here.run(as_coro(reader.readuntil())) == "\n");
  error = thrown_by<rondo::limit_overrun_error>(here, [](stream_reader from) -> coro<> {
    from.feed_data("xxx");
    co_await from.readuntil("--");
  }(reader));
  CHECK(error.consumed == 6);  // "restxx": the last x might begin nothing, but a '-' might follow
  CHECK(here.run(as_coro(reader.read(100))) == "restxxx");
}

TEST_CASE("a line at the limit is read, one byte more drops the line", "[streams][rule-158]") {
  scene here;
  const stream_reader reader(4);
  reader.feed_data("abcd\nabcde\nok\n");
  CHECK(here.run(as_coro(reader.readline())) == "abcd\n");
  CHECK(thrown_by<rondo::limit_overrun_error>(here, as_coro(reader.readline())).consumed == 5);
  CHECK(here.run(as_coro(reader.readline())) == "ok\n");
  reader.feed_data("no newline");
  thrown_by<rondo::limit_overrun_error>(here, as_coro(reader.readline()));
  reader.feed_data("last");
  reader.feed_eof();
  CHECK(here.run(as_coro(reader.readline())) == "last");
  CHECK(here.run(as_coro(reader.readline())).empty());
}

TEST_CASE("a gigabyte without a newline is refused at the limit", "[streams][rule-157][fault-H1]") {
  stream_scene here;
  auto task = here.loop().create_task(as_coro(here.reader.readline()));
  std::size_t sent = 0;
  const std::string block(100'000, 'x');
  here.until([&] {
    const ssize_t count = ::send(here.peer().fd(), block.data(), block.size(), MSG_DONTWAIT);
    if (count > 0) sent += static_cast<std::size_t>(count);
    return task.done() && count < 0;
  });
  CHECK_THROWS_AS(task.result(), rondo::limit_overrun_error);
  CHECK_FALSE(here.writer.transport()->is_reading());
  CHECK(sent < 64'000'000);
}

TEST_CASE("of several separators the one that ends first counts", "[streams][rule-159]") {
  scene here;
  const stream_reader reader;
  const std::array<std::string_view, 3> separators{"abcd", "bc", "\n"};
  reader.feed_data("xxabcd-bc\nyab");
  CHECK(here.run(as_coro(reader.readuntil(separators))) == "xxabc");
  CHECK(here.run(as_coro(reader.readuntil(separators))) == "d-bc");
  CHECK(here.run(as_coro(reader.readuntil(separators))) == "\n");
  auto waiting = here.loop().create_task(as_coro(reader.readuntil(separators)));
  here.settle();
  CHECK_FALSE(waiting.done());
  reader.feed_data("c");
  here.until([&] { return waiting.done(); });
  CHECK(waiting.result() == "yabc");
  CHECK_THROWS_AS(reader.readuntil(std::vector<std::string>{}), std::invalid_argument);
  CHECK_THROWS_AS(reader.readuntil(std::vector<std::string>{"a", ""}), std::invalid_argument);
}

TEST_CASE("more than twice the limit pauses the transport; at the limit it resumes",
          "[streams][rule-160]") {
  scene here;
  const stream_reader reader(10);
  const auto transport = std::make_shared<fake_transport>();
  reader.set_transport(transport);
  CHECK_THROWS_AS(reader.set_transport(transport), std::logic_error);
  reader.feed_data(std::string(20, 'a'));
  CHECK(transport->pauses == 0);
  reader.feed_data("b");
  CHECK(transport->pauses == 1);
  reader.feed_data("c");
  CHECK(transport->pauses == 1);
  here.run(as_coro(reader.readexactly(11)));
  CHECK(transport->resumes == 0);
  here.run(as_coro(reader.readexactly(1)));
  CHECK(transport->resumes == 1);
  reader.feed_data(std::string(30, 'd'));
  CHECK(transport->paused);
  auto waiting = here.loop().create_task(as_coro(reader.readexactly(60)));
  here.settle();
  CHECK_FALSE(transport->paused);
  reader.feed_data(std::string(20, 'e'));
  here.until([&] { return waiting.done(); });
}

TEST_CASE("a second read is refused; a cancelled one loses nothing",
          "[streams][rule-161][fault-H5]") {
  scene here;
  const stream_reader reader;
  auto first = here.loop().create_task(as_coro(reader.readexactly(4)));
  here.settle();
  reader.feed_data("ab");
  here.settle();
  thrown_by<std::logic_error>(here, as_coro(reader.read(1)));
  first.cancel();
  here.until([&] { return first.done(); });
  CHECK(first.cancelled());
  CHECK(here.run(as_coro(reader.read(10))) == "ab");

  auto second = here.loop().create_task(as_coro(reader.readexactly(2)));
  here.settle();
  reader.feed_data("cd");
  // Its read has ended, and it has not run: the bytes are its own.
  second.cancel();
  here.until([&] { return second.done(); });
  CHECK_FALSE(second.cancelled());
  CHECK(second.result() == "cd");
}

TEST_CASE("a task that is destroyed in a read leaves the reader usable", "[streams][rule-161]") {
  const stream_reader reader;
  {
    scene here;
    auto waiting = here.loop().create_task(as_coro(reader.read(4)));
    here.settle();
    CHECK_FALSE(waiting.done());
    here.loop().close();
    waiting = {};
    here.end_loop();
  }
  scene later;
  reader.feed_data("x");
  CHECK(later.run(as_coro(reader.read(4))) == "x");
}

TEST_CASE("wait_for takes a read back without loss", "[streams][rule-161]") {
  scene here;
  const stream_reader reader;
  reader.feed_data("par");
  auto body = [](stream_reader from) -> coro<std::string> {
    bool late = false;
    try {
      co_await rondo::wait_for(from.readline(), 10ms);
    } catch (const rondo::timeout_error&) {
      late = true;
    }
    CHECK(late);
    from.feed_data("tial\n");
    co_return co_await from.readline();
  };
  CHECK(here.run(body(reader)) == "partial\n");
}

TEST_CASE("what is buffered is read before the exception", "[streams][rule-162][fault-H7]") {
  scene here;
  const stream_reader reader;
  CHECK_FALSE(reader.exception());
  CHECK_THROWS_AS(reader.set_exception(std::exception_ptr()), std::invalid_argument);
  auto waiting = here.loop().create_task(as_coro(reader.readline()));
  here.settle();
  reader.feed_data("ab\ncd");
  reader.set_exception(std::runtime_error("broken"));
  here.until([&] { return waiting.done(); });
  CHECK(waiting.result() == "ab\n");
  CHECK(text_of(reader.exception()) == "broken");
  thrown_by<std::runtime_error>(here, as_coro(reader.readline()));
  thrown_by<std::runtime_error>(here, as_coro(reader.read()));
  CHECK(here.run(as_coro(reader.read(10))) == "cd");
  thrown_by<std::runtime_error>(here, as_coro(reader.read(10)));
  thrown_by<std::runtime_error>(here, as_coro(reader.readexactly(1)));

  const stream_reader other;
  auto woken = here.loop().create_task(as_coro(other.read(1)));
  here.settle();
  other.set_exception(std::runtime_error("now"));
  here.until([&] { return woken.done(); });
  CHECK_THROWS_AS(woken.result(), std::runtime_error);
}

TEST_CASE("feeding after the end, and ending twice", "[streams][fault-H7]") {
  const stream_reader reader;
  reader.feed_eof();
  reader.feed_eof();
  CHECK_THROWS_AS(reader.feed_data("x"), std::logic_error);
  CHECK(reader.at_eof());
  CHECK_THROWS_AS(stream_reader(0), std::invalid_argument);
}

TEST_CASE("next_line gives every line, also the last one without its newline",
          "[streams][rule-163]") {
  scene here;
  const stream_reader reader;
  reader.feed_data("a\n\nb");
  reader.feed_eof();
  auto body = [](stream_reader from) -> coro<std::vector<std::string>> {
    std::vector<std::string> lines;
    while (auto line = co_await from.next_line()) lines.push_back(*line);
    co_return lines;
  };
  CHECK(here.run(body(reader)) == std::vector<std::string>{"a\n", "\n", "b"});
}

TEST_CASE("reads are awaitables: coro, task, gather, wait_for", "[streams][rule-154]") {
  scene here;
  const stream_reader reader;
  const stream_reader other;
  reader.feed_data("abcdef\n");
  auto body = [](stream_reader from, stream_reader second) -> coro<> {
    auto task = rondo::create_task(from.readexactly(2));
    const auto got1 = co_await task;
    CHECK(got1 == "ab");
    coro<std::string> lazy = from.readuntil(std::string("d"));
    const auto got2 = co_await std::move(lazy);
    CHECK(got2 == "cd");
    const auto got3 = co_await rondo::wait_for(from.read(1), 1s);
    CHECK(got3 == "e");
    second.feed_data("x");
    std::array<char, 4> room{};
    coro<std::size_t> into = second.read_into(room);
    const auto got4 = co_await std::move(into);
    CHECK(got4 == 1);
    CHECK(room[0] == 'x');
  };
  here.run(body(reader, other));
}

// ---- views -------------------------------------------------------------------------

TEST_CASE("views are valid until the next call, whatever arrives meanwhile",
          "[streams][rule-154]") {
  stream_scene here;
  auto body = [](stream_scene& scene) -> coro<> {
    auto& reader = scene.reader;
    scene.peer().send("first\nsecond\nthird");
    std::string_view line = co_await reader.readline_view();
    CHECK(line == "first\n");
    for (int i = 0; i < 20; ++i) {
      scene.peer().send(std::string(5000, '!'));
      co_await rondo::sleep(1ms);
    }
    CHECK(line == "first\n");
    line = co_await reader.readline_view();
    CHECK(line == "second\n");
    std::string_view five = co_await reader.readexactly_view(5);
    CHECK(five == "third");
    co_await rondo::sleep(1ms);
    CHECK(five == "third");
    std::string_view rest = co_await reader.readexactly_view(100'000);
    CHECK(rest == std::string(100'000, '!'));
    scene.peer().send("k=v;last");
    const auto got5 = co_await reader.readuntil_view(";");
    CHECK(got5 == "k=v;");
    const std::array<std::string_view, 2> separators{"s", "x"};
    const auto got6 = co_await reader.readuntil_view(separators);
    CHECK(got6 == "las");
    scene.peer().end();
    const auto got7 = co_await reader.readline_view();
    CHECK(got7 == "t");
    const auto got8 = co_await reader.readline_view();
    CHECK(got8.empty());
    const auto got9 = co_await reader.read_view();
    CHECK(got9.empty());
    CHECK(reader.at_eof());
  };
  here.run(body(here));
}

TEST_CASE("read_view gives all that is there", "[streams][rule-154]") {
  scene here;
  const stream_reader reader;
  reader.feed_data("abc");
  reader.feed_data("def");
  auto body = [](stream_reader from) -> coro<> {
    const std::string_view view = co_await from.read_view();
    CHECK(view == "abcdef");
    from.feed_data(std::string(1'000'000, 'x'));
    CHECK(view == "abcdef");
    const auto got10 = co_await from.read_view();
    CHECK(got10.size() == 1'000'000);
  };
  here.run(body(reader));
}

TEST_CASE("a large read takes the buffer itself", "[streams][rule-154]") {
  stream_scene here;
  auto body = [](stream_scene& scene) -> coro<> {
    std::string sent(300'000, 'a');
    for (std::size_t i = 0; i < sent.size(); ++i) sent[i] = static_cast<char>('a' + i % 26);
    std::string got;
    std::size_t given = 0;
    while (got.size() < sent.size()) {
      if (given < sent.size()) {
        scene.peer().send(std::string_view(sent).substr(given, 60'000));
        given += 60'000;
      }
      got += co_await scene.reader.read(100'000);
    }
    CHECK(got == sent);
  };
  here.run(body(here));
}

TEST_CASE("read_into fills memory of the caller", "[streams][rule-154]") {
  scene here;
  const stream_reader reader;
  auto body = [](stream_reader from) -> coro<> {
    std::array<char, 4> room{};
    const auto got11 = co_await from.read_into(std::span<char>());
    CHECK(got11 == 0);
    from.feed_data("abcdef");
    const auto got12 = co_await from.read_into(room);
    CHECK(got12 == 4);
    CHECK(std::string_view(room.data(), 4) == "abcd");
    const auto got13 = co_await from.read_into(room);
    CHECK(got13 == 2);
    from.feed_eof();
    const auto got14 = co_await from.read_into(room);
    CHECK(got14 == 0);
  };
  here.run(body(reader));
}

// ---- writers -----------------------------------------------------------------------

TEST_CASE("drain waits only while writing is paused, and any number may wait",
          "[streams][rule-164][rule-165][fault-H6]") {
  stream_scene here;
  auto& loop = here.loop();
  auto immediate = loop.create_task(as_coro(here.writer.drain()));
  here.turn();
  CHECK(immediate.done());
  here.writer.write(std::string(too_much, 'x'));
  std::vector<rondo::task<>> waiting;
  for (int i = 0; i < 5; ++i) waiting.push_back(loop.create_task(as_coro(here.writer.drain())));
  here.settle();
  CHECK_FALSE(waiting[0].done());
  waiting[2].cancel();
  here.until([&] { return waiting[2].done(); });
  CHECK(waiting[2].cancelled());
  std::size_t got = 0;
  here.until([&] {
    got += here.peer().receive_now().size();
    return got == too_much;
  });
  here.settle();
  for (int i : {0, 1, 3, 4}) CHECK(waiting[static_cast<std::size_t>(i)].done());
}

TEST_CASE("drain does not suspend where nothing is paused", "[streams][rule-165]") {
  stream_scene here;
  std::vector<std::string> order;
  auto body = [&](stream_writer writer) -> coro<> {
    here.loop().call_soon([&] { order.emplace_back("other"); });
    for (int i = 0; i < 50; ++i) {
      writer.write("x");
      co_await writer.drain();
    }
    order.emplace_back("written");
  };
  here.run(body(here.writer));
  here.settle();
  CHECK(order == std::vector<std::string>{"written", "other"});
}

TEST_CASE("the loss of the connection ends every drain", "[streams][rule-164]") {
  stream_scene here;
  here.writer.write(std::string(too_much, 'x'));
  auto first = here.loop().create_task(as_coro(here.writer.drain()));
  auto second = here.loop().create_task(as_coro(here.writer.drain()));
  here.settle();
  SECTION("by an error") {
    here.peer().reset();
    here.until([&] { return first.done() && second.done(); });
    CHECK_THROWS_AS(first.result(), std::system_error);
    CHECK_THROWS_AS(second.result(), std::system_error);
    CHECK(errno_of(here.reader.exception()) != 0);
    thrown_by<std::system_error>(here, as_coro(here.writer.drain()));
  }
  SECTION("without one") {
    here.writer.transport()->abort();
    here.until([&] { return first.done() && second.done(); });
    first.result();
    second.result();
    const auto late = thrown_by<std::system_error>(here, as_coro(here.writer.drain()));
    CHECK(late.code().value() == ECONNRESET);
  }
}

TEST_CASE("wait_closed waits for the end, gives its error, and may be called many times",
          "[streams][rule-166]") {
  stream_scene here;
  auto early = here.loop().create_task(as_coro(here.writer.wait_closed()));
  here.settle();
  CHECK_FALSE(early.done());
  SECTION("closed") {
    here.writer.write("bye");
    here.writer.close();
    CHECK(here.writer.is_closing());
    here.until([&] { return early.done(); });
    early.result();
    here.run(as_coro(here.writer.wait_closed()));
    here.run(as_coro(here.writer.wait_closed()));
    CHECK(here.peer().receive_now() == "bye");
  }
  SECTION("reset") {
    here.peer().reset();
    here.until([&] { return early.done(); });
    CHECK_THROWS_AS(early.result(), std::system_error);
    thrown_by<std::system_error>(here, as_coro(here.writer.wait_closed()));
  }
  SECTION("cancelled") {
    early.cancel();
    here.until([&] { return early.done(); });
    CHECK(early.cancelled());
  }
}

TEST_CASE("a writer that is dropped without close warns and closes",
          "[streams][rule-170][fault-H13]") {
  stream_scene here;
  log_lines lines;
  {
    const stream_writer copy = here.writer;
    here.writer = stream_writer();
    CHECK(lines.warnings("dropped without close") == 0);
    copy.write("last words");
  }
  CHECK(lines.warnings("dropped without close") == 1);
  std::string got;
  here.until([&] {
    got += here.peer().receive_now();
    return here.peer().ended;
  });
  CHECK(got == "last words");
  CHECK_THROWS_AS(here.writer.write("x"), std::logic_error);
}

TEST_CASE("a writer that was closed may be dropped", "[streams][rule-170]") {
  stream_scene here;
  log_lines lines;
  here.writer.close();
  here.writer = stream_writer();
  here.settle();
  CHECK(lines.warnings("dropped") == 0);
}

TEST_CASE("the peer's end leaves the connection open for writing", "[streams][rule-168]") {
  stream_scene here;
  here.peer().send("question");
  here.peer().end();
  CHECK(here.run(as_coro(here.reader.read())) == "question");
  CHECK_FALSE(here.writer.is_closing());
  CHECK(here.writer.can_write_eof());
  const std::vector<std::string> parts{"an", "swer"};
  here.writer.writelines(parts);
  here.writer.write_eof();
  std::string got;
  here.until([&] {
    got += here.peer().receive_now();
    return here.peer().ended;
  });
  CHECK(got == "answer");
}

TEST_CASE("a reset shows after what was received", "[streams][fault-B1]") {
  stream_scene here;
  here.peer().send("before");
  here.settle();
  here.peer().reset();
  here.until([&] { return here.reader.exception() != nullptr; });
  CHECK(here.run(as_coro(here.reader.read(100))) == "before");
  const auto error = thrown_by<std::system_error>(here, as_coro(here.reader.read(100)));
  CHECK(error.code().value() == ECONNRESET);
}

TEST_CASE("byte by byte is the same as all at once", "[streams][fault-B8]") {
  stream_scene here;
  fault<&os::system_calls::recv> recv;
  recv.at_most(1);
  here.peer().send("GET / HTTP/1.1\r\nHost: x\r\n\r\nbody");
  here.peer().end();
  auto body = [](stream_reader reader) -> coro<std::vector<std::string>> {
    std::vector<std::string> parts;
    parts.push_back(co_await reader.readuntil("\r\n"));
    parts.push_back(co_await reader.readuntil("\r\n\r\n"));
    parts.push_back(co_await reader.readexactly(2));
    parts.push_back(co_await reader.read());
    co_return parts;
  };
  CHECK(here.run(body(here.reader)) ==
        std::vector<std::string>{"GET / HTTP/1.1\r\n", "Host: x\r\n\r\n", "bo", "dy"});
}

TEST_CASE("what a stream knows of its transport", "[streams][rule-191]") {
  stream_scene here;
  CHECK(std::any_cast<rondo::address>(here.writer.get_extra_info("peername")) ==
        *here.writer.transport()->peername());
  CHECK_FALSE(here.writer.get_extra_info("nothing").has_value());
  const stream_writer same = here.writer;
  CHECK(same == here.writer);
  CHECK(stream_writer() != here.writer);
  CHECK_FALSE(stream_writer());
}

TEST_CASE("open_connection copies its arguments and runs anywhere", "[streams][rule-171]") {
  scene here;
  listener accepting;
  auto later = [&] {
    const std::string host = "127.0.0.1";
    const std::string port = accepting.service();
    return rondo::open_connection(host, port);
  }();
  auto made = here.run(std::move(later));
  rondo::socket accepted = accepting.get().accept().first;
  made.writer.close();
  here.run(as_coro(made.writer.wait_closed()));
  CHECK_THROWS_AS(rondo::open_connection("127.0.0.1", 80, {.limit = 0}), std::invalid_argument);
}

}  // namespace rondo_test
