# A server of one thread that waits for a datagram, answers it, and waits for the next.
import os, socket, time

server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("", 3000))
while True:
    message, sender = server.recvfrom(1024)
    time.sleep(0.02)
    server.sendto(b"%d %s" % (os.getpid(), message), sender)
