# SPDX-License-Identifier: LGPL-2.1-or-later
"""Safety snapshots: the 3 newest are kept, and all that are younger than 30 days."""

import pytest

from support.root import tree
from support.snapshots import make_snapshot

NOW = "20260410T120000Z"
OLD = ["20260101T060000Z", "20260102T060000Z", "20260103T060000Z", "20260104T060000Z"]
RECENT = "20260320T060000Z"
# A second more and a second less than 30 days before.
EDGE = ["20260311T120000Z", "20260311T120001Z"]


@pytest.fixture
def safety(root):
    def make(*names):
        for name in names:
            root.write(f"backups/pre-restore/{name}/db/atocore.db", b"what was there")
        return root.path / "backups/pre-restore"
    make_snapshot(root, "20260410T060000Z")
    return make


@pytest.fixture
def prune(run_op):
    def call(*arguments, **options):
        return run_op("atocore-prune", *arguments, **{"now": NOW, **options})
    return call


def names(directory):
    return sorted(path.name for path in directory.iterdir())


def stamps(entries):
    return [entry["stamp"] for entry in entries]


def test_the_newest_three_stay_however_old(safety, prune):
    directory = safety(*OLD)
    result = prune("--json").expect(0)
    plan = result.json["pre_restore"]
    assert plan["policy"] == {"newest": 3, "days": 30}
    assert stamps(plan["delete"]) == OLD[:1]
    assert plan["keep"] == [{"stamp": stamp, "reasons": ["newest"]} for stamp in OLD[1:]]
    assert result.json["pre_restore_deleted"] == 1 and result.json["snapshots_deleted"] == 0
    assert "snapshot_deleted" in result.codes
    assert names(directory) == OLD[1:]


def test_all_younger_than_30_days_stay(safety, prune):
    directory = safety(*OLD, *EDGE, RECENT)
    plan = prune("--json").expect(0).json["pre_restore"]
    assert plan["keep"] == [{"stamp": EDGE[0], "reasons": ["newest"]},
                            {"stamp": EDGE[1], "reasons": ["recent", "newest"]},
                            {"stamp": RECENT, "reasons": ["recent", "newest"]}]
    assert names(directory) == [*EDGE, RECENT]
    safety("20260401T060000Z", "20260402T060000Z")
    plan = prune("--json").expect(0).json["pre_restore"]
    assert stamps(plan["delete"]) == EDGE[:1]
    assert {"stamp": EDGE[1], "reasons": ["recent"]} in plan["keep"]


def test_later_ones_are_never_deleted_and_count_for_nothing(safety, prune):
    directory = safety(*OLD, "20260411T060000Z")
    plan = prune("--json").expect(0).json["pre_restore"]
    assert plan["quarantined"] == ["20260411T060000Z"] and stamps(plan["delete"]) == OLD[:1]
    assert names(directory) == [*OLD[1:], "20260411T060000Z"]


def test_what_is_no_stamp_is_left_alone(safety, prune):
    directory = safety(*OLD[:3], "mine", ".partial-20250101T060000Z")
    prune().expect(0)
    assert names(directory) == [".partial-20250101T060000Z", *OLD[:3], "mine"]


def test_a_dry_run_touches_nothing(root, safety, prune):
    safety(*OLD)
    before = tree(root.path)
    result = prune("--dry-run").expect(0)
    assert f"{OLD[0]}  delete" in result.stdout
    assert tree(root.path) == before


def test_where_no_snapshot_is_valid_they_all_stay(root, safety, prune):
    directory = safety(*OLD)
    for stamp in ("20250101T060000Z", "20250101T070000Z"):  # one for the day, one too many
        make_snapshot(root, stamp, valid=False)
    snapshot = root.snapshots / "20260410T060000Z"
    (snapshot / "backup-metadata.json").write_text(
        (snapshot / "backup-metadata.json").read_text().replace('"valid": true', '"valid": false'))
    result = prune("--json").expect(65)
    assert result.codes[-1] == "prune_refused"
    assert result.json["pre_restore"]["refused"] is True
    assert names(directory) == OLD


def test_a_removal_that_was_cut_off_is_finished(root, safety, prune):
    directory = safety(RECENT, f".trash-{OLD[0]}")
    # It has the stamp of a snapshot that is gone and whose state is not its own.
    root.write(f"backups/state/{OLD[0]}.json", "{}")
    assert "leftover_removed" in prune().expect(0).codes
    assert names(directory) == [RECENT]
    assert (root.state / f"{OLD[0]}.json").exists()
