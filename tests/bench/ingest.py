# SPDX-License-Identifier: LGPL-2.1-or-later
"""A first ingest against a bare insert loop over the same files, and one with nothing to do."""

import hashlib
import shutil
import statistics

import measure
from measure import Skip, run, spread
from support import build
from support.root import Root

ROUNDS = 11


def state(root):
    """{name: (mtime, digest)} of all that outlives the last process in data/: not SQLite's shared
    memory, and not the locks."""
    return {path: (path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).digest())
            for path in sorted((root.path / "data").rglob("*"))
            if path.is_file() and path.suffix != ".lock" and not path.name.endswith("-shm")}


def measure_ingest(report, scratch, _):
    vault = build.DATA / "vault"
    if not vault.is_dir():
        raise Skip(f"no test data at {build.DATA}")
    root = Root(scratch / "root")
    shutil.copytree(vault, root.vault, copy_function=shutil.copyfile, dirs_exist_ok=True)
    files = [path for path in root.vault.rglob("*") if path.is_file()]
    bare = scratch / "bare"

    def peer():
        bare.mkdir()
        seconds = run(measure.tool("insert-loop"), root.vault, bare / "text.db").seconds
        shutil.rmtree(bare)
        return seconds

    def ours():
        shutil.rmtree(root.database.parent)
        return measure.operation("atocore-ingest", root, "--quiet").seconds

    theirs, own = measure.interleave(ROUNDS, peer, ours)
    before = state(root)
    again = [measure.operation("atocore-ingest", root, "--quiet").seconds for _ in range(ROUNDS)]
    unchanged = state(root) == before
    report.say(f"{len(files)} files, {sum(f.stat().st_size for f in files) / 1e3:.0f} kB: insert "
               f"loop {spread(theirs, 'ms', 1000)}, first ingest {spread(own, 'ms', 1000)}, "
               f"second {spread(again, 'ms', 1000)}")
    report.ratio("first ingest / bare FTS5 insert loop by file", own, theirs, at_most=3)
    report.value("second ingest", statistics.median(again) * 1000, "ms", at_most=100)
    report.holds("second ingest leaves data/ as it was", unchanged, "yes")
