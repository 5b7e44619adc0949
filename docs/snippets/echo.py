import asyncio

async def echo(reader, writer):
    while True:
        data = await reader.read(65536)
        if not data:
            break
        writer.write(data)
        await writer.drain()
    writer.close()

async def amain():
    server = await asyncio.start_server(echo, "127.0.0.1", 8888)
    await server.serve_forever()

asyncio.run(amain())
