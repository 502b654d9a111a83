# SPDX-License-Identifier: LGPL-2.1-or-later
"""How long a prompt takes in a large index, against Xapian and a plain FTS5 table."""

import contextlib
import math
import re
import shutil
import sqlite3
import statistics
import subprocess
import time

import measure
from made_root import MadeRoot
from measure import Broken, run

PROMPTS = 200
PROMPTS_PLAIN = 20  # of them for the plain table, which takes seconds for one
TOP_K = 20
ROUNDS = 3
# chunks: how many times Xapian's median ours may be
SIZES = {200_000: 2, 650_000: 4}

TABLE = ("CREATE VIRTUAL TABLE chunks USING fts5 "
         "(text, content = '', tokenize = 'porter unicode61')")


def chunk_texts(database):
    """All of a chunk that is looked into, as one text."""
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as db:
        for row in db.execute("SELECT title, heading_path, content FROM chunks ORDER BY id"):
            yield "\n".join(row)


@contextlib.contextmanager
def made_once(path):
    """Where to make it, unless it is there; whole under its name or not at all."""
    if path.exists():
        yield None
        return
    partial = path.with_name(path.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.unlink(missing_ok=True)
    yield partial
    partial.rename(path)


class Xapian:
    def __init__(self, report, made):
        self.program = measure.tool("xapian-peer")
        self.index = made.directory / "xapian"
        if not self.program.exists():
            raise measure.Skip("libxapian-dev or a C++ compiler was not there at build time")
        with made_once(self.index) as partial:
            if partial:
                before = time.monotonic()
                self._make(partial, made.root.database)
                report.say(f"Xapian's index in {time.monotonic() - before:.0f} s")

    def _make(self, directory, database):
        # Fewer and larger steps than by default: nothing but the time to make it.
        with subprocess.Popen([self.program, "index", directory], stdin=subprocess.PIPE,
                              env={"XAPIAN_FLUSH_THRESHOLD": "100000"}) as process:
            for text in chunk_texts(database):
                process.stdin.write(text.encode() + b"\0")
        if process.returncode != 0:
            raise Broken(f"xapian-peer index ended with {process.returncode}")

    def ask(self, prompts):
        with open(prompts, "rb") as lines:
            return milliseconds(run(self.program, "query", self.index, TOP_K, stdin=lines))


class PlainTable:
    def __init__(self, report, made):
        self.path = made.directory / "plain.db"
        with made_once(self.path) as partial:
            if partial:
                before = time.monotonic()
                with contextlib.closing(sqlite3.connect(partial)) as db:
                    db.execute("PRAGMA journal_mode=OFF")
                    db.execute(TABLE)
                    db.executemany("INSERT INTO chunks (rowid, text) VALUES (?, ?)",
                                   enumerate(chunk_texts(made.root.database)))
                    db.commit()
                report.say(f"the plain table in {time.monotonic() - before:.0f} s")

    def ask(self, prompts):
        with contextlib.closing(sqlite3.connect(self.path)) as db:
            return [self._ask(db, line) for line in prompts]

    def _ask(self, db, prompt):
        words = dict.fromkeys(re.findall(r"\w+", prompt.lower()))
        before = time.monotonic()
        db.execute("SELECT rowid FROM chunks WHERE chunks MATCH ? ORDER BY rank LIMIT ?",
                   (" OR ".join(f'"{word}"' for word in words), TOP_K)).fetchall()
        return (time.monotonic() - before) * 1000


def milliseconds(child):
    taken = [float(line) for line in child.output.split()]
    if len(taken) != PROMPTS or min(taken) <= 0:
        raise Broken(f"{len(taken)} of {PROMPTS} prompts were answered")
    return taken


def p99(values):
    return sorted(values)[math.ceil(0.99 * len(values)) - 1]


def typical(rounds):
    """Of each prompt the median of the rounds: what one of them met, the disk or other work, is
    left out."""
    return [statistics.median(taken) for taken in zip(*rounds)]


def show(report, name, taken):
    report.say(f"{name:12} median {statistics.median(taken):8.2f} ms, p99 {p99(taken):8.2f} ms, "
               f"slowest {max(taken):8.2f} ms")


def measure_size(report, scratch, inputs, chunks, factor):
    made = MadeRoot(report, scratch, inputs, chunks)
    prompts = made.write_prompts(scratch / "prompts", PROMPTS)
    name = f"query of {chunks // 1000},000 chunks"

    def ours():
        with open(prompts, "rb") as lines:
            return milliseconds(
                run(measure.tool("query-latency"), made.root.path, TOP_K, stdin=lines))

    try:
        xapian = Xapian(report, made)
        theirs, own = measure.interleave(ROUNDS, lambda: xapian.ask(prompts), ours)
        show(report, "Xapian", typical(theirs))
        show(report, "AtoCore", typical(own))
        report.ratio(f"{name}, median / Xapian's", map(statistics.median, own),
                     map(statistics.median, theirs), at_most=factor)
        report.value(f"{name}, p99 / Xapian's slowest", p99(typical(own)) / max(typical(theirs)),
                     "", at_most=1)
    except measure.Skip as reason:
        report.skip(f"{name} / Xapian", reason)
        show(report, "AtoCore", typical([ours() for _ in range(ROUNDS)]))
    show(report, "plain FTS5",
         PlainTable(report, made).ask(prompts.read_text().splitlines()[:PROMPTS_PLAIN]))


def measure_latency(report, scratch, inputs):
    for chunks, factor in SIZES.items():
        measure_size(report, scratch, inputs, chunks, factor)
