# HTTP/1.1 with kept connections, one thread for each, on port 3000. Writes each request that it has received to a file of its
# own in /tmp/received, and answers 0 to 20 ms later, in two parts.
import http.server, os, random, time

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        os.write(record, f"{self.path}\n".encode())
        time.sleep(random.random() / 50)
        body = f"pid {os.getpid()}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        time.sleep(random.random() / 500)
        self.wfile.write(body)

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def log_message(self, *_):
        pass

os.makedirs("/tmp/received", exist_ok=True)
record = os.open(f"/tmp/received/{os.getpid()}", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
http.server.ThreadingHTTPServer.request_queue_size = 128
http.server.ThreadingHTTPServer(("0.0.0.0", 3000), Handler).serve_forever()
