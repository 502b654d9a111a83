# SPDX-License-Identifier: LGPL-2.1-or-later
"""atocore-restore between file systems and between schemas."""

import os
import shutil

import pytest

from support import mounts
from support.databases import query, query_with_log
from support.restores import (NOW, STAMP, assert_safety_whole, contents, interrupt, leftovers,
                              live_data, mounted_over, safeties, safety_of)
from support.run import run

LATER = "20260408T060100Z"
OURS = "PRAGMA application_id=0x41544f43; "


@pytest.fixture
def apart(replaced):
    """backups/ is a file system of its own."""
    with mounted_over(replaced.backups):
        yield replaced


def test_what_was_there_is_copied_to_another_file_system(apart, restore):
    replaced_link = apart.chroma / "link"
    replaced_link.symlink_to("a/b")
    apart.old = live_data(apart)
    result = restore(STAMP, "--json").expect(0)
    assert contents(live_data(apart)) == apart.saved
    assert safeties(apart) == [NOW] and leftovers(apart) == []
    kept = safety_of(apart, NOW)
    assert os.readlink(kept / "chroma/link") == "a/b"
    assert os.lstat(kept / "db/atocore.db").st_dev != os.lstat(apart.database).st_dev
    assert result.json["safety"] == NOW
    restore("--rollback", now=LATER).expect(0)
    assert live_data(apart) == apart.old
    assert_safety_whole(apart, LATER, apart.saved)


@pytest.mark.parametrize("end", ["--resume", "--rollback"])
def test_an_interrupted_one_is_ended_there_too(apart, run_op, restore, hanging, end):
    interrupt(apart, run_op, hanging, STAMP)
    restore(end).expect(0)
    if end == "--resume":
        assert contents(live_data(apart)) == apart.saved
        assert_safety_whole(apart, NOW, contents(apart.old))
    else:
        assert live_data(apart) == apart.old and safeties(apart) == []
    assert leftovers(apart) == []


def test_what_fails_there_is_taken_back(apart, restore):
    restore(STAMP, env={"ATOCORE_DAEMON": "/bin/false"}).expect(69)
    assert live_data(apart) == apart.old
    assert safeties(apart) == [] and leftovers(apart) == []


def test_a_read_only_backup_root_changes_nothing(apart, restore):
    restore(STAMP, "--dry-run").expect(0)  # makes the lock file
    mounts.remount(apart.backups, "ro")
    result = restore(STAMP).expect(73)
    assert result.codes[-1] == "write_failed" and str(apart.backups) in result.stderr
    mounts.remount(apart.backups, "rw")
    assert live_data(apart) == apart.old and leftovers(apart) == []


@pytest.mark.parametrize("source", ["snapshot", "archive"])
def test_the_configuration_may_be_another_file_system(replaced, run_op, restore, source):
    given = STAMP
    if source == "archive":
        given = replaced.backups / f"archives/{LATER}.tar.zst"
        run_op("atocore-backup", "--archive", "--include-chroma", now=LATER).expect(0)
        replaced.saved = contents(live_data(replaced))
        replaced.saved.pop("data/db/atocore.db")
        replaced.registry.unlink()
        replaced.write("data/chroma/more", "after it")
        replaced.old = live_data(replaced)
    with mounted_over(replaced.path / "config"):
        restore(given).expect(0)
        found = contents(live_data(replaced))
        assert {name: found[name] for name in replaced.saved
                if not name.startswith("data/db")} == {
            name: data for name, data in replaced.saved.items() if not name.startswith("data/db")}
        assert query(replaced.database, "SELECT count(*) FROM sqlite_schema") == [(1,)]
        assert_safety_whole(replaced, NOW, contents(replaced.old))
        restore("--rollback", now=LATER).expect(0)
        assert live_data(replaced) == replaced.old and leftovers(replaced) == []


# Schemas.

def test_a_snapshot_of_an_older_schema_is_migrated_and_what_it_replaced_comes_back(
        root, run_op, restore, start_daemon):
    root.write_registry([])
    root.make_database(OURS + "PRAGMA user_version=0; VACUUM;")
    run_op("atocore-backup", now=STAMP).expect(0)
    root.write("sources/vault/a.md", "# A title\n\nSome words.\n")
    run_op("atocore-ingest").expect(0)
    restore(STAMP).expect(0)
    [(version,)] = query_with_log(safety_of(root, NOW) / "db/atocore.db", "PRAGMA user_version")
    assert version > 0 and query_with_log(root.database, "PRAGMA user_version") == [(version,)]
    assert query_with_log(root.database, "SELECT count(*) FROM documents") == [(0,)]
    assert query(root.snapshots / STAMP / "db/atocore.db", "PRAGMA user_version") == [(0,)]
    restore("--rollback", now=LATER).expect(0)
    daemon = start_daemon()
    assert daemon.get("/stats").json["documents"] == 1
    assert daemon.get("/health").json["checks"]["database"]["status"] == "ok"


def test_a_snapshot_of_a_newer_schema_is_taken_back(root, run_op, restore):
    root.write_registry([])
    root.make_database(OURS + "PRAGMA user_version=9999; CREATE TABLE future(x);")
    run_op("atocore-backup", now=STAMP).expect(0)
    root.database.unlink()
    run_op("atocore-ingest").expect(0)
    was = live_data(root)
    result = restore(STAMP).expect(69)
    assert result.codes[-1] == "restore_rolled_back" and "9999" in result.stderr
    assert live_data(root) == was and leftovers(root) == []


def test_a_database_that_was_old_when_it_was_replaced_is_put_back(root, run_op, restore):
    root.write_registry([])
    run_op("atocore-ingest").expect(0)
    run_op("atocore-backup", now=STAMP).expect(0)
    for path in root.database.parent.iterdir():
        path.unlink()
    root.make_database(OURS + "PRAGMA user_version=0; VACUUM;")
    restore(STAMP).expect(0)
    restore("--rollback", now=LATER).expect(0)
    assert query(root.database, "PRAGMA application_id") == [(0x41544f43,)]
    shutil.rmtree(root.snapshots / STAMP)
    run_op("atocore-ingest").expect(0)
