// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Everything but TLS, testing and fmt support.
#pragma once

#include <rondo/address.hpp>
#include <rondo/backend.hpp>
#include <rondo/connect_error.hpp>
#include <rondo/connections.hpp>
#include <rondo/context.hpp>
#include <rondo/coro.hpp>
#include <rondo/errors.hpp>
#include <rondo/event_loop.hpp>
#include <rondo/exception_context.hpp>
#include <rondo/exception_group.hpp>
#include <rondo/executor.hpp>
#include <rondo/future.hpp>
#include <rondo/handle.hpp>
#include <rondo/interval.hpp>
#include <rondo/locks.hpp>
#include <rondo/log.hpp>
#include <rondo/memory_channel.hpp>
#include <rondo/options.hpp>
#include <rondo/policy.hpp>
#include <rondo/protocols.hpp>
#include <rondo/queues.hpp>
#include <rondo/run.hpp>
#include <rondo/selector.hpp>
#include <rondo/server.hpp>
#include <rondo/sleep.hpp>
#include <rondo/socket.hpp>
#include <rondo/streams.hpp>
#include <rondo/task.hpp>
#include <rondo/threadsafe_promise.hpp>
#include <rondo/timeouts.hpp>
#include <rondo/to_thread.hpp>
#include <rondo/transports.hpp>
#include <rondo/version.hpp>
