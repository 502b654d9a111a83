# SPDX-License-Identifier: LGPL-2.1-or-later
"""atocore-drill as a unit: it proves a snapshot beside the daemon that serves, and tells of it."""

import json

from support.container import ROOT


def kept(container):
    return json.loads(container.path(f"{ROOT}/data/last-drill.json").read_text())


def test_a_drill_proves_the_newest_snapshot_beside_the_service(filled):
    filled.systemctl("start", "atocore-backup.service")
    before = filled.get("/stats")
    pid = filled.show("atocore.service", "MainPID")
    filled.systemctl("start", "atocore-drill.service")
    events = filled.events("atocore-drill.service")
    assert events["drill_done"]["ATOCORE_STAMP"] == before["last_backup"]
    after = filled.get("/stats")
    assert after.pop("last_drill") == kept(filled) and kept(filled)["ok"] is True
    assert before.pop("last_drill") is None and after == before
    assert filled.show("atocore.service", "MainPID") == pid  # nobody disturbed it
    assert list(filled.path(f"{ROOT}/data/tmp").iterdir()) == []
    assert filled.foreign_owned() == ""


def test_one_that_fails_names_the_reason(filled):
    filled.systemctl("start", "atocore-backup.service")
    filled.write("/etc/atocore/atocore.conf", "drill_query=zzyzx\n")
    assert filled.systemctl("start", "atocore-drill.service", check=False).status != 0
    assert "status=69/UNAVAILABLE" in filled.systemctl(
        "status", "atocore-drill.service", check=False).stdout
    assert "zzyzx" in filled.events("atocore-drill.service")["drill_failed"]["MESSAGE"]
    assert kept(filled)["error"] == "drill_failed"
    assert list(filled.path(f"{ROOT}/data/tmp").iterdir()) == []
