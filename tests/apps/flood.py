# Reports ready on Node's channel, and then sends a line of 512 MiB on it.
import os, signal, socket

channel = int(os.environ["NODE_CHANNEL_FD"])
listener = socket.socket()
listener.bind(("", 3000))
listener.listen(5)
os.write(channel, b'"ready"\n')
left, piece = 512 << 20, b"x" * (1 << 20)
while left:
    left -= os.write(channel, piece[:left])
open("/srv/web/sent", "w").close()
signal.pause()
