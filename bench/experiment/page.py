"""docs/overload.md and docs/overload.svg, from what was kept of a run."""

from experiment import picture, summary, table
from experiment.cell import WARM_MEANS
from proxies import HERE

DOCS = HERE.parent / "docs"
BEGIN = "<!-- made by bench/overload.py --draw -->"
END = "<!-- until here -->"


def write(store):
    """Puts the results between the marks of the page, and draws the picture."""
    results = summary.results(store)
    path = DOCS / "overload.md"
    before, _, rest = path.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    if not rest or not after:
        raise RuntimeError(f"{path} has not both marks: {BEGIN} and {END}")
    path.write_text(before + BEGIN + "\n\n" + generated(store, results) + "\n\n" + END + after)
    (DOCS / "overload.svg").write_text(picture.drawn(results))


def generated(store, results):
    parts = [circumstances(store), "![Goodput over offered load](overload.svg)", table.printed(results)]
    doubts = table.doubts(results)
    if doubts:
        lines = "\n".join(f"- {line}" for line in doubts)
        parts.append(f"(!) In these cells the generator did not keep up, so take them with care:\n\n{lines}")
    return "\n\n".join(parts)


def circumstances(store):
    machine, settings = store["machine"], store["settings"]
    kernel = ".".join(machine["kernel"].split(".")[:2])
    quick = "**A quick run: one round of short cells, so take it as a sketch.** " if settings["quick"] else ""
    return (
        f"{quick}{machine['cores']} cores ({machine['cpu']}), Linux {kernel}; rounds: "
        f"{settings['rounds']}; measured for {settings['measured_s']:g} s after {settings['warm_s']:g} s of "
        f"the same load, or {WARM_MEANS} service times where that is longer. Bold is what meets its aim. Latencies and refusals are the worst of 2x, 5x and 10x."
    )
