"""A program on a core of its own, and what the kernel says that it used.

CPU time comes from the kernel's accounts, not from wall time: what a request costs does not change
with how long the other side made the proxy wait.
"""

import os
import signal
import subprocess
import time
from pathlib import Path

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
END_WITHIN_S = 5


class Process:
    """A program pinned to one core; ends with the `with` block that holds it."""

    def __init__(self, command, core, environment=None):
        self.command = [str(word) for word in command]
        self._child = subprocess.Popen(
            ["taskset", "--cpu-list", str(core), *self.command],
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        self.pid = self._child.pid

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self._child.poll() is None:
            # An interrupt ends all four at once; SIGTERM would have some of them drain for minutes.
            self._child.send_signal(signal.SIGINT)
            try:
                self._child.wait(END_WITHIN_S)
            except subprocess.TimeoutExpired:
                self._child.kill()
                self._child.wait()
        self._child.stderr.close()

    def why_it_ended(self):
        """Its last words if it has ended, else None."""
        status = self._child.poll()
        if status is None:
            return None
        words = self._child.stderr.read().decode(errors="replace").strip().splitlines()
        return f"{self.command[0]} ended with {status}: {' | '.join(words[-3:]) or 'no word'}"

    def cpu_ns(self):
        """CPU time of all its threads in ns, to the ns: each thread's run time from its schedstat."""
        total = 0
        for task in Path(f"/proc/{self.pid}/task").iterdir():
            try:
                total += int((task / "schedstat").read_text().split()[0])
            except (FileNotFoundError, ProcessLookupError):
                continue  # A thread that ended is missed here; `cpu_ticks_ns` still has it.
        return total

    def cpu_ticks_ns(self):
        """User and system time in ns, in steps of a tick (10 ms), threads that ended included."""
        stat = Path(f"/proc/{self.pid}/stat").read_text()
        fields = stat.rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) * 1_000_000_000 // TICKS_PER_SECOND

    def rss_kib(self):
        """Resident memory in KiB."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
        raise RuntimeError(f"{self.command[0]} has no VmRSS")


def wait_until(condition, process, seconds=10):
    """Polls until the condition holds; says why when the process ends or time runs out."""
    deadline = time.monotonic() + seconds
    while not condition():
        ended = process.why_it_ended()
        if ended:
            raise RuntimeError(ended)
        if time.monotonic() > deadline:
            raise RuntimeError(f"{process.command[0]} did not answer as it must within {seconds} s")
        time.sleep(0.02)
