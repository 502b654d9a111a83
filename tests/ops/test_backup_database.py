# SPDX-License-Identifier: LGPL-2.1-or-later
"""atocore-backup: the copy of the database, whatever it holds and whoever writes it."""

import contextlib
import pathlib
import signal
import sqlite3
import subprocess
import sys

import pytest

from support import databases
from support.root import tree
from support.snapshots import snapshot_of

NOW = "20260407T060000Z"


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
