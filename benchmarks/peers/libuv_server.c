// SPDX-License-Identifier: MIT
// rondo benchmarks: echo server with libuv; uv_try_write first, or uv_write (-DUSE_UV_WRITE).
#include "../net/server_common.h"

#include <signal.h>
#include <uv.h>

static char shared_buffer[65536];

struct write_request {
  uv_write_t request;
  char data[];
};

static void allocate(uv_handle_t* handle, size_t suggested, uv_buf_t* buffer) {
  (void)handle, (void)suggested;
  *buffer = uv_buf_init(shared_buffer, sizeof shared_buffer);
}

static void on_close(uv_handle_t* handle) { free(handle); }

static void on_read(uv_stream_t* stream, ssize_t size, const uv_buf_t* buffer);

static void on_written(uv_write_t* request, int status) {
  uv_stream_t* stream = request->handle;
  free(request);
  if (uv_is_closing((uv_handle_t*)stream)) return;
  if (status < 0)
    uv_close((uv_handle_t*)stream, on_close);
  else if (stream->write_queue_size == 0)  // the backlog, if there was one, is gone
    uv_read_start(stream, allocate, on_read);
}

static void on_read(uv_stream_t* stream, ssize_t size, const uv_buf_t* buffer) {
  if (size == 0) return;
  if (size < 0) {
    uv_close((uv_handle_t*)stream, on_close);
    return;
  }
  size_t sent = 0;
#ifndef USE_UV_WRITE
  uv_buf_t all = uv_buf_init(buffer->base, (unsigned)size);
  int tried = uv_try_write(stream, &all, 1);
  if (tried > 0) sent = (size_t)tried;
  if (sent == (size_t)size) return;
#endif
  size_t rest = (size_t)size - sent;
  struct write_request* request = malloc(sizeof *request + rest);
  memcpy(request->data, buffer->base + sent, rest);
  uv_buf_t copy = uv_buf_init(request->data, (unsigned)rest);
  uv_write(&request->request, stream, &copy, 1, on_written);
  if (stream->write_queue_size > 0) uv_read_stop(stream);
}

static void on_connection(uv_stream_t* listener, int status) {
  if (status < 0) return;
  uv_tcp_t* client = malloc(sizeof *client);
  uv_tcp_init(listener->loop, client);
  if (uv_accept(listener, (uv_stream_t*)client) == 0) {
    uv_tcp_nodelay(client, 1);
    uv_read_start((uv_stream_t*)client, allocate, on_read);
  } else {
    uv_close((uv_handle_t*)client, on_close);
  }
}

static void on_signal(uv_signal_t* handle, int number) {
  if (number == SIGUSR1)
    server_report();
  else
    uv_stop(handle->loop);
}

int main(int argc, char** argv) {
  struct server_args args = server_start(argc, argv);
  signal(SIGPIPE, SIG_IGN);
  uv_loop_t* loop = uv_default_loop();
  uv_signal_t signals[3];
  const int numbers[3] = {SIGTERM, SIGINT, SIGUSR1};
  for (int i = 0; i < 3; ++i) {
    uv_signal_init(loop, &signals[i]);
    uv_signal_start(&signals[i], on_signal, numbers[i]);
  }
  uv_tcp_t listener;
  struct sockaddr_in address;
  int length = sizeof address;
  uv_tcp_init(loop, &listener);
  uv_ip4_addr("127.0.0.1", args.port, &address);
  int error = uv_tcp_bind(&listener, (struct sockaddr*)&address, 0);
  if (error == 0) error = uv_listen((uv_stream_t*)&listener, 4096, on_connection);
  if (error != 0) {
    fprintf(stderr, "listen: %s\n", uv_strerror(error));
    return 1;
  }
  uv_tcp_getsockname(&listener, (struct sockaddr*)&address, &length);
  server_ready(ntohs(address.sin_port));
  uv_run(loop, UV_RUN_DEFAULT);
  return 0;
}
