# SPDX-License-Identifier: LGPL-2.1-or-later
"""atocore-validate: whatever happened to a snapshot is found, and nothing is done to it."""

import contextlib
import json
import os
import pathlib
import random
import shutil
import socket
import sqlite3
import subprocess
import tempfile

import pytest

from support import build, databases, mounts
from support.root import Root, tree
from support.run import Operations

NOW = "20260407T060000Z"
METADATA = "backup-metadata.json"
DATABASE = "db/atocore.db"
REGISTRY = "config/project-registry.json"


@pytest.fixture
def validate(run_op):
    def call(*arguments, **options):
        return run_op("atocore-validate", *arguments, **options)
    return call


def fill(root, run_op):
    """A small snapshot with everything that one can have."""
    root.make_database()
    root.write_registry([{"id": "p05", "aliases": [], "ingest_roots": []}])
    root.write("data/chroma/index/a.bin", "0123456789" * 10)
    root.write("data/chroma/empty", "")
    with contextlib.closing(sqlite3.connect(root.chroma / "chroma.sqlite3")) as connection:
        connection.execute("CREATE TABLE t (x)")
    run_op("atocore-backup", "--include-chroma", now=NOW).expect(0)
    return root.snapshots / NOW


@pytest.fixture
def snapshot(root, run_op):
    return fill(root, run_op)


def reseal(directory):
    """SHA256SUMS as if the snapshot had been made as it is now."""
    names = sorted((str(path.relative_to(directory)) for path in directory.rglob("*")
                    if path.is_file() and path.name != "SHA256SUMS"), key=os.fsencode)
    done = subprocess.run(["sha256sum", "--", *names], cwd=directory, capture_output=True,
                          check=True)
    (directory / "SHA256SUMS").write_bytes(done.stdout)


def edit_metadata(directory, **members):
    path = directory / METADATA
    metadata = json.loads(path.read_text())
    metadata.update(members)
    path.write_text(json.dumps({k: v for k, v in metadata.items() if v is not ...}))


def make_foreign(directory):
    """What the earlier implementation left: no checksums, no version."""
    (directory / "SHA256SUMS").unlink()
    edit_metadata(directory, atocore_version=...)


def codes(texts):
    return [text.split(":")[0] for text in texts]


def flip(path, rng):
    """One bit of one byte."""
    data = bytearray(path.read_bytes())
    position = rng.randrange(len(data))
    data[position] ^= 1 << rng.randrange(8)
    path.write_bytes(data)
    return f"{path.name} at {position}"


# What is whole.

def test_what_is_whole_is_valid(snapshot, validate):
    result = validate("--json").expect(0)
    report = result.json
    assert report["stamp"] == NOW and report["valid"] is True
    assert report["errors"] == report["warnings"] == report["findings"] == []
    assert type(report["duration_ms"]) is int
    assert report["files"] == len((snapshot / "SHA256SUMS").read_text().splitlines())
    assert result.codes == ["validate_started", "snapshot_valid"]
    assert validate().expect(0).stdout == ""


def test_it_changes_nothing_but_the_state(root, snapshot, validate):
    def seen():
        return {path: (path.lstat().st_mtime_ns, path.lstat().st_ctime_ns, path.lstat().st_ino)
                for path in [root.path, *root.path.rglob("*")]
                if root.state not in path.parents and path != root.state}

    before = seen(), tree(snapshot)
    validate("--all").expect(0)
    assert (seen(), tree(snapshot)) == before
    (snapshot / "extra").write_text("x")
    before = seen(), tree(snapshot)
    validate().expect(65)
    assert (seen(), tree(snapshot)) == before


def test_the_verdict_is_kept_beside_the_pin(root, snapshot, validate, run_op):
    run_op("atocore-backup", "--pin-snapshot", NOW).expect(0)
    validate(now="20260409T000000Z").expect(0)
    state = json.loads((root.state / f"{NOW}.json").read_text())
    assert state == {"pinned": True, "validation": {
        "valid": True, "validated_at": "2026-04-09T00:00:00Z", "errors": []}}
    (snapshot / REGISTRY).unlink()
    validate().expect(65)
    state = json.loads((root.state / f"{NOW}.json").read_text())
    assert state["pinned"] is True and state["validation"]["valid"] is False
    assert codes(state["validation"]["errors"]) == ["registry_snapshot_missing", "file_missing"]
    listed = run_op("atocore-backup", "--list", "--json").json["backups"][0]
    assert listed["validation"] == state["validation"]


# Each kind of damage.

def damage_rows(directory):
    with contextlib.closing(sqlite3.connect(directory / DATABASE)) as connection:
        connection.executescript("""PRAGMA writable_schema=ON; PRAGMA foreign_keys=OFF;
            CREATE TABLE c (x REFERENCES notes(id)); INSERT INTO c VALUES (99);""")
    reseal(directory)


def damage_page(directory):
    with (directory / DATABASE).open("r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * 64)
    reseal(directory)


def remove_and_reseal(name):
    def act(directory):
        path = directory / name
        (shutil.rmtree if path.is_dir() else os.unlink)(path)
        reseal(directory)
    return act


def write_and_reseal(name, content):
    def act(directory):
        (directory / name).write_bytes(content)
        reseal(directory)
    return act


ERRORS = {
    "metadata_missing": remove_and_reseal(METADATA),
    "metadata_invalid_json": write_and_reseal(METADATA, b"{"),
    "manifest_missing": lambda directory: (directory / "SHA256SUMS").unlink(),
    "manifest_invalid": lambda directory: (directory / "SHA256SUMS").write_bytes(b"nonsense\n"),
    "db_snapshot_missing": remove_and_reseal(DATABASE),
    "db_open_failed": write_and_reseal(DATABASE, b"no database\n" * 1000),
    "db_integrity_check_failed": damage_page,
    "registry_snapshot_missing": remove_and_reseal(REGISTRY),
    "registry_invalid_json": write_and_reseal(REGISTRY, b"{\"projects\": ["),
    "chroma_snapshot_missing": remove_and_reseal("chroma"),
    "checksum_mismatch": lambda directory: (directory / "chroma/index/a.bin").write_text("b"),
    "file_missing": lambda directory: (directory / "chroma/empty").unlink(),
    "file_unexpected": lambda directory: (directory / "chroma/new").write_text("x"),
}


@pytest.mark.parametrize("code", sorted(ERRORS))
def test_each_damage_has_its_code(snapshot, validate, code):
    ERRORS[code](snapshot)
    result = validate("--json").expect(65)
    assert codes(result.json["errors"]) == [code]
    assert result.json["valid"] is False and result.json["warnings"] == []
    finding = result.json["findings"][0]
    assert finding["code"] == code and finding["severity"] == "error" and finding["action"]
    assert result.codes == ["validate_started", code]  # the journal finds each by its code
    assert code in validate().expect(65).stdout


def test_a_snapshot_that_is_not_there_is_told(root, snapshot, validate):
    result = validate("20200101T000000Z", "--json").expect(66)
    assert codes(result.json["errors"]) == ["snapshot_directory_missing"]
    assert result.codes[-1] == "snapshot_directory_missing"
    (root.snapshots / "20200102T000000Z").write_text("a file")
    (root.snapshots / "20200103T000000Z").symlink_to(snapshot)
    for name in ("20200102T000000Z", "20200103T000000Z"):
        validate(name).expect(66)
    assert not list(root.state.glob("2020*"))


def test_rows_without_parent_are_a_warning(snapshot, validate):
    damage_rows(snapshot)
    result = validate("--json").expect(0)
    assert result.json["valid"] is True and result.json["errors"] == []
    assert codes(result.json["warnings"]) == ["db_foreign_key_check_failed"]
    assert result.codes == ["validate_started", "db_foreign_key_check_failed", "snapshot_valid"]


def test_snapshots_of_the_earlier_implementation_are_valid_with_a_warning(snapshot, validate):
    make_foreign(snapshot)
    result = validate("--json").expect(0)
    assert result.json["valid"] is True
    assert codes(result.json["warnings"]) == ["manifest_missing"]
    (snapshot / DATABASE).unlink()
    (snapshot / REGISTRY).write_text("{")
    shutil.rmtree(snapshot / "chroma")
    assert set(codes(validate("--json").expect(65).json["errors"])) == {
        "db_snapshot_missing", "registry_invalid_json", "chroma_snapshot_missing"}


def test_all_that_is_wrong_is_reported(snapshot, validate):
    (snapshot / METADATA).write_text("[]")
    (snapshot / DATABASE).write_bytes(b"\0" * 5000)
    (snapshot / REGISTRY).write_text("")
    (snapshot / "chroma/index/a.bin").unlink()
    (snapshot / "chroma/new").mkdir()
    (snapshot / "chroma/new/file").write_text("x")
    (snapshot / "chroma/chroma.sqlite3").unlink()
    (snapshot / "chroma/chroma.sqlite3").symlink_to("index")
    report = validate("--json").expect(65).json
    assert [(f["code"], f["path"]) for f in report["findings"]] == [
        ("metadata_invalid_json", METADATA),
        ("checksum_mismatch", METADATA),
        ("file_missing", "chroma/chroma.sqlite3"),
        ("file_unexpected", "chroma/chroma.sqlite3"),
        ("file_missing", "chroma/index/a.bin"),
        ("file_unexpected", "chroma/new/file"),
        ("registry_invalid_json", REGISTRY),
        ("checksum_mismatch", REGISTRY),
        ("db_open_failed", DATABASE),
        ("checksum_mismatch", DATABASE),
    ]
    result = validate().expect(65)
    assert len(result.stdout.splitlines()) == 11
    assert "and 7 more" in result.stderr


def make_socket(path):
    with socket.socket(socket.AF_UNIX) as listener:
        previous = os.getcwd()
        os.chdir(path.parent)
        try:
            listener.bind(path.name)
        finally:
            os.chdir(previous)


@pytest.mark.parametrize("make", [
    os.mkfifo, make_socket, lambda path: path.symlink_to("a.bin"),
    lambda path: path.symlink_to("/dev/zero")], ids=["pipe", "socket", "link", "link-to-device"])
@pytest.mark.parametrize("name", [
    "chroma/index/new", "chroma/index/a.bin", DATABASE, REGISTRY, METADATA, "SHA256SUMS"])
def test_what_is_no_file_is_found_and_neither_followed_nor_waited_for(
        snapshot, validate, name, make):
    path = snapshot / name
    path.unlink(missing_ok=True)
    make(path)
    report = validate("--json").expect(65).json
    codes_there = {f["code"] for f in report["findings"] if f["path"] == name}
    assert codes_there & {"file_unexpected", "manifest_invalid", "manifest_missing"}


def test_a_link_in_place_of_a_directory_is_found(snapshot, validate, tmp_path):
    shutil.move(snapshot / "db", tmp_path / "db")
    (snapshot / "db").symlink_to(tmp_path / "db")
    found = {(f["code"], f["path"]) for f in validate("--json").expect(65).json["findings"]}
    assert ("file_unexpected", "db") in found


@pytest.mark.parametrize("suffix", ["-wal", "-shm", "-journal"])
def test_what_lies_beside_the_database_is_found_and_not_used(snapshot, validate, suffix):
    path = snapshot / (DATABASE + suffix)
    path.write_bytes(b"x" * 100)
    report = validate("--json").expect(65).json
    assert [(f["code"], f["path"]) for f in report["findings"]] == [
        ("file_unexpected", DATABASE + suffix)]
    assert path.read_bytes() == b"x" * 100


def test_names_that_are_no_text_keep_the_answer_whole(root, snapshot, validate, run_op):
    for name in (b"new\nline", b"\xff\xfe", b'"quote"\\', b"\x1b[2J", "ü".encode(), b"n" * 255):
        pathlib.Path(os.fsdecode(os.fsencode(snapshot) + b"/chroma/" + name)).write_text("x")
    report = validate("--json").expect(65).json
    assert codes(report["errors"]) == ["file_unexpected"] * 6
    assert {f["path"][7:] for f in report["findings"]} == {
        "new\nline", "\\xff\\xfe", '"quote"\\', "\x1b[2J", "ü", "n" * 255}
    result = validate().expect(65)
    assert "\x1b" not in result.stdout + result.stderr and len(result.stdout.splitlines()) == 7
    state = json.loads((root.state / f"{NOW}.json").read_text())
    assert all("\n" not in text and "\x1b" not in text for text in state["validation"]["errors"])
    assert run_op("atocore-backup", "--list", "--json").json["backups"][0]["validation"][
        "valid"] is False


# One flipped bit.

def test_one_flipped_bit_anywhere_is_found(snapshot, validate):
    rng = random.Random(20260407)
    files = sorted(path for path in snapshot.rglob("*") if path.is_file()
                   and path.stat().st_size > 0)
    for path in files:
        original = path.read_bytes()
        for _ in range(6):
            where = flip(path, rng)
            assert validate("--quiet", "--json").status == 65, where
        path.write_bytes(original)
    validate().expect(0)


def test_one_byte_more_or_less_anywhere_is_found(snapshot, validate):
    for path in sorted(path for path in snapshot.rglob("*") if path.is_file()):
        original = path.read_bytes()
        path.write_bytes(original + b"\n")
        assert validate("--quiet", "--json").status == 65, path
        if original:
            path.write_bytes(original[:-1])
            assert validate("--quiet", "--json").status == 65, path
        path.write_bytes(original)
    validate().expect(0)


def test_one_broken_snapshot_among_many_is_named(root, snapshot, validate):
    rng = random.Random(7)
    for day in range(1, 31):
        copy = root.snapshots / f"202603{day:02}T060000Z"
        shutil.copytree(snapshot, copy)
        if day % 3 == 0:
            flip(copy / DATABASE, rng)
    result = validate("--all", "--json").expect(65)
    reports = result.json["snapshots"]
    assert [report["stamp"] for report in reports] == root.stamps()
    assert {r["stamp"] for r in reports if not r["valid"]} == {
        f"202603{day:02}T060000Z" for day in range(3, 31, 3)}
    assert len([line for line in result.stderr.splitlines() if "is not valid" in line]) == 10
    assert result.codes.count("snapshot_valid") == 21


# Which ones.

def test_latest_passes_over_the_future_and_says_so(root, snapshot, validate):
    (root.snapshots / "20991231T000000Z").mkdir()
    (root.snapshots / "zzz").mkdir()
    for arguments in ((), ("latest",)):
        result = validate(*arguments, "--json", now="20260408T000000Z").expect(0)
        assert result.json["stamp"] == NOW
        assert "snapshot_in_future" in result.codes and "1 snapshot is" in result.stderr
    assert validate("20991231T000000Z", now="20260408T000000Z").status == 65
    result = validate(now="20260101T000000Z").expect(66)
    assert result.codes[-1] == "snapshot_not_found" and "future" in result.stderr


def test_latest_needs_one(root, validate):
    assert validate().expect(66).codes == ["snapshot_not_found"]
    assert validate("--json").expect(66).stdout == ""


def test_several_are_reported_in_the_order_in_which_they_are_asked_for(root, snapshot, validate):
    shutil.copytree(snapshot, root.snapshots / "20260401T060000Z")
    (root.snapshots / "20260401T060000Z" / DATABASE).unlink()
    report = validate("latest", "20260401T060000Z", "20250101T000000Z", NOW, "--json").expect(65)
    assert [(r["stamp"], r["valid"]) for r in report.json["snapshots"]] == [
        (NOW, True), ("20260401T060000Z", False), ("20250101T000000Z", False), (NOW, True)]
    assert report.codes[2:] == ["snapshot_directory_missing", "snapshot_valid",
                                "db_snapshot_missing"]


def test_all_of_none_is_none(root, validate):
    assert validate("--all", "--json").expect(0).json == {"snapshots": []}


@pytest.mark.parametrize("text", [
    "../../etc", "20260231T000000Z", "20260407T060000z", "20260407T060000Z/", "", "LATEST", "..",
    "20260407T060000Z\n", ".partial-20260407T060000Z-00000000", "/etc/passwd", "%2e%2e"])
def test_what_is_no_stamp_is_refused(snapshot, validate, text):
    result = validate(text).expect(64)
    assert result.codes == ["stamp_invalid"] and result.stdout == ""


def test_all_and_a_stamp_do_not_go_together(snapshot, validate):
    assert validate("--all", NOW).expect(64).codes == ["usage"]


# Where little is allowed.

def test_a_read_only_file_system_is_good_enough(root, run_op, validate):
    with mounts.tmpfs(root.backups):
        snapshot = fill(root, run_op)
        mounts.remount(root.backups, "ro")
        result = validate("--all").expect(0)
        assert result.codes == ["validate_started", "snapshot_valid"]
        mounts.remount(root.backups, "rw")
        (snapshot / REGISTRY).write_text("{")
        mounts.remount(root.backups, "ro")
        assert codes(validate("--json").expect(65).json["errors"]) == [
            "registry_invalid_json", "checksum_mismatch"]


@pytest.fixture
def reader(reports):
    """Runs a program as somebody who may read the root, and no more."""
    if os.geteuid() != 0:
        pytest.skip("needs root to become somebody else")
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        root = Root(pathlib.Path(directory) / "root")
        operations = Operations(root, reports)
        snapshot = fill(root, operations)
        os.chmod(root.path, 0o755)
        for path in root.path.rglob("*"):
            os.chmod(path, 0o755 if path.is_dir() else 0o644)

        def call(*arguments):
            return operations("atocore-validate", *arguments, user=65534, group=65534,
                              extra_groups=[])

        if not os.access(build.program("atocore-validate"), os.X_OK):
            pytest.skip("the build directory is closed to others")
        yield snapshot, call


def test_a_reader_without_write_permission_gets_the_verdict(reader):
    snapshot, validate = reader
    before = tree(snapshot.parents[1])
    result = validate("--all").expect(0)
    assert result.codes == ["validate_started", "state_not_saved", "snapshot_valid"]
    assert tree(snapshot.parents[1]) == before


@pytest.mark.parametrize("name", [DATABASE, REGISTRY, METADATA, "SHA256SUMS", "chroma/index",
                                  "chroma/index/a.bin", "."])
def test_what_may_not_be_read_is_not_called_damaged(reader, name):
    snapshot, validate = reader
    other = snapshot.parent / "20260301T060000Z"
    shutil.copytree(snapshot, other)
    (snapshot / name).chmod(0)
    result = validate("--all", "--json").expect(77)
    assert result.codes[-1] == "permission_denied" and name.strip(".") in result.stderr
    assert [(r["stamp"], r["valid"]) for r in result.json["snapshots"]] == [(other.name, True)]
    assert validate(NOW, "--json").expect(77).stdout == ""


def test_a_bad_sector_is_damage(snapshot, run_op, validate):
    strace = shutil.which("strace")
    if not strace or build.sanitizers() != "none":
        pytest.skip("needs strace and a build without sanitizers")
    command = [strace, "-f", "-o", "/dev/null", "-P", str(snapshot / DATABASE), "-e",
               "inject=pread64:error=EIO:when=2+", *run_op.command("atocore-validate", "--json")]
    done = subprocess.run(command, capture_output=True, text=True, check=False,
                          env=run_op.environment())
    assert done.returncode == 65, done
    report = json.loads(done.stdout)
    assert {f["code"] for f in report["findings"]} <= {
        "db_open_failed", "db_integrity_check_failed", "checksum_mismatch"}
    assert "checksum_mismatch" in codes(report["errors"])
    databases.assert_sound(snapshot / DATABASE)
    validate().expect(0)
