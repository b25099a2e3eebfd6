# Several threads that wait in accept(2). The argument is the path of a unix socket, or 3 for a passed descriptor; without an
# argument the server listens on port 3000. As HAProxy does, the server calls listen(2) only if its socket does not listen.
import os, socket, sys, threading, time

def serve(listener):
    while True:
        connection, _ = listener.accept()
        connection.settimeout(None)
        connection.recv(65536)
        time.sleep(0.02)
        body = f"pid {os.getpid()}".encode()
        connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        connection.close()

def listens(listener):
    return listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)

if sys.argv[1:] == ["3"]:
    listener = socket.socket(fileno=3)
else:
    listener = socket.socket(socket.AF_UNIX if sys.argv[1:] else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(sys.argv[1] if sys.argv[1:] else ("", 3000))
    if not listens(listener):
        listener.listen(128)
    assert listens(listener)
listener.settimeout(None)
for _ in range(8):
    threading.Thread(target=serve, args=(listener,)).start()
