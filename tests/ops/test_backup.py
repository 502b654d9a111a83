# SPDX-License-Identifier: LGPL-2.1-or-later
"""atocore-backup: what a snapshot holds, and what happens where there can be none."""

import contextlib
import datetime
import fcntl
import json
import os
import pathlib
import signal
import socket
import sqlite3
import stat
import subprocess
import sys

import pytest

from support import databases, mounts
from support.root import tree
from support.run import run
from support.wait import wait_until

NOW = "20260407T060000Z"
FIELDS = {
    "stamp": str, "created_at": str, "backup_root": str, "hostname": str, "atocore_version": str,
    "sqlite_version": str, "schema_version": int, "db_snapshot_path": str, "db_size_bytes": int,
    "registry_snapshot_path": str, "registry_size_bytes": int, "chroma_snapshot_included": bool,
    "chroma_snapshot_path": str, "chroma_snapshot_files": int, "chroma_snapshot_bytes": int,
    "counts": dict, "label": str, "pinned": bool, "duration_ms": int, "warnings": list,
    "validation": dict,
}
MAYBE_NULL = {"registry_snapshot_path", "registry_size_bytes", "chroma_snapshot_path",
              "chroma_snapshot_files", "chroma_snapshot_bytes", "label"}


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


def snapshot_of(root, metadata):
    return root.snapshots / metadata["stamp"]


def assert_checksums_hold(directory):
    run(["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"], cwd=directory).expect(0)
    listed = len((directory / "SHA256SUMS").read_bytes().splitlines())
    assert listed == sum(len(files) for _, _, files in os.walk(directory)) - 1


@contextlib.contextmanager
def held(path, how, holder=""):
    path.touch()
    with path.open("r+") as file:
        fcntl.flock(file, how)
        file.truncate(0)
        file.write(holder)
        file.flush()
        yield file


# What is in it.

def test_metadata_has_every_field_in_its_type(live, backup):
    metadata = backup("--json").expect(0).json
    assert set(FIELDS) <= set(metadata)
    for name, kind in FIELDS.items():
        if metadata[name] is not None or name not in MAYBE_NULL:
            assert type(metadata[name]) is kind, name
    assert {name for name in FIELDS if metadata[name] is None} == {
        "chroma_snapshot_path", "chroma_snapshot_files", "chroma_snapshot_bytes", "label"}
    directory = snapshot_of(live, metadata)
    assert metadata["backup_root"] == str(directory)
    assert metadata["db_snapshot_path"] == str(directory / "db/atocore.db")
    assert metadata["db_size_bytes"] == (directory / "db/atocore.db").stat().st_size
    assert metadata["registry_snapshot_path"] == str(directory / "config/project-registry.json")
    assert metadata["registry_size_bytes"] == live.registry.stat().st_size
    assert metadata["counts"] == {"notes": 3}
    assert metadata["hostname"] == os.uname().nodename
    assert metadata["sqlite_version"] == sqlite3.sqlite_version
    assert metadata["validation"]["valid"] is True and metadata["validation"]["errors"] == []
    assert json.loads((directory / "backup-metadata.json").read_text()) == metadata


def test_times_are_utc(live, backup):
    before = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
    metadata = backup("--json").expect(0).json
    after = datetime.datetime.now(datetime.timezone.utc)
    made = datetime.datetime.strptime(metadata["stamp"], "%Y%m%dT%H%M%SZ").replace(
        tzinfo=datetime.timezone.utc)
    assert before <= made <= after
    assert metadata["created_at"] == made.strftime("%Y-%m-%dT%H:%M:%SZ")


def test_sha256sum_verifies_it_without_us(live, backup):
    live.write("data/chroma/a", "a")
    directory = snapshot_of(live, backup("--include-chroma", "--json").expect(0).json)
    assert_checksums_hold(directory)
    assert (directory / "config/project-registry.json").read_bytes() == live.registry.read_bytes()
    (directory / "chroma/a").write_text("b")
    run(["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"], cwd=directory).expect(1)


def test_only_owner_and_group_can_read_it(live, backup):
    live.write("data/chroma/deep/a", "a").chmod(0o777)
    live.registry.chmod(0o666)
    directory = snapshot_of(live, backup("--include-chroma", "--json").expect(0).json)
    modes = {name: stat.S_IMODE(mode) for name, (mode, _) in tree(directory).items()}
    directories = {"db", "config", "chroma", "chroma/deep"}
    assert modes == {name: 0o750 if name in directories else 0o640 for name in modes}
    assert stat.S_IMODE(directory.stat().st_mode) == 0o750


def test_success_is_one_event_with_what_was_made(live, backup):
    result = backup(now=NOW).expect(0)
    assert result.stdout == ""
    assert result.codes == ["backup_started", "backup_done"]
    files = sum(len(files) for _, _, files in os.walk(live.snapshots / NOW))
    assert f"Snapshot {NOW} is complete" in result.stderr and f"in {files} files" in result.stderr
    assert backup("--quiet").expect(0).stderr == ""


def test_nothing_else_is_left(live, backup):
    before = tree(live.path)
    backup(now=NOW).expect(0)
    new = {name for name in tree(live.path) if name not in before}
    ours = {name for name in new if name.startswith(f"backups/snapshots/{NOW}")}
    assert new - ours <= {"backups/.lock", "data/locks/gate.lock", "data/locks/store.lock"}
    assert live.leftovers() == []


# Options.

def test_label_and_pin_are_noted_and_listed(live, backup):
    backup("--label", "before the migration “v2”", "--pin", now=NOW).expect(0)
    backup(now="20260408T060000Z").expect(0)
    listed = backup("--list", "--json").expect(0).json
    assert listed["backup_dir"] == str(live.snapshots)
    assert [entry["stamp"] for entry in listed["backups"]] == [NOW, "20260408T060000Z"]
    assert listed["backups"][0]["label"] == "before the migration “v2”"
    assert [entry["pinned"] for entry in listed["backups"]] == [True, False]
    for entry in listed["backups"]:
        on_disk = json.loads((live.snapshots / entry["stamp"] / "backup-metadata.json").read_text())
        assert entry == on_disk
    lines = backup("--list").expect(0).stdout.splitlines()
    assert lines[0].split() == ["STAMP", "STATE", "PIN", "VECTOR", "BYTES", "LABEL"]
    assert lines[1].split()[:4] == [NOW, "valid", "pinned", "-"]
    assert lines[1].endswith("  before the migration “v2”")
    assert lines[2].split()[:4] == ["20260408T060000Z", "valid", "-", "-"]


def test_a_list_of_nothing_is_no_error(root, backup):
    assert backup("--list").expect(0).stdout == ""
    assert backup("--list", "--json").expect(0).json["backups"] == []


def test_a_list_shows_what_cannot_be_read_and_does_nothing_to_the_terminal(live, backup):
    backup("--label", "x", now=NOW).expect(0)
    (live.snapshots / "20260408T060000Z").mkdir()
    (live.snapshots / "20260409T060000Z").mkdir()
    (live.snapshots / "20260409T060000Z/backup-metadata.json").write_text(
        json.dumps({"label": "a\x1b[2J\nb", "pinned": "yes", "validation": 7,
                    "db_size_bytes": "many"}))
    (live.snapshots / "lost+found").mkdir()
    (live.snapshots / "20260410T060000Z").write_text("no directory")
    result = backup("--list").expect(0)
    assert result.stdout.splitlines()[2].split() == ["20260408T060000Z", "unreadable"]
    assert "\x1b" not in result.stdout and len(result.stdout.splitlines()) == 4
    listed = backup("--list", "--json").expect(0).json["backups"]
    assert [entry["stamp"][6:8] for entry in listed] == ["07", "08", "09"]
    assert listed[1] == {"stamp": "20260408T060000Z"}


def test_a_pin_is_kept_outside_what_is_sealed(live, backup):
    backup(now=NOW).expect(0)
    before = tree(live.snapshots)
    assert backup("--pin-snapshot", NOW, "--json").expect(0).json["pinned"] is True
    assert backup("--list", "--json").expect(0).json["backups"][0]["pinned"] is True
    assert "pinned" in backup("--list").expect(0).stdout
    assert backup("--unpin-snapshot", NOW, "--json").expect(0).json["pinned"] is False
    assert tree(live.snapshots) == before
    assert backup("--pin-snapshot", NOW).expect(0).codes == ["snapshot_pinned"]


def test_only_what_is_there_can_be_pinned(live, backup):
    for option in ("--pin-snapshot", "--unpin-snapshot"):
        assert backup(option, NOW).expect(66).codes == ["snapshot_not_found"]
        for text in ("../../etc", "20260231T000000Z", "20260407T060000z", "latest", ""):
            assert backup(option, text).expect(64).codes == ["stamp_invalid"]
    assert list(live.state.iterdir()) == []


@pytest.mark.parametrize("arguments", [
    ("--label", "two\nlines"), ("--label", "\x1b[31m"), ("--label", "x" * 201),
    ("--label", os.fsdecode(b"\xff")), ("--wait", "-1"), ("--wait", "soon"), ("--wait", "86401"),
    ("--list", "--pin"), ("--list", "--label", "x"), ("--pin-snapshot", NOW, "--include-chroma"),
    ("--list", "--wait", "1"), ("--list", "--pin-snapshot", NOW), (NOW,),
])
def test_what_makes_no_sense_is_refused_before_anything_is_done(live, backup, arguments):
    before = tree(live.path)
    assert backup(*arguments).expect(64).codes == ["usage"]
    assert tree(live.path) == before


def test_the_longest_label_is_taken(live, backup):
    assert backup("--label", "é" * 100, "--json").expect(0).json["label"] == "é" * 100


# Stamps.

def test_two_in_one_second_get_two_stamps(live, backup):
    assert [backup("--json", now=NOW).expect(0).json["stamp"] for _ in range(3)] == [
        NOW, "20260407T060001Z", "20260407T060002Z"]


def test_a_clock_set_back_keeps_what_is_there(live, backup):
    for now in ("20260407T060000Z", "20260401T000000Z", "20260401T000000Z"):
        backup(now=now).expect(0)
    assert live.stamps() == ["20260401T000000Z", "20260401T000001Z", NOW]


def test_what_has_the_name_of_a_stamp_is_never_replaced(live, backup):
    (live.snapshots / NOW).mkdir()
    (live.snapshots / "20260407T060001Z").write_text("precious")
    (live.snapshots / "20260407T060002Z").symlink_to("nowhere")
    assert backup("--json", now=NOW).expect(0).json["stamp"] == "20260407T060003Z"
    assert list((live.snapshots / NOW).iterdir()) == []
    assert (live.snapshots / "20260407T060001Z").read_text() == "precious"


def test_several_at_once_all_succeed(live, run_op):
    live.write("data/chroma/a", "a")
    running = [run_op.start("atocore-backup", "--json", *more, now=NOW)
               for more in ([], ["--include-chroma"], [], ["--include-chroma"])]
    results = [process.communicate() for process in running]
    assert [process.returncode for process in running] == [0] * 4, results
    stamps = [json.loads(out)["stamp"] for out, _ in results]
    assert sorted(stamps) == live.stamps() and len(set(stamps)) == 4
    assert live.leftovers() == []
    run_op("atocore-validate", "--all").expect(0)
    for name in stamps:
        assert_checksums_hold(live.snapshots / name)
        assert json.loads((live.snapshots / name / "backup-metadata.json").read_text())[
            "stamp"] == name


# Databases.

def test_any_schema_is_copied_and_counted(live, backup):
    live.database.unlink()
    live.make_database("""
        CREATE TABLE "a""b" (x); INSERT INTO "a""b" VALUES (1), (2);
        CREATE TABLE "with space" (x); INSERT INTO "with space" VALUES (1);
        CREATE TABLE "select" ("from"); CREATE TABLE "'; DROP TABLE x; --" (x);
        CREATE TABLE "ü\n[x]" (x PRIMARY KEY) WITHOUT ROWID; INSERT INTO "ü\n[x]" VALUES (1);
        CREATE TABLE "" (x); CREATE TABLE sqlitelike (x);
        CREATE VIEW v AS SELECT * FROM "a""b"; CREATE VIEW broken AS SELECT * FROM gone;
        CREATE TRIGGER t AFTER INSERT ON "select" BEGIN DELETE FROM "a""b"; END;
        CREATE VIRTUAL TABLE words USING fts5(text); INSERT INTO words VALUES ('one');
        CREATE TABLE auto (id INTEGER PRIMARY KEY AUTOINCREMENT); INSERT INTO auto DEFAULT VALUES;
        PRAGMA user_version=4711; PRAGMA application_id=7;""")
    before = live.database.read_bytes()
    metadata = backup("--json").expect(0).json
    assert metadata["counts"] == {'a"b': 2, "with space": 1, "select": 0, "'; DROP TABLE x; --": 0,
                                  "ü\n[x]": 1, "": 0, "sqlitelike": 0, "auto": 1}
    assert metadata["schema_version"] == 4711
    copy = snapshot_of(live, metadata) / "db/atocore.db"
    databases.assert_sound(copy)
    assert databases.query(copy, "SELECT text FROM words('one')") == [("one",)]
    assert databases.query(copy, "PRAGMA application_id") == [(7,)]
    assert live.database.read_bytes() == before


def test_what_only_another_program_understands_is_copied_all_the_same(live, backup):
    live.database.unlink()
    with contextlib.closing(sqlite3.connect(live.database)) as connection:
        connection.create_collation("theirs", lambda a, b: (a > b) - (a < b))
        connection.create_function("twice", 1, lambda x: 2 * x, deterministic=True)
        connection.executescript("""
            CREATE TABLE sorted (x TEXT COLLATE theirs); CREATE INDEX i ON sorted (x);
            CREATE TABLE keyed (x TEXT COLLATE theirs PRIMARY KEY) WITHOUT ROWID;
            CREATE TABLE generated (x, y AS (twice(x)) STORED);
            CREATE INDEX j ON generated (twice(x));
            CREATE TABLE plain (x);
            INSERT INTO sorted VALUES ('b'), ('a'); INSERT INTO keyed VALUES ('b');
            INSERT INTO generated VALUES (1); INSERT INTO plain VALUES (1);""")
    metadata = backup("--json").expect(0).json
    assert metadata["counts"]["sorted"] == 2 and metadata["counts"]["plain"] == 1
    assert set(metadata["counts"]) == {"sorted", "keyed", "generated", "plain"}
    assert any("not checked" in text for text in metadata["warnings"])
    assert databases.query(snapshot_of(live, metadata) / "db/atocore.db",
                           "SELECT count(*) FROM generated NOT INDEXED") == [(1,)]


def test_what_is_only_in_the_log_is_copied_and_stays_there(live, backup):
    live.database.unlink()
    with contextlib.closing(sqlite3.connect(live.database)) as connection:
        connection.executescript("""
            PRAGMA journal_mode=wal; PRAGMA wal_autocheckpoint=0;
            CREATE TABLE notes (body); INSERT INTO notes VALUES ('only in the log');""")
        log = pathlib.Path(f"{live.database}-wal")
        before = live.database.read_bytes(), log.read_bytes()
        assert before[1]
        metadata = backup("--json").expect(0).json
        assert (live.database.read_bytes(), log.read_bytes()) == before
    directory = snapshot_of(live, metadata)
    assert [path.name for path in (directory / "db").iterdir()] == ["atocore.db"]
    assert databases.query(directory / "db/atocore.db", "SELECT body FROM notes") == [
        ("only in the log",)]
    assert databases.query(directory / "db/atocore.db", "PRAGMA journal_mode") == [("delete",)]


KILLED = """
import os, signal, sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.executescript(sys.argv[2])
os.kill(os.getpid(), signal.SIGKILL)
"""


def kill_after(path, script):
    done = subprocess.run([sys.executable, "-c", KILLED, path, script], check=False)
    assert done.returncode == -signal.SIGKILL


def test_the_log_of_a_killed_writer_is_part_of_the_database(live, backup):
    kill_after(live.database, """
        PRAGMA journal_mode=wal; PRAGMA wal_autocheckpoint=0;
        INSERT INTO notes(body) VALUES ('committed');
        BEGIN; INSERT INTO notes(body) VALUES ('not committed');""")
    log = pathlib.Path(f"{live.database}-wal")
    before = live.database.read_bytes(), log.read_bytes()
    metadata = backup("--json").expect(0).json
    assert (live.database.read_bytes(), log.read_bytes()) == before
    assert databases.query(snapshot_of(live, metadata) / "db/atocore.db",
                           "SELECT body FROM notes WHERE id > 3") == [("committed",)]


def test_a_hot_journal_is_rolled_back_in_the_copy(live, backup):
    kill_after(live.database, """
        PRAGMA cache_size=1; BEGIN IMMEDIATE;
        WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)
            INSERT INTO notes(body) SELECT hex(randomblob(100)) FROM n;""")
    assert pathlib.Path(f"{live.database}-journal").exists()
    metadata = backup("--json").expect(0).json
    assert metadata["counts"] == {"notes": 3}


@pytest.mark.parametrize("journal_mode", ["wal", "delete"])
def test_a_writer_without_pause_is_neither_refused_nor_torn(live, backup, journal_mode):
    live.database.unlink()
    databases.make_ledger(live.database, journal_mode)
    stamps = []
    with databases.writer(live.database) as wait_for_commits:
        for _ in range(4):
            wait_for_commits(100)
            stamps.append(backup("--json").expect(0).json["stamp"])
    copies = [live.snapshots / name / "db/atocore.db" for name in stamps]
    for copy in copies:
        databases.assert_balanced(copy)
    rows = [databases.query(copy, "SELECT count(*) FROM journal")[0][0] for copy in copies]
    assert rows == sorted(set(rows)) and rows[0] >= 100


def test_rows_without_parent_are_a_warning(live, backup):
    live.database.unlink()
    live.make_database("""CREATE TABLE parent (id INTEGER PRIMARY KEY);
        CREATE TABLE child (parent REFERENCES parent); INSERT INTO child VALUES (1);""")
    metadata = backup("--json").expect(0).json
    assert len(metadata["warnings"]) == 1
    assert metadata["warnings"][0].startswith("db_foreign_key_check_failed: db/atocore.db: ")
    assert metadata["validation"]["valid"] is True


@pytest.mark.parametrize("content", [b"", b"hello\n" * 1000, b"SQLite format 3\0" + b"\xff" * 5000])
def test_what_is_no_database_is_never_published(live, backup, content):
    live.database.write_bytes(content)
    result = backup().expect(65)
    assert result.codes[-1] == "database_invalid"
    assert live.stamps() == [] and live.leftovers() == []
    assert live.database.read_bytes() == content


def break_a_page(path):
    """The database as a whole can be opened and copied, and one of its tables not read."""
    page = databases.query(path, "SELECT rootpage FROM sqlite_schema WHERE name = 'notes'")[0][0]
    size = databases.query(path, "PRAGMA page_size")[0][0]
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xa5" * 64)


def test_a_broken_page_keeps_the_copy_for_a_look_and_publishes_nothing(live, backup, run_op):
    break_a_page(live.database)
    before = tree(live.path / "data/db")
    for _ in range(2):  # the second takes the place of the first
        result = backup(now=NOW).expect(65)
        assert result.codes[-1] == "backup_check_failed"
        assert live.stamps() == [] and live.leftovers() == [f".failed-{NOW}"]
    assert str(live.snapshots / f".failed-{NOW}") in result.stderr
    assert (live.snapshots / f".failed-{NOW}/db/atocore.db").stat().st_size > 0
    assert tree(live.path / "data/db") == before
    assert backup("--list").expect(0).stdout == ""
    run_op("atocore-validate", "--all").expect(0)


def test_where_there_is_no_database_nothing_is_made(root, backup):
    before = tree(root.path)
    result = backup("--include-chroma").expect(66)
    assert result.codes[-1] == "database_missing"
    assert tree(root.path) == before


def test_a_directory_in_place_of_the_database_is_refused(root, backup):
    root.database.mkdir()
    assert backup().expect(65).codes[-1] == "database_invalid"
    assert root.stamps() == [] and root.leftovers() == []


# The registry.

def test_without_a_registry_there_is_none_in_the_snapshot(live, backup):
    live.registry.unlink()
    metadata = backup("--json").expect(0).json
    assert metadata["registry_snapshot_path"] is None and metadata["registry_size_bytes"] is None
    assert metadata["warnings"] == []
    assert not (snapshot_of(live, metadata) / "config").exists()


@pytest.mark.parametrize("content", [b"", b"{", b'{"projects": [}', b"{}\0", b"\xff", b"{} x"])
def test_a_registry_that_does_not_parse_is_left_out_and_told(live, backup, run_op, content):
    live.registry.write_bytes(content)
    result = backup("--json").expect(0)
    assert "backup_warning" in result.codes
    assert result.json["registry_snapshot_path"] is None
    assert len(result.json["warnings"]) == 1 and "registry" in result.json["warnings"][0]
    run_op("atocore-validate").expect(0)


def test_a_registry_in_the_middle_of_being_written_is_waited_for(live, run_op):
    whole = live.registry.read_bytes()
    live.registry.write_bytes(whole[:-3])
    process = run_op.start("atocore-backup", "--json")
    wait_until(lambda: live.leftovers() or process.poll() is not None)
    with live.registry.open("ab") as file:
        file.write(whole[-3:])
    out, errors = process.communicate()
    assert process.returncode == 0, errors
    assert json.loads(out)["registry_size_bytes"] == len(whole), errors
    assert json.loads(out)["warnings"] == []


# The vector store that is not there.

def test_a_vector_store_that_is_not_there_is_no_error(live, backup):
    result = backup("--include-chroma", "--json").expect(0)
    assert result.json["chroma_snapshot_included"] is False
    assert len(result.json["warnings"]) == 1 and "data/chroma" in result.json["warnings"][0]
    assert "backup_warning" in result.codes
    assert not (snapshot_of(live, result.json) / "chroma").exists()


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


def is_waiting_for(process, path):
    directory = pathlib.Path("/proc", str(process.pid))
    state = (directory / "stat").read_text().rsplit(")", 1)[1].split()[0]
    opened = {os.readlink(link) for link in (directory / "fd").iterdir()}
    return state == "S" and str(path) in opened


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
