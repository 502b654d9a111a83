# SPDX-License-Identifier: LGPL-2.1-or-later
"""A whole restore against cp, fsync and sqlite3's own check of the same database, and a drill
against the restore."""

import json
import shutil
import statistics

import measure
from backup import BYTES, integrity_check, mounted
from measure import MIB, need, spread
from support.root import Root

MEMORY_MAX = 128 * MIB
ROUNDS = 5
CLONE_ROUNDS = 3


def copied(source, target):
    """The seconds of cp and fsync of a new file: a copy, also where it could be a clone."""
    seconds = measure.run(need("cp"), "--reflink=never", source, target).seconds
    return seconds + measure.run(need("sync"), target).seconds


def measure_on(report, where, database, rounds, at_most):
    """`where`: a directory on the file system in question, and its name for the report."""
    directory, name = where
    need("sqlite3")
    root = Root(directory / "root")
    shutil.copyfile(database.path, root.database)
    made = measure.operation("atocore-backup", root, "--json")
    snapshot = root.snapshots / json.loads(made.output)["stamp"]
    copy = directory / "copy.db"
    memory = []

    def peer():
        seconds = copied(snapshot / "db/atocore.db", copy) + integrity_check(copy)
        copy.unlink()
        return seconds

    def ours():
        child = measure.operation("atocore-restore", root, "--quiet", snapshot.name)
        [kept] = (root.backups / "pre-restore").iterdir()
        shutil.rmtree(kept)
        memory.append(child.memory)
        return child.seconds

    ours()  # what is replaced from now on was restored before
    theirs, own = measure.interleave(rounds, peer, ours)
    report.say(f"{name}: cp, fsync and integrity_check {spread(theirs)}, atocore-restore "
               f"{spread(own)}")
    report.ratio(f"atocore-restore / cp + fsync + integrity_check, {name}", own, theirs,
                 at_most=at_most)
    report.value(f"atocore-restore, peak memory, {name}", max(memory) / MIB, "MiB",
                 at_most=MEMORY_MAX / MIB)
    measure_drill(report, root, name, statistics.median(own), rounds)
    shutil.rmtree(root.path)


def measure_drill(report, root, name, restore, rounds):
    """What it writes is its peak on the disk as well: nothing goes before the end."""
    [stamp] = root.stamps()
    size = (root.snapshots / stamp / "db/atocore.db").stat().st_size
    children = [measure.operation("atocore-drill", root, "--quiet") for _ in range(rounds)]
    seconds = [child.seconds for child in children]
    report.say(f"{name}: atocore-drill {spread(seconds)}")
    report.value(f"atocore-drill beyond atocore-restore, {name}",
                 statistics.median(seconds) - restore, "s", at_most=5)
    report.value(f"atocore-drill, written / snapshot, {name}",
                 max(child.written for child in children) / size, "", at_most=1.1)


def measure_restore(report, scratch, inputs):
    measure.need_space(scratch, 5 * BYTES)
    measure_on(report, (scratch, measure.file_system(scratch).split()[0]), inputs.database, ROUNDS,
               1.5)
    for kind, options in (("btrfs", ()), ("xfs", ("-m", "reflink=1"))):
        try:
            measure.need_root("mounting a file")
            with mounted(kind, options, scratch) as mount:
                measure_on(report, (mount, kind), inputs.database, CLONE_ROUNDS, 0.8)
        except measure.Skip as reason:
            report.skip(f"atocore-restore, {kind}", reason)
