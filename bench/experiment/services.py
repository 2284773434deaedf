"""The services that are overloaded: slots and a distribution of service times, so a known capacity."""

from dataclasses import dataclass

# Two cores would measure themselves above it.
RATE_MAX = 8000


@dataclass(frozen=True)
class Service:
    """A service; one that slows does so for good before it is measured."""

    title: str
    slots: int
    time: str
    mean_s: float
    slows: float = 1.0
    fixed: bool = False

    @property
    def capacity(self):
        """Requests a second that it can serve while it is measured."""
        return self.slots / (self.mean_s * self.slows)

    def rate(self, load):
        """Requests a second that are so many times its capacity, or as many as can be offered."""
        return min(load * self.capacity, RATE_MAX)


def exponential(slots, mean_ms, **more):
    title = more.pop("title", f"{slots} slots, exponential {mean_ms} ms")
    return Service(title, slots, f"exponential:{mean_ms}ms", mean_ms / 1000, **more)


SERVICES = {
    "fixed-4": Service("4 slots, fixed 10 ms", 4, "fixed:10ms", 0.01, fixed=True),
    "exponential-2": exponential(2, 10),
    "exponential-4": exponential(4, 10),
    "exponential-64": exponential(64, 80),
    "lognormal-16": Service("16 slots, log-normal 20 ms", 16, "lognormal:20ms:1", 0.02),
    "slower": exponential(8, 10, title="8 slots, exponential 10 ms, slowing threefold", slows=3.0),
}
