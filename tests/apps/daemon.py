# Listens and goes to the background, where it keeps its listener.
import os, signal, socket

signal.signal(signal.SIGINT, signal.SIG_IGN)
listener = socket.create_server(("", int(os.environ["PORT"])))
ours, theirs = os.pipe()
if os.fork():
    os.read(ours, 1)
    os._exit(0)
os.setsid()
os.write(theirs, b"x")
signal.pause()
