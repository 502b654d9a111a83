# SPDX-License-Identifier: LGPL-2.1-or-later
"""A snapshot as one file, against tar and zstd."""

import os
import shutil

import measure
from measure import MIB, need, run, spread
from support.root import Root

ROUNDS = 5
MEMORY_MAX = 128 * MIB


def measure_archive(report, scratch, inputs):
    need("tar")
    need("zstd")
    measure.need_space(scratch, 6 << 30)
    root = Root(scratch / "root")
    shutil.copyfile(inputs.database.path, root.database)
    measure.operation("atocore-backup", root, "--quiet")
    root.database.unlink()
    [stamp] = root.stamps()
    theirs_path = scratch / "peer.tar.zst"
    ours_path = root.backups / "archives" / f"{stamp}.tar.zst"
    memory = []

    def peer():
        """On disk at the end, as ours is."""
        theirs_path.unlink(missing_ok=True)
        made = run("tar", "--zstd", "-cf", theirs_path, "-C", root.snapshots, stamp).seconds
        return made + run("sync", theirs_path).seconds

    def ours():
        ours_path.unlink(missing_ok=True)
        child = run(measure.tool("archive-step"), root.path, stamp)
        memory.append(child.memory)
        return child.seconds

    theirs, own = measure.interleave(ROUNDS, peer, ours)
    report.say(f"tar --zstd {spread(theirs)}, archive {spread(own)}; "
               f"{os.path.getsize(theirs_path) // MIB} and {ours_path.stat().st_size // MIB} MiB")
    report.ratio("archive at zstd level 3 / tar --zstd", own, theirs, at_most=1.1)
    report.value("archive, peak memory", max(memory) / MIB, "MiB", at_most=MEMORY_MAX / MIB)

    def peer_reads():
        into = scratch / "peer"
        into.mkdir()
        seconds = run("tar", "--zstd", "-xf", theirs_path, "-C", into).seconds
        seconds += run("sync", "-f", into).seconds
        shutil.rmtree(into)
        return seconds

    def extract():
        into = scratch / "ours"
        into.mkdir()
        child = run(measure.tool("archive-step"), root.path, stamp, into)
        memory.append(child.memory)
        shutil.rmtree(into)
        return child.seconds

    memory.clear()
    theirs, own = measure.interleave(ROUNDS, peer_reads, extract)
    report.say(f"tar --zstd -x {spread(theirs)}, unpacking with its checksums {spread(own)}")
    report.ratio("unpacking / tar --zstd -x", own, theirs)
    report.value("unpacking, peak memory", max(memory) / MIB, "MiB", at_most=MEMORY_MAX / MIB)
    for name, options in (("validate ARCHIVE", ()), ("validate ARCHIVE --deep", ("--deep",))):
        child = measure.operation("atocore-validate", root, "--quiet", *options, ours_path)
        report.say(f"atocore-{name} {child.seconds:.2f} s")
        report.value(f"{name}, peak memory", child.memory / MIB, "MiB",
                     at_most=MEMORY_MAX / MIB)
