"""Two tasks in a group; then one that fails and takes the other with it."""
import asyncio


async def say_after(delay, what):
    try:
        await asyncio.sleep(delay)
    except asyncio.CancelledError:
        print(f"{what} is cancelled")
        raise
    print(what)
    return len(what)


async def fail_after(delay, why):
    await asyncio.sleep(delay)
    raise RuntimeError(why)


async def main():
    async with asyncio.TaskGroup() as tg:
        task1 = tg.create_task(say_after(0.1, "hello"))
        task2 = tg.create_task(say_after(0.2, "world"))
        print("started")
    # The await is implicit when the context manager exits.
    print("finished", task1.result(), task2.result())

    try:
        async with asyncio.TaskGroup() as tg:
            tg.create_task(say_after(3600, "never"))
            tg.create_task(fail_after(0.1, "no luck"))
    except ExceptionGroup as group:
        for error in group.exceptions:
            print("failed:", error)


asyncio.run(main())
