import asyncio, os

async def serve(reader, writer):
    await reader.readuntil(b"\r\n\r\n")
    await asyncio.sleep(0.02)
    body = b"pid %d" % os.getpid()
    writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
    await writer.drain()
    writer.close()

async def main():
    server = await asyncio.start_server(serve, "0.0.0.0", 3000)
    await server.serve_forever()

asyncio.run(main())
