#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# rondo benchmarks: user memory of a server per idle connection.
"""Opens idle connections to each echo server and reports its anonymous memory per connection.

Each connection has one message echoed and is then left alone. The memory is the growth of RssAnon
in /proc/PID/status between the first --first connections and all of them, so a server's fixed cost
is not counted. Kernel memory (socket buffers) is not in it.
"""

import argparse
import json
import pathlib
import re
import resource
import socket
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import run  # noqa: E402

LIMITS = {"rondo_protocol": 1024, "rondo_streams": 2048}


def rss_anon(pid):
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"^RssAnon:\s*(\d+) kB", text, re.M).group(1)) * 1024


def settled(pid):
    """RssAnon, once it has not changed for 0.2 s."""
    last, same = rss_anon(pid), 0
    for _ in range(100):
        time.sleep(0.05)
        now = rss_anon(pid)
        same = same + 1 if now == last else 0
        last = now
        if same == 4:
            break
    return last


def open_connections(port, count, message):
    sockets = []
    for _ in range(count):
        s = socket.create_connection(("127.0.0.1", port), timeout=20)
        if message:
            s.sendall(message)
            rest = len(message)
            while rest:
                data = s.recv(rest)
                if not data:
                    raise run.Failure("the server closed a connection")
                rest -= len(data)
        sockets.append(s)
    return sockets


def measure(server, args):
    message = b"x" * args.size
    with run.Running(server, args) as running:
        sockets = open_connections(running.port, args.first, message)
        low = settled(running.process.pid)
        sockets += open_connections(running.port, args.connections - args.first, message)
        high = settled(running.process.pid)
        for s in sockets:
            s.close()
    return (high - low) / (args.connections - args.first)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=pathlib.Path)
    parser.add_argument("--servers", help="comma-separated names (default: all)")
    parser.add_argument("--connections", type=int, default=10000)
    parser.add_argument("--first", type=int, default=500,
                        help="connections whose memory is not counted")
    parser.add_argument("--size", type=int, default=64,
                        help="bytes echoed once on each connection (0: none)")
    parser.add_argument("--check", action="store_true", help="fail if rondo needs too much")
    parser.add_argument("--out", type=pathlib.Path, help="also write a JSON file")
    args = parser.parse_args()
    args.server_cpu = 0
    args.build = (args.build or run.default_build() or run.ROOT / "build").resolve()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard < args.connections + 100:
        parser.error(f"the limit on open files is {hard}")
    wanted = args.servers.split(",") if args.servers else [s.name for s in run.SERVERS]
    results, status = {}, 0
    for server in run.available([s for s in run.SERVERS if s.name in wanted], args):
        try:
            results[server.name] = measure(server, args)
        except (run.Failure, OSError) as error:
            print(f"failed: {server.name}: {error}")
            status = 1
            continue
        limit = LIMITS.get(server.name)
        missed = limit is not None and results[server.name] > limit
        print(f"{server.name:18}{results[server.name]:10.0f} B per idle connection"
              f"{f'  limit {limit}' if limit else ''}{'  MISSED' if missed else ''}", flush=True)
        if missed and args.check:
            status = 1
    if args.out:
        args.out.write_text(json.dumps(
            {"environment": run.environment(args), "connections": args.connections,
             "size": args.size, "bytes_per_idle_connection": results}, indent=1) + "\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
