# SPDX-License-Identifier: LGPL-2.1-or-later
"""atocore-validate ARCHIVE: the checksums of an archive are streamed, and nothing in it leads
anywhere."""

import gzip
import io
import subprocess
import tarfile

import pytest

from support.archives import header, members_of, put_together, replace
from support.root import tree

NOW = "20260407T060000Z"
FORMATS = {"zstd": ".tar.zst", "gzip": ".tar.gz", "none": ".tar"}


@pytest.fixture
def archive(live, backup):
    """archive("none") → path of one that was made just so."""
    def make(form="none"):
        live.write("data/chroma/größe/a.bin", bytes(range(256)) * 40)
        live.write(f"data/chroma/{'d' * 120}/{'e' * 120}", "deep")
        backup("--archive=" + form, "--include-chroma", now=NOW).expect(0)
        return live.backups / "archives" / (NOW + FORMATS[form])
    return make


@pytest.fixture
def members(archive):
    """[(header, content)] of a good one, to be put together in other ways."""
    return members_of(archive())


@pytest.mark.parametrize("form", FORMATS)
def test_a_good_one_is_valid(archive, run_op, live, form):
    path = archive(form)
    before = tree(live.path)
    result = run_op("atocore-validate", "--json", path).expect(0)
    assert result.codes == ["validate_started", "snapshot_valid"]
    assert (result.json["stamp"], result.json["valid"], result.json["findings"]) == (NOW, True, [])
    listed = (live.snapshots / NOW / "SHA256SUMS").read_text().splitlines()
    assert result.json["files"] == len(listed)
    assert tree(live.path) == before  # no state, nothing unpacked


def test_it_is_found_by_its_name(archive, run_op):
    path = archive("zstd")
    assert f"Archive {path} is valid" in run_op("atocore-validate", path.name).expect(0).stderr


def test_archives_are_not_counted_as_snapshots(archive, run_op, live):
    path = archive()

    def started(*targets):
        return run_op("atocore-validate", *targets).expect(0).stderr.splitlines()[0]

    assert "Validating 1 archive" in started(path)
    assert f"Validating 1 snapshot in {live.snapshots}, and 2 archives" in started(path, NOW, path)
    assert f"{live.snapshots}, and" not in started(NOW)


def test_one_that_is_not_there_is_66(live, run_op):
    result = run_op("atocore-validate", "nothing.tar.zst").expect(66)
    assert result.codes[-1] == "snapshot_not_found" and "nothing.tar.zst" in result.stderr


@pytest.mark.parametrize("form", FORMATS)
def test_one_that_is_cut_off_anywhere_is_not_valid(archive, run_op, tmp_path, form):
    content = archive(form).read_bytes()
    for part in range(20):
        cut = tmp_path / f"{part}.tar"
        # A tar may lack the zeroes at its end: all that is in it is there.
        cut.write_bytes(content[:(len(content) - 2048) * part // 20])
    result = run_op("atocore-validate", *sorted(tmp_path.glob("*.tar")), "--json").expect(65)
    assert [report["valid"] for report in result.json["snapshots"]] == [False] * 20


def test_a_changed_byte_is_found(members, run_op, tmp_path):
    for i, (_, content) in enumerate(members):
        changed = bytes([content[0] ^ 0x80]) + content[1:]
        path = put_together(tmp_path / f"{i}.tar", [
            *members[:i], (members[i][0], changed), *members[i + 1:]])
        errors = run_op("atocore-validate", "--json", path).expect(65).json["errors"]
        code = "manifest_invalid" if i == 0 else "checksum_mismatch"
        assert any(error.startswith(f"{code}: {members[i][0].name[17:]}") for error in errors)


def test_one_that_others_put_together_in_the_same_way_is_valid(members, run_op, tmp_path):
    run_op("atocore-validate", put_together(tmp_path / "same.tar", members)).expect(0)


@pytest.mark.parametrize("form", FORMATS)
def test_more_behind_its_end_is_found(archive, run_op, form):
    path = archive(form)
    path.write_bytes(path.read_bytes() + b"more" * 1000)
    assert run_op("atocore-validate", path).expect(65).codes[-1] == "archive_invalid"


SUMS = f"{NOW}/SHA256SUMS"
HOSTILE = {
    "no archive": lambda m: None,
    "empty": lambda m: [],
    "another first": lambda m: [m[1], m[0], *m[2:]],
    "no stamp": lambda m: [(header("x/SHA256SUMS", size=len(m[0][1])), m[0][1]), *m[1:]],
    "absolute": lambda m: [*m, (header("/etc/evil", size=1), b"x")],
    "upwards": lambda m: [*m, (header(f"{NOW}/../evil", size=1), b"x")],
    "upwards first": lambda m: [(header("../evil/SHA256SUMS", size=len(m[0][1])), m[0][1]), *m[1:]],
    "beside": lambda m: [*m, (header("evil", size=1), b"x")],
    "unlisted": lambda m: [*m, (header(f"{NOW}/evil", size=1), b"x")],
    "twice": lambda m: [*m, m[-1]],
    "out of order": lambda m: [m[0], m[2], m[1], *m[3:]],
    "missing": lambda m: m[:-1],
    "missing inside": lambda m: [*m[:2], *m[3:]],
    "symbolic link": lambda m: [m[0], (header(m[1][0].name, tarfile.SYMTYPE, link="/etc/passwd"),
                                       b""), *m[2:]],
    "hard link": lambda m: [m[0], (header(m[1][0].name, tarfile.LNKTYPE, link=SUMS), b""), *m[2:]],
    "device": lambda m: [m[0], (header(m[1][0].name, tarfile.CHRTYPE), b""), *m[2:]],
    "pipe": lambda m: [m[0], (header(m[1][0].name, tarfile.FIFOTYPE), b""), *m[2:]],
    "directory": lambda m: [m[0], (header(m[1][0].name, tarfile.DIRTYPE), b""), *m[2:]],
}


@pytest.mark.parametrize("deep", [[], ["--deep"]], ids=["", "deep"])
@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_hostile_is_refused_and_nothing_is_left_anywhere(
        members, live, run_op, tmp_path, name, deep):
    directory = tmp_path / "elsewhere"
    directory.mkdir()
    path = directory / "hostile.tar"
    made = HOSTILE[name](members)
    if made is None:
        path.write_bytes(b"this is no archive\n" * 1000)
    else:
        put_together(path, made)
    before = tree(tmp_path)
    result = run_op("atocore-validate", "--json", *deep, path).expect(65)
    assert result.codes[0] == "validate_started" and len(result.codes) == 2
    assert result.codes[1] in (
        "archive_invalid", "file_unexpected", "file_missing", "db_snapshot_missing",
        "metadata_missing"), result
    assert result.json["valid"] is False
    assert tree(tmp_path) == before


@pytest.mark.parametrize("bomb, deep, codes", [
    (1, [], {"metadata_invalid_json", "checksum_mismatch"}),
    (1, ["--deep"], {"metadata_invalid_json"}),
    (2, [], {"archive_invalid"}),
    (2, ["--deep"], {"archive_invalid"}),
])
def test_a_bomb_takes_no_memory_and_no_disk(members, run_op, tmp_path, bomb, deep, codes):
    """A gigabyte of zeroes in the place of a small file, in a megabyte."""
    path = tmp_path / "bomb.tar.gz"
    size = 1 << 30
    with gzip.open(path, "wb", compresslevel=1) as out:
        first = io.BytesIO()
        with tarfile.open(fileobj=first, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for member, content in members[:bomb]:
                tar.addfile(member, io.BytesIO(content))
            start = first.tell()
        out.write(first.getvalue()[:start])
        out.write(header(members[bomb][0].name, size=size).tobuf(tarfile.PAX_FORMAT))
        for _ in range(size >> 20):
            out.write(bytes(1 << 20))
        out.write(bytes(1024))
    before = tree(tmp_path)
    result = run_op("atocore-validate", "--json", *deep, path).expect(65)
    assert codes <= {error.split(":")[0] for error in result.json["errors"]}
    assert tree(tmp_path) == before


@pytest.mark.parametrize("content, code", [
    (None, "metadata_missing"),
    (b"{", "metadata_invalid_json"),
    (b"[]", "metadata_invalid_json"),
    (b'{"db_size_bytes": "large"}', "metadata_invalid_json"),
    (b'{"db_size_bytes": 1}', "archive_invalid"),
])
def test_metadata_that_are_none_are_found_whatever_their_checksum(
        members, run_op, tmp_path, content, code):
    path = put_together(tmp_path / "a.tar", replace(members, {"backup-metadata.json": content}))
    errors = run_op("atocore-validate", "--json", path).expect(65).json["errors"]
    assert code in {error.split(":")[0] for error in errors}


def test_a_pipe_is_no_archive_and_is_not_waited_for(members, run_op, tmp_path):
    pipe = tmp_path / "pipe.tar"
    subprocess.run(["mkfifo", pipe], check=True)
    result = run_op("atocore-validate", "--json", pipe).expect(65)
    assert result.json["errors"] == ["archive_invalid: is no file"]
