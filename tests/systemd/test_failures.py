# SPDX-License-Identifier: LGPL-2.1-or-later
"""What went wrong can be seen with systemctl and journalctl alone: one structured event, explained
by the catalog, and an exit status that systemd can name."""

import contextlib
import re

import pytest

from support import build
from support.container import ROOT
from support.wait import wait_until

IDS = {symbol.lower(): message_id for symbol, message_id in re.findall(
    r'X\((\w+),\s*"([0-9a-f]{32})"',
    (build.PROJECT / "lib/base/event-ids.h").read_text())}


def fail(container, unit, status, event, code=None):
    """Starts the unit, which must fail so, with this one event; returns its entry. The code is the
    event's own if not given."""
    assert container.systemctl("start", unit, check=False).status != 0
    assert f"status={status}\n" in container.systemctl("status", unit, check=False).stdout
    failures = [entry for entry in container.journal(unit)
                if "ATOCORE_CODE" in entry and int(entry["PRIORITY"]) <= 3]
    assert [entry["ATOCORE_CODE"] for entry in failures] == [code or event]
    [failure] = failures
    assert failure["MESSAGE_ID"] == IDS[event]
    assert failure["_SYSTEMD_UNIT"] == unit
    assert len(failure["MESSAGE"]) > 20
    return failure


def explained(container, unit, event):
    """What journalctl -x -u has to say about the event."""
    text = container.run("journalctl", "--no-pager", "-x", "-u", unit).stdout
    marked = [line.removeprefix("░░").strip() for line in text.splitlines()
              if line.startswith("░░")]
    catalog = container.run("journalctl", "--dump-catalog", IDS[event]).stdout
    subject = re.search(r"^Subject: (.*)$", catalog, re.MULTILINE)[1].split("@")[0]
    start = max(i for i, line in enumerate(marked) if line.startswith(f"Subject: {subject}"))
    return "\n".join(marked[start:])


@pytest.mark.parametrize("unit", ["atocore-backup.service", "atocore-backup-full.service"])
def test_missing_database(container, unit):
    event = fail(container, unit, "66/NOINPUT", "database_missing")
    assert event["ATOCORE_PATH"] == f"{ROOT}/data/db/atocore.db"
    assert event["ERRNO"] == "2"
    text = explained(container, unit, "database_missing")
    assert f"There is no database at {ROOT}/data/db/atocore.db" in text
    for part in ("Symptom:", "Likely cause:", "Action:", "systemctl start atocore-ingest.service"):
        assert part in text
    assert list(container.path(f"{ROOT}/backups/snapshots").iterdir()) == []
    assert list(container.path(f"{ROOT}/data/db").iterdir()) == []


def test_full_disk(filled):
    """A storage root on a disk of its own, on which the database fits once but not twice."""
    unit, disk = "atocore-backup.service", "/mnt/disk"
    filled.drop_in_example("other-storage-root", unit, replace={"/mnt/atocore": disk})
    filled.path(disk).mkdir()
    filled.shell(f"""
            mount -t tmpfs -o size=8m,mode=0750 tmpfs {disk}
            sed 's,{ROOT},{disk},' /usr/share/atocore/storage-root.conf >/run/disk.conf
            systemd-tmpfiles --create /run/disk.conf
            sqlite3 {disk}/data/db/atocore.db 'CREATE TABLE t AS SELECT randomblob(5 << 20) AS x'
            chown atocore:atocore {disk}/data/db/atocore.db
            sha256sum {disk}/data/db/atocore.db >/run/before
            """)
    try:
        event = fail(filled, unit, "73/CANTCREAT", "no_space")
        assert event["ERRNO"] == "28"
        assert event["ATOCORE_PATH"].startswith(f"{disk}/backups/snapshots/")
        text = explained(filled, unit, "no_space")
        assert "The disk is full" in text and "atocore-prune --dry-run" in text
        assert list(filled.path(f"{disk}/backups/snapshots").iterdir()) == []
        filled.run("sha256sum", "--check", "--status", "/run/before")
    finally:
        filled.run("umount", disk)
        filled.path(disk).rmdir()


def test_missing_storage_root(container):
    """Its disk is not mounted, and no mount unit knows of it."""
    container.run("mv", ROOT, f"{ROOT}.away")
    for name in ("backup", "backup-full", "validate", "prune", "ingest"):
        event = fail(container, f"atocore-{name}.service", "66/NOINPUT", "storage_root_missing")
        assert event["ATOCORE_PATH"] == ROOT
        assert not container.path(ROOT).exists()
    assert "systemd-tmpfiles --create" in explained(
        container, "atocore-backup.service", "storage_root_missing")


def test_missing_backup_root(filled):
    filled.run("mv", f"{ROOT}/backups", f"{ROOT}/away")
    fail(filled, "atocore-backup.service", "73/CANTCREAT", "backup_root_missing")
    assert not filled.path(f"{ROOT}/backups").exists()


def test_broken_configuration(container):
    container.write("/etc/atocore/atocore.conf", "# ours\nretention_dayly=7\n")
    event = fail(container, "atocore-prune.service", "78/CONFIG", "config_invalid")
    assert event["ATOCORE_PATH"] == "/etc/atocore/atocore.conf"
    assert "/etc/atocore/atocore.conf:2" in event["MESSAGE"]
    assert "retention_dayly" in event["MESSAGE"]


@contextlib.contextmanager
def held(container, path):
    """The lock on a file is held by somebody else."""
    holder = container.start("setpriv", "--reuid=atocore", "--regid=atocore", "--clear-groups",
                             "flock", path, "sh", "-c", "echo held; read -r _")
    try:
        assert holder.stdout.readline() == "held\n"
        yield
    finally:
        holder.communicate("\n", timeout=60)


def test_busy_lock(filled):
    filled.write("/etc/atocore/atocore.conf", "lock_wait=0\n")
    lock = f"{ROOT}/data/locks/ingestion.lock"
    with held(filled, lock):
        event = fail(filled, "atocore-backup-full.service", "75/TEMPFAIL", "lock_busy")
        assert event["ATOCORE_PATH"] == lock
        fail(filled, "atocore-ingest.service", "75/TEMPFAIL", "lock_busy")
        filled.systemctl("start", "atocore-backup.service")  # needs no such lock


def test_damaged_snapshot(filled):
    filled.systemctl("start", "atocore-backup.service")
    [snapshot] = filled.path(f"{ROOT}/backups/snapshots").iterdir()
    with open(snapshot / "db" / "atocore.db", "r+b") as file:
        file.seek(5000)
        byte = file.read(1)
        file.seek(5000)
        file.write(bytes([byte[0] ^ 1]))
    event = fail(filled, "atocore-validate.service", "65/DATAERR", "snapshot_invalid",
                 "checksum_mismatch")
    assert event["ATOCORE_STAMP"] == snapshot.name
    text = explained(filled, "atocore-validate.service", "snapshot_invalid")
    assert f"Snapshot {snapshot.name} is not what it was" in text
    assert f"atocore-validate {snapshot.name}" in text


def test_stopped_backup_cleans_up(filled):
    """systemctl stop while it waits for a lock, and nothing of it is left."""
    unit = "atocore-backup-full.service"
    with held(filled, f"{ROOT}/data/locks/ingestion.lock"):
        filled.systemctl("start", "--no-block", unit)
        wait_until(lambda: "backup_started" in filled.events(unit), "the backup to start")
        filled.systemctl("stop", unit)
    assert "interrupted" in filled.events(unit)
    assert "status=75/TEMPFAIL\n" in filled.systemctl("status", unit, check=False).stdout
    assert list(filled.path(f"{ROOT}/backups/snapshots").iterdir()) == []


def test_catalog_knows_every_event(container):
    listed = container.run("journalctl", "--list-catalog").stdout
    assert {message_id for message_id in IDS.values() if message_id not in listed} == set()


def test_successes_are_events_with_numbers(filled):
    filled.systemctl("start", "atocore-backup.service")
    done = filled.events("atocore-backup.service")["backup_done"]
    numbers = {name for name in done if name.startswith("ATOCORE_")}
    assert {"ATOCORE_STAMP", "ATOCORE_BYTES", "ATOCORE_FILES"} <= numbers
    assert any("MS" in name or "MILLISECONDS" in name for name in numbers)


def test_explanations_name_no_field_that_an_event_lacks(booted):
    """All that the tests so far have put into the journal (the field's bare name shows then)."""
    text = booted.run("journalctl", "--no-pager", "-x", "-u", "atocore*").stdout
    bare = {line for line in text.splitlines()
            if line.startswith("░░") and re.search(r"\bATOCORE_(STAMP|PATH|CODE)\b", line)}
    assert bare == set()
