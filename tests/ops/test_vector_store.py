# SPDX-License-Identifier: LGPL-2.1-or-later
"""atocore-backup --include-chroma: each file of the vector store, by the cheapest way there is."""

import contextlib
import json
import os
import pathlib
import shutil
import socket
import sqlite3
import subprocess
import threading

import pytest

from support import databases, mounts
from support.root import tree
from support.run import run

FIRST, SECOND, THIRD = (f"2026040{day}T060000Z" for day in (1, 2, 3))


@pytest.fixture
def live(root):
    """Backups on a file system with hard links and without clones."""
    root.make_database()
    root.write("data/chroma/index/a.bin", os.urandom(50000))
    root.write("data/chroma/index/b.bin", os.urandom(50000))
    if os.geteuid() != 0:
        yield root
        return
    with mounts.tmpfs(root.backups):
        yield root


@pytest.fixture
def backup(root, run_op):
    """The metadata of a snapshot of everything, which is then held against what it says."""
    def call(now, *arguments):
        result = run_op("atocore-backup", "--include-chroma", "--json", *arguments, now=now)
        metadata = result.expect(0).json
        directory = root.snapshots / metadata["stamp"]
        files = [path for path in (directory / "chroma").rglob("*") if path.is_file()]
        assert metadata["chroma_snapshot_included"] is True
        assert metadata["chroma_snapshot_path"] == str(directory / "chroma")
        assert metadata["chroma_snapshot_files"] == len(files)
        assert metadata["chroma_snapshot_bytes"] == sum(path.stat().st_size for path in files)
        run(["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"], cwd=directory).expect(0)
        report = run_op("atocore-validate", metadata["stamp"], "--json").expect(0).json
        assert report["warnings"] == []
        return metadata
    return call


def copy_of(root, stamp, name):
    return root.snapshots / stamp / "chroma" / name


def contents(directory):
    return {name: content for name, (_, content) in tree(directory).items()}


# Cheap ways.

def test_what_did_not_change_is_linked_and_what_did_is_copied(live, backup):
    backup(FIRST)
    live.write("data/chroma/index/b.bin", b"changed")
    live.write("data/chroma/new", b"new")
    backup(SECOND)
    same, changed = (copy_of(live, SECOND, f"index/{name}.bin").stat() for name in "ab")
    assert same.st_nlink == 2
    assert same.st_ino == copy_of(live, FIRST, "index/a.bin").stat().st_ino
    assert changed.st_nlink == 1
    assert contents(live.snapshots / SECOND / "chroma") == contents(live.chroma)
    shutil.rmtree(live.snapshots / FIRST)
    backup(THIRD)
    assert copy_of(live, THIRD, "index/a.bin").stat().st_nlink == 2


def test_touched_files_are_still_the_same(live, backup):
    backup(FIRST)
    os.utime(live.chroma / "index/a.bin", (0, 0))
    (live.chroma / "index/a.bin").chmod(0o600)
    backup(SECOND)
    assert copy_of(live, SECOND, "index/a.bin").stat().st_nlink == 2


def test_a_snapshot_without_vector_store_between_two_does_not_matter(live, backup, run_op):
    backup(FIRST)
    run_op("atocore-backup", now=SECOND).expect(0)
    backup(THIRD)
    assert copy_of(live, THIRD, "index/a.bin").stat().st_nlink == 2


def test_what_is_damaged_in_the_previous_snapshot_is_copied_afresh(live, backup, run_op):
    backup(FIRST)
    damaged = copy_of(live, FIRST, "index/a.bin")
    data = bytearray(damaged.read_bytes())
    data[100] ^= 1
    damaged.write_bytes(data)
    metadata = backup(SECOND)
    assert copy_of(live, SECOND, "index/a.bin").stat().st_nlink == 1
    assert copy_of(live, SECOND, "index/a.bin").read_bytes() == (
        live.chroma / "index/a.bin").read_bytes()
    assert copy_of(live, SECOND, "index/b.bin").stat().st_nlink == 2
    assert len(metadata["warnings"]) == 1 and "chroma/index/a.bin" in metadata["warnings"][0]
    run_op("atocore-validate", FIRST).expect(65)


@pytest.mark.parametrize("damage", [
    lambda previous: (previous / "SHA256SUMS").unlink(),
    lambda previous: (previous / "SHA256SUMS").write_text("nonsense\n"),
    lambda previous: shutil.rmtree(previous / "chroma"),
    lambda previous: (previous / "chroma/index/a.bin").unlink(),
    lambda previous: (previous / "backup-metadata.json").write_text("{"),
    lambda previous: ((previous / "chroma/index/a.bin").unlink(),
                      (previous / "chroma/index/a.bin").symlink_to("b.bin")),
    lambda previous: ((previous / "chroma/index/a.bin").unlink(),
                      os.mkfifo(previous / "chroma/index/a.bin")),
])
def test_a_previous_snapshot_that_is_broken_costs_space_and_nothing_else(live, backup, damage):
    backup(FIRST)
    damage(live.snapshots / FIRST)
    backup(SECOND)
    assert contents(live.snapshots / SECOND / "chroma") == contents(live.chroma)
    assert copy_of(live, SECOND, "index/a.bin").stat().st_nlink == 1


def test_the_live_file_is_never_the_same_inode(live, backup):
    shutil.rmtree(live.chroma)
    live.write("data/chroma/a", "a")
    for stamp in (FIRST, SECOND):
        backup(stamp)
    live.write("data/chroma/a", "b")
    assert copy_of(live, FIRST, "a").read_text() == copy_of(live, SECOND, "a").read_text() == "a"
    assert (live.chroma / "a").stat().st_nlink == 1


def test_a_vector_store_on_another_file_system_is_copied(live, backup):
    files = contents(live.chroma)
    shutil.rmtree(live.chroma)
    with mounts.tmpfs(live.chroma):
        for name, content in files.items():
            if content is not None:
                live.write(f"data/chroma/{name}", content)
        backup(FIRST)
        backup(SECOND)
        assert contents(live.snapshots / FIRST / "chroma") == files
        assert contents(live.snapshots / SECOND / "chroma") == files


def test_a_vector_store_may_be_elsewhere(live, backup, tmp_path):
    live.chroma.rename(tmp_path / "chroma")
    live.chroma.symlink_to(tmp_path / "chroma")
    backup(FIRST)
    assert contents(live.snapshots / FIRST / "chroma") == contents(tmp_path / "chroma")


@pytest.mark.parametrize("kind", ["btrfs", "xfs"])
def test_where_files_can_be_cloned_nothing_is_written_twice(root, backup, tmp_path, kind):
    if os.geteuid() != 0 or not shutil.which(f"mkfs.{kind}"):
        pytest.skip(f"needs root and mkfs.{kind}")
    image = tmp_path / "image"
    with image.open("wb") as file:
        file.truncate(400 << 20)
    subprocess.run([f"mkfs.{kind}", "-q", image], check=True)
    mount = tmp_path / "mount"
    mount.mkdir()
    if subprocess.run(["mount", "-o", "loop", image, mount], check=False).returncode != 0:
        pytest.skip("no loop devices")
    try:
        shutil.copytree(root.path, mount / "root")
        shutil.rmtree(root.path)
        root.path.symlink_to(mount / "root")
        root.make_database()
        root.write("data/chroma/a.bin", os.urandom(20 << 20))
        os.sync()
        before = os.statvfs(mount).f_bavail * os.statvfs(mount).f_frsize
        for stamp in (FIRST, SECOND):
            backup(stamp)
            assert copy_of(root, stamp, "a.bin").stat().st_nlink == 1
            assert copy_of(root, stamp, "a.bin").read_bytes() == (
                root.chroma / "a.bin").read_bytes()
        os.sync()
        assert before - os.statvfs(mount).f_bavail * os.statvfs(mount).f_frsize < 10 << 20
    finally:
        subprocess.run(["umount", "-l", mount], check=True)


# Databases in it.

def test_a_database_that_is_written_meanwhile_is_of_one_moment(live, backup):
    path = live.chroma / "chroma.sqlite3"
    databases.make_ledger(path)
    with databases.writer(path) as wait_for_commits:
        for stamp in (FIRST, SECOND, THIRD):
            wait_for_commits(50)
            assert backup(stamp)["warnings"] == []
            databases.assert_balanced(copy_of(live, stamp, "chroma.sqlite3"))
    names = {entry.name for entry in (live.snapshots / FIRST / "chroma").iterdir()}
    assert names == {"chroma.sqlite3", "index"}


def test_what_is_only_in_the_log_of_a_database_is_copied(live, backup):
    path = live.chroma / "deep/below/x.sqlite3"
    path.parent.mkdir(parents=True)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript("""PRAGMA journal_mode=wal; PRAGMA wal_autocheckpoint=0;
                                    CREATE TABLE t (x); INSERT INTO t VALUES (7);""")
        before = path.read_bytes()
        backup(FIRST)
        assert path.read_bytes() == before
    copy = copy_of(live, FIRST, "deep/below/x.sqlite3")
    assert databases.query(copy, "SELECT x FROM t") == [(7,)]
    assert [entry.name for entry in copy.parent.iterdir()] == ["x.sqlite3"]


@pytest.mark.parametrize("content", [b"", b"no database\n" * 100])
def test_what_is_called_a_database_and_is_none_is_copied_as_it_is(live, backup, content):
    live.write("data/chroma/x.sqlite3", content)
    metadata = backup(FIRST)
    assert copy_of(live, FIRST, "x.sqlite3").read_bytes() == content
    assert len(metadata["warnings"]) == 1
    assert "chroma/x.sqlite3 is no SQLite database" in metadata["warnings"][0]


def test_a_damaged_database_in_it_is_kept_as_it_is(live, backup):
    path = live.write("data/chroma/x.sqlite3", "")
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE t AS SELECT randomblob(20000) AS x")
        connection.commit()
    damaged = path.read_bytes()[:6000]
    path.write_bytes(damaged)
    metadata = backup(FIRST)
    assert copy_of(live, FIRST, "x.sqlite3").exists() and path.read_bytes() == damaged
    assert len(metadata["warnings"]) <= 1


def test_a_database_with_a_name_longer_than_sqlite_takes_is_kept(live, backup):
    directory = live.chroma / ("n" * 255) / ("m" * 255)
    directory.mkdir(parents=True)
    with contextlib.closing(sqlite3.connect(live.path / "x")) as connection:
        connection.execute("CREATE TABLE t AS SELECT 7 AS x")
        connection.commit()
    (live.path / "x").rename(directory / "x.sqlite3")
    metadata = backup(FIRST)
    name = str((directory / "x.sqlite3").relative_to(live.chroma))
    assert copy_of(live, FIRST, name).read_bytes() == (directory / "x.sqlite3").read_bytes()
    assert len(metadata["warnings"]) == 1 and "too long" in metadata["warnings"][0]


# What lies in it.

def test_empty_files_and_directories_and_deep_trees_are_kept(live, backup):
    (live.chroma / "empty/below").mkdir(parents=True)
    live.write("data/chroma/nothing", b"")
    live.write("data/chroma/" + "d/" * 300 + "file", b"deep")
    live.write("data/chroma/" + f"{'n' * 255}/" * 3 + "m" * 255, b"long")
    backup(FIRST)
    backup(SECOND)
    assert contents(live.snapshots / SECOND / "chroma") == contents(live.chroma)


def test_an_empty_vector_store_is_one(live, backup):
    shutil.rmtree(live.chroma)
    live.chroma.mkdir()
    assert backup(FIRST)["chroma_snapshot_files"] == 0
    assert (live.snapshots / FIRST / "chroma").is_dir()


def test_a_path_that_no_call_takes_fails_cleanly(live, run_op):
    descriptor = os.open(live.chroma, os.O_RDONLY)
    for _ in range(20):  # 5,000 bytes
        os.mkdir("n" * 255, dir_fd=descriptor)
        below = os.open("n" * 255, os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = below
    os.close(descriptor)
    result = run_op("atocore-backup", "--include-chroma").expect(73)
    assert result.codes[-1] == "write_failed" and "shorten the name" in result.stderr
    assert live.stamps() == [] and live.leftovers() == []


NAMES = [b"new\nline", b"tab\t", b"carriage\rreturn", b'"quotes"', b"'", b"back\\slash", b" space ",
         b"n" * 255, b"\xff\xfe\xfd", "ü€😀".encode(), b"\x1b[2J", b"*", b"-n", b"#", b"%s%n",
         b".dot", b"a.sqlite3 ", b"\\\\n"]


def test_any_name_is_kept_and_verifies(live, backup, run_op):
    for i, name in enumerate(NAMES):
        pathlib.Path(os.fsdecode(os.fsencode(live.chroma) + b"/" + name)).write_bytes(bytes([i]))
        os.mkdir(os.fsencode(live.chroma) + b"/index/" + name)
    assert backup(FIRST)["warnings"] == []
    backup(SECOND)
    assert contents(live.snapshots / SECOND / "chroma") == contents(live.chroma)
    for name in NAMES:
        path = os.fsencode(live.snapshots / SECOND / "chroma") + b"/" + name
        assert os.stat(path).st_nlink == 2
    found = run_op("atocore-backup", "--list", "--json").expect(0).json["backups"]
    assert len(found) == 2


@pytest.mark.parametrize("name", [b"x", b"new\nline", b"\xff"])
def test_what_is_no_file_is_told_and_left_out(live, backup, name):
    directory = os.fsencode(live.chroma)
    os.symlink(b"/etc/passwd", directory + b"/link-" + name)
    os.symlink(b"index", directory + b"/link-to-directory-" + name)
    os.symlink(b".", directory + b"/loop-" + name)
    os.mkfifo(directory + b"/pipe-" + name)
    with socket.socket(socket.AF_UNIX) as listener:
        previous = os.getcwd()
        os.chdir(live.chroma)
        try:
            listener.bind(b"socket-" + name)
        finally:
            os.chdir(previous)
    os.symlink(b"index/a.bin", directory + b"/" + name + b".sqlite3")
    metadata = backup(FIRST)
    warnings = sorted(metadata["warnings"])
    assert len(warnings) == 6
    assert sum("is a symbolic link" in text for text in warnings) == 4
    assert sum("is a pipe" in text for text in warnings) == 1
    assert sum("is a socket" in text for text in warnings) == 1
    assert all("\n" not in text for text in warnings)
    assert set(contents(live.snapshots / FIRST / "chroma")) == {"index", "index/a.bin",
                                                                "index/b.bin"}


def test_what_may_not_be_read_fails_and_is_named(live, run_op):
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    (live.chroma / "index/a.bin").chmod(0)
    result = run_op("atocore-backup", "--include-chroma").expect(77)
    assert "index/a.bin" in result.stderr
    assert live.stamps() == [] and live.leftovers() == []


def test_files_that_come_and_go_meanwhile_do_no_harm(live, backup):
    stop = threading.Event()

    def churn():
        for i in range(10 ** 9):
            if stop.is_set():
                return
            path = live.chroma / "churn" / str(i % 7)
            path.mkdir(parents=True, exist_ok=True)
            (path / "file").write_bytes(b"x" * (i % 5000))
            if i % 3 == 0:
                shutil.rmtree(live.chroma / "churn")
            elif i % 3 == 1:
                os.replace(path / "file", path / "renamed")

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        for i in range(8):
            metadata = backup(f"2026040{i + 1}T060000Z")
            assert all("kept changing" in text for text in metadata["warnings"])
    finally:
        stop.set()
        thread.join()


def test_metadata_of_any_names_is_one_json_document(live, backup):
    os.symlink("x", os.fsencode(live.chroma) + b"/\xff\n\"")
    metadata = backup(FIRST)
    text = (live.snapshots / FIRST / "backup-metadata.json").read_bytes().decode("utf-8")
    assert json.loads(text) == metadata
