"""Where a proxy's CPU time goes: sampled by perf, by symbol and by what the symbols are for.

perf samples a clock rather than cycles, which virtual machines often do not count. Stacks are unwound
from copies of the stack (DWARF): the release build has no frame pointers, and the inclusive numbers
would otherwise be those of broken chains.
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
    ("policies", r"weir_policy"),
    ("metrics and ledger", r"weir::observe"),
    ("strict head, way and pump of Weir", r"weir::"),
    ("kernel: send", r"__x64_sys_(sendto|sendmsg|write|writev)\b"),
    ("kernel: receive", r"__x64_sys_(recvfrom|recvmsg|read|readv)\b"),
    ("kernel: wait for events", r"__x64_sys_epoll|__x64_sys_futex"),
    ("kernel: other", r"__x64_sys_|do_syscall_64|entry_SYSCALL|asm_|ret_from_fork"),
    ("allocation", r"malloc|\bc?free\b|realloc|calloc|__rust_alloc|__rust_dealloc"),
    ("parsing", r"httparse"),
    ("header maps", r"http::header|pingora_http|HeaderMap|CaseHeaderName|HeaderName"),
    ("timers and clock", r"pingora_timeout|tokio::time|tokio::runtime::time|clock_gettime|Instant::now"),
    ("tokio", r"\btokio|\bmio::"),
    ("pingora", r"pingora"),
]
GROUPS = [(name, re.compile(pattern)) for name, pattern in GROUPS]

# The hash and the generic arguments of a Rust symbol say nothing here.
HASH = re.compile(r"::h[0-9a-f]{16}$")


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
            seen = loaded.result()
    stacks = read_stacks(data)
    if not stacks:
        raise RuntimeError("perf took no samples; it may not be allowed to (kernel.perf_event_paranoid)")
    print(f"{name}: {len(stacks)} samples at {HERTZ} Hz, {seen['requests']} requests\n")
    print("\n\n".join([
        listed("by purpose", Counter(group(stack) for stack in stacks), len(stacks)),
        listed("top self", Counter(stack[0] for stack in stacks), len(stacks)),
        listed("top inclusive", Counter(frame for stack in stacks for frame in set(stack)), len(stacks)),
    ]))


def record(pid, seconds, data):
    command = [proxies.found("perf"), "record", "--event", "cpu-clock", "--freq", str(HERTZ)]
    command += ["--call-graph", f"dwarf,{STACK_BYTES}", "--pid", str(pid), "--output", str(data)]
    # perf writes much; it keeps to the core of the load.
    command = [proxies.found("taskset"), "--cpu-list", str(proxies.OTHERS_CORE), *command]
    done = subprocess.run([*command, "--", "sleep", str(seconds)], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"perf cannot record here: {done.stderr.strip()}")


def read_stacks(data):
    """Symbols of each sample, innermost first."""
    command = [proxies.found("perf"), "script", "--input", str(data), "--fields", "ip,sym"]
    print("bench: reading symbols, which takes a while", file=sys.stderr, flush=True)
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    blocks = (block.splitlines() for block in text.split("\n\n"))
    stacks = ([symbol(line) for line in block if line.strip()] for block in blocks)
    return [stack for stack in stacks if stack]


def symbol(line):
    _, _, name = line.strip().partition(" ")
    return HASH.sub("", name.removesuffix(" (inlined)"))


def group(stack):
    for frame in stack:
        for name, pattern in GROUPS:
            if pattern.search(frame):
                return name
    return "other"


def listed(title, counts, whole):
    lines = [f"{100 * count / whole:5.1f} %  {name[:110]}" for name, count in counts.most_common(TOP)]
    return "\n".join([title, *lines])
