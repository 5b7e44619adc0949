"""A TCP echo server with streams: one message per connection."""
import asyncio


async def handle_echo(reader, writer):
    data = await reader.read(100)
    print(f"Received {data.decode()!r} from {writer.get_extra_info('peername')[0]!r}", flush=True)
    print(f"Send: {data.decode()!r}", flush=True)
    writer.write(data)
    await writer.drain()
    print("Close the connection", flush=True)
    writer.close()
    await writer.wait_closed()


async def main():
    server = await asyncio.start_server(handle_echo, "127.0.0.1", 0)
    address, port = server.sockets[0].getsockname()
    print(f"Serving on {address}", flush=True)
    print(f"READY {port}", flush=True)
    async with server:
        await server.serve_forever()


asyncio.run(main())
