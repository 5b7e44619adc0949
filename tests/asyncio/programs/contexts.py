"""Context variables (rules 28 to 30)."""

import asyncio
import contextvars

from pairs import program, turns

name = contextvars.ContextVar("name", default="nobody")


@program()
async def a_task_has_a_copy(out):
    name.set("parent")

    async def child():
        out(name.get())
        name.set("child")
        await asyncio.sleep(0)
        out(name.get())

    task = asyncio.create_task(child())
    name.set("later")
    await task
    out(name.get())

    async def awaited():
        name.set("awaited")

    await awaited()
    out(name.get())


@program()
async def callbacks_have_a_snapshot(out):
    loop = asyncio.get_running_loop()
    name.set("one")
    loop.call_soon(lambda: out(name.get()))
    name.set("two")
    loop.call_soon(lambda: (out(name.get()), name.set("callback")))
    loop.call_later(1, lambda: out(name.get()))
    name.set("three")
    await asyncio.sleep(2)
    out(name.get())


@program()
async def done_callbacks(out):
    future = asyncio.get_running_loop().create_future()
    name.set("added")
    future.add_done_callback(lambda f: out(name.get()))
    name.set("set")
    future.set_result(1)
    await turns(1)


@program()
async def a_given_context_is_shared(out):
    context = contextvars.copy_context()
    context.run(name.set, "given")

    async def child():
        out(name.get())
        name.set("child")

    await asyncio.create_task(child(), context=context)
    out(context[name])
    out(name.get())
    token = name.set("here")
    name.reset(token)
    out(name.get())
