"""Waits until a socket is readable, with add_reader on one end of a socket pair."""
import asyncio
import socket

reading, writing = socket.socketpair()
loop = asyncio.new_event_loop()


def reader():
    data = reading.recv(100)
    print("Received:", data.decode())
    loop.remove_reader(reading)
    loop.stop()


loop.add_reader(reading, reader)
loop.call_soon(writing.send, b"abc")
try:
    loop.run_forever()
finally:
    reading.close()
    writing.close()
    loop.close()
