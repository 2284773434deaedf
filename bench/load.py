"""One measured load: what wrk saw, what the proxy used for it, and whether both can be believed."""

import json
import resource
import subprocess
import time

import ledger
import machine
from process import TICKS_PER_SECOND
from proxies import HERE, OTHERS_CORE, found, written

CONNECTIONS = 64
WARM_UP_S = 1

# The two accounts of CPU time differ by rounding, to a tick for user and for system time, unless a
# thread has ended with what it used.
ROUNDING_NS = 2 * 1_000_000_000 // TICKS_PER_SECOND


def wrk(address, seconds):
    """Loads an address for so many seconds; the summary of wrk.lua."""
    command = [found("taskset"), "--cpu-list", str(OTHERS_CORE), found("wrk")]
    command += ["--threads", "1", "--connections", str(CONNECTIONS), "--duration", f"{seconds}s"]
    command += ["--script", str(HERE / "wrk.lua"), f"http://{written(address)}/"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 30, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def measure(proxy, service, seconds):
    """A sample: CPU per request and its circumstances; `invalid` lists why not to use it."""
    wrk(proxy.address, WARM_UP_S)
    ledger_before = ledger.read(proxy.admin)
    machine_before = machine.busy()
    cpu_before, ticks_before = proxy.process.cpu_ns(), proxy.process.cpu_ticks_ns()
    ours_before = proxy.process.cpu_ns() + service.process.cpu_ns() + children_ns()
    began = time.monotonic()
    seen = wrk(proxy.address, seconds)
    wall_s = time.monotonic() - began
    cpu = proxy.process.cpu_ns() - cpu_before
    ticks = proxy.process.cpu_ticks_ns() - ticks_before
    ours = proxy.process.cpu_ns() + service.process.cpu_ns() + children_ns() - ours_before
    sample = {
        "cpu_us_per_request": cpu / 1000 / max(seen["requests"], 1),
        "requests": seen["requests"],
        "requests_per_second": seen["requests"] / (seen["duration_us"] / 1e6),
        "latency_p50_us": seen["latency_p50_us"],
        "latency_p99_us": seen["latency_p99_us"],
        "core_busy": cpu / 1e9 / wall_s,
        **machine.foreign(machine_before, machine.busy(), ours, wall_s),
    }
    invalid = [f"{count} {kind} errors" for kind, count in seen["errors"].items() if count]
    if seen["requests"] == 0:
        invalid.append("no request was answered")
    if abs(cpu - ticks) > ROUNDING_NS + cpu // 100:
        invalid.append(f"CPU accounts differ: {cpu} ns by thread, {ticks} ns by process")
    invalid += ledger.disagreements(ledger_before, proxy.admin, seen["requests"], CONNECTIONS)
    return {**sample, "invalid": invalid}


def children_ns():
    """CPU time of the programs that have ended, in ns: wrk, between two readings."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return int((used.ru_utime + used.ru_stime) * 1e9)
