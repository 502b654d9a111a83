# SPDX-License-Identifier: LGPL-2.1-or-later
"""./run demo shows what it promises, and leaves nothing behind."""

import pathlib

from support import build
from support.run import run


def demo(tmp_path, reports, *arguments, **extra):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    together = ["/bin/sh", "-c", '"$@" 2>&1', "sh"]
    done = run([*together, build.PROJECT / "docs" / "demo.sh", *arguments],
               env=build.environment(reports, TMPDIR=scratch, BUILD=build.build_dir(), **extra))
    return done, scratch


def processes_below(directory):
    """Whatever still runs with the directory on its command line or as its own."""
    found = []
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if str(directory) in (process / "cmdline").read_bytes().decode(errors="replace") or (
                    str(directory) in str((process / "cwd").readlink())):
                found.append(process)
        except OSError:
            pass
    return found


def test_demo_shows_the_whole_path(tmp_path, reports):
    done, scratch = demo(tmp_path, reports)
    done.expect(0)
    # Each after the one before it: ingest, context, snapshot, check, restore, damage, retention.
    place = -1
    for sign in ("[ingest_done]", "[daemon_started]", '"status": "ok"',
                 "### sources/vault/notes/", '"chunks_used":', "[backup_done]",
                 "[snapshot_valid]", "db/atocore.db: OK", "exchange database", "[restore_done]",
                 "\nthe same pack\n", "checksum_mismatch", "[exit status 65]",
                 "keep         daily", "later than now"):
        assert sign in done.stdout[place + 1:], f"no {sign} there:\n{done}"
        place = done.stdout.index(sign, place + 1)
    assert not list(scratch.iterdir())
    assert not processes_below(scratch)


def test_demo_takes_a_directory_of_notes(tmp_path, reports):
    notes = tmp_path / "my notes"
    notes.mkdir()
    (notes / "tea.md").write_text("# Tea\n\nGreen tea is steeped at 70 °C.\n")
    done, scratch = demo(tmp_path, reports, notes, PROMPT='How hot is "green tea" steeped?')
    done.expect(0)
    assert "Green tea is steeped at 70 °C." in done.stdout
    assert not list(scratch.iterdir())


def test_demo_that_fails_leaves_nothing_behind(tmp_path, reports):
    done, scratch = demo(tmp_path, reports, tmp_path / "none")
    assert done.status != 0
    assert not list(scratch.iterdir())
