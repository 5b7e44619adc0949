// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Names without definitions.
#pragma once

namespace rondo {
inline namespace v0 {

class interval;
class event_loop;
class backend;
class selector;
class context;
class handle;
class timer_handle;
class threadsafe_handle;
class any_future;
class any_task;
class any_coro;
class timeout;
class address;
class socket;
class transport_socket;
class base_protocol;
class protocol;
class buffered_protocol;
class subprocess_protocol;
class base_transport;
class read_transport;
class write_transport;
class transport;
class subprocess_transport;
class server;
class process;
class stream_reader;
class stream_writer;
class runner;
class executor;
class executor_job;
class thread_pool_executor;
class process_pool_executor;
class ssl_context;
class cancelled_error;
class keyboard_interrupt;
class system_exit;
struct exception_context;
struct call_graph;
struct host_port;
struct connect_options;
struct server_options;
struct subprocess_options;
struct task_options;
struct run_options;
struct resolve_options;
struct address_info;
struct connection;
template <class T>
class coro;
template <class T>
class future;
template <class T>
class task;
template <class T>
class threadsafe_promise;

}  // namespace v0
}  // namespace rondo
