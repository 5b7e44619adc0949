"""Asynchronous generators (rule 264)."""

import asyncio

from pairs import describe, ended, program, turns


async def values(out, name):
    out(name + "-begins")
    try:
        for n in range(3):
            await asyncio.sleep(0)
            yield n
    except GeneratorExit:
        out(name + "-exit")
        raise
    finally:
        out(name + "-ends")


@program()
async def iterated(out):
    made = values(out, "g")
    out("made")
    async for each in made:
        out(each)
    out("end")


@program()
async def closed_early(out):
    made = values(out, "g")
    out(await anext(made))
    await made.aclose()
    out("closed")
    out(await anext(made, "none"))
    never = values(out, "never")
    await never.aclose()
    out(await anext(never, "none"))


@program()
async def cancelled_inside(out):
    async def waits():
        try:
            await asyncio.sleep(1000)
        finally:
            out("inner")
        yield 1

    made = waits()

    async def consume():
        await anext(made)

    task = asyncio.create_task(consume())
    await turns(2)
    task.cancel("stop")
    out(await ended(task))
    out(await anext(made, "none"))


@program()
async def closed_by_the_loop(out):
    made = values(out, "g")
    out(await anext(made))
    await asyncio.get_running_loop().shutdown_asyncgens()
    out("shut-down")
    out(await anext(made, "none"))


@program()
async def that_yields_when_closed(out):
    async def stubborn():
        try:
            yield 1
        except GeneratorExit:
            yield 2

    made = stubborn()
    out(await anext(made))
    try:
        await made.aclose()
    except RuntimeError as error:
        out(describe(error))
