# SPDX-License-Identifier: LGPL-2.1-or-later
"""Fixtures of the tests on a real systemd: one container is booted for all of them."""

import json

import pytest

from support.container import ROOT, Container, unavailable

# As AtoCore is found after installation: no configuration, no drop-ins, no tokens, an empty
# storage root; sockets listening, nothing running, no timer that could come in between.
RESET = """
systemctl stop 'atocore*.timer' 'atocore*.service'
if [ -n "$(find /etc/systemd/system -mindepth 1 -name 'atocore*.d')" ]; then
        rm -rf /etc/systemd/system/atocore*.d
        systemctl daemon-reload
        systemctl stop 'atocore*.socket'
fi
systemctl reset-failed
rm -rf /etc/atocore /etc/credstore /srv/storage
systemd-tmpfiles --create /usr/share/atocore/storage-root.conf
systemctl start atocore.socket atocore-admin.socket
"""

NOTES = """# Alignment

The reference flat is cleaned with isopropanol before each alignment.

## Fringes

Three fringes across the aperture are the target.
"""


@pytest.fixture(scope="session")
def booted():
    """The container, and the state in which its units were when it had booted."""
    reason = unavailable()
    if reason:
        pytest.skip(reason)
    container = Container()
    try:
        container.states = dict(
            line.split()[:3:2] for line in container.systemctl(
                "list-units", "--all", "--plain", "--no-legend", "atocore*").stdout.splitlines())
        yield container
    finally:
        container.close()


@pytest.fixture
def container(booted):
    """The container as it is after installation."""
    booted.shell(RESET)
    return booted


@pytest.fixture
def filled(container):
    """The same with a vault, a registry and a vector store, and the vault ingested."""
    project = "incoming/projects/p05-interferometer"
    container.write(f"{ROOT}/sources/vault/{project}/alignment.md", NOTES)
    container.write(f"{ROOT}/config/project-registry.json", json.dumps({"projects": [
        {"id": "p05-interferometer", "aliases": ["p05"], "description": "Interferometer",
         "ingest_roots": [{"source": "vault", "subpath": project, "label": "notes"}]}]}))
    container.write(f"{ROOT}/data/chroma/segment/data_level0.bin", "vectors\n" * 1000)
    container.shell(f"chown -R atocore:atocore {ROOT} && chmod -R o= {ROOT}")
    container.systemctl("start", "atocore-ingest.service")
    return container
