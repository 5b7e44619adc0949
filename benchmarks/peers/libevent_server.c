// SPDX-License-Identifier: MIT
// rondo benchmarks: echo server with libevent's buffer events.
#include "../net/server_common.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>

enum { high_water = 65536 };

static void on_read(struct bufferevent* client, void* arg) {
  (void)arg;
  struct evbuffer* output = bufferevent_get_output(client);
  bufferevent_write_buffer(client, bufferevent_get_input(client));
  if (evbuffer_get_length(output) > high_water) bufferevent_disable(client, EV_READ);
}

static void on_drained(struct bufferevent* client, void* arg) {
  (void)arg;
  bufferevent_enable(client, EV_READ);
}

static void on_event(struct bufferevent* client, short events, void* arg) {
  (void)arg;
  if (events & (BEV_EVENT_EOF | BEV_EVENT_ERROR)) bufferevent_free(client);
}

static void on_accept(struct evconnlistener* listener, evutil_socket_t fd, struct sockaddr* address,
                      int length, void* arg) {
  (void)address, (void)length, (void)arg;
  int one = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  struct bufferevent* client =
      bufferevent_socket_new(evconnlistener_get_base(listener), fd, BEV_OPT_CLOSE_ON_FREE);
  bufferevent_set_max_single_read(client, 65536);
  bufferevent_setcb(client, on_read, on_drained, on_event, NULL);
  bufferevent_enable(client, EV_READ | EV_WRITE);
}

static void on_signal(evutil_socket_t number, short events, void* arg) {
  (void)events;
  if (number == SIGUSR1)
    server_report();
  else
    event_base_loopbreak(arg);
}

int main(int argc, char** argv) {
  struct server_args args = server_start(argc, argv);
  signal(SIGPIPE, SIG_IGN);
  struct event_base* base = event_base_new();
  const int numbers[3] = {SIGTERM, SIGINT, SIGUSR1};
  for (int i = 0; i < 3; ++i) event_add(evsignal_new(base, numbers[i], on_signal, base), NULL);
  struct sockaddr_in address = {.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)args.port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  struct evconnlistener* listener =
      evconnlistener_new_bind(base, on_accept, NULL, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_REUSEABLE,
                              4096, (struct sockaddr*)&address, sizeof address);
  if (!listener) {
    perror("listen");
    return 1;
  }
  socklen_t length = sizeof address;
  getsockname(evconnlistener_get_fd(listener), (struct sockaddr*)&address, &length);
  server_ready(ntohs(address.sin_port));
  event_base_dispatch(base);
  return 0;
}
