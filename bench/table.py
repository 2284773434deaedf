"""From samples to the table that people read."""

from statistics import median

import machine
from proxies import BARE, TITLES


def summary(rounds, idle):
    """One row a proxy: medians over its valid rounds, ratios to bare Pingora taken within a round.

    A round's proxies ran within seconds of each other, so what slowed the machine slowed them all;
    the ratio of medians would compare a quiet minute with a busy one.
    """
    rows = {}
    for name in TITLES:
        samples = [(taken[name], taken.get(BARE)) for taken in rounds if name in taken]
        if not samples and name not in idle:
            continue
        valid = [(own, bare) for own, bare in samples if not own["invalid"]]
        ratios = [
            own["cpu_us_per_request"] / bare["cpu_us_per_request"]
            for own, bare in valid
            if bare and not bare["invalid"]
        ]
        row = {"rounds": len(valid)}
        if valid:
            for key in ["cpu_us_per_request", "requests_per_second", "latency_p99_us", "core_busy"]:
                row[key] = median(own[key] for own, _ in valid)
        if ratios:
            row["cpu_ratio"] = median(ratios)
            row["cpu_ratios"] = sorted(ratios)
        row |= memory(idle.get(name), idle.get(BARE))
        reasons = [reason for own, _ in samples for reason in own["invalid"]]
        row["invalid"] = sorted(set(reasons + idle.get(name, {"invalid": []})["invalid"]))
        row["noisy_rounds"] = sum(1 for own, _ in valid if machine.noisy(own))
        rows[name] = row
    return rows


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
        if row["noisy_rounds"]:
            lines.append(f"{TITLES[name]}: others used the machine in {row['noisy_rounds']} rounds")
    return "\n".join(lines)


def number(value, digits, per=1):
    return "-" if value is None else f"{value / per:,.{digits}f}"
