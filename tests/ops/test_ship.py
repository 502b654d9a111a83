# SPDX-License-Identifier: LGPL-2.1-or-later
"""atocore-ship with restic: what is sent is there, proven, kept by our rules, and comes back."""

import json
import os
import random
import shutil
import signal
import subprocess

import pytest

from support import mounts
from support.offsite import PASSWORD, Place, Server, needs, processes_with
from support.root import Root, tree
from support.wait import wait_until

pytestmark = needs("restic")

DAYS = [f"202604{day:02}T060000Z" for day in range(1, 8)]
NOW = "20260407T070000Z"


@pytest.fixture
def place(run_op, tmp_path):
    directory = tmp_path / "place"
    directory.mkdir()
    return Place(run_op, directory, f"restic:{tmp_path}/repository", RESTIC_PASSWORD=PASSWORD)


@pytest.fixture
def repository(tmp_path):
    return tmp_path / "repository"


@pytest.fixture
def live(live):
    """With a vector store, one name of which is not ASCII, and an empty file."""
    live.write("data/chroma/größe/a.bin", bytes(range(256)) * 40)
    live.write("data/chroma/empty", "")
    return live


@pytest.fixture
def take(backup):
    def call(*stamps, arguments=("--include-chroma",)):
        for stamp in stamps:
            backup("-q", *arguments, now=stamp).expect(0)
    return call


def bare(tmp_path):
    """A storage root of which nothing is left but the directory of the backups."""
    path = tmp_path / "bare"
    (path / "backups").mkdir(parents=True)
    return path


def packs(repository):
    """Files of restic's data, largest first."""
    return sorted((path for path in (repository / "data").rglob("*") if path.is_file()),
                  key=lambda path: -path.stat().st_size)


def damage(path):
    path.chmod(0o600)
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 1
    path.write_bytes(content)


# The whole way.

def test_what_is_sent_comes_back_on_a_bare_machine(live, take, place, run_op, tmp_path):
    take(*DAYS[-2:])
    result = place.ship("--json", now=NOW).expect(0)
    assert result.codes == ["ship_started", "shipped", "shipped", "ship_done"]
    assert [(entry["name"], entry["verdict"], entry["done"]) for entry in result.json["entries"]] \
        == [(stamp, "send", True) for stamp in DAYS[-2:]]
    assert result.json["sent"] == 2

    copies = place.copies()
    assert [copy["stamp"] for copy in copies] == DAYS[-2:]
    assert all(copy["own"] and copy["bytes"] > 10_000 for copy in copies)
    assert {copy["verified_at"] for copy in copies} == {"2026-04-07T07:00:00Z"}

    root = bare(tmp_path)
    fetched = place.ship("--fetch", "latest", "--json", root=root, now=NOW).expect(0)
    assert fetched.codes == ["ship_started", "ship_fetched"]
    assert fetched.json["path"] == str(root / "backups/snapshots" / DAYS[-1])
    assert tree(root / "backups/snapshots") == tree_of(live.snapshots, DAYS[-1])
    run_op("atocore-validate", DAYS[-1], root=root, now=NOW).expect(0)


def tree_of(snapshots, stamp):
    return {name: value for name, value in tree(snapshots).items()
            if name.split("/")[0] == stamp}


def test_a_second_run_sends_nothing_and_changes_nothing(live, take, place, repository):
    take(*DAYS[-2:])
    place.ship("-q", now=NOW).expect(0)
    before, state = tree(repository), tree(live.state)
    result = place.ship("--json", now=NOW).expect(0)
    assert result.codes == ["ship_started", "ship_done"]
    assert {entry["verdict"] for entry in result.json["entries"]} == {"there"}
    assert (tree(repository), tree(live.state)) == (before, state)


def test_the_newest_is_sent_first(live, take, place):
    take(*DAYS[-3:])
    said = place.ship(now=NOW).expect(0).stderr
    assert said.index(DAYS[-1]) < said.index(DAYS[-2]) < said.index(DAYS[-3])


def test_restic_alone_is_enough_to_get_it_back(live, take, place, tmp_path):
    take(DAYS[-1])
    place.ship("-q", now=NOW).expect(0)
    [snapshot] = json.loads(place.restic("snapshots", "--json").expect(0).stdout)
    assert {"atocore", DAYS[-1], "chroma"} <= set(snapshot["tags"])
    assert snapshot["time"].startswith("2026-04-07T06:00:00")
    place.restic("restore", snapshot["id"], "--target", tmp_path / "by-hand").expect(0)
    assert tree(tmp_path / "by-hand") == tree(live.snapshots / DAYS[-1])


def test_dry_run_decides_and_touches_nothing(live, take, place, repository):
    take(*DAYS[-2:])
    before = tree(live.path)
    result = place.ship("--dry-run", now=NOW).expect(0)
    assert [line.split() for line in result.stdout.splitlines()[1:]] == [
        [stamp, "send"] for stamp in DAYS[-2:]]
    assert not repository.exists() and tree(live.path) == before


def test_named_ones_are_sent_and_nothing_is_deleted(live, take, place):
    take(*DAYS[-3:])
    place.configure("retention_daily=1", "retention_weekly=0", "retention_monthly=0")
    place.ship(DAYS[-3], "latest", now=NOW).expect(0)
    assert place.names() == [DAYS[-3], DAYS[-1]]
    assert place.ship(DAYS[0], now=NOW).expect(66).codes[-1] == "snapshot_not_found"
    assert place.ship("yesterday", now=NOW).expect(64).codes[-1] == "stamp_invalid"


def test_an_old_snapshot_without_checksums_is_sent_as_well(live, take, place, tmp_path):
    take(DAYS[-1])
    snapshot = live.snapshots / DAYS[-1]
    (snapshot / "SHA256SUMS").unlink()
    metadata = json.loads((snapshot / "backup-metadata.json").read_text())
    del metadata["atocore_version"]
    (snapshot / "backup-metadata.json").write_text(json.dumps(metadata))
    place.ship(now=NOW).expect(0)
    place.ship("--verify", now=NOW).expect(0)
    root = bare(tmp_path)
    place.ship("--fetch", DAYS[-1], root=root, now=NOW).expect(0)
    assert tree(root / "backups/snapshots" / DAYS[-1]) == tree(snapshot)


# What is wrong here.

def test_what_is_not_valid_is_not_sent_and_does_not_keep_the_rest(live, take, place):
    take(*DAYS[-3:])
    database = live.snapshots / DAYS[-2] / "db" / "atocore.db"
    database.write_bytes(database.read_bytes()[:-1] + b"X")
    result = place.ship(now=NOW).expect(65)
    assert result.codes == ["ship_started", "shipped", "shipped", "checksum_mismatch"]
    assert place.names() == [DAYS[-3], DAYS[-1]]
    # Its verdict is known now: it is no candidate any more.
    assert place.ship(now=NOW).expect(0).codes == ["ship_started", "ship_done"]


def test_without_a_place_nothing_is_done_and_what_needs_one_says_so(live, place, run_op):
    result = run_op("atocore-ship", "--json", env=place.environment).expect(0)
    assert (result.codes, result.json) == (["ship_done"], {"offsite": None})
    for arguments in (["--list"], ["--verify"], ["--fetch", "latest"], [DAYS[0]]):
        result = run_op("atocore-ship", *arguments, env=place.environment).expect(78)
        assert result.codes == ["config_invalid"] and "offsite=" in result.stderr


@pytest.mark.parametrize("offsite", ["s3:bucket", "restic:", "restic:-x", "rclone:dav", "rclone:"])
def test_what_is_no_place_is_refused(live, place, offsite):
    place.offsite = offsite
    place.configure()
    result = place.ship().expect(78)
    assert "restic:REPOSITORY or rclone:REMOTE:PATH" in result.stderr


@pytest.mark.parametrize("arguments", [["--list", "--verify"], ["--fetch", "latest", "--dry-run"],
                                       ["--list", "latest"], ["--fetch", "latest", "latest"]])
def test_options_that_do_not_go_together_are_refused(live, place, arguments):
    assert place.ship(*arguments).expect(64).codes == ["usage"]


def test_missing_backup_root_is_not_made(live, place):
    shutil.rmtree(live.backups)
    for arguments in ([], ["--fetch", "latest"]):
        assert place.ship(*arguments).expect(73).codes[-1] == "backup_root_missing"
    assert not live.backups.exists()


# What is wrong there.

def test_wrong_password_is_told_and_makes_no_other_repository(live, take, place, repository):
    take(DAYS[-1])
    place.ship("-q", now=NOW).expect(0)
    before = tree(repository)
    result = place.ship(now=NOW, env={"RESTIC_PASSWORD": "wrong"}).expect(69)
    assert result.codes[-1] == "offsite_failed" and "restic-password" in result.stderr
    result = place.ship(now=NOW, env={"RESTIC_PASSWORD": ""}).expect(69)
    assert result.codes[-1] == "offsite_failed"
    assert tree(repository) == before


def test_missing_program_is_named_with_its_package(live, take, place, tmp_path):
    take(DAYS[-1])
    result = place.ship(now=NOW, env={"PATH": str(tmp_path)}).expect(69)
    assert result.codes[-1] == "offsite_failed" and "apt install restic" in result.stderr


def test_passwords_are_not_shown(live, take, place):
    take(DAYS[-1])
    place.offsite = "restic:rest:http://me:s3cret@127.0.0.1:9/"
    place.configure()
    for arguments in ([], ["--list"]):
        result = place.ship(*arguments, now=NOW).expect(69)
        assert "s3cret" not in result.stderr and "me:***@127.0.0.1" in result.stderr
        assert "connection refused" in result.stderr


def test_a_copy_that_was_cut_off_before_it_was_proven_is_read_back(live, take, place):
    take(DAYS[-1])
    place.ship("-q", now=NOW).expect(0)
    (live.state / f"{DAYS[-1]}.json").unlink()
    result = place.ship("--json", now=NOW).expect(0)
    assert result.codes == ["ship_started", "shipped", "ship_done"]
    assert "by an earlier run" in result.stderr and result.json["verified"] == 1


def test_a_damaged_copy_is_found_and_replaced(live, take, place, repository, tmp_path):
    take(DAYS[-1])
    place.ship("-q", now=NOW).expect(0)
    place.ship("--verify", now=NOW).expect(0)
    damage(packs(repository)[0])
    assert place.ship("--verify", now=NOW).expect(65).codes[-1] == "offsite_mismatch"
    result = place.ship("--fetch", DAYS[-1], root=bare(tmp_path), now=NOW).expect(65)
    assert result.codes[-1] == "offsite_mismatch"
    assert list((tmp_path / "bare/backups/snapshots").iterdir()) == []
    assert place.copies()[0]["verified_at"] is None
    # It is here and valid, so it can be sent again.
    result = place.ship(now=NOW).expect(0)
    assert result.codes == ["ship_started", "offsite_mismatch", "shipped", "ship_done"]
    place.ship("--verify", now=NOW).expect(0)


@pytest.mark.parametrize("what", ["link", "extra", "changed", "stamp"])
def test_a_copy_that_is_no_snapshot_is_refused_and_leaves_nothing(live, take, place, tmp_path,
                                                                  what):
    take(DAYS[-1])
    place.ship("-q", now=NOW).expect(0)
    forged = tmp_path / "forged"
    shutil.copytree(live.snapshots / DAYS[-1], forged)
    if what == "link":
        (forged / "config" / "x").symlink_to("/etc/passwd")
    elif what == "extra":
        (forged / "config" / "x").write_text("x")
    elif what == "changed":
        (forged / "config" / "project-registry.json").write_text("{}")
    place.restic("backup", "--tag", f"atocore,{DAYS[0]}", ".", cwd=forged).expect(0)
    root = bare(tmp_path)
    result = place.ship("--fetch", DAYS[0], root=root, now=NOW).expect(65)
    assert result.codes[-1] == "offsite_mismatch"
    assert list((root / "backups" / "snapshots").iterdir()) == []


def test_what_is_here_already_is_not_replaced(live, take, place):
    take(DAYS[-1])
    place.ship("-q", now=NOW).expect(0)
    before = tree(live.snapshots)
    result = place.ship("--fetch", DAYS[-1], now=NOW).expect(73)
    assert result.codes[-1] == "write_failed" and "move it away" in result.stderr
    assert tree(live.snapshots) == before
    assert place.ship("--fetch", DAYS[0], now=NOW).expect(66).codes[-1] == "snapshot_not_found"


def test_a_fetch_onto_a_full_disk_leaves_nothing(live, take, place, tmp_path):
    live.write("data/chroma/noise", random.Random(1).randbytes(4 << 20))
    take(DAYS[-1])
    place.ship("-q", now=NOW).expect(0)
    root = bare(tmp_path)
    (root / "backups" / "snapshots").mkdir()
    with mounts.tmpfs(root / "backups" / "snapshots", size="1m"):
        result = place.ship("--fetch", "latest", root=root, now=NOW).expect(73)
        assert result.codes[-1] == "no_space"
        assert list((root / "backups" / "snapshots").iterdir()) == []


# Retention.

def test_retention_there_is_as_here(live, take, place, run_op):
    place.configure("retention_daily=2", "retention_weekly=0", "retention_monthly=0")
    take(*DAYS[:3])
    run_op("atocore-backup", "--pin-snapshot", DAYS[0]).expect(0)
    result = place.ship("--json", now="20260403T070000Z").expect(0)
    assert place.names() == DAYS[:3]
    take(*DAYS[3:])
    result = place.ship("--json", now=NOW).expect(0)
    assert [(entry["name"], entry["verdict"]) for entry in result.json["entries"]] == [
        (DAYS[0], "there"), (DAYS[1], "not-kept"), (DAYS[2], "not-kept"), (DAYS[3], "not-kept"),
        (DAYS[4], "not-kept"), (DAYS[5], "send"), (DAYS[6], "send")]
    assert result.codes == ["ship_started", "shipped", "shipped", "offsite_deleted",
                            "offsite_deleted", "ship_done"]
    assert place.names() == [DAYS[0], *DAYS[5:]]
    place.restic("check").expect(0)
    # Neither sent back nor deleted again.
    assert place.ship(now=NOW).expect(0).codes == ["ship_started", "ship_done"]


def test_nothing_is_deleted_there_where_nothing_valid_is_here(live, take, place):
    take(*DAYS[:4])
    place.ship("-q", now=NOW).expect(0)
    place.configure("retention_daily=1", "retention_weekly=0", "retention_monthly=0")
    shutil.rmtree(live.snapshots)
    assert place.ship(now=NOW).expect(0).codes == ["ship_started", "ship_done"]
    assert place.names() == DAYS[:4]


def test_nothing_is_deleted_there_where_that_is_turned_off(live, take, place):
    place.configure("retention_daily=1", "retention_weekly=0", "retention_monthly=0",
                    "offsite_retention=no")
    take(*DAYS[:3])
    place.ship("-q", now=NOW).expect(0)
    assert place.names() == DAYS[:3]


def test_copies_of_another_host_are_neither_counted_nor_deleted(live, take, place, tmp_path):
    place.configure("retention_daily=1", "retention_weekly=0", "retention_monthly=0")
    take(*DAYS[-2:])
    place.ship("-q", now=NOW).expect(0)
    place.restic("backup", "--host", "elsewhere", "--tag", f"atocore,{DAYS[0]}", ".",
                 cwd=live.snapshots / DAYS[-1]).expect(0)
    place.restic("backup", "--host", "elsewhere", "--tag", f"atocore,{DAYS[2]}", ".",
                 cwd=live.snapshots / DAYS[-1]).expect(0)
    place.ship(now=NOW).expect(0)
    assert [(copy["name"], copy["own"]) for copy in place.copies()] == [
        (DAYS[0], False), (DAYS[2], False), (DAYS[-1], True)]


def test_a_lock_that_a_killed_run_left_there_does_not_stand_in_the_way(live, take, place,
                                                                       repository):
    """restic's own: a lock of a process of this host that is gone, minutes old."""
    place.configure("retention_daily=1", "retention_weekly=0", "retention_monthly=0",
                    "offsite_retention=no")
    take(*DAYS[-2:])
    place.ship("-q", now=NOW).expect(0)
    # What a killed run leaves, made by killing one: a prune locks for itself alone.
    live.write("data/chroma/noise", random.Random(6).randbytes(16 << 20))
    process = subprocess.Popen(
        ["restic", "backup", str(live.chroma)], stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env={**os.environ, **place.environment, "RESTIC_REPOSITORY": str(repository)})
    wait_until(lambda: list((repository / "locks").iterdir()) or process.poll() is not None)
    process.kill()
    process.wait()
    assert list((repository / "locks").iterdir())
    place.configure("retention_daily=1", "retention_weekly=0", "retention_monthly=0")
    assert "offsite_deleted" in place.ship(now="20260408T070000Z").expect(0).codes
    assert place.names() == [DAYS[-1]]


# Being stopped.

def test_sigterm_ends_it_and_restic_and_the_next_run_goes_on(live, take, place):
    live.write("data/chroma/noise", random.Random(3).randbytes(48 << 20))
    take(DAYS[-1])
    place.ship("-q", "--list").expect(0)
    mark = "ATOCORE_TEST_MARK=" + str(place.directory)
    process = place.start(now=NOW, env=dict([mark.split("=")]), stderr=subprocess.PIPE)
    wait_until(lambda: any(b"backup" in command for command in processes_with(mark))
               or process.poll() is not None)
    process.terminate()
    _, errors = process.communicate()
    assert process.returncode == 75 and errors.rstrip().endswith("[interrupted]")
    assert not processes_with(mark)
    place.ship(now=NOW).expect(0)
    assert place.names() == [DAYS[-1]]
    place.ship("--verify", now=NOW).expect(0)


def test_restic_does_not_outlive_a_killed_run(live, take, place):
    live.write("data/chroma/noise", random.Random(4).randbytes(48 << 20))
    take(DAYS[-1])
    mark = "ATOCORE_TEST_MARK=" + str(place.directory)
    process = place.start(now=NOW, env=dict([mark.split("=")]), stderr=subprocess.DEVNULL)
    wait_until(lambda: any(b"backup" in command for command in processes_with(mark)))
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    wait_until(lambda: not processes_with(mark))
    place.ship(now=NOW).expect(0)
    assert place.names() == [DAYS[-1]]


def test_a_lock_that_somebody_holds_there_is_told(live, take, place, repository):
    """One of another host's, which nobody here can know to be stale."""
    place.configure("retention_daily=1", "retention_weekly=0", "retention_monthly=0",
                    "offsite_retention=no")
    take(*DAYS[-2:])
    place.ship("-q", now=NOW).expect(0)
    live.write("data/chroma/noise", random.Random(6).randbytes(16 << 20))
    process = subprocess.Popen(
        ["unshare", "--uts", "sh", "-c", 'hostname elsewhere && exec restic backup "$0"',
         str(live.chroma)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **place.environment, "RESTIC_REPOSITORY": str(repository)})

    def locks():
        """restic writes a file of another name first."""
        return [path for path in (repository / "locks").iterdir() if "-tmp-" not in path.name]

    wait_until(lambda: locks() or process.poll() is not None)
    process.kill()
    process.wait()
    if not locks():
        pytest.skip("no other host can be made here")
    place.configure("retention_daily=1", "retention_weekly=0", "retention_monthly=0")
    result = place.ship(now="20260408T070000Z").expect(69)
    assert result.codes[-1] == "offsite_failed" and "already locked" in result.stderr
    assert place.names() == DAYS[-2:]


def test_prune_waits_for_what_is_being_sent(live, take, place, run_op):
    live.write("data/chroma/noise", random.Random(5).randbytes(32 << 20))
    take(DAYS[-1])
    mark = "ATOCORE_TEST_MARK=" + str(place.directory)
    process = place.start(now=NOW, env=dict([mark.split("=")]), stderr=subprocess.DEVNULL)
    wait_until(lambda: any(b"backup" in command for command in processes_with(mark)))
    held = json.loads(subprocess.run(["lslocks", "--json", "--output", "PATH,MODE"], check=True,
                                     capture_output=True, text=True).stdout)["locks"]
    assert any(lock["path"] and lock["path"].endswith("root/backups/.lock")
               and str(live.path) in lock["path"] and lock["mode"] == "READ" for lock in held)
    process.communicate()
    assert process.returncode == 0


# Over the network.

@needs("rclone")
def test_a_rest_server_that_dies_and_comes_back(live, take, place, tmp_path, run_op):
    server = Server("restic", tmp_path / "served", {**os.environ, **place.environment})
    place.offsite = f"restic:rest:{server.url}"
    place.configure()
    take(*DAYS[-2:])
    result = place.ship(now=NOW).expect(69)
    assert result.codes == ["ship_started", "offsite_failed"]
    try:
        server.start()
        place.ship(now=NOW).expect(0)
        assert place.names() == DAYS[-2:]
        server.kill()
        assert place.ship("--list").expect(69).codes == ["offsite_failed"]
        server.start()
        root = Root(tmp_path / "other")
        place.ship("--fetch", DAYS[-2], root=root.path, now=NOW).expect(0)
        run_op("atocore-validate", DAYS[-2], root=root.path, now=NOW).expect(0)
    finally:
        server.kill()
