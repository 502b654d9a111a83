# SPDX-License-Identifier: LGPL-2.1-or-later
"""docs/backup-restore-procedure.md: every command in it is run, in its order, as it stands there,
on a booted system; and it does what the text says."""

import json
import re
import shlex
import subprocess

import pytest

from support import build
from support.container import ROOT, Container, unavailable
from support.markdown import blocks
from support.source import table
from support.wait import wait_until

PROCEDURE = build.PROJECT / "docs" / "backup-restore-procedure.md"
EVENTS = build.PROJECT / "lib" / "base" / "event-ids.h"
BLOCKS = [block for block in blocks(PROCEDURE) if block.language == "sh"]
SYSTEM = re.compile(r"systemctl|journalctl|lslocks|admin\.sock|:8100|atocore:atocore|-o atocore")


def sections(first, last=None):
    """The blocks from one section to another, both included: "5.1", "5.7"."""
    numbers = [block.section.split(" ")[0] for block in BLOCKS]
    last = last or first
    end = len(numbers) - numbers[::-1].index(last)
    return BLOCKS[numbers.index(first):end]


def script(chosen):
    """One shell, as the text has it; each block is announced by the line where it stands."""
    parts = ["set -eu", 'trap \'[ -z "${DAEMON-}" ] || kill "$DAEMON" 2>/dev/null || :\' EXIT']
    for block in chosen:
        parts += [f"printf '\\n@@ {block.line}\\n'", block.text.rstrip()]
    return "\n".join(parts) + "\n"


class Said:
    """What was printed, by block."""

    def __init__(self, chosen, output):
        pieces = re.split(r"^@@ (\d+)\n", output, flags=re.MULTILINE)
        self.by_line = dict(zip(map(int, pieces[1::2]), pieces[2::2]))
        self.chosen = chosen

    def of(self, words):
        """By some words of the block."""
        [block] = [block for block in self.chosen if words in block.text]
        return self.by_line[block.line]


def follow(container, chosen):
    done = container.run("bash", "-c", script(chosen), check=False, timeout=240)
    assert done.status == 0, f"{PROCEDURE.name}: the block after the last @@:\n{done}"
    said = Said(chosen, done.stdout)
    assert len(said.by_line) == len(chosen)
    return said


def stamps(container):
    return sorted(entry.name for entry in container.path(f"{ROOT}/backups/snapshots").iterdir()
                  if re.fullmatch(r"\d{8}T\d{6}Z", entry.name))


def interactions(container):
    return len(container.get("/interactions")["interactions"])


@pytest.fixture(scope="module")
def alone():
    """A container of this file's own: what is done here stops and breaks everything."""
    reason = unavailable()
    if reason:
        pytest.skip(reason)
    container = Container()
    try:
        yield container
    finally:
        container.close()


@pytest.fixture
def machine(alone):
    """A storage root with a vault, a registry and a vector store, served."""
    project = "incoming/projects/p05"
    alone.shell("systemctl stop 'atocore*'; "
                "systemctl reset-failed; rm -rf /srv/storage; "
                "systemd-tmpfiles --create /usr/share/atocore/storage-root.conf")
    alone.write(f"{ROOT}/sources/vault/{project}/alignment.md",
                "# Alignment\n\nThe reference flat is cleaned with isopropanol.\n")
    alone.write(f"{ROOT}/config/project-registry.json", json.dumps({"projects": [
        {"id": "p05-interferometer", "aliases": ["p05"],
         "ingest_roots": [{"source": "vault", "subpath": project}]}]}))
    alone.write(f"{ROOT}/data/chroma/segment/data_level0.bin", "vectors\n" * 1000)
    alone.shell(f"chown -R atocore:atocore {ROOT} && chmod -R o= {ROOT}")
    alone.systemctl("start", "atocore-ingest.service")
    alone.systemctl("start", "atocore.socket", "atocore-admin.socket")
    return alone


@pytest.fixture
def backed_up(machine):
    """The same with a full snapshot, and an interaction that came after it."""
    machine.systemctl("start", "atocore-backup-full.service")
    machine.post("/interactions", {"prompt": "after the snapshot"}, expect=201)
    return machine


def verified(said):
    health, stats, projects = map(
        json.loads, said.of("http://127.0.0.1:8100/projects").strip().splitlines())
    assert health["checks"]["database"]["status"] == "ok"
    assert health["checks"]["registry"]["status"] == "ok"
    [project] = projects["projects"]
    assert project["id"] == "p05-interferometer" and project["documents"] == 1
    pack = json.loads(said.of("127.0.0.1:8100/context/build"))
    assert pack["chunks_used"] > 0
    return stats


# Everything, in its order.

def test_every_command_runs_from_top_to_bottom(machine):
    said = follow(machine, BLOCKS)
    assert len(stamps(machine)) >= 7
    labelled, asked = said.of("--pin --label"), said.of('"include_chroma": true')
    assert "backup_done" in labelled or "Snapshot" in labelled
    for line in asked.strip().splitlines():
        assert json.loads(line)["validation"]["valid"] is True
    assert "is complete" in said.of("COLD=")
    assert "[drill_done]" in said.of("atocore-drill.service -n") or (
        "was restored, served and found good" in said.of("atocore-drill.service -n"))
    drilled, stats = (json.loads(text) for text in re.split(
        r"(?<=^\})\n", said.of("atocore-drill --json"), maxsplit=1, flags=re.MULTILINE))
    assert drilled["ok"] is True and drilled["stamp"] == stamps(machine)[0]
    assert stats["last_drill"] == {name: drilled[name] for name in (
        "stamp", "drilled_at", "seconds", "ok", "error")}
    assert not list(machine.path(f"{ROOT}/data/tmp").glob(".partial-*"))


# What the text promises of the restore.

DAMAGES = pytest.mark.parametrize("damage", [
    "head -c 65536 /dev/urandom >{root}/data/db/atocore.db",
    "rm -r {root}/data/db {root}/data/chroma {root}/config",
    "echo nonsense >{root}/config/project-registry.json; : >{root}/data/db/atocore.db-wal; "
    "printf X | dd status=none bs=1 seek=5000 conv=notrunc of={root}/data/db/atocore.db",
], ids=["garbage", "gone", "hot"])


def counts(machine):
    """Of the first snapshot."""
    metadata = json.loads(machine.path(
        f"{ROOT}/backups/snapshots/{stamps(machine)[0]}/backup-metadata.json").read_text())
    return {name: metadata["counts"][name] for name in ("documents", "chunks", "interactions")}


def kept(machine):
    return sorted(machine.path(f"{ROOT}/backups/pre-restore").iterdir())


def test_restore_is_one_command_and_is_verified(backed_up):
    live = backed_up.path(f"{ROOT}/data/chroma/segment/data_level0.bin")
    live.write_text("other vectors\n")
    said = follow(backed_up, sections("5.1", "5.3"))
    assert re.search(r"^exchange +database +\d+ +/", said.of("--dry-run latest"), re.MULTILINE)
    assert "is restored and proven" in said.of("--dry-run latest")
    stats, expected = verified(said), counts(backed_up)
    assert {name: stats[name] for name in expected} == expected
    assert live.read_text() == "vectors\n" * 1000
    assert backed_up.foreign_owned() == ""
    [safety] = kept(backed_up)
    assert (safety / "chroma/segment/data_level0.bin").read_text() == "other vectors\n"


def test_steps_of_the_table_are_those_that_are_told(backed_up):
    backed_up.systemctl("start", "atocore-restore@latest")
    said = backed_up.run("journalctl", "--no-pager", "--output=cat", "--boot", "-u",
                         "atocore-restore@latest").stdout
    rows = table(PROCEDURE.read_text(), "step", "what is done", "if it fails")
    told = [verb for verb, *_ in re.findall(r"^([a-z]+) ([a-z_]+): /", said, re.MULTILINE)]
    assert list(dict.fromkeys(told)) == [row[0] for row in rows]


@DAMAGES
def test_restore_of_a_damaged_root(backed_up, damage):
    backed_up.shell(damage.format(root=ROOT))
    verified(follow(backed_up, sections("5.1", "5.3")))
    assert backed_up.foreign_owned() == ""


def test_undo_puts_back_what_was(backed_up):
    follow(backed_up, sections("5.1"))
    assert interactions(backed_up) == 0
    [undo] = sections("5.4")
    backed_up.shell(undo.text.splitlines()[0])
    assert interactions(backed_up) == 1
    follow(backed_up, [undo])
    assert interactions(backed_up) == 1
    assert len(kept(backed_up)) == 4


def test_interrupted_restore_is_ended(backed_up):
    backed_up.write("/usr/local/bin/hanging-daemon", "#!/bin/sh\nread -r _ <&9\n", mode=0o755)
    restore = backed_up.start("sh", "-c", "exec 9<&0; ATOCORE_DAEMON=/usr/local/bin/hanging-daemon "
                              "exec atocore-restore latest")
    wait_until(backed_up.path(f"{ROOT}/data/restore-journal.json").exists, "the exchange")
    backed_up.run("kill", "-KILL", *backed_up.run("pidof", "atocore-restore").stdout.split())
    restore.communicate(timeout=60)
    assert backed_up.get("/stats", expect=503)["code"] == "restore_interrupted"
    said = follow(backed_up, sections("5.5"))
    assert "is restored and proven" in said.of("--resume")
    assert interactions(backed_up) == 0


# And of the way by hand.

def test_restore_by_hand_brings_back_the_snapshot(backed_up):
    live = backed_up.path(f"{ROOT}/data/chroma/segment/data_level0.bin")
    live.write_text("other vectors\n")
    backed_up.run("install", "-d", "-o", "atocore", "-g", "atocore", "-m", "750",
                  f"{ROOT}/backups/snapshots/old")  # no snapshot, and last in the listing
    said = follow(backed_up, sections("5.7"))
    assert "checksums match" in said.of("SAFETY=$ROOT")
    assert said.of("list-units").strip() == "gate closed"
    stats, expected = verified(follow(backed_up, sections("5.3"))), counts(backed_up)
    assert {name: stats[name] for name in expected} == expected
    assert live.read_text() == "vectors\n" * 1000
    assert backed_up.show("atocore-backup.timer", "ActiveState") == "active"
    assert backed_up.foreign_owned() == ""
    [safety] = kept(backed_up)
    assert (safety / "chroma/segment/data_level0.bin").read_text() == "other vectors\n"
    assert {path.name for path in safety.iterdir()} == {"db", "chroma", "config"}


def test_undo_by_hand_puts_back_what_was(backed_up):
    follow(backed_up, sections("5.7", "5.8"))
    assert interactions(backed_up) == 1
    [safety] = kept(backed_up)
    assert (safety / "db.restored/atocore.db").exists()


@DAMAGES
def test_restore_by_hand_of_a_damaged_root(backed_up, damage):
    backed_up.shell("systemctl stop 'atocore*'")
    backed_up.shell(damage.format(root=ROOT))
    follow(backed_up, sections("5.7"))
    verified(follow(backed_up, sections("5.3")))
    assert backed_up.foreign_owned() == ""


@pytest.mark.parametrize("times", [1, 2, 3])
def test_exchange_by_hand_that_was_cut_off_is_done_again(backed_up, times):
    """The power went between two renames."""
    variables, stop, stage, exchange, start = sections("5.7")
    stop_after = f'renames=0; mv() {{ renames=$((renames + 1)); [ $renames -le {times} ] || ' \
                 'exit 0; command mv "$@"; }\n'
    text = "\n".join(block.text for block in (variables, stop, stage, exchange, start))
    backed_up.run("bash", "-euc", stop_after + text)
    [safety] = kept(backed_up)
    again = re.sub(r"^SAFETY=.*$", f"SAFETY={ROOT}/backups/pre-restore/{safety.name}",
                   "\n".join(block.text for block in (variables, stop, exchange, start)),
                   flags=re.MULTILINE)
    assert "gate closed" in backed_up.run("bash", "-euc", again).stdout
    verified(follow(backed_up, sections("5.3")))
    assert interactions(backed_up) == 0
    assert {path.name for path in safety.iterdir()} == {"db", "chroma", "config"}


def test_snapshot_without_vector_store_leaves_the_live_one(machine):
    machine.systemctl("start", "atocore-backup.service")
    for chosen in (sections("5.7"), sections("5.1")):
        follow(machine, chosen)
        verified(follow(machine, sections("5.3")))
        assert machine.path(f"{ROOT}/data/chroma/segment/data_level0.bin").exists()


def test_damaged_snapshot_is_not_restored(backed_up):
    database = backed_up.path(f"{ROOT}/backups/snapshots/{stamps(backed_up)[0]}/db/atocore.db")
    with database.open("r+b") as file:
        file.seek(5000)
        file.write(b"X")
    assert backed_up.run("bash", "-c", script(sections("5.1")), check=False).status == 65
    done = backed_up.run("bash", "-c", script(sections("5.7")[:1]), check=False)
    assert "checksums match" not in done.stdout
    assert interactions(backed_up) == 1


def test_gate_does_not_close_while_something_is_open(backed_up):
    backed_up.run("systemd-run", "--quiet", "--unit=reader", "--service-type=notify",
                  "--property=NotifyAccess=main", "/usr/sbin/atocored", "--listen",
                  "127.0.0.1:8199")
    try:
        done = backed_up.run("bash", "-c", script(sections("5.7")[:2]), check=False)
        assert done.status != 0
        assert "gate closed" not in done.stdout
    finally:
        backed_up.systemctl("stop", "reader.service")


# Without systemd, wherever the suite runs.

def test_what_needs_no_system_runs_on_a_scratch_root(run_op, root, tmp_path):
    root.write_registry([])
    run_op("atocore-ingest").expect(0)
    run_op("atocore-backup").expect(0)
    chosen = [block for block in BLOCKS if not SYSTEM.search(block.text)]
    assert len(chosen) > 5
    text = re.sub(r"^ROOT=.*$", f"ROOT={shlex.quote(str(root.path))}", script(
        [block for block in chosen if not block.section.startswith("5.")]), flags=re.MULTILINE)
    environment = run_op.environment(ATOCORE_ROOT=root.path)
    environment["PATH"] = f"{build.build_dir()}:{environment['PATH']}"
    done = subprocess.run(["dash", "-c", text], env=environment, cwd=tmp_path, text=True,
                          capture_output=True, timeout=120, check=False)
    assert done.returncode == 0, done


# The table of failures.

def test_table_of_failures_has_events_with_their_exit_status():
    events = {symbol.lower(): status for symbol, status in re.findall(
        r"X\((\w+),\s*\"\w+\",\s*LOG_\w+,\s*(\w+)\)", EVENTS.read_text())}
    numbers = {"0": 0, "EX_DATAERR": 65, "EX_NOINPUT": 66, "EX_UNAVAILABLE": 69,
               "EX_CANTCREAT": 73, "EX_IOERR": 74, "EX_TEMPFAIL": 75, "EX_NOPERM": 77,
               "EX_CONFIG": 78}
    rows = table(PROCEDURE.read_text(), "code (exit status)", "symptom", "likely cause", "action")
    assert len(rows) > 10
    for code, *cells in rows:
        name, status = re.fullmatch(r"(\w+) \((\d+)\)", code).groups()
        assert numbers[events[name]] == int(status), code
        assert all(cells)
