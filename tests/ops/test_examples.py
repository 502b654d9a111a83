# SPDX-License-Identifier: LGPL-2.1-or-later
"""The annotated atocore.conf that is installed as an example says what the programs do."""

import re

from support import build

EXAMPLE = build.build_dir() / "units" / "atocore.conf"
CONFIG = build.PROJECT / "lib" / "base" / "config.c"


def settings():
    """{key: value} of the lines that are commented out."""
    return dict(re.findall(r"^#(\w+)=(.*)$", EXAMPLE.read_text(), re.MULTILINE))


def table():
    """{key: default} of config_keys."""
    rows = CONFIG.read_text().split("config_keys[] = {", 1)[1].split("};", 1)[0]
    return dict(re.findall(r'\{ "(\w+)",\s*("[^"]*"|\w+)', rows))


def test_example_changes_nothing_as_it_is(run_op):
    run_op("atocore-prune", "--config", EXAMPLE, "--dry-run").expect(0)
    assert not re.search(r"^[^#\n]", EXAMPLE.read_text(), re.MULTILINE)


def test_example_has_every_key_with_its_default():
    """A key that is empty where nothing is set has an example instead; the build sets some."""
    assert set(settings()) == set(table())
    for key, default in table().items():
        if default.startswith('"') and default != '""':
            assert settings()[key] == default.strip('"')


def test_example_is_valid_when_all_of_it_is_switched_on(run_op, tmp_path):
    active = tmp_path / "atocore.conf"
    active.write_text(re.sub(r"^#(?=\w+=)", "", EXAMPLE.read_text(), flags=re.MULTILINE))
    run_op("atocore-prune", "--config", active, "--dry-run").expect(0)


def test_a_key_that_is_none_would_be_found(run_op, tmp_path):
    broken = tmp_path / "atocore.conf"
    broken.write_text(EXAMPLE.read_text() + "retention_dayly=7\n")
    run_op("atocore-prune", "--config", broken, "--dry-run").expect(78)
