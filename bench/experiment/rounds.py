"""Which cells are measured, in which order, and how long that takes."""

from dataclasses import dataclass

from experiment import fronts
from experiment.cell import Lengths
from experiment.services import SERVICES

LOADS = [0.5, 0.8, 1, 1.5, 2, 5, 10]
# Those that the marks ask for; further rounds measure only them.
MARKED = [2, 5, 10]

# An answer later than so many unloaded 99th percentiles is no good one, and none within this is late.
DEADLINE_P99S = 5
DEADLINE_MIN_MS = 250
# For the unloaded service, whose answers are what the deadline follows from.
DEADLINE_MAX_MS = 10_000

UNLOADED_ANSWERS = 2000


@dataclass(frozen=True)
class Plan:
    services: list
    fronts: list
    loads: list
    rounds: int
    lengths: Lengths
    attempts: int
    patience_s: float
    quick: bool
    partial: bool

    def steps(self):
        """Service, front, load and round; a front of None is the service without load.

        Rounds are interleaved and fronts take turns to be first, so that no busy minute of the machine
        falls on one of them.
        """
        for round_ in range(self.rounds):
            for service in self.services:
                yield service, None, None, round_
                for number, load in enumerate(self.loads_of(round_)):
                    first = (round_ + number) % len(self.fronts)
                    for front in self.fronts[first:] + self.fronts[:first]:
                        # A service without protection needs no second look.
                        if round_ == 0 or front != fronts.NOTHING or len(self.fronts) == 1:
                            yield service, front, load, round_

    def loads_of(self, round_):
        return [load for load in self.loads if round_ == 0 or load in MARKED or self.partial]

    def unloaded_s(self, service):
        longest = 6 if self.quick else 20
        return max(4, min(longest, UNLOADED_ANSWERS / service.rate(0.2)))

    def seconds(self):
        total = 0
        for name, front, load, _ in self.steps():
            service = SERVICES[name]
            total += self.unloaded_s(service) + 1 if front is None else self.lengths.whole(service, load)
        return total

    def described(self):
        cells = sum(front is not None for _, front, _, _ in self.steps())
        left_out = [name for name in fronts.NAMES if name not in fronts.available()]
        missing = f"; not here and left out: {', '.join(left_out)}" if left_out else ""
        return (
            f"{cells} cells take about {self.seconds() / 60:.0f} minutes, more where other programs "
            f"use the machine{missing}"
        )

    def settings(self):
        lengths = self.lengths
        return {
            "quick": self.quick,
            "rounds": self.rounds,
            "warm_s": lengths.warm,
            "measured_s": lengths.measured,
            "after_s": lengths.after,
        }


def planned(options):
    quick = options.quick
    lengths = Lengths(warm=1.5, measured=2, after=4, slowed=2) if quick else Lengths()
    services = ["exponential-4", "lognormal-16"] if quick else list(SERVICES)
    loads = [0.5, 1, *MARKED] if quick else LOADS
    return Plan(
        services=options.service or services,
        fronts=[name for name in options.front or fronts.NAMES if name in fronts.available()],
        loads=options.load or loads,
        rounds=options.rounds or (1 if quick else 2),
        lengths=lengths,
        attempts=1 if quick else 2,
        patience_s=1 if quick else 5,
        quick=quick,
        partial=bool(options.service or options.front or options.load),
    )


def deadline_ms(unloaded_p99_ms):
    return max(DEADLINE_MIN_MS, DEADLINE_P99S * unloaded_p99_ms)
