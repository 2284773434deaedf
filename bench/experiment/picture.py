"""The picture: goodput over offered load, one small chart a service, one line a front.

Plain SVG that follows the reader's light or dark setting; values stand in the tables beside it.
"""

from math import log

from experiment import fronts, summary
from experiment.services import SERVICES

COLUMNS = 2
WIDTH, HEIGHT = 400, 250
# Inside a chart: left, top, right, bottom.
LEFT, TOP, RIGHT, BOTTOM = 44, 40, 14, 38
LEGEND = 34

STYLE = """
  text { font: 12px system-ui, sans-serif; fill: #4a4a48; }
  .title { font-weight: 600; fill: #1f1f1e; }
  .grid { stroke: #e4e3df; }
  .axis { stroke: #b4b3ae; }
  .aim { stroke: #8a8983; stroke-dasharray: 2 3; }
  .line { fill: none; stroke-width: 2; stroke-linejoin: round; }
  .paper { fill: #fcfcfb; }
  .weir { stroke: #2a78d6; } .envoy { stroke: #eb6834; } .haproxy { stroke: #1a9c74; } .nothing { stroke: #8a8983; }
  .dot { stroke-width: 0; }
  .dot.weir { fill: #2a78d6; } .dot.envoy { fill: #eb6834; } .dot.haproxy { fill: #1a9c74; } .dot.nothing { fill: #8a8983; }
  @media (prefers-color-scheme: dark) {
    text { fill: #b9b8b2; } .title { fill: #f2f1ec; }
    .paper { fill: #1a1a19; } .grid { stroke: #33332f; } .axis { stroke: #5c5b56; }
    .weir { stroke: #5b9df0; } .dot.weir { fill: #5b9df0; }
    .envoy { stroke: #f08a5d; } .dot.envoy { fill: #f08a5d; }
    .haproxy { stroke: #3fc497; } .dot.haproxy { fill: #3fc497; }
  }
"""


def drawn(results):
    rows = -(-len(results) // COLUMNS)
    width, height = COLUMNS * WIDTH, LEGEND + rows * HEIGHT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        'aria-label="Goodput over offered load, for each service and what stands in front of it">',
        f"<style>{STYLE}</style>",
        f'<rect class="paper" width="{width}" height="{height}"/>',
        legend(results),
    ]
    for number, (name, found) in enumerate(results.items()):
        x, y = number % COLUMNS * WIDTH, LEGEND + number // COLUMNS * HEIGHT
        parts.append(f'<g transform="translate({x} {y})">{chart(name, found)}</g>')
    return "\n".join([*parts, "</svg>", ""])


def legend(results):
    shown = [name for name in fronts.NAMES if any(name in found["fronts"] for found in results.values())]
    parts, x = [], LEFT
    for name in shown:
        parts.append(f'<line class="line {name}" x1="{x}" x2="{x + 22}" y1="20" y2="20"/>')
        parts.append(f'<text x="{x + 28}" y="24">{fronts.TITLES[name]}</text>')
        x += 28 + 7 * len(fronts.TITLES[name]) + 22
    return "\n".join(parts)


def chart(name, found):
    loads = sorted({load for cells in found["fronts"].values() for load in cells})
    parts = [f'<text class="title" x="{LEFT}" y="22">{SERVICES[name].title}</text>', grid(loads)]
    # Weir last, so that it lies above the others.
    for front in sorted(found["fronts"], key=lambda front: front == fronts.WEIR):
        cells = found["fronts"][front]
        points = [(across(load, loads), up(cell["goodput"])) for load, cell in sorted(cells.items())]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(f'<polyline class="line {front}" points="{path}"/>')
        parts += [f'<circle class="dot {front}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in points]
    return "\n".join(parts)


def grid(loads):
    left, right = LEFT, WIDTH - RIGHT
    parts = []
    for share in [0, 0.25, 0.5, 0.75, 1]:
        y = up(share)
        kind = "axis" if share == 0 else "grid"
        parts.append(f'<line class="{kind}" x1="{left}" x2="{right}" y1="{y}" y2="{y}"/>')
        parts.append(f'<text x="{left - 6}" y="{y + 4}" text-anchor="end">{share:.0%}</text>')
    y = up(summary.GOODPUT)
    parts.append(f'<line class="aim" x1="{left}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>')
    for load in loads:
        x = across(load, loads)
        parts.append(f'<text x="{x:.1f}" y="{up(0) + 16}" text-anchor="middle">{load:g}x</text>')
    middle = (left + right) / 2
    parts.append(f'<text x="{middle}" y="{up(0) + 31}" text-anchor="middle">offered, in capacities</text>')
    return "\n".join(parts)


def across(load, loads):
    """Where a load stands; each doubling is equally wide."""
    span = log(loads[-1] / loads[0]) or 1
    return LEFT + 12 + (WIDTH - LEFT - RIGHT - 24) * log(load / loads[0]) / span


def up(share):
    """Where a share stands; a little above all is still seen."""
    return TOP + (HEIGHT - TOP - BOTTOM) * (1 - min(share, 1.05))
