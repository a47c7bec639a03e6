"""Legal and illegal oddities of HTTP/1 framing, by path, on raw sockets. Prints its port."""
import socket
import struct
import sys
import threading
import time


class Peer:
    def __init__(self, connection):
        self.connection = connection
        self.buffer = b""

    def more(self):
        piece = self.connection.recv(65536)
        if not piece:
            raise EOFError
        self.buffer += piece

    def head(self):
        while b"\r\n\r\n" not in self.buffer:
            self.more()
        head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        lines = head.decode("latin-1").split("\r\n")
        method, target, _ = lines[0].split(" ")
        headers = {}
        for line in lines[1:]:
            name, value = line.split(":", 1)
            headers[name.lower()] = value.strip()
        return method, target, headers

    def take(self, size):
        while len(self.buffer) < size:
            self.more()
        taken, self.buffer = self.buffer[:size], self.buffer[size:]
        return taken

    def body(self, headers):
        if headers.get("transfer-encoding") == "chunked":
            while True:
                while b"\r\n" not in self.buffer:
                    self.more()
                line, self.buffer = self.buffer.split(b"\r\n", 1)
                size = int(line.split(b";")[0], 16)
                if size == 0:
                    break
                self.take(size + 2)
            while True:
                while b"\r\n" not in self.buffer:
                    self.more()
                line, self.buffer = self.buffer.split(b"\r\n", 1)
                if not line:
                    return
        self.take(int(headers.get("content-length", 0)))

    def send(self, *pieces):
        for piece in pieces:
            self.connection.sendall(piece)

    def reset(self):
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise EOFError


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def serve(peer):
    method, target, headers = peer.head()
    path = target.split("?")[0]
    if path == "/continue":
        peer.send(CONTINUE)
        peer.body(headers)
        return peer.send(OK)
    if path == "/early":
        # The answer is whole before the body is.
        peer.send(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n")
        return peer.body(headers)
    if path == "/refuse":
        # The answer, and no interest in the body.
        peer.send(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        raise EOFError
    peer.body(headers)
    if path == "/close-delimited":
        peer.send(b"HTTP/1.0 200 OK\r\n\r\n", b"a" * 1000, b"b" * 2345)
        raise EOFError
    if path == "/close-delimited-11":
        peer.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nuntil the end")
        raise EOFError
    if path == "/interim":
        peer.send(b"HTTP/1.1 102 Processing\r\n\r\n")
        peer.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n" + OK)
    elif path == "/dribble":
        response = b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n" + b"d" * 20
        for index in range(len(response)):
            peer.send(response[index:index + 1])
    elif path == "/dribble-chunked":
        response = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        response += b"5;x=y\r\nhello\r\n00A\r\n0123456789\r\n0\r\nTrailer: 1\r\n\r\n"
        for index in range(len(response)):
            peer.send(response[index:index + 1])
    elif path == "/head-in-body":
        body = b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n" * 10
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body))
        peer.send(body)
    elif path == "/not-modified":
        peer.send(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 1234\r\nETag: \"a\"\r\n\r\n")
    elif path == "/no-content":
        peer.send(b"HTTP/1.1 204 No Content\r\n\r\n")
    elif path == "/head":
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4321\r\n\r\n")
    elif path == "/no-reason":
        peer.send(b"HTTP/1.1 200 \r\ncontent-length:3\r\n\r\nok\n")
    elif path == "/long-head":
        peer.send(b"HTTP/1.1 200 OK\r\nX-Long: " + b"l" * 12000 + b"\r\nContent-Length: 3\r\n\r\nok\n")
    elif path == "/both":
        # RFC 9112 6.3: Transfer-Encoding overrides Content-Length.
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"
                  b"4\r\nfour\r\n0\r\n\r\n")
    elif path == "/reset":
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + b"r" * 100)
        time.sleep(0.1)
        peer.reset()
    elif path == "/reset-silent":
        peer.reset()
    elif path == "/cut":
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + b"c" * 100)
        raise EOFError
    elif path == "/cut-chunked":
        peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel")
        raise EOFError
    elif path == "/cut-silent":
        raise EOFError
    elif path == "/slow":
        time.sleep(0.5)
        peer.send(OK)
    elif path == "/wait-for-end":
        # Answers only a client that has shut its side.
        if peer.connection.recv(1) == b"":
            peer.send(OK)
        raise EOFError
    elif path == "/upgrade":
        peer.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: upgrade\r\n\r\n")
        while True:
            if peer.buffer:
                peer.send(peer.buffer)
                peer.buffer = b""
            peer.more()
    elif method == "CONNECT":
        peer.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
        raise EOFError
    else:
        peer.send(OK)


def run(connection):
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    peer = Peer(connection)
    try:
        while True:
            serve(peer)
    except (EOFError, ConnectionError):
        connection.close()


listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
print("PORT", listener.getsockname()[1], flush=True)
while True:
    accepted, _ = listener.accept()
    threading.Thread(target=run, args=(accepted,), daemon=True).start()
