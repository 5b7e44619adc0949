"""Handles SIGINT and SIGTERM in the loop."""
import asyncio
import functools
import os
import signal


async def main():
    loop = asyncio.get_running_loop()
    left = {"SIGINT", "SIGTERM"}
    done = loop.create_future()
    for name in ("SIGINT", "SIGTERM"):
        loop.add_signal_handler(getattr(signal, name), functools.partial(handle, name, left, done))
    os.kill(os.getpid(), signal.SIGINT)
    await asyncio.sleep(0.1)
    os.kill(os.getpid(), signal.SIGTERM)
    await done
    print("exit")


def handle(name, left, done):
    print(f"got signal {name}", flush=True)
    left.discard(name)
    if not left:
        done.set_result(None)


asyncio.run(main())
