# SPDX-License-Identifier: LGPL-2.1-or-later
"""A backup that does not get to its end: killed, stopped, or failed by the system at any step.
Nothing of it is ever taken for a snapshot, and nothing of it stays."""

import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import time

import pytest

from support import build
from support.root import tree
from support.run import Result
from support.wait import wait_until

SYSEXITS = {0, 65, 66, 70, 73, 74, 75, 77}


@pytest.fixture
def live(root):
    """With some of everything, and databases that take a while."""
    with sqlite3.connect(root.database) as connection:
        connection.executescript("""
            PRAGMA journal_mode=wal; CREATE TABLE notes (id INTEGER PRIMARY KEY, body);
            WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 40)
                INSERT INTO notes(body) SELECT randomblob(500000) FROM n;""")
    connection.close()
    root.write_registry([])
    for i in range(40):
        root.write(f"data/chroma/{i % 4}/{i}.bin", os.urandom(20000))
    with sqlite3.connect(root.chroma / "chroma.sqlite3") as connection:
        connection.execute("CREATE TABLE t AS SELECT randomblob(100000)")
    connection.close()
    return root


@pytest.fixture
def small(root):
    root.make_database()
    root.write_registry([])
    root.write("data/chroma/a/b", "x" * 10000)
    root.write("data/chroma/c", "")
    with sqlite3.connect(root.chroma / "chroma.sqlite3") as connection:
        connection.execute("CREATE TABLE t (x)")
    connection.close()
    return root


NOW = "20260401T060000Z"  # frozen: whoever meets a snapshot of that second does not sleep


def duration(call, times=5):
    """Of a usual run, in seconds."""
    took = []
    for _ in range(times):
        started = time.monotonic()
        call()
        took.append(time.monotonic() - started)
    return sorted(took)[times // 2]


def forget_snapshots(root, but=()):
    for entry in root.snapshots.iterdir():
        if entry.name not in but:
            shutil.rmtree(entry)


def live_data(root):
    """All that a backup reads; a -shm is for whoever has the database open."""
    return {name: entry for name, entry in tree(root.path / "data").items()
            if not name.startswith("locks") and not name.endswith(("-wal", "-shm"))}


# Killed.

def test_kill_9_at_any_moment_leaves_whole_snapshots_and_nothing_for_long(live, run_op):
    rng = random.Random(50)
    length = duration(lambda: run_op("atocore-backup", "--include-chroma", now=NOW).expect(0))
    forget_snapshots(live)
    before = live_data(live)
    killed = with_leftovers = 0
    for i in range(50):
        process = run_op.start("atocore-backup", "--include-chroma",
                               now=f"20260407T06{i:02}00Z", stderr=subprocess.DEVNULL)
        try:
            process.wait(timeout=(i + rng.random()) / 50 * length)
        except subprocess.TimeoutExpired:
            process.kill()
        killed += process.wait() < 0
        process.stdout.close()
        assert len(live.leftovers()) <= 1  # what the one before left is gone
        with_leftovers += bool(live.leftovers())
        if len(live.stamps()) > 4:
            run_op("atocore-validate", "--all", "--quiet").expect(0)
            forget_snapshots(live)
    assert killed > 15 and with_leftovers > 5
    run_op("atocore-backup", "--include-chroma").expect(0)
    assert live.leftovers() == []
    run_op("atocore-validate", "--all", "--quiet").expect(0)
    assert live_data(live) == before


@pytest.mark.parametrize("number", ["SIGTERM", "SIGINT", "SIGHUP"])
def test_a_signal_ends_it_cleanly(live, run_op, number):
    def attempt():
        forget_snapshots(live)
        process = run_op.start("atocore-backup", "--include-chroma", now=NOW)
        wait_until(lambda: live.leftovers() or process.poll() is not None)
        process.send_signal(getattr(signal, number))
        _, errors = process.communicate()
        assert process.returncode in (0, 75), errors  # it may have been faster
        return errors if process.returncode == 75 else None

    assert wait_until(attempt).rstrip().endswith("[interrupted]")
    assert live.stamps() == [] and live.leftovers() == []


def test_sigterm_at_any_moment_leaves_nothing(live, run_op):
    rng = random.Random(15)
    length = duration(lambda: run_op("atocore-backup", "--include-chroma", now=NOW).expect(0))
    run_op("atocore-validate", "--all").expect(0)
    stopped = 0
    for i in range(15):
        forget_snapshots(live)
        process = run_op.start("atocore-backup", "--include-chroma", now=NOW)
        try:
            process.wait(timeout=(i + rng.random()) / 15 * length)
        except subprocess.TimeoutExpired:
            process.terminate()
        _, errors = process.communicate()
        # Before main() the signal kills; after the rename the snapshot is done.
        assert process.returncode in (0, 75, -15), errors
        stopped += process.returncode == 75
        assert len(live.stamps()) == (process.returncode == 0) and live.leftovers() == []
        if live.stamps():
            run_op("atocore-validate", "--quiet").expect(0)
    assert stopped > 3


def test_validate_ends_at_a_signal_too(live, run_op):
    run_op("atocore-backup", "--include-chroma", now="20260407T060000Z").expect(0)
    for i in range(20):
        shutil.copytree(live.snapshots / "20260407T060000Z",
                        live.snapshots / f"20260406T0600{i:02}Z")

    def attempt():
        for path in live.state.iterdir():
            path.unlink()
        process = run_op.start("atocore-validate", "--all", "--json")
        wait_until(lambda: list(live.state.iterdir()) or process.poll() is not None)
        process.terminate()
        out, errors = process.communicate()
        assert process.returncode in (0, 75), errors
        assert (out == "") == (process.returncode == 75)
        return errors if process.returncode == 75 else None

    assert wait_until(attempt).rstrip().endswith("[interrupted]")


# Failed by the system, call by call.

STRACE = shutil.which("strace")


@pytest.fixture(scope="session")
def strace():
    if not STRACE:
        pytest.skip("needs strace")
    if build.sanitizers() != "none":
        pytest.skip("the sanitizers' own system calls would fail, too")
    probe = subprocess.run([STRACE, "-o", "/dev/null", "-e", "inject=getpid:error=EIO", "true"],
                           check=False, capture_output=True)
    if probe.returncode != 0:
        pytest.skip("strace may not trace here")
    return STRACE


def traced(strace, run_op, root, expression, log, *arguments):
    """The Result of one backup, and how often a fault was injected."""
    command = [strace, "-f", "-qq", "-o", log, "-e", f"inject={expression}",
               "-e", "trace=" + expression.split(":")[0],
               *run_op.command("atocore-backup", *arguments)]
    done = subprocess.run(command, env=run_op.environment(), capture_output=True, text=True,
                          check=False, timeout=120)
    injected = log.read_text(errors="replace").count("(INJECTED)")
    return Result(command, done.returncode, done.stdout, done.stderr), injected


def first_of_ours(strace, run_op, root, call, log):
    """How many calls of that kind are made before the program does its work: the loader's and
    libraries', which are not ours to survive."""
    traced_help = subprocess.run(
        [strace, "-f", "-qq", "-o", log, "-e", f"trace={call}",
         *run_op.command("atocore-backup", "--list")],
        env=run_op.environment(), capture_output=True, check=False)
    assert traced_help.returncode == 0
    return len(re.findall(rf"^\d+ +{call}\(", log.read_text(errors="replace"), re.MULTILINE))


def assert_kept_its_promise(root, run_op, result, before):
    assert result.status in SYSEXITS, result
    assert live_data(root) == before, result
    partial = [name for name in root.leftovers() if name.startswith(".partial-")]
    assert not partial, result
    if root.leftovers():
        assert "backup_check_failed" in result.codes, result
    if result.status == 0:
        assert len(root.stamps()) == 2, result
    else:
        failures = set(result.codes) - {"backup_started", "backup_warning", "leftover_removed"}
        assert len(failures) == 1 and failures.isdisjoint({"backup_done"}), result
        assert len(root.stamps()) <= 2, result
    run_op("atocore-validate", "--quiet", root.stamps()[-1]).expect(0)


# What each call may answer; the sweep lets the first, the second, the third … one fail.
FAULTS = {
    "fsync": ["EIO", "ENOSPC"],
    "renameat2": ["ENOSPC", "EIO", "EINVAL", "EEXIST"],
    "mkdirat": ["ENOSPC", "EROFS"],
    "openat": ["ENOSPC", "EMFILE", "EIO"],
    "write": ["EIO", "ENOSPC"],
    "pwrite64": ["EIO", "ENOSPC"],
    "pread64": ["EIO"],
    "linkat": ["EMLINK", "EXDEV", "EPERM"],
    "ioctl": ["EOPNOTSUPP", "EXDEV", "EINVAL", "ENOTTY"],
    "getrandom": ["EAGAIN"],
    "flock": ["ENOLCK", "EINTR"],
    "ftruncate": ["EIO", "ENOSPC"],
    "getdents64": ["EIO"],
    "newfstatat": ["EIO"],
    "socketpair": ["EMFILE"],
    "clone": ["EAGAIN"],
    "clone3": ["EAGAIN"],
}
SWEEP_MAX = 100
STRIDE = {"openat": 2, "newfstatat": 3}  # of so many calls, each second or third
PREVIOUS = "20260407T060000Z"


@pytest.mark.parametrize("call, error", [(c, e) for c, errors in FAULTS.items() for e in errors])
def test_whatever_call_fails_nothing_half_done_is_published(
        small, run_op, strace, tmp_path, call, error):
    log = tmp_path / "strace"
    skip = first_of_ours(strace, run_op, small, call, log)
    before = live_data(small)
    # To link to, on file systems that do not clone.
    run_op("atocore-backup", "--include-chroma", now=PREVIOUS).expect(0)
    injected_at_all = 0
    for n in range(skip + 1, skip + SWEEP_MAX + 1, STRIDE.get(call, 1)):
        forget_snapshots(small, but=[PREVIOUS])
        result, injected = traced(strace, run_op, small, f"{call}:error={error}:when={n}", log,
                                  "--include-chroma", "--wait", "0")
        if injected == 0:
            break
        injected_at_all += 1
        assert_kept_its_promise(small, run_op, result, before)
    assert injected_at_all > 0


def test_a_leftover_that_cannot_be_removed_does_not_stop_the_backup(
        small, run_op, strace, tmp_path):
    dead = small.snapshots / ".partial-20260401T060000Z-0badcafe"
    (dead / "db").mkdir(parents=True)
    (dead / "db/atocore.db").write_text("half")
    result, injected = traced(strace, run_op, small, "unlinkat:error=EIO", tmp_path / "strace")
    assert injected > 0 and result.expect(0).codes == [
        "backup_started", "backup_warning", "backup_done"]
    assert small.leftovers() == [dead.name]
    assert run_op("atocore-backup").expect(0).codes.count("leftover_removed") == 1
    assert small.leftovers() == []


def test_all_of_it_is_on_disk_before_it_has_a_name_and_its_name_before_it_is_told(
        small, run_op, strace, tmp_path):
    """What would be missing here is only seen when the power goes."""
    log = tmp_path / "strace"
    for now in (PREVIOUS, NOW):  # the second one links
        command = [strace, "-f", "-y", "-qq", "-s", "300", "-o", log,
                   "-e", "trace=fsync,renameat2,writev",
                   *run_op.command("atocore-backup", "--include-chroma")]
        subprocess.run(command, env=run_op.environment(now=now), capture_output=True, check=True)
        lines = log.read_text(errors="replace").splitlines()
        [published] = [i for i, line in enumerate(lines) if f'"{now}"' in line]
        [told] = [i for i, line in enumerate(lines) if "is complete" in line]
        synced = {match[1]: i for i, line in enumerate(lines)
                  if (match := re.search(r"fsync\(\d+<(.*?)>", line))}
        before = {re.sub(r"^.*/\.partial-[^/]*/?", "", path) for path, i in synced.items()
                  if i < published and "/.partial-" in path}
        directory = small.snapshots / now
        expected = {str(path.relative_to(directory)) for path in directory.rglob("*")
                    if path.is_dir() or path.stat().st_nlink == 1} | {""}
        assert before == expected
        assert synced[str(small.snapshots.parent)] < published
        assert published < synced[str(small.snapshots)] < told
        assert {path.stat().st_nlink for path in directory.rglob("*") if path.is_file()} <= {1, 2}
