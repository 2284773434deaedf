#!/usr/bin/env python3
"""Sends the vectors of h2.yaml to a server that speaks HTTP/2 with prior knowledge.

    h2_client.py HOST PORT FILE [NAME...]

runs all vectors of the file, or the named ones, and prints one JSON object a line: what came back,
whether that is among the expected results, and whether the server still answers a new connection.
How many requests reached the service behind, only that service can tell.

A client library would refuse to send most of this, so frames are built one by one; hyperframe packs
them, hpack codes their fields (both come with h2==4.4.1; PyYAML reads the file). Every wait has a
deadline. Exit code: 0 all as expected, 1 not all, 2 wrong usage.
"""

import json
import selectors
import socket
import struct
import sys
import time

import yaml
from hpack import Decoder, Encoder, HPACKError
from hyperframe.exceptions import HyperframeError
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
PATIENCE = 5.0  # seconds for all that one vector waits for
ALIVE = [":method: GET", ":scheme: http", ":path: /alive", ":authority: a"]
BARRIER = b"barrier!"  # the PING that is answered when all before it has been read


def text(value):
    """The bytes of a string, or of { times, of }."""
    if isinstance(value, dict):
        return text(value["of"]) * value["times"]
    return value.encode("latin-1")


def fields(spliced):
    """Pairs of name and value from "name: value", lists within the list spliced in."""
    for field in spliced:
        if isinstance(field, list):
            yield from fields(field)
        else:
            name, value = field.split(": ", 1)
            yield name.encode("latin-1"), value.encode("latin-1")


class Writer:
    """Turns the frames of a vector into bytes."""

    def __init__(self):
        self.encoder = Encoder()
        self.opened = -1

    def connection_start(self, settings=True):
        return PREFACE + (SettingsFrame(0).serialize() if settings else b"")

    def frames(self, steps):
        return b"".join(self.frame(step) for step in steps)

    def frame(self, step):
        ((kind, its),) = step.items()
        return getattr(self, kind)(its)

    def stream(self, its):
        number = its["stream"]
        if number == "next":
            self.opened += 2
        return self.opened if number in ("next", "last") else number

    def block(self, its):
        return self.encoder.encode(list(fields(its["fields"])))

    def headers(self, its):
        flags = 0x1 * its.get("end", True) | 0x4 * its.get("end_headers", True)
        return packed(HeadersFrame.type, flags, self.stream(its), self.block(its))

    def continuation(self, its):
        flags = 0x4 * its.get("end_headers", True)
        return packed(ContinuationFrame.type, flags, self.stream(its), self.block(its))

    def data(self, its):
        return packed(DataFrame.type, 0x1 * its.get("end", True), self.stream(its), text(its["body"]))

    def reset(self, its):
        return packed(RstStreamFrame.type, 0, self.stream(its), struct.pack(">L", its["code"]))

    def window(self, its):
        return packed(WindowUpdateFrame.type, 0, self.stream(its), struct.pack(">L", its["by"]))

    def ping(self, its):
        return packed(PingFrame.type, 0x1 * its.get("ack", False), 0, b"a vector")

    def settings(self, its):
        return packed(SettingsFrame.type, 0, 0, b"".join(struct.pack(">HL", *pair) for pair in its.items()))

    def raw(self, its):
        return packed(its["type"], its["flags"], self.stream(its), text(its["payload"]))

    def times(self, its):
        return b"".join(self.frames(its["send"]) for _ in range(its["of"]))


def packed(kind, flags, stream, payload):
    """Any frame at all; hyperframe's own classes would not let a wrong one out."""
    return struct.pack(">HBBBL", len(payload) >> 8, len(payload) & 0xFF, kind, flags, stream) + payload


class Stream:
    """What came back on one stream."""

    def __init__(self):
        self.status = None
        self.ended = False
        self.reset = None

    def is_over(self):
        return self.ended or self.reset is not None

    def result(self):
        if self.ended:
            return "ok" if 200 <= self.status < 300 else self.status
        if self.reset is not None:
            return "stream_error" if self.reset else "reset_without_error"
        return "silence"


class Connection:
    """A socket, what is still to be sent on it, and what came back."""

    def __init__(self, host, port):
        self.socket = socket.create_connection((host, port), timeout=PATIENCE)
        self.socket.setblocking(False)
        self.deadline = time.monotonic() + PATIENCE
        self.unsent = bytearray()
        self.unread = bytearray()
        self.decoder = Decoder()
        self.block = b""
        self.block_ends_stream = False
        self.streams = {}
        self.goaway = None
        self.is_closed = False
        self.passed_barrier = False

    def stream(self, number):
        return self.streams.setdefault(number, Stream())

    def is_broken(self):
        return bool(self.goaway) or (self.is_closed and self.goaway is None)

    def run_until(self, done):
        """Sends and reads until `done()`, the connection's end, or the deadline."""
        with selectors.DefaultSelector() as selector:
            selector.register(self.socket, selectors.EVENT_READ)
            while not self.is_closed and not done():
                left = self.deadline - time.monotonic()
                if left <= 0:
                    return
                wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if self.unsent else 0)
                selector.modify(self.socket, wanted)
                for _, ready in selector.select(left):
                    self.turn(ready)

    def turn(self, ready):
        try:
            if ready & selectors.EVENT_READ:
                received = self.socket.recv(65536)
                self.is_closed = not received
                self.unread += received
                self.read_frames()
            if ready & selectors.EVENT_WRITE:
                del self.unsent[: self.socket.send(self.unsent)]
        except BlockingIOError:
            pass
        except OSError:
            self.is_closed = True

    def read_frames(self):
        while len(self.unread) >= 9:
            frame, length = Frame.parse_frame_header(memoryview(bytes(self.unread[:9])))
            if len(self.unread) < 9 + length:
                return
            frame.parse_body(memoryview(bytes(self.unread[9 : 9 + length])))
            del self.unread[: 9 + length]
            self.take(frame)

    def take(self, frame):
        if isinstance(frame, (HeadersFrame, ContinuationFrame)):
            if isinstance(frame, HeadersFrame):
                self.block_ends_stream = "END_STREAM" in frame.flags
            self.block += frame.data
            if "END_HEADERS" in frame.flags:
                self.take_block(self.stream(frame.stream_id))
        elif isinstance(frame, DataFrame):
            self.stream(frame.stream_id).ended |= "END_STREAM" in frame.flags
            if frame.flow_controlled_length:
                credit = struct.pack(">L", frame.flow_controlled_length)
                self.unsent += packed(WindowUpdateFrame.type, 0, 0, credit)
        elif isinstance(frame, RstStreamFrame):
            self.stream(frame.stream_id).reset = frame.error_code
        elif isinstance(frame, SettingsFrame) and "ACK" not in frame.flags:
            self.unsent += packed(SettingsFrame.type, 0x1, 0, b"")
        elif isinstance(frame, PingFrame) and "ACK" not in frame.flags:
            self.unsent += packed(PingFrame.type, 0x1, 0, frame.opaque_data)
        elif isinstance(frame, PingFrame):
            self.passed_barrier |= frame.opaque_data == BARRIER
        elif isinstance(frame, GoAwayFrame):
            self.goaway = max(self.goaway or 0, frame.error_code)

    def take_block(self, stream):
        block, self.block = self.block, b""
        for name, value in self.decoder.decode(block, raw=True):
            if name == b":status" and not value.startswith(b"1"):
                stream.status = int(value)
        stream.ended |= self.block_ends_stream

    def result(self, stream):
        if self.is_broken():
            return "connection_error"
        return self.stream(stream).result()


def exchange(host, port, steps, stream, settings=True):
    """Sends the frames and waits until it is known what becomes of `stream`."""
    connection = Connection(host, port)
    with connection.socket:
        writer = Writer()
        connection.unsent += writer.connection_start(settings) + writer.frames(steps)
        judged = connection.stream(stream)
        connection.run_until(lambda: judged.is_over() or connection.goaway)
        # A broken connection may show itself after the stream's end, and a PING is behind all else.
        connection.unsent += packed(PingFrame.type, 0, 0, BARRIER)
        connection.run_until(lambda: connection.passed_barrier or connection.goaway)
    return connection


def run(host, port, vector):
    """One vector, and whether the server has outlived it."""
    number = vector.get("stream", 1)
    outcome = {"name": vector["name"], "expected": vector["result"], "result": None, "as_expected": False}
    try:
        connection = exchange(host, port, vector["send"], number, vector.get("settings", True))
        outcome["result"] = connection.result(number)
        outcome["status"] = connection.stream(number).status
        outcome["reset"] = connection.stream(number).reset
        outcome["goaway"] = connection.goaway
        outcome["closed"] = connection.is_closed
        after = exchange(host, port, [{"headers": {"stream": 1, "fields": ALIVE}}], 1)
        outcome["alive"] = after.stream(1).ended
        outcome["as_expected"] = outcome["alive"] and outcome["result"] in vector["result"]
    except (OSError, HPACKError, HyperframeError) as error:
        outcome["error"] = f"{type(error).__name__}: {error}"
    return outcome


def main(arguments):
    if len(arguments) < 3 or not arguments[1].isdigit():
        print(__doc__, file=sys.stderr)
        return 2
    host, port, path, *names = arguments
    with open(path, encoding="utf-8") as file:
        vectors = yaml.safe_load(file)
    unknown = set(names) - {vector["name"] for vector in vectors}
    if unknown:
        print(f"{path} has no vector named {', '.join(sorted(unknown))}", file=sys.stderr)
        return 2
    all_as_expected = True
    for vector in vectors:
        if not names or vector["name"] in names:
            outcome = run(host, int(port), vector)
            all_as_expected &= outcome["as_expected"]
            print(json.dumps(outcome), flush=True)
    return 0 if all_as_expected else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
