# SPDX-License-Identifier: LGPL-2.1-or-later
"""atocore-watch as its unit: it is told of changes within its sandbox, also of mounts, says what it
does, and comes back."""

import pytest

from support.container import ROOT
from support.wait import wait_until

UNIT = "atocore-watch.service"


@pytest.fixture
def watched(filled):
    filled.systemctl("start", UNIT)  # which returns when the watches are set
    return filled


def found(container, word):
    """Source files of the chunks that have the word."""
    answer = container.post("/query", {"prompt": word})
    return [chunk["source_file"] for chunk in answer["chunks"] if word in chunk["content"]]


def wait_found(container, word, path):
    wait_until(lambda: found(container, word) == [path], f"{word} to be found in {path}")


def test_what_is_written_is_found(watched):
    assert watched.show(UNIT, "Type", "ActiveState", "SubState") == ["notify", "active", "running"]
    watched.write(f"{ROOT}/sources/vault/new/flat.md", "Zerodur is what the flat is made of.\n")
    wait_found(watched, "Zerodur", "sources/vault/new/flat.md")
    watched.run("mv", f"{ROOT}/sources/vault/new", f"{ROOT}/sources/drive/moved")
    wait_found(watched, "Zerodur", "sources/drive/moved/flat.md")

    status = wait_until(lambda: watched.show(UNIT, "StatusText"), "a status")
    assert status.startswith("Watching ") and "last ingest at" in status
    events = watched.events(UNIT)
    assert int(events["watch_started"]["ATOCORE_DIRECTORIES"]) >= 5
    assert events["ingest_done"]["SYSLOG_IDENTIFIER"] == "atocore-watch"

    watched.systemctl("stop", UNIT)
    assert watched.show(UNIT, "Result", "ExecMainStatus") == ["success", "0"]
    assert "watch_stopped" in watched.events(UNIT)


def test_a_source_that_is_mounted_is_found(watched):
    watched.write("/mnt/paper.txt", "Sapphire windows are coated.\n")
    try:
        watched.run("mount", "--bind", "/mnt", f"{ROOT}/sources/drive")
        wait_found(watched, "Sapphire", "sources/drive/paper.txt")
    finally:
        watched.run("umount", f"{ROOT}/sources/drive")
        watched.remove("/mnt/paper.txt")
    wait_until(lambda: "ingest_removal_refused" in watched.events(UNIT), "the loss to be told")
    assert found(watched, "Sapphire") == ["sources/drive/paper.txt"]


def test_a_restore_goes_on_beside_it_and_what_is_newer_comes_back(watched):
    watched.systemctl("start", "atocore-backup.service")
    watched.write(f"{ROOT}/sources/vault/later.md", "Invar is what the mount is made of.\n")
    wait_found(watched, "Invar", "sources/vault/later.md")
    watched.systemctl("start", "atocore-restore@latest.service")
    wait_found(watched, "Invar", "sources/vault/later.md")
    assert watched.show(UNIT, "NRestarts", "ActiveState") == ["0", "active"]


def test_it_is_a_part_of_the_target_once_it_is_enabled_and_comes_back(container):
    container.systemctl("enable", UNIT)
    try:
        container.systemctl("start", "atocore.target")
        wait_until(lambda: container.show(UNIT, "ActiveState") == "active", "it to run")
        container.drop_in(UNIT, "[Service]\nRestartSec=100ms\n")
        before = container.show(UNIT, "MainPID")
        container.systemctl("kill", "--signal=SEGV", UNIT)
        wait_until(lambda: container.show(UNIT, "ActiveState", "NRestarts") == ["active", "1"],
                   "it to be started again")
        assert container.show(UNIT, "MainPID") != before
        container.systemctl("stop", "atocore.target")  # whose parts are stopped behind it
        wait_until(lambda: container.show(UNIT, "ActiveState") == "inactive", "it to stop")
        assert container.show(UNIT, "Result") == "success"
    finally:
        container.systemctl("disable", UNIT)
        container.systemctl("start", "atocore.target")


def test_what_needs_somebody_is_not_tried_again(container):
    container.write(f"{ROOT}/data/db/atocore.db", "no database\n" * 100)
    container.shell(f"chown atocore: {ROOT}/data/db/atocore.db")
    container.systemctl("start", UNIT, check=False)
    wait_until(lambda: container.show(UNIT, "ActiveState") == "failed", "it to fail")
    assert container.show(UNIT, "ExecMainStatus", "NRestarts") == ["65", "0"]
    assert "database_invalid" in container.events(UNIT)
