# SPDX-License-Identifier: LGPL-2.1-or-later
"""A restore in which the system fails at any call: what is live is wholly the old or wholly the
new, and it says which."""

import concurrent.futures
import os

import pytest

from support.restore_pair import Pair
from support.restores import NOW, safeties
from support.tracing import strace, traced  # noqa: F401

SYSEXITS = {0, 65, 66, 69, 70, 73, 74, 75, 77, 78}
LIBC = tuple(map(int, os.confstr("CS_GNU_LIBC_VERSION").split()[1].split(".")))
WORKERS = 4  # most of a restore is waiting for the disk
SWEEP_MAX = 400

# What each call may answer; the sweep lets the first, the second, the third … one fail.
FAULTS = {
    "fsync": ["EIO", "ENOSPC"],
    "rename": ["EIO", "ENOSPC"],
    "renameat": ["EIO", "ENOSPC"],
    "renameat2": ["EIO", "ENOSPC", "EINVAL"],
    "write": ["EIO", "ENOSPC"],
    "pwrite64": ["EIO", "ENOSPC"],
    "pread64": ["EIO"],
    "ftruncate": ["EIO"],
    "mkdirat": ["ENOSPC"],
    "mkdir": ["ENOSPC"],
    "unlink": ["EIO"],
    "unlinkat": ["EIO"],
    "openat": ["ENOSPC", "EIO", "EMFILE"],
    "getdents64": ["EIO"],
    "newfstatat": ["EIO"],
    "fchmod": ["EIO"],
    "flock": ["ENOLCK"],
    "clone": ["EAGAIN"],
    "clone3": ["EAGAIN"],
    "getrandom": ["EAGAIN"],
    "statfs": ["EIO"],
    "connect": ["EAGAIN"],
}
# Of what is called more often, only each so manieth, beginning with another one for each error.
STRIDE = {"fsync": 2, "pread64": 2, "openat": 29, "getdents64": 41, "newfstatat": 17}


def first_of_ours(path, pair, call):
    """How many such calls are made before the program does its work: the loader's and libraries',
    which are not ours to survive."""
    _, n = traced(path, pair.run, [f"{call}:delay_enter=1"], "atocore-restore", "--version")
    return n


def assert_whole(pair, result):
    assert result.status in SYSEXITS, result
    codes = [code for code in result.codes if code not in ("restore_step", "restore_warning")]
    if result.status == 0:
        assert not pair.journal.exists() and pair.live() == pair.new, result
        assert codes[-1] == "restore_done", result
    elif codes[-1] == "restore_interrupted":  # without its journal it was removed, and done
        assert pair.journal.exists() or pair.live() == pair.new, result
        assert "--resume" in result.stderr, result
    else:
        assert not pair.journal.exists() and pair.live() == pair.old, result
        assert safeties(pair.root) == [] and "restore_done" not in codes, result
    pair.end()


@pytest.mark.parametrize("call, error", [(c, e) for c, errors in FAULTS.items() for e in errors])
def test_whatever_call_fails_what_is_live_is_whole(tmp_path, reports, strace, call, error):
    stride = STRIDE.get(call, 1)
    offset = FAULTS[call].index(error)

    def sweep(worker):
        pair = Pair(tmp_path / str(worker), reports)
        skip = first_of_ours(strace, pair, call)
        n_injected = 0
        for n in range(skip + 1 + offset + worker * stride, skip + SWEEP_MAX, workers * stride):
            result, injected = traced(strace, pair.run, [f"{call}:error={error}:when={n}"],
                                      "atocore-restore", pair.begin(), "--wait", "0", now=NOW)
            if injected == 0:
                break
            n_injected += 1
            assert_whole(pair, result)
        return n_injected

    workers = WORKERS if call in STRIDE else 1
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        injected = sum(pool.map(sweep, range(workers)))
    if call == "getrandom" and injected == 0 and LIBC >= (2, 41):
        pytest.skip("this C library gets random numbers from the vDSO, without a system call")
    assert injected > 0


@pytest.mark.parametrize("error", ["EINVAL", "ENOSYS"])
def test_a_file_system_that_cannot_exchange_names_is_enough(tmp_path, reports, strace, error):
    pair = Pair(tmp_path / "pair", reports)
    result, injected = traced(strace, pair.run, [f"renameat2:error={error}"], "atocore-restore",
                              pair.begin(), now=NOW)
    assert injected >= 3 and result.expect(0)
    assert pair.live() == pair.new
    pair.assert_clean(True)
