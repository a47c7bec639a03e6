"""A service that asks another one for each request it serves, and writes down why: for GET /a/ID it
sends GET /b/ID.N, so that each path tells which request it was sent for. Meanwhile it polls /poll/N,
which is for none.

    relay.py leaf                     answers only
    relay.py MODE ADDRESS [headers]   asks ADDRESS; MODE is how it works:
        thread   a thread per connection, which asks for itself
        pool     a pool of threads, a connection each at a time, asking over shared connections
        fan      a thread per connection, which has a pool ask for it, in parallel
        asyncio  one event loop
      `headers` passes the headers of the trace on
    relay.py drive ADDRESS COUNT THREADS PREFIX NAME   sends GET PREFIX/a/NAME-N, and ends
"""
import sys

# A neighbour in this folder has the name of a module of the standard library.
sys.path.pop(0)

import asyncio
import http.client
import queue
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer

MODE = sys.argv[1]
PASS = "headers" in sys.argv[3:]
ASKS = 2


def address(text):
    host, port = text.rsplit(":", 1)
    return host, int(port)


class Connections:
    """Kept-alive connections, shared by all threads: each is used by one at a time."""

    def __init__(self, to):
        self.to = to
        self.idle = queue.LifoQueue()

    def ask(self, path, headers):
        try:
            connection = self.idle.get_nowait()
        except queue.Empty:
            connection = http.client.HTTPConnection(*self.to)
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        response.read()
        self.idle.put(connection)
        return response.status


def passed_on(headers):
    names = ("traceparent", "tracestate")
    return {name: headers[name] for name in names if PASS and headers.get(name)}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.server.work(self.path, passed_on(self.headers))
        self.send_response(200)
        self.send_header("Content-Length", "3")
        self.end_headers()
        self.wfile.write(b"ok\n")


def worker(connections, helpers):
    def work(path, headers):
        if connections is None or not path.startswith("/a/"):
            time.sleep(random.random() * 0.002)
            return
        paths = [f"/b/{path[3:]}.{number}" for number in range(ASKS)]
        if helpers is None:
            for each in paths:
                connections.ask(each, headers)
                time.sleep(random.random() * 0.002)
        else:
            list(helpers.map(lambda each: connections.ask(each, headers), paths))

    return work


class Pool(HTTPServer):
    """A fixed number of threads serves the connections."""

    threads = ThreadPoolExecutor(8)

    def process_request(self, request, client_address):
        self.threads.submit(self.process, request, client_address)

    def process(self, request, client_address):
        try:
            self.finish_request(request, client_address)
        finally:
            self.shutdown_request(request)


def poll(connections):
    for number in range(1 << 62):
        try:
            connections.ask(f"/poll/{number}", {})
        except OSError:
            pass
        time.sleep(0.003)


async def ask(reader, writer, path, headers):
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    writer.write(f"GET {path} HTTP/1.1\r\nHost: peer\r\n{lines}\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            await reader.readexactly(int(line.split(b":")[1]))


async def on_loop(to):
    idle = []

    async def asked(path, headers):
        pair = idle.pop() if idle else await asyncio.open_connection(*to)
        await ask(*pair, path, headers)
        idle.append(pair)

    async def serve(reader, writer):
        while True:
            try:
                head = await reader.readuntil(b"\r\n\r\n")
            except (asyncio.IncompleteReadError, ConnectionError):
                break
            lines = head.decode("latin-1").split("\r\n")
            path = lines[0].split(" ")[1]
            fields = dict(line.lower().split(": ", 1) for line in lines[1:] if ": " in line)
            for number in range(ASKS):
                await asked(f"/b/{path[3:]}.{number}", passed_on(fields))
                await asyncio.sleep(random.random() * 0.002)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n")
        writer.close()

    async def poller():
        for number in range(1 << 62):
            await asked(f"/poll/{number}", {})
            await asyncio.sleep(0.003)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print("PORT", server.sockets[0].getsockname()[1], flush=True)
    await asyncio.gather(server.serve_forever(), poller())


def drive(to, count, threads, prefix, name):
    numbers = iter(range(count))
    lock = threading.Lock()

    def one():
        connections = Connections(to)
        while True:
            with lock:
                number = next(numbers, None)
            if number is None:
                return
            # The trace is that of this request, and nobody knows it but who reads the headers.
            trace = f"00-{random.getrandbits(128) | 1:032x}-{random.getrandbits(64) | 1:016x}-01"
            headers = {"traceparent": trace} if PASS else {}
            status = connections.ask(f"{prefix}/a/{name}-{number}", headers)
            assert status == 200, status

    runners = [threading.Thread(target=one) for _ in range(threads)]
    for runner in runners:
        runner.start()
    for runner in runners:
        runner.join()


def main():
    if MODE == "drive":
        drive(address(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), sys.argv[5], sys.argv[6])
        return
    if MODE == "asyncio":
        asyncio.run(on_loop(address(sys.argv[2])))
        return
    kind = Pool if MODE == "pool" else ThreadingHTTPServer
    kind.request_queue_size = 128
    kind.daemon_threads = True
    server = kind(("127.0.0.1", 0), Handler)
    connections = None if MODE == "leaf" else Connections(address(sys.argv[2]))
    helpers = ThreadPoolExecutor(8) if MODE == "fan" else None
    server.work = worker(connections, helpers)
    print("PORT", server.server_address[1], flush=True)
    if connections is not None:
        threading.Thread(target=poll, args=(connections,), daemon=True).start()
    server.serve_forever()


main()
