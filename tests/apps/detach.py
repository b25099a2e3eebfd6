# Answers with the number of its instance at PORT, and detaches the selector of its listener when it is asked for /detach.
import http.server, os

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/detach":
            so_detach_reuseport_bpf = 68
            self.server.socket.setsockopt(1, so_detach_reuseport_bpf, 0)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"instance %s\n" % os.environ["NODE_APP_INSTANCE"].encode())

    def log_message(self, *_):
        pass

http.server.ThreadingHTTPServer.request_queue_size = 128
http.server.ThreadingHTTPServer(("0.0.0.0", int(os.environ["PORT"])), Handler).serve_forever()
