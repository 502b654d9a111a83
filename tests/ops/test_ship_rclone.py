# SPDX-License-Identifier: LGPL-2.1-or-later
"""atocore-ship with rclone: archives, file by file, over WebDAV and to a directory."""

import os
import random
import subprocess

import pytest

from support.offsite import Place, Server, needs, processes_with
from support.root import tree
from support.snapshots import make_archive
from support.wait import wait_until

pytestmark = needs("rclone")

DAYS = [f"202604{day:02}T060000Z" for day in range(1, 8)]
NOW = "20260407T070000Z"
# rclone tries for minutes otherwise.
IMPATIENT = {"RCLONE_RETRIES": "1", "RCLONE_LOW_LEVEL_RETRIES": "1"}


@pytest.fixture
def server(tmp_path):
    server = Server("webdav", tmp_path / "served", {**os.environ, "HOME": str(tmp_path)})
    yield server.start()
    server.kill()


@pytest.fixture
def dav(run_op, tmp_path, server):
    directory = tmp_path / "place"
    directory.mkdir()
    configuration = directory / "rclone.conf"
    configuration.write_text(f"[dav]\ntype = webdav\nurl = {server.url}\nvendor = other\n")
    return Place(run_op, directory, "rclone:dav:machines/one", RCLONE_CONFIG=str(configuration))


@pytest.fixture
def local(run_op, tmp_path):
    """A directory, as a disk that is mounted somewhere."""
    directory = tmp_path / "place"
    directory.mkdir()
    return Place(run_op, directory, f"rclone:{tmp_path}/served",
                 RCLONE_CONFIG=str(directory / "none.conf"))


@pytest.fixture
def take(backup):
    def call(*stamps, arguments=()):
        for stamp in stamps:
            backup("-q", "--archive", *arguments, now=stamp).expect(0)
    return call


def served(tmp_path, *parts):
    return tmp_path.joinpath("served", *parts)


def damage(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_what_is_sent_comes_back_on_a_bare_machine(live, take, dav, run_op, tmp_path):
    take(*DAYS[-2:])
    result = dav.ship("--json", now=NOW).expect(0)
    assert result.codes == ["ship_started", "shipped", "shipped", "ship_done"]
    assert result.json["sent"] == 2
    names = [f"{stamp}.tar.zst" for stamp in DAYS[-2:]]
    assert dav.names() == names
    assert tree(served(tmp_path, "machines", "one")).keys() == set(names)

    root = tmp_path / "bare"
    (root / "backups").mkdir(parents=True)
    fetched = dav.ship("--fetch", "latest", "--json", root=root, now=NOW).expect(0)
    assert fetched.json["path"] == str(root / "backups" / "archives" / names[-1])
    assert (root / "backups" / "archives" / names[-1]).read_bytes() == (
        live.backups / "archives" / names[-1]).read_bytes()
    run_op("atocore-validate", names[-1], root=root, now=NOW).expect(0)


def test_a_second_run_sends_nothing(live, take, dav, tmp_path):
    take(*DAYS[-2:])
    dav.ship("-q", now=NOW).expect(0)
    before = tree(served(tmp_path))
    assert dav.ship(now=NOW).expect(0).codes == ["ship_started", "ship_done"]
    assert tree(served(tmp_path)) == before


def test_snapshots_are_none_of_its_business(live, backup, local):
    backup("-q", now=DAYS[-1]).expect(0)
    assert local.ship("--json", now=NOW).expect(0).json["entries"] == []
    assert local.names() == []


def test_a_damaged_copy_is_found_and_replaced(live, take, local, tmp_path):
    take(*DAYS[-2:])
    local.ship("-q", now=NOW).expect(0)
    damage(served(tmp_path, f"{DAYS[-2]}.tar.zst"))
    result = local.ship("--verify", now=NOW).expect(65)
    assert result.codes == ["ship_started", "offsite_mismatch"] and DAYS[-2] in result.stderr
    root = tmp_path / "bare"
    (root / "backups").mkdir(parents=True)
    result = local.ship("--fetch", DAYS[-2], root=root, now=NOW).expect(65)
    assert result.codes[-1] == "offsite_mismatch"
    assert list((root / "backups" / "archives").iterdir()) == []
    result = local.ship(now=NOW).expect(0)
    assert result.codes == ["ship_started", "offsite_mismatch", "shipped", "ship_done"]
    local.ship("--verify", now=NOW).expect(0)


def test_another_archive_under_its_name_is_refused(live, take, local, tmp_path):
    take(DAYS[-1])
    local.ship("-q", now=NOW).expect(0)
    served(tmp_path, f"{DAYS[-1]}.tar.zst").rename(served(tmp_path, f"{DAYS[0]}.tar.zst"))
    root = tmp_path / "bare"
    (root / "backups").mkdir(parents=True)
    result = local.ship("--fetch", DAYS[0], root=root, now=NOW).expect(65)
    assert "of another stamp" in result.stderr


def test_what_is_not_valid_is_not_sent(live, take, local):
    take(*DAYS[-2:])
    damage(live.backups / "archives" / f"{DAYS[-1]}.tar.zst")
    result = local.ship(now=NOW).expect(65)
    assert result.codes == ["ship_started", "shipped", "checksum_mismatch"]
    assert local.names() == [f"{DAYS[-2]}.tar.zst"]


def test_an_encrypted_archive_is_carried_without_its_key(live, local, tmp_path):
    name = f"{DAYS[-1]}.tar.zst.age"
    make_archive(live, name, b"nobody here can read this")
    local.ship(now=NOW).expect(0)
    assert local.names() == [name]
    root = tmp_path / "bare"
    (root / "backups").mkdir(parents=True)
    local.ship("--fetch", "latest", root=root, now=NOW).expect(0)
    assert (root / "backups" / "archives" / name).read_bytes() == b"nobody here can read this"


def test_retention_there_is_as_here(live, take, local, tmp_path):
    local.configure("retention_daily=2", "retention_weekly=0", "retention_monthly=0")
    take(*DAYS[:2])
    local.ship("-q", now="20260402T070000Z").expect(0)
    served(tmp_path, "README").write_text("not ours")
    take(*DAYS[2:])
    result = local.ship("--json", now=NOW).expect(0)
    assert result.codes.count("offsite_deleted") == 2 and result.json["deleted"] == 2
    assert tree(served(tmp_path)).keys() == {"README", *(f"{stamp}.tar.zst" for stamp in DAYS[5:])}


def test_a_server_that_is_down_is_told_and_waited_for(live, take, dav, server):
    take(DAYS[-1])
    server.kill()
    result = dav.ship(now=NOW, env=IMPATIENT).expect(69)
    assert result.codes == ["ship_started", "offsite_failed"]
    assert "connection refused" in result.stderr
    server.start()
    dav.ship(now=NOW).expect(0)
    assert dav.names() == [f"{DAYS[-1]}.tar.zst"]


def test_a_server_that_dies_in_the_middle_leaves_nothing_that_counts(live, take, dav, server,
                                                                     tmp_path):
    live.write("data/chroma/noise", random.Random(1).randbytes(6 << 20))
    take(DAYS[-1], arguments=["--include-chroma"])
    directory = served(tmp_path, "machines", "one")
    process = dav.start(now=NOW, env={"RCLONE_BWLIMIT": "1M", **IMPATIENT}, stderr=subprocess.PIPE)
    wait_until(lambda: directory.is_dir() and any(
        path.stat().st_size > 1000 for path in directory.iterdir()) or process.poll() is not None)
    server.kill()
    _, errors = process.communicate()
    assert process.returncode == 69 and errors.rstrip().endswith("[offsite_failed]")
    server.start()
    assert dav.names() == []
    dav.ship(now=NOW).expect(0)
    assert dav.names() == [f"{DAYS[-1]}.tar.zst"]
    assert tree(directory).keys() == {f"{DAYS[-1]}.tar.zst"}


def test_sigterm_ends_it_and_rclone_and_the_next_run_goes_on(live, take, dav, tmp_path):
    live.write("data/chroma/noise", random.Random(2).randbytes(6 << 20))
    take(DAYS[-1], arguments=["--include-chroma"])
    mark = "ATOCORE_TEST_MARK=" + str(dav.directory)
    process = dav.start(now=NOW, env=dict([mark.split("="), ("RCLONE_BWLIMIT", "1M")]),
                        stderr=subprocess.PIPE)
    wait_until(lambda: any(b"copyto" in command for command in processes_with(mark)))
    process.terminate()
    _, errors = process.communicate()
    assert process.returncode == 75 and errors.rstrip().endswith("[interrupted]")
    assert not processes_with(mark)
    assert dav.names() == []
    dav.ship(now=NOW).expect(0)
    assert dav.names() == [f"{DAYS[-1]}.tar.zst"]


def test_missing_program_and_missing_remote_are_named(live, take, dav, tmp_path):
    take(DAYS[-1])
    result = dav.ship(now=NOW, env={"PATH": str(tmp_path)}).expect(69)
    assert "apt install rclone" in result.stderr
    dav.offsite = "rclone:nowhere:x"
    dav.configure()
    result = dav.ship(now=NOW).expect(69)
    assert result.codes[-1] == "offsite_failed" and "rclone.conf" in result.stderr


# Credentials.

def test_credentials_are_what_systemd_hands_over(live, take, dav, server, tmp_path):
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (dav.directory / "rclone.conf").rename(credentials / "rclone.conf")
    take(DAYS[-1])
    dav.ship(now=NOW).expect(69)
    env = {"CREDENTIALS_DIRECTORY": str(credentials)}
    dav.ship(now=NOW, env=env).expect(0)
    (credentials / "rclone.conf").unlink()
    (credentials / "offsite-environment").write_text(
        "# where it is\n\nRCLONE_CONFIG_DAV_TYPE=webdav\n"
        f"RCLONE_CONFIG_DAV_URL=\"{server.url}\"\n")
    assert dav.names(env=env) == [f"{DAYS[-1]}.tar.zst"]


@pytest.mark.parametrize("line", ["hush", "export A=hush", "1A=hush", "A-B=hush", "=hush"])
def test_a_line_that_is_no_variable_is_told_without_what_it_says(live, local, tmp_path, line):
    (tmp_path / "offsite-environment").write_text(f"A=1\n{line}\n")
    result = local.ship("--list", env={"CREDENTIALS_DIRECTORY": str(tmp_path)}).expect(78)
    assert result.codes == ["config_invalid"]
    assert "offsite-environment:2:" in result.stderr and "hush" not in result.stderr
