"""An ASGI and a WSGI application."""
import asyncio, os, time

async def asgi(scope, receive, send):
    assert scope["type"] == "http"
    await asyncio.sleep(0.02)
    body = b"pid %d" % os.getpid()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})

def wsgi(environ, start_response):
    time.sleep(0.02)
    body = b"pid %d" % os.getpid()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
