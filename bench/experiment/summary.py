"""From samples to what is shown: goodput, latencies, refusals, recovery, and the marks."""

from statistics import median

from experiment.histogram import merged, quantile_ms
from experiment.services import SERVICES

OK = "200"
# Neither an answer nor a refusal.
FAILED = ["timed out", "cut", "unconnected", "unsent"]

# What is aimed at.
GOODPUT = 0.97
P99_RATIO = 1.3
# For fixed service times any queue at all shows: so many service times.
FIXED_TIMES = 2.5
REFUSED_MS = 5
RECOVERY_S = 2


def cell(samples):
    """A cell's rounds together: medians of shares and recoveries, percentiles over all requests."""
    parts = [measured(sample) for sample in samples]
    admitted = merged(of_class(part, [OK]) for part in parts)
    refused = merged(of_class(part, kinds(part)) for part in parts)
    recoveries = [recovery_s(sample) for sample in samples if "after" in names(sample)]
    row = {
        "rounds": len(samples),
        "goodput": median(goodput(sample) for sample in samples),
        "admitted_p50_ms": quantile_ms(admitted, 0.5),
        "admitted_p99_ms": quantile_ms(admitted, 0.99),
        "refused_p99_ms": quantile_ms(refused, 0.99),
        "ended": ended(parts),
        "limited": sorted({reason for sample in samples for reason in sample["generator"]["limited"]}),
        "missed": max(sample["missed_share"] for sample in samples),
        "lag_p99_ms": max(sample["generator"]["lag_p99_us"] for sample in samples) / 1000,
    }
    if recoveries:
        # One that never came is longer than all others.
        middle = median(float("inf") if s is None else s for s in recoveries)
        row["recovery_s"] = None if middle == float("inf") else middle
        row["watched_s"] = next(s["seconds"] for s in samples[0]["stages"] if s["name"] == "after")
    return row


def goodput(sample):
    """Answers in time, as a share of what was offered or of the capacity, whichever is less."""
    part = measured(sample)
    seconds = stage(sample, "measured")["seconds"]
    possible = min(part["offered"], sample["capacity"] * seconds)
    return part["good"] / possible if possible else 0.0


def recovery_s(sample):
    after = stage(sample, "after")["streams"][0]["well_after_ms"]
    return None if after is None else after / 1000


def ended(parts):
    """The share of all requests that ended in each way."""
    offered = sum(part["offered"] for part in parts)
    counts = {}
    for part in parts:
        for of in part["classes"]:
            counts[of["name"]] = counts.get(of["name"], 0) + of["count"]
    return {name: count / offered for name, count in sorted(counts.items())} if offered else {}


def kinds(part):
    """The classes that are refusals."""
    return [of["name"] for of in part["classes"] if of["name"] not in [OK, *FAILED]]


def of_class(part, wanted):
    return merged(of["since_intended_us"] for of in part["classes"] if of["name"] in wanted)


def measured(sample):
    return stage(sample, "measured")["streams"][0]


def stage(sample, name):
    return next(found for found in sample["stages"] if found["name"] == name)


def names(sample):
    return [found["name"] for found in sample["stages"]]


def unloaded_p99_ms(samples):
    return quantile_ms(merged(of_class(measured(sample), [OK]) for sample in samples), 0.99)


def p99_mark_ms(name, unloaded_ms):
    """What the 99th percentile of admitted requests may be."""
    service = SERVICES[name]
    if service.fixed:
        return FIXED_TIMES * service.mean_s * service.slows * 1000
    return P99_RATIO * unloaded_ms


def results(store):
    """Every service of a store: its unloaded latency and, for each front, its cells by load."""
    found = {}
    for name in store["unloaded"]:
        cells = {}
        for sample in store["cells"]:
            if sample["service"] == name:
                of_front = cells.setdefault(sample["front"], {})
                of_front.setdefault(sample["load"], []).append(sample)
        p99_ms = unloaded_p99_ms(store["unloaded"][name])
        found[name] = {
            "unloaded_p99_ms": p99_ms,
            "p99_mark_ms": p99_mark_ms(name, p99_ms),
            "deadline_ms": store["unloaded"][name][0]["judged_ms"],
            "fronts": {
                front: {load: cell(samples) for load, samples in sorted(loads.items())}
                for front, loads in cells.items()
            },
        }
    return found
