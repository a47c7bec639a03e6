"""A listener and its own clients, for the accept queue. Arguments: a mode, and how many clients.

wait N MS   N clients connect and are let wait MS milliseconds before they are accepted. Prints
            `BOUNDS LEAST MOST`: the sum of the waits by CLOCK_MONOTONIC, in ns, lies between.
blind N     N clients are accepted without asking for the peer's address (accept4 with NULL); every
            second one is asked for it afterwards. All are closed by the server.
full N      N clients connect to a queue of 1 that nobody accepts from, and give up after a while.
            Prints `DONE` when none of them tries any more.

All print `PORT` first, and stay until they are ended."""
import ctypes
import os
import socket
import struct
import sys
import time

TCP_INFO_UNACKED = 24  # tcpi_unacked: of a listener, the length of its accept queue


def queued(listener):
    info = listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 64)
    return struct.unpack_from("I", info, TCP_INFO_UNACKED)[0]


def wait_for_queue(listener, count):
    deadline = time.monotonic() + 60
    while queued(listener) != count:
        if time.monotonic() > deadline:
            sys.exit(f"the queue has {queued(listener)} connections, not {count}")
        time.sleep(0.001)


def wait(listener, address, count, milliseconds):
    least = most = 0
    clients = []
    for _ in range(count):
        begun = time.monotonic_ns()
        clients.append(socket.create_connection(address))
        most -= begun
    wait_for_queue(listener, count)
    least -= count * time.monotonic_ns()
    time.sleep(milliseconds / 1000)
    accepted = []
    for _ in range(count):
        least += time.monotonic_ns()
        accepted.append(listener.accept()[0])
        most += time.monotonic_ns()
        # Not another accept.
        accepted[-1].getpeername()
    print("BOUNDS", least, most, flush=True)
    return clients, accepted


def blind(listener, address, count):
    libc = ctypes.CDLL(None, use_errno=True)
    for number in range(count):
        client = socket.create_connection(address)
        fd = libc.accept4(listener.fileno(), None, None, 0)
        if fd < 0:
            sys.exit(os.strerror(ctypes.get_errno()))
        accepted = socket.socket(fileno=fd)
        if number % 2:
            accepted.getpeername()
        accepted.close()
        client.close()
    print("DONE", flush=True)


def full(listener, address, count):
    listener.listen(1)
    clients = []
    for _ in range(count):
        client = socket.socket(address_family)
        client.setblocking(False)
        client.connect_ex(address)
        clients.append(client)
    # One more than the limit fits.
    wait_for_queue(listener, 2)
    # Long enough for each to have tried again.
    time.sleep(2.5)
    for client in clients:
        try:
            client.getpeername()
        except OSError:
            client.close()
    print("DONE", flush=True)
    return clients


mode, count = sys.argv[1], int(sys.argv[2])
address_family = socket.AF_INET6 if os.environ.get("V6") else socket.AF_INET
listener = socket.socket(address_family)
listener.bind(("::1" if address_family == socket.AF_INET6 else "127.0.0.1", 0))
listener.listen(count)
print("PORT", listener.getsockname()[1], flush=True)
address = listener.getsockname()[:2]
if mode == "wait":
    kept = wait(listener, address, count, int(sys.argv[3]))
elif mode == "blind":
    kept = blind(listener, address, count)
else:
    kept = full(listener, address, count)
while True:
    time.sleep(60)
