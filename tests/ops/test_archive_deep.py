# SPDX-License-Identifier: LGPL-2.1-or-later
"""atocore-validate ARCHIVE --deep: unpacked privately, its database is looked into."""

import random
import signal

import pytest

from support import mounts
from support.archives import members_of, put_together, replace
from support.root import tree
from support.wait import wait_until

NOW = "20260407T060000Z"


@pytest.fixture
def validate(run_op):
    def call(*arguments, **options):
        return run_op("atocore-validate", "--deep", *arguments, **options)
    return call


@pytest.fixture
def archive(live, backup):
    live.write("data/chroma/größe/a.bin", bytes(range(256)) * 40)
    backup("--archive=none", "--include-chroma", now=NOW).expect(0)
    return live.backups / "archives" / f"{NOW}.tar"


@pytest.fixture
def large(live, backup):
    """One that takes a while."""
    live.write("data/chroma/noise", random.Random(1).randbytes(64 << 20))
    backup("--archive=none", "--include-chroma", now=NOW).expect(0)
    return live.backups / "archives" / f"{NOW}.tar"


def staged(live):
    return list((live.path / "data" / "tmp").iterdir())


def test_a_good_one_is_valid_and_nothing_of_it_is_left(archive, validate, live):
    before = tree(live.path)
    result = validate("--json", archive).expect(0)
    assert result.codes == ["validate_started", "snapshot_valid"]
    assert (result.json["stamp"], result.json["valid"], result.json["findings"]) == (NOW, True, [])
    listed = (live.snapshots / NOW / "SHA256SUMS").read_text().splitlines()
    assert result.json["files"] == len(listed)
    assert tree(live.path) == before


def test_snapshots_are_looked_at_as_always(archive, validate, live):
    result = validate("--json", NOW, archive.name).expect(0)
    assert [report["valid"] for report in result.json["snapshots"]] == [True, True]


@pytest.mark.parametrize("name, change, code", [
    ("db/atocore.db", lambda old: old[:4096] + bytes(len(old) - 4096), "db_integrity_check_failed"),
    ("db/atocore.db", lambda old: b"x" * len(old), "db_open_failed"),
    ("config/project-registry.json", lambda old: b"{" * len(old), "registry_invalid_json"),
    ("config/project-registry.json", lambda old: None, "registry_snapshot_missing"),
])
def test_damage_that_has_its_checksum_is_found_by_this_only(
        archive, validate, run_op, live, tmp_path, name, change, code):
    members = members_of(archive)
    old = next(content for member, content in members if member.name == f"{NOW}/{name}")
    path = put_together(tmp_path / "damaged.tar", replace(members, {name: change(old)}))
    run_op("atocore-validate", path).expect(0)
    result = validate("--json", path).expect(65)
    assert result.codes[-1] == code
    assert code in [finding["code"] for finding in result.json["findings"]]
    assert staged(live) == []


@pytest.fixture
def unpacking(large, run_op, live):
    """A run in the middle of its work, stopped there by SIGSTOP."""
    def attempt():
        process = run_op.start("atocore-validate", "--deep", large)
        wait_until(lambda: staged(live) or process.poll() is not None)
        process.send_signal(signal.SIGSTOP)
        if process.poll() is None and staged(live) and not (staged(live)[0] / "db").exists():
            return process
        process.send_signal(signal.SIGCONT)
        process.communicate()  # it was faster
        return None

    process = wait_until(attempt)
    yield process
    process.kill()
    process.communicate()


def test_sigterm_leaves_nothing(unpacking, live):
    unpacking.terminate()
    unpacking.send_signal(signal.SIGCONT)
    _, errors = unpacking.communicate()
    assert unpacking.returncode == 75 and errors.rstrip().endswith("[interrupted]"), errors
    assert staged(live) == []


@pytest.mark.parametrize("program, arguments", [
    ("atocore-validate", ["--deep", f"{NOW}.tar"]),
    ("atocore-prune", []),
])
def test_what_kill_9_leaves_goes_with_the_next_run_or_a_prune(
        unpacking, run_op, live, program, arguments):
    assert "leftover_removed" not in run_op(program, *arguments, now=NOW).expect(0).codes
    assert len(staged(live)) == 1  # somebody's work
    unpacking.kill()
    unpacking.wait()
    assert "leftover_removed" in run_op(program, *arguments, now=NOW).expect(0).codes
    assert staged(live) == []


def test_what_does_not_fit_is_not_begun(large, validate, live):
    with mounts.tmpfs(live.path / "data" / "tmp", size="1m"):
        result = validate(large).expect(73)
        assert result.codes == ["validate_started", "no_space"]
        assert "data/tmp" in result.stderr and "are free" in result.stderr
        assert staged(live) == []
