"""A TCP echo server with a protocol class."""
import asyncio


class EchoServerProtocol(asyncio.Protocol):
    def connection_made(self, transport):
        print(f"Connection from {transport.get_extra_info('peername')[0]!r}", flush=True)
        self.transport = transport

    def data_received(self, data):
        message = data.decode()
        print(f"Data received: {message!r}", flush=True)
        print(f"Send: {message!r}", flush=True)
        self.transport.write(data)
        print("Close the client socket", flush=True)
        self.transport.close()


async def main():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(EchoServerProtocol, "127.0.0.1", 0)
    print(f"READY {server.sockets[0].getsockname()[1]}", flush=True)
    async with server:
        await server.serve_forever()


asyncio.run(main())
