# SPDX-License-Identifier: LGPL-2.1-or-later
"""GET /health says what an operator should act on, and the daemon serves what it can meanwhile."""

import json
import re
import shutil
import sqlite3

import pytest

from support.api import PROJECTS, problem
from support.wait import wait_until

CHECKS = {"database", "registry", "sources", "backups", "listener", "vectors"}


def health(daemon):
    document = daemon.get("/health").expect(200).json
    degraded = {name for name, check in document["checks"].items() if check["status"] != "ok"}
    assert (document["status"] == "degraded") == bool(degraded)
    return document


def wait_for_check(daemon, name, status):
    """Until the check says so; returns its detail."""
    def reached():
        check = health(daemon)["checks"][name]
        return check["detail"] if check["status"] == status else None
    return wait_until(reached, f"{name} to be {status}")


def test_what_works_is_ok(filled, daemon):
    document = health(daemon)
    assert document["status"] == "ok"
    assert set(document["checks"]) == CHECKS
    assert all(check["detail"] for check in document["checks"].values())
    assert re.fullmatch(r"\d+\.\d+\.\d+", document["version"])
    assert isinstance(document["uptime_seconds"], int) and document["uptime_seconds"] >= 0


def test_uptime_goes_on(daemon):
    wait_until(lambda: health(daemon)["uptime_seconds"] >= 2, "two seconds of uptime")


def wait_for_registry_of(daemon, n):
    wait_until(lambda: health(daemon)["checks"]["registry"]["detail"] == f"Projects: {n}",
               f"{n} projects")


# The database.

def test_serves_without_database_and_from_when_there_is_one(root, daemon, run_op):
    root.write_registry(PROJECTS)
    root.write("sources/vault/projects/p05/a.md", "# Words\n\nSome isopropanol.\n")
    assert "atocore-ingest" in wait_for_check(daemon, "database", "degraded")
    for method, path, body in [("GET", "/stats", None), ("GET", "/projects", None),
                               ("POST", "/query", {"prompt": "x"}),
                               ("POST", "/context/build", {"prompt": "x"}),
                               ("POST", "/interactions", {"prompt": "x"}),
                               ("GET", "/interactions", None), ("GET", "/interactions/1", None),
                               ("POST", "/admin/backup", {})]:
        problem(daemon.request(method, path, body), 503, "database_missing")
    assert not root.database.exists()

    run_op("atocore-ingest").expect(0)
    assert daemon.post("/query", {"prompt": "isopropanol"}).expect(200).json["chunks"]
    daemon.post("/interactions", {"prompt": "x"}).expect(201)
    wait_for_check(daemon, "database", "ok")


def test_database_deleted_or_replaced_under_the_daemon_is_used_no_more(filled, daemon, run_op):
    """Nothing is acknowledged that goes into a file without a name."""
    daemon.post("/interactions", {"prompt": "x"}).expect(201)
    for file in filled.database.parent.iterdir():
        file.unlink()
    problem(daemon.post("/interactions", {"prompt": "lost"}), 503, "database_missing")
    problem(daemon.post("/query", {"prompt": "isopropanol"}), 503, "database_missing")

    run_op("atocore-ingest").expect(0)
    assert daemon.post("/interactions", {"prompt": "kept"}).expect(201).json["id"] == 1
    assert daemon.post("/query", {"prompt": "isopropanol"}).expect(200).json["chunks"]
    run_op("atocore-backup").expect(0)


def make_foreign(root):
    root.make_database()


def make_too_new(root):
    root.make_database("PRAGMA application_id=0x41544f43; PRAGMA user_version=9999;"
                       "CREATE TABLE later(x);")


def make_text(root):
    root.database.write_text("This is no database.\n" * 100)


def make_empty(root):
    root.database.touch()


@pytest.mark.parametrize("make, code", [
    (make_foreign, "database_foreign"), (make_too_new, "database_too_new"),
    (make_text, "database_invalid"), (make_empty, "database_invalid")])
def test_database_that_is_not_ours_is_told_and_left_alone(root, start_daemon, make, code):
    make(root)
    before = root.database.read_bytes()
    daemon = start_daemon()
    assert health(daemon)["checks"]["database"]["status"] == "degraded"
    for path, body in [("/query", {"prompt": "x"}), ("/interactions", {"prompt": "x"})]:
        problem(daemon.post(path, body), 503, code)
    problem(daemon.get("/stats"), 503, code)
    daemon.stop()
    assert root.database.read_bytes() == before


def test_failed_request_is_one_event(root, daemon):
    """request_failed, with the code of what failed."""
    problem(daemon.get("/stats"), 503, "database_missing")
    assert len(daemon.events("database_missing")) == 1
    assert "GET /stats was answered with 503" in daemon.events("database_missing")[0]


# The registry. (What becomes of one that was good before: test_registry.py.)

def test_absent_registry_is_told_and_read_once_it_is_there(filled, start_daemon):
    text = filled.registry.read_text()
    filled.registry.unlink()
    daemon = start_daemon()
    assert "registry" in wait_for_check(daemon, "registry", "degraded")
    document = problem(daemon.get("/projects"), 503, "registry_missing")
    assert str(filled.registry) in document["detail"]
    problem(daemon.post("/query", {"prompt": "x", "project": "p05"}), 503, "registry_missing")
    daemon.post("/query", {"prompt": "isopropanol"}).expect(200)
    daemon.get("/stats").expect(200)

    filled.registry.write_text(text)
    assert len(daemon.get("/projects").expect(200).json["projects"]) == 2
    wait_for_check(daemon, "registry", "ok")


@pytest.mark.parametrize("content, word", [
    ("{", ""), ("[]", ""), ("\x00", ""),
    ({"projects": [{"id": "a", "ingest_roots": []}, {"id": "A", "ingest_roots": []}]}, "a"),
    ({"projects": [{"id": "a", "aliases": ["b"], "ingest_roots": []},
                   {"id": "b", "ingest_roots": []}]}, "b"),
    ({"projects": [{"id": "a", "ingest_roots": [{"source": "vault", "subpath": "../x"}]}]}, "a"),
    ({"projects": [{"id": "a", "ingest_roots": [{"source": "vault", "subpath": "/x"}]}]}, "a"),
], ids=["cut", "array", "nul", "ids", "aliases", "dots", "absolute"])
def test_broken_registry_is_named(filled, start_daemon, content, word):
    filled.registry.write_text(content if isinstance(content, str) else json.dumps(content))
    daemon = start_daemon()
    document = problem(daemon.get("/projects"), 503, "registry_invalid")
    assert word in document["detail"]
    problem(daemon.post("/query", {"prompt": "x", "project": "p05"}), 503, "registry_invalid")
    problem(daemon.post("/ingest", {"project": "p05"}), 503, "registry_invalid")
    assert word in wait_for_check(daemon, "registry", "degraded")
    assert daemon.get("/stats").expect(200).json["projects"] is None


# Sources and backups.

def test_source_that_is_gone_or_empty_is_told(filled, daemon):
    shutil.move(filled.vault, filled.path / "away")
    assert "mounted" in wait_for_check(daemon, "sources", "degraded")
    filled.vault.mkdir()
    (filled.vault / "projects").mkdir()
    wait_for_check(daemon, "sources", "degraded")
    shutil.rmtree(filled.vault)
    shutil.move(filled.path / "away", filled.vault)
    wait_for_check(daemon, "sources", "ok")


def test_source_of_known_documents_is_missed_without_a_project(filled, daemon, run_op):
    filled.write_registry([])
    filled.drive.rmdir()  # of which nothing is known
    wait_for_registry_of(daemon, 0)
    assert health(daemon)["checks"]["sources"]["status"] == "ok"
    shutil.move(filled.vault, filled.path / "away")
    assert str(filled.vault) in wait_for_check(daemon, "sources", "degraded")
    filled.vault.mkdir()
    wait_until(lambda: "is empty" in health(daemon)["checks"]["sources"]["detail"], "an empty one")
    run_op("atocore-ingest", "--allow-mass-removal").expect(0)
    wait_for_check(daemon, "sources", "ok")


def test_new_installation_misses_no_source(root, daemon, run_op):
    root.write_registry([])
    shutil.rmtree(root.vault)
    shutil.rmtree(root.drive)
    run_op("atocore-ingest")
    wait_for_check(daemon, "database", "ok")
    assert health(daemon)["checks"]["sources"]["status"] == "ok"


def test_a_removal_that_was_refused_is_told_until_it_is_not(filled, daemon):
    shutil.move(filled.vault, filled.path / "away")
    for project in ("p05", "p06"):
        (filled.vault / "projects" / project).mkdir(parents=True)
    daemon.post("/ingest").expect(200)
    detail = wait_for_check(daemon, "sources", "degraded")
    assert detail.startswith("sources/vault seems to be gone: ")
    assert "known documents are not there" in detail and "--allow-mass-removal" in detail
    shutil.rmtree(filled.vault)
    shutil.move(filled.path / "away", filled.vault)
    daemon.post("/ingest").expect(200)
    assert wait_for_check(daemon, "sources", "ok") == "They are there"


def test_backup_root_that_is_gone_is_told(filled, daemon):
    assert "no snapshot yet" in wait_for_check(daemon, "backups", "ok")
    shutil.rmtree(filled.backups)
    assert "mounted" in wait_for_check(daemon, "backups", "degraded")
    problem(daemon.post("/admin/backup"), 503, "backup_root_missing")


def test_newest_snapshot_is_told_with_its_verdict_and_age(filled, start_daemon, run_op):
    now = "20260407T060000Z"
    run_op("atocore-backup", now=now).expect(0)
    daemon = start_daemon(now="20260407T070000Z")
    assert now in wait_for_check(daemon, "backups", "ok")
    late = start_daemon(now="20260411T070000Z")
    assert "4 days old" in wait_for_check(late, "backups", "degraded")

    (filled.state / f"{now}.json").write_text(json.dumps(
        {"validation": {"valid": False, "validated_at": "2026-04-07T06:30:00Z", "errors": ["x"]}}))
    assert "not valid" in wait_for_check(daemon, "backups", "degraded")


# Telling.

def test_change_of_state_is_told_once(filled, start_daemon, notifications):
    daemon = start_daemon(env={"NOTIFY_SOCKET": notifications.path})
    assert notifications.wait_for("STATUS=") == "STATUS=Serving: everything works"
    assert daemon.events("daemon_degraded") == []
    filled.registry.write_text("{")
    wait_for_check(daemon, "registry", "degraded")
    notifications.wait_for("STATUS=Degraded: registry")
    uptime = health(daemon)["uptime_seconds"]
    wait_until(lambda: health(daemon)["uptime_seconds"] > uptime + 1, "another look")
    assert len(daemon.events("daemon_degraded")) == 1


def test_health_is_read_only(filled, daemon):
    with sqlite3.connect(filled.database) as connection:
        before = connection.execute("PRAGMA data_version").fetchone()
        health(daemon)
        assert connection.execute("PRAGMA data_version").fetchone() == before
