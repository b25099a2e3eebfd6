#!/usr/bin/python3
# The server of Python's standard library, which answers one request at a time.
import http.server, os

class Whoami(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = f"{os.environ.get('NODE_APP_INSTANCE')} {os.getpid()}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass

http.server.HTTPServer(("", 3000), Whoami).serve_forever()
