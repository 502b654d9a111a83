# SPDX-License-Identifier: LGPL-2.1-or-later
"""A whole backup against sqlite3's own commands, and its copy step where blocks can be shared."""

import contextlib
import functools
import shutil
import statistics
import subprocess

import measure
from measure import MIB, need, run, spread
from support.root import Root

BYTES = 1 << 30
MEMORY_MAX = 64 * MIB
BACKUP_ROUNDS = 5
CLONE_ROUNDS = 3
IMAGE_BYTES = 4 << 30


class Database:
    """The database of 1 GB, made when it is first asked for."""

    def __init__(self, scratch, given=None):
        self.scratch = scratch
        self.given = given

    @functools.cached_property
    def path(self):
        if self.given:
            return self.given.resolve()
        measure.need_space(self.scratch, 4 * BYTES)
        path = self.scratch / "made.db"
        made = run(measure.tool("make-database"), path, BYTES)
        print(f"  a database of {path.stat().st_size / 1e9:.2f} GB made in {made.seconds:.0f} s",
              flush=True)
        return path


def sqlite_backup(source, target):
    """The seconds of `sqlite3 .backup` to a new file."""
    return run(need("sqlite3"), source, f".backup '{target}'").seconds


def integrity_check(path):
    done = run(need("sqlite3"), path, "PRAGMA integrity_check")
    if done.output != "ok\n":
        raise measure.Broken(f"integrity_check of the copy says {done.output}")
    return done.seconds


def measure_backup(report, scratch, inputs):
    need("sqlite3")
    root = Root(scratch / "root")
    shutil.copyfile(inputs.database.path, root.database)
    copy = scratch / "copy.db"
    memory = []

    def peer():
        seconds = sqlite_backup(root.database, copy) + integrity_check(copy)
        copy.unlink()
        return seconds

    def ours():
        child = measure.operation("atocore-backup", root, "--quiet")
        [snapshot] = root.snapshots.iterdir()
        shutil.rmtree(snapshot)
        memory.append(child.memory)
        return child.seconds

    theirs, own = measure.interleave(BACKUP_ROUNDS, peer, ours)
    report.say(f"sqlite3 .backup and integrity_check {spread(theirs)}, atocore-backup "
               f"{spread(own)}")
    report.ratio("atocore-backup / sqlite3 .backup + integrity_check", own, theirs, at_most=1.2)
    report.value("atocore-backup, peak memory", max(memory) / MIB, "MiB", at_most=MEMORY_MAX / MIB)


@contextlib.contextmanager
def mounted(kind, options, directory):
    """A fresh file system in a sparse file."""
    make = need(f"mkfs.{kind}")
    image, mount = directory / f"{kind}.image", directory / kind
    mount.mkdir()
    with image.open("wb") as file:
        file.truncate(IMAGE_BYTES)
    run(make, "-q", *options, image)
    done = subprocess.run(["mount", "-t", kind, "-o", "loop", image, mount], check=False,
                          capture_output=True, text=True)
    if done.returncode != 0:
        raise measure.Skip(f"cannot mount {kind}: {done.stderr.strip()}")
    try:
        yield mount
    finally:
        subprocess.run(["umount", mount], check=True)
        image.unlink()


def measure_clone(report, kind, options, scratch, database):
    with mounted(kind, options, scratch) as mount:
        source, copy = mount / "source.db", mount / "copy.db"
        shutil.copyfile(database.path, source)
        methods = set()

        def peer():
            seconds = sqlite_backup(source, copy)
            copy.unlink()
            return seconds

        def ours():
            milliseconds, method = run(measure.tool("copy-step"), source, copy).output.split()
            methods.add(method)
            copy.unlink()
            return float(milliseconds) / 1000

        theirs, own = measure.interleave(CLONE_ROUNDS, peer, ours)
    report.say(f"{kind}: sqlite3 .backup {spread(theirs)}, copy step "
               f"{spread(own, 'ms', 1000)}, {'/'.join(sorted(methods))}")
    report.value(f"copy step, times faster than sqlite3 .backup, {kind}",
                 statistics.median(p / o for p, o in zip(theirs, own)), "", at_least=200)


def measure_reflink(report, scratch, inputs):
    need("sqlite3")
    measure.need_root("mounting a file")
    measure.need_space(scratch, 4 * BYTES)
    for kind, options in (("btrfs", ()), ("xfs", ("-m", "reflink=1"))):
        try:
            measure_clone(report, kind, options, scratch, inputs.database)
        except measure.Skip as reason:
            report.skip(f"copy step, {kind}", reason)
