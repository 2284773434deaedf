"""The machine that was measured on, and how much of it others used meanwhile."""

import os
import platform
import time
from pathlib import Path

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")

# Above this share of both cores, a sample is called noisy.
NOISY_ABOVE = 0.05


def described():
    """What the numbers belong to."""
    cpuinfo = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(":")[2].strip() for line in cpuinfo if line.startswith("model name")]
    return {
        "cores": os.cpu_count(),
        "cpu": models[0] if models else platform.machine(),
        "kernel": platform.release(),
        "load_average": load_average(),
    }


def load_average():
    """Of the last minute."""
    return float(Path("/proc/loadavg").read_text().split()[0])


def busy():
    """CPU time that all cores have spent on anything, and that the host took away, in ns."""
    user, nice, system, _, _, irq, softirq, steal = (
        int(ticks) for ticks in Path("/proc/stat").read_text().split(maxsplit=9)[1:9]
    )
    spent = user + nice + system + irq + softirq
    return {name: ticks * 1e9 / TICKS_PER_SECOND for name, ticks in [("spent", spent), ("stolen", steal)]}


def foreign(before, after, ours_ns, wall_s):
    """The shares of all cores that went to programs of others and to other machines on the host."""
    whole = wall_s * 1e9 * os.cpu_count()
    others = after["spent"] - before["spent"] - ours_ns
    return {
        "others_share": max(others / whole, 0.0),
        "stolen_share": (after["stolen"] - before["stolen"]) / whole,
    }


def disturbed(sample):
    """The share of the machine that a sample had to do without, 0 to 1."""
    return sample.get("others_share", 0.0) + sample.get("stolen_share", 0.0)


def noisy(sample):
    """Whether that was so much that the sample says little."""
    return disturbed(sample) > NOISY_ABOVE


def wait_until_quiet(seconds):
    """Waits while others use the machine, so many seconds at most."""
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        before, at = busy(), time.monotonic()
        time.sleep(0.5)
        if not noisy(foreign(before, busy(), 0, time.monotonic() - at)):
            return
