#!/usr/bin/python3
# Listens at the addresses that a hostile environment names in place of the bus and of systemd, and notes every client.
import os, select, socket

def listen(kind, path):
    ear = socket.socket(socket.AF_UNIX, kind)
    ear.bind(path)
    os.chmod(path, 0o777)
    if kind == socket.SOCK_STREAM:
        ear.listen()
    return ear

bus = listen(socket.SOCK_STREAM, "/srv/ears/bus")
manager = listen(socket.SOCK_DGRAM, "/srv/ears/notify")
print("listening", flush=True)
while True:
    for ear in select.select([bus, manager], [], [])[0]:
        with open("/srv/ears/heard", "a") as heard:
            heard.write("bus\n" if ear is bus else "notify %r\n" % manager.recv(4096))
        if ear is bus:
            ear.accept()[0].close()
