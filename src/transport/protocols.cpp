// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Protocols: what is called when something happens to a transport.
#include <rondo/detail/connect_arguments.hpp>
#include <rondo/protocols.hpp>
#include <rondo/transports.hpp>

#include <stdexcept>

namespace rondo {
inline namespace v0 {

base_protocol::~base_protocol() = default;
void base_protocol::connection_lost(std::exception_ptr) {}
void base_protocol::pause_writing() {}
void base_protocol::resume_writing() {}

protocol::~protocol() = default;
void protocol::connection_made(std::shared_ptr<transport>) {}
void protocol::data_received(std::string_view) {}
bool protocol::eof_received() { return false; }

buffered_protocol::~buffered_protocol() = default;
void buffered_protocol::connection_made(std::shared_ptr<transport>) {}
bool buffered_protocol::eof_received() { return false; }

subprocess_protocol::~subprocess_protocol() = default;
void subprocess_protocol::connection_made(std::shared_ptr<subprocess_transport>) {}
void subprocess_protocol::pipe_data_received(int, std::string_view) {}
void subprocess_protocol::pipe_connection_lost(int, std::exception_ptr) {}
void subprocess_protocol::process_exited() {}

namespace detail {

protocol_maker::~protocol_maker() = default;

void throw_bad_port() { throw std::invalid_argument("a port is a number from 0 to 65535"); }

void throw_null_protocol() { throw std::invalid_argument("the protocol factory returned null"); }

}  // namespace detail
}  // namespace v0
}  // namespace rondo
