# Joins the group of listeners at port 3000, and accepts nothing until there is a file /tmp/go; then says whether a connection waits.
import os, socket, time

listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
listener.bind(("0.0.0.0", 3000))
listener.listen(128)
open("/tmp/joined", "w").close()
while not os.path.exists("/tmp/go"):
    time.sleep(0.01)
listener.setblocking(False)
try:
    listener.accept()
    print("got a connection")
except BlockingIOError:
    print("got none")
