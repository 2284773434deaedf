"""The results as tables that people read."""

import machine
from experiment import fronts, summary
from experiment.rounds import MARKED
from experiment.services import SERVICES

HEAD = [
    "| | goodput 2x | 5x | 10x | p50 / p99 of admitted | refused within (p99) | recovered in | at 5x ended |",
    "|---|---|---|---|---|---|---|---|",
]


def printed(results):
    """One table a service, with what is aimed at in its first row."""
    return "\n\n".join(of_service(name, found) for name, found in results.items())


def of_service(name, found):
    lines = [
        f"### {SERVICES[name].title}",
        "",
        f"Unloaded p99 {found['unloaded_p99_ms']:.1f} ms; an answer within {found['deadline_ms']:.0f} ms is in time.",
        "",
        *HEAD,
        aims(found),
    ]
    for front in fronts.NAMES:
        if front in found["fronts"]:
            lines.append(of_front(front, found["fronts"][front], found))
    return "\n".join(lines)


def aims(found):
    share = f"at least {summary.GOODPUT:.0%}"
    cells = ["*aim*", share, share, share, f"p99 at most {found['p99_mark_ms']:.1f} ms"]
    cells += [f"{summary.REFUSED_MS} ms", f"{summary.RECOVERY_S} s", ""]
    return row(cells)


def of_front(front, cells, found):
    marked = [cells[load] for load in MARKED if load in cells]
    worst = max(marked, key=lambda cell: cell["admitted_p99_ms"] or 0, default={})
    refused = max((cell["refused_p99_ms"] for cell in marked if cell["refused_p99_ms"]), default=None)
    watched = next((cell for cell in cells.values() if "watched_s" in cell), None)
    return row(
        [
            fronts.TITLES[front] + doubted(cells),
            *(goodput(cells.get(load)) for load in MARKED),
            latencies(worst, found["p99_mark_ms"]),
            "none" if refused is None else met(f"{refused:.1f} ms", refused < summary.REFUSED_MS),
            "-" if watched is None else recovered(watched),
            ", ".join(ways(watched["ended"])) if watched else "-",
        ]
    )


def goodput(cell):
    if cell is None:
        return "-"
    return met(f"{cell['goodput']:.1%}", cell["goodput"] >= summary.GOODPUT)


def latencies(cell, mark_ms):
    if not cell or cell["admitted_p99_ms"] is None:
        return "-"
    p50, p99 = cell["admitted_p50_ms"], cell["admitted_p99_ms"]
    return met(f"{p50:.1f} / {p99:.1f} ms", p99 <= mark_ms)


def recovered(cell):
    seconds = cell["recovery_s"]
    if seconds is None:
        return f"not within {cell['watched_s']:g} s"
    return met(f"{seconds:.1f} s", seconds < summary.RECOVERY_S)


def met(text, is_met):
    return f"**{text}**" if is_met else text


def ways(ended):
    """How requests ended, the most frequent first; what is below a thousandth is left out."""
    frequent = sorted(ended.items(), key=lambda way: -way[1])
    return [f"{share:.1%} {name}" for name, share in frequent if share >= 0.001]


def doubted(cells):
    """A mark for a front with cells in which the generator did not keep up."""
    return " (!)" if any(cell["limited"] for cell in cells.values()) else ""


def doubts(results):
    """Why some numbers should be taken with care, one line each."""
    lines = []
    for name, found in results.items():
        for front, cells in found["fronts"].items():
            for load, cell in cells.items():
                if cell["limited"]:
                    said = "; ".join(cell["limited"])
                    lines.append(f"{SERVICES[name].title}, {fronts.TITLES[front]}, {load:g}x: {said}")
    return lines


def brief(cell):
    """A cell in a line."""
    parts = [f"goodput {cell['goodput']:.1%}"]
    if cell["admitted_p99_ms"] is not None:
        parts.append(f"p50 {cell['admitted_p50_ms']:.1f} p99 {cell['admitted_p99_ms']:.1f} ms")
    if cell["refused_p99_ms"] is not None:
        parts.append(f"refused in {cell['refused_p99_ms']:.1f} ms")
    if "watched_s" in cell:
        parts.append("recovered in " + recovered(cell).replace("*", ""))
    parts += ways(cell["ended"]) + [f"GENERATOR: {reason}" for reason in cell["limited"]]
    if cell["missed"] > machine.NOISY_ABOVE:
        parts.append(f"others had {cell['missed']:.0%} of the machine")
    return ", ".join(parts)


def row(cells):
    return "| " + " | ".join(cells) + " |"
