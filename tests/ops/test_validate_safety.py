# SPDX-License-Identifier: LGPL-2.1-or-later
"""atocore-validate --all writes the checksums of what restores have put by."""

import fcntl
import os
import sqlite3

import pytest

from support import mounts
from support.restores import NOW, STAMP, safety_of
from support.snapshots import assert_checksums_hold
from support.tracing import strace, traced  # noqa: F401

LATER = "20260409T060000Z"


@pytest.fixture
def restored(root, run_op):
    """Two restores, and what they replaced."""
    root.make_database()
    root.write_registry([])
    run_op("atocore-backup", now=STAMP).expect(0)
    with sqlite3.connect(root.database) as connection:
        connection.execute("CREATE TABLE more (x)")
    connection.close()
    root.write("data/db/atocore.db-wal", "")
    for now in (NOW, LATER):
        run_op("atocore-restore", STAMP, now=now).expect(0)
    return root


def sums(root, stamp):
    return safety_of(root, stamp) / "SHA256SUMS"


def test_all_of_it_is_listed_and_what_has_them_is_left_alone(restored, run_op):
    for arguments in ((), (STAMP,), ("latest",)):
        run_op("atocore-validate", *arguments).expect(0)
        assert not sums(restored, NOW).exists()
    result = run_op("atocore-validate", "--all").expect(0)
    assert result.codes == ["validate_started", "snapshot_valid", "safety_sealed", "safety_sealed"]
    for stamp in (NOW, LATER):
        directory = safety_of(restored, stamp)
        assert_checksums_hold(directory)
        listed = {line[66:] for line in sums(restored, stamp).read_text().splitlines()}
        assert listed == {str(path.relative_to(directory)) for path in directory.rglob("*")
                          if path.is_file()} - {"SHA256SUMS"}
        assert {"backup-metadata.json", "db/atocore.db"} <= listed
    assert "db/atocore.db-wal" in sums(restored, NOW).read_text()
    before = os.stat(sums(restored, NOW))
    result = run_op("atocore-validate", "--all").expect(0)
    assert result.codes == ["validate_started", "snapshot_valid"]
    assert os.stat(sums(restored, NOW)) == before


def test_what_one_that_was_killed_left_is_removed(restored, run_op):
    left = safety_of(restored, NOW) / ".SHA256SUMS.tmp-0123456789abcdef"
    left.write_text("0")
    run_op("atocore-validate", "--all").expect(0)
    assert not left.exists() and "tmp-" not in sums(restored, NOW).read_text()
    assert_checksums_hold(safety_of(restored, NOW))


def test_what_somebody_else_is_sealing_is_left_to_him(restored, run_op):
    directory = os.open(safety_of(restored, NOW), os.O_RDONLY | os.O_DIRECTORY)
    fcntl.flock(directory, fcntl.LOCK_EX)
    try:
        result = run_op("atocore-validate", "--all").expect(0)
    finally:
        os.close(directory)
    assert result.codes.count("safety_sealed") == 1
    assert not sums(restored, NOW).exists() and sums(restored, LATER).exists()


def test_of_nothing_there_are_none(restored, run_op):
    safety_of(restored, "20260401T060000Z").mkdir()
    assert run_op("atocore-validate", "--all").expect(0).codes.count("safety_sealed") == 2
    assert not sums(restored, "20260401T060000Z").exists()


def test_one_that_is_none_does_not_keep_the_others(restored, run_op):
    safety_of(restored, "20260401T060000Z").symlink_to(NOW)
    result = run_op("atocore-validate", "--all").expect(74)
    assert result.codes[-1] == "read_failed"
    assert sums(restored, NOW).exists() and sums(restored, LATER).exists()


def test_media_that_nobody_writes_on_need_none(restored, run_op):
    with mounts.tmpfs(restored.backups):
        safety_of(restored, NOW).mkdir(parents=True)
        (safety_of(restored, NOW) / "file").write_text("")
        restored.snapshots.mkdir()
        mounts.remount(restored.backups, "ro")
        assert run_op("atocore-validate", "--all").expect(0).codes == ["validate_started"]
        assert not sums(restored, NOW).exists()


@pytest.mark.parametrize("injection, status, code", [
    ("fsync:error=ENOSPC:when=3", 73, "no_space"),
    ("fsync:error=EIO:when=3", 74, "io_error"),
    ("flock:error=ENOLCK:when=4", 74, "lock_failed"),
])
def test_one_that_cannot_be_sealed_fails_and_does_not_keep_the_others(
        restored, run_op, strace, injection, status, code):
    """Calls of these kinds are made for the snapshot, its verdict and the lock before."""
    result, injected = traced(strace, run_op, [injection], "atocore-validate", "--all")
    assert injected == 1 and result.expect(status).codes[-1] == code
    assert not sums(restored, NOW).exists() and sums(restored, LATER).exists()
    assert [path.name for path in safety_of(restored, NOW).iterdir() if ".tmp" in path.name] == []
    run_op("atocore-validate", "--all").expect(0)
    assert_checksums_hold(safety_of(restored, NOW))
