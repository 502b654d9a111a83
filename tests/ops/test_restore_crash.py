# SPDX-License-Identifier: LGPL-2.1-or-later
"""A restore that is killed, anywhere: with --resume what is live is wholly the old or wholly the
new, and with --rollback it is the old."""

import concurrent.futures
import random
import subprocess
import time

import pytest

from support import build
from support.restore_pair import Pair
from support.restores import NOW, HangingDaemon, interrupt
from support.tracing import strace, traced  # noqa: F401

SANITIZED = build.sanitizers() != "none"
MOMENTS = 24 if SANITIZED else 200
WORKERS = 4  # most of a restore is waiting for the disk

# Between which it is killed. Whatever is seen on the disk is made by one of them.
CALLS = ("fsync", "rename", "renameat", "renameat2", "unlink", "unlinkat", "mkdirat", "mkdir",
         "pwrite64", "ftruncate", "copy_file_range", "clone", "clone3", "kill", "wait4", "flock")


def killed_at(pair, strace, call, n, *arguments, also=()):
    """Whether there is an n-th such call, which it does not come to make."""
    done, _ = traced(strace, pair.run, [f"{call}:signal=SIGKILL:when={n}", *also],
                     "atocore-restore", *arguments, now=NOW)
    assert done.status in (0, -9, 137), done
    return done.status != 0


@pytest.mark.parametrize("end", ["--resume", "--rollback"])
def test_kill_9_before_any_call_leaves_a_way_out(tmp_path, reports, strace, end):
    """Each second one is resumed, the others rolled back."""
    def sweep(call):
        pair = Pair(tmp_path / call, reports)
        done = undone = 0
        n = 1 if end == "--resume" else 2
        while killed_at(pair, strace, call, n, pair.begin()):
            if pair.end(end):
                done += 1
            else:
                undone += 1
            n += 2
        assert pair.live() == pair.new
        return done, undone

    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        outcomes = list(pool.map(sweep, CALLS))
    assert sum(done for done, _ in outcomes) > 3 and sum(undone for _, undone in outcomes) > 15


@pytest.mark.parametrize("ending", ["--resume", "--rollback"])
def test_what_ends_it_can_be_killed_as_well(tmp_path, reports, strace, ending):
    def sweep(call):
        pair = Pair(tmp_path / call, reports)
        hanging = HangingDaemon(tmp_path / call)
        n = 1
        while True:
            interrupt(pair.root, pair.run, hanging, pair.begin())
            if not killed_at(pair, strace, call, n, ending):
                break
            pair.end("--resume")
            n += 1
        assert pair.live() == (pair.new if ending == "--resume" else pair.old)
        return n - 1

    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        killed = pool.map(sweep, ("fsync", "rename", "renameat2", "unlink", "unlinkat"))
    assert sum(killed) > 5


def test_where_names_cannot_be_exchanged_it_can_be_killed_as_well(tmp_path, reports, strace):
    """On a file system without RENAME_EXCHANGE and RENAME_NOREPLACE."""
    without = ["renameat2:error=EINVAL"]

    def sweep(end):
        pair = Pair(tmp_path / end, reports)
        n = 1
        while killed_at(pair, strace, "rename", n, pair.begin(), also=without):
            pair.end(end)
            n += 1
        assert pair.live() == pair.new
        return n - 1

    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        assert min(pool.map(sweep, ("--resume", "--rollback"))) >= 9  # three for each part


def test_kill_9_at_any_moment_leaves_a_way_out(tmp_path, reports):
    def kill_many(worker):
        rng = random.Random(worker)
        pair = Pair(tmp_path / str(worker), reports, size=200_000)
        length = 0.0
        seen = {True: 0, False: 0}
        for i in range(MOMENTS // WORKERS):
            process = pair.run.start("atocore-restore", pair.begin(), now=NOW)
            started = time.monotonic()
            try:
                process.wait(timeout=rng.random() * length if i else None)
            except subprocess.TimeoutExpired:
                process.kill()
            _, errors = process.communicate()
            assert process.returncode in (0, -9), errors
            if process.returncode == 0:  # how long one takes here and now
                took = time.monotonic() - started
                length = min(length, took) if length else took
            seen[pair.end(rng.choice(["--resume", "--rollback"]))] += 1
        return seen

    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        outcomes = list(pool.map(kill_many, range(WORKERS)))
    assert all(sum(seen[done] for seen in outcomes) > MOMENTS / 20 for done in (True, False))
