# SPDX-License-Identifier: LGPL-2.1-or-later
"""Small file systems of their own for a test. Needs root; a machine without skips."""

import contextlib
import os
import subprocess

import pytest


@contextlib.contextmanager
def tmpfs(path, size="64m"):
    """A tmpfs over the directory `path`, made when absent."""
    if os.geteuid() != 0:
        pytest.skip("needs root to mount")
    path.mkdir(exist_ok=True)
    options = f"mode=0750,nosuid,nodev,size={size}"
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", path],
                          capture_output=True, text=True, check=False)
    if made.returncode != 0:
        pytest.skip(f"cannot mount: {made.stderr.strip()}")
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", path], check=True)


def remount(path, *options):
    """remount(path, "ro"), remount(path, "size=128k")"""
    subprocess.run(["mount", "-o", ",".join(("remount", *options)), path], check=True,
                   capture_output=True)
