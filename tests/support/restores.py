# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a restore replaces, what it keeps, and what it must not leave behind."""

import contextlib
import hashlib
import json
import os
import shutil

from support import mounts
from support.root import tree
from support.wait import wait_until

OLD = "CREATE TABLE old(x); INSERT INTO old VALUES ('old');"
STAMP = "20260407T060000Z"
NOW = "20260408T060000Z"


def live_data(root):
    """All that a restore can replace: modes and bytes."""
    found = {}
    for path in (root.database.parent, root.chroma, root.registry):
        name = str(path.relative_to(root.path))
        if path.is_dir():
            found[name] = (path.stat().st_mode, None)
            found.update((f"{name}/{below}", entry) for below, entry in tree(path).items())
        elif path.exists():
            found[name] = (path.stat().st_mode, path.read_bytes())
    return found


def contents(data):
    """The same without modes."""
    return {name: content for name, (_, content) in data.items() if content is not None}


def safeties(root):
    """The stamps of safety snapshots, oldest first."""
    directory = root.backups / "pre-restore"
    return sorted(path.name for path in directory.iterdir()) if directory.is_dir() else []


def safety_of(root, stamp):
    return root.backups / "pre-restore" / stamp


def data_in(directory):
    """What a snapshot (or one of safety) holds, under the names that it has when it is live."""
    names = {"db": "data/db", "chroma": "data/chroma", "config": "config"}
    return {f"{live}/{name}": content for part, live in names.items()
            for name, (_, content) in tree(directory / part).items() if content is not None}


def assert_safety_whole(root, stamp, was):
    """It holds what `was` live (contents()), and is to be sealed with the next validation."""
    directory = safety_of(root, stamp)
    assert data_in(directory) == was
    metadata = json.loads((directory / "backup-metadata.json").read_text())
    assert metadata["stamp"] == stamp
    assert not (directory / "SHA256SUMS").exists()


def leftovers(root):
    """What a restore makes and must not leave. (A verdict that was not kept goes with a prune.)"""
    found = [os.path.relpath(os.path.join(directory, name), root.path)
             for directory, directories, files in os.walk(root.path)
             for name in directories + files
             if name.startswith((".restore-", ".partial-", ".copy-", "restore-journal"))
             or ".tmp-" in name and not directory.endswith("/state")]
    return sorted(found + [f"data/tmp/{path.name}" for path in (root.path / "data/tmp").iterdir()])


def replace_live(root):
    """Something else than what the snapshot holds, with all that can lie beside a database."""
    for suffix in ("", "-wal", "-shm"):
        root.database.with_name(root.database.name + suffix).unlink(missing_ok=True)
    root.make_database(OLD)
    root.write("data/db/atocore.db-journal.old", "beside it")
    if root.chroma.exists():
        root.write("data/chroma/a/b", "changed")
        root.write("data/chroma/new", "not in the snapshot")
    root.write_registry([{"id": "later", "aliases": [], "ingest_roots": []}])


@contextlib.contextmanager
def mounted_over(path, size="64m"):
    """A tmpfs in the place of a directory, with all that was in it."""
    aside = path.with_name(path.name + ".aside")
    shutil.move(path, aside)
    with mounts.tmpfs(path, size):
        shutil.copytree(aside, path, dirs_exist_ok=True)
        yield path


def reseal(directory):
    """SHA256SUMS anew, for a snapshot that was changed by hand."""
    names = sorted(str(path.relative_to(directory)) for path in directory.rglob("*")
                   if path.is_file() and path.name != "SHA256SUMS")
    (directory / "SHA256SUMS").write_text("".join(
        f"{hashlib.sha256((directory / name).read_bytes()).hexdigest()}  {name}\n"
        for name in names))


class HangingDaemon:
    """A program for ATOCORE_DAEMON that never serves. The proof is where a restore then stays."""

    def __init__(self, directory):
        self.started = directory / "hanging-started"
        self.program = directory / "hanging-daemon"
        self.program.write_text(f"#!/bin/sh\necho $$ > {self.started}\nexec tail -f /dev/null\n")
        self.program.chmod(0o755)
        self.environment = {"ATOCORE_DAEMON": self.program}

    def wait_until_proving(self, process):
        wait_until(lambda: self.started.exists() or process.poll() is not None, "the proof")
        assert process.poll() is None, process.communicate()


def interrupt(root, run_op, hanging, *arguments):
    """Leaves a restore killed in the middle: exchanged, not proven."""
    hanging.started.unlink(missing_ok=True)
    process = run_op.start("atocore-restore", *arguments, now=NOW, env=hanging.environment)
    hanging.wait_until_proving(process)
    process.kill()
    process.communicate()
    assert (root.path / "data/restore-journal.json").exists()
