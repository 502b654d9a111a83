# SPDX-License-Identifier: LGPL-2.1-or-later
"""Nobody waits for what is not theirs: long operations and writers hold up no reader."""

import concurrent.futures
import contextlib
import fcntl
import sqlite3

import pytest

from support.api import problem
from support.wait import wait_until


@contextlib.contextmanager
def held(path, who="4242 atocore-ingest since 2026-04-07T06:00:00Z\n"):
    """Another process's exclusive lock."""
    with open(path, "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write(who)
        lock.flush()
        yield
        fcntl.flock(lock, fcntl.LOCK_UN)


@contextlib.contextmanager
def being_written(database):
    """Another process is in a write transaction: writers wait, readers do not."""
    connection = sqlite3.connect(database, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    yield
    connection.execute("ROLLBACK")
    connection.close()


def assert_answers(daemon):
    daemon.get("/health").expect(200)
    daemon.get("/stats").expect(200)
    daemon.get("/projects").expect(200)
    daemon.get("/interactions").expect(200)
    pack = daemon.post("/context/build", {"prompt": "isopropanol", "project": "p05"}).expect(200)
    assert pack.json["chunks_used"] > 0


@pytest.fixture
def pool():
    with concurrent.futures.ThreadPoolExecutor(32) as executor:
        yield executor


@pytest.mark.parametrize("path, body", [
    ("/ingest", {}), ("/ingest", {"project": "p05"}), ("/projects/P06/refresh", None)])
def test_second_ingest_is_409_and_names_the_first(filled, daemon, path, body):
    with held(filled.locks / "ingestion.lock"):
        document = problem(daemon.post(path, body), 409, "lock_busy")
        assert "ingestion.lock" in document["detail"]
        assert_answers(daemon)
    daemon.post(path, body).expect(200)


def test_backup_with_vector_store_is_409_while_an_ingest_runs(filled, daemon):
    filled.chroma.mkdir()
    (filled.chroma / "index.bin").write_bytes(b"x" * 1000)
    with held(filled.locks / "ingestion.lock"):
        problem(daemon.post("/admin/backup", {"include_chroma": True}), 409, "lock_busy")
        daemon.post("/admin/backup", {"include_chroma": False}).expect(201)


def test_backups_and_prune_are_409_while_the_other_runs(filled, daemon):
    daemon.post("/admin/backup").expect(201)
    with held(filled.backups / ".lock", "4242 atocore-prune since 2026-04-07T06:00:00Z\n"):
        problem(daemon.post("/admin/backup"), 409, "lock_busy")
        problem(daemon.post("/admin/prune", {"dry_run": False}), 409, "lock_busy")
        assert_answers(daemon)


def test_long_operations_hold_up_nobody(filled, daemon, pool):
    """An ingest that cannot go on, of all the files anew, while everybody asks."""
    filled.write("sources/vault/projects/p05/new.md", "# New\n\nMore isopropanol.\n")
    with being_written(filled.database):
        ingest = pool.submit(daemon.post, "/ingest")
        write = pool.submit(daemon.post, "/interactions", {"prompt": "later"})
        wait_until(lambda: holds(filled.locks / "ingestion.lock"), "the ingest to be under way")
        for _ in range(5):
            assert_answers(daemon)
        assert not ingest.done() and not write.done()
        problem(daemon.post("/ingest"), 409, "lock_busy")
    assert ingest.result(timeout=60).expect(200).json["files_indexed"] == 1
    assert write.result(timeout=60).expect(201).json["prompt"] == "later"


def holds(path):
    with open(path, "r", encoding="ascii") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return False
        except BlockingIOError:
            return True


def test_long_backup_holds_up_nobody(root, daemon, pool):
    """The database, of somebody else, is locked even for readers: the backup waits for it."""
    root.make_database()
    connection = sqlite3.connect(root.database, isolation_level=None)
    connection.execute("BEGIN EXCLUSIVE")
    backup = pool.submit(daemon.post, "/admin/backup")
    wait_until(lambda: root.leftovers(), "the backup to be under way")
    for _ in range(5):
        problem(daemon.get("/nothing"), 404, "path_unknown")
        daemon.get("/admin/backup").expect(200)
    assert not backup.done()
    connection.execute("COMMIT")
    connection.close()
    backup.result(timeout=60).expect(201)


RESTORE = "4242 atocore-restore since 2026-04-07T06:00:00Z\n"


def test_restore_at_the_gate_turns_nobody_away(filled, start_daemon):
    """It copies beside the live data meanwhile, and ends the daemon when that is done."""
    daemon = start_daemon()
    with held(filled.locks / "gate.lock", RESTORE):
        daemon.get("/stats").expect(200)
        daemon.post("/interactions", {"prompt": "x"}).expect(201)
        daemon.post("/admin/backup").expect(201)
        assert daemon.get("/health").expect(200).json["checks"]["database"]["status"] == "ok"


def test_restore_at_the_gate_is_503_for_a_daemon_without_a_lock(filled, start_daemon):
    """It came up on a restore that was interrupted, which is being ended now."""
    journal = filled.write("data/restore-journal.json", "{}")
    daemon = start_daemon()
    problem(daemon.get("/stats"), 503, "restore_interrupted")
    with held(filled.locks / "gate.lock", RESTORE):
        problem(daemon.get("/stats"), 503, "lock_busy")
        problem(daemon.post("/interactions", {"prompt": "x"}), 503, "lock_busy")
        check = daemon.get("/health").expect(200).json["checks"]["database"]
        assert check["status"] == "degraded" and "gate.lock" in check["detail"]
        journal.unlink()
    daemon.get("/stats").expect(200)


def test_many_clients_get_their_own_answers(filled, daemon, pool):
    def ask(number):
        if number % 3 == 0:
            record = daemon.post("/interactions", {"prompt": f"number {number}"}).expect(201).json
            return record["prompt"] == f"number {number}"
        if number % 3 == 1:
            project = ("p05-interferometer", "p06-polisher")[number % 2]
            pack = daemon.post(
                "/context/build", {"prompt": "isopropanol", "project": project}).expect(200).json
            return pack["project"]["id"] == project and all(
                f"/{project[:3]}/" in chunk["source_file"] for chunk in pack["chunks"])
        return daemon.get("/health").status == 200

    assert all(pool.map(ask, range(600)))
    total = daemon.get("/stats").expect(200).json["interactions"]
    assert total == 200


def test_too_many_long_operations_are_told_to_come_back(filled, daemon, pool):
    filled.write("sources/vault/projects/p05/new.md", "# New\n\nMore isopropanol.\n")
    root = filled
    with being_written(root.database):
        # The first waits for the database; the others are told of the lock, or of the queue.
        calls = [pool.submit(daemon.post, "/ingest") for _ in range(30)]
        wait_until(lambda: sum(call.done() for call in calls) == 29, "29 to be refused")
    answers = [call.result(timeout=60) for call in calls]
    assert sorted({answer.status for answer in answers}) in ([200, 409], [200, 409, 503])
    assert [answer.status for answer in answers].count(200) == 1
    for answer in answers:
        if answer.status == 503:
            problem(answer, 503, "overloaded")
