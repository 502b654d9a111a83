# SPDX-License-Identifier: LGPL-2.1-or-later
"""atocore-ingest as an operator meets it: sources in, documents and chunks in the database."""

import json
import os
import pathlib
import pty
import re
import resource
import shutil
import signal
import sqlite3
import subprocess

import pytest

from support import build
from support.root import tree
from support.run import run
from support.wait import wait_until

NUMBERS = ("files_seen", "files_indexed", "files_unchanged", "files_removed", "chunks_added",
           "chunks_removed")

PROJECTS = [
    {"id": "p05-interferometer", "aliases": ["p05", "Interféromètre"], "description": "one",
     "ingest_roots": [{"source": "vault", "subpath": "projects/p05", "label": "notes"}]},
    {"id": "p06", "aliases": [], "description": "two",
     "ingest_roots": [{"source": "vault", "subpath": "projects/p06", "label": "notes"},
                      {"source": "drive", "subpath": "p06", "label": "papers"}]},
]


@pytest.fixture
def ingest(run_op):
    """ingest("p05", …) → the result of a run with --json that must end with 0."""

    def call(*arguments, **options):
        return run_op("atocore-ingest", "--json", *arguments, **options).expect(0).json

    return call


def rows(root, sql, *parameters):
    with sqlite3.connect(f"file:{root.database}?mode=ro", uri=True) as connection:
        result = connection.execute(sql, parameters).fetchall()
    connection.close()
    return result


def numbers(result):
    return tuple(result[name] for name in NUMBERS)


def make_projects(root):
    root.write_registry(PROJECTS)
    for name in ("vault/projects/p05/a.md", "vault/projects/p06/b.md", "vault/other/c.md",
                 "drive/p06/d.txt", "drive/other/e.txt"):
        root.write(f"sources/{name}", f"# {name}\n\ntext of {name}\n")


# What is printed.

def test_json_is_the_object_of_the_contract(root, ingest):
    root.write("sources/vault/a.md", "# A\n\ntext\n\n# B\n\ntext\n")
    root.write("sources/vault/bad.md", b"\0")
    result = ingest()
    assert set(result) == {*NUMBERS, "duration_ms", "vectors", "errors"}
    assert numbers(result) == (2, 1, 0, 0, 2, 0)
    assert result["errors"] == [{"path": "sources/vault/bad.md",
                                 "error": "is binary: it holds a NUL byte"}]
    assert isinstance(result["duration_ms"], int)


def test_the_summary_is_readable_and_errors_in_files_end_with_0(root, run_op):
    root.write("sources/vault/a.md", "text\n")
    root.write("sources/vault/new\nline.md", b"\xff")
    result = run_op("atocore-ingest").expect(0)
    assert result.stdout.splitlines() == [
        "files   2 seen, 1 indexed, 0 unchanged, 0 removed",
        "chunks  1 added, 0 removed",
        "errors  1",
        r"  sources/vault/new\nline.md: is not valid UTF-8 (at byte 1)",
    ]
    assert result.codes == ["ingest_started", "ingest_file_skipped", "ingest_done"]


def test_quiet_says_what_is_wrong_only(root, run_op):
    root.write("sources/vault/a.md", "text\n")
    result = run_op("atocore-ingest", "--quiet").expect(0)
    assert (result.stdout, result.stderr) == ("", "")


def test_the_bar_is_on_a_terminal_only(root, run_op):
    for i in range(50):
        root.write(f"sources/vault/{i}.md", "text\n")
    ours, theirs = pty.openpty()
    process = run_op.start("atocore-ingest", stderr=theirs)
    os.close(theirs)
    seen = b""
    try:
        while data := os.read(ours, 65536):
            seen += data
    except OSError:
        pass
    os.close(ours)
    assert process.wait(60) == 0
    assert b"Reading the sources" in seen
    assert "Reading the sources" not in run_op("atocore-ingest").expect(0).stderr


# Projects.

def test_projects_are_found_by_id_and_alias_in_any_case(root, ingest):
    make_projects(root)
    assert numbers(ingest("P05")) == (1, 1, 0, 0, 1, 0)
    assert numbers(ingest("interFÉROMÈTRE", "p05-INTERFEROMETER")) == (1, 0, 1, 0, 0, 0)
    assert numbers(ingest("p06")) == (2, 2, 0, 0, 2, 0)
    assert numbers(ingest()) == (5, 2, 3, 0, 2, 0)


def test_an_unknown_project_is_refused_with_the_known_ones(root, run_op):
    make_projects(root)
    result = run_op("atocore-ingest", "p05", "nope").expect(66)
    assert result.codes == ["project_unknown"]
    assert '"nope"' in result.stderr and "p05-interferometer, p06" in result.stderr
    assert not root.database.exists()


def test_without_a_registry_no_project_is_known_but_all_can_be_ingested(root, run_op):
    result = run_op("atocore-ingest", "p05").expect(66)
    assert result.codes == ["project_unknown"] and str(root.registry) in result.stderr
    run_op("atocore-ingest").expect(0)


def test_a_broken_registry_stops_projects_only(root, run_op):
    root.registry.write_text("{")
    assert run_op("atocore-ingest", "p05").expect(65).codes == ["registry_invalid"]
    run_op("atocore-ingest").expect(0)


def test_list_shows_the_projects_and_touches_nothing(root, run_op):
    make_projects(root)
    before = tree(root.path)
    assert run_op("atocore-ingest", "--list").expect(0).stdout == (
        "p05-interferometer p05 Interféromètre\np06\n")
    assert run_op("atocore-ingest", "--list", "--json").expect(0).json == {"projects": [
        {"id": "p05-interferometer", "aliases": ["p05", "Interféromètre"]},
        {"id": "p06", "aliases": []}]}
    run_op("atocore-ingest", "--list", "p05").expect(64)
    assert tree(root.path) == before


# The vault.

@pytest.fixture
def vault(root, data):
    shutil.copytree(data / "vault", root.vault, dirs_exist_ok=True)
    for directory, _, files in os.walk(root.vault):
        os.chmod(directory, 0o755)
        for name in files:
            os.chmod(os.path.join(directory, name), 0o644)
    return root.vault


def test_each_chunk_of_the_vault_stands_where_it_says(root, vault, ingest):
    result = ingest()
    files = list(vault.rglob("*.md"))
    assert result["files_seen"] == result["files_indexed"] == len(files) == 173
    assert result["errors"] == []
    chunks = rows(root, "SELECT path, start_line, end_line, content, char_count, heading_path"
                        " FROM chunks JOIN documents ON documents.id = document_id")
    assert len(chunks) == result["chunks_added"] > 1000
    for path, start, end, content, characters, heading_path in chunks:
        lines = (vault / path).read_text().split("\n")
        assert "\n".join(lines[start - 1:end]) == content
        assert len(content) == characters
        headings = json.loads(heading_path)
        if content.startswith("#"):
            assert headings[-1].split()[-1].strip("*`") in lines[start - 1]


def test_no_line_of_the_vault_is_lost(root, vault, ingest):
    """Headings that only have headings below aside: those are in paths."""
    ingest()
    taken = {}
    for path, start, end in rows(root, "SELECT path, start_line, end_line FROM chunks"
                                       " JOIN documents ON documents.id = document_id"):
        taken.setdefault(path, set()).update(range(start, end + 1))
    for file in vault.rglob("*.md"):
        lines = file.read_text().split("\n")
        path = str(file.relative_to(vault))
        for number, line in enumerate(lines, 1):
            assert number in taken.get(path, ()) or not line.strip() or line.startswith("#")


def test_a_second_run_changes_nothing_on_disk(root, vault, ingest):
    ingest()
    os.utime(vault / "Home.md")
    ingest()
    before = tree(root.path / "data" / "db")
    result = ingest()
    assert numbers(result) == (173, 0, 173, 0, 0, 0)
    after = tree(root.path / "data" / "db")
    # The index of the log is shared memory: whoever opens the database touches it.
    for files in (before, after):
        files.pop("atocore.db-shm", None)
    assert after == before


# Addresses, with those whose memory was given back: how many these are is the C library's choice.
DATA_MAX = 72 << 20


def limit_memory():
    resource.setrlimit(resource.RLIMIT_DATA, (DATA_MAX, DATA_MAX))


def test_memory_stays_small_whatever_is_in_the_files(root, run_op):
    if build.sanitizers() != "none":
        pytest.skip("sanitizers take memory of their own")
    for name, size, text in (
            ("brackets.md", 16, b"["), ("quotes.md", 16, b">" * 1000 + b"\n"),
            ("items.md", 16, b"- item\n  more\n"), ("prose.md", 16, b"word " * 15 + b"\n"),
            ("headings.md", 2, b"# a\nb\n"), ("lines.txt", 4, b"a\n\n")):
        root.write(f"sources/vault/{name}", (text * ((size << 20) // len(text) + 1))[:size << 20])
    result = run_op("atocore-ingest", "--json", preexec_fn=limit_memory).expect(0).json
    assert result["files_indexed"] == 6 and result["errors"] == []


def test_memory_stays_small_where_a_character_is_written_out_as_18(root, run_op):
    if build.sanitizers() != "none":
        pytest.skip("sanitizers take memory of their own")
    root.write("sources/vault/code.md", "```\n" + "\ufdfa" * ((4 << 20) // 3 - 3) + "\n```\n")
    result = run_op("atocore-ingest", "--json", preexec_fn=limit_memory).expect(0).json
    assert result["files_indexed"] == 1 and result["errors"] == []
    [(chunks,)] = rows(root, "SELECT chunks FROM terms WHERE term = 'الله'")
    assert chunks > 1000


# Interruptions and refusals.

def test_a_signal_ends_a_run_with_whole_files(root, run_op, ingest):
    for i in range(3000):
        root.write(f"sources/vault/{i}.md", f"# One\n\ntext {i}\n\n# Two\n\ntext {i}\n")
    process = run_op.start("atocore-ingest")

    def some():
        try:
            return rows(root, "SELECT count(*) FROM documents")[0][0]
        except sqlite3.OperationalError:
            return 0

    wait_until(some)
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=60)
    if process.returncode != 0:
        assert process.returncode == 75 and "[interrupted]" in stderr
    documents = some()
    assert rows(root, "SELECT count(*) FROM chunks")[0][0] == 2 * documents
    result = ingest()
    assert result["files_indexed"] == 3000 - documents


@pytest.mark.parametrize("attempt", range(5))
def test_a_kill_leaves_whole_files(root, run_op, ingest, attempt):
    for i in range(1000):
        root.write(f"sources/vault/{i}.md", f"# One\n\ntext {i}\n\n# Two\n\ntext {i}\n")
    process = run_op.start("atocore-ingest", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wal = pathlib.Path(f"{root.database}-wal")
    size = attempt * 60_000
    wait_until(lambda: process.poll() is not None or (wal.exists() and wal.stat().st_size >= size))
    process.kill()
    process.wait(60)
    assert ingest()["files_seen"] == 1000
    assert rows(root, "SELECT count(*), count(DISTINCT document_id) FROM chunks") == [(2000, 1000)]
    assert rows(root, "PRAGMA integrity_check") == [("ok",)]


def test_a_second_ingest_gets_75_and_the_name_of_the_first(root, run_op, tmp_path):
    run_op("atocore-ingest").expect(0)
    config = tmp_path / "atocore.conf"
    config.write_text("lock_wait=0\n")
    root.write("sources/vault/a.md", "text\n")
    lock = root.locks / "ingestion.lock"
    holder = subprocess.Popen(["flock", "--exclusive", str(lock), "cat"], stdin=subprocess.PIPE)
    try:
        wait_until(lambda: subprocess.run(["flock", "--nonblock", str(lock), "true"],
                                        check=False).returncode != 0)
        lock.write_text("4711 atocore-ingest since 2026-04-07T06:00:00Z\n")
        result = run_op("atocore-ingest", "--config", config).expect(75)
        assert result.codes[-1] == "lock_busy"
        assert "4711 atocore-ingest since 2026-04-07T06:00:00Z" in result.stderr
    finally:
        holder.stdin.close()
        holder.wait(60)
    run_op("atocore-ingest", "--config", config).expect(0)


def test_an_unmounted_source_keeps_its_documents_until_it_is_said(root, run_op, ingest):
    for i in range(3):
        root.write(f"sources/vault/{i}.md", "text\n")
    ingest()
    shutil.rmtree(root.vault)
    root.vault.mkdir()
    result = run_op("atocore-ingest").expect(0)
    assert "ingest_removal_refused" in result.codes
    assert "--allow-mass-removal" in result.stderr
    assert rows(root, "SELECT count(*) FROM documents") == [(3,)]
    assert numbers(ingest("--allow-mass-removal")) == (0, 0, 0, 3, 0, 3)
    assert rows(root, "SELECT count(*) FROM documents") == [(0,)]


def test_a_directory_that_was_renamed_is_where_it_is_now(root, run_op, ingest):
    for i in range(120):
        root.write(f"sources/vault/Notes/{i}.md", f"# {i}\n\ntext {i}\n")
    ingest()
    (root.vault / "Notes").rename(root.vault / "Archive")
    result = run_op("atocore-ingest").expect(0)
    assert "ingest_removal_refused" not in result.codes
    assert rows(root, "SELECT count(*), sum(path LIKE 'Archive/%') FROM documents") == [(120, 120)]


def test_another_disk_in_the_place_of_a_source_is_refused(root, run_op, ingest):
    for i in range(120):
        root.write(f"sources/vault/Notes/{i}.md", f"# {i}\n\ntext {i}\n")
    ingest()
    shutil.rmtree(root.vault / "Notes")
    for i in range(120):
        root.write(f"sources/vault/Other/{i}.md", f"# {i}\n\nsomething else {i}\n")
    assert "ingest_removal_refused" in run_op("atocore-ingest").expect(0).codes
    assert rows(root, "SELECT sum(path LIKE 'Notes/%') FROM documents") == [(120,)]


def test_broken_front_matter_is_told_and_the_file_found(root, run_op):
    root.write("sources/vault/a.md", "---\ntags: [open\n---\nfindable\n")
    result = run_op("atocore-ingest").expect(0)
    assert "ingest_front_matter_ignored" in result.codes
    assert "sources/vault/a.md: front matter ignored: line " in result.stdout
    assert rows(root, "SELECT chunks FROM terms WHERE term = 'findabl'") == [(1,)]


def test_a_database_of_another_program_is_left_alone(root, run_op):
    root.make_database()
    root.write("sources/vault/a.md", "text\n")
    before = root.database.read_bytes()
    assert run_op("atocore-ingest").expect(65).codes[-1] == "database_foreign"
    assert root.database.read_bytes() == before


def test_a_full_disk_is_73_and_leaves_whole_files(root, run_op, ingest):
    for i in range(1000):
        root.write(f"sources/vault/{i}.md", f"# One\n\n{'text ' * 200}{i}\n\n# Two\n\ntext\n")

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, resource.getrlimit(
            resource.RLIMIT_FSIZE)[1]))

    result = run_op("atocore-ingest", preexec_fn=limit).expect(73)
    assert result.codes[-1] in ("write_failed", "no_space")
    assert ingest()["files_seen"] == 1000
    assert rows(root, "SELECT count(*), count(DISTINCT document_id) FROM chunks") == [(2000, 1000)]
    assert rows(root, "PRAGMA integrity_check") == [("ok",)]


def test_sources_are_never_written(root, ingest):
    make_projects(root)
    before = tree(root.path / "sources")
    ingest()
    assert tree(root.path / "sources") == before


def test_started_as_root_nothing_of_root_is_left_behind(root, run_op):
    if os.geteuid() != 0:
        pytest.skip("needs root")
    root.write("sources/vault/a.md", "text\n")
    for directory, directories, files in os.walk(root.path):
        for name in [".", *directories, *files]:
            os.chown(os.path.join(directory, name), 65534, 65534)
    for parent in root.path.parents:
        if parent.stat().st_mode & 0o001 == 0 and parent.owner() == "root":
            parent.chmod(parent.stat().st_mode | 0o111)
    run_op("atocore-ingest").expect(0)
    owners = run(["find", root.path, "!", "-uid", "65534"])
    assert owners.stdout == ""
    modes = run(["find", root.path / "data", "-perm", "/027", "!", "-type", "d"])
    assert re.sub(r"\S+\.lock\n", "", modes.stdout) == ""
