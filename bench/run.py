#!/usr/bin/env python3
"""What Weir costs: CPU per request and idle memory, against bare Pingora, nginx and HAProxy.

Each proxy runs one worker on a core of its own; the service behind it and the load share the other
core. Rounds are interleaved and every measurement starts a fresh process, so that neither a busy
minute nor a lucky memory layout makes a winner. Ends by itself within two to five minutes.

`--profile NAME` tells instead where the CPU time of one of them goes.
"""

import argparse
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
from http.client import HTTPException
from pathlib import Path

import idle
import load
import machine
import proxies
import symbols
import table

RESULTS = proxies.HERE / "results" / "latest.json"

# How often a measurement is taken when others use the machine meanwhile.
ATTEMPTS = 2

# A connection is one descriptor in us and up to two in a proxy.
DESCRIPTORS = 17_000


def main():
    options = parsed()
    if (os.cpu_count() or 1) < 2:
        sys.exit("bench: needs two cores: one for the proxy, one for the load and the service")
    allow_descriptors()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="weir-bench-") as folder:
        try:
            if options.profile:
                symbols.profile(options.profile, options.seconds, folder)
                return
            bench(options, folder)
        except RuntimeError as error:
            sys.exit(f"bench: {error}")
        except KeyboardInterrupt:
            sys.exit("bench: interrupted")


def parsed():
    parser = argparse.ArgumentParser(description="Weir against bare Pingora, nginx and HAProxy.")
    parser.add_argument("--rounds", type=positive, default=3, help="rounds of every proxy (3)")
    parser.add_argument("--seconds", type=positive, default=5, help="load per round and proxy (5)")
    parser.add_argument("--connections", type=positive, default=5000, help="idle ones held (5000)")
    parser.add_argument(
        "--only",
        type=names,
        default=proxies.NAMES,
        metavar="NAME,...",
        help=f"of {', '.join(proxies.NAMES)}; ratios need {proxies.BARE}",
    )
    parser.add_argument("--profile", choices=proxies.NAMES, help="where its CPU time goes")
    parser.add_argument(
        "--patience", type=int, default=5, help="seconds to wait for a quiet machine each time (5)"
    )
    return parser.parse_args()


def positive(text):
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is below 1")
    return number


def names(text):
    wanted = text.split(",")
    for name in wanted:
        if name not in proxies.NAMES:
            raise argparse.ArgumentTypeError(f"{name} is none of {', '.join(proxies.NAMES)}")
    return wanted


def allow_descriptors():
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most != resource.RLIM_INFINITY and most < DESCRIPTORS:
        sys.exit(f"bench: at most {most} open files are allowed; raise it: ulimit -Hn {DESCRIPTORS}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, most))


def bench(options, folder):
    described = machine.described()
    service = proxies.upstream(folder)
    with service.process:
        rounds = [round_of(index, options, service, folder) for index in range(options.rounds)]
        held = {name: held_idle(name, options, service, folder) for name in options.only}
    rows = table.summary(rounds, held)
    print(table.printed(rows))
    keep({"machine": described, "settings": settings(options), "summary": rows, "rounds": rounds, "idle": held})
    if any(row["invalid"] for row in rows.values()):
        sys.exit(1)


def round_of(index, options, service, folder):
    """Every proxy once, each round beginning with another one."""
    first = index % len(options.only)
    samples = {}
    for name in options.only[first:] + options.only[:first]:
        sample = samples[name] = quietest(name, options, service, folder)
        said = "; ".join(sample["invalid"]) or f"{sample['cpu_us_per_request']:.1f} us/request"
        noisy = " (others used the machine)" if machine.noisy(sample) else ""
        progress(f"round {index + 1} of {options.rounds}: {name}: {said}{noisy}")
    return samples


def quietest(name, options, service, folder):
    """A sample taken while others left the machine alone, or else the least disturbed of a few.

    Chosen by what others used, never by what the proxy did: that would choose the result.
    """
    taken = []
    for _ in range(ATTEMPTS):
        machine.wait_until_quiet(options.patience)
        sample = of_fresh(
            name, service, folder, lambda running: load.measure(running, service, options.seconds)
        )
        taken.append({**sample, "load_average": machine.load_average()})
        if sample["invalid"] or not machine.noisy(sample):
            return taken[-1]
    return min(taken, key=machine.disturbed)


def held_idle(name, options, service, folder):
    sample = of_fresh(
        name, service, folder, lambda running: idle.measure(running, options.connections)
    )
    said = "; ".join(sample["invalid"]) or f"{sample['rss_kib'] / 1024:.0f} MiB"
    progress(f"{options.connections} idle connections: {name}: {said}")
    return sample


def of_fresh(name, service, folder, measure):
    """What a new process shows; one that fails makes its own row invalid, not the others'."""
    try:
        running = proxies.proxy(name, service.address, folder)
        with running.process:
            return measure(running)
    except (RuntimeError, OSError, HTTPException, subprocess.SubprocessError) as error:
        return {"invalid": [str(error)]}


def settings(options):
    return {
        "rounds": options.rounds,
        "seconds": options.seconds,
        "load_connections": load.CONNECTIONS,
        "idle_connections": options.connections,
    }


def keep(results, path=RESULTS):
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(results, indent=2) + "\n")
    progress(f"kept in {path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path}")


def progress(line):
    print(f"bench: {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
