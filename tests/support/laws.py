# SPDX-License-Identifier: LGPL-2.1-or-later
"""The laws of the source: each takes a Tree and returns what breaks it, one sentence per breach.

tests/law/test_laws.py holds the project to them, and each of them to a tree that breaks it.
"""

import fnmatch
import os
import re

from support import source

C = (".c", ".h")
CODE = (".c", ".h", ".py", ".sh", "meson.build")

# What a directory's C files may include of ours. docs/architecture.md draws the same.
LAYERS = {
    "lib/base": {"lib/base"},
    "lib/knowledge": {"lib/base", "lib/knowledge"},
    "lib/backup": {"lib/base", "lib/backup"},
    "lib/command": {"lib/base", "lib/command"},
    "ops": {"lib/base", "lib/knowledge", "lib/backup", "lib/command", "ops"},
    "daemon": {"lib/base", "lib/knowledge", "lib/backup", "lib/command", "daemon"},
}

# Libraries that stand behind named modules, and how their use is known: by header, or by what is
# named in the code. Which modules: the table `library | used by` of docs/architecture.md.
LIBRARIES = {
    "libmicrohttpd": r"<microhttpd\.h>|\bMHD_\w+",
    "libarchive": r"<archive(?:_entry)?\.h>|\barchive_(?:read|write|entry)_\w+\s*\(",
    "sqlite3": r"<sqlite3\.h>|\bsqlite3(?:_\w+)?\b",
    "json-c": r"<json-c/|\bjson_(?:object|tokener)\w*",
    "libcmark": r"<cmark\.h>|\bcmark_\w+\s*\(",
    "libunistring": r"<uni(?:case|ctype|norm|str)\.h>|\bu(?:8|32|c)_\w+\s*\(",
    "libstemmer": r"<libstemmer\.h>|\bsb_stemmer_\w+",
    "libyaml": r"<yaml\.h>|\byaml_\w+\s*\(",
    "libinih": r"<ini\.h>|\bini_parse\w*",
    "libcurl": r"<curl/|\bcurl_\w+\s*\(",
    "libseccomp": r"<seccomp\.h>|\bseccomp_\w+\s*\(",
    "libcrypto": r"<openssl/|\bEVP_\w+",
    "libsystemd": r"<systemd/|\bsd_\w+\s*\(",
}

# Longer than that only for a reason that is written down here.
LINES_MAX = 500
LONGER = {}

# Where a process may end, and text may be printed: the edge. (A forked helper ends with _exit().)
PRINTING = re.compile(
    r"\b(exit|abort|assert|v?printf|puts|putchar|perror|v?syslog|sd_journal_\w+)\s*\("
    r"|#\s*include\s*<err\.h>|\bv?fprintf\s*\(\s*std(?:err|out)\b"
    r"|\bfputs\s*\([^;]*\bstd(?:err|out)\b")
EDGE = ("lib/base/event.c", "lib/command/")

# The fixed waits that tests must not have: a condition and a deadline (support/wait.py) instead.
SLEEP = re.compile(
    r"\b(?:time|asyncio)\.sleep\b|\b(?:u|nano|clock_nano)?sleep\s*\(|^[ \t]*sleep\s+[\d.]"
    r"|[;&|]\s*sleep\s+[\d.]|\bfrom time import\b.*\bsleep\b", re.MULTILINE)
WAITS = ("tests/support/wait.py",)

# Traces of the machine that something was written on. In pieces, so as not to find themselves.
PRIVATE = re.compile("|".join((
    "/wo" "rk/", "/var/t" "mp/", "/ro" r"ot/\.", "py" "env", r"/home/(?!alice\b)[a-z]\w+/",
    r"\bTO" r"DO\b", r"\bFIX" r"ME\b", r"\bX" r"XX\b")))

# Formats that are checked for white space, and how long a line may be where clang-format does not
# see to it.
TEXT = (*CODE, ".md", ".service", ".socket", ".timer", ".target", ".conf", ".catalog", ".8", ".5",
        ".7", ".bash", ".fish", ".zsh", "run")
COLUMNS_MAX = 100


def layers(tree):
    """Who may include whom (docs/architecture.md)."""
    for name in tree.files("lib", "daemon", "ops", suffixes=C):
        layer = next((layer for layer in LAYERS if name.startswith(layer + "/")), None)
        if layer is None:
            yield f"{name} is in no layer"
            continue
        for own, _ in tree.includes(name):
            if own is None:
                continue
            if not tree.exists(own):
                yield f"{name} includes {own}, which is no path from the project's top"
            elif os.path.dirname(own) not in LAYERS[layer]:
                yield f"{name} includes {own}: {layer} does not know {os.path.dirname(own)}"


def libraries(tree):
    """Each library behind the modules that docs/architecture.md names for it (`*` for many)."""
    text = tree.text("docs/architecture.md") if tree.exists("docs/architecture.md") else ""
    rows = source.table(text, "library", "used by")
    if rows is None:
        yield "docs/architecture.md has no table `library | used by`"
        return
    named = {row[0]: set(re.split(r"[,\s]+", row[1])) for row in rows}
    users = {library: set() for library in LIBRARIES}
    for name in tree.files("lib", "daemon", "ops", suffixes=C):
        module, code = os.path.splitext(name)[0], tree.code(name)
        for library, use in LIBRARIES.items():
            match = re.search(use, code)
            if match is None:
                continue
            users[library].add(module)
            if not any(fnmatch.fnmatchcase(module, who) for who in named.get(library, ())):
                yield f"{name} has {match[0]}: docs/architecture.md gives {library} to others"
    for library, modules in named.items():
        for who in sorted(modules):
            if not fnmatch.filter(users.get(library, ()), who):
                yield f"docs/architecture.md says that {who} uses {library}: it does not"


def silence(tree):
    """lib/ returns what failed; it prints nothing, logs nothing and never ends the process."""
    for name in tree.files("lib", suffixes=C):
        if name.startswith(EDGE):
            continue
        for number, line in enumerate(tree.code(name).splitlines(), 1):
            if match := PRINTING.search(line):
                yield f"{name}:{number} calls {match[0].rstrip('(').strip()}"


def licence(tree):
    """The SPDX line, first, or second after #!."""
    for name in tree.files():
        content = tree.bytes(name)
        if not (name.endswith(CODE) or content.startswith(b"#!")):
            continue
        head = b"\n".join(content.split(b"\n")[:2])
        if b"SPDX-License-Identifier: LGPL-2.1-or-later" not in head:
            yield f"{name} has no SPDX line"


def length(tree, longer=None):
    """Files of a size that can be read in one sitting."""
    longer = LONGER if longer is None else longer
    for name in tree.files(suffixes=CODE):
        lines = tree.text(name).count("\n")
        if lines > LINES_MAX and not longer.get(name):
            yield f"{name} has {lines} lines, more than {LINES_MAX}, and no reason is given"
        if lines <= LINES_MAX and name in longer:
            yield f"{name} needs no exception: it has {lines} lines"


def events(tree):
    """Each event is reported somewhere, and some test expects it."""
    rows = re.findall(r"\bX\((\w+),\s*\"(\w+)\"", tree.text("lib/base/event-ids.h"))
    code = "".join(tree.code(name) for name in tree.files("lib", "daemon", "ops", suffixes=C))
    tests = "".join(tree.text(name) for name in tree.files("tests", suffixes=(".py", ".c")))
    ids = [id for _, id in rows]
    for symbol, id in rows:
        if not re.search(rf"\bEVENT_{symbol}\b", code):
            yield f"{symbol} is reported nowhere"
        if not re.search(rf"\b(?:{symbol.lower()}|EVENT_{symbol})\b", tests):
            yield f"no test expects {symbol.lower()}"
        if not re.fullmatch(r"[0-9a-f]{32}", id) or ids.count(id) > 1:
            yield f"{symbol} has no id of its own: {id}"


def no_sleep(tree):
    """Tests wait for conditions, never for a time to pass."""
    for name in tree.files("tests", suffixes=(".py", ".c", ".sh")):
        if name in WAITS:
            continue
        text = tree.code(name) if name.endswith(".c") else tree.text(name)
        for match in SLEEP.finditer(text):
            yield f"{name}:{text.count(chr(10), 0, match.start()) + 1} sleeps: {match[0].strip()}"


def no_private_traces(tree):
    """Nothing of the machine that it was written on, and nothing left to be done later."""
    for name in tree.files():
        for match in PRIVATE.finditer(tree.text(name)):
            number = tree.text(name).count("\n", 0, match.start()) + 1
            yield f"{name}:{number} says {match[0]}"


def white_space(tree):
    """.editorconfig: UTF-8, LF, no tabs, no trailing space, a newline at the end, 100 columns."""
    for name in tree.files(suffixes=TEXT):
        content = tree.bytes(name)
        try:
            text = content.decode()
        except UnicodeDecodeError:
            yield f"{name} is not UTF-8"
            continue
        if text and not text.endswith("\n"):
            yield f"{name} does not end with a newline"
        for number, line in enumerate(text.split("\n"), 1):
            if line.endswith((" ", "\t", "\r")):
                yield f"{name}:{number} ends with white space"
            if "\t" in line and name.endswith(CODE):
                yield f"{name}:{number} has a tab"
            if len(line) > COLUMNS_MAX and name.endswith(CODE) and not name.endswith(C):
                yield f"{name}:{number} has {len(line)} columns"


def built(tree):
    """Each C file is in meson.build, each unit test in tests/meson.build."""
    meson = tree.text("meson.build")
    listed = set(re.findall(r"'([\w/.-]+\.c)'", meson))
    operations = re.search(r"operations = \{(.*?)\n\}", meson, re.DOTALL)
    if operations:
        listed |= {f"ops/{name}.c" for name in re.findall(r"'([\w-]+)':", operations[1])}
    for name in tree.files("lib", "daemon", "ops", suffixes=(".c",)):
        if name not in listed:
            yield f"{name} is not in meson.build"
    units = tree.text("tests/meson.build") if tree.exists("tests/meson.build") else ""
    for name in tree.files("tests/unit", suffixes=(".c",)):
        module = os.path.basename(name)[len("test-"):-len(".c")]
        if not os.path.basename(name).startswith("test-") or f"'{module}'" not in units:
            yield f"{name} is not in tests/meson.build"


def headers(tree):
    """Each header guards itself and opens with what it is for."""
    for name in tree.files("lib", "daemon", "ops", suffixes=(".h",)):
        if not re.match(r"/\* SPDX[^\n]*\n#pragma once\n\n/\*\n \* \S", tree.text(name)):
            yield f"{name} does not open with SPDX line, #pragma once and a title comment"


LAWS = (layers, libraries, silence, licence, length, events, no_sleep, no_private_traces,
        white_space, built, headers)
