"""One cell of the experiment: a service, what stands in front of it, and a load.

A fresh service and a fresh front each time. The load is there from the start, and what is measured comes
after a while of it: how a front behaves under a load, not how it got there. Of the cell at five times the
capacity the end is watched too: the load falls to half the capacity, and goodput must come back.
"""

import json
import subprocess
import tempfile
import time
from dataclasses import dataclass

import load as usage
import machine
from experiment import fronts
from experiment.services import RATE_MAX
from proxies import built, found, written

RECOVERS_FROM = 5
RECOVERS_TO = 0.5


@dataclass(frozen=True)
class Lengths:
    """How long the parts of a cell last, in seconds."""

    warm: float = 6
    measured: float = 4
    after: float = 6
    # From the moment at which a service slows to the first that is measured.
    slowed: float = 3

    def whole(self, service, load):
        """A cell from start to end, programs included."""
        slowed = self.slowed if service.slows != 1 else 0
        after = self.after if load == RECOVERS_FROM else 0
        return STARTED_S + self.warm_of(service) + slowed + self.measured + after

    def warm_of(self, service):
        """Until it is measured: what learns from answers needs some of them, of a slow service too."""
        return max(self.warm, WARM_MEANS * service.mean_s)


# Mean service times before a cell is measured, at least.
WARM_MEANS = 125

# Programs started and ended, and the last answers waited for.
STARTED_S = 1.0


@dataclass(frozen=True)
class Within:
    """What an answer is judged by, in ms."""

    deadline: float

    @property
    def timeout(self):
        """When callers give up: somewhat later, so that an answer that comes too late is still seen."""
        return self.deadline + 250


def measure(service, front, load, lengths, within, seed):
    """What came of a cell; `stages` and `generator` are as the generator gave them."""
    slows = service.slows != 1
    stages = [("warm", service.rate(load), lengths.warm_of(service))]
    if slows:
        stages.append(("slowed", service.rate(load), lengths.slowed))
    measured_at = sum(seconds for _, _, seconds in stages)
    stages.append(("measured", service.rate(load), lengths.measured))
    if load == RECOVERS_FROM:
        stages.append(("after", service.rate(RECOVERS_TO), lengths.after))
    with tempfile.TemporaryDirectory(prefix="weir-overload-") as folder:
        slow_after = lengths.warm_of(service) if slows else None
        with fronts.station(service, seed, slow_after) as (station, behind):
            with fronts.front(front, service, behind, folder) as (process, address):
                sample = offered([station, process], address, stages, within, seed)
                account = fronts.account(behind)
    capacity = real_capacity(service, account, measured_at, lengths.measured)
    return {**sample, "load": load, "capacity": capacity, "limited_by_rate": load * service.capacity > RATE_MAX}


def unloaded(service, seconds, within, seed):
    """The service as it is measured, nothing in front, a fifth of its capacity."""
    slow_after = 0 if service.slows != 1 else None
    stages = [("measured", service.rate(0.2), seconds)]
    with fronts.station(service, seed, slow_after) as (station, address):
        return offered([station], address, stages, within, seed)


def offered(processes, address, stages, within, seed, more=()):
    """Offers the stages to an address; what came of it, and what else went on on the machine."""
    processes = [process for process in processes if process]
    before, cpu, began = machine.busy(), cpu_of(processes), time.monotonic()
    report = generated(address, stages, within, seed, more)
    wall_s = time.monotonic() - began
    ours = cpu_of(processes) - cpu
    return {
        "stages": report["stages"],
        "generator": report["generator"],
        "deadline_ms": within.deadline,
        **machine.foreign(before, machine.busy(), ours, wall_s),
    }


def generated(address, stages, within, seed, more):
    command = [found("taskset"), "--cpu-list", str(fronts.GENERATORS_CORE), built("weir-load"), "offer"]
    command += ["--to", written(address), "--seed", str(seed), *more]
    command += ["--deadline", f"{within.deadline}ms", "--timeout", f"{within.timeout}ms"]
    for name, rate, seconds in stages:
        command += ["--stage", f"{name}={rate}/s,{seconds}s"]
    limit = sum(seconds for _, _, seconds in stages) + 30
    done = subprocess.run(command, capture_output=True, text=True, timeout=limit)
    if done.returncode:
        raise RuntimeError(done.stderr.strip() or f"weir-load ended with {done.returncode}")
    return json.loads(done.stdout)


def cpu_of(processes):
    return sum(process.cpu_ns() for process in processes) + usage.children_ns()


def real_capacity(service, account, begins_s, lasts_s):
    """Slots over the mean of the service times that were really drawn while it was measured.

    Some hundred to some thousand draws have a mean that is a few percent off that of their
    distribution; a share of the capacity must be one of the capacity that there was.
    """
    step_s = account["step_ms"] / 1000
    steps = account["steps"][round(begins_s / step_s) : round((begins_s + lasts_s) / step_s)]
    begun = sum(step["begun"] for step in steps)
    taken_s = sum(step["taken_s"] for step in steps)
    return service.slots * begun / taken_s if taken_s else service.capacity
