#!/usr/bin/env python3
"""Talks to an echoing WebSocket and judges what comes back.

    websocket_client.py URL CASE

Exit code: 0 as expected, 1 not (a traceback says where).
"""

import os
import sys
import time

from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

PATIENCE = 30


def open_socket(url):
    return connect(url, open_timeout=PATIENCE, max_size=None, compression=None)


def echo(socket, message):
    socket.send(message)
    back = socket.recv(timeout=PATIENCE)
    assert back == message, f"{len(back)} other bytes came back for {len(message)}"


def text(url):
    with open_socket(url) as socket:
        for message in ["", "a report", "ünïcödé – 文", "x" * 70_000]:
            echo(socket, message)


def binary(url):
    with open_socket(url) as socket:
        echo(socket, os.urandom(1 << 20))
        # In many frames, of which none is the whole.
        pieces = [os.urandom(10_000) for _ in range(20)]
        socket.send(iter(pieces))
        assert socket.recv(timeout=PATIENCE) == b"".join(pieces)


def ping(url):
    with open_socket(url) as socket:
        assert socket.ping(b"are you there").wait(PATIENCE), "no pong"


def close(url):
    socket = open_socket(url)
    socket.close(code=4001, reason="done here")
    assert (socket.close_code, socket.close_reason) == (4001, "done here"), socket.protocol


def long(url):
    """Longer than the second that the route has in total."""
    with open_socket(url) as socket:
        until = time.monotonic() + 2
        while time.monotonic() < until:
            echo(socket, "still here")


def limit(url):
    first, second = open_socket(url), open_socket(url)
    try:
        open_socket(url)
        raise AssertionError("the third was let in")
    except InvalidStatus as refused:
        assert refused.response.status_code == 503, refused
        assert b"stream_limit" in refused.response.body, refused.response.body
    echo(first, "the others stay")
    first.close()
    echo(second, "as they were")
    second.close()


if __name__ == "__main__":
    url, case = sys.argv[1:]
    {"text": text, "binary": binary, "ping": ping, "close": close, "long": long, "limit": limit}[case](url)
