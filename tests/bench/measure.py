# SPDX-License-Identifier: LGPL-2.1-or-later
"""Measuring fairly: children and what they used, rounds that take turns, results beside targets."""

import dataclasses
import os
import pathlib
import shutil
import statistics
import subprocess
import tempfile
import time

from support import build

MIB = 1 << 20
PATH = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))


class Skip(Exception):
    """Something that this measurement needs is not here."""


class Broken(Exception):
    """A program did not do what was to be measured."""


def need(program):
    """Path of a program of others, which may live where only root's PATH leads."""
    found = shutil.which(program, path=PATH)
    if found is None:
        raise Skip(f"{program} is not installed")
    return found


def need_root(what):
    if os.geteuid() != 0:
        raise Skip(f"{what} needs root")


def need_space(directory, size):
    free = shutil.disk_usage(directory).free
    if free < size:
        raise Skip(f"{directory} has {free // MIB} MiB free, {size // MIB} MiB are needed")


def tool(name):
    """One of the C programs beside this file."""
    return build.build_dir() / "tests" / "bench" / name


@dataclasses.dataclass
class Child:
    seconds: float  # from before fork to after its end was seen
    memory: int     # bytes resident at most; at least what Python had when it forked
    written: int    # bytes that it made dirty on disks
    output: str


def run(*command, directory=None, stdin=subprocess.DEVNULL, **environment):
    """A command to its end, which must be a good one."""
    command = [str(word) for word in command]
    with tempfile.TemporaryFile("w+") as said:
        before = time.monotonic()
        process = subprocess.Popen(command, stdin=stdin, stdout=subprocess.PIPE, stderr=said,
                                   text=True, cwd=directory,
                                   env=build.environment(**environment))
        try:
            output = process.stdout.read()
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            process.kill()
            process.wait()
            raise
        seconds = time.monotonic() - before
        process.stdout.close()
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            said.seek(0)
            raise Broken(f"{' '.join(command)} ended with {process.returncode}: {said.read()}")
    return Child(seconds, usage.ru_maxrss * 1024, usage.ru_oublock * 512, output)


def operation(name, root, *arguments):
    return run(build.program(name), "--root", root.path, *arguments)


def interleave(rounds, peer, ours):
    """Peer, ours, peer, ours …: both lists of what they returned. What is left to be written by
    one is not charged to the other."""
    results = [], []
    for _ in range(rounds):
        for measure, found in zip((peer, ours), results):
            os.sync()
            found.append(measure())
    return results


def spread(values, unit="s", factor=1):
    """"1.23 s (1.20-1.31)": median, least and most."""
    values = [value * factor for value in values]
    digits = 2 if max(values) < 100 else 0
    return (f"{statistics.median(values):.{digits}f} {unit} "
            f"({min(values):.{digits}f}-{max(values):.{digits}f})")


@dataclasses.dataclass
class Row:
    name: str
    value: str
    target: str
    outcome: str  # PASS, MISS, skip, or nothing where there is no target


class Report:
    """Rows as they come, and all of them once more at the end."""

    def __init__(self):
        self.rows = []
        self.broken = False

    def say(self, text):
        print(f"  {text}", flush=True)

    def _add(self, *row):
        self.rows.append(Row(*row))
        self.say("  ".join(filter(None, row)))

    def ratio(self, name, ours, peer, at_most=None, at_least=None):
        """ours / peer, taken pair by pair, so that what slows a whole round down is in both."""
        value = statistics.median(o / p for o, p in zip(ours, peer))
        self.value(name, value, "", at_most, at_least)

    def value(self, name, value, unit, at_most=None, at_least=None, digits=None):
        if digits is None:
            digits = 0 if value >= 100 else 1 if value >= 10 else 2 if value >= 0.1 else 4
        good = ((at_most is None or value <= at_most)
                and (at_least is None or value >= at_least))
        target = (f"≤ {at_most:g} {unit}" if at_most is not None
                  else f"≥ {at_least:g} {unit}" if at_least is not None else "")
        self._add(name, f"{value:.{digits}f} {unit}".strip(), target.strip(),
                  ("PASS" if good else "MISS") if target else "")

    def holds(self, name, good, target):
        self._add(name, "yes" if good else "no", target, "PASS" if good else "MISS")

    def skip(self, name, reason):
        self._add(name, f"skipped: {reason}", "", "skip")

    def fail(self, name, reason):
        self.broken = True
        self._add(name, f"failed: {reason}", "", "FAIL")

    def table(self):
        """For the end: name, value, target, outcome, each in a column of its own."""
        columns = [max((len(getattr(row, column)) for row in self.rows
                        if column == "name" or row.outcome not in ("skip", "FAIL")), default=0)
                   for column in ("name", "value", "target")]
        lines = []
        for row in self.rows:
            if row.outcome in ("skip", "FAIL"):
                lines.append(f"{row.name.ljust(columns[0])}  {row.value}")
                continue
            lines.append("  ".join((row.name.ljust(columns[0]), row.value.rjust(columns[1]),
                                    row.target.ljust(columns[2]), row.outcome)).rstrip())
        return "\n".join(lines)


def machine():
    """Cores, memory and the disk that the scratch directory is on."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    load = os.getloadavg()[0]
    return (f"{os.cpu_count()} cores, {memory / (1 << 30):.0f} GiB of memory, load {load:.1f}, "
            f"build {build.build_dir().name}")


def file_system(path):
    """"ext4 on /dev/vda"."""
    best = ("", "?", "?")
    for line in pathlib.Path("/proc/self/mounts").read_text().splitlines():
        device, mount, kind = line.split()[:3]
        inside = path == pathlib.Path(mount) or pathlib.Path(mount) in path.parents
        if inside and len(mount) >= len(best[0]):
            best = (mount, kind, device)
    return f"{best[1]} on {best[2]}"
