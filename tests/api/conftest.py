# SPDX-License-Identifier: LGPL-2.1-or-later
"""Fixtures of the tests of HTTP: a root with something in it, daemons as systemd starts them."""

import socket

import pytest

from support.api import FLAT, POLISHER, PROJECTS, ActivatedDaemon, Notifications


@pytest.fixture
def tcp_socket():
    """A listening TCP socket on a free port of the loopback: what atocore.socket is."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listening:
        yield listening


@pytest.fixture
def admin_socket(tmp_path):
    """A listening unix socket: what atocore-admin.socket is. Its path is in .getsockname()."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "admin.sock"))
        listening.listen(128)
        yield listening


@pytest.fixture
def activate(root, reports, tmp_path):
    """activate({"http": socket}, "--idle-timeout", 1) → the daemon; stopped at the end."""
    daemons = []

    def start(sockets, *arguments, ready=True, **options):
        directory = tmp_path / f"activated-{len(daemons)}"
        directory.mkdir()
        daemon = ActivatedDaemon(root, directory, reports, sockets, arguments, **options)
        daemons.append(daemon)
        return daemon.wait_ready() if ready else daemon

    yield start
    try:
        for daemon in daemons:
            if daemon.process.poll() is None:
                daemon.stop()
    finally:
        for daemon in daemons:
            daemon.kill()


@pytest.fixture
def notifications(tmp_path):
    notified = Notifications(tmp_path / "notify.sock")
    yield notified
    notified.socket.close()


@pytest.fixture
def filled(root, run_op):
    """A root with two projects, ingested."""
    root.write_registry(PROJECTS)
    root.write("sources/vault/projects/p05/flat.md", FLAT)
    root.write("sources/vault/projects/p06/polisher.md", POLISHER)
    root.write("sources/vault/general.md", "# General\n\nNothing about optics.\n")
    run_op("atocore-ingest", "--json").expect(0)
    return root
