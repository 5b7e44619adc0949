// SPDX-License-Identifier: MIT
// rondo benchmarks: single operations, each next to the same written by hand and with Asio.
#include <benchmark/benchmark.h>

// baseline.cpp, rondo_operations.cpp and asio_operations.cpp register theirs as "operation/who".
BENCHMARK_MAIN();
