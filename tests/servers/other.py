"""Protocols that are not HTTP, by argument: a server that prints its port, speaks to one client
of its own, prints DONE, and stays."""
import random
import socket
import struct
import sys
import threading

HTTP = b"GET /file HTTP/1.1\r\nHost: file\r\n\r\n"


def read(connection, size):
    data = b""
    while len(data) < size:
        piece = connection.recv(size - len(data))
        if not piece:
            raise EOFError
        data += piece
    return data


def talk(protocol, client, server):
    """Yields (sender, receiver, bytes) in order."""
    if protocol == "redis":
        for index in range(50):
            value = b"*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$%d\r\n" % len(HTTP) + HTTP + b"\r\n"
            yield client, server, value
            yield server, client, b"+OK\r\n"
            yield client, server, b"GET key\r\n"
            yield server, client, b"$%d\r\n" % len(HTTP) + HTTP + b"\r\n"
    elif protocol == "postgresql":
        startup = struct.pack("!i", 196608) + b"user\0shop\0database\0shop\0\0"
        yield client, server, struct.pack("!i", len(startup) + 4) + startup
        yield server, client, b"R" + struct.pack("!ii", 8, 0) + b"Z" + struct.pack("!i", 5) + b"I"
        for index in range(50):
            query = b"SELECT 'GET / HTTP/1.1'\0"
            yield client, server, b"Q" + struct.pack("!i", len(query) + 4) + query
            yield server, client, b"C" + struct.pack("!i", 13) + b"SELECT 1\0"
            yield server, client, b"Z" + struct.pack("!i", 5) + b"I"
    elif protocol == "smtp":
        yield server, client, b"220 mail.example ESMTP ready\r\n"
        yield client, server, b"EHLO client.example\r\n"
        yield server, client, b"250-mail.example\r\n250 8BITMIME\r\n"
        yield client, server, b"DATA\r\n"
        yield server, client, b"354 go on\r\n"
        yield client, server, b"Subject: x\r\n\r\n" + HTTP + b".\r\n"
        yield server, client, b"250 OK\r\n"
    elif protocol == "random":
        source = random.Random(1)
        for index in range(200):
            yield client, server, source.randbytes(source.randrange(1, 3000))
            yield server, client, source.randbytes(source.randrange(1, 3000))
    elif protocol == "zeros":
        for index in range(20):
            yield client, server, bytes(4096)
            yield server, client, bytes(4096)
    elif protocol == "get-file":
        # A file that begins like a request, and is none.
        yield client, server, b"GET " + bytes(range(256)) * 40
        yield server, client, b"thanks"
        yield client, server, b"GET the milk and come home\n" * 100
        yield server, client, b"thanks"
    elif protocol == "near-http":
        # Each first line is nearly a request line.
        yield client, server, b"GET  / HTTP/1.1\r\n\r\n"
        yield server, client, b"no"
    elif protocol == "rtsp":
        yield client, server, b"OPTIONS rtsp://x/stream RTSP/1.0\r\nCSeq: 1\r\n\r\n"
        yield server, client, b"RTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\n"
    elif protocol == "sip":
        yield client, server, b"INVITE sip:a@b SIP/2.0\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n"
        yield server, client, b"SIP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n"
    else:
        raise SystemExit("unknown protocol " + protocol)


protocol = sys.argv[1]
listener = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(listener.getsockname())
server, _ = listener.accept()
messages = 0
for sender, receiver, message in talk(protocol, client, server):
    sender.sendall(message)
    assert read(receiver, len(message)) == message
    messages += 1
print("PORT", listener.getsockname()[1], flush=True)
print("DONE", messages, flush=True)
threading.Event().wait()
