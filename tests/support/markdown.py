# SPDX-License-Identifier: LGPL-2.1-or-later
"""What documents hold that can be run."""

import dataclasses
import re

_FENCE = re.compile(r"^(?P<indent> *)```(?P<info>[^\n`]*)\n(?P<text>.*?)^(?P=indent)```$",
                    re.DOTALL | re.MULTILINE)


@dataclasses.dataclass(frozen=True)
class Block:
    language: str  # "sh"
    words: tuple  # what stands behind it in the info string
    text: str
    line: int  # of its first line, from 1
    section: str  # the heading that it stands under


def blocks(path):
    """The fenced blocks of a Markdown file, in its order."""
    document = path.read_text()
    found = []
    for match in _FENCE.finditer(document):
        before = document[:match.start("text")]
        words = match["info"].split()
        headings = re.findall(r"^#+ (.*)$", _FENCE.sub("", document[:match.start()]), re.MULTILINE)
        found.append(Block(words[0] if words else "", tuple(words[1:]), match["text"],
                           before.count("\n") + 1, headings[-1] if headings else ""))
    return found
