"""A loop that is run by hand, and an asynchronous generator that is closed in the cleanup."""
import asyncio


async def ticker(to):
    try:
        for i in range(to):
            yield i
            await asyncio.sleep(0.05)
    finally:
        await asyncio.sleep(0)
        print("the ticker cleans up")


async def main(ticks):
    async for i in ticks:
        print("tick", i)
        if i == 2:
            break  # the generator stays suspended


loop = asyncio.new_event_loop()
ticks = ticker(10)
try:
    loop.run_until_complete(main(ticks))
    print("main is done")
finally:
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()
    print("closed")
