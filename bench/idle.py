"""Memory under idle keep-alive connections, each of which has made one request.

One request each, because that is what a connection of a client pool looks like, and because a
buffer that is only filled by a request would otherwise not be counted.
"""

import socket
import time

from proxies import BODY

# One source address has some 28,000 ports at most, fewer while old connections linger.
SOURCES = [f"127.0.0.{last}" for last in range(1, 9)]
SETTLE_S = 1


def measure(proxy, connections):
    """Resident memory before and after; `invalid` lists why not to use it."""
    before = proxy.process.rss_kib()
    held = []
    try:
        for index in range(connections):
            held.append(asked(proxy.address, SOURCES[index % len(SOURCES)]))
        # What the last answers left to do, such as pooling a connection, is done by then.
        time.sleep(SETTLE_S)
        after = proxy.process.rss_kib()
        closed = sum(1 for connection in held if not is_open(connection))
    finally:
        for connection in held:
            connection.close()
    return {
        "connections": connections,
        "rss_kib_before": before,
        "rss_kib": after,
        "kib_per_connection": (after - before) / connections,
        "invalid": [f"{closed} connections did not stay open"] if closed else [],
    }


def asked(address, source):
    """A connection that has had one answer."""
    connection = socket.create_connection(address, timeout=10, source_address=(source, 0))
    connection.sendall(f"GET / HTTP/1.1\r\nHost: {address[0]}\r\n\r\n".encode())
    answer = b""
    while not answer.endswith(BODY.encode()):
        piece = connection.recv(4096)
        if not piece:
            raise RuntimeError(f"a connection closed within its answer: {answer[:200]!r}")
        answer += piece
    if not answer.startswith(b"HTTP/1.1 200 "):
        raise RuntimeError(f"a connection was answered {answer[:200]!r}")
    return connection


def is_open(connection):
    """Whether the other side has neither closed nor said anything more."""
    connection.setblocking(False)
    try:
        connection.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
