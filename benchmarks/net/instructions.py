#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# rondo benchmarks: which functions of a server the user instructions of a request are spent in.
"""Prints callgrind's instructions per request by function, as a difference of two runs.

The same count as run.py's column, taken apart: starting, connecting and stopping cancel out.
"""

import argparse
import collections
import pathlib
import re
import tempfile

import run


def by_function(args, server, workload, requests):
    """Self cost of each function in one run."""
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "callgrind.out"
        wrapper = ("valgrind", "--tool=callgrind", f"--callgrind-out-file={out}")
        with run.Running(server, args, wrapper, timeout=120) as running:
            run.plain_load(args, running.port, workload, requests)
        return self_costs(out.read_text())


def self_costs(text):
    """Parses callgrind's format: names are given once, and numbered from then on."""
    names, costs = {}, collections.Counter()
    function, called = "", False
    for line in text.splitlines():
        match = re.match(r"(c?)fn=\((\d+)\)(?: (.*))?", line)
        if match:
            if match[3]:
                names[match[2]] = match[3]
            if not match[1]:
                function = names[match[2]]
        elif line.startswith("calls="):
            called = True  # the next line is the cost of what was called
        elif cost := re.fullmatch(r"[-+]?[\d*]\d* (\d+)", line):
            if not called:
                costs[function] += int(cost[1])
            called = False
    return costs


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("server", choices=[s.name for s in run.SERVERS])
    parser.add_argument("--build", type=pathlib.Path, help="folder with the benchmark programs")
    parser.add_argument("--connections", type=int, default=50)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--pipeline", type=int, default=1)
    parser.add_argument("--requests", type=int, nargs=2, default=(2000, 12000))
    parser.add_argument("--server-cpu", type=int, default=0)
    parser.add_argument("--load-cpu", type=int, default=1)
    args = parser.parse_args()
    args.build = (args.build or run.default_build() or run.ROOT / "build").resolve()
    return args


def main():
    args = parse_arguments()
    server = next(s for s in run.SERVERS if s.name == args.server)
    workload = run.Workload(args.connections, args.size, args.pipeline)
    few, many = args.requests
    low = by_function(args, server, workload, few)
    high = by_function(args, server, workload, many)
    difference = {name: (high[name] - low[name]) / (many - few) for name in high}
    print(f"{sum(difference.values()):9.1f}  {server.name}, {workload.name}")
    for name, cost in sorted(difference.items(), key=lambda item: -item[1]):
        if cost >= 0.5:
            print(f"{cost:9.1f}  {name}")


if __name__ == "__main__":
    main()
