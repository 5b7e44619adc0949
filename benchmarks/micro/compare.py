#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# rondo benchmarks: prints each single operation against the hand-written one.
"""Prints the table of single operations with ratios to the hand-written versions of the same run.

    compare.py                  runs the newest build's micro program (5 interleaved repetitions)
    compare.py results.json     reads what `micro --benchmark_format=json` wrote
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "net"))
import run  # noqa: E402

# operation, argument -> description, and the limit of rondo's time as a multiple of the time by hand,
# from docs/design.md. None: shown only.
OPERATIONS = {
    ("wake_up", ""): ("internal wake-up (queue, run)", 3 / 2.9),
    ("call_soon", ""): ("call_soon + run, in batches", 15 / 2.9),
    ("call_soon_chain", ""): ("call_soon, one per iteration", None),
    ("await_finished", ""): ("co_await of a coroutine that finishes", 13 / 10),
    ("future_wake_up", ""): ("future: create, set_result, wake", None),
    ("create_task", ""): ("create_task + await", 60 / 19),
    ("yield", ""): ("yield_now", 8 / 4),
    ("ping_pong", ""): ("event ping-pong, a round trip", 30 / 13),
    ("children_alone", ""): ("task that yields once, of 1,000", None),
    ("children_in_group", ""): ("the same in a task group", None),
    ("children_gathered", ""): ("the same, gathered", None),
    ("timer_add_cancel", "100000"): ("timer add + cancel, 100k outstanding", 55 / 48),
    ("timer_add_cancel", "1000000"): ("timer add + cancel, 1M outstanding", 60 / 51),
    ("timer_replace", "100000"): ("timer replaced at random, 100k", None),
    ("timer_replace", "1000000"): ("timer replaced at random, 1M", None),
    ("timer_fire", "1000000"): ("timer fired, of 1M", 300 / 268),
    ("timeout_unused", ""): ("timeout that does not fire", None),
    ("post_alone", ""): ("threadsafe post, nobody else there", 35 / 24),
    ("post_threadsafe", "500000"): ("threadsafe post from another thread", None),
}
MEMORY = {("sleeping_task", "1000000"): ("memory of a sleeping task, of 1M", 400)}
WHO = ("hand", "rondo", "asio")


def read(benchmarks):
    """{(operation, argument): {who: [ns or bytes, one per repetition]}}"""
    found = {}
    for entry in benchmarks:
        if entry.get("run_type") == "aggregate" or entry.get("error_occurred"):
            continue
        parts = entry["name"].split("/")
        if len(parts) < 2 or parts[1] not in WHO:
            continue
        argument = parts[2] if len(parts) > 2 and parts[2].isdigit() else ""
        if "bytes" in entry:
            value = entry["bytes"]
        elif entry.get("items_per_second"):
            value = 1e9 / entry["items_per_second"]
        else:
            continue
        found.setdefault((parts[0], argument), {}).setdefault(parts[1], []).append(value)
    return found


def measure(program, repetitions, quick):
    """Runs the whole program several times: repetitions are interleaved, as the noise is slow."""
    benchmarks, context = [], {}
    for _ in range(1 if quick else repetitions):
        command = [str(program), "--benchmark_format=json",
                   f"--benchmark_min_time={0.05 if quick else 0.2}"]
        if quick:
            command.append("--benchmark_filter=-(/1000000|post_threadsafe)")
        result = subprocess.run(command, capture_output=True, text=True)
        if result.returncode != 0:
            sys.exit(f"micro failed:\n{result.stderr}")
        data = json.loads(result.stdout)
        benchmarks += data["benchmarks"]
        context = data["context"]
    for key in ("executable", "host_name"):
        context.pop(key, None)
    return {"context": context, "benchmarks": benchmarks}


def print_row(title, row, unit, limit, absolute):
    def cell(who):
        if who not in row:
            return f"{'-':>24}"
        text = f"{statistics.median(row[who]):.1f} ({min(row[who]):.1f}-{max(row[who]):.1f})"
        return f"{text:>24}"

    def ratio(who):
        if who not in row or "hand" not in row:
            return f"{'-':>8}"
        return f"{statistics.median(row[who]) / statistics.median(row['hand']):8.2f}"

    verdict = ""
    if limit is not None and "rondo" in row and (absolute or "hand" in row):
        base = 1 if absolute else min(row["hand"])
        missed = min(row["rondo"]) / base > limit
        verdict = f"  limit {limit:.2f}{' MISSED' if missed else ''}"
    print(f"{title:40}{unit:>3}{cell('hand')}{cell('rondo')}{ratio('rondo')}"
          f"{cell('asio')}{ratio('asio')}{verdict}")
    return "MISSED" in verdict


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", nargs="?", type=pathlib.Path, help="JSON of the micro program")
    parser.add_argument("--build", type=pathlib.Path, help="folder with the micro program")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="one short repetition")
    parser.add_argument("--check", action="store_true", help="fail if a limit is missed")
    parser.add_argument("--out", type=pathlib.Path, help="write the JSON here")
    args = parser.parse_args()
    if args.results:
        data = json.loads(args.results.read_text())
    else:
        args.build = args.build or run.default_build()
        program = args.build / "micro" if args.build else None
        if not program or not program.exists():
            parser.error("no micro program: build with -DRONDO_BUILD_BENCHMARKS=ON, or --build")
        data = {**measure(program, args.repetitions, args.quick),
                "environment": run.environment(args)}
    if args.out:
        args.out.write_text(json.dumps(data, indent=1) + "\n")

    found = read(data["benchmarks"])
    print(f"{'median (min-max)':40}{'':>3}{'by hand':>24}{'rondo':>24}{'x hand':>8}{'Asio':>24}"
          f"{'x hand':>8}")
    missed = 0
    for key, (title, limit) in OPERATIONS.items():
        if key in found:
            missed += print_row(title, found[key], "ns", limit, False)
    for key, (title, limit) in MEMORY.items():
        if key in found:
            missed += print_row(title, found[key], "B", limit, True)
    return 1 if args.check and missed else 0


if __name__ == "__main__":
    sys.exit(main())
