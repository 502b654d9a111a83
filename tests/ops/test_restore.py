# SPDX-License-Identifier: LGPL-2.1-or-later
"""atocore-restore: what a snapshot holds takes the place of what is live, and it can be undone."""

import json
import os
import shutil
import stat

import pytest

from support.databases import query
from support.restores import (NOW, OLD, STAMP, assert_safety_whole, contents, data_in, leftovers,
                              live_data, replace_live, safeties, safety_of)
from support.root import Root, tree
from support.run import run

VERBS = ["validate", "stage", "stop", "exchange", "prove", "keep"]


def inodes(root):
    return [os.lstat(path).st_ino for path in (root.database.parent, root.database,
                                               root.chroma / "new", root.registry)]


# There and back.

def test_the_snapshot_is_live_byte_for_byte_and_what_was_there_is_kept(replaced, restore):
    before = inodes(replaced)
    result = restore(STAMP).expect(0)
    assert contents(live_data(replaced)) == replaced.saved
    assert safeties(replaced) == [NOW]
    assert_safety_whole(replaced, NOW, contents(replaced.old))
    kept = safety_of(replaced, NOW)
    assert [os.lstat(path).st_ino for path in (
        kept / "db", kept / "db/atocore.db", kept / "chroma/new",
        kept / "config/project-registry.json")] == before  # moved, not copied
    assert leftovers(replaced) == []
    assert result.stdout == ""
    assert set(result.codes) == {"restore_started", "restore_step", "restore_done"}
    assert result.codes[0] == "restore_started" and result.codes[-1] == "restore_done"
    assert f"backups/pre-restore/{NOW}" in result.stderr and "--rollback" in result.stderr


def test_latest_is_the_newest_snapshot_that_is_not_of_the_future(replaced, restore, backup):
    backup(now="20260901T060000Z").expect(0)
    result = restore("latest").expect(0)
    assert "snapshot_in_future" in result.codes
    assert contents(live_data(replaced)) == replaced.saved


def test_json_tells_each_step_with_paths_and_bytes(replaced, restore):
    result = restore(STAMP, "--json").expect(0)
    document = result.json
    assert set(document) == {"stamp", "source", "root", "dry_run", "safety", "undone", "steps",
                             "proof", "duration_ms"}
    assert document["stamp"] == STAMP and document["safety"] == NOW
    assert document["source"] == str(replaced.snapshots / STAMP)
    assert document["root"] == str(replaced.path)
    assert document["dry_run"] is False and document["undone"] is False
    assert isinstance(document["duration_ms"], int)
    steps = document["steps"]
    assert all(set(step) == {"action", "what", "target", "bytes"} for step in steps)
    verbs = [step["action"] for step in steps]
    assert sorted(set(verbs), key=verbs.index) == VERBS
    by = {(step["action"], step["what"]): step for step in steps}
    database = (replaced.snapshots / STAMP / "db/atocore.db").stat().st_size
    assert by["stage", "database"]["bytes"] == database
    assert by["stage", "database"]["target"] == str(replaced.path / "data/.restore-db")
    assert by["exchange", "registry"]["target"] == str(replaced.registry)
    assert by["keep", "vector_store"]["target"] == str(safety_of(replaced, NOW) / "chroma")
    assert by["keep", "vector_store"]["bytes"] == sum(
        len(content) for name, content in contents(replaced.old).items() if "chroma" in name)
    told = [line for line in result.stderr.splitlines() if line.endswith("[restore_step]")]
    for step in steps:
        assert any(f"{step['action']} {step['what']}: {step['target']}" in line
                   for line in told), step


def test_quiet_says_nothing(replaced, restore):
    result = restore(STAMP, "--quiet").expect(0)
    assert result.stdout == "" and result.stderr == ""
    assert contents(live_data(replaced)) == replaced.saved


def without_locks(found):
    return {name: entry for name, entry in found.items()
            if not name.startswith("data/locks") and not name.endswith(".lock")}


def times(root):
    return {name: (root.path / name).stat().st_mtime_ns for name in without_locks(tree(root.path))}


def test_a_dry_run_lists_each_step_and_touches_nothing(replaced, restore):
    (replaced.backups / ".lock").touch()
    before, when = without_locks(tree(replaced.path)), times(replaced)
    result = restore(STAMP, "--dry-run").expect(0)
    document = restore(STAMP, "--dry-run", "--json").expect(0).json
    assert without_locks(tree(replaced.path)) == before and times(replaced) == when
    assert document["dry_run"] is True
    lines = result.stdout.splitlines()[1:]
    assert len(lines) == len(document["steps"]) > len(VERBS)
    for line, step in zip(lines, document["steps"]):
        assert line.split() == [step["action"], step["what"], str(step["bytes"]), step["target"]]
    assert "Nothing was touched" in result.stderr


def test_owner_and_mode_are_those_of_what_was_replaced(replaced, restore):
    replaced.database.parent.chmod(0o700)
    replaced.database.chmod(0o600)
    replaced.registry.chmod(0o644)
    (replaced.chroma / "a").chmod(0o711)
    restore(STAMP).expect(0)
    assert contents(live_data(replaced)) == replaced.saved
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (
        replaced.database.parent, replaced.database, replaced.registry, replaced.chroma / "a")]
    assert modes == [0o700, 0o600, 0o644, 0o711]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give files away")
def test_owners_are_kept_too(replaced, restore):
    for path in (replaced.database, replaced.registry, replaced.chroma):
        os.chown(path, 65534, 65534)
    restore(STAMP).expect(0)
    for path in (replaced.database, replaced.registry, replaced.chroma):
        assert (path.stat().st_uid, path.stat().st_gid) == (65534, 65534)


# Rolling back.

def test_rollback_puts_back_what_was_there_and_again_what_was_restored(replaced, restore):
    restore(STAMP).expect(0)
    restore("--rollback", now="20260408T060100Z").expect(0)
    assert live_data(replaced) == replaced.old
    assert_safety_whole(replaced, "20260408T060100Z", replaced.saved)
    assert_safety_whole(replaced, NOW, contents(replaced.old))  # it was copied, and stays
    restore("--rollback", now="20260408T060200Z").expect(0)
    assert contents(live_data(replaced)) == replaced.saved
    assert leftovers(replaced) == []


def test_rollback_goes_back_to_the_one_that_is_named(replaced, restore):
    restore(STAMP).expect(0)
    replace_live(replaced)
    restore(STAMP, now="20260408T060100Z").expect(0)
    restore("--rollback", NOW, now="20260408T060200Z").expect(0)
    assert live_data(replaced) == replaced.old


def test_rollback_can_be_planned_too(replaced, restore):
    restore(STAMP).expect(0)
    before = tree(replaced.path)
    document = restore("--rollback", "--dry-run", "--json").expect(0).json
    assert document["stamp"] == NOW and document["source"] == str(safety_of(replaced, NOW))
    assert tree(replaced.path) == before


def test_where_nothing_was_replaced_there_is_nothing_to_go_back_to(live, restore):
    before = live_data(live)
    result = restore("--rollback").expect(66)
    assert result.codes == ["snapshot_not_found"]
    (live.backups / "pre-restore").rmdir()
    restore("--rollback").expect(66)
    result = restore("--rollback", "20260101T000000Z").expect(66)
    assert result.codes[-1] == "snapshot_not_found"
    assert live_data(live) == before


def test_what_was_not_there_is_gone_again(saved, restore):
    shutil.rmtree(saved.chroma)
    saved.registry.unlink()
    saved.database.unlink()
    was = live_data(saved)
    restore(STAMP).expect(0)
    assert contents(live_data(saved)) == saved.saved
    metadata = json.loads((safety_of(saved, NOW) / "backup-metadata.json").read_text())
    assert metadata["items"] == {
        "database": "present", "vector_store": "absent", "registry": "absent"}
    assert metadata["replaced_by"] == STAMP
    restore("--rollback", now="20260408T060100Z").expect(0)
    assert live_data(saved) == was
    restore("--rollback", now="20260408T060200Z").expect(0)
    assert contents(live_data(saved)) == saved.saved
    assert leftovers(saved) == []


@pytest.mark.parametrize("gone", ["data/db", "data", "data and config"])
def test_a_root_that_lost_its_directories_gets_them_again(saved, restore, gone):
    for name in gone.split(" and "):
        shutil.rmtree(saved.path / name)
    restore(STAMP).expect(0)
    assert contents(live_data(saved)) == saved.saved
    restore("--rollback", now="20260408T060100Z").expect(0)
    assert not saved.database.parent.exists()
    assert leftovers(saved) == []


def test_names_of_safety_snapshots_never_meet(replaced, restore):
    restore(STAMP).expect(0)
    restore(STAMP).expect(0)  # in the same second
    restore("--rollback", NOW).expect(0)
    assert safeties(replaced) == [NOW, "20260408T060001Z", "20260408T060002Z"]
    assert live_data(replaced) == replaced.old


# What is not whole when it is replaced.

def corrupt(root):
    with root.database.open("r+b") as file:
        file.seek(50)
        file.write(b"\xff" * 3000)


def make_directory(root):
    root.database.unlink()
    root.database.mkdir()
    root.database.chmod(0o750)
    root.write("data/db/atocore.db/in it", "something")


def make_file_of_the_directory(root):
    shutil.rmtree(root.database.parent)
    root.write("data/db", "a file")


@pytest.mark.parametrize("damage", [
    corrupt, make_directory, make_file_of_the_directory,
    lambda root: root.database.write_bytes(b""), lambda root: root.database.unlink(),
    lambda root: root.registry.write_text("{not json"),
    lambda root: root.write("data/db/atocore.db-wal", b"\x37\x7f\x06\x82" + b"?" * 5000),
    lambda root: (root.database.parent / "link").symlink_to("/nowhere"),
], ids=["corrupt", "directory", "no directory", "empty", "missing", "registry", "wal", "link"])
def test_whatever_is_live_is_replaced_and_comes_back_as_it_was(replaced, restore, damage):
    damage(replaced)
    was = live_data(replaced)
    restore(STAMP).expect(0)
    assert contents(live_data(replaced)) == replaced.saved
    result = restore("--rollback", now="20260408T060100Z").expect(0)
    found = live_data(replaced)
    if "data/db/atocore.db-shm" not in was:  # the memory of who has read beside a -wal
        found.pop("data/db/atocore.db-shm", None)
    assert found == was
    assert leftovers(replaced) == []
    assert result.codes[-1] == "restore_done"


def test_what_cannot_be_served_is_put_back_all_the_same_and_says_so(replaced, restore):
    corrupt(replaced)
    restore(STAMP).expect(0)
    result = restore("--rollback", now="20260408T060100Z").expect(0)
    assert "restore_warning" in result.codes and str(replaced.database) in result.stderr


# What a snapshot does not have.

def test_what_the_snapshot_does_not_have_stays_and_is_told(live, backup, restore):
    registry = live.registry.read_bytes()
    live.registry.unlink()
    backup(now=STAMP).expect(0)
    live.registry.write_bytes(registry)
    live.write("data/chroma/a", "current")
    result = restore(STAMP).expect(0)
    warnings = [line for line in result.stderr.splitlines() if line.endswith("[restore_warning]")]
    assert len(warnings) == 2
    assert str(live.registry) in warnings[0]
    assert str(live.chroma) in warnings[1] and "ingest" in warnings[1] and "stale" in warnings[1]
    assert live.registry.read_bytes() == registry
    assert (live.chroma / "a").read_text() == "current"
    assert set(data_in(safety_of(live, NOW))) == {"data/db/atocore.db"}
    restore("--rollback", now="20260408T060100Z").expect(0)
    assert live.registry.read_bytes() == registry and (live.chroma / "a").exists()


def test_without_a_vector_store_on_either_side_nothing_is_said(live, backup, restore):
    backup("--include-chroma", now=STAMP).expect(0)
    assert "restore_warning" not in restore(STAMP).expect(0).codes


# Into another root.

@pytest.mark.parametrize("relative", [False, True])
def test_a_root_that_is_not_there_is_made(replaced, restore, tmp_path, relative):
    before = tree(replaced.path)
    given = "new" if relative else str(tmp_path / "new")
    restore(STAMP, "--to", given, "--dry-run", cwd=tmp_path).expect(0)
    assert without_locks(tree(replaced.path)) == without_locks(before)
    assert not (tmp_path / "new").exists()
    result = restore(STAMP, "--to", given, cwd=tmp_path, now=NOW).expect(0)
    assert "nothing was there before" in result.stderr
    target = Root(tmp_path / "new")
    assert contents(live_data(target)) == replaced.saved
    assert safeties(target) == [] and leftovers(target) == []
    verdict = f"backups/state/{STAMP}.json"
    after = without_locks(tree(replaced.path))
    assert after.pop(verdict) and after == without_locks(before)


def test_a_root_that_is_there_keeps_what_it_had(replaced, restore, tmp_path):
    target = Root(tmp_path / "other")
    target.make_database(OLD)
    was = contents(live_data(target))
    restore(STAMP, "--to", target.path).expect(0)
    assert contents(live_data(target)) == replaced.saved
    assert_safety_whole(target, NOW, was)
    assert live_data(replaced) == replaced.old and safeties(replaced) == []
    restore("--rollback", root=target.path, now="20260408T060100Z").expect(0)
    assert contents(live_data(target)) == was


def test_an_empty_directory_can_be_the_root(saved, restore, tmp_path):
    (tmp_path / "empty").mkdir()
    restore(STAMP, "--to", tmp_path / "empty").expect(0)
    assert contents(live_data(Root(tmp_path / "empty"))) == saved.saved


# Databases of ours.

QUESTION = {"prompt": "interferometer polisher", "budget": 5000}


def answer(daemon):
    found = daemon.post("/context/build", QUESTION).expect(200).json
    found.pop("duration_ms")
    return found


def test_the_same_question_has_the_same_answer(ingested, run_op, restore, start_daemon):
    daemon = start_daemon()
    expected, stats = answer(daemon), daemon.get("/stats").json
    assert expected["chunks_used"] > 5
    daemon.stop()
    run_op("atocore-backup", now=STAMP).expect(0)
    for path in (ingested.vault / "p05").iterdir():
        path.write_text("# Something else\n\nAltogether.\n")
    run_op("atocore-ingest").expect(0)
    restore(STAMP).expect(0)
    daemon = start_daemon()
    assert answer(daemon) == expected
    restored = daemon.get("/stats").json
    for name in ("documents", "chunks", "projects", "interactions", "memories"):
        assert restored[name] == stats[name]


def test_what_must_be_found_can_be_given(ingested, run_op, restore):
    run_op("atocore-backup", now=STAMP).expect(0)
    before = contents(live_data(ingested))
    restore(STAMP, "--query", "interferometer").expect(0)
    result = restore(STAMP, "--query", "zeppelin", now="20260408T060100Z").expect(69)
    assert result.codes[-1] == "restore_rolled_back" and "zeppelin" in result.stderr
    assert query(ingested.database, "SELECT count(*) FROM documents") == [(20,)]
    assert safeties(ingested) == [NOW] and leftovers(ingested) == []
    assert contents(live_data(ingested)).keys() >= before.keys() - {"data/db/atocore.db-shm"}


# From archives.

FORMATS = {"zstd": ".tar.zst", "gzip": ".tar.gz", "none": ".tar"}


@pytest.mark.parametrize("form, suffix", FORMATS.items())
def test_an_archive_is_restored_from_wherever_it_lies(
        live, backup, restore, tmp_path, form, suffix):
    live.write("data/chroma/a/b", "x" * 10000)
    backup("--include-chroma", f"--archive={form}", now=STAMP).expect(0)
    saved = data_in(live.snapshots / STAMP)
    archive = tmp_path / f"{STAMP}{suffix}"
    shutil.move(live.backups / "archives" / archive.name, archive)
    shutil.rmtree(live.snapshots / STAMP)
    replace_live(live)
    old = live_data(live)
    before = tree(live.path)
    planned = restore(archive, "--dry-run", "--json").expect(0).json
    assert tree(live.path) == before and planned["stamp"] == STAMP
    assert {step["what"]: step["bytes"] for step in planned["steps"]
            if step["action"] == "stage"} == {
        "database": len(saved["data/db/atocore.db"]), "vector_store": 10000,
        "registry": len(saved["config/project-registry.json"])}
    done = restore(archive, "--json").expect(0).json
    assert [step["action"] for step in done["steps"]] == [
        step["action"] for step in planned["steps"]]
    assert done["source"] == str(archive) and done["stamp"] == STAMP
    assert contents(live_data(live)) == saved
    assert_safety_whole(live, NOW, contents(old))
    assert leftovers(live) == []
    restore("--rollback", now="20260408T060100Z").expect(0)
    assert live_data(live) == old


def test_an_archive_makes_a_root_out_of_nothing(live, backup, restore, tmp_path):
    backup("--archive", now=STAMP).expect(0)
    archive = live.backups / "archives" / f"{STAMP}.tar.zst"
    restore(archive, "--to", tmp_path / "new").expect(0)
    target = Root(tmp_path / "new")
    assert contents(live_data(target)) == data_in(live.snapshots / STAMP)
    assert run(["find", tmp_path / "new", "-name", ".restore*"]).stdout == ""
