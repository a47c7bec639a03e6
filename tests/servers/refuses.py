"""A server of HTTP/2 that takes up the first stream of each connection and refuses the second, and its
client, in raw frames.

`refuses.py <connections>` prints `REFUSED <streams>`, by the client's count.
"""

import socket
import struct
import sys
import threading

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEADERS, RST_STREAM, SETTINGS = 1, 3, 4
REFUSED_STREAM = 7


def frame(kind, flags, stream, payload=b""):
    length = struct.pack(">I", len(payload))[1:]
    return length + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def headers(stream, block):
    # END_STREAM and END_HEADERS.
    return frame(HEADERS, 5, stream, block)


# GET, http, /, and `:authority: a`, none of it kept in a table.
REQUEST = b"\x82\x86\x84\x01\x01a"
ASKED = PREFACE + frame(SETTINGS, 0, 0) + headers(1, REQUEST) + headers(3, REQUEST)
ANSWERED = (
    frame(SETTINGS, 0, 0)
    + headers(1, b"\x88")
    + frame(RST_STREAM, 0, 3, struct.pack(">I", REFUSED_STREAM))
)


def receive(connection, size):
    data = b""
    while len(data) < size and (more := connection.recv(size - len(data))):
        data += more
    return data


def serve(listener, connections):
    for _ in range(connections):
        connection, _ = listener.accept()
        assert receive(connection, len(ASKED)) == ASKED
        connection.sendall(ANSWERED)
        receive(connection, 1)
        connection.close()


def main():
    connections = int(sys.argv[1])
    listener = socket.create_server(("127.0.0.1", 0))
    server = threading.Thread(target=serve, args=(listener, connections))
    server.start()
    refused = 0
    for _ in range(connections):
        with socket.create_connection(listener.getsockname()) as connection:
            connection.sendall(ASKED)
            refused += receive(connection, len(ANSWERED)) == ANSWERED
    server.join()
    print("REFUSED", refused, flush=True)


main()
