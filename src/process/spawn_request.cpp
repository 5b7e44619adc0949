// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Programs that are to be started, and those that just were.
#include "process/spawn_request.hpp"

#include "os/spawn.hpp"
#include "os/syscalls.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <stdexcept>
#include <system_error>
#include <utility>

namespace rondo {
inline namespace v0 {
namespace detail {
namespace {

void check_text(std::string_view text) {
  if (text.find('\0') != std::string_view::npos) {
    throw std::invalid_argument("a text for a subprocess contains a NUL");
  }
}

std::string copied(std::string_view text) {
  check_text(text);
  return std::string(text);
}

// ---- where the program is ----------------------------------------------------------

constexpr std::string_view standard_path = "/bin:/usr/bin";

std::string_view search_path(const spawn_data& request) {
  if (request.environment) {
    constexpr std::string_view name = "PATH=";
    for (const std::string& each : *request.environment) {
      if (each.starts_with(name)) return std::string_view(each).substr(name.size());
    }
    return standard_path;
  }
  const char* const path = std::getenv("PATH");
  return path != nullptr ? path : standard_path;
}

// As subprocess.Popen: found by the child, so that a relative path counts from its directory.
std::vector<std::string> paths_of(const spawn_data& request) {
  const std::string& program =
      request.executable.empty() ? request.words.front() : request.executable;
  std::vector<std::string> result;
  if (program.empty() || program.find('/') != std::string::npos) {
    result.push_back(program);
    return result;
  }
  std::string_view rest = search_path(request);
  for (;;) {
    const std::size_t end = rest.find(':');
    const std::string_view directory = rest.substr(0, end);
    result.push_back(directory.empty() ? program : fmt::format("{}/{}", directory, program));
    if (end == std::string_view::npos) return result;
    rest.remove_prefix(end + 1);
  }
}

std::vector<const char*> pointers_to(const std::vector<std::string>& texts) {
  std::vector<const char*> result;
  result.reserve(texts.size() + 1);
  for (const std::string& each : texts) result.push_back(each.c_str());
  result.push_back(nullptr);
  return result;
}

// ---- its standard streams ----------------------------------------------------------

/// What the child gets, and what stays here.
struct prepared_streams {
  std::array<int, 3> of_child = {os::spawn_plan::inherited, os::spawn_plan::inherited,
                                 os::spawn_plan::inherited};
  std::array<os::descriptor, 3> of_parent;
  std::array<os::descriptor, 3> given;  // closed here when the child has them
  os::descriptor null_device;
};

void make_pipe(prepared_streams& streams, std::size_t number) {
  std::array<int, 2> ends = {-1, -1};
  if (os::sys.pipe2(ends.data(), O_CLOEXEC) != 0) {
    os::throw_error(errno, "no pipe for a subprocess");
  }
  const bool child_reads = number == 0;
  streams.given[number].reset(ends[child_reads ? 0 : 1]);
  streams.of_parent[number].reset(ends[child_reads ? 1 : 0]);
  streams.of_child[number] = streams.given[number].get();
  // Of this end only: the child's is another open file, and programs expect it to block.
  if (os::sys.fcntl(streams.of_parent[number].get(), F_SETFL, O_NONBLOCK) < 0) {
    os::throw_error(errno, "a pipe for a subprocess");
  }
}

prepared_streams prepare(const spawn_data& request, stdio unset) {
  prepared_streams result;
  for (std::size_t i = 0; i < 3; ++i) {
    const stdio wanted =
        request.streams[i].what() == stdio::kind::unset ? unset : request.streams[i];
    switch (wanted.what()) {
      case stdio::kind::pipe:
        make_pipe(result, i);
        break;
      case stdio::kind::devnull:
        if (!result.null_device) {
          result.null_device.reset(os::sys.open("/dev/null", O_RDWR | O_CLOEXEC, 0));
          if (!result.null_device) os::throw_error(errno, "/dev/null");
        }
        result.of_child[i] = result.null_device.get();
        break;
      case stdio::kind::to_stdout:
        result.of_child[i] = os::spawn_plan::as_output;
        break;
      case stdio::kind::descriptor:
        result.of_child[i] = wanted.descriptor();
        break;
      case stdio::kind::unset:
      case stdio::kind::inherit:
        break;
    }
  }
  return result;
}

// ---- what went wrong ---------------------------------------------------------------

[[noreturn]] void fail(const spawn_data& request, const os::spawn_result& result) {
  const std::string program =
      request.executable.empty() ? request.words.front() : request.executable;
  std::string what;
  switch (result.failed) {
    case os::spawn_step::start:
      what = fmt::format("no process for '{}'", program);
      break;
    case os::spawn_step::standard_streams:
      what = fmt::format("the standard streams of '{}'", program);
      break;
    case os::spawn_step::directory:
      what = fmt::format("cannot start '{}' in the directory '{}'", program, request.directory);
      break;
    case os::spawn_step::session:
      what = fmt::format("no new session for '{}'", program);
      break;
    case os::spawn_step::process_group:
      what = fmt::format("cannot start '{}' in process group {}", program,
                         *request.options.process_group);
      break;
    case os::spawn_step::groups:
      what = fmt::format("cannot start '{}' with these extra groups", program);
      break;
    case os::spawn_step::group:
      what = fmt::format("cannot start '{}' as group {}", program, *request.options.group);
      break;
    case os::spawn_step::user:
      what = fmt::format("cannot start '{}' as user {}", program, *request.options.user);
      break;
    case os::spawn_step::passed_descriptor:
      what = fmt::format("a descriptor to pass to '{}'", program);
      break;
    default:
      what = fmt::format("cannot execute '{}'", program);
      break;
  }
  os::throw_error(result.error, what);
}

}  // namespace

// ---- requests ----------------------------------------------------------------------

spawn_data::spawn_data(const subprocess_options& given)
    : options(given),
      streams{given.in, given.out, given.err},
      directory(copied(given.cwd)),
      executable(copied(given.executable)),
      passed(given.pass_fds.begin(), given.pass_fds.end()) {
  for (std::size_t i = 0; i < 3; ++i) {
    if (streams[i].what() == stdio::kind::descriptor && streams[i].descriptor() < 0) {
      throw std::invalid_argument("a standard stream of a subprocess is a negative descriptor");
    }
    if (streams[i].what() == stdio::kind::to_stdout && i != 2) {
      throw std::invalid_argument("to_stdout is for standard error only");
    }
  }
  if (given.env) {
    environment.emplace();
    for (const std::string& each : *given.env) {
      check_text(each);
      if (const std::size_t end = each.find('='); end == std::string::npos || end == 0) {
        throw std::invalid_argument(fmt::format("'{}' is not of the form NAME=value", each));
      }
      environment->push_back(each);
    }
  }
  if (given.extra_groups) groups.emplace(given.extra_groups->begin(), given.extra_groups->end());
  if (given.umask && *given.umask > 0777) {
    throw std::invalid_argument(fmt::format("{:#o} is no umask", *given.umask));
  }
  if (given.process_group && *given.process_group < 0) {
    throw std::invalid_argument("process_group is negative");
  }
  // For the kernel that number means: as before.
  constexpr unsigned nobody = ~0U;
  if (given.user == nobody || given.group == nobody) {
    throw std::invalid_argument("there is no such user or group id");
  }
  if (given.limit == 0) throw std::invalid_argument("Limit cannot be <= 0");
  for (const int fd : passed) {
    if (fd < 0) throw std::invalid_argument("a descriptor to pass is negative");
  }
}

spawn_request::spawn_request(const subprocess_options& options)
    : data_(std::make_unique<spawn_data>(options)) {}
spawn_request::spawn_request(spawn_request&&) noexcept = default;
spawn_request::~spawn_request() = default;

void spawn_request::add(std::string_view word) { data_->words.push_back(copied(word)); }

spawn_request shell_request(const subprocess_options& options, std::string_view command) {
  spawn_request result(options);
  result.add(options.executable.empty() ? std::string_view("/bin/sh") : options.executable);
  result.add("-c");
  result.add(command);
  return result;
}

started_child start_child(event_loop& loop, const spawn_data& request, stdio unset) {
  if (request.words.empty()) throw std::invalid_argument("there is no program to start");
  prepared_streams streams = prepare(request, unset);
  const std::vector<std::string> paths = paths_of(request);
  const std::vector<const char*> path_pointers = pointers_to(paths);
  const std::vector<const char*> word_pointers = pointers_to(request.words);
  std::vector<const char*> environment_pointers;
  if (request.environment) environment_pointers = pointers_to(*request.environment);

  const subprocess_options& options = request.options;
  os::spawn_plan plan;
  plan.paths = path_pointers.data();
  plan.arguments = word_pointers.data();
  plan.environment = request.environment ? environment_pointers.data() : environ;
  plan.directory = request.directory.empty() ? nullptr : request.directory.c_str();
  for (std::size_t i = 0; i < 3; ++i) plan.stdio[i] = streams.of_child[i];
  plan.passed = request.passed.data();
  plan.passed_count = request.passed.size();
  plan.new_session = options.start_new_session;
  plan.sets_process_group = options.process_group.has_value();
  plan.process_group = options.process_group.value_or(0);
  plan.sets_umask = options.umask.has_value();
  plan.umask = options.umask.value_or(0);
  plan.sets_groups = request.groups.has_value();
  if (request.groups) {
    plan.groups = request.groups->data();
    plan.group_count = request.groups->size();
  }
  plan.sets_group = options.group.has_value();
  plan.group = options.group.value_or(0);
  plan.sets_user = options.user.has_value();
  plan.user = options.user.value_or(0);
  plan.restore_signals = options.restore_signals;

  const os::spawn_result result = os::spawn(plan);
  if (result.failed != os::spawn_step::none) fail(request, result);
  started_child started;
  started.process = child::adopt(loop, result.pid, result.pidfd);
  started.pipes = std::move(streams.of_parent);
  return started;
}

}  // namespace detail
}  // namespace v0
}  // namespace rondo
