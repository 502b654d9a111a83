# SPDX-License-Identifier: LGPL-2.1-or-later
"""atocore-backup --archive: the archive of a snapshot, always the same and always whole."""

import random
import re
import shutil
import stat
import subprocess
import tarfile

import pytest

from support import mounts
from support.root import tree
from support.run import run
from support.snapshots import assert_checksums_hold
from support.wait import wait_until

NOW = "20260407T060000Z"
TIME = 1775541600
FORMATS = {"zstd": ".tar.zst", "gzip": ".tar.gz", "none": ".tar"}


@pytest.fixture
def archives(root):
    return root.backups / "archives"


@pytest.fixture
def live(live):
    """With a vector store, one name of which is not ASCII, and a path too long for ustar."""
    live.write("data/chroma/größe/a.bin", bytes(range(256)) * 40)
    live.write(f"data/chroma/{'d' * 120}/{'e' * 120}", "deep")
    live.write("data/chroma/empty", "")
    return live


# What is in it.

@pytest.mark.parametrize("form, suffix", FORMATS.items())
def test_tar_and_sha256sum_are_enough(live, backup, archives, tmp_path, form, suffix):
    result = backup("--archive=" + form, "--include-chroma", "--json", now=NOW).expect(0)
    path = archives / (NOW + suffix)
    assert result.json["archive"] == str(path)
    assert result.codes == ["backup_started", "backup_done", "archive_done"]
    assert f"{path.stat().st_size} bytes" in result.stderr.splitlines()[-1]
    run(["tar", "-xf", path, "-C", tmp_path]).expect(0)
    assert_checksums_hold(tmp_path / NOW)
    assert {name: content for name, (_, content) in tree(tmp_path / NOW).items()} == {
        name: content for name, (_, content) in tree(live.snapshots / NOW).items()}


def test_zstd_is_what_is_made_where_nothing_is_said(live, backup, archives):
    backup("--archive", now=NOW).expect(0)
    assert [path.name for path in archives.iterdir()] == [f"{NOW}.tar.zst"]
    run(["zstd", "-t", archives / f"{NOW}.tar.zst"]).expect(0)
    assert stat.S_IMODE((archives / f"{NOW}.tar.zst").stat().st_mode) == 0o640


def test_entries_are_in_a_fixed_order_and_of_nobody(live, backup, archives):
    backup("--archive=none", "--include-chroma", now=NOW).expect(0)
    listed = [line[66:] for line in (live.snapshots / NOW / "SHA256SUMS").read_text().splitlines()]
    with tarfile.open(archives / f"{NOW}.tar") as archive:
        members = archive.getmembers()
    assert [m.name for m in members] == [f"{NOW}/{name}" for name in ["SHA256SUMS", *listed]]
    assert {(m.uid, m.gid, m.uname, m.gname, m.mode, m.mtime, m.type) for m in members} == {
        (0, 0, "", "", 0o640, TIME, tarfile.REGTYPE)}


# What keeps one from being made.

def test_what_is_no_format_is_refused(live, backup):
    before = tree(live.path)
    assert backup("--archive=xz").expect(64).codes == ["usage"]
    assert backup("--archive", "--list").expect(64).codes == ["usage"]
    assert tree(live.path) == before


def test_one_that_is_there_is_kept_and_not_taken_for_the_new_one(live, backup, archives):
    path = archives / f"{NOW}.tar.zst"
    path.write_bytes(b"precious")
    result = backup("--archive", now=NOW).expect(73)
    assert result.codes == ["backup_started", "backup_done", "write_failed"]
    assert str(path) in result.stderr and "move away" in result.stderr
    assert path.read_bytes() == b"precious"
    assert live.stamps() == [NOW]


def test_what_a_dead_run_left_goes_with_the_next(live, backup, archives, run_op):
    for program in ("atocore-backup", "atocore-prune"):
        (archives / f".partial-{NOW}-0123abcd").write_text("cut off")
        more = ["--archive"] if program == "atocore-backup" else []
        assert "leftover_removed" in run_op(program, *more, now=NOW).expect(0).codes
        assert [path.name for path in archives.iterdir()] == [f"{NOW}.tar.zst"]


def test_kill_9_at_any_moment_leaves_whole_archives_and_nothing_for_long(
        live, backup, archives, run_op, tmp_path):
    live.write("data/chroma/noise", random.Random(2).randbytes(8 << 20))
    killed = 0
    for i in range(20):
        now = f"20260408T06{i:02}00Z"
        process = run_op.start("atocore-backup", "--archive", "--include-chroma", now=now,
                               stderr=subprocess.DEVNULL)
        wait_until(lambda: process.poll() is not None or any(
            path.name.startswith(".partial-") and path.stat().st_size > i * 300_000
            for path in archives.iterdir()))
        process.kill()
        killed += process.wait() < 0
        process.stdout.close()
        assert sum(path.name.startswith(".") for path in archives.iterdir()) <= 1
        for path in archives.glob("2*"):
            run(["zstd", "-tq", path]).expect(0)
            path.unlink()
    assert killed > 5
    backup("--archive", "--include-chroma", now=NOW).expect(0)
    assert [path.name for path in archives.iterdir()] == [f"{NOW}.tar.zst"]
    run(["tar", "-xf", archives / f"{NOW}.tar.zst", "-C", tmp_path]).expect(0)
    assert_checksums_hold(tmp_path / NOW)


def test_sigterm_leaves_nothing(live, archives, run_op):
    live.write("data/chroma/noise", random.Random(3).randbytes(8 << 20))

    def attempt():
        for path in archives.iterdir():
            path.unlink()
        shutil.rmtree(live.snapshots / NOW, ignore_errors=True)
        process = run_op.start("atocore-backup", "--archive", "--include-chroma", now=NOW)
        wait_until(lambda: list(archives.iterdir()) or process.poll() is not None)
        process.terminate()
        _, errors = process.communicate()
        assert process.returncode in (0, 75), errors  # it may have been faster
        return errors if process.returncode == 75 else None

    assert wait_until(attempt).rstrip().endswith("[interrupted]")
    assert list(archives.iterdir()) == [] and live.stamps() == [NOW]


def test_a_full_file_system_leaves_nothing(live, backup, archives):
    live.write("data/chroma/noise", random.Random(1).randbytes(4 << 20))
    with mounts.tmpfs(archives, size="1m"):
        result = backup("--archive", "--include-chroma", now=NOW).expect(73)
        assert result.codes == ["backup_started", "backup_done", "no_space"]
        assert list(archives.iterdir()) == []
    assert live.stamps() == [NOW]


# Restoring one.

def test_an_archive_is_found_by_its_name(live, backup, run_op):
    backup("--archive", now=NOW).expect(0)
    planned = run_op("atocore-restore", "--dry-run", "--json", f"{NOW}.tar.zst").expect(0)
    assert planned.json["source"] == str(live.backups / "archives" / f"{NOW}.tar.zst")
    assert planned.codes == ["restore_started", "restore_done"]


@pytest.mark.parametrize("source, first", [
    (NOW, ["validate snapshot", "stage database"]),
    (f"{NOW}.tar.zst", ["unpack archive", "validate archive", "stage database"])])
def test_each_step_of_the_plan_is_told(live, backup, run_op, source, first):
    backup("--archive", now=NOW).expect(0)
    later = "20260408T060000Z"
    planned = run_op("atocore-restore", "--dry-run", "--json", source, now=later).expect(0)
    done = run_op("atocore-restore", source, now=later).expect(0)
    told = [re.match(r".*?: (\w+ [\w ]+): (/[^, ]+)", line).groups()
            for line in done.stderr.splitlines() if line.endswith("[restore_step]")]
    assert told == [(f"{step['action']} {step['what']}", step["target"])
                    for step in planned.json["steps"]]
    assert [what for what, _ in told[:len(first)]] == first
