# SPDX-License-Identifier: LGPL-2.1-or-later
"""The manual pages say what the programs do: options, keys, codes, statuses and units."""

import re

import pytest

from support import build, help
from support.run import run
from support.source import Tree

PAGES = sorted((build.PROJECT / "docs" / "man").iterdir())
SYSEXITS = {"EX_USAGE": 64, "EX_DATAERR": 65, "EX_NOINPUT": 66, "EX_UNAVAILABLE": 69,
            "EX_SOFTWARE": 70, "EX_CANTCREAT": 73, "EX_IOERR": 74, "EX_TEMPFAIL": 75,
            "EX_NOPERM": 77, "EX_CONFIG": 78}
# Ends with them only what serves, what starts a daemon of its own, and what needs a server.
UNAVAILABLE = {"69 UNAVAILABLE"}
WITH_A_SERVER = ("atocored", "atocore-restore", "atocore-drill", "atocore-ship",
                 "atocore-ingest")


def page(name):
    return (build.PROJECT / "docs" / "man" / name).read_text()


def section(text, title):
    match = re.search(rf"^\.Sh {title}\n(.*?)(?=^\.Sh |\Z)", text, re.DOTALL | re.MULTILINE)
    return match[1] if match else ""


def plain(words):
    """mdoc words as they are read: "Fl Fl wait Ar SEC" is "--wait SEC"."""
    text = " ".join(words)
    text = re.sub(r"\bFl Fl (?=\S)", "--", text)
    text = re.sub(r"\bFl (?=\S)", "-", text)
    text = re.sub(r"\b(Ar|Cm) ", "", text)
    return re.sub(r" Ns ", "", text)


def documented_options(text):
    """{name: Option} of the `.It Fl …` lines of a page."""
    options = {}
    for line in re.findall(r"^\.It (Fl .*)$", text, re.MULTILINE):
        forms = [plain(part.split()) for part in line.split(" , ")]
        letters = [form[1:] for form in forms if not form.startswith("--")]
        for form in (form for form in forms if form.startswith("--")):
            match = re.fullmatch(r"--([a-z0-9-]+)(Op =)?(.*)", form)
            options[match[1]] = help.Option(
                match[1], letters[0] if letters else "", match[3].replace(" ", ""),
                bool(match[2]))
    return options


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_page_is_clean(path):
    run(["/usr/bin/mandoc", "-T", "lint", "-W", "warning", path]).expect(0)


def test_each_program_has_a_page():
    assert {f"{name}.8" for name in help.programs()} <= {path.name for path in PAGES}


@pytest.mark.parametrize("program", help.programs())
def test_page_has_the_options_of_help(program):
    assert documented_options(page(f"{program}.8")) == help.ask(program).options


@pytest.mark.parametrize("program", help.programs())
def test_synopsis_has_the_programs_own_options(program):
    common = set.intersection(*(set(help.ask(name).options) for name in help.programs()))
    synopsis = section(page(f"{program}.8"), "SYNOPSIS")
    assert set(re.findall(r"Fl Fl ([a-z0-9-]+)", synopsis)) == (
        set(help.ask(program).options) - common)


def exit_statuses():
    """"65 DATAERR" … of lib/base/event-ids.h."""
    names = set(re.findall(r"\b(EX_\w+)\)", Tree().text("lib/base/event-ids.h")))
    return {f"{SYSEXITS[name]} {name[3:]}" for name in names}


def documented_statuses(text):
    return set(re.findall(r"^\.It (\d+(?: [A-Z]+)?)$", section(text, "EXIT STATUS"), re.MULTILINE))


@pytest.mark.parametrize("program", help.programs())
def test_page_has_the_exit_statuses(program):
    expected = exit_statuses() | {"0"}
    if program not in WITH_A_SERVER:
        expected -= UNAVAILABLE
    assert documented_statuses(page(f"{program}.8")) == expected


def test_overview_has_all_exit_statuses():
    assert documented_statuses(page("atocore.7")) == exit_statuses() | {"0"}


def test_configuration_page_has_the_keys_and_their_defaults():
    table = re.search(r"config_keys\[\] = \{(.*?)\n\};", Tree().text("lib/base/config.c"),
                      re.DOTALL)[1]
    built_in = {"ATOCORE_STORAGE_ROOT": "/srv/storage/atocore", '""': "none",
                "ATOCORE_GPG_KEY": "/etc/atocore/archive-recipient.asc"}
    keys = {name: built_in.get(default, default.strip('"')) for name, default in
            re.findall(r'\{ "(\w+)", ("[^"]*"|\w+),', table)}
    assert len(keys) > 3
    documented = {
        name: default.replace(".Pa ", "").rstrip(" .\n") for name, default in re.findall(
            r"^\.It Ic (\w+)= Ns .*?^Default:\s+(.*?)\n(?=\.)", page("atocore.conf.5"),
            re.DOTALL | re.MULTILINE)}
    assert documented == keys


def test_validate_page_has_the_codes_of_findings():
    enum = re.search(r"enum FindingCode \{(.*?)\}", Tree().text("lib/backup/check.h"),
                     re.DOTALL)[1]
    codes = {name.lower() for name in re.findall(r"\bFINDING_([A-Z_]+[A-Z])\b", enum)}
    documented = re.findall(r"^\.(?:It )?Sy ([a-z_ ,]+)$", page("atocore-validate.8"), re.MULTILINE)
    assert set(re.findall(r"[a-z_]+", " ".join(documented))) == codes


def test_prune_page_has_the_reasons():
    enum = re.search(r"enum RetentionReason \{(.*?)\}", Tree().text("lib/backup/retention.h"),
                     re.DOTALL)[1]
    reasons = {name.lower().replace("_", "-") for name in re.findall(r"\bREASON_(\w+)", enum)}
    assert set(re.findall(r"^\.It Sy ([a-z-]+)$", page("atocore-prune.8"),
                          re.MULTILINE)) == reasons


def test_overview_names_the_units():
    units = {re.sub(r"\.in$", "", name) for name in (
        path.name for path in (build.PROJECT / "units").iterdir())
        if re.search(r"\.(service|socket|timer|target)(\.in)?$", name)}
    named = set(re.findall(r"^\.Nm (\S+)(?: ,)?$", section(page("atocore.7"), "NAME"),
                           re.MULTILINE))
    assert named == units | {"atocore"}


def test_pages_refer_to_pages_that_are_there():
    names = {path.name for path in PAGES}
    for path in PAGES:
        for name, number in re.findall(r"^\.Xr (atocore\S*) (\d)", path.read_text(), re.MULTILINE):
            assert f"{name}.{number}" in names, f"{path.name} refers to {name}({number})"


def test_units_refer_to_pages_that_are_installed(installed):
    for name in Tree().files("units"):
        for page_, number in re.findall(r"man:([\w.-]+)\((\d)\)", Tree().text(name)):
            if page_.startswith("atocore"):
                assert (installed / f"usr/share/man/man{number}/{page_}.{number}").exists(), (
                    f"{name} refers to {page_}({number})")
