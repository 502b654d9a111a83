# SPDX-License-Identifier: LGPL-2.1-or-later
"""The container leaves nothing on the machine, whatever ends the tests."""

import os
import pathlib
import signal

import pytest

from support.container import Container, unavailable
from support.wait import wait_until


def left(name):
    """What is there of a container, seen from outside."""
    mounts = pathlib.Path("/proc/self/mountinfo").read_text().splitlines()
    return [line for line in mounts if "/run/container" in line or " /mnt " in line], list(
        pathlib.Path("/sys/fs/cgroup").rglob(name))


def alive(pid):
    return pathlib.Path(f"/proc/{pid}").exists()


def test_closed_container_leaves_nothing():
    if unavailable():
        pytest.skip(unavailable())
    name = f"atocore-test-closed-{os.getpid()}"
    before = left(name)
    container = Container(name)
    assert alive(container.pid)
    container.close()
    assert not alive(container.pid)
    assert left(name) == before


def test_container_dies_with_its_tests():
    if unavailable():
        pytest.skip(unavailable())
    name = f"atocore-test-killed-{os.getpid()}"
    before = left(name)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:  # as the test run: killed, it can clean up nothing
        container = Container(name)
        os.write(write, f"{container.pid}\n".encode())
        signal.pause()
    pid = int(os.read(read, 100))
    try:
        assert alive(pid)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        wait_until(lambda: not alive(pid), "the container to die")
        Container.remove_cgroup(name)
    assert left(name) == before
