"""Where a proxy's CPU time goes: sampled by perf, by symbol and by what the symbols are for.

perf samples a clock rather than cycles, which virtual machines often do not count. Stacks are unwound
from copies of the stack (DWARF): the release build has no frame pointers, and the inclusive numbers
would otherwise be those of broken chains. Most of Rust is inlined, so frames are told apart by their
source files, which the release profile's line tables give for inlined functions too.
"""

import re
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import load
import proxies

HERTZ = 499
STACK_BYTES = 16_384
TOP = 25

# The innermost frame that fits a pattern decides, so that a copy within the header map counts as the
# header map's. Frames that fit none, such as memcpy, leave the decision to their callers.
GROUPS = [
    ("kernel: send", r"^__x64_sys_(sendto|sendmsg|write|writev) "),
    ("kernel: receive", r"^__x64_sys_(recvfrom|recvmsg|read|readv) "),
    ("kernel: wait for events", r"^__x64_sys_(epoll_\w+|futex) "),
    ("kernel: other", r"^(__x64_sys_|do_syscall_64|asm_)"),
    ("allocation", r"jemalloc|^_rjem_|malloc/malloc\.c|malloc/arena\.c|^(__GI_)?(__libc_)?(malloc|free|realloc|calloc) "),
    ("timers and clock", r"pingora-timeout|tokio-\d[^ ]*/time/|sidecar/src/clock\.rs|clock_gettime"),
    ("parsing", r"\[httparse"),
    ("Weir: strict reading of heads", r"sidecar/src/proxy/head"),
    ("header maps", r"\[http-1|\[pingora-http"),
    ("Weir: policies", r"sidecar/policy/src"),
    ("Weir: metrics and ledger", r"sidecar/src/observe"),
    ("Weir: way of a request", r"sidecar/src"),
    ("tokio", r"\[tokio-|\[mio-"),
    ("Pingora", r"\[pingora-"),
]
GROUPS = [(name, re.compile(pattern)) for name, pattern in GROUPS]

# What stands before the part of a path that tells the crate.
ROOTS = re.compile(r"^.*/registry/src/[^/]*/|^/rustc/[0-9a-f]*/library/|^.*/out/build/|^.*/(?=sidecar/|config/)")
# Below a system call, and where a stack could not be followed further.
INNER_KERNEL = re.compile(r"^(?!__x64_sys_).*\[kernel\]|^\[unknown\]")
LINE = re.compile(r":\d+( \(inlined\))?$")


def profile(name, seconds, folder):
    """Samples a proxy under the benchmark's load and prints what it did."""
    data = Path(folder) / "perf.data"
    service = proxies.upstream(folder)
    with service.process:
        running = proxies.proxy(name, service.address, folder)
        with running.process, ThreadPoolExecutor(1) as pool:
            load.wrk(running.address, load.WARM_UP_S)
            loaded = pool.submit(load.wrk, running.address, seconds + 1)
            record(running.process.pid, seconds, data)
            loaded.result()
    stacks = read_stacks(data)
    if not stacks:
        raise RuntimeError("perf took no samples; kernel.perf_event_paranoid may forbid it")
    named = [frame for stack in stacks for frame in set(stack) if not INNER_KERNEL.search(frame)]
    print(f"{name}: {len(stacks)} samples at {HERTZ} Hz")
    for title, counts in [
        ("by purpose", Counter(map(group, stacks))),
        ("top self", Counter(stack[0] for stack in stacks)),
        ("top inclusive", Counter(named)),
    ]:
        print(f"\n{title}")
        for what, count in counts.most_common(TOP):
            print(f"{100 * count / len(stacks):5.1f} %  {what}")


def record(pid, seconds, data):
    # perf writes much; it keeps to the core of the load.
    command = [proxies.found("taskset"), "--cpu-list", str(proxies.OTHERS_CORE)]
    command += [proxies.found("perf"), "record", "--event", "cpu-clock", "--freq", str(HERTZ)]
    command += ["--call-graph", f"dwarf,{STACK_BYTES}", "--pid", str(pid), "--output", str(data)]
    done = subprocess.run([*command, "--", "sleep", str(seconds)], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"perf cannot record here: {done.stderr.strip()}")


def read_stacks(data):
    """The frames of each sample, innermost first, each as `symbol [crate/file]`."""
    command = [proxies.found("perf"), "script", "--full-source-path", "--fields", "ip,sym,srcline"]
    print("bench: reading symbols, which takes a while", file=sys.stderr, flush=True)
    text = subprocess.run(
        [*command, "--input", str(data)], capture_output=True, text=True, check=True
    ).stdout
    stacks = (read_stack(block) for block in text.split("\n\n"))
    return [stack for stack in stacks if stack]


def read_stack(block):
    """perf writes a frame as an indented address and symbol, and its source on the line after."""
    frames = []
    for line in block.splitlines():
        if line.startswith("\t"):
            frames.append(line.split(maxsplit=1)[1][:90] + " ")
        elif line.strip() and frames:
            frames[-1] += "[" + LINE.sub("", ROOTS.sub("", line.strip())) + "]"
    return [re.sub(r"\[\[kernel.*", "[kernel]", frame) for frame in frames]


def group(stack):
    for frame in stack:
        for name, pattern in GROUPS:
            if pattern.search(frame):
                return name
    return "other"
