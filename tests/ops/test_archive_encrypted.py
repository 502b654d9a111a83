# SPDX-License-Identifier: LGPL-2.1-or-later
"""archive_encrypt=: what is encrypted to a recipient, by age(1) or gpg(1), can be read by who has
the key and by nobody else."""

import contextlib
import os
import pathlib
import random
import shutil
import signal
import subprocess
import tempfile

import pytest

from support import mounts
from support.keys import MAKE, gpg_home
from support.root import tree
from support.run import run
from support.wait import wait_until

NOW = "20260407T060000Z"


@pytest.fixture(scope="module")
def made_keys(tmp_path_factory):
    """{(kind, name): Keys}"""
    directory = tmp_path_factory.mktemp("keys")
    return {(kind, name): make(directory, name)
            for kind, make in MAKE.items() for name in ("ours", "theirs")}


@pytest.fixture(params=MAKE)
def keys(request, made_keys):
    return made_keys[request.param, "ours"]


@pytest.fixture
def other(keys, made_keys):
    return made_keys[keys.kind, "theirs"]


@pytest.fixture
def config(tmp_path):
    """config(settings) → the options that make a program read them."""
    def write(settings):
        path = tmp_path / "atocore.conf"
        path.write_text(settings)
        return ["--config", path]
    return write


@pytest.fixture
def archive(live, backup, keys, config):
    """One that is encrypted to `keys`."""
    live.write("data/chroma/noise", random.Random(1).randbytes(1 << 20))
    result = backup("--json", "--archive", "--include-chroma", *config(keys.settings),
                    now=NOW).expect(0)
    assert result.codes == ["backup_started", "backup_done", "archive_done"]
    path = live.backups / "archives" / f"{NOW}.tar.zst.{keys.kind}"
    assert result.json["archive"] == str(path)
    return path


@pytest.fixture(autouse=True)
def temporary(monkeypatch):
    """Where the homes of gpg are made: nobody else's."""
    with tempfile.TemporaryDirectory(prefix="gpg-", dir="/tmp") as directory:
        monkeypatch.setenv("TMPDIR", directory)
        yield pathlib.Path(directory)


def homes():
    return [path.name for path in pathlib.Path(os.environ["TMPDIR"]).iterdir()]


def decrypt(keys, path):
    """As anybody would who has no AtoCore."""
    if keys.kind == "age":
        return subprocess.run(["age", "-d", "-i", keys.secret, path], check=True,
                              stdout=subprocess.PIPE).stdout
    with gpg_home() as gpg:
        subprocess.run([*gpg, "--import", keys.secret], check=True)
        return subprocess.run([*gpg, "--decrypt", path], check=True,
                              stdout=subprocess.PIPE).stdout


def test_anybody_with_the_key_can_read_it(archive, keys):
    listed = subprocess.run(["tar", "--zstd", "-t"], input=decrypt(keys, archive), check=True,
                            stdout=subprocess.PIPE).stdout.decode().splitlines()
    assert listed[0] == f"{NOW}/SHA256SUMS" and listed[-1] == f"{NOW}/db/atocore.db"


@pytest.mark.parametrize("deep", [[], ["--deep"]], ids=["", "deep"])
def test_the_key_opens_it(archive, keys, run_op, live, deep):
    before = tree(live.path)
    result = run_op("atocore-validate", "--json", *deep, "--identity", keys.secret,
                    archive).expect(0)
    assert result.codes == ["validate_started", "snapshot_valid"]
    assert (result.json["stamp"], result.json["valid"]) == (NOW, True)
    assert tree(live.path) == before and homes() == []


def test_so_does_the_credential(archive, keys, run_op, tmp_path):
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    shutil.copy(keys.secret, credentials / "archive-identity")
    run_op("atocore-validate", archive, env={"CREDENTIALS_DIRECTORY": str(credentials)}).expect(0)


def test_another_key_does_not_and_is_named(archive, keys, other, run_op, live, tmp_path):
    no_key = tmp_path / "no-key"
    no_key.write_text("nothing\n")
    for wrong in (other.secret, no_key, tmp_path / "nothing-there"):
        for deep in ([], ["--deep"]):
            result = run_op("atocore-validate", *deep, "--identity", wrong, archive).expect(77)
            assert result.codes == ["validate_started", "archive_key_failed"]
            assert str(wrong) in result.stderr and str(archive) in result.stderr
    assert homes() == [] and list((live.path / "data" / "tmp").iterdir()) == []


def test_without_a_key_it_says_where_one_is_looked_for(archive, run_op):
    result = run_op("atocore-validate", archive).expect(77)
    assert result.codes == ["validate_started", "archive_key_failed"]
    assert "--identity" in result.stderr and "archive-identity" in result.stderr


def test_damage_is_no_matter_of_the_key(archive, keys, run_op, tmp_path):
    content = archive.read_bytes()
    changed = []
    for i, where in enumerate((len(content) // 3, len(content) // 2, len(content) - 5)):
        path = tmp_path / f"{i}.tar.zst.{keys.kind}"
        path.write_bytes(content[:where] + bytes([content[where] ^ 1]) + content[where + 1:])
        changed.append(path)
    for i, size in enumerate((0, 1000, len(content) // 2, len(content) - 1)):
        path = tmp_path / f"cut-{i}.tar.zst.{keys.kind}"
        path.write_bytes(content[:size])
        changed.append(path)
    more = tmp_path / f"more.tar.zst.{keys.kind}"
    more.write_bytes(content + b"more")
    result = run_op("atocore-validate", "--json", "--identity", keys.secret, *changed,
                    more).expect(65)
    assert [report["valid"] for report in result.json["snapshots"]] == [False] * 8
    assert "archive_key_failed" not in result.codes


# Making them.

def test_nothing_of_the_plain_text_reaches_the_disk(live, run_op, keys, config):
    """Compressed by nothing, what is staged would be the snapshot itself, readable."""
    live.write("data/chroma/words", "a secret that is easy to find " * 1_000_000)
    seen = b""
    process = run_op.start("atocore-backup", "--archive=none", "--include-chroma",
                           *config(keys.settings), now=NOW)
    while process.poll() is None:
        for path in (live.backups / "archives").iterdir():
            with contextlib.suppress(FileNotFoundError):  # renamed since it was listed
                seen += path.read_bytes()[-100_000:]
    process.communicate()
    assert process.returncode == 0
    seen += (live.backups / "archives" / f"{NOW}.tar.{keys.kind}").read_bytes()
    assert seen and b"secret" not in seen


@pytest.mark.parametrize("form, suffix", [
    ("none", ".tar"), ("gzip", ".tar.gz"), ("zstd", ".tar.zst")])
def test_each_format_can_be_encrypted(live, backup, run_op, keys, config, form, suffix):
    backup(f"--archive={form}", *config(keys.settings), now=NOW).expect(0)
    path = live.backups / "archives" / f"{NOW}{suffix}.{keys.kind}"
    run_op("atocore-validate", "--identity", keys.secret, path.name).expect(0)


def refused(live, backup, options, word):
    result = backup("--archive", *options, now=NOW).expect(77)
    assert result.codes == ["backup_started", "backup_done", "archive_key_failed"]
    assert word in result.stderr and "archive" in result.stderr
    assert list((live.backups / "archives").iterdir()) == [] and live.stamps() == [NOW]
    assert homes() == []


def test_a_recipient_that_is_none_is_named_and_nothing_is_published(
        live, backup, config, made_keys, tmp_path):
    ours, theirs = made_keys["gpg", "ours"], made_keys["gpg", "theirs"]
    public = f"archive_gpg_key={ours.public}"
    refused(live, backup, config("archive_encrypt=age:age1qqqqqq\n"), "age1qqqqqq")
    shutil.rmtree(live.snapshots / NOW)
    refused(live, backup, config(f"archive_encrypt=gpg:{theirs.recipient}\n{public}\n"),
            theirs.recipient)
    shutil.rmtree(live.snapshots / NOW)
    missing = tmp_path / "missing.asc"
    refused(live, backup, config(
        f"archive_encrypt=gpg:{ours.recipient}\narchive_gpg_key={missing}\n"), str(missing))


def test_a_program_that_is_not_there_is_named(live, backup, keys, config, archive, run_op,
                                              tmp_path):
    nothing = {"PATH": str(tmp_path)}
    result = run_op("atocore-validate", "--identity", keys.secret, archive, env=nothing).expect(77)
    assert result.codes[-1] == "archive_key_failed" and "apt install" in result.stderr
    archive.unlink()
    shutil.rmtree(live.snapshots / NOW)
    result = backup("--archive", *config(keys.settings), now=NOW, env=nothing).expect(77)
    assert result.codes[-1] == "archive_key_failed" and "apt install" in result.stderr
    assert list((live.backups / "archives").iterdir()) == []


@pytest.mark.parametrize("value", [
    "age:", "gpg:", "age", "rot13:x", "age:ssh-ed25519 AAAA", "age:age1x;rm", "gpg:-r", "gpg:a b",
    "gpg:$(id)", "gpg:a/b"])
def test_what_has_no_form_of_a_recipient_is_refused_when_it_is_read(live, backup, config, value):
    result = backup("--archive", *config(f"archive_encrypt={value}\n"), now=NOW).expect(78)
    assert result.codes == ["config_invalid"] and "archive_encrypt" in result.stderr
    assert live.stamps() == []


def test_a_full_file_system_is_told_as_such(live, backup, keys, config):
    live.write("data/chroma/noise", random.Random(1).randbytes(4 << 20))
    archives = live.backups / "archives"
    with mounts.tmpfs(archives, size="1m"):
        result = backup("--archive", "--include-chroma", *config(keys.settings),
                        now=NOW).expect(73)
        assert result.codes == ["backup_started", "backup_done", "no_space"]
        assert list(archives.iterdir()) == []


def test_sigterm_leaves_nothing(live, run_op, keys, config):
    live.write("data/chroma/noise", random.Random(3).randbytes(8 << 20))
    archives = live.backups / "archives"

    def attempt():
        for path in archives.iterdir():
            path.unlink()
        shutil.rmtree(live.snapshots / NOW, ignore_errors=True)
        process = run_op.start("atocore-backup", "--archive", "--include-chroma",
                               *config(keys.settings), now=NOW)
        wait_until(lambda: list(archives.iterdir()) or process.poll() is not None)
        process.terminate()
        _, errors = process.communicate()
        assert process.returncode in (0, 75), errors  # it may have been faster
        return errors if process.returncode == 75 else None

    assert wait_until(attempt).rstrip().endswith("[interrupted]")
    assert list(archives.iterdir()) == [] and homes() == []


def test_what_kill_9_leaves_goes_when_the_cipher_has_ended(live, run_op, keys, config):
    """It holds the lock of what it writes to as long as it runs."""
    live.write("data/chroma/noise", random.Random(3).randbytes(8 << 20))
    archives = live.backups / "archives"

    def attempt():
        for path in archives.iterdir():
            path.unlink()
        shutil.rmtree(live.snapshots / NOW, ignore_errors=True)
        process = run_op.start("atocore-backup", "--archive", "--include-chroma",
                               *config(keys.settings), now=NOW)
        wait_until(lambda: list(archives.iterdir()) or process.poll() is not None)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        return process.returncode < 0 and list(archives.glob(".partial-*"))

    wait_until(attempt)
    wait_until(lambda: "leftover_removed" in run_op("atocore-prune", now=NOW).expect(0).codes)
    assert list(archives.iterdir()) == []
