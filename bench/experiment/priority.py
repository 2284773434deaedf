"""Two equal streams that ask for more than there is, one of them of high priority."""

import sys
import tempfile
from statistics import median

from experiment import cell, fronts
from experiment.services import SERVICES

SERVICE = "exponential-4"
LOAD = 1.67
SECONDS = 10
AIM = 0.99
DEADLINE_MS = 250

CONFIG = fronts.HERE / "priority.yaml"
STREAMS = ["--stream", "high=x-priority:high", "--stream", "low=x-priority:low"]


def run(rounds):
    """Says which share of each stream was answered in time; ends the program with 1 below the aim."""
    shares = [shares_of(number) for number in range(rounds)]
    for name in ["high", "low"]:
        of_stream = [share[name] for share in shares]
        print(f"{name}: {median(of_stream):.2%} in time (rounds: {written(of_stream)})")
    if median(share["high"] for share in shares) < AIM:
        sys.exit(f"priority: the aim is {AIM:.0%} of the high ones")


def written(shares):
    return ", ".join(f"{share:.2%}" for share in shares)


def shares_of(number):
    service = SERVICES[SERVICE]
    rate = service.rate(LOAD)
    stages = [("warm", rate, 3), ("measured", rate, SECONDS)]
    seed = 1 + number
    with tempfile.TemporaryDirectory(prefix="weir-priority-") as folder:
        with fronts.station(service, seed) as (station, behind):
            with fronts.front(fronts.WEIR, service, behind, folder, CONFIG) as (process, address):
                within = cell.Within(DEADLINE_MS)
                sample = cell.offered([station, process], address, stages, within, seed, STREAMS)
    print(f"round {number + 1}: generator {sample['generator']}", file=sys.stderr)
    streams = next(stage for stage in sample["stages"] if stage["name"] == "measured")["streams"]
    return {stream["name"]: stream["good"] / stream["offered"] for stream in streams}
