"""A service that fails every request at once, behind Weir with retries: how much more it sees.

The configuration must switch the breaker off: behind it the service sees next to nothing, and so nothing of
the budget is shown.
"""

import sys
import tempfile
from pathlib import Path

from experiment import cell, fronts
from experiment.services import Service

RATE = 1000
WARM_S = 2
SECONDS = 10
# A budget of 20 % and 10 a second.
AIM = 1210

FAILING = Service("fails at once", 64, "fixed:0ms", 0.0)


def run(config):
    """Says what the service saw a second; ends the program with 1 when it saw too much."""
    config = Path(config).resolve()
    stages = [("warm", RATE, WARM_S), ("measured", RATE, SECONDS)]
    with tempfile.TemporaryDirectory(prefix="weir-storm-") as folder:
        with fronts.station(FAILING, 1, status=503) as (station, behind):
            with fronts.front(fronts.WEIR, FAILING, behind, folder, config) as (process, address):
                sample = cell.offered([station, process], address, stages, cell.Within(1000), 1)
                account = fronts.account(behind)
    offered = next(s for s in sample["stages"] if s["name"] == "measured")["streams"][0]["offered"]
    seen = seen_by_second(account)
    mean = sum(seen) / len(seen)
    # A Poisson stream is not offered in equal seconds, so what may be seen follows what was offered.
    most = AIM / RATE * offered / SECONDS
    print(f"offered {offered / SECONDS:.0f}/s, seen {mean:.0f}/s (by second: {min(seen)} to {max(seen)})")
    print(f"aim: at most {most:.0f}/s; generator: {sample['generator']}")
    if mean > most:
        sys.exit("storm: the service saw more than the budget allows")


def seen_by_second(account):
    per_second = 1000 // account["step_ms"]
    steps = [step["arrived"] for step in account["steps"]][WARM_S * per_second :]
    steps = steps[: SECONDS * per_second]
    return [sum(steps[at : at + per_second]) for at in range(0, len(steps), per_second)]
