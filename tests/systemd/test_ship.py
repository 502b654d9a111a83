# SPDX-License-Identifier: LGPL-2.1-or-later
"""Copies off the machine as a unit: after a backup, in its sandbox, with credentials, tried again;
and from an empty machine as docs/disaster-recovery.md has it."""

import re

import pytest

from support import build
from support.container import ROOT
from support.markdown import blocks
from support.offsite import needs
from support.wait import wait_until

pytestmark = needs("restic", "rclone")

PORT = 8199
UNIT = "atocore-ship.service"
OFFSITE = f"restic:rest:http://127.0.0.1:{PORT}/"
SERVED = "/var/lib/served"


class Other:
    """The other side, which is the same container's loopback here."""

    def __init__(self, container):
        self.container = container

    def start(self):
        self.container.path(SERVED).mkdir(exist_ok=True)
        self.container.run("systemd-run", "--quiet", "--unit=other-side", "--collect", "rclone",
                           "serve", "restic", SERVED, "--addr", f"127.0.0.1:{PORT}")
        wait_until(lambda: self.container.run(
            "curl", "--silent", "--output", "/dev/null", f"http://127.0.0.1:{PORT}/",
            check=False).status == 0, "the other side")

    def stop(self):
        self.container.systemctl("stop", "other-side.service", check=False)


@pytest.fixture
def other(filled):
    other = Other(filled)
    filled.remove(SERVED)
    filled.write("/etc/atocore/atocore.conf", f"offsite={OFFSITE}\n")
    filled.path("/etc/credstore").mkdir(mode=0o700, exist_ok=True)
    filled.write("/etc/credstore/restic-password", "correct horse\n", mode=0o600)
    yield other
    filled.systemctl("stop", UNIT, check=False)
    other.stop()


def ended(container, before):
    return (container.show(UNIT, "InvocationID") != before
            and container.show(UNIT, "ActiveState") in ("inactive", "failed"))


def back_up(container, unit="atocore-backup.service"):
    """And what follows it."""
    before = container.show(UNIT, "InvocationID")
    container.systemctl("start", unit)
    wait_until(lambda: ended(container, before), "the copy to end")
    return container.events(UNIT)


@pytest.mark.parametrize("unit", ["atocore-backup.service", "atocore-backup-full.service"])
def test_a_backup_is_followed_by_its_copy(filled, other, unit):
    other.start()
    events = back_up(filled, unit)
    assert filled.show(UNIT, "Result") == "success"
    [stamp] = [path.name for path in filled.path(f"{ROOT}/backups/snapshots").iterdir()]
    assert events["shipped"]["ATOCORE_STAMP"] == stamp
    assert events["ship_done"]["ATOCORE_SENT"] == "1"
    assert events["ship_done"]["SYSLOG_IDENTIFIER"] == "atocore-ship"
    assert filled.run("find", ROOT, "!", "-user", "atocore").stdout == ""
    # Another one, and only that.
    assert back_up(filled, unit)["ship_done"]["ATOCORE_SENT"] == "1"


def test_without_a_place_it_says_so_and_that_is_no_failure(filled):
    events = back_up(filled)
    assert "Nothing was sent" in events["ship_done"]["MESSAGE"]
    assert filled.show(UNIT, "Result") == "success"


def test_a_backup_that_failed_is_followed_by_nothing(filled, other):
    before = filled.show(UNIT, "InvocationID")
    filled.remove(f"{ROOT}/data/db/atocore.db")
    assert filled.systemctl("start", "atocore-backup.service", check=False).status != 0
    assert filled.show(UNIT, "InvocationID") == before
    assert filled.systemctl("list-jobs", "--no-legend", UNIT, check=False).stdout.strip() == ""


def test_what_cannot_be_reached_is_tried_again(filled, other):
    filled.drop_in(UNIT, "[Service]\nRestartSec=100ms\n")
    filled.systemctl("start", "atocore-backup.service")
    wait_until(lambda: int(filled.show(UNIT, "NRestarts")) >= 2, "two more tries")
    other.start()
    wait_until(lambda: filled.show(UNIT, "ActiveState") == "inactive", "the copy to end")
    assert filled.show(UNIT, "Result") == "success"
    assert "shipped" in filled.events(UNIT)


def test_a_wrong_configuration_is_not_tried_again(filled):
    filled.drop_in(UNIT, "[Service]\nRestartSec=100ms\n")
    filled.write("/etc/atocore/atocore.conf", "offsite=nowhere\n")
    assert filled.systemctl("start", UNIT, check=False).status != 0
    assert filled.show(UNIT, "ActiveState", "Result", "NRestarts") == ["failed", "exit-code", "0"]
    assert filled.show(UNIT, "ExecMainStatus") == "78"


def test_a_stop_is_clean(filled, other):
    other.start()
    filled.write(f"{ROOT}/data/chroma/noise", "")
    filled.shell(f"head -c 64M /dev/urandom >{ROOT}/data/chroma/noise; chown -R atocore:atocore "
                 f"{ROOT}/data/chroma")
    filled.systemctl("start", "--no-block", "atocore-backup-full.service")
    wait_until(lambda: filled.run("pgrep", "-x", "restic", check=False).status == 0,
               "restic to run")
    filled.systemctl("stop", UNIT)
    assert filled.show(UNIT, "ActiveState") in ("inactive", "failed")
    assert filled.events(UNIT).keys() >= {"ship_started", "interrupted"}
    filled.systemctl("reset-failed", UNIT, check=False)
    filled.systemctl("start", UNIT)
    assert "ship_done" in filled.events(UNIT)


def test_another_disk_by_the_drop_in(filled, other):
    filled.path("/mnt/offsite").mkdir(parents=True, exist_ok=True)
    filled.run("chown", "atocore:atocore", "/mnt/offsite")
    filled.write("/etc/atocore/atocore.conf", "offsite=restic:/mnt/offsite/atocore\n")
    assert "offsite_failed" in back_up_and_give_up(filled)
    filled.drop_in_example("offsite-disk", UNIT)
    assert "shipped" in back_up(filled)
    filled.remove("/mnt/offsite/atocore")


def back_up_and_give_up(container):
    container.drop_in(UNIT, "[Service]\nRestart=no\n")
    return back_up(container)


def test_from_an_empty_machine(filled, other):
    """docs/disaster-recovery.md, block by block, with this place and password."""
    other.start()
    back_up(filled, "atocore-backup-full.service")
    before = {name: filled.get(name) for name in ("/projects", "/stats")}
    pack = {"prompt": "What cleans the reference flat?"}
    context = filled.post("/context/build", pack)["formatted_context"]
    assert "isopropanol" in context

    filled.systemctl("stop", "atocore.target", "atocore.service", "atocore.socket",
                     "atocore-admin.socket")
    for path in ("/srv/storage", "/etc/atocore", "/etc/credstore"):
        filled.remove(path)
    filled.run("systemd-tmpfiles", "--create", "/usr/share/atocore/storage-root.conf")

    page = build.PROJECT / "docs" / "disaster-recovery.md"
    script = "".join(block.text for block in blocks(page) if block.language == "sh")
    for old, new in {"restic:rest:http://backup.example.org:8000/": OFFSITE,
                     "the one that you kept elsewhere": "correct horse"}.items():
        assert script.count(old) == 1
        script = script.replace(old, new)
    invocation = filled.show(UNIT, "InvocationID")
    done = filled.run("bash", "-euc", script, check=False, timeout=240)
    assert done.status == 0, done
    for event in ("ship_fetched", "snapshot_valid", "restore_done"):
        assert f"[{event}]" in done.stderr
    assert filled.get("/projects") == before["/projects"]
    after = filled.get("/stats")
    assert {key: after[key] for key in ("documents", "chunks")} == {
        key: before["/stats"][key] for key in ("documents", "chunks")}
    assert filled.post("/context/build", pack)["formatted_context"] == context
    wait_until(lambda: ended(filled, invocation), "the copy of the next backup")
    assert "shipped" in filled.events(UNIT)
    assert re.search(r"^\d{8}T\d{6}Z", done.stdout, re.MULTILINE)
