# SPDX-License-Identifier: LGPL-2.1-or-later
"""A retention plan over the metadata of very many snapshots."""

import datetime
import json
import statistics

import measure
from measure import spread
from support.root import Root
from support.snapshots import verdict, write_state

SNAPSHOTS = 10_000
ROUNDS = 5
NEWEST = datetime.datetime(2026, 4, 7, 6)


def make(root):
    """A snapshot each three hours, all with the metadata of a real one and a verdict."""
    root.make_database()
    made = measure.operation("atocore-backup", root, "--json")
    metadata = json.loads(made.output)
    for number in range(SNAPSHOTS - 1):
        time = NEWEST - datetime.timedelta(hours=3 * number)
        stamp = time.strftime("%Y%m%dT%H%M%SZ")
        path = root.snapshots / stamp
        path.mkdir()
        metadata.update(stamp=stamp, created_at=time.isoformat() + "Z", backup_root=str(path),
                        chroma_snapshot_included=number % 8 == 0, validation=verdict(True))
        (path / "backup-metadata.json").write_text(json.dumps(metadata, indent=2) + "\n")
        write_state(root, stamp, valid=number % 50 != 0, pinned=number % 1000 == 0)


def measure_plan(report, scratch, _):
    root = Root(scratch / "root")
    make(root)
    seconds = []
    for _ in range(ROUNDS):
        child = measure.operation("atocore-prune", root, "--dry-run", "--json")
        plan = json.loads(child.output)
        if len(plan["keep"]) + len(plan["delete"]) != SNAPSHOTS:
            raise measure.Broken(f"the plan is not of {SNAPSHOTS} snapshots")
        seconds.append(child.seconds)
    report.say(f"atocore-prune --dry-run --json {spread(seconds)}, {len(plan['keep'])} kept")
    report.value(f"plan over {SNAPSHOTS} snapshots", statistics.median(seconds), "s", at_most=1)
