# SPDX-License-Identifier: LGPL-2.1-or-later
"""atocore-prune: what it plans, what it deletes, and what it never does."""

import datetime
import fcntl
import json
import os
import random
import signal
import stat

import pytest

from support import retention
from support.root import tree
from support.run import run
from support.snapshots import make_archive, make_snapshot, write_state
from support.wait import wait_until

NOW = "20260410T120000Z"  # a Friday
OLD = "20240301T060000Z"
NEWEST = "20260410T060000Z"
NOTHING_MORE = ("--daily", "0", "--weekly", "0", "--monthly", "0")


def stamp_of(time):
    return time.strftime("%Y%m%dT%H%M%SZ").rjust(16, "0")


def stamps(entries):
    return [entry["stamp"] for entry in entries]


@pytest.fixture
def prune(run_op):
    def call(*arguments, now=NOW, **options):
        return run_op("atocore-prune", *arguments, now=now, **options)
    return call


@pytest.fixture
def two(root):
    """One that goes and one that stays, whatever the policy."""
    return make_snapshot(root, OLD), make_snapshot(root, NEWEST)


def without_override(command):
    """Root, too, is bound by modes then."""
    if os.geteuid() != 0:
        return command
    return ["setpriv", "--bounding-set", "-dac_override,-dac_read_search", *command]


# The plan.

def random_snapshots(rng, now):
    """Of the last days, weeks, months or years, up to several a day, some of the future."""
    span = rng.choice([3, 10, 40, 200, 800, 4000])
    chosen = {}
    for _ in range(rng.randrange(60)):
        age = datetime.timedelta(days=rng.randrange(-2, span), seconds=rng.randrange(86400))
        if rng.random() < 0.2:
            age = datetime.timedelta(seconds=rng.choice([-1, 0, 1, 86399, 86400, 86401]))
        stamp = stamp_of(now - age)
        chosen[stamp] = retention.Snapshot(
            stamp, valid=rng.random() < valid_share(rng), pinned=rng.random() < 0.05,
            vector=rng.random() < 0.3, readable=rng.random() < 0.93)
    return [chosen[stamp] for stamp in sorted(chosen)]


def valid_share(rng):
    return rng.choice([0.9, 0.9, 0.5, 0.0])


def lay_out(rng, root, snapshot):
    """What the state says wins over what the metadata says."""
    if not snapshot.readable:
        directory = make_snapshot(root, snapshot.stamp, readable=False)
        broken = rng.choice([None, "", "{", "[]", "null"])
        if broken is not None:
            (directory / "backup-metadata.json").write_text(broken)
        snapshot.pinned = False
        return
    known = dict(valid=snapshot.valid, pinned=snapshot.pinned)
    said = {name: rng.choice([None, value]) for name, value in known.items()}
    in_metadata = {name: value if said[name] is None else rng.random() < 0.5
                   for name, value in known.items()}
    make_snapshot(root, snapshot.stamp, vector=snapshot.vector, **in_metadata)
    if rng.random() < 0.5 or any(value is not None for value in said.values()):
        write_state(root, snapshot.stamp, **said)


@pytest.mark.parametrize("seed", range(120))
def test_the_plan_is_what_the_strategy_says(root, prune, seed):
    rng = random.Random(seed)
    now = datetime.datetime(rng.choice([2019, 2020, 2024, 2026, 2027]), rng.randrange(1, 13),
                            rng.randrange(1, 29), rng.randrange(24), rng.randrange(60), 0)
    if rng.random() < 0.3:  # around new year, where ISO weeks and years part
        now = datetime.datetime(now.year, 1, 1) + datetime.timedelta(days=rng.randrange(-4, 12))
    policy = tuple(rng.choice([0, 1, 2, 4, 7, 100]) for _ in range(3))
    snapshots = random_snapshots(rng, now)
    for snapshot in snapshots:
        lay_out(rng, root, snapshot)
    expected, refused = retention.reasons(snapshots, policy, now)

    result = prune("--dry-run", "--json", "--now", stamp_of(now), "--daily", policy[0],
                   "--weekly", policy[1], "--monthly", policy[2]).expect(65 if refused else 0)
    plan = result.json
    kept = {entry["stamp"]: entry["reasons"] for entry in plan["keep"]}
    deleted = stamps(plan["delete"])

    assert plan["refused"] is refused
    assert {stamp: set(why) for stamp, why in kept.items()} == {
        stamp: why for stamp, why in expected.items() if why or refused}
    assert deleted == [] if refused else deleted == sorted(
        stamp for stamp, why in expected.items() if not why)
    assert list(kept) == sorted(kept)
    assert plan["quarantined"] == [s.stamp for s in snapshots if s.time > now]
    assert plan["policy"] == dict(zip(("daily", "weekly", "monthly"), policy))
    assert plan["now"] == now.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert plan["dry_run"] is True


def test_seven_daily_four_weekly_six_monthly_unless_configured(root, prune, two, tmp_path):
    assert prune("--dry-run", "--json").json["policy"] == {"daily": 7, "weekly": 4, "monthly": 6}
    config = tmp_path / "atocore.conf"
    config.write_text("retention_daily=1\nretention_monthly=0\n")
    plan = prune("--config", config, "--dry-run", "--json", "--monthly", "3").json
    assert plan["policy"] == {"daily": 1, "weekly": 4, "monthly": 3}


def test_names_that_are_no_stamps_are_ignored_and_shown_as_what_they_are(root, prune, two):
    for name in ("20260407T060000z", "20260231T000000Z", "%2e%2e", "a\nb\x1b[2J", "lost+found"):
        (root.snapshots / name).mkdir()
    (root.snapshots / os.fsdecode(b"\xff\xfe")).mkdir()
    result = prune("--dry-run", "--json")
    assert set(result.json["ignored"]) == {
        "20260407T060000z", "20260231T000000Z", "%2e%2e", "a\nb\x1b[2J", "lost+found", "\\xff\\xfe"}
    table = prune("--dry-run").expect(0).stdout
    assert "\x1b" not in table and "a\\nb\\x1b[2J" in table
    prune(*NOTHING_MORE).expect(0)
    assert len(list(root.snapshots.iterdir())) == 7


def test_the_table_says_why(root, prune):
    make_snapshot(root, "20240301T060000Z")
    make_snapshot(root, "20260405T060000Z", pinned=True)
    make_snapshot(root, NEWEST)
    make_snapshot(root, "20260411T060000Z")
    make_archive(root, f"{NEWEST}.tar.zst")
    result = prune("--dry-run", "--daily", "1", "--weekly", "1", "--monthly", "0").expect(0)
    assert result.stdout == (
        "SNAPSHOT          VERDICT      REASONS\n"
        "20240301T060000Z  delete       kept by no rule\n"
        "20260405T060000Z  keep         pinned, weekly\n"
        "20260410T060000Z  keep         recent, newest-valid, daily\n"
        "20260411T060000Z  quarantined  later than now\n"
        "\n"
        "ARCHIVE           VERDICT      REASONS\n"
        "20260410T060000Z  keep         recent, newest-valid, daily\n")
    assert prune("--dry-run", "--quiet").expect(0).stdout == ""


# What is deleted.

def test_a_dry_run_touches_nothing(root, prune, two):
    (root.snapshots / ".trash-20200101T000000Z").mkdir()
    (root.snapshots / ".partial-20200101T000000Z-00000000").mkdir()
    before = tree(root.path)
    plan = prune("--dry-run", "--json", *NOTHING_MORE).expect(0).json
    assert stamps(plan["delete"]) == [OLD]
    assert tree(root.path) == before


def test_a_dry_run_works_where_nothing_can_be_written(root, run_op, two):
    (root.backups / ".lock").touch(0o440)
    root.snapshots.chmod(0o550)
    root.backups.chmod(0o550)
    command = without_override(
        run_op.command("atocore-prune", "--dry-run", "--json", *NOTHING_MORE))
    plan = run(command, env=run_op.environment(now=NOW)).expect(0).json
    assert stamps(plan["delete"]) == [OLD]
    root.backups.chmod(0o750)
    root.snapshots.chmod(0o750)


def test_what_is_planned_is_deleted_and_nothing_else(root, prune):
    for day in range(1, 29):
        make_snapshot(root, f"202603{day:02}T060000Z", vector=day % 7 == 1)
        write_state(root, f"202603{day:02}T060000Z", valid=True)
    plan = prune("--dry-run", "--json").expect(0).json
    result = prune("--json").expect(0)
    assert stamps(result.json["keep"]) == stamps(plan["keep"])
    assert stamps(result.json["delete"]) == stamps(plan["delete"]) != []
    assert result.json["dry_run"] is False
    assert result.json["snapshots_deleted"] == len(plan["delete"])
    assert root.stamps() == stamps(plan["keep"])
    assert root.leftovers() == []
    assert sorted(path.stem for path in root.state.iterdir()) == stamps(plan["keep"])
    assert result.codes.count("snapshot_deleted") == len(plan["delete"])
    assert result.codes[0] == "prune_started" and result.codes[-1] == "prune_done"
    again = prune("--json").expect(0).json
    assert again["delete"] == [] and again["snapshots_deleted"] == 0


def test_the_newest_valid_one_is_never_deleted(root, prune):
    make_snapshot(root, OLD)
    for hour in range(10):
        make_snapshot(root, f"20260401T{hour:02}0000Z", valid=False)
    prune(*NOTHING_MORE).expect(0)
    assert root.stamps() == [OLD]


def test_with_nothing_valid_left_nothing_is_deleted(root, prune):
    for hour in range(5):
        make_snapshot(root, f"20260401T{hour:02}0000Z", valid=hour == 0)
        make_archive(root, f"20260401T{hour:02}0000Z.tar.zst")
    write_state(root, "20260401T000000Z", valid=False)
    (root.snapshots / ".trash-20200101T000000Z").mkdir()
    before = tree(root.snapshots / "20260401T000000Z")
    result = prune("--json", *NOTHING_MORE).expect(65)
    assert result.codes[-1] == "prune_refused"
    assert result.json["refused"] is True and result.json["delete"] == []
    assert result.json["keep"][0] == {"stamp": "20260401T000000Z", "reasons": []}
    assert result.json["archives"]["delete"] == []
    assert len(root.stamps()) == 5 and tree(root.snapshots / "20260401T000000Z") == before
    assert len(list((root.backups / "archives").iterdir())) == 5
    assert root.leftovers() == []  # these are nobody's
    assert "nothing valid would be left" in prune("--dry-run", *NOTHING_MORE).expect(65).stdout


def test_the_future_is_left_alone_and_told(root, prune, two):
    make_snapshot(root, "20260410T120001Z")
    make_snapshot(root, "20991231T000000Z", readable=False)
    result = prune("--json", *NOTHING_MORE).expect(0)
    assert result.json["quarantined"] == ["20260410T120001Z", "20991231T000000Z"]
    assert "snapshot_in_future" in result.codes
    assert root.stamps() == [NEWEST, "20260410T120001Z", "20991231T000000Z"]


def test_a_clock_that_was_set_back_deletes_nothing(root, prune, two):
    prune(*NOTHING_MORE, now="20010101T000000Z").expect(0)
    assert root.stamps() == [OLD, NEWEST]


def test_what_cannot_be_read_is_kept(root, prune, two):
    make_snapshot(root, "20240302T060000Z", readable=False)
    directory = make_snapshot(root, "20240303T060000Z")
    (directory / "backup-metadata.json").write_text("{\"stamp\": ")
    kept = {e["stamp"]: e["reasons"] for e in prune("--json", *NOTHING_MORE).expect(0).json["keep"]}
    assert kept["20240302T060000Z"] == kept["20240303T060000Z"] == ["unreadable"]
    assert root.stamps() == ["20240302T060000Z", "20240303T060000Z", NEWEST]


def test_a_link_named_like_a_snapshot_is_never_followed(root, prune, two, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("x")
    (root.snapshots / "20240201T060000Z").symlink_to(outside)
    (root.snapshots / "20240202T060000Z").write_text("a file")
    (root.snapshots / ".trash-20240203T060000Z").symlink_to(outside)
    (root.snapshots / ".failed-20240204T060000Z").symlink_to(outside)
    (root.snapshots / ".partial-20240205T060000Z-00000000").symlink_to(outside)
    (root.snapshots / OLD / "link").symlink_to(outside)
    result = prune("--json", *NOTHING_MORE).expect(0)
    assert result.json["ignored"] == ["20240201T060000Z", "20240202T060000Z"]
    assert (outside / "precious").read_text() == "x"
    assert (root.snapshots / "20240201T060000Z").is_symlink()
    assert (root.snapshots / "20240202T060000Z").exists()
    assert not (root.snapshots / OLD).exists()


def test_bytes_freed_are_those_that_nothing_else_holds(root, prune, two):
    old, newest = two
    (old / "own").write_bytes(bytes(1 << 20))
    (old / "shared").write_bytes(bytes(1 << 20))
    os.link(old / "shared", newest / "shared")
    freed = sum(entry.lstat().st_blocks * 512 for entry in [old, *old.rglob("*")]
                if stat.S_ISDIR(entry.lstat().st_mode) or entry.name != "shared")
    assert prune("--json", *NOTHING_MORE).expect(0).json["bytes_freed"] == freed >= 1 << 20
    assert (newest / "shared").stat().st_size == 1 << 20


# Leftovers.

def test_leftovers_go_and_what_is_held_stays(root, prune, two):
    names = (".partial-20260410T110000Z-0badcafe", ".partial-20260410T110000Z-deadbeef",
             ".trash-20260401T000000Z", ".trash-what-is-this",
             ".failed-20260403T115959Z", ".failed-20260403T120000Z", ".failed-20260411T000000Z",
             ".failed-20260401T000000Z-2", ".failed-yesterday", ".hidden")
    for name in names:
        (root.snapshots / name / "db").mkdir(parents=True)
        (root.snapshots / name / "db" / "atocore.db").write_text("half")
    (root.state / ".20260401T000000Z.json.tmp-0123456789abcdef").write_text("{")
    (root.state / ".keep").write_text("")
    held = os.open(root.snapshots / names[1], os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    try:
        result = prune("--json").expect(0)
    finally:
        os.close(held)
    assert root.leftovers() == sorted(
        [names[1], ".failed-20260403T120000Z", ".failed-20260411T000000Z", ".failed-yesterday",
         ".hidden"])
    assert result.json["leftovers_removed"] == 6
    assert result.codes.count("leftover_removed") == 6
    assert "snapshot_in_future" in result.codes
    assert [path.name for path in root.state.iterdir()] == [".keep"]


def test_an_unfinished_deletion_is_finished_by_the_next_run(root, prune, two):
    old, _ = two
    state = write_state(root, OLD, valid=True)
    old.rename(root.snapshots / f".trash-{OLD}")  # power went before the state was removed
    prune().expect(0)
    assert root.leftovers() == [] and not state.exists()


def test_trash_of_a_stamp_that_exists_again_does_not_take_its_state(root, prune, two):
    state = write_state(root, NEWEST, pinned=True)
    (root.snapshots / f".trash-{NEWEST}").mkdir()
    prune().expect(0)
    assert root.leftovers() == [] and state.exists()


def test_killed_in_the_middle_no_snapshot_is_half_deleted(root, run_op):
    """Killed as soon as the next one is seen to go, again and again: each is whole or gone."""
    files = [f"chroma/{n}" for n in range(300)]
    for hour in range(12):
        directory = make_snapshot(root, f"20260301T{hour:02}0000Z")
        (directory / "chroma").mkdir()
        for name in files:
            (directory / name).write_text("x")
    make_snapshot(root, NEWEST)
    interrupted = 0
    while len(root.stamps()) > 1:
        oldest = root.snapshots / root.stamps()[0] / "chroma"

        def is_going():
            try:
                return len(os.listdir(oldest)) < len(files)
            except FileNotFoundError:
                return True

        process = run_op.start("atocore-prune", *NOTHING_MORE, now=NOW)
        wait_until(lambda: process.poll() is not None or is_going(), interval=0)
        process.kill()
        process.communicate()
        interrupted += len(root.leftovers())
        for stamp in root.stamps()[:-1]:
            assert len(os.listdir(root.snapshots / stamp / "chroma")) == len(files), stamp
            assert (root.snapshots / stamp / "backup-metadata.json").exists()
        assert root.stamps()[-1] == NEWEST
    assert interrupted > 0  # else nothing was tried
    run_op("atocore-prune", now=NOW).expect(0)
    assert root.leftovers() == []


# Archives.

def archives(root):
    return sorted(path.name for path in (root.backups / "archives").iterdir())


def test_archives_follow_the_same_policy_by_their_stamps(root, prune):
    for name in (f"{OLD}.tar", f"{OLD}.tar.zst", f"{OLD}.tar.zst.age", f"{OLD}.tar.gz.gpg",
                 f"{OLD}.notes", f"{NEWEST}.tar.gz", "20260410T130000Z.tar.zst", "readme.txt"):
        make_archive(root, name)
    result = prune("--json", *NOTHING_MORE).expect(0)
    plan = result.json["archives"]
    assert stamps(plan["delete"]) == [OLD]
    assert plan["keep"] == [{"stamp": NEWEST, "reasons": ["recent", "newest-valid"]}]
    assert plan["quarantined"] == ["20260410T130000Z"]
    assert plan["ignored"] == [f"{OLD}.notes", "readme.txt"]
    assert result.json["archives_deleted"] == 1 and "archive_deleted" in result.codes
    assert archives(root) == [f"{OLD}.notes", "20260410T060000Z.tar.gz", "20260410T130000Z.tar.zst",
                              "readme.txt"]


def test_an_archive_is_valid_and_pinned_as_its_state_or_snapshot_says(root, prune):
    make_archive(root, "20240101T060000Z.tar.zst")
    write_state(root, "20240101T060000Z", pinned=True)
    make_archive(root, "20240102T060000Z.tar.zst")
    make_snapshot(root, "20240102T060000Z", pinned=True)
    make_archive(root, "20240103T060000Z.tar.zst")
    make_archive(root, "20240104T060000Z.tar.zst")
    write_state(root, "20240104T060000Z", valid=False)
    kept = {e["stamp"]: e["reasons"]
            for e in prune("--json", *NOTHING_MORE).expect(0).json["archives"]["keep"]}
    assert kept == {"20240101T060000Z": ["pinned"], "20240102T060000Z": ["pinned"],
                    "20240103T060000Z": ["newest-valid"]}
    assert not (root.state / "20240104T060000Z.json").exists()


def test_the_state_stays_until_the_last_of_its_stamp_is_gone(root, prune, two):
    state = write_state(root, OLD, valid=False)
    archive = make_archive(root, f"{OLD}.tar.zst")
    result = prune("--json", *NOTHING_MORE).expect(65)  # the only archive is not valid
    assert result.json["archives"]["refused"] is True and result.json["refused"] is False
    assert root.stamps() == [NEWEST] and archive.exists()
    assert json.loads(state.read_text())["validation"]["valid"] is False
    make_archive(root, f"{NEWEST}.tar.zst")
    prune(*NOTHING_MORE).expect(0)
    assert not archive.exists() and not state.exists()


def test_a_link_named_like_an_archive_is_ignored(root, prune, tmp_path):
    (tmp_path / "outside").write_text("x")
    make_archive(root, f"{NEWEST}.tar")
    link = root.backups / "archives" / f"{OLD}.tar"
    link.symlink_to(tmp_path / "outside")
    assert prune("--json", *NOTHING_MORE).expect(0).json["archives"]["ignored"] == [link.name]
    assert link.is_symlink()


# Where it cannot.

def test_no_snapshots_are_nothing_to_do(root, prune):
    assert prune("--json").expect(0).json["keep"] == []
    root.snapshots.rmdir()
    (root.backups / "archives").rmdir()
    root.state.rmdir()
    assert prune("--json").expect(0).json["keep"] == []
    assert prune().expect(0).stdout == ""


@pytest.mark.parametrize("arguments", [(), ("--dry-run",)])
def test_a_missing_backup_root_is_told_and_not_created(root, prune, arguments):
    root.backups.rename(root.path / "elsewhere")
    assert prune(*arguments).expect(73).codes[-1] == "backup_root_missing"
    assert not root.backups.exists()


def test_it_waits_for_the_lock_and_names_what_it_waited_for(root, prune, two, tmp_path):
    config = tmp_path / "atocore.conf"
    config.write_text("lock_wait=0\n")
    before = root.stamps()
    lock = os.open(root.backups / ".lock", os.O_RDWR | os.O_CREAT, 0o640)
    try:
        fcntl.flock(lock, fcntl.LOCK_SH)  # a validation, say
        result = prune("--config", config, *NOTHING_MORE).expect(75)
        assert result.codes[-1] == "lock_busy" and ".lock" in result.stderr
        prune("--config", config, "--dry-run").expect(0)
        fcntl.flock(lock, fcntl.LOCK_EX)  # a restore, say
        prune("--config", config, "--dry-run").expect(75)
    finally:
        os.close(lock)
    assert root.stamps() == before


def test_one_that_cannot_be_deleted_does_not_keep_the_others(root, run_op):
    for day in (1, 2, 3):
        make_snapshot(root, f"2024030{day}T060000Z")
    make_snapshot(root, NEWEST)
    stuck = root.snapshots / "20240302T060000Z" / "db"
    stuck.chmod(0o550)
    command = without_override(run_op.command("atocore-prune", "--json", *NOTHING_MORE))
    result = run(command, env=run_op.environment(now=NOW)).expect(73)
    assert result.codes[-1] == "write_failed"
    assert ".trash-20240302T060000Z" in result.stderr
    assert result.json["snapshots_deleted"] == 3
    assert root.stamps() == [NEWEST]  # none under its name
    assert root.leftovers() == [".trash-20240302T060000Z"]
    (root.snapshots / ".trash-20240302T060000Z" / "db").chmod(0o750)
    run_op("atocore-prune", now=NOW).expect(0)
    assert root.leftovers() == []


def test_sigterm_ends_it_between_two_snapshots(root, run_op):
    for hour in range(24):
        for minute in range(0, 60, 6):
            make_snapshot(root, f"20260301T{hour:02}{minute:02}00Z")
    make_snapshot(root, NEWEST)
    process = run_op.start("atocore-prune", *NOTHING_MORE, now=NOW)
    wait_until(lambda: process.poll() is not None or len(root.stamps()) < 240, interval=0)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 75, errors
    assert "[interrupted]" in errors
    assert root.leftovers() == [] and NEWEST in root.stamps()


@pytest.mark.parametrize("arguments", [
    ("--daily", "-1"), ("--weekly", "many"), ("--monthly", ""), ("--daily", "1001"),
    ("--now", "20260231T000000Z"), ("--now", "yesterday"), ("--now", "20260407T060000z"),
    ("20260407T060000Z",), ("--keep",)])
def test_a_wrong_command_line_deletes_nothing(root, prune, two, arguments):
    assert prune(*arguments).expect(64).stdout == ""
    assert root.stamps() == [OLD, NEWEST]
