#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# rondo benchmarks: runs the echo servers in interleaved rounds and writes one JSON of results.
"""Compares echo servers with the hand-written one, in the same run.

Timed part: in each round every server runs once, in changing order, pinned to one core, the load
generator on another. Server CPU per request is the difference of the server's own resource usage
around the measured requests; its ratio is taken to the baseline of the same round.

Exact part: system calls, user instructions and allocations per request do not depend on the
machine's noise. They are differences: (count with R2 requests - count with R1) / (R2 - R1).
"""

import argparse
import dataclasses
import datetime
import json
import os
import pathlib
import platform
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PYTHON = "/usr/bin/python3"  # Debian's, which sees the packaged uvloop
PEERS = HERE.parent / "peers"


@dataclasses.dataclass(frozen=True)
class Server:
    name: str
    command: tuple  # a first word without a slash is a program of the build
    env: dict = dataclasses.field(default_factory=dict)
    group: str = "peer"
    needs: str = ""  # a Python module


BASELINE = "epoll_c"
SERVERS = [
    Server(BASELINE, ("epoll_server",), group="baseline"),
    Server("rondo_protocol", ("rondo_protocol",), {"RONDO_LOOP": "epoll"}, "rondo"),
    Server("rondo_streams", ("rondo_streams",), {"RONDO_LOOP": "epoll"}, "rondo"),
    Server("rondo_streams_drain", ("rondo_streams_drain",), {"RONDO_LOOP": "epoll"}, "rondo"),
    Server("asio_callbacks", ("asio_callbacks",)),
    Server("asio_coroutines", ("asio_coroutines",)),
    Server("libuv_try_write", ("libuv_try_write",)),
    Server("libuv_write", ("libuv_write",)),
    Server("libevent", ("libevent_server",)),
    Server("uvloop_protocol", (PYTHON, str(PEERS / "asyncio_server.py"), "--uvloop"),
           needs="uvloop"),
    Server("uvloop_streams", (PYTHON, str(PEERS / "asyncio_server.py"), "--uvloop", "--streams"),
           needs="uvloop"),
    Server("asyncio_protocol", (PYTHON, str(PEERS / "asyncio_server.py"))),
    Server("asyncio_streams", (PYTHON, str(PEERS / "asyncio_server.py"), "--streams")),
]


@dataclasses.dataclass(frozen=True)
class Workload:
    connections: int
    size: int = 64
    pipeline: int = 1

    @property
    def name(self):
        text = f"{self.connections} x {self.size} B"
        return text if self.pipeline == 1 else f"{text}, pipelined {self.pipeline}"


WORKLOADS = [Workload(1), Workload(50), Workload(1000), Workload(50, 65536), Workload(50, 64, 16)]

# Upper limits of the exact counters, (connections -> limit); see docs/design.md.
SYSCALL_LIMITS = {1: 3.01, 50: 2.10}
INSTRUCTION_LIMITS = {"rondo_protocol": 350, "rondo_streams": 700}
ALLOCATION_LIMIT = 0.0005


class Failure(Exception):
    pass


# ---- running a server and a load ----------------------------------------------------------------

class Running:
    """A started server."""

    def __init__(self, server, args, wrapper=(), env=None, timeout=20):
        command = list(server.command)
        if "/" not in command[0]:
            command[0] = str(args.build / command[0])
        full_env = {**os.environ, **server.env, **(env or {})}
        self.log = tempfile.TemporaryFile("w+")
        self.name = server.name
        self.process = subprocess.Popen(
            [*wrapper, *command, "--port", "0", "--cpu", str(args.server_cpu)],
            stdout=subprocess.PIPE, stderr=self.log, text=True, env=full_env)
        try:
            line = self.line(timeout)
            if not line.startswith("READY "):
                raise Failure(f"{server.name}: expected READY, got {line!r}{self.errors()}")
            self.port = int(line.split()[1])
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise

    def errors(self):
        self.log.seek(0)
        text = self.log.read().strip()
        return f"\n{text[-2000:]}" if text else ""

    def line(self, timeout=20):
        return read_line(self.process, timeout, self.name)

    def cpu(self):
        self.process.send_signal(signal.SIGUSR1)
        use = json.loads(self.line())
        return use["user"] + use["sys"]

    def stop(self, timeout=20):
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise Failure(f"{self.name}: did not stop on SIGTERM") from None
        finally:
            self.process.stdout.close()
        if code != 0:
            raise Failure(f"{self.name}: exit code {code}{self.errors()}")
        self.log.close()

    def __enter__(self):
        return self

    def __exit__(self, kind, value, traceback):
        if kind is None:
            return self.stop()
        self.process.kill()
        self.process.wait()
        return None


def read_line(process, timeout, name):
    """Reads one line that the program flushed, or fails after `timeout` seconds."""
    import select
    text = b""
    fd = process.stdout.fileno()
    end = time.monotonic() + timeout
    while not text.endswith(b"\n"):
        ready, _, _ = select.select([fd], [], [], max(0, end - time.monotonic()))
        if not ready:
            raise Failure(f"{name}: no answer within {timeout} s")
        byte = os.read(fd, 1)
        if not byte:
            raise Failure(f"{name}: ended before it answered (exit code {process.wait()})")
        text += byte
    return text.decode().strip()


def load_command(args, port, workload, *more):
    return [str(args.build / "load"), "--port", str(port), "--cpu", str(args.load_cpu),
            "--connections", str(workload.connections), "--size", str(workload.size),
            "--pipeline", str(workload.pipeline), *map(str, more)]


def plain_load(args, port, workload, requests, wrapper=()):
    result = subprocess.run([*wrapper, *load_command(args, port, workload, "--requests", requests)],
                            capture_output=True, text=True)
    if result.returncode != 0:
        raise Failure(f"load: {result.stderr.strip()}")
    return json.loads(result.stdout)


class SyncedLoad:
    """A load that stops between warm-up and measurement, so that the driver can look around."""

    def __init__(self, args, port, workload, *amount, warmup):
        self.process = subprocess.Popen(
            load_command(args, port, workload, *amount, "--warmup", warmup, "--sync"),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        line = read_line(self.process, 60, "load")
        if line != "WARM":
            raise Failure(f"load: expected WARM, got {line!r}")

    def run(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return json.loads(read_line(self.process, 120, "load"))

    def close(self):
        self.process.stdin.close()
        self.process.wait(20)
        self.process.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, kind, value, traceback):
        if kind is not None:
            self.process.kill()
        self.close()


def warmup_for(workload):
    return max(2000 if workload.size <= 4096 else 200, 4 * workload.connections)


# ---- the timed part -----------------------------------------------------------------------------

def timed_round(args, server, workload):
    with Running(server, args) as running:
        with SyncedLoad(args, running.port, workload, "--seconds", args.seconds,
                        warmup=warmup_for(workload)) as load:
            before = running.cpu()
            result = load.run()
            result["cpu_us"] = (running.cpu() - before) / result["requests"] * 1e6
    return result


def spread(values):
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def timed(args, servers, workload):
    rounds = {server.name: [] for server in servers}
    for number in range(args.rounds):
        turn = number % len(servers)
        for server in servers[turn:] + servers[:turn]:
            rounds[server.name].append(timed_round(args, server, workload))
    table = {}
    for name, results in rounds.items():
        row = {key: spread([r[key] for r in results])
               for key in ("cpu_us", "requests_per_second", "p50", "p99", "p999", "max")}
        if BASELINE in rounds:
            pairs = list(zip(results, rounds[BASELINE]))
            row["cpu_ratio"] = spread([a["cpu_us"] / b["cpu_us"] for a, b in pairs])
            # Other programs only ever add time, so the least of many rounds is the cleanest.
            row["cpu_ratio_of_minima"] = (min(a["cpu_us"] for a, _ in pairs) /
                                          min(b["cpu_us"] for _, b in pairs))
            row["p999_ratio"] = spread([a["p999"] / b["p999"] for a, b in pairs])
        row["rounds"] = [{key: round(r[key], 4) for key in
                          ("cpu_us", "requests_per_second", "p50", "p99", "p999", "max")}
                         for r in results]
        table[name] = row
    return table


# ---- the exact part -----------------------------------------------------------------------------

def count_syscalls_once(args, running, workload, requests):
    with tempfile.NamedTemporaryFile("r", suffix=".csv") as out:
        if args.syscall_counter == "perf":
            plain_load(args, running.port, workload, requests, wrapper=(
                "perf", "stat", "-x", ",", "-o", out.name, "-e", "raw_syscalls:sys_enter",
                "-p", str(running.process.pid), "--"))
            for line in out.read().splitlines():
                if "raw_syscalls:sys_enter" in line:
                    return int(line.split(",")[0])
            raise Failure("perf: no count of raw_syscalls:sys_enter")
        tracer = subprocess.Popen(["strace", "-c", "-f", "-o", out.name, "-p",
                                   str(running.process.pid)], stderr=subprocess.PIPE, text=True)
        tracer.stderr.readline()  # "Process N attached"
        plain_load(args, running.port, workload, requests)
        tracer.send_signal(signal.SIGINT)
        tracer.wait()
        tracer.stderr.close()
        for line in out.read().splitlines():
            if line.endswith(" total"):
                # "100.00  0.0123  usecs  calls [errors]  total": the time columns vary by version
                columns = [c for c in line.split()[:-1] if c.isdigit()]
                return int(columns[-2] if len(columns) > 2 else columns[-1])
        raise Failure("strace: no total")


def syscalls_per_request(args, server, connections):
    few, many = args.syscall_requests[connections]
    workload = Workload(connections)
    with Running(server, args) as running:
        plain_load(args, running.port, workload, few)  # first use of everything
        low = count_syscalls_once(args, running, workload, few)
        high = count_syscalls_once(args, running, workload, many)
    return (high - low) / (many - few)


def instructions_once(args, server, workload, requests):
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "callgrind.out"
        wrapper = ("valgrind", "--tool=callgrind", f"--callgrind-out-file={out}")
        with Running(server, args, wrapper, timeout=120) as running:
            plain_load(args, running.port, workload, requests)
        match = re.search(r"^(?:summary|totals): (\d+)", out.read_text(), re.M)
    if not match:
        raise Failure("callgrind: no total")
    return int(match.group(1))


def instructions_per_request(args, server, connections):
    few, many = args.instruction_requests
    workload = Workload(connections)
    return (instructions_once(args, server, workload, many) -
            instructions_once(args, server, workload, few)) / (many - few)


def allocations_per_request(args, server, connections):
    workload = Workload(connections)
    with tempfile.TemporaryDirectory() as folder:
        report = pathlib.Path(folder) / "allocations"
        env = {"LD_PRELOAD": str(args.build / "libcount_alloc.so"),
               "COUNT_ALLOC_FILE": str(report), "PYTHONMALLOC": "malloc"}

        def count(running, lines):
            running.process.send_signal(signal.SIGUSR2)
            end = time.monotonic() + 10
            while time.monotonic() < end:
                text = report.read_text() if report.exists() else ""
                if text.count("\n") >= lines:
                    return int(text.splitlines()[-1].split()[1])
                time.sleep(0.01)
            raise Failure("no allocation report")

        with Running(server, args, env=env) as running:
            with SyncedLoad(args, running.port, workload, "--requests",
                            args.allocation_requests, warmup=warmup_for(workload)) as load:
                before = count(running, 1)
                requests = load.run()["requests"]
                return (count(running, 2) - before) / requests


def exact(args, server):
    row = {"syscalls": {}, "instructions": {}, "allocations": {}}
    if args.syscall_counter:
        for connections in args.syscall_requests:
            row["syscalls"][connections] = syscalls_per_request(args, server, connections)
    if shutil.which("valgrind"):
        for connections in args.instruction_connections:
            row["instructions"][connections] = instructions_per_request(args, server, connections)
    row["allocations"][50] = allocations_per_request(args, server, 50)
    return row


def check(results):
    """Returns the exact gates that rondo's servers miss."""
    missed = []
    for name, row in results["exact"].items():
        if name not in INSTRUCTION_LIMITS:
            continue
        gates = [("system calls", row["syscalls"], SYSCALL_LIMITS),
                 ("instructions", row["instructions"], {50: INSTRUCTION_LIMITS[name]}),
                 ("allocations", row["allocations"], {50: ALLOCATION_LIMIT})]
        for what, measured, limits in gates:
            for connections, limit in limits.items():
                if connections in measured and measured[connections] > limit:
                    missed.append(f"{name}: {measured[connections]:.4g} {what} per request at "
                                  f"{connections} connections, limit {limit:g}")
    return missed


# ---- what was measured, and the report ----------------------------------------------------------

def output_of(*command):
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True,
                              cwd=ROOT).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def environment(args):
    cpuinfo = pathlib.Path("/proc/cpuinfo").read_text()
    model = re.search(r"model name\s*: (.*)", cpuinfo)
    memory = re.search(r"MemTotal:\s*(\d+)", pathlib.Path("/proc/meminfo").read_text())
    info = args.build / "build_info.json"
    build = json.loads(info.read_text()) if info.exists() else {}
    versions = {"libuv": output_of("pkg-config", "--modversion", "libuv"),
                "libevent": output_of("pkg-config", "--modversion", "libevent"),
                "asio": output_of("dpkg-query", "-W", "-f", "${Version}", "libasio-dev"),
                "liburing": output_of("pkg-config", "--modversion", "liburing"),
                "python": output_of(PYTHON, "-c", "import platform as p;print(p.python_version())"),
                "uvloop": output_of(PYTHON, "-c", "import uvloop;print(uvloop.__version__)"),
                "glibc": platform.libc_ver()[1]}
    return {"date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
            "commit": output_of("git", "rev-parse", "HEAD"),
            "dirty": bool(output_of("git", "status", "--porcelain", "--untracked-files=no")),
            "machine": {"cpu": model.group(1) if model else platform.machine(),
                        "cores": os.cpu_count(),
                        "memory_mib": int(memory.group(1)) // 1024 if memory else 0},
            "kernel": platform.release(), "build": build,
            "versions": {name: version for name, version in versions.items() if version},
            "load_average": os.getloadavg()}


def available(servers, args):
    found = []
    for server in servers:
        if "/" not in server.command[0]:
            missing = not (args.build / server.command[0]).exists()
        else:
            module = server.needs or "asyncio"
            missing = subprocess.run([server.command[0], "-c", f"import {module}"],
                                     capture_output=True).returncode != 0 \
                if os.path.exists(server.command[0]) else True
        if missing:
            print(f"left out: {server.name} (not built or not installed)", flush=True)
        else:
            found.append(server)
    return found


def print_timed(workload, table):
    print(f"\n{workload.name}\n{'server':18}{'CPU us/request':>24}{'x baseline':>22}"
          f"{'of minima':>11}{'requests/s':>12}{'p50':>9}{'p99':>9}{'p99.9 us':>10}{'x':>7}")
    for name, row in table.items():
        cpu, ratio = row["cpu_us"], row.get("cpu_ratio")
        ratio_text = (f"{ratio['median']:.3f} ({ratio['min']:.2f}-{ratio['max']:.2f})"
                      if ratio else "")
        tail = f"{row['p999_ratio']['median']:.2f}" if ratio else ""
        least = f"{row['cpu_ratio_of_minima']:.3f}" if ratio else ""
        cpu_text = f"{cpu['median']:.2f} ({cpu['min']:.2f}-{cpu['max']:.2f})"
        print(f"{name:18}{cpu_text:>24}{ratio_text:>22}{least:>11}"
              f"{row['requests_per_second']['median']:12.0f}{row['p50']['median']:9.0f}"
              f"{row['p99']['median']:9.0f}{row['p999']['median']:10.0f}{tail:>7}", flush=True)


def print_exact_header():
    print(f"\n{'per request':18}{'system calls, 1 / 50':>24}{'user instructions, 1 / 50':>30}"
          f"{'allocations':>14}")


def print_exact(name, row):
    def pair(values, digits):
        return " / ".join(f"{values[c]:.{digits}f}" if c in values else "-" for c in (1, 50))
    print(f"{name:18}{pair(row['syscalls'], 2):>24}{pair(row['instructions'], 0):>30}"
          f"{row['allocations'][50]:14.4f}", flush=True)


def default_build():
    candidates = [p.parent for p in ROOT.glob("build*/**/benchmarks/load")]
    return max(candidates, key=lambda p: (p / "load").stat().st_mtime, default=None)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=pathlib.Path,
                        help="folder with the benchmark programs (default: the newest build*)")
    parser.add_argument("--servers", help="comma-separated names (default: all)")
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--seconds", type=float, default=1.0, help="measured time per round")
    parser.add_argument("--server-cpu", type=int, default=0)
    parser.add_argument("--load-cpu", type=int, default=1)
    parser.add_argument("--quick", action="store_true",
                        help="baseline and rondo only, few rounds, less than a minute")
    parser.add_argument("--connections", help="time only workloads with these connection counts")
    parser.add_argument("--skip-timed", action="store_true", help="exact counters only")
    parser.add_argument("--skip-exact", action="store_true", help="timed rounds only")
    parser.add_argument("--check", action="store_true",
                        help="fail if rondo misses a gate of the exact counters")
    parser.add_argument("--out", type=pathlib.Path, help="results file ('-': none)")
    args = parser.parse_args()
    args.build = (args.build or default_build() or ROOT / "build").resolve()
    if not (args.build / "load").exists():
        parser.error("no load generator found: build with -DRONDO_BUILD_BENCHMARKS=ON, or --build")
    wanted = args.servers.split(",") if args.servers else [s.name for s in SERVERS]
    unknown = set(wanted) - {s.name for s in SERVERS}
    if unknown:
        parser.error(f"unknown servers {sorted(unknown)}; known: {[s.name for s in SERVERS]}")
    args.workloads = list(WORKLOADS)
    args.syscall_requests = {1: (2000, 12000), 50: (50_000, 350_000)}
    args.instruction_requests = (2000, 12000)
    args.instruction_connections = (1, 50)
    args.allocation_requests = 20000
    if args.quick:
        if not args.servers:
            wanted = [s.name for s in SERVERS if s.group != "peer"]
        args.rounds, args.seconds = min(args.rounds, 3), min(args.seconds, 0.4)
        args.workloads = [Workload(50), Workload(1000)]
        args.syscall_requests = {1: (1000, 6000), 50: (20_000, 140_000)}
        args.instruction_requests = (1000, 5000)
        args.instruction_connections = (50,)
    if args.connections:
        keep = {int(c) for c in args.connections.split(",")}
        args.workloads = [w for w in args.workloads if w.connections in keep]
    args.selected = [s for s in SERVERS if s.name in wanted]
    tracepoint = shutil.which("perf") and subprocess.run(
        ["perf", "stat", "-e", "raw_syscalls:sys_enter", "true"], capture_output=True,
        text=True)
    if tracepoint and tracepoint.returncode == 0 and "not supported" not in tracepoint.stderr:
        args.syscall_counter = "perf"
    else:
        args.syscall_counter = "strace" if shutil.which("strace") else ""
    return args


def main():
    args = parse_arguments()
    servers = available(args.selected, args)
    if os.cpu_count() < 2:
        print("warning: one core only; server and load share it", flush=True)
    results = {"environment": environment(args),
               "settings": {"rounds": args.rounds, "seconds": args.seconds,
                            "server_cpu": args.server_cpu, "load_cpu": args.load_cpu,
                            "syscall_counter": args.syscall_counter, "quick": args.quick},
               "exact": {}, "timed": []}
    failures = []
    if not args.skip_exact:
        print_exact_header()
        for server in servers:
            try:
                results["exact"][server.name] = exact(args, server)
                print_exact(server.name, results["exact"][server.name])
            except (Failure, OSError, ValueError) as error:
                failures.append(f"{server.name}: {error}")
    if not args.skip_timed:
        for workload in args.workloads:
            try:
                table = timed(args, servers, workload)
            except (Failure, OSError, ValueError) as error:
                failures.append(f"{workload.name}: {error}")
                continue
            print_timed(workload, table)
            results["timed"].append({**dataclasses.asdict(workload), "servers": table})
    missed = check(results)
    results["gates_missed"], results["failures"] = missed, failures
    if str(args.out) != "-":
        folder = HERE.parent / "results"
        folder.mkdir(exist_ok=True)
        stamp = results["environment"]["date"][:19].replace(":", "").replace("-", "")
        out = args.out or folder / f"net-{stamp}.json"
        out.write_text(json.dumps(results, indent=1) + "\n")
        print(f"\nwrote {out}")
    for line in missed:
        print(f"gate missed: {line}")
    for line in failures:
        print(f"failed: {line}")
    return 1 if failures or (args.check and missed) else 0


if __name__ == "__main__":
    sys.exit(main())
