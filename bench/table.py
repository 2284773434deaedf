"""From samples to the table that people read."""

from statistics import median

import machine
from proxies import BARE, TITLES


def summary(rounds, idle):
    """One row a proxy: medians over its rounds, ratios to bare Pingora taken within a round.

    A round's proxies ran within a minute of each other, so what slowed the machine slowed them all;
    the ratio of medians would compare a quiet minute with a busy one.
    """
    rows = {}
    for name in TITLES:
        samples = [taken[name] for taken in rounds if name in taken]
        if not samples and name not in idle:
            continue
        pairs = [(taken[name], taken[BARE]) for taken in rounds if name in taken and BARE in taken]
        row = cost(samples) | ratios(pairs) | memory(idle.get(name), idle.get(BARE))
        reasons = {reason for sample in samples for reason in sample["invalid"]}
        row["invalid"] = sorted(reasons | set(idle.get(name, {"invalid": []})["invalid"]))
        rows[name] = row
    return rows


def cost(samples):
    used = undisturbed([(sample,) for sample in samples])
    row = {"rounds": len(samples), "rounds_used": len(used), "noisy": any_noisy(used)}
    for key in ["cpu_us_per_request", "requests_per_second", "latency_p99_us", "core_busy"]:
        if used:
            row[key] = median(sample[key] for (sample,) in used)
    return row


def ratios(pairs):
    used = undisturbed(pairs)
    found = sorted(own["cpu_us_per_request"] / bare["cpu_us_per_request"] for own, bare in used)
    if not found:
        return {}
    return {"cpu_ratio": median(found), "cpu_ratios": found, "ratio_noisy": any_noisy(used)}


def undisturbed(groups):
    """The groups whose samples are all valid and not noisy; all the valid ones if there are none."""
    valid = [group for group in groups if not any(sample["invalid"] for sample in group)]
    return [group for group in valid if not any_noisy([group])] or valid


def any_noisy(groups):
    return any(machine.noisy(sample) for group in groups for sample in group)


def memory(own, bare):
    if own is None or own["invalid"]:
        return {}
    row = {key: own[key] for key in ["rss_kib", "kib_per_connection"]}
    if bare and not bare["invalid"]:
        row["memory_ratio"] = own["rss_kib"] / bare["rss_kib"]
    return row


def printed(rows):
    """The table, in Markdown, with what to doubt below it."""
    lines = [
        "| | CPU us/request | x bare (range) | requests/s | p99 ms | idle RSS MiB | KiB/conn | x bare |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, row in rows.items():
        ratios = row.get("cpu_ratios", [])
        spread = f" ({ratios[0]:.2f}-{ratios[-1]:.2f})" if len(ratios) > 1 else ""
        cells = [
            TITLES[name] + (" **INVALID**" if row["invalid"] else ""),
            number(row.get("cpu_us_per_request"), 1),
            number(row.get("cpu_ratio"), 2) + spread,
            number(row.get("requests_per_second"), 0),
            number(row.get("latency_p99_us"), 1, per=1000),
            number(row.get("rss_kib"), 1, per=1024),
            number(row.get("kib_per_connection"), 1),
            number(row.get("memory_ratio"), 2),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    for name, row in rows.items():
        lines += [f"{TITLES[name]}: {reason}" for reason in row["invalid"]]
        if row["noisy"] or row.get("ratio_noisy"):
            lines.append(f"{TITLES[name]}: others used the machine in every round; measure again")
        elif row["rounds_used"] < row["rounds"]:
            lines.append(f"{TITLES[name]}: {row['rounds_used']} of {row['rounds']} rounds used")
    return "\n".join(lines)


def number(value, digits, per=1):
    return "-" if value is None else f"{value / per:,.{digits}f}"
