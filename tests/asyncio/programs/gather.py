"""gather, wait, as_completed and shield (rules 56, 86 to 98)."""

import asyncio

from pairs import cleanup, describe, ended, fail, program, ticks, turns, work


@program()
async def results_in_order(out):
    asyncio.create_task(ticks(out, 7))
    results = await asyncio.gather(work(out, "a", 3, 1), work(out, "b", 1, 2), work(out, "c", 2, 3))
    out(results)
    task = asyncio.create_task(work(out, "once", 0, 4))
    out(await asyncio.gather(task, task))
    out(await asyncio.gather())


@program()
async def trivial_children(out):
    asyncio.create_task(ticks(out, 5))
    await asyncio.sleep(0)
    await asyncio.gather(work(out, "a", 0), work(out, "b", 0))
    out("gathered")


@program()
async def first_error(out):
    asyncio.create_task(ticks(out, 9))
    slow = asyncio.create_task(work(out, "slow", 6))
    out(await ended(asyncio.gather(slow, fail(out, "x", 2), fail(out, "y", 1), fail(out, "z", 4))))
    out(slow.done())
    await slow
    out("end")


@program()
async def settled(out):
    gone = asyncio.create_task(asyncio.sleep(1000))
    await asyncio.sleep(0)
    gone.cancel()
    results = await asyncio.gather(work(out, "a", 2, 1), fail(out, "b", 1), gone, return_exceptions=True)
    for each in results:
        out(describe(each) if isinstance(each, BaseException) else each)


@program()
async def cancelled_from_outside(out):
    asyncio.create_task(ticks(out, 12))

    async def parent():
        try:
            await asyncio.gather(cleanup(out, "slow", 6), cleanup(out, "fast", 2))
        except asyncio.CancelledError as error:
            out("parent-" + describe(error))
            out(asyncio.current_task().cancelling())

    task = asyncio.create_task(parent())
    await turns(3)
    task.cancel("stop")
    await task
    out("parent-done")
    await turns(6)


@program()
async def settled_cancelled_from_outside(out):
    task = asyncio.ensure_future(
        asyncio.gather(cleanup(out, "slow", 4), cleanup(out, "fast", 1), work(out, "c", 0), return_exceptions=True))
    await turns(3)
    out(task.cancel())
    out(await ended(task))
    out(task.cancelled())


@program()
async def child_cancelled_alone(out):
    child = asyncio.create_task(asyncio.sleep(1000))
    outer = asyncio.gather(child, work(out, "sibling", 5))
    await asyncio.sleep(0)
    child.cancel("child")
    out(await ended(outer))
    out(outer.cancelled())
    out(asyncio.current_task().cancelling())
    out(outer.cancel())
    await turns(5)


@program(since=(3, 12))
async def done_at_the_call(out):
    loop = asyncio.get_running_loop()
    one = loop.create_future()
    one.set_result(1)
    outer = asyncio.gather(one, one)
    out(outer.done())
    bad = loop.create_future()
    bad.cancel()
    outer = asyncio.gather(loop.create_future(), bad)
    out(outer.done())
    out(describe(outer.exception()))


@program()
async def nested(out):
    asyncio.create_task(ticks(out, 8))
    inner = asyncio.gather(cleanup(out, "a", 0), cleanup(out, "b", 1))
    outer = asyncio.gather(inner, cleanup(out, "c", 2))
    await turns(2)
    outer.cancel()
    out(await ended(outer))
    await turns(2)


@program()
async def wait_for_the_first(out):
    asyncio.create_task(ticks(out, 6))
    tasks = [asyncio.create_task(work(out, name, n)) for name, n in (("a", 3), ("b", 1), ("c", 4))]
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    out([tasks.index(each) for each in done])
    out(sorted(tasks.index(each) for each in pending))
    done, pending = await asyncio.wait(tasks)
    out(len(done))
    out(len(pending))


@program()
async def wait_until_an_exception(out):
    tasks = [asyncio.create_task(each) for each in
             (work(out, "a", 9), work(out, "b", 9), fail(out, "bad", 3), work(out, "c", 0))]
    await asyncio.sleep(0)
    tasks[1].cancel()
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    out(sorted(tasks.index(each) for each in done))
    out([tasks.index(each) for each in pending])
    await tasks[0]


@program()
async def wait_with_a_timeout(out):
    loop = asyncio.get_running_loop()
    begin = loop.time()
    tasks = [asyncio.create_task(asyncio.sleep(n)) for n in (1, 5)]
    done, pending = await asyncio.wait(tasks, timeout=2)
    out(int(loop.time() - begin))
    out(len(done))
    out([each.cancelling() for each in pending])
    done, pending = await asyncio.wait(tasks, timeout=0)
    out(len(done))
    out(int(loop.time() - begin))
    out(await ended(asyncio.wait([])))


@program()
async def wait_that_is_cancelled(out):
    task = asyncio.create_task(work(out, "a", 5))

    async def waits():
        out("wait-" + await ended(asyncio.wait([task])))

    waiting = asyncio.create_task(waits())
    await turns(2)
    waiting.cancel()
    await waiting
    out(task.cancelling())
    await task
    asyncio.create_task(ticks(out, 4))
    await asyncio.wait([task])
    out("suspended")


@program()
async def as_they_complete(out):
    coroutines = [work(out, name, n, name + "!") for name, n in (("a", 5), ("b", 1), ("c", 3), ("d", 1))]
    tasks = [asyncio.create_task(each) for each in coroutines]
    for each in asyncio.as_completed(tasks):
        out(await each)


@program()
async def as_they_complete_in_time(out):
    loop = asyncio.get_running_loop()
    begin = loop.time()
    tasks = [asyncio.create_task(asyncio.sleep(n, n)) for n in (3, 1)]
    outcomes = []
    for each in asyncio.as_completed(tasks, timeout=2):
        try:
            outcomes.append(await each)
        except TimeoutError:
            outcomes.append("timeout")
            break
    out(outcomes)
    out(int(loop.time() - begin))
    out(tasks[0].done())
    out(await tasks[0])


@program(since=(3, 13))
async def the_futures_themselves(out):
    tasks = [asyncio.create_task(work(out, name, n)) for name, n in (("a", 2), ("b", 0))]
    async for each in asyncio.as_completed(tasks):
        out(tasks.index(each))
        out(each.done())


@program()
async def shield_from_outside(out):
    asyncio.create_task(ticks(out, 9))
    inner = asyncio.create_task(work(out, "inner", 5, 3))

    async def parent():
        out("parent-" + await ended(asyncio.shield(inner)))
        out(asyncio.current_task().cancelling())

    task = asyncio.create_task(parent())
    await turns(2)
    task.cancel("away")
    await task
    out(inner.cancelling())
    out(await inner)


@program()
async def shield_from_inside(out):
    inner = asyncio.create_task(asyncio.sleep(1000))
    outer = asyncio.shield(inner)
    await asyncio.sleep(0)
    inner.cancel()
    out(await ended(outer))
    out(outer.cancelled())
    out(asyncio.current_task().cancelling())


@program()
async def shield_of_what_is_done(out):
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    done.set_result(1)
    out(asyncio.shield(done) is done)
    pending = loop.create_future()
    outer = asyncio.shield(pending)
    out(outer is pending)
    pending.set_result(2)
    out(outer.done())
    await asyncio.sleep(0)
    out(outer.done())
    out(await outer)
    out(await ended(asyncio.shield(fail(out, "bad", 1))))


@program()
async def ensure_future_is_the_same(out):
    loop = asyncio.get_running_loop()
    future = loop.create_future()
    out(asyncio.ensure_future(future) is future)
    task = asyncio.create_task(work(out, "task", 0, 1))
    out(asyncio.ensure_future(task) is task)
    made = asyncio.ensure_future(work(out, "coro", 0, 2))
    out(made.done())
    out(await made)
