#!/usr/bin/env python3
"""Starting programs with asyncio, or with uvloop (--uvloop); otherwise as spawn_common.h says."""
import argparse
import asyncio
import json
import resource
import time

parser = argparse.ArgumentParser()
parser.add_argument("--count", type=int, default=1000)
parser.add_argument("--parallel", type=int, default=1)
parser.add_argument("--ballast", type=int, default=0)
parser.add_argument("--program", default="/bin/true")
parser.add_argument("--uvloop", action="store_true")
arguments = parser.parse_args()

memory = bytearray(arguments.ballast << 20)
for at in range(0, len(memory), 4096):
    memory[at] = 1
started = 0


async def lane():
    global started
    while started < arguments.count:
        started += 1
        child = await asyncio.create_subprocess_exec(arguments.program)
        assert await child.wait() == 0


async def main():
    await asyncio.gather(*(lane() for _ in range(arguments.parallel)))


if arguments.uvloop:
    import uvloop

    uvloop.install()
else:
    # What asyncio itself prefers from Python 3.12 on; before, it starts a thread for each child.
    asyncio.get_event_loop_policy().set_child_watcher(asyncio.PidfdChildWatcher())

begin = time.monotonic()
asyncio.run(main())
seconds = time.monotonic() - begin


def cpu(who):
    used = resource.getrusage(who)
    return (used.ru_utime + used.ru_stime) * 1e6 / arguments.count


print(json.dumps({"rate": arguments.count / seconds, "cpu_us": cpu(resource.RUSAGE_SELF), "children_us": cpu(resource.RUSAGE_CHILDREN)}))
