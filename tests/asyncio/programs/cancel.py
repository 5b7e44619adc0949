"""Tasks and cancellation (rules 63 to 78)."""

import asyncio

from pairs import Error, cleanup, ended, fail, program, ticks, turns, work


@program()
async def tasks_start_in_order(out):
    async def say(name):
        out(name)

    tasks = [asyncio.create_task(say(name)) for name in ("a", "b", "c")]
    out("created")
    await tasks[2]
    out("awaited")
    loop = asyncio.get_running_loop()
    loop.call_soon(lambda: out(asyncio.current_task()))
    await asyncio.sleep(0)
    out(asyncio.current_task() is not None)


@program()
async def before_the_first_step(out):
    task = asyncio.create_task(work(out, "body", 0))
    out(task.cancel("early"))
    out(task.cancelled())
    out(task.cancelling())
    out(await ended(task))
    out(task.cancelled())
    out(task.cancel())
    out(task.cancelling())


@program()
async def many_requests_one_error(out):
    async def body():
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError as error:
            out("caught-" + str(error.args[0]))
        await turns(2)
        out("went-on")

    task = asyncio.create_task(body())
    await asyncio.sleep(0)
    task.cancel("one")
    task.cancel("two")
    task.cancel("three")
    out(await ended(task))
    out(task.cancelled())
    out(task.cancelling())


@program()
async def cleanup_is_interrupted(out):
    async def body():
        try:
            await asyncio.sleep(1000)
        finally:
            out("cleaning")
            await work(out, "cleanup", 5)

    task = asyncio.create_task(body())
    await asyncio.sleep(0)
    task.cancel()
    await turns(2)
    task.cancel()
    out(await ended(task))
    out(task.cancelling())


@program()
async def innermost_first(out):
    async def level(n):
        try:
            if n == 0:
                await asyncio.sleep(1000)
            else:
                await asyncio.create_task(level(n - 1))
        except asyncio.CancelledError:
            out(n)
            raise

    task = asyncio.create_task(level(3))
    asyncio.create_task(ticks(out, 9))
    await turns(5)
    task.cancel()
    out(await ended(task))


@program()
async def another_exception(out):
    async def body():
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            raise Error("instead") from None

    task = asyncio.create_task(body())
    await asyncio.sleep(0)
    task.cancel()
    out(await ended(task))
    out(task.cancelled())

    async def own():
        raise asyncio.CancelledError

    task = asyncio.create_task(own())
    out(await ended(task))
    out(task.cancelled())
    out(task.cancelling())


@program()
async def oneself(out):
    loop = asyncio.get_running_loop()

    async def suspends():
        asyncio.current_task().cancel()
        done = loop.create_future()
        done.set_result(1)
        out(await done)
        out("on")
        await asyncio.sleep(0)
        out("never")

    async def returns():
        asyncio.current_task().cancel()
        return 1

    async def raises():
        asyncio.current_task().cancel()
        raise Error("mine")

    for body in (suspends, returns, raises):
        task = asyncio.create_task(body())
        out(await ended(task))
        out(task.cancelled())


@program()
async def swallowed(out):
    async def body():
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            pass
        await asyncio.sleep(0)
        return "value"

    task = asyncio.create_task(body())
    await asyncio.sleep(0)
    task.cancel()
    out(await task)
    out(task.cancelled())
    out(task.cancelling())


@program()
async def uncancel_counts(out):
    async def body():
        me = asyncio.current_task()
        me.cancel()
        me.cancel()
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            out(me.cancelling())
        out(me.uncancel())
        out(me.uncancel())
        out(me.uncancel())
        await asyncio.sleep(0)
        out("on")

    out(await ended(asyncio.create_task(body())))


@program(since=(3, 13))
async def uncancel_withdraws(out):
    async def body():
        me = asyncio.current_task()
        me.cancel()
        out(me.uncancel())
        await asyncio.sleep(0)
        out("on")

    out(await ended(asyncio.create_task(body())))


@program()
async def completion_and_cancellation(out):
    loop = asyncio.get_running_loop()
    for first in ("result", "cancel"):
        future = loop.create_future()

        async def body(future=future):
            out(await future)

        task = asyncio.create_task(body())
        await asyncio.sleep(0)
        if first == "result":
            future.set_result("result")
            out(task.cancel())
        else:
            out(task.cancel())
            out(future.done())
        out(await ended(task))


@program()
async def slow_cleanups(out):
    tasks = [asyncio.create_task(cleanup(out, name, n)) for name, n in (("a", 3), ("b", 1), ("c", 2))]
    bad = asyncio.create_task(fail(out, "bad", 9))
    await turns(1)
    for task in tasks:
        task.cancel(task.get_name() and "stop")
    for task in tasks:
        out(await ended(task))
    out(await ended(bad))
