"""The shop's front: pages made of what catalog and checkout answer."""

import http.client
import http.server
import os
import urllib.parse

CATALOG = urllib.parse.urlsplit(os.environ["CATALOG_URL"]).netloc
CHECKOUT = urllib.parse.urlsplit(os.environ["CHECKOUT_URL"]).netloc


def call(authority, method, path, body=None):
    """Sends one request on a connection of its own; gives status and body."""
    connection = http.client.HTTPConnection(authority, timeout=10)
    try:
        connection.request(method, path, body)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


class Storefront(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body leave in one write.
    wbufsize = -1

    def do_GET(self):
        if self.path == "/":
            self.relay(CATALOG, "GET", "/products")
        elif self.path.startswith("/products/"):
            self.relay(CATALOG, "GET", self.path)
        else:
            self.answer(404, b"no such page\n")

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == "/checkout":
            self.relay(CHECKOUT, "POST", "/orders", body)
        else:
            self.answer(404, b"no such page\n")

    def relay(self, authority, method, path, body=None):
        try:
            status, content = call(authority, method, path, body)
        except (OSError, http.client.HTTPException):
            status, content = 502, b"the service behind does not answer\n"
        self.answer(status, content)

    def answer(self, status, content):
        self.send_response(status)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments):
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128


server = Server(("127.0.0.1", 0), Storefront)
print("listening", server.server_port, flush=True)
server.serve_forever()
