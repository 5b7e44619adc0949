"""Runs random scripts on asyncio and prints what happened, one line a seed; random_scripts_test.cpp does the same.

usage: random_scripts.py FIRST_SEED COUNT
"""

import asyncio
import sys

WORKERS = 4
OPERATIONS = 9


class Random:
    def __init__(self, seed):
        self.state = seed

    def pick(self, n):
        self.state = (self.state * 1103515245 + 12345) & 0x7FFFFFFF
        return (self.state >> 8) % n


class Script:
    def __init__(self, seed):
        random = Random(seed)
        self.cancels = random.pick(4) > 0
        self.lock = asyncio.Lock()
        self.semaphore = asyncio.Semaphore(random.pick(3))
        self.queue = [asyncio.Queue, asyncio.LifoQueue, asyncio.PriorityQueue][random.pick(3)](random.pick(3))
        self.event = asyncio.Event()
        self.condition = asyncio.Condition()
        self.barrier = asyncio.Barrier(2)
        self.words = []
        self.tasks = []
        self.programs = [[(random.pick(18), random.pick(8)) for _ in range(OPERATIONS)] for _ in range(WORKERS)]

    async def operation(self, who, code, argument):
        if code == 2:
            await self.lock.acquire()
            return "L"
        if code == 3:
            if not self.lock.locked():
                return "-"
            self.lock.release()
            return "l"
        if code == 4:
            await self.semaphore.acquire()
            return "S"
        if code == 5:
            self.semaphore.release()
            return "s" + ("+" if self.semaphore.locked() else "")
        if code in (6, 7):
            await self.queue.put(who * 10 + argument)
            return "P"
        if code in (8, 9):
            return "G" + str(await self.queue.get())
        if code == 10:
            if self.queue.full():
                return "f"
            self.queue.put_nowait(who * 10 + argument)
            return "p"
        if code == 11:
            if self.queue.empty():
                return "e"
            return "g" + str(self.queue.get_nowait())
        if code == 12:
            await self.event.wait()
            return "E"
        if code == 13:
            self.event.set()
            if argument < 6:
                self.event.clear()
            return "v"
        if code in (14, 15) and self.cancels:
            if argument % WORKERS != who:
                self.tasks[argument % WORKERS].cancel()
            return "c" + str(argument % WORKERS)
        if code == 16 and not self.cancels:
            return "B" + str(await self.barrier.wait())
        if code == 17 and not self.cancels:
            async with self.condition:
                if argument < 4:
                    await self.condition.wait()
                    return "N"
                self.condition.notify(argument - 4)
                return "n"
        await asyncio.sleep(0)
        return "y"

    async def worker(self, who):
        for code, argument in self.programs[who]:
            try:
                self.words.append(str(who) + await self.operation(who, code, argument))
            except asyncio.CancelledError:
                self.words.append(str(who) + "X")
        self.words.append(str(who) + ".")

    async def main(self):
        for who in range(WORKERS):
            self.tasks.append(asyncio.create_task(self.worker(who)))
        for _ in range(20):
            await asyncio.sleep(0)
            self.words.append("|")
        self.words.append(f"{int(self.lock.locked())}{int(self.semaphore.locked())}{self.queue.qsize()}")
        # Cancelled conditions and barriers behave in another way since 3.13, and here.
        happened = len(self.words) if not self.cancels else None
        for _ in range(60):
            for task in self.tasks:
                task.cancel()
            await asyncio.sleep(0)
        return " ".join(self.words[:happened])


async def script(seed):
    return await Script(seed).main()


for each in range(int(sys.argv[1]), int(sys.argv[1]) + int(sys.argv[2])):
    print(asyncio.run(script(each)))
