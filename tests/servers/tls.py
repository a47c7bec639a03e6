"""HTTP/1.1 over TLS in Python, which says which socket each request went over.

serve threads|asyncio CERT KEY          prints PORT n, then "SEEN path peer-port" per request
get threads|asyncio PORT CONNECTIONS N  N requests on each of so many connections at a time; prints
                                        "SENT path local-port" per answered request, then DONE
late CERT KEY                           as serve threads, but loads the TLS library only once a
                                        line was read on a plain connection to the port
strict CERT KEY                         as serve threads with one connection, under a seccomp
                                        filter that kills it for any call that is not on a list
"""
import ctypes
import socket
import struct
import sys
import threading

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"
LOCK = threading.Lock()


def say(*words):
    with LOCK:
        print(*words, flush=True)


def server_context(cert, key):
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context


def client_context():
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def path_of(head):
    return head.split(b" ", 2)[1].decode()


def listen():
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    say("PORT", listener.getsockname()[1])
    return listener


def serve_one(connection, peer):
    head = b""
    while True:
        more = connection.recv(4096)
        if not more:
            break
        head += more
        while b"\r\n\r\n" in head:
            request, head = head.split(b"\r\n\r\n", 1)
            say("SEEN", path_of(request), peer)
            connection.sendall(ANSWER)
    connection.close()


def serve_threads(context, listener):
    def run(raw, peer):
        serve_one(context.wrap_socket(raw, server_side=True), peer)

    while True:
        raw, address = listener.accept()
        threading.Thread(target=run, args=(raw, address[1]), daemon=True).start()


def serve_asyncio(context, listener):
    import asyncio

    async def handle(reader, writer):
        peer = writer.get_extra_info("peername")[1]
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                say("SEEN", path_of(head), peer)
                writer.write(ANSWER)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        writer.close()

    async def main():
        server = await asyncio.start_server(handle, sock=listener, ssl=context)
        await server.serve_forever()

    asyncio.run(main())


def request(connection, n):
    path = f"/c{connection}/n{n}"
    return path, f"GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode()


def get_threads(port, connections, count):
    context = client_context()

    def run(connection):
        raw = socket.create_connection(("127.0.0.1", port))
        with context.wrap_socket(raw, server_hostname="localhost") as tls:
            local = tls.getsockname()[1]
            for n in range(count):
                path, text = request(connection, n)
                tls.sendall(text)
                answer = b""
                while len(answer) < len(ANSWER):
                    answer += tls.recv(4096)
                assert answer == ANSWER
                say("SENT", path, local)

    threads = [threading.Thread(target=run, args=(c,)) for c in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def get_asyncio(port, connections, count):
    import asyncio

    async def run(connection):
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=client_context(), server_hostname="localhost"
        )
        local = writer.get_extra_info("sockname")[1]
        for n in range(count):
            path, text = request(connection, n)
            writer.write(text)
            assert await reader.readexactly(len(ANSWER)) == ANSWER
            say("SENT", path, local)
        writer.close()

    async def main():
        await asyncio.gather(*(run(c) for c in range(connections)))

    asyncio.run(main())


# x86-64: read write close fstat poll lseek mmap mprotect munmap brk rt_sigaction rt_sigprocmask
# rt_sigreturn ioctl madvise getpid sendto recvfrom shutdown getsockname getpeername setsockopt
# getsockopt fcntl gettid futex clock_gettime exit_group exit getrandom accept4 newfstatat
CALLS = [0, 1, 3, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 28, 39, 44, 45, 48, 51, 52, 54, 55, 72]
CALLS += [186, 202, 228, 231, 60, 318, 288, 262]


def confine():
    """seccomp(2): what is not on the list kills the process."""
    allow, kill = 0x7FFF0000, 0x80000000
    steps = [struct.pack("HBBI", 0x20, 0, 0, 0)]
    for place, call in enumerate(CALLS):
        steps.append(struct.pack("HBBI", 0x15, len(CALLS) - place, 0, call))
    steps.append(struct.pack("HBBI", 0x06, 0, 0, kill))
    steps.append(struct.pack("HBBI", 0x06, 0, 0, allow))
    code = ctypes.create_string_buffer(b"".join(steps))
    program = struct.pack("HxxxxxxP", len(steps), ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(38, 1, 0, 0, 0)
    assert libc.prctl(22, 2, program, 0, 0) == 0, ctypes.get_errno()


def main():
    what, *rest = sys.argv[1:]
    if what == "serve":
        serve = serve_threads if rest[0] == "threads" else serve_asyncio
        serve(server_context(*rest[1:]), listen())
    elif what == "get":
        get = get_threads if rest[0] == "threads" else get_asyncio
        get(*(int(word) for word in rest[1:]))
        say("DONE")
    elif what == "late":
        listener = listen()
        plain, _ = listener.accept()
        plain.recv(16)
        plain.close()
        serve_threads(server_context(*rest), listener)
    elif what == "strict":
        context = server_context(*rest)
        listener = listen()
        raw, address = listener.accept()
        tls = context.wrap_socket(raw, server_side=True)
        confine()
        serve_one(tls, address[1])
        say("ALIVE")


main()
