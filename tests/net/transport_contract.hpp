// SPDX-License-Identifier: MIT
// rondo tests: what every stream transport does, whatever carries its bytes.
//
// A file that includes this defines lists of types like `tcp_kind` of transport_fixture.hpp, whose
// `connect()` gives what becomes a transport and the raw other end: RONDO_TRANSPORT_KINDS for those
// that carry bytes both ways, or RONDO_READING_KINDS and RONDO_WRITING_KINDS for those that carry
// them one way only.
#pragma once

#include <rondo/context.hpp>
#include <rondo/errors.hpp>

#include "net/transport_fixture.hpp"

#if defined(RONDO_TRANSPORT_KINDS)
#define RONDO_READING_KINDS RONDO_TRANSPORT_KINDS
#define RONDO_WRITING_KINDS RONDO_TRANSPORT_KINDS
#define RONDO_ALL_KINDS RONDO_TRANSPORT_KINDS
#else
#define RONDO_ALL_KINDS RONDO_READING_KINDS, RONDO_WRITING_KINDS
#endif

namespace rondo_test {

// ---- beginning ---------------------------------------------------------------------

TEMPLATE_TEST_CASE(
    "connection_made comes before create_connection returns, and so does what it schedules",
    "[transport][rule-171]", RONDO_ALL_KINDS) {
  scene here;
  std::vector<std::string> order;
  auto notes = std::make_shared<record>();
  notes->on_made = [&] {
    order.emplace_back("made");
    here.loop().call_soon([&] { order.emplace_back("scheduled"); });
  };
  auto [socket, raw] = TestType::connect();
  raw_peer peer(raw);
  if constexpr (receives<TestType>) peer.send("early");
  auto factory = [&] { return std::make_unique<recorder>(notes); };
  auto body = [&](end_of<TestType> given) -> rondo::coro<> {
    auto made = co_await open_end<TestType>(here.loop(), factory, std::move(given));
    order.emplace_back("returned");
    made.first->close();
  };
  auto task = here.loop().create_task(body(std::move(socket)));
  here.until([&] { return task.done() && notes->lost; });
  task.result();
  CHECK(order == std::vector<std::string>{"made", "scheduled", "returned"});
}

TEMPLATE_TEST_CASE("no data before connection_made has returned, and a pause in it holds",
                   "[transport][rule-172]", RONDO_READING_KINDS) {
  linked_scene<TestType> here(
      [](record& notes) { notes.on_made = [&notes] { notes.transport->pause_reading(); }; });
  CHECK_FALSE(here.transport->is_reading());
  here.peer().send("later");
  here.settle();
  CHECK(here.notes->data.empty());
  here.transport->resume_reading();
  here.until([&] { return here.notes->data == "later"; });
}

TEMPLATE_TEST_CASE("a factory's object may be owned, shared or borrowed", "[transport][rule-171]",
                   RONDO_ALL_KINDS) {
  scene here;
  auto notes = std::make_shared<record>();
  recorder borrowed(notes);
  auto [socket, raw] = TestType::connect();
  raw_peer peer(raw);
  auto factory = [&]() -> recorder* { return &borrowed; };
  auto task = here.loop().create_task(open_end<TestType>(here.loop(), factory, std::move(socket)));
  here.until([&] { return task.done(); });
  CHECK(task.result().second.get() == &borrowed);
  CHECK(task.result().first->get_protocol().get() == &borrowed);
  task.result().first->abort();
  here.until([&] { return notes->lost; });
}

// ---- data and its end --------------------------------------------------------------

TEMPLATE_TEST_CASE("bytes arrive in order, then one end, then the loss", "[transport][rule-173]",
                   RONDO_READING_KINDS) {
  linked_scene<TestType> here;
  std::string sent;
  for (int i = 0; i < 100; ++i) {
    sent += std::string(static_cast<std::size_t>(i * 13), static_cast<char>('a' + i % 26));
    here.peer().send(std::string_view(sent).substr(here.notes->data.size()));
    here.until([&] { return here.notes->data.size() == sent.size(); });
  }
  here.peer().end();
  here.until_lost();
  CHECK(here.notes->data == sent);
  CHECK(here.notes->count("eof") == 1);
  CHECK(errno_of(here.notes->lost_with) == 0);
}

#if defined(RONDO_TRANSPORT_KINDS)
TEMPLATE_TEST_CASE("a peer that ends its side can still be written to",
                   "[transport][rule-180][fault-B3]", RONDO_TRANSPORT_KINDS) {
  linked_scene<TestType> here([](record& notes) { notes.keep_open = true; });
  here.peer().send("request");
  here.peer().end();
  here.until([&] { return here.notes->count("eof") == 1; });
  here.settle();
  CHECK_FALSE(here.notes->lost);
  CHECK_FALSE(here.transport->is_closing());
  here.transport->write("answer");
  here.transport->close();
  here.until_lost();
  CHECK(here.peer().receive_now() == "answer");
}
#endif

#if defined(RONDO_TRANSPORT_KINDS)
TEMPLATE_TEST_CASE("write_eof comes after the last byte, and reading goes on",
                   "[transport][rule-180][fault-B4]", RONDO_TRANSPORT_KINDS) {
  linked_scene<TestType> here;
  const std::string large(too_much, 'x');
  here.transport->write(large);
  CHECK(here.transport->get_write_buffer_size() > 0);
  CHECK(here.transport->can_write_eof());
  here.transport->write_eof();
  here.transport->write_eof();
  CHECK_THROWS_AS(here.transport->write("more"), std::logic_error);
  CHECK_THROWS_AS(here.transport->write(std::string("more")), std::logic_error);
  std::string got;
  here.until([&] {
    got += here.peer().receive_now();
    return here.peer().ended;
  });
  CHECK(got == large);
  CHECK_FALSE(here.transport->is_closing());
  here.peer().send("still");
  here.until([&] { return here.notes->data == "still"; });
}
#endif

TEMPLATE_TEST_CASE("pausing is idempotent; after it come the data, then the end, once each",
                   "[transport][rule-181][fault-B16]", RONDO_READING_KINDS) {
  linked_scene<TestType> here;
  CHECK(here.transport->is_reading());
  here.transport->pause_reading();
  here.transport->pause_reading();
  CHECK_FALSE(here.transport->is_reading());
  here.peer().send("behind");
  here.peer().close();
  here.settle();
  CHECK(here.notes->events == std::vector<std::string>{"made"});
  here.transport->resume_reading();
  here.transport->resume_reading();
  here.until_lost();
  CHECK(here.notes->events == std::vector<std::string>{"made", "data", "eof", "lost"});
  CHECK(here.notes->data == "behind");
  CHECK_FALSE(here.transport->is_reading());
}

TEMPLATE_TEST_CASE("a pause in data_received holds the next bytes back", "[transport][rule-181]",
                   RONDO_READING_KINDS) {
  linked_scene<TestType> here;
  here.notes->on_data = [&] { here.transport->pause_reading(); };
  here.peer().send("one");
  here.until([&] { return here.notes->data == "one"; });
  here.peer().send("two");
  here.settle();
  CHECK(here.notes->data == "one");
  here.transport->resume_reading();
  here.until([&] { return here.notes->data == "onetwo"; });
}

// ---- closing -----------------------------------------------------------------------

TEMPLATE_TEST_CASE("connection_lost is never called inside close or abort", "[transport][rule-174]",
                   RONDO_ALL_KINDS) {
  linked_scene<TestType> here;
  SECTION("close") { here.transport->close(); }
  SECTION("abort") { here.transport->abort(); }
  CHECK(here.transport->is_closing());
  CHECK_FALSE(here.notes->lost);
  std::vector<std::string> order;
  here.notes->on_lost = [&] { order.emplace_back("lost"); };
  here.loop().call_soon([&] { order.emplace_back("scheduled"); });
  here.until_lost();
  here.settle();
  CHECK(order == std::vector<std::string>{"lost", "scheduled"});
  CHECK(errno_of(here.notes->lost_with) == 0);
}

TEMPLATE_TEST_CASE("close drops what was received and not delivered", "[transport][rule-175]",
                   RONDO_READING_KINDS) {
  linked_scene<TestType> here;
  here.peer().send("ignored");
  here.loop().call_soon([&] { here.transport->close(); });
  here.until_lost();
  CHECK(here.notes->events == std::vector<std::string>{"made", "lost"});
}

TEMPLATE_TEST_CASE("close sends what is buffered, and then the connection is lost",
                   "[transport][rule-175]", RONDO_WRITING_KINDS) {
  linked_scene<TestType> here;
  const std::string large(too_much, 'y');
  here.transport->write(large);
  here.transport->close();
  here.transport->close();
  here.settle();
  CHECK_FALSE(here.notes->lost);
  std::string got;
  here.until([&] {
    got += here.peer().receive_now();
    return here.notes->lost;
  });
  got += here.peer().receive_now(too_much);
  CHECK(got.size() == large.size());
  CHECK(here.notes->data.empty());
  CHECK(errno_of(here.notes->lost_with) == 0);
}

TEMPLATE_TEST_CASE("abort ends a flush and drops the rest", "[transport][rule-176][fault-B5]",
                   RONDO_WRITING_KINDS) {
  linked_scene<TestType> here;
  here.transport->write(std::string(too_much, 'z'));
  here.transport->close();
  here.settle();
  CHECK_FALSE(here.notes->lost);
  here.transport->abort();
  CHECK(here.transport->get_write_buffer_size() == 0);
  here.until_lost();
  CHECK(errno_of(here.notes->lost_with) == 0);
}

TEMPLATE_TEST_CASE("the loop keeps an open transport and its protocol, and drops both at the end",
                   "[transport][rule-193]", RONDO_READING_KINDS) {
  linked_scene<TestType> here;
  const auto alive = here.protocol->alive();
  const std::weak_ptr<rondo::transport> watched = here.transport;
  here.protocol.reset();
  here.transport.reset();
  here.notes->transport.reset();
  CHECK(*alive);
  here.peer().send("there");
  here.until([&] { return here.notes->data == "there"; });
  here.peer().close();
  here.until_lost();
  here.settle();
  CHECK_FALSE(*alive);
  CHECK(watched.expired());
}

TEMPLATE_TEST_CASE("closing the loop closes what is open, and calls nobody",
                   "[transport][rule-193]", RONDO_ALL_KINDS) {
  linked_scene<TestType> here;
  const auto alive = here.protocol->alive();
  if constexpr (sends<TestType>) {
    here.transport->write("x");
    here.transport->write("queued");
  }
  here.protocol.reset();
  here.notes->transport.reset();
  SECTION("idle") {}
  SECTION("closing") { here.transport->close(); }
  SECTION("aborted") { here.transport->abort(); }
  here.loop().close();
  CHECK_FALSE(*alive);
  CHECK_FALSE(here.notes->lost);
  CHECK(here.transport->is_closing());
  CHECK_FALSE(here.transport->socket());
  if constexpr (sends<TestType>) here.transport->write("nobody");
  here.transport->close();
  here.transport->abort();
  here.transport.reset();
  here.end_loop();
  CHECK(here.messages.empty());
  if constexpr (sends<TestType>) {
    here.peer().receive_now();
    CHECK((here.peer().ended || here.peer().was_reset));
  }
}

#if defined(RONDO_TRANSPORT_KINDS)
TEMPLATE_TEST_CASE(
    "any callback may close, abort, write_eof or exchange the protocol, any number of times",
    "[transport][rule-174][fault-B12]", RONDO_TRANSPORT_KINDS) {
  for (int where = 0; where < 6; ++where) {
    for (int what = 0; what < 6; ++what) {
      CAPTURE(where, what);
      auto other = std::make_shared<record>();
      other->events.emplace_back("made");
      linked_scene<TestType> here;
      bool done = false;
      const auto act = [&] {
        if (std::exchange(done, true)) return;
        const auto transport = here.transport;
        for (int twice = 0; twice < 2; ++twice) {
          if (what == 0) transport->close();
          if (what == 1) transport->abort();
          if (what == 2) transport->write_eof();
          if (what == 3) transport->set_protocol(std::make_shared<recorder>(other));
          if (what == 4) transport->close(), transport->abort(), transport->write_eof();
          if (what == 5) transport->pause_reading(), transport->resume_reading();
        }
      };
      auto& notes = *here.notes;
      (where == 0   ? notes.on_data
       : where == 1 ? notes.on_eof
       : where == 2 ? notes.on_lost
       : where == 3 ? notes.on_pause
       : where == 4 ? notes.on_resume
                    : notes.on_made) = act;
      if (where == 5) notes.on_made();
      notes.keep_open = true;
      here.peer().send("data");
      here.until([&] { return notes.data == "data" || here.transport->is_closing() || done; });
      if (!here.transport->is_closing() && !(where == 5 && what == 2) &&
          !(where == 0 && what == 2)) {
        here.transport->set_write_buffer_limits({.high = 1000});
        here.transport->write(std::string(too_much, 'p'));
      }
      here.peer().end();
      for (int i = 0; i < 200; ++i) {
        here.peer().receive_now();
        here.turn();
      }
      here.transport->close();
      here.until([&] {
        here.peer().receive_now();
        return notes.lost || other->lost;
      });
      here.settle();
      CHECK(notes.lost + other->lost == 1);
      CHECK(here.messages.empty());
      if (what == 3) here.notes->lost = true;
      other->transport.reset();
    }
  }
}
#endif

// ---- writing -----------------------------------------------------------------------

TEMPLATE_TEST_CASE(
    "the first write of an iteration is sent at once, the others leave at its end in one call",
    "[transport][rule-178]", RONDO_WRITING_KINDS) {
  linked_scene<TestType> here;
  std::size_t queued = 0;
  std::string seen;
  here.loop().call_soon([&] {
    here.transport->write("one ");
    seen = here.peer().receive_now();
    here.transport->write("two ");
    here.transport->write(std::string("three "));
    here.transport->write("");
    queued = here.transport->get_write_buffer_size();
  });
  here.turn();
  CHECK(seen == "one ");
  CHECK(queued == 10);
  CHECK(here.transport->get_write_buffer_size() == 0);
  CHECK(here.peer().receive_now() == "two three ");
}

TEMPLATE_TEST_CASE("what is written outside of a running loop leaves when it runs",
                   "[transport][rule-178]", RONDO_WRITING_KINDS) {
  linked_scene<TestType> here;
  for (int i = 0; i < 5; ++i) here.transport->write("abc");
  here.loop().call_later(1s, [] {});
  const auto before = std::chrono::steady_clock::now();
  here.loop().run_once(500ms);
  CHECK(std::chrono::steady_clock::now() - before < 400ms);
  CHECK(here.peer().receive_now() == "abcabcabcabcabc");
}

TEMPLATE_TEST_CASE("writes to a closed transport are ignored, with a warning from the fifth on",
                   "[transport][rule-178][rule-179][fault-B11]", RONDO_WRITING_KINDS) {
  linked_scene<TestType> here;
  log_lines lines;
  SECTION("after close") { here.transport->close(); }
  SECTION("after a flushed close") {
    here.transport->write("first ");
    here.transport->write("second");
    here.transport->close();
    here.until_lost();
  }
  SECTION("after abort") { here.transport->abort(); }
  SECTION("after the loss") {
    here.peer().close();
    here.until_lost();
  }
  for (int i = 0; i < 4; ++i) here.transport->write("lost");
  CHECK(lines.warnings("socket.send()") == 0);
  here.transport->write("lost");
  here.transport->write(std::string("lost"));
  const std::array<std::string_view, 2> parts{"lo", "st"};
  here.transport->writelines(parts);
  CHECK(lines.warnings("socket.send()") == 3);
  here.until_lost();
}

TEMPLATE_TEST_CASE("writelines sends all parts, in order, whatever their number",
                   "[transport][rule-187][fault-B23]", RONDO_WRITING_KINDS) {
  linked_scene<TestType> here;
  std::vector<std::string> parts;
  std::string all;
  for (int i = 0; i < 10'000; ++i) {
    parts.push_back(i % 7 == 0 ? ""
                               : std::string(static_cast<std::size_t>(i % 50),
                                             static_cast<char>('a' + i % 26)));
    all += parts.back();
  }
  SECTION("at once") {}
  SECTION("behind what is queued") {
    here.transport->write("<");
    here.transport->write(">");
    all = "<>" + all;
  }
  here.transport->writelines(parts);
  std::string got;
  here.until([&] {
    got += here.peer().receive_now();
    return got.size() >= all.size();
  });
  CHECK(got == all);
  here.transport->writelines(std::vector<std::string>{});
  here.transport->writelines(std::vector<std::string>{"", ""});
  CHECK(here.transport->get_write_buffer_size() == 0);
}

TEMPLATE_TEST_CASE("strings, views, spans and vectors of bytes can be written",
                   "[transport][rule-178]", RONDO_WRITING_KINDS) {
  linked_scene<TestType> here;
  const std::vector<std::byte> bytes{std::byte{'b'}};
  const std::array<unsigned char, 2> octets{'c', 'd'};
  const std::string kept = "e";
  here.transport->write("a");
  here.transport->write(bytes);
  here.transport->write(std::span<const unsigned char>(octets));
  here.transport->write(kept);
  here.transport->write(std::string(5000, 'f'));
  here.settle();
  CHECK(here.peer().receive_now() == "abcde" + std::string(5000, 'f'));
  CHECK(kept == "e");
}

// ---- exceptions --------------------------------------------------------------------

TEMPLATE_TEST_CASE("an exception from connection_made is reported, and the connection goes on",
                   "[transport][rule-182][fault-B13]", RONDO_READING_KINDS) {
  linked_scene<TestType> here(
      [](record& notes) { notes.on_made = [] { throw std::runtime_error("made"); }; });
  REQUIRE(here.messages.size() == 1);
  CHECK(here.messages[0].find("Exception in callback") != std::string::npos);
  here.peer().send("goes on");
  here.until([&] { return here.notes->data == "goes on"; });
}

TEMPLATE_TEST_CASE("an exception from data_received or eof_received ends the connection with it",
                   "[transport][rule-182][fault-B13]", RONDO_READING_KINDS) {
  linked_scene<TestType> here;
  SECTION("data_received") {
    here.notes->on_data = [] { throw std::runtime_error("mine"); };
    here.peer().send("x");
  }
  SECTION("eof_received") {
    here.notes->keep_open = true;
    here.notes->on_eof = [] { throw std::runtime_error("mine"); };
    here.peer().end();
  }
  here.until_lost();
  CHECK(text_of(here.notes->lost_with) == "mine");
  REQUIRE(here.messages.size() == 1);
  CHECK(here.messages[0].find("Fatal error") != std::string::npos);
  here.notes->lost_with = nullptr;
}

TEMPLATE_TEST_CASE("an exception from connection_lost is reported, and everything is freed",
                   "[transport][rule-182][fault-B13]", RONDO_ALL_KINDS) {
  linked_scene<TestType> here;
  const auto alive = here.protocol->alive();
  here.protocol.reset();
  here.notes->on_lost = [] { throw std::runtime_error("late"); };
  here.transport->close();
  here.until_lost();
  here.settle();
  CHECK(here.messages.size() == 1);
  here.notes->transport.reset();
  CHECK_FALSE(*alive);
}

TEMPLATE_TEST_CASE("keyboard_interrupt leaves the loop at once, and what follows is not lost",
                   "[transport][rule-034]", RONDO_READING_KINDS) {
  SECTION("from data_received") {
    linked_scene<TestType> here;
    here.notes->on_data = [&] {
      if (here.notes->count("data") == 1) throw rondo::keyboard_interrupt();
    };
    here.peer().send("first");
    CHECK_THROWS_AS(here.until([] { return false; }), rondo::keyboard_interrupt);
    CHECK(here.messages.empty());
    here.peer().send("second");
    here.until([&] { return here.notes->data == "firstsecond"; });
  }
  SECTION("from connection_made") {
    scene here;
    auto notes = std::make_shared<record>();
    notes->on_made = [] { throw rondo::system_exit(3); };
    auto [socket, raw] = TestType::connect();
    raw_peer peer(raw);
    peer.send("data");
    auto factory = [&] { return std::make_shared<recorder>(notes); };
    auto task =
        here.loop().create_task(open_end<TestType>(here.loop(), factory, std::move(socket)));
    CHECK_THROWS_AS(here.until([] { return false; }), rondo::system_exit);
    here.until([&] { return task.done() && notes->data == "data"; });
    task.result().first->abort();
    here.until([&] { return notes->lost; });
  }
  SECTION("from connection_lost") {
    linked_scene<TestType> here;
    const auto alive = here.protocol->alive();
    here.protocol.reset();
    here.notes->on_lost = [] { throw rondo::keyboard_interrupt(); };
    here.transport->close();
    CHECK_THROWS_AS(here.until([] { return false; }), rondo::keyboard_interrupt);
    here.notes->transport.reset();
    here.settle();
    CHECK_FALSE(*alive);
  }
}

// ---- protocols ---------------------------------------------------------------------

TEMPLATE_TEST_CASE(
    "a buffered protocol is asked for memory before each receive, also before the end",
    "[transport][rule-189]", RONDO_READING_KINDS) {
  linked_scene<TestType, buffered_recorder> here;
  here.notes->room_size = 3;
  here.peer().send("abcdefgh");
  here.until([&] { return here.notes->data == "abcdefgh"; });
  CHECK(here.notes->count("data") >= 3);
  CHECK(here.protocol->last_hint == -1);
  here.settle();
  const int gets = here.protocol->gets;
  here.peer().end();
  here.until_lost();
  CHECK(here.protocol->gets > gets);
}

TEMPLATE_TEST_CASE("an empty buffer, or an exception about it, ends the connection",
                   "[transport][rule-182][rule-189][fault-B13][fault-B14]", RONDO_READING_KINDS) {
  linked_scene<TestType, buffered_recorder> here;
  std::string expected = "mine";
  SECTION("empty") {
    here.notes->room_size = 0;
    expected = "get_buffer() returned an empty buffer";
  }
  SECTION("get_buffer throws") {
    here.notes->on_get_buffer = [] { throw std::runtime_error("mine"); };
  }
  SECTION("buffer_updated throws") {
    here.notes->on_data = [] { throw std::runtime_error("mine"); };
  }
  here.peer().send("x");
  here.until_lost();
  CHECK(text_of(here.notes->lost_with) == expected);
  CHECK(here.messages.size() == 1);
  here.notes->lost_with = nullptr;
}

TEMPLATE_TEST_CASE("a buffered protocol may close, abort or leave in get_buffer",
                   "[transport][rule-189][fault-B12]", RONDO_READING_KINDS) {
  linked_scene<TestType, buffered_recorder> here;
  auto other = std::make_shared<record>();
  other->events.emplace_back("made");
  SECTION("close") {
    here.notes->on_get_buffer = [&] { here.transport->close(); };
  }
  SECTION("abort") {
    here.notes->on_get_buffer = [&] { here.transport->abort(); };
  }
  SECTION("set_protocol") {
    here.notes->on_get_buffer = [&] {
      here.transport->set_protocol(std::make_shared<recorder>(other));
      other->on_data = [&] { here.transport->close(); };
    };
  }
  SECTION("set_protocol to another buffered one") {
    here.notes->on_get_buffer = [&] {
      here.transport->set_protocol(std::make_shared<buffered_recorder>(other));
      other->on_data = [&] { here.transport->close(); };
    };
  }
  here.peer().send("x");
  here.until([&] { return here.notes->lost || other->lost; });
  CHECK(here.notes->data.empty());
  CHECK(here.messages.empty());
}

TEMPLATE_TEST_CASE("the next byte goes to the protocol that was set last",
                   "[transport][rule-190][fault-B15]", RONDO_READING_KINDS) {
  auto later = std::make_shared<record>();
  later->events.emplace_back("made");
  linked_scene<TestType> here;
  here.peer().send("a");
  here.until([&] { return here.notes->data == "a"; });
  const auto alive = here.protocol->alive();
  SECTION("to a buffered one, in data_received") {
    here.notes->on_data = [&] {
      here.transport->set_protocol(std::make_shared<buffered_recorder>(later));
    };
    here.protocol.reset();
    here.peer().send("b");
    here.until([&] { return here.notes->data == "ab"; });
    here.settle();
    CHECK_FALSE(*alive);
    here.peer().send("c");
    here.until([&] { return later->data == "c"; });
    auto last = std::make_shared<record>();
    last->events.emplace_back("made");
    later->on_data = [&] { here.transport->set_protocol(std::make_shared<recorder>(last)); };
    here.peer().send("d");
    here.until([&] { return later->data == "cd"; });
    here.peer().send("e");
    here.until([&] { return last->data == "e"; });
    here.transport->abort();
    here.until([&] { return last->lost; });
  }
  SECTION("a borrowed one, from outside") {
    recorder mine(later);
    here.transport->set_protocol(&mine);
    CHECK(here.transport->get_protocol().get() == &mine);
    here.peer().send("b");
    here.until([&] { return later->data == "b"; });
    here.transport->abort();
    here.until([&] { return later->lost; });
    CHECK_FALSE(here.transport->get_protocol());
  }
  SECTION("what is no protocol is refused") {
    CHECK_THROWS_AS(here.transport->set_protocol(std::make_shared<rondo::base_protocol>()),
                    std::invalid_argument);
    CHECK_THROWS_AS(here.transport->set_protocol(nullptr), std::invalid_argument);
    here.peer().send("b");
    here.until([&] { return here.notes->data == "ab"; });
  }
}

// ---- what is known -----------------------------------------------------------------

#if defined(RONDO_TRANSPORT_KINDS)
TEMPLATE_TEST_CASE("what is known about a connection, also when it is over",
                   "[transport][rule-191]", RONDO_TRANSPORT_KINDS) {
  linked_scene<TestType> here;
  REQUIRE(here.transport->socket());
  const rondo::transport_socket view = *here.transport->socket();
  CHECK(view.fileno() >= 0);
  CHECK(here.transport->sockname() == view.getsockname());
  CHECK(here.transport->peername() == view.getpeername());
  CHECK(std::any_cast<rondo::address>(here.transport->get_extra_info("peername")) ==
        *here.transport->peername());
  CHECK(std::any_cast<rondo::address>(here.transport->get_extra_info("sockname")) ==
        *here.transport->sockname());
  CHECK(std::any_cast<rondo::transport_socket>(here.transport->get_extra_info("socket")).fileno() ==
        view.fileno());
  CHECK_FALSE(here.transport->get_extra_info("colour").has_value());
  CHECK_FALSE(here.transport->pipe());
  CHECK_FALSE(here.transport->subprocess_pid());
  const auto peername = here.transport->peername();
  here.transport->close();
  here.until_lost();
  here.settle();
  CHECK(here.transport->peername() == peername);
  CHECK(here.transport->sockname());
  CHECK_FALSE(here.transport->socket());
  CHECK(view.fileno() == -1);
}
#endif

TEMPLATE_TEST_CASE("callbacks run in the context of the call that made the connection",
                   "[transport][rule-031]", RONDO_READING_KINDS) {
  static const rondo::context_var<int> colour("colour", 0);
  scene here;
  auto notes = std::make_shared<record>();
  std::vector<int> seen;
  const auto look = [&] { seen.push_back(colour.get()); };
  notes->on_made = look;
  notes->on_data = [&] {
    look();
    colour.set(8);
  };
  notes->on_eof = look;
  notes->on_lost = look;
  auto [socket, raw] = TestType::connect();
  raw_peer peer(raw);
  auto factory = [&] { return std::make_shared<recorder>(notes); };
  auto body = [&](end_of<TestType> given) -> rondo::coro<> {
    colour.set(7);
    co_await open_end<TestType>(here.loop(), factory, std::move(given));
    colour.set(9);
  };
  auto task = here.loop().create_task(body(std::move(socket)));
  here.until([&] { return task.done(); });
  peer.send("x");
  here.until([&] { return notes->data == "x"; });
  peer.close();
  here.until([&] { return notes->lost; });
  CHECK(seen == std::vector<int>{7, 7, 8, 8});
  CHECK(colour.get() == 0);
}

}  // namespace rondo_test
