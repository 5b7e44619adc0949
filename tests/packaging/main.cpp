// SPDX-License-Identifier: MIT
// What every packaging test builds and runs: the library as a stranger uses it.
#include <rondo/version.hpp>

#if __has_include(<rondo/rondo.hpp>)
#include <rondo/rondo.hpp>
#endif

#include <cstdio>
#include <cstring>

int main() {
  char headers[32];
  std::snprintf(headers, sizeof headers, "%d.%d.%d", RONDO_VERSION_MAJOR, RONDO_VERSION_MINOR,
                RONDO_VERSION_PATCH);
  std::printf("rondo %s tls=%d io_uring=%d\n", rondo::version(), RONDO_HAS_TLS, RONDO_HAS_URING);
  return std::strcmp(rondo::version(), headers) == 0 ? 0 : 1;
}
