"""Whether Weir's own ledger agrees with the load generator.

Two programs that count the same requests by different code, on both ends of a socket, must come to
the same number; if they do not, one of them is wrong and so may be the cost.
"""

import re
import urllib.error
import urllib.request

from proxies import written

# A sample line of the Prometheus text format: name, labels, value.
SAMPLE = re.compile(r"^weir_requests_total\{([^}]*)\} (\d+)")
CLASS = re.compile(r'(?:^|,)class="([a-z_]+)"')


def read(admin):
    """Requests that have ended, by class; None for a proxy that keeps no ledger."""
    if admin is None:
        return None
    with urllib.request.urlopen(f"http://{written(admin)}/metrics", timeout=5) as answer:
        return by_class(answer.read().decode())


def by_class(text):
    ended = {"forwarded": 0, "rejected": 0, "cancelled": 0}
    for line in text.splitlines():
        sample = SAMPLE.match(line)
        of_class = sample and CLASS.search(sample[1])
        if of_class:
            ended[of_class[1]] += int(sample[2])
    return ended


def disagreements(before, admin, requests, connections):
    """What does not fit `requests` answered on so many connections, each in one line.

    The load generator leaves with a request on the way on each connection: those may have been
    forwarded or count as cancelled, but nothing may have been refused.
    """
    if before is None:
        return []
    after = read(admin)
    ended = {name: after[name] - before[name] for name in after}
    wrong = []
    if ended["rejected"]:
        wrong.append(f"Weir refused {ended['rejected']} requests")
    if not requests <= ended["forwarded"] <= requests + connections:
        wrong.append(f"Weir forwarded {ended['forwarded']} requests, wrk counted {requests}")
    if ended["cancelled"] > connections:
        wrong.append(f"Weir saw {ended['cancelled']} cancelled on {connections} connections")
    return wrong
