# SPDX-License-Identifier: LGPL-2.1-or-later
"""A first ingest against a bare insert loop over the same files, and one with nothing to do: of the
test vault, and of a large one."""

import dataclasses
import hashlib
import shutil
import statistics

import measure
from made_root import make_vault, write_pages
from measure import MIB, Skip, run, spread
from support import build
from support.root import Root

LARGE_FILES = 6000
LARGE_BYTES = 32_000_000
MEMORY_MAX = 64  # MiB


@dataclasses.dataclass
class Size:
    name: str  # in the report
    rounds: int
    again_max: int  # ms for the second ingest


def state(root):
    """{name: (mtime, digest)} of all that outlives the last process in data/: not SQLite's shared
    memory, and not the locks."""
    return {path: (path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).digest())
            for path in sorted((root.path / "data").rglob("*"))
            if path.is_file() and path.suffix != ".lock" and not path.name.endswith("-shm")}


def measure_files(report, scratch, root, size):
    """Of the first ingests the memory of each."""
    files = [path for path in root.vault.rglob("*") if path.is_file()]
    bare = scratch / "bare"
    memory = []

    def peer():
        bare.mkdir()
        seconds = run(measure.tool("insert-loop"), root.vault, bare / "text.db").seconds
        shutil.rmtree(bare)
        return seconds

    def ours():
        shutil.rmtree(root.database.parent)
        child = measure.operation("atocore-ingest", root, "--quiet")
        memory.append(child.memory / MIB)
        return child.seconds

    theirs, own = measure.interleave(size.rounds, peer, ours)
    before = state(root)
    again = [measure.operation("atocore-ingest", root, "--quiet").seconds
             for _ in range(size.rounds)]
    unchanged = state(root) == before
    report.say(f"{len(files)} files, {sum(f.stat().st_size for f in files) / 1e3:.0f} kB: insert "
               f"loop {spread(theirs, 'ms', 1000)}, first ingest {spread(own, 'ms', 1000)}, "
               f"second {spread(again, 'ms', 1000)}")
    report.ratio(f"first ingest{size.name} / bare FTS5 insert loop by file", own, theirs, at_most=3)
    report.value(f"second ingest{size.name}", statistics.median(again) * 1000, "ms",
                 at_most=size.again_max)
    report.holds(f"second ingest{size.name} leaves data/ as it was", unchanged, "yes")
    return memory


def measure_ingest(report, scratch, _):
    vault = build.DATA / "vault"
    if not vault.is_dir():
        raise Skip(f"no test data at {vault}")
    root = Root(scratch / "root")
    shutil.copytree(vault, root.vault, copy_function=shutil.copyfile, dirs_exist_ok=True)
    measure_files(report, scratch, root, Size("", rounds=11, again_max=100))

    root = Root(scratch / "large")
    write_pages(make_vault(), root, lambda pages, _, __: pages >= LARGE_FILES,
                page_bytes=LARGE_BYTES / LARGE_FILES)
    memory = measure_files(report, scratch, root, Size(" of 32 MB", rounds=5, again_max=300))
    report.value("peak memory of the first ingest of 32 MB", max(memory), "MiB", at_most=MEMORY_MAX)
