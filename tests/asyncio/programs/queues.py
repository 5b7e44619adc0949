"""Queues (rules 148 to 153)."""

import asyncio

from pairs import ended, failure, program, ticks, turns


@program()
async def a_full_queue_waits(out):
    queue = asyncio.Queue(2)
    asyncio.create_task(ticks(out, 9))

    async def produce():
        for n in range(5):
            await queue.put(n)
            out(f"put{n}")

    producer = asyncio.create_task(produce())
    await turns(2)
    out(queue.full())
    out(queue.qsize())
    for _ in range(5):
        out(f"got{await queue.get()}")
    await producer
    out(queue.empty())
    out(failure(queue.get_nowait))
    queue.put_nowait(1)
    queue.put_nowait(2)
    out(failure(queue.put_nowait, 3))
    unbounded = asyncio.Queue(-1)
    unbounded.put_nowait(1)
    out(unbounded.full())


@program()
async def getters_in_order(out):
    queue = asyncio.Queue()

    async def get(name):
        out(f"{name}{await queue.get()}")

    tasks = [asyncio.create_task(get(name)) for name in ("a", "b", "c")]
    await turns(1)
    queue.put_nowait(1)
    queue.put_nowait(2)
    # One that does not wait may take what a woken one comes for.
    out(queue.get_nowait())
    await turns(2)
    queue.put_nowait(3)
    queue.put_nowait(4)
    await asyncio.wait(tasks)


@program()
async def a_cancelled_getter_loses_nothing(out):
    for order in ("before", "after"):
        queue = asyncio.Queue()

        async def get(name, queue=queue):
            out(f"{name}{await queue.get()}")

        a = asyncio.create_task(get("a"))
        b = asyncio.create_task(get("b"))
        await turns(1)
        if order == "before":
            a.cancel()
            queue.put_nowait(1)
        else:
            queue.put_nowait(1)
            a.cancel()
        out(await ended(a))
        await b
        out(queue.qsize())


@program()
async def a_cancelled_putter_makes_room(out):
    queue = asyncio.Queue(1)
    queue.put_nowait(0)

    async def put(n):
        await queue.put(n)
        out(f"put{n}")

    a = asyncio.create_task(put(1))
    b = asyncio.create_task(put(2))
    await turns(1)
    out(queue.get_nowait())
    a.cancel()
    out(await ended(a))
    await b
    out(queue.get_nowait())


@program()
async def other_orders(out):
    heap = asyncio.PriorityQueue()
    for n in (3, 1, 2, 1):
        heap.put_nowait(n)
    out([heap.get_nowait() for _ in range(4)])
    stack = asyncio.LifoQueue()
    for n in (3, 1, 2):
        stack.put_nowait(n)
    out([stack.get_nowait() for _ in range(3)])


@program()
async def joined(out):
    queue = asyncio.Queue()
    await queue.join()
    out("unused")
    for n in range(3):
        queue.put_nowait(n)

    async def join():
        await queue.join()
        out("joined")

    waiting = asyncio.create_task(join())
    while not queue.empty():
        out(await queue.get())
        await turns(1)
        queue.task_done()
    out(waiting.done())
    await waiting
    out(failure(queue.task_done))


@program(since=(3, 13))
async def shut_down(out):
    queue = asyncio.Queue(1)
    queue.put_nowait(1)

    async def attempt(name, awaitable):
        out(f"{name}-{await ended(awaitable)}")

    putter = asyncio.create_task(attempt("put", queue.put(2)))
    await turns(1)
    queue.shutdown()
    await putter
    out(failure(queue.put_nowait, 3))
    out(await queue.get())
    out(failure(queue.get_nowait))
    out(await ended(queue.get()))
    other = asyncio.Queue()
    getter = asyncio.create_task(attempt("get", other.get()))
    await turns(1)
    other.shutdown(immediate=True)
    await getter
