"""Datagrams that the kernel drops, for one reason. Arguments: the reason, and how many."""
import ctypes
import errno
import socket
import struct
import sys

SO_ATTACH_FILTER = 26
BPF_RET = 0x06

reason, count = sys.argv[1], int(sys.argv[2])
receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
receiver.bind(("127.0.0.1", 0))
address = receiver.getsockname()
if reason == "no_socket":
    receiver.close()
elif reason == "socket_filter":
    # One instruction: keep 0 bytes of the packet.
    program = ctypes.create_string_buffer(struct.pack("HBBI", BPF_RET, 0, 0, 0))
    receiver.setsockopt(
        socket.SOL_SOCKET,
        SO_ATTACH_FILTER,
        struct.pack("HxxxxxxP", 1, ctypes.addressof(program)),
    )
elif reason == "socket_rcvbuff":
    receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
else:
    sys.exit(f"unknown reason {reason}")
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for _ in range(count):
    try:
        sender.sendto(bytes(512), address)
    except OSError as error:
        # The queue of the interface dropped it and says so (with IP_RECVERR) or not.
        if error.errno != errno.ENOBUFS:
            raise
