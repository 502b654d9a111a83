# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the proof of atocore-restore makes of a daemon's answers."""

import sys

import pytest

from support.databases import query_with_log
from support.restores import NOW, STAMP, leftovers, safeties

# Serves on the unix socket that it is given and answers by path.
DAEMON = """#!{python}
import http.server, json, os, socket, socketserver, sys
ANSWERS = {answers!r}
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        status, document = ANSWERS[self.path]
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    do_POST = do_GET
    address_string = lambda self: "here"
path = sys.argv[sys.argv.index("--listen") + 1][len("unix:"):]
server = socketserver.ThreadingUnixStreamServer(path, Handler)
notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
notify.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
server.serve_forever()
"""

GOOD = {
    "/health": [200, {"status": "ok", "checks": {"database": {"status": "ok", "detail": ""}}}],
    "/stats": [200, {"documents": 20, "chunks": 20, "interactions": 0, "memories": 0}],
    "/projects": [200, {"projects": []}],
    "/context/build": [200, {"chunks_used": 1}],
}
SLOW = {"/context/build": [503, {"code": "query_timeout", "detail": "It took too long."}]}


@pytest.fixture
def proven(ingested, run_op, restore, tmp_path):
    """proven(answers that are not good, arguments…): the Result of a restore that asks them."""
    run_op("atocore-backup", now=STAMP).expect(0)

    def call(answers, *arguments):
        program = tmp_path / "daemon"
        program.write_text(DAEMON.format(python=sys.executable, answers={**GOOD, **answers}))
        program.chmod(0o755)
        return restore(STAMP, *arguments, env={"ATOCORE_DAEMON": program})
    return call


def test_good_answers_prove_it(proven, ingested):
    proven({}).expect(0)
    assert safeties(ingested) == [NOW] and leftovers(ingested) == []


def test_a_slow_machine_is_not_bad_data(proven, ingested):
    proven(SLOW).expect(0)
    assert safeties(ingested) == [NOW]


@pytest.mark.parametrize("answers, arguments", [
    (SLOW, ["--query", "interferometer"]),
    ({"/context/build": [200, {"chunks_used": 0}]}, []),
    ({"/context/build": [200, {}]}, []),
    ({"/context/build": [500, {"code": "internal_error", "detail": "It broke."}]}, []),
    ({"/stats": [200, {**GOOD["/stats"][1], "documents": 19}]}, []),
    ({"/projects": [500, {}]}, []),
    ({"/health": [503, {}]}, []),
])
def test_bad_answers_take_it_back(proven, ingested, answers, arguments):
    result = proven(answers, *arguments).expect(69)
    assert result.codes[-1] == "restore_rolled_back" and next(iter(answers)) in result.stderr
    assert safeties(ingested) == [] and leftovers(ingested) == []
    assert query_with_log(ingested.database, "SELECT count(*) FROM documents") == [(20,)]
