# SPDX-License-Identifier: LGPL-2.1-or-later
"""Reading the source tree: its files, C without comments and strings, tables of documents."""

import os
import re

from support import build

TOP = ("daemon", "ops", "lib", "units", "tests", "docs", "completions", ".claude/commands", ".ci")

_TOKEN = re.compile(
    r'(?P<comment>/\*.*?\*/|//[^\n]*)|(?P<text>"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\')',
    re.DOTALL)
_INCLUDE = re.compile(r'^\s*#\s*include\s*(?:"(?P<own>[^"]+)"|<(?P<system>[^>]+)>)', re.MULTILINE)


class Tree:
    """A source tree: the project, or a small one that a test of a law made up."""

    def __init__(self, path=build.PROJECT):
        self.path = path
        self._texts = {}

    def files(self, *tops, suffixes=None):
        """Relative names, sorted. tops: directories, default all of ours and the top level."""
        found = [] if tops else [
            entry.name for entry in os.scandir(self.path) if entry.is_file()]
        for top in tops or TOP:
            for directory, directories, names in os.walk(self.path / top):
                directories[:] = [d for d in directories if d != "__pycache__"]
                found += [os.path.relpath(os.path.join(directory, n), self.path) for n in names]
        return sorted(name for name in found
                      if suffixes is None or name.endswith(tuple(suffixes)))

    def bytes(self, name):
        return (self.path / name).read_bytes()

    def text(self, name):
        if name not in self._texts:
            self._texts[name] = (self.path / name).read_text(errors="replace")
        return self._texts[name]

    def exists(self, name):
        return (self.path / name).exists()

    def code(self, name):
        """C with comments blanked and strings emptied; the lines stay where they are."""
        def blank(match):
            if match["text"] is not None:
                return match["text"][0] * 2
            return "\n" * match["comment"].count("\n") or " "
        return _TOKEN.sub(blank, self.text(name))

    def includes(self, name):
        """[(own header or None, system header or None)] of a C file."""
        return [(m["own"], m["system"]) for m in _INCLUDE.finditer(self.text(name))]


def table(text, *header):
    """The rows of the Markdown table with that header line, cells without their backticks."""
    rows = None
    for line in text.splitlines():
        cells = [cell.strip().replace("`", "") for cell in line.strip().strip("|").split("|")]
        if rows is None:
            if line.lstrip().startswith("|") and [c.lower() for c in cells] == list(header):
                rows = []
        elif not line.lstrip().startswith("|"):
            break
        elif not set(cells[0]) <= set("-: "):
            rows.append(cells)
    return rows
