"""Locks and their kin (rules 132 to 147)."""

import asyncio

from pairs import describe, ended, failure, program, ticks, turns


def attempt(out, name, start):
    """A task that says its name when what it awaits has ended."""

    async def body():
        end = await ended(start())
        out(name if end == "none" else f"{name}-{end}")

    return asyncio.create_task(body())


@program()
async def lock_is_fair(out):
    lock = asyncio.Lock()
    asyncio.create_task(ticks(out, 9))
    await lock.acquire()
    out(lock.locked())
    a = attempt(out, "a", lock.acquire)
    b = attempt(out, "b", lock.acquire)
    await turns(2)
    lock.release()
    out(lock.locked())
    # A newcomer, and the one who released, stand behind the waiters.
    c = attempt(out, "c", lock.acquire)
    await turns(2)
    lock.release()
    await turns(2)
    lock.release()
    await asyncio.wait([a, b, c])
    lock.release()
    out(failure(lock.release))


@program()
async def lock_waiter_is_cancelled(out):
    for order in ("before", "after"):
        lock = asyncio.Lock()
        await lock.acquire()
        a = attempt(out, "a", lock.acquire)
        b = attempt(out, "b", lock.acquire)
        await turns(1)
        if order == "before":
            a.cancel()
            lock.release()
        else:
            lock.release()
            a.cancel()
        asyncio.create_task(ticks(out, 3))
        await b
        out(lock.locked())


@program()
async def uncontended_is_at_once(out):
    asyncio.create_task(ticks(out, 2))
    lock, event, semaphore, queue = asyncio.Lock(), asyncio.Event(), asyncio.Semaphore(1), asyncio.Queue(1)
    out(await lock.acquire())
    event.set()
    out(await event.wait())
    out(await semaphore.acquire())
    await queue.put(1)
    out(await queue.get())
    await asyncio.sleep(0)


@program()
async def event_wakes_all_who_wait(out):
    event = asyncio.Event()
    tasks = [attempt(out, name, event.wait) for name in ("a", "b")]
    await turns(1)
    event.set()
    event.clear()
    late = attempt(out, "late", event.wait)
    await asyncio.wait(tasks)
    out(event.is_set())
    out(late.done())
    event.set()
    await late
    tasks = [attempt(out, name, event.wait) for name in ("c", "d")]
    await asyncio.wait(tasks)


@program()
async def condition_notifies_in_order(out):
    condition = asyncio.Condition()
    out(failure(condition.notify))
    asyncio.create_task(ticks(out, 8))

    async def waits(name):
        async with condition:
            await condition.wait()
            out(name)
            await asyncio.sleep(0)

    tasks = [asyncio.create_task(waits(name)) for name in ("a", "b", "c")]
    await turns(2)
    async with condition:
        condition.notify(2)
        out("notified")
        out(condition.locked())
        await asyncio.sleep(0)
    await asyncio.wait(tasks[:2])
    out(tasks[2].done())
    async with condition:
        condition.notify_all()
    await tasks[2]


@program()
async def condition_takes_its_lock_again(out):
    condition = asyncio.Condition()

    async def waits():
        async with condition:
            try:
                await condition.wait()
            except asyncio.CancelledError as error:
                out(describe(error))
                out(condition.locked())
                raise

    task = asyncio.create_task(waits())
    await turns(1)
    await condition.acquire()
    task.cancel("one")
    await turns(2)
    out(task.done())
    condition.release()
    out(await ended(task))
    out(condition.locked())


@program()
async def condition_waits_for_a_predicate(out):
    condition = asyncio.Condition()
    values = []

    async def waits():
        async with condition:
            out(await condition.wait_for(lambda: len(values)))

    task = asyncio.create_task(waits())
    await turns(1)
    async with condition:
        condition.notify()
    await turns(2)
    out(task.done())
    async with condition:
        values.extend((1, 2))
        condition.notify()
    await task


@program(since=(3, 13))
async def condition_passes_a_notification_on(out):
    condition = asyncio.Condition()

    async def waits(name):
        async with condition:
            await condition.wait()
            out(name)

    a = asyncio.create_task(waits("a"))
    b = asyncio.create_task(waits("b"))
    await turns(1)
    async with condition:
        condition.notify()
    a.cancel()
    out(await ended(a))
    await b


@program()
async def semaphore_in_order(out):
    semaphore = asyncio.Semaphore(1)
    asyncio.create_task(ticks(out, 6))
    await semaphore.acquire()
    out(semaphore.locked())
    a = attempt(out, "a", semaphore.acquire)
    b = attempt(out, "b", semaphore.acquire)
    await turns(2)
    semaphore.release()
    out(semaphore.locked())
    c = attempt(out, "c", semaphore.acquire)
    semaphore.release()
    await asyncio.wait([a, b])
    semaphore.release()
    await c
    semaphore.release()
    out(semaphore.locked())


@program()
async def semaphore_waiter_is_cancelled(out):
    semaphore = asyncio.Semaphore(1)
    await semaphore.acquire()
    a = attempt(out, "a", semaphore.acquire)
    b = attempt(out, "b", semaphore.acquire)
    await turns(1)
    semaphore.release()
    a.cancel()
    await asyncio.wait([a, b])
    out(semaphore.locked())
    semaphore.release()
    out(semaphore.locked())


@program()
async def bounded_semaphore(out):
    semaphore = asyncio.BoundedSemaphore(2)
    await semaphore.acquire()
    semaphore.release()
    out(failure(semaphore.release))
    out(failure(asyncio.Semaphore, -1))
    none = asyncio.BoundedSemaphore(0)
    out(none.locked())


@program()
async def barrier_counts_arrivals(out):
    barrier = asyncio.Barrier(3)
    asyncio.create_task(ticks(out, 5))

    async def arrives(name):
        out(f"{name}{await barrier.wait()}")

    tasks = [asyncio.create_task(arrives(name)) for name in ("a", "b", "c", "d")]
    await turns(2)
    out(barrier.n_waiting)
    await asyncio.wait(tasks[:3])
    out(barrier.n_waiting)
    out(barrier.parties)
    tasks[3].cancel()
    out(await ended(tasks[3]))
    out(barrier.n_waiting)
    out(failure(asyncio.Barrier, 0))


@program()
async def barrier_breaks(out):
    barrier = asyncio.Barrier(2)
    a = attempt(out, "a", barrier.wait)
    await turns(1)
    await barrier.abort()
    await a
    out(barrier.broken)
    out(await ended(barrier.wait()))
    await barrier.reset()
    out(barrier.broken)
    b = attempt(out, "b", barrier.wait)
    await turns(1)
    await barrier.reset()
    await b
    await asyncio.wait([attempt(out, name, barrier.wait) for name in ("c", "d")])
