# SPDX-License-Identifier: LGPL-2.1-or-later
"""The container leaves nothing on the machine, whatever ends the tests."""

import os
import pathlib
import signal

import pytest

from support.container import Container, unavailable
from support.wait import wait_until


def mounts():
    return pathlib.Path("/proc/self/mountinfo").read_text()


def cgroups():
    return {path for path in pathlib.Path("/sys/fs/cgroup").rglob("atocore-test-*")}


def alive(pid):
    return pathlib.Path(f"/proc/{pid}").exists()


def test_closed_container_leaves_nothing():
    if unavailable():
        pytest.skip(unavailable())
    before = mounts(), cgroups(), sorted(os.listdir("/run"))
    container = Container(name="atocore-test-closed")
    assert alive(container.pid)
    container.close()
    assert not alive(container.pid)
    assert (mounts(), cgroups(), sorted(os.listdir("/run"))) == before


def test_container_dies_with_its_tests():
    if unavailable():
        pytest.skip(unavailable())
    before = mounts()
    read, write = os.pipe()
    child = os.fork()
    if child == 0:  # as the test run: killed, it can clean up nothing
        container = Container(name="atocore-test-killed")
        os.write(write, f"{container.pid}\n".encode())
        signal.pause()
    pid = int(os.read(read, 100))
    try:
        assert alive(pid)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        wait_until(lambda: not alive(pid), "the container to die")
        Container.remove_cgroup("atocore-test-killed")
    assert mounts() == before
