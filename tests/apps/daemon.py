# Listens and goes to the background, where it keeps its listener.
import os, signal, socket

signal.signal(signal.SIGINT, signal.SIG_IGN)
address = ("", int(os.environ["PORT"]))
listener = socket.create_server(address, family=socket.AF_INET6, dualstack_ipv6=True)
ours, theirs = os.pipe()
if os.fork():
    os.read(ours, 1)
    os._exit(0)
os.setsid()
os.write(theirs, b"x")
signal.pause()
