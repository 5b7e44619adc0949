"""Reads a line from a subprocess and waits for its end."""
import asyncio


async def get_date():
    code = "import datetime; print(datetime.datetime.now())"
    proc = await asyncio.create_subprocess_exec("python3", "-c", code, stdout=asyncio.subprocess.PIPE)
    data = await proc.stdout.readline()
    line = data.decode("ascii").rstrip()
    await proc.wait()
    return line


print(f"Current date: {asyncio.run(get_date())}")
