# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is worth a look and fails nothing is an event, too: under its own id, with its own code."""

import json
import re

from support import build
from support.container import ROOT

IDS = {symbol.lower(): message_id for symbol, message_id in re.findall(
    r'X\((\w+),\s*"([0-9a-f]{32})"',
    (build.PROJECT / "lib/base/event-ids.h").read_text())}


def warnings(container, unit):
    """(event, code, entry) of the unit's entries of priority warning."""
    names = {message_id: name for name, message_id in IDS.items()}
    return [(names[entry["MESSAGE_ID"]], entry["ATOCORE_CODE"], entry)
            for entry in container.journal(unit)
            if "ATOCORE_CODE" in entry and int(entry["PRIORITY"]) == 4]


def test_a_snapshot_of_the_earlier_implementation(filled):
    filled.systemctl("start", "atocore-backup.service")
    [snapshot] = filled.path(f"{ROOT}/backups/snapshots").iterdir()
    metadata = json.loads((snapshot / "backup-metadata.json").read_text())
    del metadata["atocore_version"]
    (snapshot / "backup-metadata.json").write_text(json.dumps(metadata))
    (snapshot / "SHA256SUMS").unlink()
    filled.systemctl("start", "atocore-validate.service")
    [(event, code, entry)] = warnings(filled, "atocore-validate.service")
    assert (event, code) == ("snapshot_warning", "manifest_missing")
    assert entry["ATOCORE_STAMP"] == snapshot.name


def test_a_backup_without_a_registry_that_can_be_read(filled):
    filled.write(f"{ROOT}/config/project-registry.json", "{")
    filled.systemctl("start", "atocore-backup.service")
    [(event, code, entry)] = warnings(filled, "atocore-backup.service")
    assert (event, code) == ("backup_warning", "backup_warning")
    assert entry["ATOCORE_PATH"] == f"{ROOT}/config/project-registry.json"
