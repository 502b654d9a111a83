# SPDX-License-Identifier: LGPL-2.1-or-later
"""Each operation as its unit: what it does, when it runs, whom it waits for, and that it can touch
the storage root only."""

import json
import re

import pytest

from support.container import ROOT
from support.keys import MAKE
from support.wait import wait_until

SNAPSHOTS = f"{ROOT}/backups/snapshots"


def stamps(container):
    return sorted(entry.name for entry in container.path(SNAPSHOTS).iterdir()
                  if re.fullmatch(r"\d{8}T\d{6}Z", entry.name))


def metadata(container, stamp):
    return json.loads(container.path(f"{SNAPSHOTS}/{stamp}/backup-metadata.json").read_text())


def inactive(container, unit):
    return container.show(unit, "ActiveState") in ("inactive", "failed")


# What they do.

def test_ingest_makes_the_database(filled):
    assert filled.path(f"{ROOT}/data/db/atocore.db").exists()
    assert filled.foreign_owned() == ""
    done = filled.events("atocore-ingest.service")["ingest_done"]
    assert done["MESSAGE_ID"] and done["SYSLOG_IDENTIFIER"] == "atocore-ingest"


@pytest.mark.parametrize("unit, chroma", [("atocore-backup.service", False),
                                          ("atocore-backup-full.service", True)])
def test_backup_publishes_a_snapshot(filled, unit, chroma):
    filled.systemctl("start", unit)
    [stamp] = stamps(filled)
    assert metadata(filled, stamp)["chroma_snapshot_included"] is chroma
    assert filled.path(f"{SNAPSHOTS}/{stamp}/chroma").exists() is chroma
    filled.shell(f"cd {SNAPSHOTS}/{stamp} && sha256sum --check --quiet SHA256SUMS")
    assert filled.foreign_owned() == ""
    assert filled.events(unit)["backup_done"]["ATOCORE_STAMP"] == stamp


def test_validate_keeps_its_verdict(filled):
    filled.systemctl("start", "atocore-backup.service")
    [stamp] = stamps(filled)
    filled.remove(f"{ROOT}/backups/state/{stamp}.json")
    filled.systemctl("start", "atocore-validate.service")
    state = json.loads(filled.path(f"{ROOT}/backups/state/{stamp}.json").read_text())
    assert state["validation"]["valid"] is True
    assert filled.events("atocore-validate.service")["snapshot_valid"]["ATOCORE_STAMP"] == stamp
    assert filled.foreign_owned() == ""


@pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)
def test_archives_are_encrypted_and_read_with_the_credential(filled, tmp_path, make):
    """The programs run in the sandbox of the units; the secret key is root's."""
    keys = make(tmp_path, "ours")
    if keys.public:
        filled.write("/etc/atocore/archive-recipient.asc", keys.public.read_text())
    filled.write("/etc/atocore/atocore.conf",
                 f"archive_encrypt={keys.kind}:{keys.recipient}\n")
    filled.drop_in("atocore-backup.service",
                   "[Service]\nExecStart=\nExecStart=/usr/bin/atocore-backup --archive\n")
    filled.systemctl("start", "atocore-backup.service")
    path = filled.events("atocore-backup.service")["archive_done"]["ATOCORE_PATH"]
    assert path.endswith(f".tar.zst.{keys.kind}") and filled.foreign_owned() == ""

    filled.drop_in("atocore-validate.service", "[Service]\nExecStart=\n"
                   f"ExecStart=/usr/bin/atocore-validate --deep {path}\n")
    assert filled.systemctl("start", "atocore-validate.service", check=False).status != 0
    assert "archive_key_failed" in filled.events("atocore-validate.service")
    filled.write("/etc/credstore/archive-identity", keys.secret.read_text(), mode=0o600)
    filled.systemctl("start", "atocore-validate.service")
    assert filled.events("atocore-validate.service")["snapshot_valid"]["ATOCORE_PATH"] == path
    assert filled.run("find", "/srv/storage/atocore/data/tmp", "-mindepth", "1").stdout == ""


def test_prune_deletes_what_retention_does_not_keep(filled):
    """Eleven days in a row, none of them a Sunday's or a 1st's but two: nine rules' worth."""
    days = [f"202603{day:02}T060000Z" for day in range(3, 14)]
    for day in days:
        filled.run("env", f"ATOCORE_NOW={day}", "atocore-backup")
    assert stamps(filled) == days
    filled.systemctl("start", "atocore-prune.service")
    left = stamps(filled)
    # 7 daily, the Sunday of the ended week, the first of the month.
    assert left == ["20260303T060000Z", *days[4:]]
    events = [entry for entry in filled.journal("atocore-prune.service")
              if entry.get("ATOCORE_CODE") == "snapshot_deleted"]
    assert sorted(entry["ATOCORE_STAMP"] for entry in events) == sorted(set(days) - set(left))
    assert filled.foreign_owned() == ""


def test_operations_by_hand_as_root_leave_nothing_of_roots(filled):
    for command in ("atocore-ingest", "atocore-backup --include-chroma", "atocore-validate --all",
                    "atocore-prune"):
        filled.run(*command.split())
    assert len(stamps(filled)) == 1
    assert filled.foreign_owned() == ""


# When they run.

def test_timer_fires(filled):
    filled.drop_in("atocore-backup.timer",
                   "[Timer]\nOnCalendar=\nOnActiveSec=100ms\nAccuracySec=1ms\n")
    filled.systemctl("start", "atocore-backup.timer")
    wait_until(lambda: stamps(filled), "the timer to fire")
    wait_until(lambda: inactive(filled, "atocore-backup.service"), "the backup to end")
    assert filled.show("atocore-backup.service", "Result") == "success"


@pytest.mark.parametrize("name", ["ingest", "backup", "backup-full", "validate", "prune"])
def test_missed_turn_is_made_up_for(filled, name):
    """The machine was off when the timer should have fired."""
    filled.systemctl("start", "atocore-backup.service")
    filled.drop_in(f"atocore-{name}.timer", "[Timer]\nRandomizedDelaySec=0\n")
    filled.run("touch", "--date=5 weeks ago", f"/var/lib/systemd/timers/stamp-atocore-{name}.timer")
    before = filled.show(f"atocore-{name}.service", "InvocationID")
    filled.systemctl("start", f"atocore-{name}.timer")
    wait_until(lambda: filled.show(f"atocore-{name}.service", "InvocationID") != before,
               "the timer to fire")
    wait_until(lambda: inactive(filled, f"atocore-{name}.service"), "the operation to end")
    assert filled.show(f"atocore-{name}.service", "Result") == "success"


@pytest.mark.parametrize("first, then", [("backup-full", "backup"), ("backup-full", "ingest"),
                                         ("backup", "validate"), ("validate", "prune"),
                                         ("backup-full", "prune")])
def test_one_waits_for_the_other(filled, first, then):
    """What is due while the other runs starts when that has ended."""
    filled.systemctl("start", "atocore-backup.service")
    filled.run("mkfifo", "--mode=666", f"{ROOT}/data/tmp/go")
    filled.drop_in(f"atocore-{first}.service", "[Service]\nExecStart=\nExecStart=/bin/sh -c "
                   f"'read -r _ <{ROOT}/data/tmp/go'\n")
    before = filled.show(f"atocore-{then}.service", "InvocationID")
    filled.systemctl("start", "--no-block", f"atocore-{first}.service")
    wait_until(lambda: filled.show(f"atocore-{first}.service", "ActiveState") == "activating",
               "the first to start")
    filled.systemctl("start", "--no-block", f"atocore-{then}.service")
    jobs = filled.systemctl("list-jobs", "--no-legend", "--plain").stdout
    assert re.search(rf"atocore-{then}\.service +start +waiting", jobs), jobs
    filled.path(f"{ROOT}/data/tmp/go").write_text("\n")
    wait_until(lambda: inactive(filled, f"atocore-{then}.service")
               and filled.show(f"atocore-{then}.service", "InvocationID") != before,
               "the second to have run")
    assert filled.show(f"atocore-{then}.service", "Result") == "success"


# What they can touch.

CONFINED = r"""
fail() { echo "can $1"; bad=1; }
bad=0
for place in /etc /usr /var/lib /run /srv /srv/storage; do
        touch "$place/confined" 2>/dev/null && fail "write to $place"
done
ls -A /home 2>/dev/null | grep -q . && fail "see /home"
ls -A /root 2>/dev/null | grep -q . && fail "see /root"
if [ "$1" = blind ]; then
        [ "$(ls -d /proc/[0-9]* | wc -l)" -lt 8 ] || fail "see other processes"
        [ ! -e /proc/meminfo ] || fail "see /proc/meminfo"
else
        grep -q FLOCK /proc/locks || fail "not see locks"
        kill -0 "$(cat /proc/[0-9]*/stat | sed -n 's/ (sentinel) .*//p')" || fail "not signal"
fi
[ "$(cat /proc/self/net/dev | tail -n +3 | wc -l)" = 1 ] || fail "see the network"
[ "$(id -un):$(id -gn)" = atocore:atocore ] || fail "be somebody else"
mknod ROOT/data/tmp/device c 1 3 2>/dev/null && fail "make a device"
unshare --user true 2>/dev/null && fail "make a namespace"
mkdir ROOT/data/tmp/one && touch ROOT/data/tmp/one/file && mv ROOT/data/tmp/one ROOT/backups/two &&
        rm -r ROOT/backups/two || fail "not write to the storage root"
exit "$bad"
""".replace("ROOT", ROOT)


@pytest.mark.parametrize("name, sight", [
    ("ingest", "blind"), ("backup", "blind"), ("backup-full", "blind"), ("validate", "blind"),
    ("prune", "blind"), ("restore@latest", "seeing"), ("resume", "seeing")])
def test_service_touches_the_storage_root_only(container, name, sight):
    """And sees and signals what runs as atocore only where it has to: `sentinel` is one of those,
    with a lock."""
    container.write("/usr/local/bin/confined", "#!/bin/sh\n" + CONFINED, mode=0o755)
    container.drop_in(f"atocore-{name}.service", "[Unit]\nConditionPathExists=\n[Service]\n"
                      f"ExecStart=\nExecStart=/usr/local/bin/confined {sight}\n")
    container.run("cp", "/usr/bin/flock", "/usr/local/bin/sentinel")
    sentinel = container.start("setpriv", "--reuid=atocore", "--regid=atocore", "--clear-groups",
                               "/usr/local/bin/sentinel", f"{ROOT}/data/locks",
                               "sh", "-c", "echo locked; read -r _")
    try:
        assert sentinel.stdout.readline() == "locked\n"
        container.systemctl("start", f"atocore-{name}.service", check=False)
    finally:
        sentinel.communicate("\n", timeout=60)
    said = [entry["MESSAGE"] for entry in container.journal(f"atocore-{name}.service")
            if entry["_TRANSPORT"] == "stdout"]
    assert (container.show(f"atocore-{name}.service", "Result"), said) == ("success", [])


def test_missing_mount_stops_the_unit_and_creates_nothing(filled):
    """The disk of the storage root does not come: RequiresMountsFor= in the units."""
    filled.drop_in_example("other-storage-root", "atocore-backup.service",
                           replace={"/mnt/atocore": "/mnt/disk/atocore"})
    filled.write("/etc/systemd/system/mnt-disk.mount",
                 "[Mount]\nWhat=/nowhere\nWhere=/mnt/disk\nType=ext4\n")
    filled.path("/mnt/disk").mkdir()
    filled.systemctl("daemon-reload")
    try:
        started = filled.systemctl("start", "atocore-backup.service", check=False)
        assert "dependency" in started.stderr.lower()
        assert list(filled.path("/mnt/disk").iterdir()) == []
    finally:
        filled.remove("/etc/systemd/system/mnt-disk.mount")
        filled.remove("/mnt/disk")
        filled.systemctl("daemon-reload")
