# SPDX-License-Identifier: LGPL-2.1-or-later
"""units/atocore.catalog explains each event of lib/base/event-ids.h, in three parts, and names
nothing that does not exist."""

import re

import pytest

from support import build
from support.run import run

CATALOG = build.PROJECT / "units" / "atocore.catalog"
EVENTS = build.PROJECT / "lib" / "base" / "event-ids.h"
PARTS = ("Symptom", "Likely cause", "Action")
PROGRAMS = ("backup", "drill", "ingest", "prune", "restore", "ship", "validate",
            "watch")


def events():
    """[(symbol, message id)] in the order of the table."""
    return re.findall(r'\bX\((\w+),\s*"([0-9a-f]{32})"', EVENTS.read_text())


def entries():
    """[(message id, text)] in the order of the file."""
    parts = re.split(r"^-- ([0-9a-f]{32})\n", CATALOG.read_text(), flags=re.MULTILINE)
    return list(zip(parts[1::2], parts[2::2]))


ENTRIES = [pytest.param(text, id=dict(map(reversed, events())).get(message_id, message_id))
           for message_id, text in entries()]


def commands(text):
    """The lines that are there to be copied."""
    return [line.strip() for line in text.splitlines() if line.startswith("    ")]


def test_has_one_entry_for_each_event_in_the_order_of_the_table():
    assert len(events()) > 40
    assert [message_id for message_id, _ in entries()] == [event for _, event in events()]


@pytest.mark.parametrize("text", ENTRIES)
def test_entry_has_its_headers_and_three_parts(text):
    header, body = text.split("\n\n", 1)
    fields = [line.split(": ", 1) for line in header.splitlines()]
    assert [name for name, _ in fields] == ["Subject", "Defined-By", "Support", "Documentation"]
    values = dict(fields)
    assert values["Subject"] and not values["Subject"].endswith(".")
    assert values["Defined-By"] == "AtoCore"
    found = re.findall(r"^(\w[\w ]*): (.+?)(?=\n\n|\Z)", body, flags=re.MULTILINE | re.DOTALL)
    assert [name for name, _ in found] == list(PARTS)
    assert all(len(part) > 4 for _, part in found)


@pytest.mark.parametrize("text", ENTRIES)
def test_commands_of_an_entry_parse(text):
    run(["sh", "-n"], input="\n".join(commands(text)).replace("@", "")).expect(0)


def test_commands_name_options_units_and_fields_that_exist():
    text = CATALOG.read_text()
    called = [part.split() for part in re.split(r"&&|[;|\n]", "\n".join(commands(text)))]
    for name in PROGRAMS:
        known = run([build.program(f"atocore-{name}"), "--help"],
                    env=build.environment()).expect(0).stdout
        used = {word for words in called if words[:1] == [f"atocore-{name}"] for word in words
                if word.startswith("--")}
        assert {option for option in used if option not in known} == set()
    assert any(words[:2] == ["atocore-backup", "--list"] for words in called)
    units = set(re.findall(r"\batocore(?:-[a-z]+)*\.(?:service|socket|timer|target)\b", text))
    installed = {path.name for path in (build.build_dir() / "units").iterdir()}
    assert units and units <= installed
    assert set(re.findall(r"@([A-Z_]+)@", text)) <= {"ATOCORE_STAMP", "ATOCORE_PATH",
                                                     "ATOCORE_CODE"}


def test_journalctl_takes_it(tmp_path):
    """As it is built, with the paths of this build, and every field still to be filled in."""
    directory = tmp_path / "usr" / "lib" / "systemd" / "catalog"
    directory.mkdir(parents=True)
    (tmp_path / "var/lib/systemd/catalog").mkdir(parents=True)
    built = (build.build_dir() / "units" / "atocore.catalog").read_text()
    (directory / "atocore.catalog").write_text(built)
    done = run(["journalctl", f"--root={tmp_path}", "--update-catalog"]).expect(0)
    assert done.stderr == ""
    assert not re.search(r"@[a-z]+@", built)
    assert built.count("@ATOCORE_") == CATALOG.read_text().count("@ATOCORE_")
    listed = run(["journalctl", f"--root={tmp_path}", "--list-catalog"]).expect(0).stdout
    assert [line.split()[0] for line in listed.splitlines()] == sorted(
        event for _, event in events())
