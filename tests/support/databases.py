# SPDX-License-Identifier: LGPL-2.1-or-later
"""Live databases that somebody else writes."""

import contextlib
import os
import pathlib
import shutil
import sqlite3
import struct
import subprocess
import sys
import tempfile

from support.wait import wait_until

# Two tables whose sums are equal after each transaction, and a log that grows.
LEDGER = """
    CREATE TABLE debit(account INTEGER PRIMARY KEY, amount INTEGER NOT NULL);
    CREATE TABLE credit(account INTEGER PRIMARY KEY, amount INTEGER NOT NULL);
    CREATE TABLE journal(id INTEGER PRIMARY KEY, note TEXT);
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500)
        INSERT INTO debit SELECT i, 100 FROM n;
    INSERT INTO credit SELECT account, amount FROM debit;
"""

_WRITER = """
import os, random, sqlite3, struct, sys
path, count = sys.argv[1], os.open(sys.argv[2], os.O_WRONLY)
rng = random.Random(1)
db = sqlite3.connect(path, timeout=30, isolation_level=None)
db.execute("PRAGMA synchronous=OFF")
written = 0
while True:
    amount = rng.randrange(1, 1000)
    db.execute("BEGIN IMMEDIATE")
    for table in ("debit", "credit"):
        db.execute(f"UPDATE {table} SET amount = amount + ? WHERE account = ?",
                   (amount, rng.randrange(1, 501)))
    db.execute("INSERT INTO journal(note) VALUES (?)", ("x" * amount,))
    db.execute("COMMIT")
    written += 1
    os.pwrite(count, struct.pack("=Q", written), 0)
"""


def make_ledger(path, journal_mode="wal"):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA journal_mode={journal_mode}")
        connection.executescript(LEDGER)
    path.chmod(0o640)


@contextlib.contextmanager
def writer(path):
    """A process that commits without pause, and must be able to until the end. Yields a function
    that waits until it has committed `n` times more."""
    with tempfile.NamedTemporaryFile() as count:
        def written():
            data = pathlib.Path(count.name).read_bytes()
            return struct.unpack("=Q", data)[0] if len(data) == 8 else 0

        def more(n):
            target = written() + n
            wait_until(lambda: written() >= target or process.poll() is not None, "commits")
            assert process.poll() is None, process.stderr.read()

        process = subprocess.Popen([sys.executable, "-c", _WRITER, path, count.name], text=True,
                                   stderr=subprocess.PIPE)
        try:
            more(1)
            yield more
            more(1)
        finally:
            process.kill()
            process.communicate()


def query(path, sql):
    """All rows, from a file that nobody writes."""
    with contextlib.closing(sqlite3.connect(f"file:{path}?immutable=1", uri=True)) as connection:
        return connection.execute(sql).fetchall()


def query_with_log(path, sql):
    """All rows, from a copy of a file and of the -wal that belongs to it."""
    with tempfile.TemporaryDirectory() as directory:
        for suffix in ("", "-wal"):
            if os.path.exists(f"{path}{suffix}"):
                shutil.copyfile(f"{path}{suffix}", f"{directory}/copy.db{suffix}")
        with contextlib.closing(sqlite3.connect(f"{directory}/copy.db")) as connection:
            return connection.execute(sql).fetchall()


def assert_sound(path):
    assert query(path, "PRAGMA integrity_check") == [("ok",)]


def assert_balanced(path):
    """A copy of a ledger is of one moment."""
    assert_sound(path)
    assert query(path, "SELECT (SELECT sum(amount) FROM debit) = (SELECT sum(amount) FROM credit)"
                 ) == [(1,)]
