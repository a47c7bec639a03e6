"""The test contract on Python's http.server: /ok, /status/N, /bytes/N, /chunked/COUNT/SIZE,
/sleep/MS, and any request body read to its end. Argument: a port, or the path of a unix socket.
/gate answers once the file GATE exists. With LOG set, each exchange is a JSON line there with the handler's own CLOCK_MONOTONIC times."""
import json
import os
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LOG = open(os.environ["LOG"], "a", buffering=1) if "LOG" in os.environ else None
LOCK = threading.Lock()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body leave in one write, as from a server that means it.
    wbufsize = -1

    def log_message(self, *_):
        pass

    def address_string(self):
        return "peer"

    def handle_expect_100(self):
        self.send_response_only(100)
        self.end_headers()
        self.wfile.flush()
        return True

    def request_body(self):
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            size = 0
            while True:
                n = int(self.rfile.readline().split(b";")[0], 16)
                if n == 0:
                    break
                size += len(self.rfile.read(n))
                self.rfile.readline()
            while self.rfile.readline() not in (b"\r\n", b""):
                pass
            return size
        left = size = int(self.headers.get("Content-Length", 0))
        while left:
            piece = self.rfile.read(min(left, 1 << 20))
            if not piece:
                raise ConnectionError("the body ended early")
            left -= len(piece)
        return size

    def answer(self, status, body=b"", headers=()):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        if status >= 200 and status not in (204, 304):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD" and status not in (204, 304):
            self.wfile.write(body)

    def handle_any(self):
        begun = time.monotonic_ns()
        size = self.request_body()
        parts = self.path.split("?")[0].split("/")[1:]
        numbers = [int(part) for part in parts[1:] if part.isdigit()]
        if parts[0] == "status":
            self.answer(numbers[0], b"status\n")
        elif parts[0] == "bytes":
            self.send_response(200)
            self.send_header("Content-Length", str(numbers[0]))
            self.end_headers()
            left = numbers[0] if self.command != "HEAD" else 0
            while left:
                piece = min(left, 1 << 20)
                self.wfile.write(bytes(piece))
                left -= piece
        elif parts[0] == "chunked":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            if self.command != "HEAD":
                for _ in range(numbers[0]):
                    self.wfile.write(b"%x\r\n" % numbers[1] + b"c" * numbers[1] + b"\r\n")
                    self.wfile.flush()
                self.wfile.write(b"0\r\n\r\n")
        elif parts[0] == "sleep":
            time.sleep(numbers[0] / 1000)
            self.answer(200, b"slept\n")
        elif parts[0] == "gate":
            print("GATED", flush=True)
            while not os.path.exists(os.environ["GATE"]):
                time.sleep(0.01)
            self.answer(200, b"gate\n")
        else:
            self.answer(200, b"%d\n" % size)
        self.wfile.flush()
        if LOG:
            line = {"path": self.path, "begun": begun, "ended": time.monotonic_ns()}
            with LOCK:
                LOG.write(json.dumps(line) + "\n")

    def __getattr__(self, name):
        if name.startswith("do_"):
            return self.handle_any
        raise AttributeError(name)


class Server(ThreadingHTTPServer):
    if "V6" in os.environ:
        address_family = socket.AF_INET6
    request_queue_size = 1024
    daemon_threads = True

    def handle_error(self, *_):
        pass


class UnixServer(Server):
    address_family = socket.AF_UNIX

    def server_bind(self):
        self.socket.bind(self.server_address)
        self.server_name, self.server_port = "unix", 0

    def get_request(self):
        connection, _ = self.socket.accept()
        return connection, ("unix", 0)


if len(sys.argv) > 1 and "/" in sys.argv[1]:
    server = UnixServer(sys.argv[1], Handler)
else:
    server = Server(("::1" if "V6" in os.environ else "127.0.0.1", 0), Handler)
print("PORT", server.server_port, flush=True)
server.serve_forever()
