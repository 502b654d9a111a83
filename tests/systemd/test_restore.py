# SPDX-License-Identifier: LGPL-2.1-or-later
"""A restore as its units do it: one command, seen in the journal, taken back when it does not prove
good, ended at boot when the machine went down in it, and no client is turned away meanwhile."""

import contextlib
import json
import time

import pytest

from support.container import ROOT
from support.wait import wait_until

RESTORE = "atocore-restore@latest.service"
RESUME = "atocore-resume.service"
JOURNAL = f"{ROOT}/data/restore-journal.json"
NOTE = f"{ROOT}/sources/vault/incoming/projects/p05-interferometer/alignment.md"
QUESTION = {"prompt": "What is the reference flat cleaned with?", "project": "p05"}

# Clients until stdin is closed: on fresh connections, on kept ones, and one that writes. Who finds
# a kept connection closed asks again on a new one, once (RFC 9112, 9.3.1); nobody else does. Each
# asks first before "asking" is printed, and once more at the end. Prints what was answered, in its
# order, runs of the same answer as one: {"answers": [[...], ...], "asked": n, "written": [...],
# "wrong": [...]}.
CLIENTS = """
import http.client, json, sys, threading
question, threads, end, ready = json.loads(sys.argv[1]), [], threading.Event(), []
report = {"answers": [], "asked": 0, "written": [], "wrong": []}

def ask(kept, method, path, body):
    for fresh in (False, True):
        connection = kept.pop() if kept and not fresh else None
        reused = connection is not None
        connection = connection or http.client.HTTPConnection("127.0.0.1", 8100, timeout=120)
        try:
            connection.request(method, path, json.dumps(body),
                               {"Content-Type": "application/json"})
            answer = connection.getresponse()
            text = answer.read()
        except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
            connection.close()
            if not reused:
                raise
            continue
        if kept is not None and not answer.will_close:
            kept.append(connection)
        else:
            connection.close()
        return answer.status, json.loads(text)

def client(work, kept):
    said, last = [], False
    while not last:
        last = end.is_set()
        try:
            status, state = work(kept)
            report["asked"] += 1
            if status not in (200, 201):
                report["wrong"].append([status, state])
            elif said[-1:] != [state]:
                said.append(state)
        except Exception as error:
            report["wrong"].append(repr(error))
        ready.append(True)
    report["answers"].append(said)

def reader(kept):
    status, answer = ask(kept, "POST", "/context/build", question)
    return status, answer.get("formatted_context", answer)

def watcher(kept):
    status, answer = ask(kept, "GET", "/projects", None)
    return status, [p["id"] for p in answer["projects"]] if status == 200 else answer

def writer(kept):
    prompt = f"interaction {len(report['written'])}"
    status, answer = ask(None, "POST", "/interactions", {"prompt": prompt})
    if status == 201:
        report["written"].append(prompt)
    return status, "written" if status == 201 else answer

for work, kept in ((reader, []), (reader, []), (reader, None), (reader, None), (watcher, []),
                   (writer, None)):
    threads.append(threading.Thread(target=client, args=(work, kept)))
for thread in threads:
    thread.start()
while len(ready) < 10 * len(threads):
    end.wait(0.01)
print("asking", flush=True)
sys.stdin.read()
end.set()
for thread in threads:
    thread.join()
print(json.dumps(report))
"""

# A daemon for the proof that gets no further until somebody writes into the pipe.
PIPE = "/run/restore-goes-on"
SLOW_DAEMON = f"""#!/bin/sh
read -r _ <{PIPE}
exec /usr/sbin/atocored "$@"
"""


def pack(container, **options):
    """The answer to the question, but for the time that it took."""
    answer = container.post("/context/build", QUESTION, **options)
    answer.pop("duration_ms", None)
    return answer


def stamps(container):
    return sorted(path.name for path in container.path(f"{ROOT}/backups/snapshots").iterdir())


def kept(container):
    """What was replaced: the safety snapshots."""
    return sorted(path for path in container.path(f"{ROOT}/backups/pre-restore").iterdir())


def leftovers(container):
    return container.run("find", ROOT, "(", "-name", ".restore-*", "-o", "-name", ".partial-*",
                         "-o", "-name", "restore-journal.json", ")").stdout


@pytest.fixture(autouse=True)
def beginning(container):
    """Where the journal stands when a test begins."""
    container.run("journalctl", "--sync")
    container.cursor = container.run(
        "journalctl", "--lines=0", "--show-cursor").stdout.split("-- cursor: ")[1].strip()


def events(container, unit=RESTORE):
    """What the last run of the unit in this test reported. Not Container.events(): systemd forgets
    an instance of a template when it has ended well."""
    container.run("journalctl", "--sync")
    lines = container.run("journalctl", "--output=json", "--no-pager",
                          f"--after-cursor={container.cursor}",
                          f"_SYSTEMD_UNIT={unit}").stdout.splitlines()
    entries = [entry for entry in map(json.loads, lines) if "ATOCORE_CODE" in entry]
    return [entry for entry in entries if entry["_SYSTEMD_INVOCATION_ID"]
            == entries[-1]["_SYSTEMD_INVOCATION_ID"]]


def codes(container, unit=RESTORE):
    return [entry["ATOCORE_CODE"] for entry in events(container, unit)]


def steps(container, unit=RESTORE):
    return [entry["MESSAGE"].split(":")[0] for entry in events(container, unit)
            if entry["ATOCORE_CODE"] == "restore_step"]


def start(container, unit=RESTORE):
    done = container.systemctl("start", unit, check=False)
    assert done.status == 0, "\n".join(entry["MESSAGE"] for entry in events(container, unit))


def start_failing(container, unit, status):
    assert container.systemctl("start", unit, check=False).status != 0
    assert int(container.show(unit, "ExecMainStatus")) == status
    [failure] = [entry for entry in events(container, unit) if int(entry["PRIORITY"]) <= 3]
    return failure


@pytest.fixture
def changed(filled):
    """A full snapshot in which the flat is cleaned with isopropanol, and live data in which it is
    cleaned with acetone; with both packs as `.old` (live) and `.new` (of the snapshot)."""
    filled.new = pack(filled)
    assert "isopropanol" in filled.new["formatted_context"]
    filled.systemctl("start", "atocore-backup-full.service")
    note = filled.path(NOTE)
    note.write_text(note.read_text().replace("isopropanol", "acetone"))
    filled.systemctl("start", "atocore-ingest.service")
    filled.old = pack(filled)
    assert "acetone" in filled.old["formatted_context"]
    return filled


@contextlib.contextmanager
def held_in_the_proof(container):
    """A restore that has exchanged everything and waits for its daemon; go() lets it go on."""
    container.write("/usr/local/bin/slow-daemon", SLOW_DAEMON, mode=0o755)
    container.remove(PIPE)
    container.run("mkfifo", "--mode=666", PIPE)
    container.drop_in("atocore-restore@.service",
                      "[Service]\nEnvironment=ATOCORE_DAEMON=/usr/local/bin/slow-daemon\n")
    container.systemctl("start", "--no-block", RESTORE)
    wait_until(lambda: "prove daemon" in steps(container), "the restore to come to its proof")
    yield lambda: container.path(PIPE).write_text("\n")
    wait_until(lambda: container.show(RESTORE, "ActiveState") in ("inactive", "failed"),
               "the restore to end")


# The one command.

@pytest.mark.parametrize("damage", [
    "head -c 65536 /dev/urandom >{root}/data/db/atocore.db",
    "rm -r {root}/data/db {root}/data/chroma {root}/config/project-registry.json",
], ids=["garbage", "gone"])
def test_destroyed_database_is_back_with_one_command(filled, damage):
    before = pack(filled)
    assert before["chunks_used"] > 0
    filled.systemctl("start", "atocore-backup-full.service")
    filled.shell(damage.format(root=ROOT))
    start(filled)
    assert pack(filled) == before
    vectors = filled.path(f"{ROOT}/data/chroma/segment/data_level0.bin")
    assert vectors.read_text() == "vectors\n" * 1000
    assert leftovers(filled) == ""
    assert filled.foreign_owned() == ""


def test_steps_are_seen_with_systemctl_and_journalctl(changed):
    start(changed)
    told = steps(changed)
    parts = ("database", "vector_store", "registry")
    assert told == ["validate snapshot", *(f"stage {part}" for part in parts), "stop daemon",
                    *(f"exchange {part}" for part in parts), "prove daemon",
                    *(f"keep {part}" for part in parts)]
    done = events(changed)[-1]
    [stamp] = stamps(changed)
    [safety] = kept(changed)
    assert done["ATOCORE_CODE"] == "restore_done" and done["ATOCORE_STAMP"] == stamp
    assert int(done["ATOCORE_DURATION_MS"]) >= 0
    assert safety.name in done["MESSAGE"]
    status = changed.systemctl("status", "--lines=30", RESTORE, check=False).stdout
    assert "AtoCore restore of latest" in status
    assert all(f"]: {step}: " in status for step in told)
    # The end of it, without an option.
    status = changed.systemctl("status", RESTORE, check=False).stdout
    assert "keep database" in status and "is restored and proven" in status


def test_what_was_replaced_is_kept_and_comes_back(changed):
    changed.path(f"{ROOT}/data/chroma/segment/data_level0.bin").write_text("other vectors\n")
    start(changed)
    assert pack(changed) == changed.new
    [safety] = kept(changed)
    assert (safety / "chroma/segment/data_level0.bin").read_text() == "other vectors\n"
    changed.systemctl("start", "atocore-validate.service")
    changed.shell(f"cd {ROOT}/backups/pre-restore/{safety.name} && "
                  "sha256sum --check --quiet --strict SHA256SUMS")
    changed.run("atocore-restore", "--rollback")
    assert pack(changed) == changed.old
    assert len(kept(changed)) == 2 and leftovers(changed) == ""
    changed.run("atocore-restore", "--rollback")
    assert pack(changed) == changed.new
    assert changed.foreign_owned() == ""


def test_what_was_replaced_is_kept_behind_a_bind_mount(changed):
    """The same file system, and yet no rename leads there."""
    changed.run("mount", "--bind", f"{ROOT}/backups", f"{ROOT}/backups")
    try:
        start(changed)
        assert pack(changed) == changed.new
        changed.run("atocore-restore", "--rollback")
        assert pack(changed) == changed.old
        assert leftovers(changed) == "" and changed.foreign_owned() == ""
    finally:
        changed.systemctl("stop", "atocore*.service")
        changed.run("umount", f"{ROOT}/backups")


@pytest.mark.parametrize("where", [f"{ROOT}/backups/archives", "/mnt/a-disk"])
def test_archive_is_restored_by_the_name_of_the_instance(changed, where):
    [stamp] = stamps(changed)
    changed.run("atocore-restore", stamp)
    changed.run("atocore-backup", "--archive=gzip")
    changed.run("atocore-restore", "--rollback")
    [archive] = changed.path(f"{ROOT}/backups/archives").iterdir()
    unit = f"atocore-restore@{archive.name}.service"
    try:
        if where.startswith("/mnt"):
            changed.shell(f"mkdir {where} && mv {ROOT}/backups/archives/* {where}")
            unit = changed.run("systemd-escape", "--template=atocore-restore@.service",
                               f"{where}/{archive.name}").stdout.strip()
        start(changed, unit)
        assert steps(changed, unit)[:2] == ["unpack archive", "validate archive"]
        assert pack(changed) == changed.new
    finally:
        changed.remove("/mnt/a-disk")
    assert leftovers(changed) == "" and changed.foreign_owned() == ""


def test_instance_is_no_option(changed):
    unit = changed.run("systemd-escape", "--template=atocore-restore@.service", "--",
                       "--rollback").stdout.strip()
    failure = start_failing(changed, unit, 64)
    assert failure["ATOCORE_CODE"] == "stamp_invalid"
    assert pack(changed) == changed.old


@pytest.mark.parametrize("name, how", [
    ("python3", f"import sqlite3; c = sqlite3.connect('{ROOT}/data/db/atocore.db'); "
                "c.execute('SELECT * FROM chunks'); print('open', flush=True); input()"),
    ("bash", f"exec 3<{ROOT}/data/db/atocore.db; echo open; read -r _"),
], ids=["with a lock", "without"])
def test_foreign_user_of_the_database_is_named_and_nothing_is_touched(changed, name, how):
    user = changed.start("setpriv", "--reuid=atocore", "--regid=atocore", "--clear-groups", name,
                         "-c", how)
    try:
        assert user.stdout.readline() == "open\n"
        failure = start_failing(changed, RESTORE, 75)
    finally:
        user.communicate("\n", timeout=60)
    assert failure["ATOCORE_CODE"] == "lock_busy" and name in failure["MESSAGE"]
    assert pack(changed) == changed.old
    assert leftovers(changed) == "" and kept(changed) == []


def test_snapshot_that_is_not_valid_is_refused(changed):
    [stamp] = stamps(changed)
    with changed.path(f"{ROOT}/backups/snapshots/{stamp}/db/atocore.db").open("r+b") as file:
        file.seek(5000)
        file.write(b"X")
    assert start_failing(changed, RESTORE, 65)["ATOCORE_CODE"] == "snapshot_invalid"
    assert pack(changed) == changed.old


def test_snapshot_of_another_host_is_refused_until_it_is_said_to_be_right(changed):
    changed.run("hostname", "another-host")
    try:
        assert start_failing(changed, RESTORE, 65)["ATOCORE_CODE"] == "restore_refused"
        assert pack(changed) == changed.old
        changed.run("atocore-restore", "--force", "latest")
        assert pack(changed) == changed.new
    finally:
        changed.run("hostname", "atocore-test")


# Nobody is turned away.

def test_no_client_is_turned_away_or_told_anything_wrong(changed):
    clients = changed.start("python3", "-c", CLIENTS, json.dumps(QUESTION))
    assert clients.stdout.readline() == "asking\n"
    start(changed)
    out, _ = clients.communicate(timeout=120)
    report = json.loads(out)
    assert report["wrong"] == []
    # The old, then the new, and nothing else; projects and acknowledgements are always the same.
    old, new = changed.old["formatted_context"], changed.new["formatted_context"]
    assert sorted(report["answers"], key=str) == sorted(
        [[old, new]] * 4 + [[["p05-interferometer"]], ["written"]], key=str)
    # What a client was told is written is in what was replaced, or in what is live.
    [safety] = kept(changed)
    written = set()
    for database in (f"{ROOT}/backups/pre-restore/{safety.name}/db/atocore.db",
                     f"{ROOT}/data/db/atocore.db"):
        written |= set(changed.run("sqlite3", database, "SELECT prompt FROM interactions")
                       .stdout.splitlines())
    assert report["written"] and set(report["written"]) <= written


def test_daemon_that_is_started_meanwhile_waits_and_systemd_lets_it(changed):
    """Longer than its start may take: it asks for more time as long as it waits."""
    changed.drop_in("atocore.service", "[Service]\nTimeoutStartSec=4s\n")
    with held_in_the_proof(changed) as go:
        client = changed.start("curl", "--silent", "--max-time", "120", "--json",
                               json.dumps(QUESTION), "http://127.0.0.1:8100/context/build")
        wait_until(lambda: "gate.lock" in changed.show("atocore.service", "StatusText"),
                   "the daemon to wait at the gate")
        began = int(changed.show("atocore.service", "ExecMainStartTimestampMonotonic"))
        wait_until(lambda: time.monotonic_ns() // 1000 > began + 7_000_000, "its time to pass")
        assert changed.show("atocore.service", "ActiveState", "NRestarts") == ["activating", "0"]
        assert client.poll() is None
        go()
    out, _ = client.communicate(timeout=120)
    assert json.loads(out)["formatted_context"] == changed.new["formatted_context"]
    assert changed.show("atocore.service", "ActiveState", "NRestarts") == ["active", "0"]


def test_what_is_due_meanwhile_waits_as_a_job(changed):
    with held_in_the_proof(changed) as go:
        changed.systemctl("start", "--no-block", "atocore-backup.service")
        jobs = changed.systemctl("list-jobs", "--no-legend", "--plain").stdout
        assert "atocore-backup.service start waiting" in " ".join(jobs.split())
        assert "prove daemon" in changed.systemctl("status", RESTORE, check=False).stdout
        go()
    wait_until(lambda: len(stamps(changed)) == 2 and changed.show(
        "atocore-backup.service", "ActiveState") == "inactive", "the backup")
    assert changed.show("atocore-backup.service", "Result") == "success"


# Back.

def test_restore_that_does_not_prove_good_takes_itself_back(changed):
    changed.drop_in("atocore-restore@.service",
                    "[Service]\nEnvironment=ATOCORE_DAEMON=/bin/false\n")
    before = changed.run("stat", "--format=%i %n", f"{ROOT}/data/db", f"{ROOT}/data/chroma",
                         f"{ROOT}/config/project-registry.json").stdout
    failure = start_failing(changed, RESTORE, 69)
    assert failure["ATOCORE_CODE"] == "restore_rolled_back"
    assert "status=69/UNAVAILABLE\n" in changed.systemctl("status", RESTORE, check=False).stdout
    assert "exchange database" in steps(changed)
    assert changed.run("stat", "--format=%i %n", f"{ROOT}/data/db", f"{ROOT}/data/chroma",
                       f"{ROOT}/config/project-registry.json").stdout == before
    assert pack(changed) == changed.old
    assert kept(changed) == [] and leftovers(changed) == ""


def test_restore_that_is_stopped_takes_itself_back(changed):
    with held_in_the_proof(changed):
        changed.systemctl("stop", RESTORE)
    assert codes(changed)[-1] == "interrupted"
    assert pack(changed) == changed.old
    assert kept(changed) == [] and leftovers(changed) == ""


@pytest.fixture
def interrupted(changed):
    """A restore that was killed when all was exchanged and nothing proven."""
    with held_in_the_proof(changed):
        changed.systemctl("kill", "--signal=KILL", RESTORE)
    assert changed.path(JOURNAL).exists()
    return changed


def test_everything_refuses_to_run_on_an_interrupted_restore(interrupted):
    problem = pack(interrupted, expect=503)
    assert problem["code"] == "restore_interrupted"
    assert "atocore-restore --resume" in problem["detail"]
    for name in ("backup", "ingest", "prune", "validate"):
        failure = start_failing(interrupted, f"atocore-{name}.service", 75)
        assert failure["ATOCORE_CODE"] == "restore_interrupted"
    failure = start_failing(interrupted, RESTORE, 75)
    assert failure["ATOCORE_CODE"] == "restore_interrupted"


@pytest.mark.parametrize("served", [True, False], ids=["daemon runs", "daemon is off"])
def test_resume_unit_ends_what_was_interrupted(interrupted, served):
    if served:
        pack(interrupted, expect=503)
    start(interrupted, RESUME)
    assert interrupted.show(RESUME, "ConditionResult", "Result") == ["yes", "success"]
    assert codes(interrupted, RESUME)[-1] == "restore_done"
    assert pack(interrupted) == interrupted.new
    assert leftovers(interrupted) == "" and len(kept(interrupted)) == 1
    interrupted.systemctl("start", "atocore-backup.service")
    assert interrupted.foreign_owned() == ""


def test_target_ends_what_was_interrupted_before_anything_runs(interrupted):
    """As at boot: a client is there as soon as the sockets are."""
    interrupted.drop_in("atocore-ingest.timer", "[Timer]\nOnCalendar=\nOnCalendar=2199-01-01\n")
    interrupted.systemctl("stop", "atocore*")
    interrupted.systemctl("start", "--no-block", "atocore.target", "atocore.service")
    wait_until(lambda: interrupted.show("atocore.service", "ActiveState") == "active",
               "the daemon to start")
    ended, began = (int(interrupted.show(unit, name)) for unit, name in (
        (RESUME, "InactiveEnterTimestampMonotonic"),
        ("atocore.service", "InactiveExitTimestampMonotonic")))
    assert 0 < ended <= began
    assert pack(interrupted) == interrupted.new


def test_interrupted_restore_can_be_undone(interrupted):
    interrupted.run("atocore-restore", "--rollback")
    assert pack(interrupted) == interrupted.old
    assert leftovers(interrupted) == "" and kept(interrupted) == []


def test_resume_unit_removes_what_a_restore_left_that_had_exchanged_nothing(changed):
    for place in ("data", "config", "backups/pre-restore"):
        name = ".partial-20260407T060000Z" if place.startswith("backups") else {
            "data": ".restore-db", "config": ".restore-project-registry.json"}[place]
        changed.run("install", "-d", "-o", "atocore", "-g", "atocore", "-m", "750",
                    f"{ROOT}/{place}/{name}")
        start(changed, RESUME)
        assert changed.show(RESUME, "ConditionResult", "Result") == ["yes", "success"], place
        assert leftovers(changed) == ""
    assert pack(changed) == changed.old


def test_resume_unit_does_nothing_where_nothing_was_interrupted(changed):
    start(changed, RESUME)
    assert changed.show(RESUME, "ConditionResult", "ActiveState") == ["no", "inactive"]
