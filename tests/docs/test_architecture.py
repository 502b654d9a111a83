# SPDX-License-Identifier: LGPL-2.1-or-later
"""The tables of docs/architecture.md are those of the source. (Libraries: tests/law.)"""

import re

from support import build, laws
from support.source import table

TEXT = (build.PROJECT / "docs" / "architecture.md").read_text()
EXITS = {"EX_USAGE": "64 USAGE", "EX_DATAERR": "65 DATAERR", "EX_NOINPUT": "66 NOINPUT",
         "EX_UNAVAILABLE": "69 UNAVAILABLE", "EX_SOFTWARE": "70 SOFTWARE",
         "EX_CANTCREAT": "73 CANTCREAT", "EX_IOERR": "74 IOERR", "EX_TEMPFAIL": "75 TEMPFAIL",
         "EX_NOPERM": "77 NOPERM", "EX_CONFIG": "78 CONFIG"}


def source(name):
    return (build.PROJECT / name).read_text()


def test_layers_are_the_law():
    rows = table(TEXT, "directory", "what it is", "may include")
    written = {}
    for directory, _, may in rows:
        names = set(re.findall(r"lib/\w+", may))
        if may == "all of lib":
            names = {name for name in laws.LAYERS if name.startswith("lib/")}
        written[directory] = names | {directory}
    assert written == laws.LAYERS


def test_locks_are_in_the_order_of_the_header():
    files = [row[1] for row in table(TEXT, "lock", "file", "shared", "exclusive")]
    header = source("lib/base/lock.h")
    named = re.findall(r"^ \*   \w+ +((?:data/locks|backups)/\S+)", header, re.MULTILINE)
    assert files == [*named, "the staging directory itself"]


def test_lanes_are_those_of_the_daemon():
    rows = table(TEXT, "lane", "threads", "for")
    assert [(row[0], row[1]) for row in rows] == re.findall(
        r"\[(LANE_\w+)\] = \{ (\d+),", source("daemon/jobs.c"))


def test_failures_have_the_statuses_that_they_are_reported_with():
    rows = table(TEXT, "event", "exit status of a program", "status of an http answer")
    exits = {symbol: EXITS[status] for symbol, status in re.findall(
        r"X\((\w+),\s*\"\w+\",\s*LOG_\w+,\s*(EX_\w+)\)", source("lib/base/event-ids.h"))}
    assert {event.upper(): status for event, status, _ in rows} == exits
    numbers = dict(re.findall(r"HTTP_(\w+) = (\d{3})", source("daemon/response.h")))
    http = {event: numbers[name] for event, name in re.findall(
        r"\{ EVENT_(\w+), HTTP_(\w+) \}", source("daemon/response.c"))}
    for event, _, status in rows:
        if status != "–":
            assert status == http.get(event.upper(), "500"), event
        else:
            assert event.upper() not in http


def test_what_is_named_is_there():
    places = set(re.findall(r"`((?:lib|daemon|ops|units|tests)/[\w./-]+\.\w+)`", TEXT))
    for row in table(TEXT, "where", "what"):
        places |= set(row[0].split(", "))
    assert len(places) > 10
    assert not [place for place in places if not (build.PROJECT / place).exists()]
    batch = source("lib/knowledge/batch.c")
    assert "#define CHANGES_MAX 2000\n" in batch and "(8u << 20)" in batch
    assert "#define IDLE_SECONDS 10\n" in source("daemon/jobs.c")
