# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the programs say about themselves: --help, the one table of options made readable."""

import dataclasses
import re

from support import build
from support.run import run

_OPTION = re.compile(r"^  (-(?P<letter>.),|   ) --(?P<name>[a-z0-9-]+)"
                     r"((?P<optional>\[=)(?P<maybe>[^]]+)\]| (?P<argument>\S+))?  +(?P<help>\S.*)$")


@dataclasses.dataclass(frozen=True)
class Option:
    name: str
    letter: str  # "" where it has none
    argument: str  # "DIR"; "" where it takes none
    optional: bool  # the argument may be left out


@dataclasses.dataclass(frozen=True)
class Help:
    program: str
    operands: str  # "[STAMP|latest …]", or ""
    options: dict  # by name


def programs():
    """Names of all programs that the build makes, from meson's own list of what is installed."""
    return sorted(path.name for path in build.build_dir().glob("atocore*")
                  if path.is_file() and path.suffix == "")


def ask(program):
    text = run([build.program(program), "--help"], env=build.environment()).expect(0).stdout
    usage = re.match(r"Usage: (\S+) \[OPTION\.\.\.\] ?(.*)\n", text)
    assert usage, f"no usage line:\n{text}"
    options = {}
    for line in text.splitlines():
        match = _OPTION.match(line)
        assert match or "--" not in line.split("  ")[0] or not line.startswith("  "), line
        if match:
            options[match["name"]] = Option(
                match["name"], match["letter"] or "", match["maybe"] or match["argument"] or "",
                bool(match["optional"]))
    return Help(usage[1], usage[2], options)
