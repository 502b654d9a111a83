# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the second of two snapshots of a vector store writes, when little of it changed between."""

import random

import measure
from measure import MIB
from support.root import Root

DIRECTORIES = 100
FILES = 100  # in each
FILE_BYTES = 100_000
CHANGED = 100  # of all


def files(root):
    for directory in range(DIRECTORIES):
        for number in range(FILES):
            yield root.chroma / f"{directory:03}" / f"{number:03}.bin"


def write(path, rng, block):
    """Content like no other file's."""
    path.write_bytes(rng.randbytes(64) + block)


def new_bytes(snapshot):
    """On disk, of files that only this snapshot has."""
    return sum(status.st_blocks * 512
               for path in snapshot.rglob("*")
               if (status := path.lstat()).st_nlink == 1 and path.is_file())


def measure_vector_store(report, scratch, _):
    measure.need_space(scratch, 3 << 30)
    root = Root(scratch / "root")
    root.make_database()
    rng = random.Random(1)
    block = rng.randbytes(FILE_BYTES - 64)
    for path in files(root):
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, rng, block)
    total = DIRECTORIES * FILES * FILE_BYTES
    first = measure.operation("atocore-backup", root, "--include-chroma", "--quiet")
    for path in rng.sample(list(files(root)), CHANGED):
        write(path, rng, block)
    second = measure.operation("atocore-backup", root, "--include-chroma", "--quiet")
    newest = root.snapshots / root.stamps()[-1]
    # What the kernel counted, which on some file systems is nothing; what is there is.
    written = max(second.written, new_bytes(newest))
    report.say(f"{DIRECTORIES * FILES} files, {total / 1e9:.1f} GB, {CHANGED} changed: first "
               f"{first.seconds:.1f} s and {first.written / MIB:.0f} MiB, second "
               f"{second.seconds:.1f} s and {written / MIB:.1f} MiB")
    report.value("second snapshot of a vector store, 1 % changed: written of it",
                 100 * written / total, "%", at_most=2)
