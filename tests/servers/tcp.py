"""Opens, holds and breaks TCP connections, and says what it did. Arguments are the verb and its own."""

import os
import socket
import struct
import sys
import time


def say(*words):
    print(*words, flush=True)


def await_file(path):
    while not os.path.exists(path):
        time.sleep(0.01)


def drain(connection):
    while True:
        try:
            if not connection.recv(65536):
                return
        except ConnectionResetError:
            return


def serve(port, reply, address="127.0.0.1"):
    listener = socket.create_server((address, int(port)), backlog=128)
    say("listening")
    while True:
        connection, _ = listener.accept()
        drain(connection)
        try:
            connection.sendall(b"r" * int(reply))
        except OSError:
            pass
        connection.close()


def connect(port, count, size, address="127.0.0.1"):
    took = 0
    for _ in range(int(count)):
        client = socket.socket()
        before = time.monotonic_ns()
        client.connect((address, int(port)))
        took += time.monotonic_ns() - before
        client.sendall(b"q" * int(size))
        client.shutdown(socket.SHUT_WR)
        drain(client)
        client.close()
    say("took", took)


def fail(address, port, count):
    for _ in range(int(count)):
        client = socket.socket()
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_SYNCNT, 1)
        try:
            client.connect((address, int(port)))
            say("connected")
        except OSError as error:
            say("failed", error.errno)
        client.close()
    say("done")


def reset(port, count):
    for _ in range(int(count)):
        client = socket.create_connection(("127.0.0.1", int(port)))
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
    say("done")


def hold(port, before, after, go, end):
    """Sends `before` bytes, waits for the file `go`, sends `after` bytes, waits for the file `end`."""
    client = socket.create_connection(("127.0.0.1", int(port)))
    client.sendall(b"q" * int(before))
    say("held")
    await_file(go)
    client.sendall(b"q" * int(after))
    say("sent")
    await_file(end)
    client.shutdown(socket.SHUT_WR)
    drain(client)
    client.close()
    say("done")


verbs = {"serve": serve, "connect": connect, "fail": fail, "reset": reset, "hold": hold}
verbs[sys.argv[1]](*sys.argv[2:])
if sys.argv[1] != "serve":
    # To be looked at: it is ended by whoever started it.
    time.sleep(600)
