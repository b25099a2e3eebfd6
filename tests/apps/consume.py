#!/usr/bin/env python3
# A consumer of a queue: it listens nowhere, works on one job after the other, and finishes the job in hand when it is asked to stop.
import os, signal, time

number = os.environ["NODE_APP_INSTANCE"]
version = 1
stopping = False

def stop(*_):
    global stopping
    stopping = True

signal.signal(signal.SIGINT, stop)
while not stopping:
    job = f"job of {number} by {os.getpid()}, version {version}"
    print("began", job, flush=True)
    end = time.monotonic() + 0.3
    while time.monotonic() < end:
        time.sleep(0.05)
    print("ended", job, flush=True)
