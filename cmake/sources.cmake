# What the library consists of, by hand: a missing file is an error here, with a glob it would be silent.
# Keep each list sorted; one file a line.

# Public headers, installed as they stand (version.hpp and detail/export.hpp are generated).
set(rondo_headers
)

# The core: no file outside src/os/ may call the kernel (tools/check-syscalls).
set(rondo_sources
  src/version.cpp
)

# The io_uring backend (RONDO_WITH_URING) and the TLS component (RONDO_WITH_TLS).
# While a list is empty the feature is not part of this version, and asking for it is an error.
set(rondo_uring_sources)
set(rondo_tls_headers)
set(rondo_tls_sources)
