# ask-datagrams.py PORT CLIENTS FILE: each client sends the next datagram when the last one was answered, until FILE exists.
# Prints the number of answers and the instances that answered. The exit status is 1 if a datagram was not answered.
import json, os, socket, sys, threading, time

port, clients, end = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
answered, lost, instances = [], [], set()


def ask():
    client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    client.connect(("127.0.0.1", port))
    client.settimeout(120)
    number = 0
    while not os.path.exists(end):
        client.send(b"%d" % number)
        try:
            instance, echo = client.recv(64).split()
        except OSError as error:
            return lost.append(str(error))
        if int(echo) != number:
            return lost.append(f"{echo} for {number}")
        instances.add(int(instance))
        answered.append(number)
        number += 1
        time.sleep(0.1)


threads = [threading.Thread(target=ask) for _ in range(clients)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(json.dumps({"answered": len(answered), "lost": lost, "instances": len(instances)}))
sys.exit(bool(lost) or len(instances) < 3)
