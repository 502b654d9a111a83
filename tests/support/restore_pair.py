# SPDX-License-Identifier: LGPL-2.1-or-later
"""A root with two snapshots, one of which is live: whatever happens to the restore of the other,
what is live afterwards is one of the two, and all of it."""

import json
import shutil

from support.restores import (assert_safety_whole, contents, data_in, leftovers, live_data,
                              safeties, safety_of)
from support.root import Root
from support.run import Operations

STAMPS = ("20260401T060000Z", "20260402T060000Z")
LATER = "20260409T060000Z"


class Pair:
    def __init__(self, path, reports, size=1000):
        self.root = Root(path)
        self.run = Operations(self.root, reports)
        self.journal = path / "data/restore-journal.json"
        self.held = {}
        for i, stamp in enumerate(STAMPS):
            self.fill(i, size)
            self.run("atocore-backup", "--include-chroma", now=stamp).expect(0)
            self.held[stamp] = data_in(self.root.snapshots / stamp)
        self.run("atocore-restore", STAMPS[1]).expect(0)
        assert self.live() == STAMPS[1]

    def fill(self, i, size):
        self.root.database.unlink(missing_ok=True)
        self.root.make_database(
            f"CREATE TABLE t{i}(x); INSERT INTO t{i} VALUES (randomblob({size}));")
        self.root.write_registry([{"id": f"p{i}", "aliases": [], "ingest_roots": []}])
        shutil.rmtree(self.root.chroma, ignore_errors=True)
        self.root.write(f"data/chroma/{i}/a", bytes([i]) * size)
        self.root.write("data/chroma/both", f"of {i}")

    def live(self):
        """The stamp of the snapshot that is live, byte for byte; None: neither."""
        found = contents(live_data(self.root))
        return next((stamp for stamp, held in self.held.items() if held == found), None)

    def begin(self):
        """Forgets what earlier restores kept; what to restore now."""
        for stamp in safeties(self.root):
            shutil.rmtree(safety_of(self.root, stamp))
        self.old = self.live()
        [self.new] = set(STAMPS) - {self.old}
        return self.new

    def end(self, how="--resume"):
        """What an operator does after a restore that did not get to its end, and what then holds.
        True: the restore was done."""
        was = self.old, self.new
        journal = self.journal.exists()
        committed = journal and json.loads(self.journal.read_text())["phase"] == "commit"
        before = self.live()
        if not journal:
            how = "--resume"
            assert before in was
        result = self.run("atocore-restore", how, now=LATER)
        if how == "--rollback" and committed:
            assert result.expect(65).codes[-1] == "restore_refused"
            result = self.run("atocore-restore", "--resume", now=LATER)
        result.expect(0)
        live = self.live()
        if not journal:
            assert live == before, result
        elif how == "--resume" or committed:
            assert live == self.new, result
        else:
            assert live == self.old, result
        self.assert_clean(live == self.new)
        return live == self.new

    def assert_clean(self, done):
        assert not self.journal.exists()
        left = leftovers(self.root)
        assert not left, left
        kept = safeties(self.root)
        if done:
            [stamp] = kept
            assert_safety_whole(self.root, stamp, self.held[self.old])
        else:
            assert kept == []
