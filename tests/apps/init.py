# The init of a PID namespace, as with `PrivatePIDs=`. For each request it forks, waits for all its children, and answers with
# those that have ended.
import http.server, os, signal

told = []
signal.signal(signal.SIGCHLD, lambda *_: told.append("SIGCHLD"))

def ended():
    """Waits for all children, and returns their statuses."""
    found = []
    while True:
        try:
            found.append(os.wait()[1])
        except ChildProcessError:
            return found

class Server(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        told.clear()
        for status in (3, 4):
            if os.fork() == 0:
                os._exit(status)
        ends = sorted(os.waitstatus_to_exitcode(end) for end in ended())
        # Two children that end at the same time may cause only one signal.
        more = max(len(told) - 2, 0)
        body = f"pid {os.getpid()}, ended {ends}, {more} signals too many".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass

server = http.server.HTTPServer(("", 3000), Server)
server.serve_forever()
