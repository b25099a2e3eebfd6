# Reports ready on Node's channel and listens on another port than PORT.
import os, signal, socket

listener = socket.create_server(("", int(os.environ["PORT"]) + 900))
os.write(int(os.environ["NODE_CHANNEL_FD"]), b'"ready"\n')
signal.pause()
