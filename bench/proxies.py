"""The proxies that are compared, and the service behind them: how each is started.

Every one runs a single worker on one core, keeps its connections to the service, and has the
policies on that it has. Ports are asked of the kernel, so that nothing else can be in the way.
"""

import http.client
import os
import shutil
import socket
from dataclasses import dataclass
from pathlib import Path

from process import Process, wait_until

HERE = Path(__file__).resolve().parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", HERE.parent / "target")) / "release"

PROXY_CORE = 0
OTHERS_CORE = 1

# What the service answers; 128 bytes.
BODY = "weir " * 25 + "end"

BARE = "bare"
WEIR = "weir"
NAMES = [BARE, WEIR, "nginx", "haproxy"]
TITLES = {
    BARE: "Pingora 0.9.1, bare pass-through",
    WEIR: "Weir, every policy",
    "nginx": "nginx, limits and timeouts",
    "haproxy": "HAProxy, limits, queue, layer 7",
}


@dataclass
class Running:
    """A program that answers at an address."""

    process: Process
    address: tuple
    admin: tuple | None = None


def upstream(folder):
    """Starts the service; close it by its process."""
    [address] = free_addresses(1)
    config = filled("nginx-upstream.conf", folder, LISTEN=written(address), BODY=BODY)
    return started(["nginx", "-e", "stderr", "-c", config], OTHERS_CORE, address)


def proxy(name, service, folder):
    """Starts a proxy of `NAMES` before the service; close it by its process."""
    address, admin = free_addresses(2)
    listen, behind = written(address), written(service)
    environment = {"LISTEN": listen, "UPSTREAM": behind, "ADMIN": written(admin)}
    if name == BARE:
        return started([built("examples/bare"), listen, behind], PROXY_CORE, address)
    if name == WEIR:
        command = [built("weir"), "run", "-c", HERE / "weir.yaml"]
        return started(command, PROXY_CORE, address, environment, admin)
    if name == "nginx":
        config = filled("nginx-proxy.conf", folder, LISTEN=listen, UPSTREAM=behind)
        return started(["nginx", "-e", "stderr", "-c", config], PROXY_CORE, address)
    return started(["haproxy", "-db", "-f", HERE / "haproxy.cfg"], PROXY_CORE, address, environment)


def started(command, core, address, environment=None, admin=None):
    command = [found(command[0]), *command[1:]]
    process = Process(command, core, environment)
    try:
        wait_until(lambda: answers_rightly(address), process)
    except BaseException:
        process.__exit__()
        raise
    return Running(process, address, admin)


def answers_rightly(address):
    """Whether it is there yet; an answer that is not the service's is an error."""
    connection = http.client.HTTPConnection(*address, timeout=5)
    try:
        connection.request("GET", "/")
        response = connection.getresponse()
        body = response.read().decode(errors="replace")
    except ConnectionRefusedError:
        return False
    finally:
        connection.close()
    if (response.status, body) != (200, BODY):
        raise RuntimeError(f"{written(address)} answered {response.status} {body[:200]!r}")
    return True


def filled(template, folder, **values):
    text = (HERE / template).read_text()
    for name, value in {**values, "FOLDER": folder}.items():
        text = text.replace(f"@{name}@", str(value))
    path = Path(folder) / template
    path.write_text(text)
    return path


def built(binary):
    path = TARGET / binary
    if not path.exists():
        raise RuntimeError(
            f"{path} is not there; "
            "build it with: cargo build --release --package weir --bin weir --example bare"
        )
    return path


def found(command):
    # Debian keeps servers where only root looks.
    path = shutil.which(command, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if not path:
        raise RuntimeError(f"{command} is not installed; `make setup` installs it")
    return path


def free_addresses(count):
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    addresses = [probe.getsockname() for probe in probes]
    for probe in probes:
        probe.close()
    return addresses


def written(address):
    return f"{address[0]}:{address[1]}"
