# SPDX-License-Identifier: LGPL-2.1-or-later
"""atocore-watch keeps the index current, whatever is done to the sources, and says what it does."""

import fcntl
import json
import pathlib
import shutil
import signal

import pytest

from support.locks import held
from support.run import run
from support.wait import wait_until
from support.watcher import NotifySocket, Watcher, documents

MAX_QUEUED = pathlib.Path("/proc/sys/fs/inotify/max_queued_events")


@pytest.fixture
def watch(run_op, tmp_path):
    """watch("--json", config="watch_interval=1\n") → a Watcher that is ready; ready=False does not
    wait."""
    watchers = []

    def start(*arguments, ready=True, **options):
        directory = tmp_path / f"watch-{len(watchers)}"
        directory.mkdir()
        watchers.append(Watcher(run_op, directory, *arguments, **options))
        return watchers[-1].wait_ready() if ready else watchers[-1]

    yield start
    for watcher in watchers:
        watcher.close()


def note(root, name, text=None):
    return root.write(f"sources/{name}", f"# {text or name}\n\nText of {text or name}.\n")


# What is found.

def test_what_is_there_is_found_and_then_what_changes(root, watch):
    note(root, "vault/a.md")
    watcher = watch()
    watcher.wait_current()
    note(root, "vault/a.md", "something else")
    note(root, "drive/b.md")
    watcher.wait_current()
    (root.vault / "a.md").unlink()
    note(root, "vault/c/d/e.md")
    watcher.wait_current()
    assert set(documents(root)) == {"drive/b.md", "vault/c/d/e.md"}
    assert watcher.codes[0] == "watch_started"
    assert set(watcher.codes) == {"watch_started", "ingest_done"}


def test_a_query_finds_what_was_just_written(root, watch, start_daemon):
    note(root, "vault/a.md")
    watch().wait_current()
    daemon = start_daemon()

    def hits():
        answer = daemon.post("/query", {"prompt": "isopropanol"}).expect(200).json
        return [chunk["source_file"] for chunk in answer["chunks"]]

    assert hits() == []
    note(root, "vault/flat.md", "isopropanol")
    assert wait_until(hits, "the query to find it") == ["sources/vault/flat.md"]


def test_trees_that_move(root, watch, tmp_path):
    for name in ("vault/keep.md", "drive/keep.md", "vault/a/b/1.md", "vault/a/2.md"):
        note(root, name)
    watcher = watch()
    watcher.wait_current()
    (root.vault / "a").rename(root.drive / "moved")
    watcher.wait_current()
    note(root, "drive/moved/b/1.md", "changed where it is now")
    watcher.wait_current()
    (root.drive / "moved").rename(tmp_path / "outside")
    watcher.wait_current()
    shutil.copytree(tmp_path / "outside", root.vault / "copied")
    (tmp_path / "outside").rename(root.vault / "back")
    watcher.wait_current()
    assert len(documents(root)) == 6


def test_a_checkout_of_a_thousand_files(root, watch):
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@y", "-c", "gc.auto=0", "-C",
           str(root.vault)]
    for i in range(300):
        note(root, f"vault/{i % 20}/{i}.md")
    run([*git, "init", "-q", "-b", "one"]).expect(0)
    run([*git, "add", "."]).expect(0)
    run([*git, "commit", "-qm", "one"]).expect(0)
    run([*git, "checkout", "-qb", "two"]).expect(0)
    shutil.rmtree(root.vault / "7")
    for i in range(100, 1100):
        note(root, f"vault/{i % 40}/{i % 7}/{i}.md", f"two {i}")
    run([*git, "add", "-A"]).expect(0)
    run([*git, "commit", "-qm", "two"]).expect(0)
    run([*git, "checkout", "-q", "one"]).expect(0)
    watcher = watch()
    watcher.wait_current()
    run([*git, "checkout", "-q", "two"]).expect(0)
    watcher.wait_current()
    assert len(documents(root)) > 1000


def test_a_source_that_comes_later(root, watch):
    note(root, "vault/a.md")
    root.drive.rmdir()
    watcher = watch()
    watcher.wait_current()
    note(root, "drive/b.md")
    watcher.wait_current()


def test_a_source_that_is_gone_keeps_its_documents(root, watch, tmp_path):
    note(root, "vault/a.md")
    watcher = watch()
    watcher.wait_current()
    root.vault.rename(tmp_path / "elsewhere")
    watcher.wait_event("ingest_removal_refused")
    assert set(documents(root)) == {"vault/a.md"}
    note(root, "drive/b.md")
    watcher.until(lambda: "drive/b.md" in documents(root), "the other source to be current")
    (tmp_path / "elsewhere").rename(root.vault)
    note(root, "vault/c.md")
    watcher.wait_current()


def test_the_only_directory_is_renamed(root, watch):
    for i in range(120):
        note(root, f"vault/Notes/{i}.md")
    watcher = watch()
    watcher.wait_current()
    (root.vault / "Notes").rename(root.vault / "Archive")
    watcher.wait_current()
    assert len(documents(root)) == 120
    assert "ingest_removal_refused" not in watcher.codes


def test_what_was_missed_comes_back_under_another_name(root, watch, tmp_path):
    for i in range(120):
        note(root, f"vault/Notes/{i}.md")
    watcher = watch()
    watcher.wait_current()
    (root.vault / "Notes").rename(tmp_path / "outside")
    watcher.wait_event("ingest_removal_refused")
    (tmp_path / "outside").rename(root.vault / "Archive")
    watcher.wait_current()
    assert len(documents(root)) == 120


def test_more_changes_than_the_kernel_keeps(root, watch):
    note(root, "vault/a.md")
    watcher = watch()
    watcher.wait_current()
    if int(MAX_QUEUED.read_text()) > 100000:
        pytest.skip("the queue of inotify is large here")
    watcher.process.send_signal(signal.SIGSTOP)
    for i in range(int(MAX_QUEUED.read_text()) // 2 + 1):
        path = root.vault / f"{i % 2}.md"
        path.touch()
        path.unlink()
    note(root, "vault/b/after.md")
    watcher.process.send_signal(signal.SIGCONT)
    watcher.wait_event("watch_overflowed")
    watcher.wait_current()
    note(root, "vault/b/later.md")
    watcher.wait_current()


def test_a_restored_database_is_brought_up_to_date(root, watch, run_op):
    note(root, "vault/a.md")
    watcher = watch()
    watcher.wait_current()
    run_op("atocore-backup").expect(0)
    note(root, "vault/b.md")
    watcher.wait_current()
    run_op("atocore-restore", "latest").expect(0)
    watcher.wait_current()
    assert set(documents(root)) == {"vault/a.md", "vault/b.md"}


# What it cannot be told of.

def test_too_many_directories_are_looked_at_from_time_to_time(root, watch):
    limit = ["unshare", "--user", "--map-root-user", "sh", "-c",
             'echo 4 >/proc/sys/user/max_inotify_watches && exec "$@"', "sh"]
    if run([*limit, "true"]).status != 0:
        pytest.skip("no user namespace to be had")
    note(root, "vault/a/b/c.md")
    watcher = watch(prefix=limit, config="watch_interval=1\n")
    watcher.wait_event("watch_limited")
    assert "fs.inotify.max_user_watches" in watcher.stderr
    watcher.wait_status("Degraded")
    note(root, "vault/a/b/d.md")
    watcher.wait_current()
    watcher.stop()
    assert watcher.codes.count("watch_limited") == 1 and "watch_started" not in watcher.codes


def test_everything_is_looked_at_from_time_to_time(root, watch):
    """A link's target that is hidden is watched by nobody."""
    hidden = root.write("sources/vault/.annex/object", "first\n")
    (root.vault / "link.md").symlink_to(".annex/object")
    watcher = watch(config="watch_interval=1\n")
    watcher.wait_current()
    hidden.write_text("second\n")
    watcher.wait_current()
    assert documents(root) == {"vault/link.md": "second"}


# What it says.

def test_an_error_in_a_file_is_told_once_for_each_change(root, watch):
    bad = root.write("sources/drive/bad.md", b"a\0b")
    note(root, "drive/a.md")
    watcher = watch(config="watch_interval=1\n")
    watcher.wait_event("ingest_file_skipped")
    watcher.until(lambda: watcher.stderr.count("As before: ") >= 2, "it to be met again")
    note(root, "drive/a.md", "changed")
    watcher.until(lambda: "changed" in documents(root)["drive/a.md"], "the other file")
    assert watcher.codes.count("ingest_file_skipped") == 1
    bad.write_bytes(b"c\0d")
    watcher.wait_event("ingest_file_skipped", times=2)
    bad.write_text("good\n")
    watcher.wait_current()
    assert watcher.codes.count("ingest_file_skipped") == 2


def test_a_file_that_is_no_text_any_more_is_one_error(root, watch, tmp_path):
    """It is met twice: by itself, and with all of its source, as its document is to go."""
    note(root, "vault/a.md")
    note(root, "vault/b.md")
    watcher = watch("--json")
    watcher.wait_current()
    bad = tmp_path / "bad"
    bad.write_bytes(b"a\0b")
    bad.rename(root.vault / "a.md")
    watcher.until(lambda: set(documents(root)) == {"vault/b.md"}, "it to be gone")
    watcher.wait_status("2 files seen, 0 indexed, 1 removed, 1 errors")
    watcher.stop()
    assert watcher.codes.count("ingest_file_skipped") == 1 and "As before: " not in watcher.stderr
    assert json.loads(watcher.out.read_text())["errors"] == 1


def test_systemd_is_told_what_it_does(root, watch):
    note(root, "vault/a/b.md")
    watcher = watch(env={"WATCHDOG_USEC": "100000"})
    watcher.wait_status("Watching 3 directories; last ingest at 20")
    assert watcher.notify.status.endswith("1 files seen, 1 indexed, 0 removed, 0 errors")
    watcher.until(lambda: watcher.notify.read().count("WATCHDOG=1") > 2, "WATCHDOG=1")
    watcher.stop()
    assert watcher.notify.read()[-2:] == ["STOPPING=1", "STATUS=Stopping"]


def test_an_ingest_tells_systemd_how_far_it_is(root, run_op, tmp_path):
    note(root, "vault/a.md")
    notify = NotifySocket(tmp_path)
    run_op("atocore-ingest", env={"NOTIFY_SOCKET": notify.path}).expect(0)
    assert notify.status == "Reading the sources: 1 of 1 files"
    notify.close()


def test_json_is_the_sum_of_what_was_done(root, watch):
    note(root, "vault/a.md")
    watcher = watch("--json", "--quiet")
    watcher.wait_current()
    note(root, "drive/b.md")
    watcher.wait_current()
    (root.vault / "a.md").unlink()
    note(root, "vault/c.md")
    watcher.wait_current()
    watcher.stop()
    assert json.loads(watcher.out.read_text()) == {
        "files_indexed": 3, "files_removed": 1, "chunks_added": 3, "chunks_removed": 1,
        "errors": 0}


# When others are at work, and when it is to end.

@pytest.mark.parametrize("lock", ["ingestion.lock", "store.lock", "gate.lock"])
def test_who_has_a_lock_is_waited_for(root, watch, lock):
    note(root, "vault/a.md")
    watcher = watch()
    watcher.wait_current()
    with held(root.locks / lock, fcntl.LOCK_EX, "1 atocore-restore since noon\n"):
        note(root, "vault/b.md")
        assert "atocore-restore" in watcher.wait_status(f"Waiting: {root.locks / lock}")
        note(root, "vault/c.md")
        assert set(documents(root)) == {"vault/a.md"}
    watcher.wait_current()
    watcher.stop()
    assert set(watcher.codes) == {"watch_started", "ingest_done", "watch_stopped"}


def test_a_restore_that_was_interrupted_is_waited_for_and_told_once(root, watch):
    note(root, "vault/a.md")
    watcher = watch()
    watcher.wait_current()
    journal = root.write("data/restore-journal.json", "{}")
    note(root, "vault/b.md")
    watcher.wait_event("restore_interrupted")
    waiting = "STATUS=" + watcher.wait_status("Waiting: A restore did not get to its end")
    watcher.until(lambda: watcher.notify.read().count(waiting) > 2, "it to try again")
    journal.unlink()
    watcher.wait_current()
    assert watcher.codes.count("restore_interrupted") == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_when_it_is_told_to(root, watch, number):
    watcher = watch().stop(number)
    assert watcher.codes[-1] == "watch_stopped"


def test_it_ends_in_the_middle_of_an_ingest_and_the_next_goes_on(root, watch):
    for i in range(1000):
        note(root, f"vault/{i}.md")
    watcher = watch()
    watcher.wait_status("Reading the sources")
    watcher.stop()
    assert watcher.codes[-1] == "watch_stopped" and "interrupted" not in watcher.codes
    watch().wait_current()


def test_it_ends_while_it_waits(root, watch):
    with held(root.locks / "ingestion.lock", fcntl.LOCK_EX):
        watcher = watch()
        watcher.wait_status("Waiting")
        watcher.stop()
    assert watcher.codes[-1] == "watch_stopped"


def test_what_it_cannot_help_ends_it(root, run_op):
    root.make_database()
    result = run_op("atocore-watch").expect(65)
    assert result.codes == ["watch_started", "database_foreign"]


def test_a_period_of_nothing_is_refused(run_op, tmp_path):
    config = tmp_path / "atocore.conf"
    config.write_text("watch_interval=0\n")
    assert run_op("atocore-watch", "--config", config).expect(78).codes == ["config_invalid"]


def test_arguments_are_refused(run_op):
    assert run_op("atocore-watch", "p05").expect(64).codes == ["usage"]
