"""Coroutines from other threads, here from the loop's own: the order is the same (rules 27, 62)."""

import asyncio

from pairs import cleanup, ended, fail, program, ticks, turns, work


@program()
async def run_from_a_thread(out):
    loop = asyncio.get_running_loop()
    asyncio.create_task(ticks(out, 7))
    result = asyncio.run_coroutine_threadsafe(work(out, "body", 1, 5), loop)
    while not result.done():
        await asyncio.sleep(0)
    out(result.result())


@program()
async def cancelled_from_a_thread(out):
    loop = asyncio.get_running_loop()
    result = asyncio.run_coroutine_threadsafe(cleanup(out, "body", 2), loop)
    await turns(3)
    out(result.cancel())
    out(result.cancelled())
    await turns(6)
    out(len(asyncio.all_tasks()))


@program()
async def wrapped(out):
    loop = asyncio.get_running_loop()
    out(await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work(out, "a", 1, 5), loop)))
    out(await ended(asyncio.wrap_future(asyncio.run_coroutine_threadsafe(fail(out, "b", 1), loop))))
    remote = asyncio.run_coroutine_threadsafe(cleanup(out, "c", 0), loop)
    here = asyncio.wrap_future(remote)
    await turns(3)
    here.cancel()
    await turns(1)
    out(remote.cancelled())
    await turns(5)
