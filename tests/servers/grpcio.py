"""A gRPC server and a gRPC client by grpcio, whose messages say what is to come of the call.

`serve` prints `LISTENING <address>`. `call <address> <connections> <calls> <concurrency>` makes calls,
every kind in turn, and prints `CALLS` and a JSON list: method, status, number of calls, messages sent,
messages received. With a path as fifth argument it makes one call on each connection first, which it
does not count, prints `READY`, and waits for that file.

TABLE in the environment is the size of the header tables that each end allows, METADATA the most bytes of
metadata with a call, LATE the number from which on no call waits for its deadline, UNTIL a file: once it
is there, no call begins any more.
"""

import asyncio
import json
import os
import sys
from collections import defaultdict

import grpc
from grpc import aio

SERVICE = "/hark.test.Echo/"
TRAILERS, TRAILERS_ONLY, NEVER = range(3)
STATUSES = [0, 0, 0, 5, 13, 0, 16, 14]
CODES = {code.value[0]: code for code in grpc.StatusCode}
METADATA = int(os.environ.get("METADATA", "300"))
UNTIL = os.environ.get("UNTIL")
# The numbers of calls whose deadline passes; see `one`.
LATE = range(8, int(os.environ.get("LATE", "50")), 33)


def options():
    list_ = [
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.max_metadata_size", 1 << 20),
        ("grpc.absolute_max_metadata_size", 1 << 20),
    ]
    if "TABLE" in os.environ:
        size = int(os.environ["TABLE"])
        list_ += [
            ("grpc.http2.hpack_table_size.decoder", size),
            ("grpc.http2.hpack_table_size.encoder", size),
        ]
    return list_


async def answer(requests, context):
    first = await anext(requests)
    status, messages, how = first[:3]
    if how != NEVER:
        async for _ in requests:
            pass
    if status and how == TRAILERS_ONLY:
        await context.abort(CODES[status], "as ordered")
    for number in range(messages):
        yield bytes([number]) * 100
    if how == NEVER:
        await asyncio.Event().wait()
    context.set_code(CODES[status])
    context.set_details("as ordered")


class Echo(grpc.GenericRpcHandler):
    def service(self, details):
        if details.method == SERVICE + "Missing":
            return None
        return grpc.stream_stream_rpc_method_handler(answer)


async def serve():
    server = aio.server(options=options())
    server.add_generic_rpc_handlers((Echo(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(f"LISTENING 127.0.0.1:{port}", flush=True)
    await server.wait_for_termination()


async def several(message):
    for _ in range(5):
        yield message


async def drain(call):
    async for _ in call:
        pass
    return await call.code()


async def one(channel, number):
    """One call; its number says of what kind. Gives method, status, messages sent and received."""
    status = STATUSES[number % len(STATUSES)]
    how = TRAILERS_ONLY if number % 3 == 0 else TRAILERS
    metadata = (("x-number", f"{number}-" + "x" * (number * 997 % METADATA)),)
    # What the server sends, by its orders.
    answers = lambda messages: 0 if status and how == TRAILERS_ONLY else messages
    kind = number % 11
    try:
        if kind < 4 or kind == 9:
            method, sent, received = "Unary", 1, answers(1)
            if kind == 9:
                method, received = "Missing", 0
            call = channel.unary_unary(SERVICE + method)
            await call(bytes([status, 1, how]), metadata=metadata, timeout=60 + number)
            return method, grpc.StatusCode.OK, sent, received
        if number in LATE:
            # The deadline passes: a long one, which a busy machine hardly shortens. Few are waited for.
            method, sent, received = "Waits", 1, 1
            call = channel.unary_stream(SERVICE + method)
            code = await drain(call(bytes([0, 1, NEVER]), metadata=metadata, timeout=4))
        elif kind in (4, 5, 8):
            method, sent, received = "Lists", 1, answers(20)
            call = channel.unary_stream(SERVICE + method)
            code = await drain(call(bytes([status, 20, how]), metadata=metadata))
        elif kind == 6:
            method, sent, received = "Collects", 5, answers(1)
            call = channel.stream_unary(SERVICE + method)
            await call(several(bytes([status, 1, how])), metadata=metadata)
            code = grpc.StatusCode.OK
        elif kind == 7:
            method, sent, received = "Chats", 5, answers(1)
            call = channel.stream_stream(SERVICE + method)
            code = await drain(call(several(bytes([status, 1, how])), metadata=metadata))
        else:
            # Given up after the first answer: the stream is reset.
            method, sent, received = "Hangs", 1, 1
            call = channel.unary_stream(SERVICE + method)(
                bytes([0, 1, NEVER]), metadata=metadata
            )
            await call.read()
            call.cancel()
            code = await call.code()
        return method, code, sent, received
    except aio.AioRpcError as error:
        return method, error.code(), sent, received
    except asyncio.CancelledError:
        return method, grpc.StatusCode.CANCELLED, sent, received


async def call(address, connections, calls, concurrency, gate):
    channels = [
        aio.insecure_channel(address, options=options()) for _ in range(connections)
    ]
    if gate:
        for channel in channels:
            await one(channel, 0)
        print("READY", flush=True)
        while not os.path.exists(gate):
            await asyncio.sleep(0.02)
    counts = defaultdict(lambda: [0, 0, 0])

    async def worker(channel, numbers):
        for number in numbers:
            if UNTIL and os.path.exists(UNTIL):
                return
            method, code, sent, received = await one(channel, number)
            count = counts[method, code.name]
            count[0] += 1
            count[1] += sent
            count[2] += received

    workers = []
    for channel in channels:
        numbers = iter(range(calls))
        workers += [worker(channel, numbers) for _ in range(concurrency)]
    await asyncio.gather(*workers)
    # A reset is written by the connection's own thread; nothing tells when that has been done.
    await asyncio.sleep(0.5)
    rows = [[(SERVICE + method)[1:], code, *count] for (method, code), count in counts.items()]
    print("CALLS " + json.dumps(rows), flush=True)


def main():
    match sys.argv[1:]:
        case ["serve"]:
            asyncio.run(serve())
        case ["call", address, connections, calls, concurrency, *gate]:
            numbers = map(int, (connections, calls, concurrency))
            asyncio.run(call(address, *numbers, gate[0] if gate else None))
        case _:
            sys.exit("serve, or call <address> <connections> <calls> <concurrency> [gate]")


main()
