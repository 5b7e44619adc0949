// SPDX-License-Identifier: MIT
// rondo benchmarks: the hand-written baseline, an edge-triggered epoll echo server.
#include "server_common.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum { batch = 64, buffer_size = 65536 };

// What the kernel did not take of the last read. Allocated the first time that happens to a
// connection, so a client that reads its answers never causes an allocation.
struct connection {
  char* pending;
  unsigned offset, length;
};

static struct connection* connections;  // indexed by descriptor
static size_t capacity;
static char buffer[buffer_size];
static int epoll_fd, listen_fd;
static bool listening;

static void fail(const char* what) {
  perror(what);
  exit(1);
}

static void watch(int fd, unsigned events) {
  struct epoll_event event = {.events = events, .data.fd = fd};
  if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0) fail("epoll_ctl");
}

static void close_connection(int fd) {
  free(connections[fd].pending);
  connections[fd] = (struct connection){0};
  close(fd);
  if (!listening) {  // a descriptor is free again after EMFILE
    watch(listen_fd, EPOLLIN);
    listening = true;
  }
}

static void accept_connections(void) {
  for (int i = 0; i < batch; ++i) {
    int fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
      if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
        epoll_ctl(epoll_fd, EPOLL_CTL_DEL, listen_fd, NULL);
        listening = false;
      }
      return;
    }
    if ((size_t)fd >= capacity) {
      close(fd);
      continue;
    }
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    watch(fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
  }
}

// Keeps what the kernel did not take; false: the connection is gone.
static bool keep_rest(int fd, const char* data, size_t size) {
  struct connection* c = &connections[fd];
  if (!c->pending && !(c->pending = malloc(buffer_size))) return false;
  memcpy(c->pending, data, size);
  c->offset = 0;
  c->length = (unsigned)size;
  return true;
}

// Sends the rest of an earlier read; false: the connection is gone.
static bool flush_pending(int fd) {
  struct connection* c = &connections[fd];
  while (c->length > 0) {
    ssize_t n = send(fd, c->pending + c->offset, c->length, MSG_NOSIGNAL);
    if (n >= 0) {
      c->offset += (unsigned)n;
      c->length -= (unsigned)n;
    } else if (errno == EAGAIN) {
      return true;
    } else if (errno != EINTR) {
      return false;
    }
  }
  return true;
}

static void serve(int fd, unsigned events) {
  if (connections[fd].length > 0) {
    if (!flush_pending(fd)) return close_connection(fd);
    // A reader that is behind is not read from; its EPOLLOUT edge comes here again.
    if (connections[fd].length > 0) return;
    events |= EPOLLIN;  // the edge of data that came meanwhile is spent
  }
  const unsigned closing = EPOLLRDHUP | EPOLLHUP | EPOLLERR;
  if (!(events & (EPOLLIN | closing))) return;
  for (;;) {
    ssize_t n = recv(fd, buffer, buffer_size, 0);
    if (n > 0) {
      ssize_t sent = send(fd, buffer, (size_t)n, MSG_NOSIGNAL);
      if (sent != n) {
        if (sent < 0 && errno != EAGAIN && errno != EINTR) return close_connection(fd);
        if (sent < 0) sent = 0;
        if (!keep_rest(fd, buffer + sent, (size_t)(n - sent)) || !flush_pending(fd))
          return close_connection(fd);
        if (connections[fd].length > 0) return;
      }
      // A short read has emptied the socket: the next byte, or the end of file, is a new edge,
      // unless it is the end that this event already announced.
      if (n < buffer_size && !(events & closing)) return;
    } else if (n < 0 && errno == EAGAIN) {
      return;
    } else if (n == 0 || errno != EINTR) {
      return close_connection(fd);
    }
  }
}

// False: asked to stop.
static bool handle_signals(int fd) {
  struct signalfd_siginfo info;
  bool running = true;
  while (read(fd, &info, sizeof info) == (ssize_t)sizeof info) {
    if (info.ssi_signo == SIGUSR1) server_report();
    if (info.ssi_signo == SIGTERM || info.ssi_signo == SIGINT) running = false;
  }
  return running;
}

int main(int argc, char** argv) {
  struct server_args args = server_start(argc, argv);
  struct rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  capacity = limit.rlim_cur < 1048576 ? (size_t)limit.rlim_cur : 1048576;
  connections = calloc(capacity, sizeof *connections);
  epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  if (!connections || epoll_fd < 0) fail("start");

  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGUSR1);
  sigprocmask(SIG_BLOCK, &signals, NULL);
  int signal_fd = signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
  if (signal_fd < 0) fail("signalfd");
  watch(signal_fd, EPOLLIN);

  listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  int one = 1;
  setsockopt(listen_fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  struct sockaddr_in address = {.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)args.port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t length = sizeof address;
  if (bind(listen_fd, (struct sockaddr*)&address, length) != 0) fail("bind");
  if (listen(listen_fd, 4096) != 0) fail("listen");
  getsockname(listen_fd, (struct sockaddr*)&address, &length);
  watch(listen_fd, EPOLLIN);
  listening = true;
  server_ready(ntohs(address.sin_port));

  struct epoll_event events[batch];
  for (;;) {
    int n = epoll_wait(epoll_fd, events, batch, -1);
    if (n < 0 && errno != EINTR) fail("epoll_wait");
    for (int i = 0; i < n; ++i) {
      int fd = events[i].data.fd;
      if (fd == listen_fd) {
        accept_connections();
      } else if (fd == signal_fd) {
        if (!handle_signals(fd)) return 0;
      } else {
        serve(fd, events[i].events);
      }
    }
  }
}
