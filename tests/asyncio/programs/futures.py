"""Futures (rules 49 to 60, 78)."""

import asyncio

from pairs import Error, describe, ended, failure, program, ticks, turns


@program()
async def callbacks_in_order(out):
    loop = asyncio.get_running_loop()
    future = loop.create_future()
    for name in ("a", "b", "c"):
        future.add_done_callback(lambda f, name=name: out(name))

    def fails(f):
        out("fails")
        raise Error("x")

    future.add_done_callback(fails)
    future.add_done_callback(lambda f: out("d"))
    future.set_result(1)
    out("set")
    loop.call_soon(out, "soon")
    future.add_done_callback(lambda f: out("late"))
    await turns(2)


@program()
async def states(out):
    loop = asyncio.get_running_loop()
    future = loop.create_future()
    out(failure(future.result))
    out(failure(future.exception))
    future.set_result(5)
    out(future.result())
    out(failure(future.set_result, 6))
    out(failure(future.set_exception, Error("x")))
    out(future.cancel())
    gone = loop.create_future()
    out(gone.cancel("why"))
    out(gone.cancelled())
    out(await ended(gone))
    out(failure(gone.set_result, 1))


@program()
async def done_is_not_awaited(out):
    loop = asyncio.get_running_loop()
    asyncio.create_task(ticks(out, 3))
    done = loop.create_future()
    done.set_result(1)
    bad = loop.create_future()
    bad.set_exception(Error("bad"))
    out(await done)
    out(await ended(bad))

    async def direct():
        return 2

    out(await direct())
    await asyncio.sleep(0)
    out("yielded")


@program()
async def a_result_takes_an_iteration(out):
    loop = asyncio.get_running_loop()
    future = loop.create_future()

    async def waits(name):
        out(name + str(await future))

    tasks = [asyncio.create_task(waits(name)) for name in ("a", "b")]
    asyncio.create_task(ticks(out, 6))
    await turns(2)
    loop.call_soon(future.set_result, 7)
    out("scheduled")
    for task in tasks:
        await task


@program()
async def an_exception_each_time(out):
    async def fails():
        raise Error("again")

    task = asyncio.create_task(fails())
    errors = []
    for _ in range(2):
        try:
            await task
        except Error as error:
            errors.append(error)
            out(describe(error))
    out(errors[0] is errors[1])


@program()
async def shared_future_is_cancelled_for_all(out):
    loop = asyncio.get_running_loop()
    future = loop.create_future()

    async def waits(name):
        try:
            await future
        except asyncio.CancelledError:
            out(f"{name}-cancelled-{asyncio.current_task().cancelling()}")

    a = asyncio.create_task(waits("a"))
    b = asyncio.create_task(waits("b"))
    await asyncio.sleep(0)
    a.cancel()
    out(future.cancelled())
    await a
    await b


@program()
async def removed_callbacks(out):
    loop = asyncio.get_running_loop()
    future = loop.create_future()

    def twice(f):
        out("twice")

    future.add_done_callback(twice)
    future.add_done_callback(lambda f: out("kept"))
    out(future.remove_done_callback(twice))
    future.set_result(None)
    await asyncio.sleep(0)
    out(future.remove_done_callback(twice))
