# SPDX-License-Identifier: LGPL-2.1-or-later
"""Fixtures of the tests that take snapshots and restore them."""

import pytest

from support.restores import NOW, STAMP, HangingDaemon, data_in, live_data, replace_live


@pytest.fixture
def live(root):
    root.make_database()
    root.write_registry([{"id": "p05", "aliases": ["five"], "ingest_roots": []}])
    return root


@pytest.fixture
def backup(run_op):
    def call(*arguments, **options):
        return run_op("atocore-backup", *arguments, **options)
    return call


@pytest.fixture
def saved(live, backup):
    """A root with the snapshot STAMP; .saved is what it holds, {name: bytes}."""
    live.write("data/chroma/a/b", "x" * 10000)
    live.write("data/chroma/größe", "")
    backup("--include-chroma", now=STAMP).expect(0)
    live.saved = data_in(live.snapshots / STAMP)
    return live


@pytest.fixture
def replaced(saved):
    """The same, with something else live; .old is what."""
    replace_live(saved)
    saved.old = live_data(saved)
    return saved


@pytest.fixture
def restore(run_op):
    def call(*arguments, now=NOW, **options):
        return run_op("atocore-restore", *arguments, now=now, **options)
    return call


@pytest.fixture
def ingested(root, run_op):
    root.write_registry([{"id": "p05", "aliases": [], "ingest_roots": [
        {"source": "vault", "subpath": "p05", "label": "notes"}]}])
    for i in range(20):
        root.write(f"sources/vault/p05/{i}.md",
                   f"# Title {i}\n\nInterferometer number {i} and its polisher.\n")
    run_op("atocore-ingest").expect(0)
    return root


@pytest.fixture
def hanging(tmp_path):
    return HangingDaemon(tmp_path)
