# SPDX-License-Identifier: LGPL-2.1-or-later
"""atocore-backup where it cannot write or has to wait, and what earlier runs left behind."""

import fcntl
import os
import socket
import stat

import pytest

from support import mounts
from support.locks import held, is_waiting_for
from support.root import tree
from support.snapshots import assert_checksums_hold, snapshot_of
from support.wait import wait_until

NOW = "20260407T060000Z"


# Where it cannot be written.

def test_a_missing_backup_root_is_never_made(live, backup):
    for name in ("snapshots", "archives", "pre-restore", "state"):
        (live.backups / name).rmdir()
    live.backups.rmdir()
    before = tree(live.path)
    result = backup().expect(73)
    assert result.codes[-1] == "backup_root_missing" and str(live.backups) in result.stderr
    assert tree(live.path) == before


def test_a_missing_snapshots_directory_is_made(live, backup):
    live.snapshots.rmdir()
    backup(now=NOW).expect(0)
    assert live.stamps() == [NOW] and stat.S_IMODE(live.snapshots.stat().st_mode) == 0o750


def test_the_backup_root_may_be_another_file_system(live, backup, run_op):
    with mounts.tmpfs(live.backups):
        live.write("data/chroma/a", "a" * 10000)
        for _ in range(2):
            metadata = backup("--include-chroma", "--json").expect(0).json
            assert_checksums_hold(snapshot_of(live, metadata))
        run_op("atocore-validate", "--all").expect(0)


def test_a_read_only_backup_root_is_named(live, backup):
    with mounts.tmpfs(live.backups):
        backup(now=NOW).expect(0)
        mounts.remount(live.backups, "ro")
        before = tree(live.path / "data/db"), tree(live.backups)
        result = backup().expect(73)
        assert result.codes[-1] == "write_failed" and str(live.backups) in result.stderr
        assert (tree(live.path / "data/db"), tree(live.backups)) == before


@pytest.mark.parametrize("kilobytes", range(8, 400, 28))
def test_a_full_disk_publishes_nothing_and_leaves_nothing(live, backup, run_op, kilobytes):
    live.database.unlink()
    live.make_database("CREATE TABLE notes (body); INSERT INTO notes VALUES (zeroblob(100000));")
    for i in range(10):
        live.write(f"data/chroma/{i}", os.urandom(15000))
    before = tree(live.path / "data/db"), tree(live.chroma)
    with mounts.tmpfs(live.backups, f"{kilobytes}k"):
        result = backup("--include-chroma")
        assert (tree(live.path / "data/db"), tree(live.chroma)) == before
        if result.status == 0:
            run_op("atocore-validate", "--quiet").expect(0)
            return
        assert result.expect(73).codes[-1] == "no_space"
        assert not live.snapshots.exists() or list(live.snapshots.iterdir()) == []
        mounts.remount(live.backups, "size=4m")
        backup("--include-chroma").expect(0)


# Locks.

def test_ingest_holds_up_only_a_snapshot_with_the_vector_store(live, backup):
    live.write("data/chroma/a", "a")
    holder = f"{os.getpid()} atocore-ingest since 2026-04-07T06:00:00Z"
    with held(live.locks / "ingestion.lock", fcntl.LOCK_EX, holder):
        backup("--wait", "0").expect(0)
        result = backup("--wait", "0", "--include-chroma").expect(75)
    assert result.codes[-1] == "lock_busy" and holder in result.stderr
    assert len(live.stamps()) == 1 and live.leftovers() == []


@pytest.mark.parametrize("name", ["data/locks/gate.lock", "data/locks/store.lock", "backups/.lock"])
def test_a_restore_holds_up_every_snapshot(live, backup, name):
    with held(live.path / name, fcntl.LOCK_EX, f"{os.getpid()} atocore-restore since ever"):
        result = backup("--wait", "0").expect(75)
    assert result.codes[-1] == "lock_busy" and "atocore-restore" in result.stderr
    assert live.stamps() == [] and live.leftovers() == []
    with held(live.path / name, fcntl.LOCK_SH):
        backup("--wait", "0").expect(0)


def test_a_lock_that_is_let_go_in_time_is_waited_for(live, run_op):
    lock = live.backups / ".lock"
    with held(lock, fcntl.LOCK_EX):
        process = run_op.start("atocore-backup", "--wait", "600")
        wait_until(lambda: is_waiting_for(process, lock))
        assert process.poll() is None and live.leftovers() == []
    process.communicate()
    assert process.returncode == 0 and len(live.stamps()) == 1


def test_sigterm_ends_one_that_waits(live, run_op):
    lock = live.backups / ".lock"
    with held(lock, fcntl.LOCK_EX):
        process = run_op.start("atocore-backup", "--wait", "600")
        wait_until(lambda: is_waiting_for(process, lock))
        process.terminate()
        _, errors = process.communicate()
    assert process.returncode == 75 and errors.rstrip().endswith("[interrupted]")


# What earlier runs left behind.

def test_what_a_dead_run_left_is_removed_and_what_lives_is_not(live, backup):
    dead = live.snapshots / ".partial-20260401T060000Z-0badcafe"
    alive = live.snapshots / ".partial-20260402T060000Z-0badcafe"
    for directory in (dead, alive):
        (directory / "db").mkdir(parents=True)
        (directory / "db/atocore.db").write_text("half")
    descriptor = os.open(alive, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        result = backup().expect(0)
    finally:
        os.close(descriptor)
    assert result.codes.count("leftover_removed") == 1 and str(dead) in result.stderr
    assert live.leftovers() == [alive.name]


def test_a_socket_named_like_a_leftover_does_no_harm(live, backup):
    with socket.socket(socket.AF_UNIX) as listener:
        previous = os.getcwd()
        os.chdir(live.snapshots)
        try:
            listener.bind(".partial-x")
        finally:
            os.chdir(previous)
    (live.snapshots / ".partial-y").symlink_to(live.vault)
    backup().expect(0)
    assert live.vault.is_dir()
