#!/usr/bin/env python3
"""Goodput under overload: a service of known capacity, offered 0.5 to 10 times of it in an open loop.

In front of it in turn: nothing, Weir with its defaults, Envoy and HAProxy. Says in advance how long it
takes. What was seen is kept in bench/results/overload.json, from which `--draw` makes docs/overload.md
and docs/overload.svg; a run does so at its end only when told to.

A cell can be run alone: `--service exponential-4 --front weir --load 5`. `--priority` and `--storm` are
experiments of their own.
"""

import argparse
import json
import os
import signal
import sys
import time
from http.client import HTTPException

import machine
from experiment import cell, fronts, page, priority, rounds, storm, summary, table
from experiment.services import SERVICES
from proxies import HERE
from run import allow_descriptors, positive

RESULTS = HERE / "results" / "overload.json"
ALONE = HERE / "results" / "overload-part.json"


def main():
    options = parsed()
    if options.draw:
        page.write(json.loads(RESULTS.read_text()))
        return
    first = prepare()
    try:
        if options.priority:
            priority.run(options.rounds or 3)
        elif options.storm:
            storm.run(options.storm)
        else:
            overload(options, first)
    except RuntimeError as error:
        sys.exit(f"overload: {error}")
    except KeyboardInterrupt:
        sys.exit("overload: interrupted")


def parsed():
    parser = argparse.ArgumentParser(description="Goodput under overload, with and without Weir.")
    parser.add_argument("--quick", action="store_true", help="fewer cells, shorter, one round")
    parser.add_argument("--rounds", type=positive, help="rounds of each cell (2; quick: 1)")
    parser.add_argument("--service", choices=SERVICES, action="append", help="only this one; may be repeated")
    parser.add_argument("--front", choices=fronts.NAMES, action="append", help="only this one; may be repeated")
    parser.add_argument("--load", type=float, action="append", help="only this load; may be repeated")
    parser.add_argument("--draw", action="store_true", help="make page and picture from what was kept")
    parser.add_argument("--then-draw", action="store_true", help="run, then make page and picture")
    parser.add_argument("--priority", action="store_true", help="two equal streams, one of high priority")
    parser.add_argument("--storm", metavar="CONFIG", help="an all-failing service behind Weir with retries")
    return parser.parse_args()


def prepare():
    """Whether what is measured goes before all other programs."""
    problems = fronts.missing()
    if (os.cpu_count() or 1) < 2:
        problems.append("two cores are needed: one for the service, one for the load")
    if problems:
        sys.exit("\n".join(f"overload: {problem}" for problem in problems))
    allow_descriptors()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        # All that is measured goes first, each like the other, so that a neighbour's build is not measured.
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    except PermissionError:
        progress("not root: other programs may come in between")
        return False
    return True


def overload(options, first):
    plan = rounds.planned(options)
    progress(plan.described())
    began = time.monotonic()
    store = {"machine": machine.described(), "settings": plan.settings(), "unloaded": {}, "cells": []}
    for service, front, load, round_ in plan.steps():
        try:
            if front is None:
                said = unloaded(store, plan, service, round_)
            else:
                said = one_cell(store, plan, service, front, load, round_, first)
        except (OSError, HTTPException) as error:
            raise RuntimeError(f"{service}, {front}, {load}x: {error}") from error
        progress(f"{(time.monotonic() - began) / 60:4.1f} min: {said}")
    keep(store, ALONE if plan.partial else RESULTS)
    print(table.printed(summary.results(store)))
    if options.then_draw:
        page.write(store)


def unloaded(store, plan, service, round_):
    seconds = plan.unloaded_s(SERVICES[service])
    sample = cell.unloaded(SERVICES[service], seconds, cell.Within(rounds.DEADLINE_MAX_MS), 1000 + round_)
    samples = store["unloaded"].setdefault(service, [])
    samples.append(sample)
    p99_ms = summary.unloaded_p99_ms(samples)
    sample["judged_ms"] = rounds.deadline_ms(p99_ms)
    return f"{service}: unloaded p99 {p99_ms:.1f} ms"


def one_cell(store, plan, service, front, load, round_, first):
    within = cell.Within(store["unloaded"][service][0]["judged_ms"])
    taken = []
    for _ in range(plan.attempts):
        if not first:
            machine.wait_until_quiet(plan.patience_s)
        sample = cell.measure(SERVICES[service], front, load, plan.lengths, within, 1 + round_)
        # What others used is missed only where they may come first.
        sample["missed_share"] = sample["stolen_share"] if first else machine.disturbed(sample)
        taken.append(sample)
        if sample["missed_share"] <= machine.NOISY_ABOVE:
            break
    sample = min(taken, key=lambda sample: sample["missed_share"])
    store["cells"].append({"service": service, "front": front, "round": round_, **sample})
    row = summary.cell([sample])
    return f"{service}, {fronts.TITLES[front]}, {load:g}x: {table.brief(row)}"


def keep(store, path):
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(store) + "\n")
    progress(f"kept in {path}")


def progress(line):
    print(f"overload: {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
