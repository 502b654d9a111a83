# SPDX-License-Identifier: LGPL-2.1-or-later
"""Snapshots laid out by hand, for tests of what is done with them afterwards, and what holds of
those that were made."""

import json
import os

from support.run import run


def verdict(valid):
    return {"valid": valid, "validated_at": "2026-01-01T00:00:00Z",
            "errors": [] if valid else ["checksum_mismatch: db/atocore.db"]}


def make_snapshot(root, stamp, valid=True, pinned=False, vector=False, readable=True):
    """A directory that reads like a snapshot of that stamp; its content is nothing."""
    directory = root.snapshots / stamp
    (directory / "db").mkdir(parents=True)
    (directory / "db" / "atocore.db").write_bytes(b"database of " + stamp.encode())
    if readable:
        (directory / "backup-metadata.json").write_text(json.dumps({
            "stamp": stamp, "pinned": pinned, "chroma_snapshot_included": vector,
            "validation": verdict(valid)}))
    return directory


def write_state(root, stamp, valid=None, pinned=None):
    """backups/state/<stamp>.json; None: not said."""
    state = {}
    if pinned is not None:
        state["pinned"] = pinned
    if valid is not None:
        state["validation"] = verdict(valid)
    path = root.state / f"{stamp}.json"
    path.write_text(json.dumps(state))
    return path


def make_archive(root, name, content=b"archive"):
    path = root.path / "backups" / "archives" / name
    path.write_bytes(content)
    return path


def snapshot_of(root, metadata):
    return root.snapshots / metadata["stamp"]


def assert_checksums_hold(directory):
    run(["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"], cwd=directory).expect(0)
    listed = len((directory / "SHA256SUMS").read_bytes().splitlines())
    assert listed == sum(len(files) for _, _, files in os.walk(directory)) - 1
