# SPDX-License-Identifier: LGPL-2.1-or-later
"""Fixtures of the tests that take snapshots."""

import pytest


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
