# As many threads as THREADS says, which all wait in accept(2) at port 3000. Writes the request of each connection to a file in
# /tmp/received, answers 0 to 20 ms later, one for /slow as soon as there is a file /tmp/go, and ends the connection.
import os, random, socket, threading, time

def serve():
    while True:
        connection, _ = listener.accept()
        connection.settimeout(None)
        path = connection.recv(65536).decode().split(" ")[1]
        os.write(record, f"{path}\n".encode())
        while path == "/slow" and not os.path.exists("/tmp/go"):
            time.sleep(0.01)
        time.sleep(random.random() / 50)
        body = f"pid {os.getpid()}\r\n0\r\n\r\n".encode()
        head = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
        connection.sendall(head + body)
        connection.close()

os.makedirs("/tmp/received", exist_ok=True)
record = os.open(f"/tmp/received/{os.getpid()}", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(("", 3000))
listener.listen(128)
listener.settimeout(None)
for _ in range(int(os.environ["THREADS"])):
    threading.Thread(target=serve).start()
