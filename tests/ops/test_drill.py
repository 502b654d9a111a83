# SPDX-License-Identifier: LGPL-2.1-or-later
"""atocore-drill: a snapshot is restored for real, and nothing of that is left."""

import json
import signal
import sqlite3

import pytest

from support.root import tree
from support.wait import wait_until

NOW = "20260407T060000Z"
LATER = "20260408T070000Z"


@pytest.fixture
def live(root, run_op):
    """A root that serves, with a snapshot."""
    root.write("sources/vault/optics.md", "# Interferometer\n\nThe retroreflector needs a shim.\n")
    root.write("sources/vault/vacuum.md", "# Vacuum\n\nThe cryopump is regenerated weekly.\n")
    root.write_registry([{"id": "p05", "aliases": ["five"], "ingest_roots": []}])
    run_op("atocore-ingest").expect(0)
    run_op("atocore-backup", now=NOW).expect(0)
    return root


@pytest.fixture
def drill(run_op):
    def call(*arguments, **options):
        return run_op("atocore-drill", *arguments, **options)
    return call


def last_drill(root):
    return json.loads((root.path / "data/last-drill.json").read_text())


def untouched(root):
    """All that a drill must leave alone: everything but its result, and what readers leave."""
    return {name: entry for name, entry in tree(root.path).items()
            if name not in ("data/last-drill.json", f"backups/state/{NOW}.json")
            and not name.startswith("data/locks") and not name.endswith(("-shm", ".lock"))}


def breaker(tmp_path, text):
    """A program in the place of the daemon."""
    path = tmp_path / "daemon.sh"
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)
    return {"ATOCORE_DAEMON": str(path)}


def test_it_proves_the_newest_snapshot_and_leaves_nothing(live, drill, run_op):
    run_op("atocore-backup", now="20260408T060000Z").expect(0)
    before = untouched(live)
    result = drill("--json", now=LATER).expect(0)
    assert result.codes[0] == "drill_started" and result.codes[-1] == "drill_done"
    assert result.json["stamp"] == "20260408T060000Z"
    assert result.json["ok"] is True and result.json["error"] is None
    assert {check["name"]: check["outcome"] for check in result.json["proof"]["checks"]} == {
        "start": "passed", "health": "passed", "stats": "passed", "projects": "passed",
        "context": "passed"}
    state = f"backups/state/20260408T060000Z.json"
    after = untouched(live)
    assert {n: e for n, e in after.items() if n != state} == {
        n: e for n, e in before.items() if n != state}
    assert last_drill(live) == {"stamp": "20260408T060000Z", "drilled_at": "2026-04-08T07:00:00Z",
                                "seconds": last_drill(live)["seconds"], "ok": True, "error": None}
    assert last_drill(live)["seconds"] > 0


def test_one_can_be_named(live, drill, run_op):
    run_op("atocore-backup", now="20260408T060000Z").expect(0)
    assert drill(NOW, "--json", now=LATER).expect(0).json["stamp"] == NOW
    assert drill("20250101T000000Z", now=LATER).expect(66).codes[-1] == "snapshot_not_found"
    assert drill("yesterday", now=LATER).expect(64).codes[-1] == "stamp_invalid"
    assert drill(NOW, NOW, now=LATER).expect(64).codes == ["usage"]
    assert last_drill(live)["stamp"] == NOW  # what was no drill is not told as one


def test_invalid_and_future_ones_are_not_the_newest(live, drill, run_op):
    run_op("atocore-backup", now="20260408T060000Z").expect(0)
    run_op("atocore-backup", now="20260409T060000Z").expect(0)
    database = live.snapshots / "20260408T060000Z/db/atocore.db"
    database.write_bytes(database.read_bytes()[:-1] + b"x")
    run_op("atocore-validate", "20260408T060000Z").expect(65)
    assert drill("--json", now=LATER).expect(0).json["stamp"] == NOW


def test_without_a_valid_snapshot_there_is_nothing_to_prove(root, drill):
    root.make_database()
    assert drill().expect(66).codes[-1] == "snapshot_not_found"
    assert not (root.path / "data/last-drill.json").exists()


def test_one_that_was_damaged_since_fails(live, drill):
    database = live.snapshots / NOW / "db/atocore.db"
    database.write_bytes(database.read_bytes()[:-1] + b"x")
    result = drill("--json", now=LATER).expect(65)
    assert result.codes[-1] == "snapshot_invalid"
    assert result.json["ok"] is False and result.json["error"] == "snapshot_invalid"
    assert last_drill(live)["error"] == "snapshot_invalid"
    assert not list((live.path / "data/tmp").iterdir())


@pytest.mark.parametrize("text", ["exit 3\n", "kill -9 $$\n"])
def test_one_that_cannot_be_served_fails(live, drill, tmp_path, text):
    before = untouched(live)
    result = drill("--json", now=LATER, env=breaker(tmp_path, text)).expect(69)
    assert result.codes[-1] == "drill_failed"
    assert last_drill(live)["ok"] is False and last_drill(live)["error"] == "drill_failed"
    assert untouched(live) == before


def test_a_query_that_finds_nothing_fails(live, drill, tmp_path):
    drill("--query", "retroreflector", now=LATER).expect(0)
    failed = drill("--query", "zzyzx", now=LATER).expect(69)
    assert failed.codes[-1] == "drill_failed" and "context" in failed.stderr.splitlines()[-1]
    config = tmp_path / "atocore.conf"
    config.write_text("drill_query=zzyzx\n")
    assert drill("--config", config, now=LATER).expect(69).codes[-1] == "drill_failed"
    config.write_text("drill_query=which shim does the retroreflector need?\n")
    drill("--config", config, now=LATER).expect(0)


def test_it_runs_beside_a_daemon_that_tells_of_it(live, drill, start_daemon):
    daemon = start_daemon()
    assert daemon.get("/stats").json["last_drill"] is None
    drill(now=LATER).expect(0)
    assert daemon.get("/stats").json["last_drill"] == last_drill(live)
    assert daemon.get("/health").status == 200
    assert daemon.process.poll() is None


def test_an_older_schema_is_brought_up_to_date_for_it(root, drill, run_op):
    """What a restore would do after the program was updated; the snapshot stays what it is."""
    root.make_database("PRAGMA application_id = 0x41544f43; CREATE TABLE kept (x);"
                       "INSERT INTO kept VALUES (1), (2);")
    run_op("atocore-backup", now=NOW).expect(0)
    result = drill("--json", now=LATER).expect(0)
    assert result.json["proof"]["database_foreign"] is False
    path = root.snapshots / NOW / "db/atocore.db"
    with sqlite3.connect(f"file:{path}?immutable=1", uri=True) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (0,)
    connection.close()
    run_op("atocore-validate", NOW).expect(0)


def test_a_database_of_another_kind_is_proven_as_far_as_it_can_be(root, drill, run_op):
    root.make_database()
    run_op("atocore-backup", now=NOW).expect(0)
    result = drill("--json", now=LATER).expect(0)
    assert result.json["proof"]["database_foreign"] is True


def test_a_signal_ends_it_without_a_trace(live, drill, run_op, tmp_path):
    before = untouched(live)
    scratch = live.path / "data/tmp"
    process = run_op.start("atocore-drill", now=LATER, env=breaker(tmp_path, "exec sleep 1000\n"))
    wait_until(lambda: list(scratch.glob(".partial-*/data/db/atocore.db")))
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 75 and errors.rstrip().endswith("[interrupted]")
    assert untouched(live) == before and not (live.path / "data/last-drill.json").exists()


def test_what_a_killed_one_left_goes_with_the_next(live, drill, run_op, tmp_path):
    scratch = live.path / "data/tmp"
    process = run_op.start("atocore-drill", now=LATER, env=breaker(tmp_path, "exec sleep 1000\n"))
    wait_until(lambda: list(scratch.glob(".partial-*/data/db/atocore.db")))
    process.kill()
    process.communicate(timeout=60)
    assert len(list(scratch.iterdir())) == 1
    result = drill(now=LATER).expect(0)
    assert "leftover_removed" in result.codes and not list(scratch.iterdir())


def test_a_result_that_cannot_be_kept_does_not_unmake_it(live, drill):
    (live.path / "data/last-drill.json").mkdir()
    assert "state_not_saved" in drill(now=LATER).expect(0).codes
