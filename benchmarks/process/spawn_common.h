// SPDX-License-Identifier: MIT
// rondo benchmarks: what the programs that start programs have in common.
//
// usage: NAME --count N [--parallel N] [--ballast MIB] [--program PATH] [--vfork]
// Each starts N times a program that ends at once, so many at a time, and waits for the end of
// each.
// --ballast first touches so much memory, which a fork would have to copy the page tables of.
// Prints one line of JSON: children per second, and the CPU time of this program and its children.
#ifndef RONDO_BENCHMARKS_SPAWN_COMMON_H
#define RONDO_BENCHMARKS_SPAWN_COMMON_H

#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static long count = 1000;
static long parallel = 1;
static long ballast = 0;
static int use_vfork = 0;
static const char* program = "/bin/true";
static struct timespec began;

static inline void fail(const char* what) {
  perror(what);
  exit(1);
}

static inline void read_arguments(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    const char* value = i + 1 < argc ? argv[i + 1] : "";
    if (strcmp(argv[i], "--vfork") == 0) {
      use_vfork = 1;
      continue;
    }
    if (strcmp(argv[i], "--count") == 0) count = atol(value);
    if (strcmp(argv[i], "--parallel") == 0) parallel = atol(value);
    if (strcmp(argv[i], "--ballast") == 0) ballast = atol(value);
    if (strcmp(argv[i], "--program") == 0) program = value;
    ++i;
  }
  const size_t size = (size_t)ballast << 20;
  if (size != 0) {
    char* const memory = (char*)malloc(size);
    if (memory == NULL) fail("malloc");
    for (size_t at = 0; at < size; at += 4096) ((volatile char*)memory)[at] = 1;
  }
}

static inline void begin_measuring(void) { clock_gettime(CLOCK_MONOTONIC, &began); }

static inline double seconds_of(struct timeval time) {
  return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

static inline void end_measuring(void) {
  struct timespec now;
  struct rusage own, children;
  clock_gettime(CLOCK_MONOTONIC, &now);
  getrusage(RUSAGE_SELF, &own);
  getrusage(RUSAGE_CHILDREN, &children);
  const double seconds =
      (double)(now.tv_sec - began.tv_sec) + (double)(now.tv_nsec - began.tv_nsec) / 1e9;
  printf("{\"rate\": %.1f, \"cpu_us\": %.2f, \"children_us\": %.2f}\n", (double)count / seconds,
         (seconds_of(own.ru_utime) + seconds_of(own.ru_stime)) * 1e6 / (double)count,
         (seconds_of(children.ru_utime) + seconds_of(children.ru_stime)) * 1e6 / (double)count);
}

#endif
