// SPDX-License-Identifier: MIT
// rondo benchmarks: starting programs with libuv.
#define _GNU_SOURCE
#include "spawn_common.h"

#include <uv.h>

static long started, ended;

static void start(uv_process_t* process);

static void on_close(uv_handle_t* handle) {
  ++ended;
  if (started < count) start((uv_process_t*)handle);
}

static void on_exit_of(uv_process_t* process, int64_t status, int signal_number) {
  if (status != 0 || signal_number != 0) fail("the program failed");
  uv_close((uv_handle_t*)process, on_close);
}

static void start(uv_process_t* process) {
  char* arguments[] = {(char*)program, NULL};
  uv_stdio_container_t streams[3];
  for (int i = 0; i < 3; ++i) {
    streams[i].flags = UV_INHERIT_FD;
    streams[i].data.fd = i;
  }
  uv_process_options_t options = {0};
  options.file = program;
  options.args = arguments;
  options.exit_cb = on_exit_of;
  options.stdio = streams;
  options.stdio_count = 3;
  ++started;
  if (uv_spawn(uv_default_loop(), process, &options) != 0) fail("uv_spawn");
}

int main(int argc, char** argv) {
  read_arguments(argc, argv);
  begin_measuring();
  uv_process_t* const processes = calloc((size_t)parallel, sizeof *processes);
  for (long i = 0; i < parallel && started < count; ++i) start(&processes[i]);
  while (ended < count) uv_run(uv_default_loop(), UV_RUN_ONCE);
  end_measuring();
  return 0;
}
