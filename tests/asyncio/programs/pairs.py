"""What the programs share: they tell in words what happens, and time passes only when nothing else does."""

import asyncio
import sys

programs = {}


def program(since=(3, 11)):
    """Names a program `<module>.<function>`. Before that version asyncio did it in another way."""

    def register(function):
        module = function.__module__.rsplit(".", 1)[-1]
        programs[f"{module}.{function.__name__}"] = (function, since)
        return function

    return register


class Trace:
    """The words that a program says: `out("word")`."""

    def __init__(self):
        self.words = []

    def __call__(self, word):
        self.words.append(str(word))


class VirtualLoop(asyncio.SelectorEventLoop):
    """The clock jumps to the next deadline when nothing is ready."""

    def __init__(self):
        super().__init__()
        self._now = 0.0
        select = self._selector.select

        def jump(timeout=None):
            if timeout:
                self._now += timeout
            return select(0)

        self._selector.select = jump

    def time(self):
        return self._now


def describe(error):
    """An error in a word."""
    if error is None:
        return "none"
    if isinstance(error, asyncio.CancelledError):
        return "cancelled" + (f"({error.args[0]})" if error.args and error.args[0] else "")
    if isinstance(error, TimeoutError):
        return "timeout"
    if isinstance(error, BaseExceptionGroup):
        return "group[" + ",".join(describe(each) for each in error.exceptions) + "]"
    if isinstance(error, asyncio.BrokenBarrierError):
        return "broken"
    if isinstance(error, asyncio.InvalidStateError):
        return "invalid_state"
    if isinstance(error, SystemExit):
        return f"exit({error.code})"
    if isinstance(error, ValueError):
        return "invalid_argument"
    if error.__class__.__name__ in ("QueueEmpty", "QueueFull", "QueueShutDown"):
        return {"QueueEmpty": "empty", "QueueFull": "full", "QueueShutDown": "shut_down"}[error.__class__.__name__]
    if isinstance(error, KeyError):
        return f"error({error.args[0]})"
    if isinstance(error, RuntimeError):
        return "logic_error"
    return error.__class__.__name__


class Error(KeyError):
    """What the programs throw: `error(text)` in the trace."""


async def ended(awaitable):
    """How awaiting it ends, in a word."""
    try:
        await awaitable
    except BaseException as error:  # pylint: disable=broad-except
        return describe(error)
    return "none"


def failure(function, *arguments):
    """How a call ends, in a word."""
    try:
        function(*arguments)
    except Exception as error:  # pylint: disable=broad-except
        return describe(error)
    return "none"


async def turns(n):
    """Lets so many iterations pass."""
    for _ in range(n):
        await asyncio.sleep(0)


async def ticks(out, n):
    """Says "|" in each iteration, to show what happens in the same one."""
    for _ in range(n):
        out("|")
        await asyncio.sleep(0)


async def work(out, name, n, result=None):
    """Takes so many iterations; says its name at the end, or that it was cancelled."""
    try:
        await turns(n)
    except asyncio.CancelledError:
        out(name + "-cancelled")
        raise
    out(name)
    return result


async def fail(out, name, n):
    """Takes so many iterations and throws."""
    await work(out, name, n)
    raise Error(name)


async def cleanup(out, name, n):
    """Waits to be cancelled, and then takes so many iterations."""
    try:
        await asyncio.sleep(1000)
    except asyncio.CancelledError:
        await turns(n)
        out(name + "-clean")
        raise


def run(name):
    """The sequence of a program, None if this Python is too old for it."""
    function, since = programs[name]
    if sys.version_info < since:
        return None
    out = Trace()
    loop = VirtualLoop()
    loop.set_exception_handler(lambda loop, context: None)
    asyncio.set_event_loop(loop)
    try:
        loop.run_until_complete(function(out))
    finally:
        words = list(out.words)
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
        asyncio.set_event_loop(None)
    return " ".join(words)


