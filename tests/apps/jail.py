# Installs a seccomp filter before it serves, which kills it for socket(2): number 41 on x86-64, 198 on arm64.
import ctypes, os, platform, select, socket, struct, time

def forbid(number):
    def line(code, yes, no, value):
        return struct.pack("HBBI", code, yes, no, value)
    libc = ctypes.CDLL(None)
    kill, allow = 0x80000000, 0x7FFF0000
    code = line(0x20, 0, 0, 0) + line(0x15, 0, 1, number) + line(6, 0, 0, kill) + line(6, 0, 0, allow)
    code = ctypes.create_string_buffer(code)
    program = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", 4, ctypes.addressof(code)))
    assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, program, 0, 0) == 0

listener = socket.socket(fileno=3)
listener.setblocking(False)
forbid(41 if platform.machine() == "x86_64" else 198)
epoll = select.epoll()
epoll.register(listener, select.EPOLLIN)
while True:
    for _ in epoll.poll():
        try:
            connection, _ = listener.accept()
        except BlockingIOError:
            continue
        connection.setblocking(True)
        connection.recv(65536)
        time.sleep(0.01)
        body = f"pid {os.getpid()}".encode()
        connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        connection.close()
