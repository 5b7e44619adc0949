"""Prints the time of day again and again until a deadline, with call_later."""
import asyncio
import datetime


def display_date(end_time, loop):
    print(datetime.datetime.now().strftime("%H:%M:%S"), flush=True)
    if loop.time() + 0.2 < end_time:
        loop.call_later(0.2, display_date, end_time, loop)
    else:
        loop.stop()


loop = asyncio.new_event_loop()
loop.call_soon(display_date, loop.time() + 0.9, loop)
try:
    loop.run_forever()
finally:
    loop.close()
