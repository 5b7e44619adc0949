"""Runs blocking functions in the default pool, in a thread pool and in a process pool."""
import asyncio
import concurrent.futures
import multiprocessing
import os


def blocking_io():
    # File operations (such as logging) can block the event loop: run them in a thread pool.
    with open("/dev/zero", "rb") as file:
        return len(file.read(100))


def cpu_bound(process):
    # CPU-bound operations will block the event loop: in general it is preferable to run them in a process pool.
    total = sum(i * i for i in range(10**6))
    return total + (0 if os.getpid() == process else 1)  # one more if it is another process


def fails():
    raise ValueError("no result")


def dies():
    os._exit(3)


async def main():
    loop = asyncio.get_running_loop()

    # 1. In the loop's default executor:
    result = await loop.run_in_executor(None, blocking_io)
    print("default thread pool", result)

    # 2. In a thread pool of one's own:
    with concurrent.futures.ThreadPoolExecutor() as pool:
        result = await loop.run_in_executor(pool, blocking_io)
        print("custom thread pool", result)
        try:
            await loop.run_in_executor(pool, fails)
        except ValueError as error:
            print("error:", error)

    # 3. In a process pool of one's own:
    fork = multiprocessing.get_context("fork")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=fork) as pool:
        result = await loop.run_in_executor(pool, cpu_bound, os.getpid())
        print("custom process pool", result)
        try:
            await loop.run_in_executor(pool, dies)
        except concurrent.futures.process.BrokenProcessPool:
            print("a process died")

    print("in a thread", await asyncio.to_thread(blocking_io))


asyncio.run(main())
