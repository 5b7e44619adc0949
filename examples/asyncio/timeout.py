"""Gives up on what takes too long: wait_for, and a timeout that is moved while it runs."""
import asyncio


async def eternity():
    try:
        # Sleep for one hour
        await asyncio.sleep(3600)
        print("yay!")
    except asyncio.CancelledError:
        print("eternity is cancelled")
        raise


async def main():
    # Wait for at most 0.1 seconds
    try:
        await asyncio.wait_for(eternity(), timeout=0.1)
    except TimeoutError:
        print("timeout!")

    try:
        # We do not know the timeout when starting, so we pass None.
        async with asyncio.timeout(None) as cm:
            # We know the timeout now, so we reschedule it.
            cm.reschedule(asyncio.get_running_loop().time() + 0.1)
            await eternity()
    except TimeoutError:
        pass
    print("Looks like we haven't finished on time." if cm.expired() else "in time")

    async with asyncio.timeout(3600) as cm:
        await asyncio.sleep(0)
    print("Looks like we haven't finished on time." if cm.expired() else "in time")


asyncio.run(main())
