# What the library consists of, by hand: a missing file is an error here, with a glob it would be silent.
# Keep each list sorted; one file a line.

# Public headers, installed as they stand (version.hpp and detail/export.hpp are generated).
set(rondo_headers
  include/rondo/address.hpp
  include/rondo/backend.hpp
  include/rondo/connect_error.hpp
  include/rondo/connections.hpp
  include/rondo/context.hpp
  include/rondo/coro.hpp
  include/rondo/errors.hpp
  include/rondo/event_loop.hpp
  include/rondo/exception_context.hpp
  include/rondo/exception_group.hpp
  include/rondo/future.hpp
  include/rondo/fwd.hpp
  include/rondo/handle.hpp
  include/rondo/interval.hpp
  include/rondo/log.hpp
  include/rondo/options.hpp
  include/rondo/policy.hpp
  include/rondo/protocols.hpp
  include/rondo/rondo.hpp
  include/rondo/run.hpp
  include/rondo/selector.hpp
  include/rondo/server.hpp
  include/rondo/sleep.hpp
  include/rondo/socket.hpp
  include/rondo/streams.hpp
  include/rondo/task.hpp
  include/rondo/threadsafe_promise.hpp
  include/rondo/timeouts.hpp
  include/rondo/transports.hpp
  include/rondo/detail/bytes.hpp
  include/rondo/detail/callback.hpp
  include/rondo/detail/connect_arguments.hpp
  include/rondo/detail/context_ref.hpp
  include/rondo/detail/done_awaiter.hpp
  include/rondo/detail/foreign.hpp
  include/rondo/detail/future_core.hpp
  include/rondo/detail/loop_core.hpp
  include/rondo/detail/memory.hpp
  include/rondo/detail/ready_node.hpp
  include/rondo/detail/stream_awaiters.hpp
  include/rondo/detail/task_core.hpp
  include/rondo/detail/timer_heap.hpp
)

# The core: no file outside src/os/ may call the kernel (tools/check-syscalls).
set(rondo_sources
  src/backend/backend.cpp
  src/backend/selector/epoll_selector.cpp
  src/backend/selector/selector_backend.cpp
  src/loop/callback.cpp
  src/loop/context.cpp
  src/loop/errors.cpp
  src/loop/event_loop.cpp
  src/loop/exception_group.cpp
  src/loop/exception_handler.cpp
  src/loop/foreign.cpp
  src/loop/future.cpp
  src/loop/inbox.cpp
  src/loop/log.cpp
  src/loop/memory.cpp
  src/loop/run.cpp
  src/loop/running.cpp
  src/loop/signals.cpp
  src/loop/sleep.cpp
  src/loop/task.cpp
  src/loop/threadsafe_promise.cpp
  src/loop/timeouts.cpp
  src/loop/timer_heap.cpp
  src/os/descriptor.cpp
  src/os/fork.cpp
  src/os/syscalls.cpp
  src/os/thread.cpp
  src/resolver/resolver.cpp
  src/resolver/resolver_pool.cpp
  src/transport/address.cpp
  src/transport/connect.cpp
  src/transport/connect_error.cpp
  src/transport/operation_awaiter.cpp
  src/transport/socket.cpp
  src/version.cpp
)

# The io_uring backend (RONDO_WITH_URING) and the TLS component (RONDO_WITH_TLS).
# While a list is empty the feature is not part of this version, and asking for it is an error.
set(rondo_uring_sources)
set(rondo_tls_headers)
set(rondo_tls_sources)
