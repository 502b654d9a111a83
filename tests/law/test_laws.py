# SPDX-License-Identifier: LGPL-2.1-or-later
"""The project obeys its laws, and each law finds a tree that breaks it."""

import pytest

from support import laws
from support.source import Tree

SPDX = "/* SPDX-License-Identifier: LGPL-2.1-or-later */\n"
LIBRARIES = "| library | used by |\n|---|---|\n| `sqlite3` | `lib/base/sqlite` |\n"
EVENTS = f'X(DONE, "{"0" * 32}", LOG_INFO, 0)\n'
LOST = f'X(LOST, "{"1" * 32}", LOG_ERR, EX_IOERR)\n'

# law → [(files that break it, a word of what it must say)], beside what makes a tree lawful.
BREACHES = {
    laws.layers: [
        ({"lib/base/a.c": '#include "daemon/b.h"', "daemon/b.h": ""}, "daemon/b.h"),
        ({"lib/base/a.c": '#include "lib/backup/b.h"', "lib/backup/b.h": ""}, "lib/backup"),
        ({"lib/backup/a.c": '#include "lib/knowledge/b.h"', "lib/knowledge/b.h": ""}, "knowledge"),
        ({"lib/knowledge/a.h": '# include "lib/backup/b.h"', "lib/backup/b.h": ""}, "lib/backup"),
        ({"lib/backup/a.c": '#include "lib/command/b.h"', "lib/command/b.h": ""}, "lib/command"),
        ({"ops/a.c": '#include "daemon/b.h"', "daemon/b.h": ""}, "daemon/b.h"),
        ({"daemon/a.c": '#include "ops/b.h"', "ops/b.h": ""}, "ops/b.h"),
        ({"ops/a.c": '#include "b.h"', "ops/b.h": ""}, "no path"),
        ({"lib/util.h": ""}, "no layer"),
    ],
    laws.libraries: [
        ({"lib/backup/a.c": "#include <sqlite3.h>"}, "lib/backup/a.c"),
        ({"daemon/a.c": "#include <microhttpd.h>"}, "libmicrohttpd"),
        ({"lib/base/a.h": "#include <json-c/json.h>"}, "json-c"),
        ({"lib/backup/a.c": "sqlite3_step(s);"}, "sqlite3"),
        ({"lib/base/sqlite.c": ""}, "it does not"),
        ({"docs/architecture.md": "no table"}, "no table"),
    ],
    laws.silence: [
        ({"lib/base/a.c": f"int a(void) {{ {call}; }}"}, "lib/base/a.c:1")
        for call in ("exit(1)", "abort()", "printf(x)", 'fprintf(stderr, "x")', "puts(x)",
                     "syslog(3, x)", 'sd_journal_send("x")', "assert(0)", "fputs(x, stderr)")
    ] + [
        ({"lib/base/a.c": "#include <err.h>"}, "err.h"),
    ],
    laws.licence: [
        ({"lib/base/a.c": "int a;\n"}, "lib/base/a.c"),
        ({"tests/a.py": "import os\n"}, "tests/a.py"),
        ({"go": "#!/bin/sh\ntrue\n"}, "go"),
    ],
    laws.length: [
        ({"ops/a.c": "\n" * 501}, "501 lines"),
        ({"tests/a.py": "\n" * 501}, "501 lines"),
    ],
    laws.events: [
        ({"lib/base/event-ids.h": LOST, "tests/a.py": "'lost'"}, "reported nowhere"),
        ({"lib/base/event-ids.h": LOST, "ops/a.c": "EVENT_LOST"}, "no test expects lost"),
        ({"lib/base/event-ids.h": LOST, "ops/a.c": "/* EVENT_LOST */"}, "reported nowhere"),
        ({"lib/base/event-ids.h": EVENTS + EVENTS.replace("DONE", "LOST")}, "no id of its own"),
    ],
    laws.no_sleep: [
        ({name: text}, f"{name}:2")
        for name, text in {
            "tests/a.py": "import time\ntime.sle" + "ep(1)\n",
            "tests/b.py": "\nfrom time import sle" + "ep\n",
            "tests/unit/a.c": "\nusle" + "ep(10);\n",
            "tests/c.sh": "\nsle" + "ep 1\n",
            "tests/d.sh": "\nfoo; sle" + "ep 0.1\n",
        }.items()
    ],
    laws.no_private_traces: [
        ({"docs/a.md": text}, "docs/a.md:1")
        for text in ("/wo" + "rk/main", "/var/t" + "mp/x", "/home/" + "jane/x", "TO" + "DO: x")
    ],
    laws.white_space: [
        ({"a.md": "x \n"}, "a.md:1"),
        ({"a.md": "x"}, "newline"),
        ({"a.md": "x\r\n"}, "a.md:1"),
        ({"ops/a.c": "\tx;\n"}, "tab"),
        ({"tests/a.py": "x" * 101 + "\n"}, "101 columns"),
        ({"ops/a.c": b"\xff\n"}, "UTF-8"),
    ],
    laws.built: [
        ({"meson.build": "'lib/base/a.c'", "lib/base/b.c": ""}, "lib/base/b.c"),
        ({"meson.build": "", "tests/unit/test-a.c": "", "tests/meson.build": ""}, "test-a.c"),
    ],
    laws.headers: [
        ({"lib/base/a.h": SPDX + "int a;\n"}, "lib/base/a.h"),
        ({"lib/base/a.h": SPDX + "#pragma once\n\nint a;\n"}, "lib/base/a.h"),
    ],
}

LAWFUL = {
    "meson.build": "# SPDX-License-Identifier: LGPL-2.1-or-later\n'lib/base/event-ids.c'\n"
                   "'lib/base/sqlite.c'\n'ops/done.c'\n",
    "docs/architecture.md": f"# Layers\n\n{LIBRARIES}",
    "lib/base/event-ids.h": SPDX + "#pragma once\n\n/*\n * Events.\n */\n" + EVENTS,
    "lib/base/event-ids.c": SPDX + '#include "lib/base/event-ids.h"\n',
    "lib/base/sqlite.c": SPDX + '#include <sqlite3.h>\n/* printf(x) */\nchar *a = "exit(1)";\n',
    "ops/done.c": SPDX + '#include <stdio.h>\n#include "lib/base/event-ids.h"\nEVENT_DONE;\n',
    "tests/test_done.py": "# SPDX-License-Identifier: LGPL-2.1-or-later\n'done'\n",
}


def plant(path, files):
    for name, content in files.items():
        file = path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return Tree(path)


@pytest.mark.parametrize("law", laws.LAWS, ids=lambda law: law.__name__)
def test_project_obeys(law):
    breaches = list(law(Tree()))
    assert not breaches, "\n".join([law.__doc__, *breaches])


@pytest.mark.parametrize("law", laws.LAWS, ids=lambda law: law.__name__)
def test_law_is_content_with_a_lawful_tree(law, tmp_path):
    assert not list(law(plant(tmp_path, LAWFUL)))


@pytest.mark.parametrize(
    "law, files, said",
    [pytest.param(law, *breach, id=f"{law.__name__}-{number}")
     for law in laws.LAWS for number, breach in enumerate(BREACHES[law], 1)])
def test_law_finds_a_breach(law, files, said, tmp_path):
    breaches = list(law(plant(tmp_path, LAWFUL | files)))
    assert any(said in breach for breach in breaches), breaches


def test_a_long_file_is_allowed_for_a_reason_only(tmp_path):
    tree = plant(tmp_path, {"ops/long.c": "\n" * 501, "ops/short.c": "\n"})
    assert not list(laws.length(tree, {"ops/long.c": "one table"}))
    assert list(laws.length(tree, {"ops/long.c": ""}))
    assert "needs no exception" in list(laws.length(
        tree, {"ops/long.c": "one table", "ops/short.c": "one table"}))[0]
