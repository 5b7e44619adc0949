// SPDX-License-Identifier: MIT
// rondo benchmarks: the load generator, an epoll client that checks each echo and times it.
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { batch = 256, receive_size = 262144, longest_send = 1 << 20, sub_bits = 7 };

struct connection {
  int fd;
  size_t send_position;     // in the message, of the next byte to send
  size_t unsent;            // bytes of issued requests that the kernel has not taken yet
  size_t receive_position;  // in the message, of the next byte to come
  uint64_t issued, completed;
  uint64_t* started;  // ring of `pipeline` start times
};

static struct options {
  const char *host, *port;
  uint64_t connections, size, pipeline, requests, warmup, cpu;
  double seconds, timeout;
  bool sync;
} options = {.host = "127.0.0.1",
             .connections = 1,
             .size = 64,
             .pipeline = 1,
             .cpu = UINT64_MAX,
             .timeout = 30};

static struct connection* connections;
static char *pattern, *received;
static size_t pattern_size;
static int epoll_fd;

// ---- latency histogram: log buckets with 2^7 steps each, so within 0.8 % -----------------------

static uint64_t histogram[64 << sub_bits];
static uint64_t slowest;

static void record(uint64_t ns) {
  unsigned shift = 0;
  if (ns >> sub_bits) shift = (unsigned)(63 - __builtin_clzll(ns)) - sub_bits;
  uint64_t steps = (uint64_t)1 << sub_bits;
  uint64_t index = ns < steps ? ns : (shift + 1) * steps + ((ns >> shift) - steps);
  ++histogram[index];
  if (ns > slowest) slowest = ns;
}

// The middle of the bucket that holds the quantile, in microseconds.
static double quantile(double q) {
  uint64_t total = 0, seen = 0, steps = (uint64_t)1 << sub_bits;
  size_t buckets = sizeof histogram / sizeof *histogram;
  for (size_t i = 0; i < buckets; ++i) total += histogram[i];
  double wanted = q * (double)total;
  for (size_t i = 0; i < buckets; ++i) {
    seen += histogram[i];
    if (seen == 0 || (double)seen < wanted) continue;
    if (i < steps) return (double)i / 1e3;
    unsigned shift = (unsigned)(i / steps) - 1;
    double low = (double)((steps + i % steps) << shift);
    double middle = low + (double)((uint64_t)1 << shift) / 2;
    return (middle < (double)slowest ? middle : (double)slowest) / 1e3;
  }
  return 0;
}

// ---- helpers -----------------------------------------------------------------------------------

static void fail(const char* what) {
  fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
  exit(1);
}

static void wrong(const char* what) {
  fprintf(stderr, "load: %s\n", what);
  exit(1);
}

static uint64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void usage(void) {
  fprintf(
      stderr,
      "usage: load --port P [--host H] [--connections N] [--size B] [--pipeline K]\n"
      "            (--requests R | --seconds S) [--warmup R] [--cpu N] [--sync]\n"
      "            [--timeout S]\n"
      "--warmup: requests before the measured ones\n"
      "--sync: print WARM after them, then wait for a line on stdin; after the result wait for\n"
      "        the end of stdin before the connections are closed\n"
      "--timeout: give up when nothing arrives for S seconds (30)\n");
  exit(2);
}

static uint64_t number(const char* text) {
  char* end;
  unsigned long long value = strtoull(text, &end, 10);
  if (end == text || *end || *text == '-') usage();
  return value;
}

static void parse(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    const char* name = argv[i];
    if (strcmp(name, "--sync") == 0) {
      options.sync = true;
      continue;
    }
    if (++i == argc) usage();
    const char* value = argv[i];
    if (strcmp(name, "--host") == 0)
      options.host = value;
    else if (strcmp(name, "--port") == 0)
      options.port = value;
    else if (strcmp(name, "--connections") == 0)
      options.connections = number(value);
    else if (strcmp(name, "--size") == 0)
      options.size = number(value);
    else if (strcmp(name, "--pipeline") == 0)
      options.pipeline = number(value);
    else if (strcmp(name, "--requests") == 0)
      options.requests = number(value);
    else if (strcmp(name, "--warmup") == 0)
      options.warmup = number(value);
    else if (strcmp(name, "--cpu") == 0)
      options.cpu = number(value);
    else if (strcmp(name, "--seconds") == 0)
      options.seconds = atof(value);
    else if (strcmp(name, "--timeout") == 0)
      options.timeout = atof(value);
    else
      usage();
  }
  if (!options.port || options.connections == 0 || options.size == 0 || options.pipeline == 0 ||
      (options.requests == 0) == (options.seconds <= 0))
    usage();
}

// ---- connections -------------------------------------------------------------------------------

// Connects and has one byte echoed, so that the server has accepted before the next one comes and
// no backlog overflows.
static void open_connection(struct connection* c, const struct addrinfo* to) {
  c->fd = socket(to->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (c->fd < 0) fail("socket");
  if (connect(c->fd, to->ai_addr, to->ai_addrlen) != 0) fail("connect");
  int one = 1;
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  struct timeval limit = {.tv_sec = (time_t)options.timeout};
  setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  char byte = 'x';
  if (send(c->fd, &byte, 1, MSG_NOSIGNAL) != 1) fail("send");
  ssize_t n = recv(c->fd, &byte, 1, 0);
  if (n != 1) {
    if (n < 0) fail("recv");
    wrong("the server closed a new connection");
  }
  if (byte != 'x') wrong("the first byte came back changed");
  c->started = calloc(options.pipeline, sizeof *c->started);
  struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = c};
  if (!c->started || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &event) != 0) fail("epoll_ctl");
}

static void transmit(struct connection* c) {
  while (c->unsent > 0) {
    size_t longest = pattern_size - c->send_position;
    size_t length = c->unsent < longest ? c->unsent : longest;
    ssize_t n = send(c->fd, pattern + c->send_position, length, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0) {
      if (errno == EAGAIN) return;
      if (errno == EINTR) continue;
      fail("send");
    }
    c->unsent -= (size_t)n;
    c->send_position = (c->send_position + (size_t)n) % options.size;
  }
}

static void issue(struct connection* c, uint64_t count, uint64_t time) {
  for (uint64_t i = 0; i < count; ++i) c->started[c->issued++ % options.pipeline] = time;
  c->unsent += count * options.size;
}

// Compares what came with what was sent; returns the number of requests that it completes.
static uint64_t check(struct connection* c, const char* data, size_t size) {
  uint64_t completed = 0;
  while (size > 0) {
    size_t rest = options.size - c->receive_position;
    size_t length = size < rest ? size : rest;
    if (memcmp(data, pattern + c->receive_position, length) != 0) wrong("wrong bytes came back");
    data += length;
    size -= length;
    c->receive_position += length;
    if (c->receive_position == options.size) {
      c->receive_position = 0;
      ++completed;
    }
  }
  if (c->completed + completed > c->issued) wrong("more bytes came back than were sent");
  return completed;
}

struct phase {
  uint64_t requests;  // completed in this phase
  double elapsed;
};

// Runs `requests` requests, or as many as fit into `seconds`; all have been answered at its end.
static struct phase run_phase(uint64_t requests, double seconds) {
  uint64_t issued = 0, completed = 0, begin = now();
  uint64_t end = seconds > 0 ? begin + (uint64_t)(seconds * 1e9) : UINT64_MAX;
  uint64_t limit = seconds > 0 ? UINT64_MAX : requests, time = begin;
  for (uint64_t round = 0; round < options.pipeline && issued < limit; ++round)
    for (uint64_t i = 0; i < options.connections && issued < limit; ++i, ++issued)
      issue(&connections[i], 1, begin);
  for (uint64_t i = 0; i < options.connections; ++i) {
    struct connection* c = &connections[i];
    uint64_t sent_at = now();  // a request is timed from its own send, not from the first one's
    for (uint64_t n = c->completed; n < c->issued; ++n) c->started[n % options.pipeline] = sent_at;
    transmit(c);
  }

  struct epoll_event events[batch];
  while (completed < issued) {
    int n = epoll_wait(epoll_fd, events, batch, (int)(options.timeout * 1000));
    if (n < 0 && errno != EINTR) fail("epoll_wait");
    if (n == 0) wrong("timeout: an echo is missing");
    for (int i = 0; i < n; ++i) {
      struct connection* c = events[i].data.ptr;
      transmit(c);
      if (!(events[i].events & ~(unsigned)EPOLLOUT)) continue;
      for (;;) {
        ssize_t size = recv(c->fd, received, receive_size, MSG_DONTWAIT);
        if (size < 0 && errno == EINTR) continue;
        if (size < 0 && errno == EAGAIN) break;
        if (size < 0) fail("recv");
        if (size == 0) wrong("the server closed a connection");
        uint64_t answers = check(c, received, (size_t)size);
        time = now();
        for (uint64_t k = 0; k < answers; ++k)
          record(time - c->started[c->completed++ % options.pipeline]);
        completed += answers;
        uint64_t next = time >= end ? 0 : answers < limit - issued ? answers : limit - issued;
        issued += next;
        issue(c, next, time);
        transmit(c);
        if (size < receive_size) break;
      }
    }
  }
  return (struct phase){completed, (double)(time - begin) / 1e9};
}

static void wait_for_line(bool to_end) {
  for (int c = getchar(); c != EOF && (to_end || c != '\n'); c = getchar()) {
  }
}

int main(int argc, char** argv) {
  parse(argc, argv);
  if (options.cpu != UINT64_MAX) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(options.cpu, &set);
    if (sched_setaffinity(0, sizeof set, &set) != 0) fail("sched_setaffinity");
  }
  struct rlimit files;
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);

  struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *to;
  int error = getaddrinfo(options.host, options.port, &hints, &to);
  if (error != 0) wrong(gai_strerror(error));

  // The message, repeated, so that a send may begin at any byte and still be long.
  size_t wanted = options.size * options.pipeline;
  pattern_size = options.size + (wanted < longest_send ? wanted : longest_send);
  pattern = malloc(pattern_size);
  received = malloc(receive_size);
  connections = calloc(options.connections, sizeof *connections);
  epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  if (!pattern || !received || !connections || epoll_fd < 0) fail("start");
  for (size_t i = 0; i < pattern_size; ++i) {
    uint64_t position = i % options.size;
    pattern[i] = (char)((position * 0x9e3779b97f4a7c15u) >> 56);
  }

  for (uint64_t i = 0; i < options.connections; ++i) open_connection(&connections[i], to);
  freeaddrinfo(to);
  if (options.warmup > 0) run_phase(options.warmup, 0);
  memset(histogram, 0, sizeof histogram);
  slowest = 0;
  if (options.sync) {
    printf("WARM\n");
    fflush(stdout);
    wait_for_line(false);
  }
  struct phase result = run_phase(options.requests, options.seconds);
  printf(
      "{\"requests\":%llu,\"seconds\":%.6f,\"requests_per_second\":%.1f,\"p50\":%.1f,"
      "\"p99\":%.1f,\"p999\":%.1f,\"max\":%.1f,\"warmup\":%llu,\"connections\":%llu,"
      "\"size\":%llu,\"pipeline\":%llu}\n",
      (unsigned long long)result.requests, result.elapsed, (double)result.requests / result.elapsed,
      quantile(0.5), quantile(0.99), quantile(0.999), (double)slowest / 1e3,
      (unsigned long long)options.warmup, (unsigned long long)options.connections,
      (unsigned long long)options.size, (unsigned long long)options.pipeline);
  fflush(stdout);
  if (options.sync) wait_for_line(true);
  return 0;
}
