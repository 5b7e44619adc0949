// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Transports: what the interfaces do where they are not implemented.
#include <rondo/transports.hpp>

#include <rondo/errors.hpp>
#include <rondo/protocols.hpp>

#include <string>

namespace rondo {
inline namespace v0 {
namespace {

[[noreturn]] void not_supported(const char* member) {
  throw not_supported_error(std::string("this transport has no ") + member);
}

}  // namespace

base_transport::~base_transport() = default;
bool base_transport::is_closing() const { not_supported("is_closing()"); }
void base_transport::close() { not_supported("close()"); }
void base_transport::set_protocol(std::shared_ptr<base_protocol>) {
  not_supported("set_protocol()");
}
std::shared_ptr<base_protocol> base_transport::get_protocol() const {
  not_supported("get_protocol()");
}
std::any base_transport::get_extra_info(std::string_view) const { return {}; }
std::optional<address> base_transport::peername() const { return std::nullopt; }
std::optional<address> base_transport::sockname() const { return std::nullopt; }
std::optional<transport_socket> base_transport::socket() const { return std::nullopt; }
std::optional<int> base_transport::pipe() const { return std::nullopt; }
std::optional<int> base_transport::subprocess_pid() const { return std::nullopt; }

read_transport::~read_transport() = default;
bool read_transport::is_reading() const { not_supported("is_reading()"); }
void read_transport::pause_reading() { not_supported("pause_reading()"); }
void read_transport::resume_reading() { not_supported("resume_reading()"); }

write_transport::~write_transport() = default;
void write_transport::write(std::string_view) { not_supported("write()"); }
void write_transport::write_eof() { not_supported("write_eof()"); }
bool write_transport::can_write_eof() const { return false; }
void write_transport::abort() { not_supported("abort()"); }
std::size_t write_transport::get_write_buffer_size() const {
  not_supported("get_write_buffer_size()");
}
write_buffer_marks write_transport::get_write_buffer_limits() const {
  not_supported("get_write_buffer_limits()");
}
void write_transport::set_write_buffer_limits(buffer_limits) {
  not_supported("set_write_buffer_limits()");
}
void write_transport::write_string(std::string&& data) { write(std::string_view(data)); }
void write_transport::write_parts(std::span<const std::string_view> parts) {
  std::string joined;
  for (const std::string_view part : parts) joined += part;
  write(std::string_view(joined));
}

transport::~transport() = default;

subprocess_transport::~subprocess_transport() = default;
int subprocess_transport::get_pid() const { not_supported("get_pid()"); }
std::optional<int> subprocess_transport::get_returncode() const {
  not_supported("get_returncode()");
}
std::shared_ptr<transport> subprocess_transport::get_pipe_transport(int) const {
  not_supported("get_pipe_transport()");
}
void subprocess_transport::send_signal(int) { not_supported("send_signal()"); }
void subprocess_transport::terminate() { not_supported("terminate()"); }
void subprocess_transport::kill() { not_supported("kill()"); }

}  // namespace v0
}  // namespace rondo
