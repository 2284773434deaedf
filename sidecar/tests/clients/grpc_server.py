#!/usr/bin/env python3
"""A gRPC service whose messages are plain bytes.

It listens on a port of the system's choice, and ends when its standard input does.
"""

import sys
import threading
import time
from concurrent import futures

import grpc

ANY_SIZE = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
PATIENCE = 30

cancelled = threading.Event()


def unary(request, context):
    """The message back."""
    return request


def metadata(request, context):
    """The caller's `x-ask` back: at the start, at the end, and in binary."""
    asked = dict(context.invocation_metadata())
    context.send_initial_metadata([("x-start", asked["x-ask"])])
    context.set_trailing_metadata([("x-end", asked["x-ask"]), ("x-end-bin", asked["x-ask-bin"])])
    return request


def failure(request, context):
    """The status code that the message names."""
    context.abort(getattr(grpc.StatusCode, request.decode()), "as asked: 100 % ünïcödé")


def server_stream(request, context):
    """As many messages as the message says."""
    for number in range(int(request)):
        yield b"%d" % number


def client_stream(requests, context):
    """How many messages came."""
    return b"%d" % sum(1 for _ in requests)


def bidi_stream(requests, context):
    """Each message back before the next is read."""
    yield from requests


def left(context):
    """An event for when the caller has left, which counts as cancelled from then on.

    It does not take the handler to say so: grpc stops one whose caller leaves while it yields.
    """
    event = threading.Event()

    def leave():
        cancelled.set()
        event.set()

    context.add_callback(leave)
    return event


def wait(request, context):
    """One message, and then nothing until the caller has left."""
    gone = left(context)
    yield b"waiting"
    gone.wait()


def silence(request, context):
    """Nothing at all until the caller has left."""
    left(context).wait()
    return b"too late"


def slow(request, context):
    """The message back, after some time."""
    time.sleep(0.15)
    return request


def time_remaining(request, context):
    """How many seconds the caller waits, as far as is known here."""
    return b"%f" % context.time_remaining()


def was_cancelled(request, context):
    """Waits until a call has been cancelled since the last question."""
    seen = cancelled.wait(PATIENCE)
    cancelled.clear()
    return b"yes" if seen else b"no"


def main():
    handlers = {
        "Unary": grpc.unary_unary_rpc_method_handler(unary),
        "Metadata": grpc.unary_unary_rpc_method_handler(metadata),
        "Failure": grpc.unary_unary_rpc_method_handler(failure),
        "Silence": grpc.unary_unary_rpc_method_handler(silence),
        "Slow": grpc.unary_unary_rpc_method_handler(slow),
        "TimeRemaining": grpc.unary_unary_rpc_method_handler(time_remaining),
        "WasCancelled": grpc.unary_unary_rpc_method_handler(was_cancelled),
        "ServerStream": grpc.unary_stream_rpc_method_handler(server_stream),
        "Wait": grpc.unary_stream_rpc_method_handler(wait),
        "ClientStream": grpc.stream_unary_rpc_method_handler(client_stream),
        "BidiStream": grpc.stream_stream_rpc_method_handler(bidi_stream),
    }
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=16), options=ANY_SIZE)
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("weir.test.Echo", handlers)])
    server.add_insecure_port("127.0.0.1:0")
    server.start()
    sys.stdin.read()
    server.stop(None)


if __name__ == "__main__":
    main()
