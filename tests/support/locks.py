# SPDX-License-Identifier: LGPL-2.1-or-later
"""Holding a lock of AtoCore's, and seeing who waits for it."""

import contextlib
import fcntl
import os
import pathlib


@contextlib.contextmanager
def held(path, how, holder=""):
    """The lock file, locked by this process; `holder` is what it says."""
    path.touch()
    with path.open("r+") as file:
        fcntl.flock(file, how)
        file.truncate(0)
        file.write(holder)
        file.flush()
        yield file


def is_waiting_for(process, path):
    directory = pathlib.Path("/proc", str(process.pid))
    state = (directory / "stat").read_text().rsplit(")", 1)[1].split()[0]
    try:
        opened = {os.readlink(link) for link in (directory / "fd").iterdir()}
    except FileNotFoundError:  # closed just now: it does not wait
        return False
    return state == "S" and str(path) in opened
