# SPDX-License-Identifier: LGPL-2.1-or-later
"""docs/backup-strategy.md says what the programs and the units do."""

import datetime
import json
import re
import subprocess

from support import build
from support.markdown import blocks
from support.snapshots import make_snapshot, write_state
from support.source import table

STRATEGY = build.PROJECT / "docs" / "backup-strategy.md"
UNITS = build.PROJECT / "units"
JSON_TYPES = {str: "string", bool: "boolean", int: "number", dict: "object", list: "array",
              type(None): "null"}


def test_example_is_what_prune_plans(root, run_op):
    day, last = datetime.date(2025, 10, 1), datetime.date(2026, 4, 7)
    while day <= last:
        make_snapshot(root, f"{day:%Y%m%d}T060000Z", vector=day.day == 1 or day.isoweekday() == 7)
        day += datetime.timedelta(days=1)
    write_state(root, "20251224T060000Z", pinned=True)
    command, said = [block for block in blocks(STRATEGY) if block.section == "An example"]
    environment = run_op.environment(ATOCORE_ROOT=root.path)
    environment["PATH"] = f"{build.build_dir()}:{environment['PATH']}"
    done = subprocess.run(["sh", "-c", command.text], env=environment, capture_output=True,
                          text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == said.text
    assert "1 October 2025" in STRATEGY.read_text()


def test_every_reason_is_in_the_table():
    reasons = set(re.findall(r"case REASON_\w+:\s*return \"([a-z-]+)\";",
                             (build.PROJECT / "lib/backup/retention.c").read_text()))
    assert len(reasons) > 5
    rows = table(STRATEGY.read_text(), "reason", "keeps")
    assert {row[0] for row in rows} == reasons


def test_fields_of_the_metadata_are_those_of_a_real_one(root, run_op):
    root.make_database()
    bare = run_op("atocore-backup", "--json").expect(0).json
    root.write_registry([])
    root.write("data/chroma/segment/data.bin", "vectors\n")
    full = run_op("atocore-backup", "--json", "--include-chroma", "--label", "x").expect(0).json
    rows = table(STRATEGY.read_text(), "field", "type", "meaning")
    assert [row[0] for row in rows] == list(full) == list(bare)
    for field, types, _ in rows:
        assert {JSON_TYPES[type(bare[field])], JSON_TYPES[type(full[field])]} \
            == set(types.split(" or ")), field


def test_state_is_what_a_pin_and_a_validation_write(root, run_op):
    root.make_database()
    stamp = run_op("atocore-backup", "--json").expect(0).json["stamp"]
    run_op("atocore-backup", "--pin-snapshot", stamp).expect(0)
    run_op("atocore-validate", stamp).expect(0)
    [example] = [json.loads(block.text) for block in blocks(STRATEGY) if block.language == "json"]
    state = json.loads((root.state / f"{stamp}.json").read_text())
    assert set(state) == set(example) and state["pinned"] is example["pinned"] is True
    assert set(state["validation"]) == set(example["validation"])


def test_schedule_is_that_of_the_timers():
    timers = {path.name.removesuffix(".in"): re.findall(
        r"^OnCalendar=(.*)$", path.read_text(), re.MULTILINE)
        for path in UNITS.glob("*.timer.in")}
    text = STRATEGY.read_text()
    rows = re.findall(r"^\| `([\w-]+\.timer)` \| (.*?) \| ", text, re.MULTILINE)
    assert {name: re.findall(r"`([^`]+)`", when) for name, when in rows} == timers


def test_policy_is_the_default_of_the_configuration():
    config = (build.PROJECT / "lib/base/config.c").read_text()
    policy = [re.search(rf'"retention_{name}",\s*"(\d+)"', config)[1]
              for name in ("daily", "weekly", "monthly")]
    for name in ("backup-strategy.md", "backup-restore-procedure.md"):
        text = " ".join((build.PROJECT / "docs" / name).read_text().split())
        assert "{} daily, {} weekly and {} monthly".format(*policy) in text \
            or "{} daily, {} weekly, {} monthly".format(*policy) in text
