"""Callbacks and timers (rules 4 to 11, 85)."""

import asyncio

from pairs import ended, program, turns


@program()
async def soon_before_later(out):
    loop = asyncio.get_running_loop()
    loop.call_later(0, out, "later0")
    loop.call_later(-1, out, "later-1")
    loop.call_soon(out, "soon1")
    loop.call_soon(loop.call_soon, out, "nested")
    loop.call_soon(out, "soon2")
    for _ in range(3):
        await asyncio.sleep(0)
        out("|")


@program()
async def deadlines(out):
    loop = asyncio.get_running_loop()
    begin = loop.time()
    loop.call_at(begin + 3, out, "3")
    loop.call_later(1, out, "1")
    cancelled = loop.call_at(begin + 2, out, "2")
    loop.call_at(begin + 5, out, "5")
    loop.call_at(begin - 1, out, "past")
    cancelled.cancel()
    await asyncio.sleep(4)
    out(int(loop.time() - begin))
    await asyncio.sleep(4)
    out(int(loop.time() - begin))


@program()
async def cancelled_in_the_same_batch(out):
    loop = asyncio.get_running_loop()
    handles = []

    def first():
        out("first")
        handles[0].cancel()

    loop.call_soon(first)
    handles.append(loop.call_soon(out, "never"))
    loop.call_soon(out, "last")
    await turns(2)
    out(handles[0].cancelled())


@program()
async def handles_after_their_turn(out):
    loop = asyncio.get_running_loop()
    begin = loop.time()
    handle = loop.call_later(2, out, "ran")
    out(int(handle.when() - begin))
    await asyncio.sleep(3)
    out(handle.cancelled())
    handle.cancel()
    handle.cancel()
    out(handle.cancelled())
    out(int(handle.when() - begin))


@program()
async def sleeps(out):
    loop = asyncio.get_running_loop()
    begin = loop.time()

    async def sleeper(name, delay):
        out(await asyncio.sleep(delay, name))

    tasks = [asyncio.create_task(sleeper(name, delay)) for name, delay in (("a", 2), ("b", 0), ("c", -1), ("d", 1))]
    await asyncio.sleep(0)
    out("|")
    await asyncio.sleep(0)
    out("|")
    for task in tasks:
        await task
    out(int(loop.time() - begin))


@program()
async def cancelled_sleep(out):
    loop = asyncio.get_running_loop()
    begin = loop.time()
    task = asyncio.create_task(asyncio.sleep(10))
    loop.call_later(1, task.cancel)
    out(await ended(task))
    out(int(loop.time() - begin))
