"""timeout and wait_for (rules 101 to 116)."""

import asyncio

from pairs import Error, describe, ended, program, turns, work


def now():
    return int(asyncio.get_running_loop().time())


@program()
async def fires(out):
    async def body():
        async with asyncio.timeout(2) as limit:
            try:
                await asyncio.sleep(10)
            except asyncio.CancelledError:
                out(limit.expired())
                out(asyncio.current_task().cancelling())
                raise

    out(await ended(body()))
    out(now())
    out(asyncio.current_task().cancelling())
    async with asyncio.timeout(2) as limit:
        await asyncio.sleep(1)
    out(limit.expired())


@program()
async def nested_inner_fires(out):
    try:
        async with asyncio.timeout(5) as outer:
            try:
                async with asyncio.timeout(2) as inner:
                    await asyncio.sleep(10)
            except TimeoutError:
                out("inner")
            out(inner.expired())
            out(outer.expired())
            await asyncio.sleep(1)
            out(now())
    except TimeoutError:
        out("outer")


@program()
async def nested_both_fire(out):
    async def inner():
        async with asyncio.timeout(1):
            try:
                await asyncio.sleep(10)
            finally:
                # Time passes while the inner one unwinds.
                try:
                    await asyncio.sleep(5)
                except asyncio.CancelledError:
                    out(asyncio.current_task().cancelling())
                    raise

    async def outer():
        async with asyncio.timeout(3):
            out(await ended(inner()))
            await asyncio.sleep(0)
            out("on")

    out(await ended(outer()))
    out(asyncio.current_task().cancelling())


@program()
async def moved(out):
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(1) as limit:
        limit.reschedule(loop.time() + 4)
        await asyncio.sleep(3)
        out(now())
        limit.reschedule(None)
        await asyncio.sleep(5)
        out(now())
        try:
            limit.reschedule(loop.time() - 1)
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            out("past")
    out(limit.expired())
    try:
        limit.reschedule(None)
    except RuntimeError:
        out("refused")


@program()
async def external_wins(out):
    async def body():
        limit = asyncio.timeout(2)
        try:
            async with limit:
                await asyncio.sleep(10)
        finally:
            out(limit.expired())
            out(asyncio.current_task().cancelling())

    task = asyncio.create_task(body())
    await asyncio.sleep(1)
    loop = asyncio.get_running_loop()
    # Both in one iteration.
    loop.call_at(loop.time() + 1, task.cancel, "outside")
    out(await ended(task))


@program()
async def swallowed(out):
    async with asyncio.timeout(1) as limit:
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            out("swallowed")
    out(limit.expired())
    out(asyncio.current_task().cancelling())
    await asyncio.sleep(0)
    out("on")


@program()
async def another_error(out):
    async def body():
        async with asyncio.timeout(1):
            try:
                await asyncio.sleep(10)
            except asyncio.CancelledError:
                raise Error("instead") from None

    out(await ended(body()))
    out(asyncio.current_task().cancelling())


@program()
async def deadline_in_the_past(out):
    async def body(delay):
        async with asyncio.timeout(delay):
            out("begins")
            await asyncio.sleep(0)
            out("never")

    out(await ended(body(0)))
    out(await ended(body(-1)))

    async def quick():
        async with asyncio.timeout(0):
            out("no-await")

    out(await ended(quick()))


@program()
async def wait_for_something(out):
    out(await asyncio.wait_for(work(out, "a", 2, 1), 1))
    out(await asyncio.wait_for(work(out, "b", 2, 2), None))
    out(await ended(asyncio.wait_for(asyncio.sleep(10), 1)))
    out(now())
    out(await ended(asyncio.wait_for(work(out, "never", 0), 0)))
    done = asyncio.get_running_loop().create_future()
    done.set_result(3)
    out(await asyncio.wait_for(done, 0))


@program()
async def wait_for_a_slow_end(out):
    async def slow():
        try:
            await asyncio.sleep(10)
        finally:
            await asyncio.sleep(3)
            out("cleaned")

    out(await ended(asyncio.wait_for(slow(), 1)))
    out(now())


@program()
async def wait_for_what_goes_on(out):
    async def stubborn():
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            return "value"

    async def failing():
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            raise Error("own") from None

    out(await asyncio.wait_for(stubborn(), 1))
    out(await ended(asyncio.wait_for(failing(), 1)))


@program()
async def wait_for_is_cancelled(out):
    inner = asyncio.create_task(asyncio.sleep(10))

    async def waits():
        out(await ended(asyncio.wait_for(inner, 5)))
        out(inner.cancelled())

    task = asyncio.create_task(waits())
    await asyncio.sleep(1)
    task.cancel("outside")
    await task


@program(since=(3, 12))
async def wait_for_loses_no_cancellation(out):
    loop = asyncio.get_running_loop()
    future = loop.create_future()

    async def waits():
        out(await ended(asyncio.wait_for(future, 5)))
        out(asyncio.current_task().cancelling())

    task = asyncio.create_task(waits())
    await turns(2)
    future.set_result(1)
    task.cancel()
    await task


@program(since=(3, 12))
async def wait_for_in_the_same_task(out):
    me = asyncio.current_task()

    async def body():
        out(asyncio.current_task() is me)

    await asyncio.wait_for(body(), 5)


@program()
async def not_entered(out):
    limit = asyncio.timeout(1)
    try:
        limit.reschedule(None)
    except RuntimeError as error:
        out(describe(error))
    async with limit:
        pass
    try:
        async with limit:
            pass
    except RuntimeError as error:
        out(describe(error))
