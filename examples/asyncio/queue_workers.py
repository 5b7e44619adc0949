"""Three workers share the work of a queue: asyncio's page on queues, with a fixed amount of work."""
import asyncio
import time


async def worker(name, queue):
    while True:
        # Get a "work item" out of the queue.
        sleep_for = await queue.get()
        # Sleep for that many seconds.
        await asyncio.sleep(sleep_for)
        # Tell the queue that the "work item" has been processed.
        queue.task_done()
        print(f"{name} has slept for {sleep_for:.2f} seconds", flush=True)


async def main():
    # Create a queue that we will use to store our "workload".
    queue = asyncio.Queue()
    total_sleep_time = 0
    for sleep_for in (0.1, 0.2, 0.3, 0.3, 0.3, 0.3):
        total_sleep_time += sleep_for
        queue.put_nowait(sleep_for)

    # Create three worker tasks to process the queue concurrently.
    tasks = [asyncio.create_task(worker(f"worker-{i}", queue), name=f"worker-{i}") for i in range(3)]

    # Wait until the queue is fully processed.
    started_at = time.monotonic()
    await queue.join()
    total_slept_for = time.monotonic() - started_at

    # Cancel our worker tasks, and wait until all are cancelled.
    for task in tasks:
        task.cancel()
    for task in tasks:
        try:
            await task
        except asyncio.CancelledError:
            print(f"{task.get_name()} is cancelled" if task.cancelled() else "?")

    print("====")
    print("3 workers slept in parallel:", total_slept_for < total_sleep_time)
    print(f"total expected sleep time: {total_sleep_time:.2f} seconds")


asyncio.run(main())
