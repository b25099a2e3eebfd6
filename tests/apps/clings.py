# Serves like python.py, ignores the signals that stop a program, and asks systemd for more time every second. As long as the
# file late-N exists beside it, instance N only asks for more time and does not listen. A signal ends an instance that found the file
# `yields` at its start.
import http.server, os, signal, socket, sys, threading, time

notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
notify.connect(os.environ["NOTIFY_SOCKET"].replace("@", "\0", 1))

def ask():
    while True:
        try:
            notify.send(b"EXTEND_TIMEOUT_USEC=60000000")
        except OSError:
            pass
        time.sleep(1)

yields = os.path.exists(f"{sys.path[0]}/yields")
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
    signal.signal(number, signal.SIG_DFL if yields else signal.SIG_IGN)
threading.Thread(target=ask, daemon=True).start()
while os.path.exists(f"{sys.path[0]}/late-{os.environ['NODE_APP_INSTANCE']}"):
    time.sleep(0.1)

class Whoami(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = f"{os.environ['NODE_APP_INSTANCE']} {os.getpid()}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass

class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6

server = Server(("::", 3000), Whoami)
notify.send(b"READY=1")
server.serve_forever()
