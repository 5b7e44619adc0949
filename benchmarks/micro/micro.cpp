// SPDX-License-Identifier: MIT
// rondo benchmarks: single operations, each next to the same written by hand and with Asio.
#include <benchmark/benchmark.h>

BENCHMARK_MAIN();
