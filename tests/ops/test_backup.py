# SPDX-License-Identifier: LGPL-2.1-or-later
"""atocore-backup: what a snapshot holds and is called, and what can be asked of it."""

import datetime
import json
import os
import sqlite3
import stat

import pytest

from support.root import tree
from support.run import run
from support.snapshots import assert_checksums_hold, snapshot_of
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


def test_an_option_is_named_as_it_is_given(backup):
    assert " --wait: soon;" in backup("--wait", "soon").expect(64).stderr


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
