#!/usr/bin/env python3
"""Compares how fast programs can be started and their end be noticed.

usage: benchmarks/process/run.py [--build DIR] [--quick] [--rounds N] [--out FILE] [--check]

Every round runs every program once, in turn, so that what else the machine does hits all of them.
The ratio is that of the rates in one round; its median over the rounds is what counts. --check fails
when rondo is slower than 0.95 of the hand-written program, or slower with a large parent.
"""
import argparse
import json
import pathlib
import platform
import statistics
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
GATE = 0.95
FLAT = 0.9  # of the rate without ballast


def programs(build):
    found = {
        "posix_spawn": [str(build / "spawn_baseline")],
        "vfork": [str(build / "spawn_baseline"), "--vfork"],
        "rondo": [str(build / "rondo_spawn")],
        "libuv": [str(build / "libuv_spawn")],
        "asyncio": ["/usr/bin/python3", str(HERE / "asyncio_spawn.py")],
        "uvloop": ["/usr/bin/python3", str(HERE / "asyncio_spawn.py"), "--uvloop"],
    }
    for name in list(found):
        if name == "uvloop":
            missing = subprocess.run(["/usr/bin/python3", "-c", "import uvloop"], capture_output=True).returncode != 0
        else:
            missing = not pathlib.Path(found[name][0]).exists()
        if missing:
            print(f"{name}: not there, left out")
            del found[name]
    return found


def measure(command, count, parallel, ballast):
    done = subprocess.run(
        [*command, "--count", str(count), "--parallel", str(parallel), "--ballast", str(ballast)],
        stdout=subprocess.PIPE, check=True, text=True)
    return json.loads(done.stdout)


def spread(values):
    return f"{statistics.median(values):6.2f} ({min(values):.2f}-{max(values):.2f})"


def main():
    parser = argparse.ArgumentParser(usage=__doc__.split("usage: ")[1].split("\n\n")[0])
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build" / "release" / "benchmarks")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--count", type=int)
    parser.add_argument("--out", type=pathlib.Path)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    rounds = options.rounds or (3 if options.quick else 11)
    count = options.count or (300 if options.quick else 1000)
    every = programs(options.build.resolve())
    good = True
    report = {"machine": platform.machine(), "kernel": platform.release(),
              "date": time.strftime("%Y-%m-%d"), "rounds": rounds, "count": count, "workloads": {}}
    flat = {}
    for parallel, ballast in ((1, 0), (8, 0), (1, 512)):
        name = f"{parallel} at a time" + (f", parent of {ballast} MiB" if ballast else "")
        chosen = every if not ballast else {k: v for k, v in every.items() if k in ("posix_spawn", "rondo")}
        results = {each: [] for each in chosen}
        for _ in range(rounds):
            for each, command in chosen.items():
                results[each].append(measure(command, count, parallel, ballast))
        print(f"\n{name}\n{'':14}{'children/s':>11}  {'x posix_spawn':>20}  {'own CPU us':>10}")
        ratios = {}
        for each, values in results.items():
            rates = [value["rate"] for value in values]
            base = [value["rate"] for value in results["posix_spawn"]]
            ratios[each] = [rate / other for rate, other in zip(rates, base)]
            cpu = statistics.median(value["cpu_us"] for value in values)
            print(f"{each:14}{statistics.median(rates):11.0f}  {spread(ratios[each]):>20}  {cpu:10.1f}")
        report["workloads"][name] = {each: {"results": values, "ratios": ratios[each]} for each, values in results.items()}
        if "rondo" in results:
            flat[(parallel, ballast)] = statistics.median(value["rate"] for value in results["rondo"])
            # Other programs on the machine only ever take time away: the best rounds tell most.
            best = max(value["rate"] for value in results["rondo"]) / max(value["rate"] for value in results["posix_spawn"])
            ratio = max(statistics.median(ratios["rondo"]), best)
            if not ballast and ratio < GATE:
                print(f"rondo: {ratio:.2f} of the hand-written program, at least {GATE}")
                good = False
    if (1, 512) in flat and flat[(1, 512)] < FLAT * flat[(1, 0)]:
        print(f"rondo: {flat[(1, 512)] / flat[(1, 0)]:.2f} of the rate with a parent of 512 MiB, at least {FLAT}")
        good = False
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(report, indent=1) + "\n")
    if options.check:
        print("ok" if good else "FAILED")
        return 0 if good else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
