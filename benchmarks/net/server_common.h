// SPDX-License-Identifier: MIT
// rondo benchmarks: what every benchmarked server shares: options, pinning and the CPU report.
#ifndef RONDO_BENCHMARKS_SERVER_COMMON_H
#define RONDO_BENCHMARKS_SERVER_COMMON_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

struct server_args {
  int port;  // 0: any free port
  int cpu;   // -1: not pinned
};

static inline int server_parse_number(const char* name, const char* text, int max) {
  char* end = NULL;
  long value = text ? strtol(text, &end, 10) : -1;
  if (!text || end == text || *end || value < 0 || value > max) {
    fprintf(stderr, "%s needs a number from 0 to %d\n", name, max);
    exit(2);
  }
  return (int)value;
}

// Reads `--port P` and `--cpu N`, pins the process and lifts the limit on open files.
static inline struct server_args server_start(int argc, char** argv) {
  struct server_args args = {0, -1};
  for (int i = 1; i < argc; i += 2) {
    const char* value = i + 1 < argc ? argv[i + 1] : NULL;
    if (strcmp(argv[i], "--port") == 0) {
      args.port = server_parse_number("--port", value, 65535);
    } else if (strcmp(argv[i], "--cpu") == 0) {
      args.cpu = server_parse_number("--cpu", value, CPU_SETSIZE - 1);
    } else {
      fprintf(stderr, "usage: %s [--port P] [--cpu N]\n", argv[0]);
      exit(2);
    }
  }
  if (args.cpu >= 0) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(args.cpu, &set);
    if (sched_setaffinity(0, sizeof set, &set) != 0) perror("sched_setaffinity");
  }
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
  }
  return args;
}

// Tells the driver that connections are accepted.
static inline void server_ready(int port) {
  printf("READY %d\n", port);
  fflush(stdout);
}

// Answers SIGUSR1: one JSON line with the CPU time used so far, in seconds.
static inline void server_report(void) {
  struct rusage use;
  getrusage(RUSAGE_SELF, &use);
  printf("{\"user\":%ld.%06ld,\"sys\":%ld.%06ld,\"maxrss_kib\":%ld}\n", (long)use.ru_utime.tv_sec,
         (long)use.ru_utime.tv_usec, (long)use.ru_stime.tv_sec, (long)use.ru_stime.tv_usec,
         use.ru_maxrss);
  fflush(stdout);
}

#endif
