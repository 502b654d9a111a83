# SPDX-License-Identifier: LGPL-2.1-or-later
"""How soon a changed file is found by a query, in a vault that is watched."""

import contextlib
import statistics
import time

import measure
from made_root import make_vault, write_pages
from measure import Broken, spread
from serve import serving
from support.root import Root
from support.run import Operations
from support.wait import wait_until
from support.watcher import Watcher

FILES = 6000
ROUNDS = 20
SECONDS_MAX = 2
QUIET = 0.05  # between one file that is written and the next, while others are waited for


@contextlib.contextmanager
def watching(root, scratch):
    directory = scratch / "watch"
    directory.mkdir()
    watcher = Watcher(Operations(root, None), directory)
    try:
        yield watcher.wait_ready()
        watcher.stop()
    finally:
        watcher.close()


def replace(path, text):
    """As an editor does it."""
    path.with_suffix(".tmp").write_text(text)
    path.with_suffix(".tmp").rename(path)


def seconds_to_be_found(daemon, root, watcher, number, meanwhile):
    path = root.vault / f"watched-{number % 5}.md"
    word = f"found{number}word"

    def found():
        meanwhile()
        watcher.notify.read()  # as systemd does: who tells it something waits until there is room
        answer = daemon.post("/query", {"prompt": word}).expect(200).json
        return [chunk["source_file"] for chunk in answer["chunks"]]

    replace(path, f"# Watched\n\nThis is the {word} of {number}.\n")
    before = time.monotonic()
    names = wait_until(found, f"{word} to be found")
    if names != [f"sources/vault/{path.name}"]:
        raise Broken(f"{word} is in {names}")
    return time.monotonic() - before


class Busy:
    """Writes another file every QUIET seconds."""

    def __init__(self, root):
        self.root = root
        self.at = 0
        self.count = 0

    def __call__(self):
        if time.monotonic() >= self.at:
            self.count += 1
            replace(self.root.vault / f"busy-{self.count % 50}.md", f"# Busy\n\n{self.count}\n")
            self.at = time.monotonic() + QUIET


def measure_watch(report, scratch, _):
    root = Root(scratch / "root")
    write_pages(make_vault(), root, lambda pages, _, __: pages >= FILES)
    measure.operation("atocore-ingest", root, "--quiet")
    with serving(root, scratch) as daemon, watching(root, scratch) as watcher:
        calm = [seconds_to_be_found(daemon, root, watcher, i, lambda: None) for i in range(ROUNDS)]
        busy = Busy(root)
        beside = [seconds_to_be_found(daemon, root, watcher, ROUNDS + i, busy)
                  for i in range(ROUNDS)]
    report.say(f"{FILES} files: found after {spread(calm, 'ms', 1000)}; with {busy.count} others "
               f"written meanwhile {spread(beside, 'ms', 1000)}")
    report.value("a changed file is found after, median", statistics.median(calm), "s",
                 at_most=SECONDS_MAX)
    report.value("a changed file is found after, slowest, while others change", max(beside), "s",
                 at_most=SECONDS_MAX)
