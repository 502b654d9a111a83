# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a restore that was killed in the middle leaves: all refuse until it is ended."""

import pytest

from support.restores import (NOW, STAMP, assert_safety_whole, contents, interrupt, leftovers,
                              live_data, safeties)
from support.root import tree

JOURNAL = "data/restore-journal.json"
LATER = "20260408T060100Z"


@pytest.fixture
def interrupted(replaced, run_op, hanging):
    interrupt(replaced, run_op, hanging, STAMP)
    return replaced


@pytest.mark.parametrize("operation", [
    ["atocore-backup"], ["atocore-ingest"], ["atocore-validate"], ["atocore-validate", "--all"],
    ["atocore-prune"], ["atocore-prune", "--dry-run"], ["atocore-backup", "--archive"],
    ["atocore-restore", STAMP], ["atocore-restore", STAMP, "--dry-run"]], ids=" ".join)
def test_every_operation_refuses_and_says_what_ends_it(interrupted, run_op, operation):
    before = tree(interrupted.path)
    result = run_op(*operation, now=LATER).expect(75)
    assert result.codes[-1] == "restore_interrupted"
    assert "atocore-restore --resume" in result.stderr
    after = tree(interrupted.path)
    for found in (before, after):
        for name in [name for name in found if "lock" in name]:
            del found[name]
    assert before == after


def test_the_daemon_refuses_until_it_is_ended_and_serves_then(interrupted, restore, start_daemon):
    daemon = start_daemon()
    for method, path in (("GET", "/stats"), ("POST", "/context/build"), ("POST", "/admin/backup")):
        body = {"prompt": "one"} if path == "/context/build" else {}
        answer = daemon.request(method, path, body if method == "POST" else None).expect(503)
        assert answer.json["code"] == "restore_interrupted"
        assert "atocore-restore --resume" in answer.json["detail"]
    health = daemon.get("/health")
    assert health.json["status"] == "degraded" and "restore" in health.body.decode()
    restore("--resume").expect(0)
    if daemon.process.poll() is not None:
        daemon = start_daemon()
    answer = daemon.get("/stats")
    assert answer.status == 503 and answer.json["code"] == "database_foreign"


def test_its_snapshots_wait_too(interrupted, restore, tmp_path):
    result = restore(STAMP, "--to", tmp_path / "new")
    assert result.status == 75 and result.codes[-1] == "restore_interrupted"
    assert not (tmp_path / "new").exists()


def test_resume_ends_it_with_what_was_restored(interrupted, restore):
    result = restore("--resume", "--json").expect(0)
    document = result.json
    assert document["stamp"] == STAMP and document["safety"] == NOW
    assert document["undone"] is False
    assert [step["action"] for step in document["steps"]][0] == "stop"
    assert contents(live_data(interrupted)) == interrupted.saved
    assert_safety_whole(interrupted, NOW, contents(interrupted.old))
    assert leftovers(interrupted) == []
    restore("--rollback", now=LATER).expect(0)
    assert live_data(interrupted) == interrupted.old


def test_rollback_ends_it_with_what_was_there(interrupted, restore):
    result = restore("--rollback", "--json").expect(0)
    assert result.json["undone"] is True and "as it was before" in result.stderr
    assert live_data(interrupted) == interrupted.old
    assert leftovers(interrupted) == [] and safeties(interrupted) == []
    assert restore("--rollback").expect(66).codes[-1] == "snapshot_not_found"


def test_one_that_does_not_prove_to_be_good_is_taken_back_by_resume(interrupted, restore):
    result = restore("--resume", env={"ATOCORE_DAEMON": "/bin/false"}).expect(69)
    assert result.codes[-1] == "restore_rolled_back"
    assert live_data(interrupted) == interrupted.old
    assert leftovers(interrupted) == [] and safeties(interrupted) == []


def test_where_nothing_was_interrupted_there_is_nothing_to_do(replaced, restore):
    before = live_data(replaced)
    result = restore("--resume").expect(0)
    assert result.codes == ["restore_started", "restore_done"] and "nothing to do" in result.stderr
    document = restore("--resume", "--json").expect(0).json
    assert document["steps"] == [] and document["root"] == str(replaced.path)
    assert document["stamp"] is None and document["safety"] is None
    assert live_data(replaced) == before


def test_resume_removes_what_died_before_the_journal(replaced, restore):
    replaced.write("data/.restore-db/atocore.db", "staged")
    replaced.write("config/.restore-project-registry.json", "staged")
    replaced.write("data/.restore-archive/SHA256SUMS", "unpacked")
    replaced.write(f"backups/pre-restore/.partial-{NOW}/backup-metadata.json", "{}")
    replaced.write(f"backups/pre-restore/.partial-{NOW}/.copy-database/atocore.db", "copied")
    restore("--resume").expect(0)
    assert leftovers(replaced) == [] and live_data(replaced) == replaced.old


def test_what_somebody_else_keeps_there_stays(replaced, restore):
    kept = replaced.write(f"backups/pre-restore/.partial-{NOW}/db/atocore.db", "moved")
    replaced.write("backups/pre-restore/.partial-file", "no directory")
    restore(STAMP).expect(0)
    assert kept.read_text() == "moved"
    assert contents(live_data(replaced)) == replaced.saved


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"version":1}', '{"version":2}'])
def test_a_journal_that_cannot_be_read_is_never_guessed(replaced, restore, text):
    journal = replaced.write(JOURNAL, text)
    for arguments in (["--resume"], ["--rollback"]):
        result = restore(*arguments).expect(74)
        assert result.codes[-1] == "read_failed" and str(journal) in result.stderr
    assert restore(STAMP).expect(75).codes[-1] == "restore_interrupted"
    assert live_data(replaced) == replaced.old and journal.read_text() == text
