"""Task groups (rules 118 to 130)."""

import asyncio

from pairs import Error, cleanup, describe, ended, fail, program, ticks, turns, work


def requests():
    return asyncio.current_task().cancelling()


@program()
async def waits_for_late_children(out):
    asyncio.create_task(ticks(out, 8))

    async def child(group):
        await work(out, "child", 2)
        group.create_task(work(out, "grandchild", 2))

    async with asyncio.TaskGroup() as group:
        group.create_task(child(group))
        out("body")
    out("left")
    late = work(out, "never", 0)
    try:
        group.create_task(late)
    except RuntimeError as error:
        out(describe(error))
    late.close()


@program()
async def trivial_child(out):
    asyncio.create_task(ticks(out, 5))
    await asyncio.sleep(0)
    async with asyncio.TaskGroup() as group:
        group.create_task(work(out, "child", 0))
    out("left")
    async with asyncio.TaskGroup():
        pass
    out("left")


@program()
async def a_child_fails(out):
    asyncio.create_task(ticks(out, 9))

    async def body():
        async with asyncio.TaskGroup() as group:
            group.create_task(fail(out, "x", 2))
            group.create_task(cleanup(out, "slow", 2))
            group.create_task(fail(out, "y", 2))
            await work(out, "body", 20)

    out(await ended(body()))
    out(requests())


@program()
async def a_child_fails_while_the_group_waits(out):
    async def body():
        async with asyncio.TaskGroup() as group:
            group.create_task(fail(out, "x", 3))
            group.create_task(cleanup(out, "slow", 1))
            out("body")

    out(await ended(body()))


@program()
async def errors_in_the_order_of_completion(out):
    async def failing_cleanup(name, n):
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            pass
        await fail(out, name, n)

    async def body():
        async with asyncio.TaskGroup() as group:
            group.create_task(failing_cleanup("slow", 4))
            group.create_task(failing_cleanup("fast", 1))
            group.create_task(fail(out, "first", 1))

    out(await ended(body()))


@program()
async def a_child_is_cancelled_alone(out):
    async with asyncio.TaskGroup() as group:
        child = group.create_task(cleanup(out, "child", 1))
        group.create_task(work(out, "sibling", 4))
        await asyncio.sleep(0)
        child.cancel()
        await work(out, "body", 3)
    out(child.cancelled())
    out(requests())


@program()
async def the_body_fails(out):
    async def body(children):
        async with asyncio.TaskGroup() as group:
            for each in children:
                group.create_task(each)
            await asyncio.sleep(0)
            raise Error("body")

    out(await ended(body([])))
    out(await ended(body([cleanup(out, "a", 1), fail(out, "b", 0)])))


@program()
async def children_that_never_started(out):
    async def body():
        async with asyncio.TaskGroup() as group:
            group.create_task(work(out, "never", 0))
            raise Error("body")

    out(await ended(body()))


@program()
async def the_parent_is_cancelled(out):
    async def parent(n):
        async with asyncio.TaskGroup() as group:
            group.create_task(cleanup(out, "a", 3))
            group.create_task(cleanup(out, "b", 1))
            await work(out, "body", n)

    for n in (0, 20):
        task = asyncio.create_task(parent(n))
        await turns(3)
        task.cancel("outside")
        out(await ended(task))
        out(task.cancelling())


@program()
async def the_parent_is_cancelled_again(out):
    async def parent():
        async with asyncio.TaskGroup() as group:
            group.create_task(cleanup(out, "a", 6))

    task = asyncio.create_task(parent())
    await turns(3)
    task.cancel("one")
    await turns(3)
    task.cancel("two")
    out(await ended(task))
    out(task.cancelling())


@program()
async def groups_in_groups(out):
    async def innermost():
        async with asyncio.TaskGroup() as group:
            group.create_task(fail(out, "bad", 1))
            await work(out, "body", 9)

    async def inner():
        async with asyncio.TaskGroup() as group:
            group.create_task(work(out, "sibling", 9))
            await innermost()

    async def outer():
        async with asyncio.TaskGroup() as group:
            group.create_task(inner())

    out(await ended(outer()))


@program()
async def a_failure_reaches_the_inner_group(out):
    async def inner():
        async with asyncio.TaskGroup() as group:
            group.create_task(cleanup(out, "inner-child", 1))

    async def outer():
        async with asyncio.TaskGroup() as group:
            group.create_task(fail(out, "bad", 2))
            try:
                await inner()
            except BaseException as error:
                out("inner-" + describe(error))
                raise

    out(await ended(outer()))
    out(requests())


@program()
async def system_exit_comes_bare(out):
    async def parent():
        async with asyncio.TaskGroup() as group:
            group.create_task(cleanup(out, "a", 2))
            await asyncio.sleep(0)
            raise SystemExit(3)

    out(await ended(parent()))


@program()
async def timeouts_in_groups(out):
    async def slow():
        async with asyncio.timeout(1):
            await asyncio.sleep(10)

    async def body():
        async with asyncio.timeout(5):
            async with asyncio.TaskGroup() as group:
                group.create_task(slow())
                await asyncio.sleep(20)

    out(await ended(body()))

    async def around():
        async with asyncio.timeout(2):
            async with asyncio.TaskGroup() as group:
                group.create_task(cleanup(out, "a", 1))

    out(await ended(around()))
    out(requests())


@program(since=(3, 13))
async def errors_before_the_cancellation(out):
    async def parent():
        async def body():
            async with asyncio.TaskGroup() as group:
                group.create_task(fail(out, "bad", 1))
                await asyncio.sleep(1000)

        out(await ended(body()))
        out(requests())
        out(await ended(asyncio.sleep(0)))

    task = asyncio.create_task(parent())
    await turns(3)
    task.cancel()
    await task


@program(since=(3, 13))
async def the_count_is_what_it_was(out):
    async def body(n):
        async with asyncio.TaskGroup() as group:
            group.create_task(fail(out, "bad", 1))
            await turns(n)

    for n in (0, 1, 2, 9):
        out(await ended(body(n)))
        out(requests())
        out(await ended(asyncio.sleep(0)))


@program(since=(3, 14))
async def eager_children(out):
    async def body():
        async with asyncio.TaskGroup() as group:
            bad = group.create_task(fail(out, "bad", 0), eager_start=True)
            out(bad.done())
            out(requests())
            group.create_task(work(out, "never", 0))
            await work(out, "body", 9)

    out(await ended(body()))


@program(since=(3, 15))
async def cancelled_on_purpose(out):
    async with asyncio.TaskGroup() as group:
        group.create_task(cleanup(out, "child", 1))
        await asyncio.sleep(0)
        group.cancel()
        group.cancel()
        await work(out, "body", 9)
    out("left")
    out(requests())
    group.cancel()
    out(await ended(asyncio.sleep(0)))
