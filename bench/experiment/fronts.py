"""What stands in front of the service: how each is started.

All share a core with the service, which sleeps instead of computing; the generator has the other one.
"""

import json
import os
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import proxies
from process import Process, wait_until
from proxies import OTHERS_CORE, PROXY_CORE, built, found, free_addresses, written

HERE = Path(__file__).resolve().parent
GENERATORS_CORE = OTHERS_CORE
ENVOY = HERE.parent.parent / "target" / "python" / "bin" / "envoy"

NOTHING = "nothing"
WEIR = "weir"
NAMES = [NOTHING, WEIR, "envoy", "haproxy"]
TITLES = {
    NOTHING: "nothing",
    WEIR: "Weir, no number set",
    "envoy": "Envoy, adaptive concurrency",
    "haproxy": "HAProxy, told the answer",
}


def available():
    """Those that can be started here; whoever is left out is said to be."""
    return [name for name in NAMES if name != "envoy" or ENVOY.exists()]


@contextmanager
def station(service, seed, slow_after_s=None, status=200):
    """A running service; gives its process and address."""
    [address] = free_addresses(1)
    command = [built("weir-load"), "station", "--address", written(address)]
    command += ["--slots", service.slots, "--service", service.time, "--seed", seed, "--status", status]
    if slow_after_s is not None:
        command += ["--slow-after", f"{slow_after_s}s", "--slow-factor", service.slows]
    with Process(command, PROXY_CORE) as process:
        wait_until(lambda: answers(address), process)
        yield process, address


@contextmanager
def front(name, service, behind, folder, config=None):
    """A running front before the service at `behind`; gives its process, if any, and its address."""
    if name == NOTHING:
        yield None, behind
        return
    listen, admin = free_addresses(2)
    command, environment = started_as(name, service, listen, behind, folder, config)
    with Process(command, PROXY_CORE, {**environment, "ADMIN": written(admin)}) as process:
        wait_until(lambda: answers(listen), process)
        yield process, listen


def started_as(name, service, listen, behind, folder, config):
    environment = {"LISTEN": written(listen), "UPSTREAM": written(behind)}
    if name == WEIR:
        return [weir(), "run", "-c", config or HERE / "weir.yaml"], environment
    if name == "envoy":
        text = (HERE / "envoy.yaml").read_text()
        for key, address in [("LISTEN_PORT", listen), ("UPSTREAM_PORT", behind)]:
            text = text.replace(f"@{key}@", str(address[1]))
        path = Path(folder) / "envoy.yaml"
        path.write_text(text)
        command = [ENVOY, "-c", path, "--concurrency", 1, "--disable-hot-restart", "-l", "error"]
        return command, environment
    environment["MAXCONN"] = str(2 * service.slots)
    return [found("haproxy"), "-db", "-f", HERE / "haproxy.cfg"], environment


def weir():
    """The build that is measured: this one, or the one that `WEIR_BINARY` names."""
    return Path(os.environ.get("WEIR_BINARY", proxies.TARGET / "weir"))


def answers(address):
    """Whether the station's account can be had there, which takes no slot."""
    try:
        account(address)
    except OSError:
        return False
    return True


def account(address):
    """What the station did, in steps of time since its first request."""
    with urllib.request.urlopen(f"http://{written(address)}/station", timeout=5) as answer:
        return json.load(answer)


def missing():
    """What must be there before a run, one line each."""
    needed = [weir(), proxies.TARGET / "weir-load"]
    return [f"{path} is not there; `make overload` builds it" for path in needed if not path.exists()]
