#!/usr/bin/env python3
"""Calls the service of grpc_server.py and judges what comes back.

    grpc_client.py HOST:PORT CASE

Exit code: 0 as expected, 1 not (a traceback says where).
"""

import os
import queue
import sys
import time

import grpc

OPTIONS = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # A refusal is to be seen, not tried again.
    ("grpc.enable_retries", 0),
]
PATIENCE = 30


class Client:
    def __init__(self, target):
        self.channel = grpc.insecure_channel(target, options=OPTIONS)

    def unary(self, name):
        return self.channel.unary_unary(f"/weir.test.Echo/{name}")

    def server_stream(self, name):
        return self.channel.unary_stream(f"/weir.test.Echo/{name}")

    def client_stream(self, name):
        return self.channel.stream_unary(f"/weir.test.Echo/{name}")

    def bidi_stream(self, name):
        return self.channel.stream_stream(f"/weir.test.Echo/{name}")


def fails(call, code, *details):
    """Asserts that a call ends with a status code and says certain words; returns the error."""
    try:
        answer = call()
    except grpc.RpcError as error:
        assert error.code() == code, error
        for words in details:
            assert words in error.details(), error
        return error
    raise AssertionError(f"answered {answer!r} instead of {code}")


def unary(client):
    assert client.unary("Unary")(b"a report", timeout=PATIENCE) == b"a report"
    assert client.unary("Unary")(b"", timeout=PATIENCE) == b""


def server_stream(client):
    messages = list(client.server_stream("ServerStream")(b"100", timeout=PATIENCE))
    assert messages == [b"%d" % number for number in range(100)], messages


def client_stream(client):
    messages = (b"x" * number for number in range(100))
    assert client.client_stream("ClientStream")(messages, timeout=PATIENCE) == b"100"


def bidi_stream(client):
    """Each message is sent only after the one before it has come back."""
    asked = queue.Queue()
    answers = client.bidi_stream("BidiStream")(iter(asked.get, None), timeout=PATIENCE)
    for number in range(20):
        asked.put(b"%d" % number)
        assert next(answers) == b"%d" % number
    asked.put(None)
    assert list(answers) == []
    assert answers.code() == grpc.StatusCode.OK


def metadata(client):
    binary = bytes(range(256))
    sent = [("x-ask", "value"), ("x-ask-bin", binary)]
    answer, call = client.unary("Metadata").with_call(b"", metadata=sent, timeout=PATIENCE)
    assert answer == b""
    assert dict(call.initial_metadata())["x-start"] == "value", call.initial_metadata()
    trailing = dict(call.trailing_metadata())
    assert (trailing["x-end"], trailing["x-end-bin"]) == ("value", binary), trailing


def failure(client):
    for code in [grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INTERNAL]:
        call = lambda: client.unary("Failure")(code.name.encode(), timeout=PATIENCE)
        error = fails(call, code, "as asked: 100 % ünïcödé")
        assert "weir" not in (error.details() or ""), error


def large(client):
    message = os.urandom(8 << 20)
    assert client.unary("Unary")(message, timeout=PATIENCE) == message
    answers = client.bidi_stream("BidiStream")(iter([message]), timeout=PATIENCE)
    assert list(answers) == [message]


def deadline(client):
    """The client's own deadline ends the call at the service as well."""
    fails(lambda: client.unary("Silence")(b"", timeout=1), grpc.StatusCode.DEADLINE_EXCEEDED)
    assert client.unary("WasCancelled")(b"", timeout=PATIENCE) == b"yes"


def cancel(client):
    answers = client.server_stream("Wait")(b"", timeout=PATIENCE)
    assert next(answers) == b"waiting"
    answers.cancel()
    assert client.unary("WasCancelled")(b"", timeout=PATIENCE) == b"yes"


def resource_exhausted(client):
    call = lambda: client.unary("Unary")(b"", timeout=PATIENCE)
    error = fails(call, grpc.StatusCode.RESOURCE_EXHAUSTED, "rate_limited")
    trailers_only(error)
    assert int(dict(error.trailing_metadata())["grpc-retry-pushback-ms"]) > 0, error


def breaker_open(client):
    call = lambda: client.unary("Unary")(b"", timeout=PATIENCE)
    trailers_only(fails(call, grpc.StatusCode.UNAVAILABLE, "breaker_open"))


def overloaded(client):
    """One call holds the only permit until it is cancelled."""
    holder = client.server_stream("Wait")(b"", timeout=PATIENCE)
    assert next(holder) == b"waiting"
    other = lambda: client.unary("Unary")(b"", timeout=PATIENCE)
    trailers_only(fails(other, grpc.StatusCode.UNAVAILABLE, "overloaded"))
    holder.cancel()
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        try:
            assert other() == b""
            return
        except grpc.RpcError as error:
            assert "overloaded" in error.details(), error
    raise AssertionError("the permit never came back")


def total(client):
    call = lambda: client.unary("Silence")(b"", timeout=PATIENCE)
    trailers_only(fails(call, grpc.StatusCode.DEADLINE_EXCEEDED, "upstream_total_timeout"))
    assert client.unary("WasCancelled")(b"", timeout=PATIENCE) == b"yes"


def time_remaining(client):
    """A second and more has gone before the service sees the call; grpcio says seconds in floats."""
    before = time.monotonic()
    remaining = float(client.unary("TimeRemaining")(b"", timeout=PATIENCE))
    assert 0 < remaining < PATIENCE, remaining
    assert PATIENCE - remaining <= time.monotonic() - before + 1, remaining


def too_late(client):
    """Once the service is known to be slower than a caller waits, the call is refused on arrival."""
    for _ in range(25):
        assert client.unary("Slow")(b"", timeout=PATIENCE) == b""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        call = lambda: client.unary("Slow")(b"", timeout=0.1)
        error = fails(call, grpc.StatusCode.DEADLINE_EXCEEDED)
        # Now and then one is let through to find out, and ends when its time is over.
        if "an answer takes" in error.details():
            return trailers_only(error)
    raise AssertionError("never refused")


def fault(client):
    """An abort has the status that was asked for; a delay that outlasts the call ends with it."""
    def asks(words, timeout=PATIENCE):
        return lambda: client.unary("Unary")(b"", metadata=[("x-weir-fault", words)], timeout=timeout)

    trailers_only(fails(asks("abort=NOT_FOUND"), grpc.StatusCode.NOT_FOUND, "fault_injected"))
    trailers_only(fails(asks("abort=500"), grpc.StatusCode.UNAVAILABLE, "fault_injected"))
    fails(asks("delay=1h", timeout=0.3), grpc.StatusCode.DEADLINE_EXCEEDED)
    fails(asks("abort=reset"), grpc.StatusCode.INTERNAL)
    trailers_only(fails(asks("drip=1B"), grpc.StatusCode.INVALID_ARGUMENT, "may not be asked for"))
    assert asks("none")() == b""


def trailers_only(error):
    """A refusal has one header block, which grpcio shows as trailers."""
    assert list(error.initial_metadata()) == [], error.initial_metadata()
    fields = dict(error.trailing_metadata())
    assert fields["proxy-status"].startswith("weir; "), fields


CASES = [
    unary, server_stream, client_stream, bidi_stream, metadata, failure, large,
    deadline, cancel, resource_exhausted, breaker_open, overloaded, total,
    time_remaining, too_late, fault,
]

if __name__ == "__main__":
    target, wanted = sys.argv[1:]
    {case.__name__: case for case in CASES}[wanted](Client(target))
