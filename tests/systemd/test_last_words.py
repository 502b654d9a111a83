# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a program says just before it ends is found under its unit, however busy the journal is."""

import pytest

from support.wait import wait_until

ENDS_AT_ONCE = "atocore-test-end@"
BUSY = "atocore-test-busy.service"
RUNS = 40

UNITS = {
    ENDS_AT_ONCE + ".service": """
[Service]
Type=oneshot
ExecStart=/usr/bin/atocore-validate --root /nonexistent
""",
    BUSY: """
[Service]
ExecStart=/usr/bin/sh -c 'while :; do seq 200; done'
LogRateLimitIntervalSec=0
""",
}


@pytest.fixture
def busy(container):
    """A container whose journal has much to do, with a template of a unit that fails at once."""
    for name, text in UNITS.items():
        container.write(f"/run/systemd/system/{name}", text)
    container.systemctl("daemon-reload")
    container.systemctl("start", BUSY)
    yield container
    container.systemctl("stop", BUSY)
    for name in UNITS:
        container.remove(f"/run/systemd/system/{name}")
    container.systemctl("daemon-reload")


def test_each_failure_is_found_under_its_unit(busy):
    units = [f"{ENDS_AT_ONCE}{i}.service" for i in range(RUNS)]
    busy.systemctl("start", "--no-block", *units)
    wait_until(lambda: busy.systemctl("show", "--property=ActiveState", *units).stdout.count(
        "ActiveState=failed") == RUNS, "all units to have failed")
    busy.systemctl("stop", BUSY)
    busy.run("journalctl", "--sync")

    found = busy.run("journalctl", "--output=cat", f"--unit={ENDS_AT_ONCE}*",
                     "ATOCORE_CODE=storage_root_missing").stdout
    assert len(found.splitlines()) == RUNS
