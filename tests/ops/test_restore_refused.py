# SPDX-License-Identifier: LGPL-2.1-or-later
"""atocore-restore where it must not, cannot, or has to wait: then nothing is changed."""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys

import pytest

from support import mounts
from support.locks import held, is_waiting_for
from support.restores import (NOW, STAMP, contents, data_in, leftovers, live_data, mounted_over,
                              reseal, safeties)
from support.root import Root
from support.run import run
from support.wait import wait_until


def assert_untouched(root):
    assert live_data(root) == root.old
    assert leftovers(root) == [] and safeties(root) == []


def waits(root, process, lock):
    """For the store lock it asks now and then, once all is staged; the registry is so last."""
    if lock.endswith("store.lock"):
        return (root.path / "config/.restore-project-registry.json").exists()
    return is_waiting_for(process, root.path / lock)


# Command lines.

@pytest.mark.parametrize("arguments, words", [
    ([], "a stamp"), ([STAMP, STAMP], "one snapshot"), (["2026-04-07"], "no stamp"),
    ([""], "no stamp"), (["../20260407T060000Z"], "no stamp"),
    (["--rollback", "--resume"], "--resume"),
    (["--rollback", STAMP, STAMP], "one stamp"), (["--rollback", "nonsense"], "no stamp"),
    (["--resume", STAMP], "--resume"), (["--resume", "--dry-run"], "--dry-run"),
    (["--rollback", "--to", "/tmp/x"], "--to"), (["--resume", "--to", "/tmp/x"], "--to"),
    ([STAMP, "--to", ""], "--to"), ([STAMP, "--wait", "-1"], "wait"), ([STAMP, "--never"], "never"),
], ids=str)
def test_usage(replaced, restore, arguments, words):
    result = restore(*arguments).expect(64)
    assert words in result.stderr and result.codes[-1] in ("usage", "stamp_invalid")
    assert_untouched(replaced)


# What is not to be restored.

def test_a_stamp_that_is_not_there(replaced, restore, tmp_path):
    result = restore("20260101T000000Z").expect(66)
    assert result.codes[-1] == "snapshot_not_found" and "--list" in result.stderr
    restore("20260101T000000Z", "--to", tmp_path / "new").expect(66)
    restore("20260101T000000Z.tar.zst", "--to", tmp_path / "new").expect(66)
    assert not (tmp_path / "new").exists()
    shutil.rmtree(replaced.snapshots / STAMP)
    assert restore("latest").expect(66).codes[-1] == "snapshot_not_found"
    assert_untouched(replaced)


@pytest.mark.parametrize("name", ["db/atocore.db", "backup-metadata.json", "SHA256SUMS",
                                  "config/project-registry.json", "chroma/a/b"])
@pytest.mark.parametrize("dry_run", [False, True])
def test_an_invalid_snapshot(replaced, restore, start_daemon, name, dry_run):
    path = replaced.snapshots / STAMP / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    result = restore(STAMP, *(["--dry-run"] if dry_run else [])).expect(65)
    assert result.codes[-1] == "snapshot_invalid" and "atocore-validate" in result.stderr
    assert_untouched(replaced)


def test_one_that_is_damaged_while_it_is_waited_for(replaced, run_op):
    path = replaced.snapshots / STAMP / "chroma/a/b"
    with held(replaced.locks / "gate.lock", fcntl.LOCK_SH):
        process = run_op.start("atocore-restore", STAMP, now=NOW)
        wait_until(lambda: is_waiting_for(process, replaced.locks / "gate.lock"))
        path.write_bytes(path.read_bytes()[:-1] + b"y")
    _, errors = process.communicate()
    assert process.returncode == 65 and errors.rstrip().endswith("[snapshot_invalid]")
    assert "checksum_mismatch: chroma/a/b" in errors
    assert_untouched(replaced)


def test_one_that_is_pruned_while_it_is_waited_for(replaced, run_op):
    with held(replaced.locks / "gate.lock", fcntl.LOCK_SH):
        process = run_op.start("atocore-restore", STAMP, now=NOW)
        wait_until(lambda: is_waiting_for(process, replaced.locks / "gate.lock"))
        shutil.rmtree(replaced.snapshots / STAMP)
    _, errors = process.communicate()
    assert process.returncode in (65, 66, 74), errors
    assert_untouched(replaced)


def test_one_of_another_host_needs_force(replaced, restore, run_op):
    directory = replaced.snapshots / STAMP
    metadata = json.loads((directory / "backup-metadata.json").read_text())
    metadata["hostname"] = "elsewhere"
    (directory / "backup-metadata.json").write_text(json.dumps(metadata))
    reseal(directory)
    run_op("atocore-validate", STAMP).expect(0)
    for arguments in ([], ["--dry-run"]):
        result = restore(STAMP, *arguments).expect(65)
        assert result.codes[-1] == "restore_refused"
        assert "elsewhere" in result.stderr and "--force" in result.stderr
    assert_untouched(replaced)
    restore(STAMP, "--force").expect(0)
    assert contents(live_data(replaced)) == replaced.saved
    restore("--rollback", now="20260408T060100Z").expect(0)  # what was here is of this host


def test_a_damaged_archive(replaced, backup, restore):
    backup("--archive", now="20260407T070000Z").expect(0)
    archive = replaced.backups / "archives/20260407T070000Z.tar.zst"
    whole = archive.read_bytes()
    for data in (whole[:-20], whole[:200] + b"\0" * 50 + whole[250:], b"no archive"):
        archive.write_bytes(data)
        result = restore(archive).expect(65)
        assert result.codes[-1] in ("snapshot_invalid", "archive_invalid"), result
        assert_untouched(replaced)


# Where it cannot go.

@pytest.mark.parametrize("name", ["data/db", "data/chroma", "config/project-registry.json"])
def test_a_link_is_not_replaced(replaced, restore, name):
    path, behind = replaced.path / name, replaced.path / "behind"
    shutil.move(path, behind)
    path.symlink_to(behind)
    replaced.old = live_data(replaced)
    for arguments in ([], ["--dry-run"]):
        result = restore(STAMP, *arguments).expect(65)
        assert result.codes[-1] == "restore_refused" and str(path) in result.stderr
        assert path.is_symlink()
        assert_untouched(replaced)


def test_directories_above_may_be_links(replaced, restore, tmp_path):
    for name in ("config", "data"):
        shutil.move(replaced.path / name, tmp_path / name)
        (replaced.path / name).symlink_to(tmp_path / name)
    restore(STAMP).expect(0)
    assert contents(live_data(replaced)) == replaced.saved
    assert (replaced.path / "config").is_symlink() and (replaced.path / "data").is_symlink()


@pytest.mark.parametrize("name", ["data/db", "data/chroma"])
def test_a_mount_point_is_not_exchanged(replaced, restore, name):
    with mounted_over(replaced.path / name):
        replaced.old = live_data(replaced)
        result = restore(STAMP).expect(65)
        assert result.codes[-1] == "restore_refused" and "--to" in result.stderr
        assert_untouched(replaced)


def test_neither_is_one_of_the_same_file_system(replaced, restore):
    if os.geteuid() != 0:
        pytest.skip("needs root to mount")
    path = replaced.chroma
    if run(["mount", "--bind", path, path]).status != 0:
        pytest.skip("cannot mount")
    try:
        assert restore(STAMP).expect(65).codes[-1] == "restore_refused"
        assert_untouched(replaced)
    finally:
        subprocess.run(["umount", "-l", path], check=True)


def test_what_could_not_be_kept_is_not_exchanged(replaced, run_op):
    replaced.chroma.chmod(0o550)
    replaced.old = live_data(replaced)
    command = run_op.command("atocore-restore", STAMP)
    if os.geteuid() == 0:
        command = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search", *command]
    result = run(command, env=run_op.environment(now=NOW)).expect(77)
    assert result.codes[-1] == "permission_denied" and str(replaced.chroma) in result.stderr
    assert_untouched(replaced)


def test_a_missing_backup_root_is_never_made(replaced, restore, tmp_path):
    shutil.move(replaced.backups, tmp_path / "backups")
    other = Root(tmp_path / "other")
    shutil.rmtree(other.backups)
    shutil.move(tmp_path / "backups", replaced.backups)
    other.make_database()
    was = live_data(other)
    result = restore(STAMP, "--to", other.path).expect(73)
    assert result.codes[-1] == "backup_root_missing"
    assert live_data(other) == was and leftovers(other) == []
    assert not other.backups.exists()


# Space.

def test_a_full_disk_is_seen_before_anything_is_touched(replaced, restore, start_daemon):
    big = replaced.snapshots / STAMP / "chroma/a/b"
    big.write_bytes(os.urandom(3 << 20))
    reseal(replaced.snapshots / STAMP)
    with mounted_over(replaced.path / "data", "6m"):
        replaced.old = live_data(replaced)
        daemon = start_daemon()
        for arguments in ([], ["--dry-run"]):
            result = restore(STAMP, *arguments).expect(73)
            assert result.codes[-1] == "no_space" and "free" in result.stderr
        assert "nothing was changed" in result.stderr
        daemon.get("/health").expect(200)
        daemon.stop()
        assert_untouched(replaced)


def test_one_that_is_full_in_the_middle_of_staging(replaced, restore, start_daemon):
    for i in range(60):
        (replaced.snapshots / STAMP / f"chroma/{i}").write_bytes(os.urandom(1000))
    reseal(replaced.snapshots / STAMP)
    with mounted_over(replaced.path / "data", "64m,nr_inodes=60"):
        replaced.old = live_data(replaced)
        daemon = start_daemon()
        result = restore(STAMP).expect(73)
        assert result.codes[-1] == "no_space"
        daemon.get("/health").expect(200)
        daemon.stop()
        assert_untouched(replaced)


def test_a_backup_root_without_room_for_what_was_there(replaced, restore, start_daemon):
    replaced.write("data/chroma/large", os.urandom(3 << 20))
    with mounted_over(replaced.backups, "6m"):
        replaced.old = live_data(replaced)
        daemon = start_daemon()
        result = restore(STAMP).expect(73)
        assert result.codes[-1] == "no_space" and str(replaced.backups) in result.stderr
        daemon.get("/health").expect(200)
        daemon.stop()
        assert_untouched(replaced)


# Who else is there.

def test_a_foreign_process_that_has_the_database_open_is_named(replaced, restore):
    code = ("import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); "
            "c.execute('SELECT * FROM old').fetchone(); print(flush=True); sys.stdin.read()")
    with subprocess.Popen([sys.executable, "-c", code, replaced.database], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as foreign:
        foreign.stdout.readline()
        result = restore(STAMP, "--wait", "0").expect(75)
        foreign.stdin.close()
    assert result.codes[-1] == "lock_busy" and f"Process {foreign.pid}, python3" in result.stderr
    assert_untouched(replaced)
    restore(STAMP, "--wait", "0").expect(0)


@pytest.mark.parametrize("lock, words", [
    ("data/locks/store.lock", [str(os.getpid()), "python"]),
    ("data/locks/gate.lock", ["gate.lock"]),
    ("backups/.lock", [".lock"])])
def test_whoever_holds_a_lock_is_waited_for(replaced, run_op, restore, lock, words):
    path = replaced.path / lock
    with held(path, fcntl.LOCK_SH):
        result = restore(STAMP, "--wait", "0").expect(75)
        assert result.codes[-1] == "lock_busy" and all(word in result.stderr for word in words)
        assert_untouched(replaced)
        process = run_op.start("atocore-restore", STAMP, "--wait", "600", now=NOW)
        wait_until(lambda: waits(replaced, process, lock))
        assert live_data(replaced) == replaced.old
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    assert contents(live_data(replaced)) == replaced.saved


@pytest.mark.parametrize("lock", [
    "data/locks/gate.lock", "data/locks/store.lock", "backups/.lock"])
def test_sigterm_before_the_journal_changes_nothing(replaced, run_op, lock):
    with held(replaced.path / lock, fcntl.LOCK_SH):
        process = run_op.start("atocore-restore", STAMP, "--wait", "600", now=NOW)
        wait_until(lambda: waits(replaced, process, lock))
        process.terminate()
        _, errors = process.communicate()
    assert process.returncode == 75 and errors.rstrip().endswith("[interrupted]")
    assert_untouched(replaced)


def test_a_daemon_is_ended_and_what_it_serves_then_is_the_snapshot(
        replaced, restore, start_daemon):
    daemon = start_daemon()
    daemon.get("/health").expect(200)
    restore(STAMP).expect(0)
    assert daemon.process.wait(timeout=60) == 0
    assert contents(live_data(replaced)) == replaced.saved
    health = start_daemon().get("/health").expect(200).json
    assert health["status"] == "degraded"  # it is not ours


def test_a_daemon_that_does_not_stop_is_named(replaced, restore, start_daemon):
    daemon = start_daemon()
    replaced.old = live_data(replaced)
    daemon.process.send_signal(signal.SIGSTOP)
    try:
        result = restore(STAMP, "--wait", "1").expect(75)
    finally:
        daemon.process.send_signal(signal.SIGCONT)
    assert result.codes[-1] == "lock_busy"
    assert f"process {daemon.process.pid}, atocored" in result.stderr and "told to" in result.stderr
    assert daemon.process.wait(timeout=60) == 0
    assert_untouched(replaced)


def test_of_two_at_once_the_second_waits(replaced, run_op, restore, hanging):
    first = run_op.start("atocore-restore", STAMP, now=NOW, env=hanging.environment)
    hanging.wait_until_proving(first)
    result = restore(STAMP, "--wait", "0").expect(75)
    assert result.codes[-1] == "lock_busy" and f"{first.pid} atocore-restore" in result.stderr
    second = run_op.start("atocore-restore", STAMP, "--wait", "600", now=NOW)
    wait_until(lambda: is_waiting_for(second, replaced.backups / ".lock"))
    assert first.poll() is None
    first.terminate()
    _, errors = first.communicate()
    assert first.returncode == 75 and errors.rstrip().endswith("[interrupted]")
    _, errors = second.communicate()
    assert second.returncode == 0, errors
    assert contents(live_data(replaced)) == replaced.saved
    assert leftovers(replaced) == [] and safeties(replaced) == [NOW]


def test_backups_and_restores_do_not_mix(replaced, run_op):
    """Each snapshot is of what was there before or of what came after."""
    states = [replaced.saved, contents(replaced.old)]
    databases = [state["data/db/atocore.db"] for state in states]
    for i in range(4):
        backup = run_op.start("atocore-backup", "--include-chroma", now=f"20260409T06000{i}Z")
        restore = run_op.start("atocore-restore", *([STAMP] if i % 2 == 0 else ["--rollback"]),
                               now=f"20260408T06000{i}Z")
        for process in (backup, restore):
            _, errors = process.communicate()
            assert process.returncode == 0, errors
        found = data_in(replaced.snapshots / f"20260409T06000{i}Z")
        tables = [b"notes" in data for data in databases]
        whole = states[tables.index(b"notes" in found["data/db/atocore.db"])]
        assert {name: data for name, data in found.items() if not name.startswith("data/db")} == {
            name: data for name, data in whole.items() if not name.startswith("data/db")}
    run_op("atocore-validate", "--all").expect(0)


def test_an_ingest_that_is_under_way_gets_to_its_end(root, run_op, restore):
    root.write_registry([])
    run_op("atocore-ingest").expect(0)
    run_op("atocore-backup", now=STAMP).expect(0)
    for i in range(300):
        root.write(f"sources/vault/{i}.md", f"# {i}\n\n" + "Some words of it. " * 50)
    ingest = run_op.start("atocore-ingest", "--json")
    wait_until(lambda: "atocore-ingest" in (root.locks / "ingestion.lock").read_text()
               or ingest.poll() is not None)
    restore(STAMP).expect(0)
    out, errors = ingest.communicate()
    assert ingest.returncode == 0, errors
    assert safeties(root) == [NOW]
    assert json.loads(out)["files_indexed"] == 300 and leftovers(root) == []


# Proof.

def test_what_does_not_prove_to_be_good_is_taken_back(replaced, restore):
    for daemon, words in (("/bin/false", "status 1"), ("/nonexistent", "executed")):
        result = restore(STAMP, env={"ATOCORE_DAEMON": daemon}).expect(69)
        assert result.codes[-1] == "restore_rolled_back" and words in result.stderr
        assert "as it was" in result.stderr
        assert_untouched(replaced)


def test_sigterm_in_the_proof_takes_it_back(replaced, run_op, hanging):
    for number in (signal.SIGTERM, signal.SIGINT):
        hanging.started.unlink(missing_ok=True)
        process = run_op.start("atocore-restore", STAMP, now=NOW, env=hanging.environment)
        hanging.wait_until_proving(process)
        assert live_data(replaced) != replaced.old
        process.send_signal(number)
        _, errors = process.communicate()
        assert process.returncode == 75 and errors.rstrip().endswith("[interrupted]")
        assert_untouched(replaced)
        pid = hanging.started.read_text().strip()
        assert not os.path.exists(f"/proc/{pid}")
