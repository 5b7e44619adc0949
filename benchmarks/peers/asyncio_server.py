#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# rondo benchmarks: echo server with Python's asyncio or uvloop, protocol or streams.
"""Echo server for the benchmarks: --port P --cpu N [--streams] [--uvloop]."""

import argparse
import asyncio
import json
import os
import resource
import signal


class Echo(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(data)

    def pause_writing(self):
        self.transport.pause_reading()

    def resume_writing(self):
        self.transport.resume_reading()


async def echo(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    writer.close()


def report():
    use = resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps({"user": use.ru_utime, "sys": use.ru_stime, "maxrss_kib": use.ru_maxrss}),
          flush=True)


async def main(args):
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_signal_handler(signal.SIGINT, stop.set)
    loop.add_signal_handler(signal.SIGUSR1, report)
    if args.streams:
        server = await asyncio.start_server(echo, "127.0.0.1", args.port, backlog=4096)
    else:
        server = await loop.create_server(Echo, "127.0.0.1", args.port, backlog=4096)
    print("READY", server.sockets[0].getsockname()[1], flush=True)
    await stop.wait()
    os._exit(0)  # connections may still be open; their tasks need no farewell


parser = argparse.ArgumentParser()
parser.add_argument("--port", type=int, default=0)
parser.add_argument("--cpu", type=int, default=-1)
parser.add_argument("--streams", action="store_true")
parser.add_argument("--uvloop", action="store_true")
options = parser.parse_args()
if options.cpu >= 0:
    os.sched_setaffinity(0, {options.cpu})
limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
if options.uvloop:
    import uvloop
    uvloop.install()
asyncio.run(main(options))
