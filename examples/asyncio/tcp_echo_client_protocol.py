"""A TCP echo client with a protocol class."""
import asyncio
import sys


class EchoClientProtocol(asyncio.Protocol):
    def __init__(self, message, on_con_lost):
        self.message = message
        self.on_con_lost = on_con_lost

    def connection_made(self, transport):
        transport.write(self.message.encode())
        print(f"Data sent: {self.message!r}")

    def data_received(self, data):
        print(f"Data received: {data.decode()!r}")

    def connection_lost(self, exc):
        print("The server closed the connection")
        self.on_con_lost.set_result(True)


async def main():
    loop = asyncio.get_running_loop()
    on_con_lost = loop.create_future()
    transport, protocol = await loop.create_connection(
        lambda: EchoClientProtocol("Hello World!", on_con_lost), "127.0.0.1", int(sys.argv[1])
    )
    try:
        await on_con_lost
    finally:
        transport.close()


asyncio.run(main())
