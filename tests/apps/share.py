# A service with a listener on port 4000, which it passes to every client that connects to /srv/share.
import os, socket, threading

shared = socket.create_server(("127.0.0.1", 4000), backlog=100)
share = socket.socket(socket.AF_UNIX)
share.bind("/srv/share")
os.chmod("/srv/share", 0o777)
share.listen()

def give():
    while True:
        asking, _ = share.accept()
        socket.send_fds(asking, [b"s"], [shared.fileno()])
        asking.close()

threading.Thread(target=give).start()
while True:
    connection, _ = shared.accept()
    connection.recv(4096)
    connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nalive")
    connection.close()
