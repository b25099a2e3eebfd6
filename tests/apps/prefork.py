# A master process that only waits for its children. Each child has an epoll set of its own for the shared listener.
import os, select, socket, time

def serve(listener):
    epoll = select.epoll()
    epoll.register(listener, select.EPOLLIN | getattr(select, "EPOLLEXCLUSIVE", 0))
    while True:
        for _ in epoll.poll():
            try:
                connection, _ = listener.accept()
            except BlockingIOError:
                continue
            connection.setblocking(True)
            connection.recv(65536)
            time.sleep(0.02)
            body = f"pid {os.getpid()}".encode()
            connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
            connection.close()

listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(("", 3000))
listener.listen(128)
listener.setblocking(False)
for _ in range(4):
    if os.fork() == 0:
        serve(listener)
os.wait()
