# SPDX-License-Identifier: LGPL-2.1-or-later
"""docs/api.md: every curl line is run again, and its answer compared by status, fields and types;
routes, codes and limits are those of the source."""

import json
import re
import subprocess

import pytest

from support import build
from support.api import FLAT, POLISHER, PROJECTS
from support.markdown import blocks
from support.source import table

API = build.PROJECT / "docs" / "api.md"
DAEMON = build.PROJECT / "daemon"
URL = "http://127.0.0.1:8100"
STATUSES = {name: int(value) for name, value in re.findall(
    r"HTTP_(\w+) = (\d{3})", (DAEMON / "response.h").read_text())}
# Texts that mean something by themselves; of others only the type is compared.
EXACT = {"code", "status", "mode", "reason", "type", "title", "field", "stamp", "severity"}


def exchanges():
    """[(curl line, status, document)] of the text."""
    found, command = [], None
    for block in blocks(API):
        if block.language == "sh":
            assert command is None, f"no answer to {command}"
            command = block.text
        elif block.language == "http":
            head, _, body = block.text.partition("\n\n")
            status = re.match(r"HTTP/1\.1 (\d{3}) ", head)
            assert status, f"no answer to {command}"
            found.append((command, int(status[1]), head.splitlines()[1:], json.loads(body)))
            command = None
    assert command is None
    return found


def shape(value, name=""):
    """A document without what differs from run to run."""
    if isinstance(value, dict):
        return {key: shape(member, key) for key, member in value.items()}
    if isinstance(value, list):
        return [shape(member) for member in value]
    if name in EXACT:
        return value
    return type(value).__name__


def replay(command, daemon):
    """(status, header lines, document) of a curl line."""
    assert command.startswith("curl -sS ")
    command = command.replace("curl -sS ", "curl -sS --include ", 1).replace(URL, daemon.url)
    done = subprocess.run(["bash", "-c", command], env=build.environment(), capture_output=True,
                          text=True, timeout=120, check=False)
    assert done.returncode == 0, done
    head, _, body = done.stdout.replace("\r\n", "\n").partition("\n\n")
    return int(head.split(" ")[1]), head.splitlines()[1:], json.loads(body)


@pytest.fixture
def served(root, start_daemon):
    """The root of the text: two projects, nothing ingested, a vector store, the clock at rest."""
    root.write_registry(PROJECTS)
    root.write("sources/vault/projects/p05/flat.md", FLAT)
    root.write("sources/vault/projects/p06/polisher.md", POLISHER)
    root.write("data/chroma/segment/data_level0.bin", "vectors\n")
    return start_daemon(now="20260407T060000Z")


def test_every_answer_is_as_it_is_written(served):
    assert len(exchanges()) > 15
    for command, status, headers, document in exchanges():
        got_status, got_headers, got = replay(command, served)
        assert got_status == status, (command, got)
        assert shape(got) == shape(document), command
        for header in headers:
            assert header in got_headers, command
        if status >= 400:
            assert "Content-Type: application/problem+json" in headers


def test_every_route_is_in_the_table_and_was_run():
    needs = {"ACCESS_ALWAYS": "always", "ACCESS_OPEN": "open", "ACCESS_ADMIN": "admin"}
    routes = {f"{method} {path}": needs[need] for method, path, need in re.findall(
        r"METHOD_(\w+),\s*\"([^\"]+)\",\s*(ACCESS_\w+)", (DAEMON / "routes.c").read_text())}
    rows = table(API.read_text(), "method and path", "access", "answers")
    assert {row[0]: row[1] for row in rows} == routes
    assert set(routes) <= set(
        re.findall(r"^## ((?:GET|POST|PUT) .*)$", API.read_text(), re.MULTILINE))
    commands = " ".join(command for command, *_ in exchanges())
    for route in routes:
        path = route.split(" ")[1]
        assert re.search(re.sub(r"\{\w+\}", r"[^/\\s]+", URL + path) + r"(?=[?'\s]|$)", commands)


def codes():
    """{(status, code)} that the daemon can answer with."""
    found = set()
    for path in DAEMON.glob("*.c"):
        text = path.read_text()
        found |= {(STATUSES[name], code) for name, code in re.findall(
            r"HTTP_(\w+),\s*(?:\"[A-Z][\w ]*\",\s*)?\"([a-z_]+)\"", text) if name in STATUSES}
        found |= {(STATUSES[name], event.lower()) for event, name in re.findall(
            r"\{ EVENT_(\w+), HTTP_(\w+) \}", text)}
    return found


def test_table_of_errors_has_each_code_with_its_status():
    rows = table(API.read_text(), "status", "code")
    listed = {(int(status), code) for status, names in rows for code in re.findall(r"\w+", names)}
    assert listed == codes()
    assert len(listed) > 40


def test_limits_are_those_of_the_source():
    limits = {row[0].replace("`", ""): row[1]
              for row in table(API.read_text(), "what", "limit", "beyond it")}

    def number(path, name):
        return int(re.search(rf"#define {name}\s+(\d+)u?\b", (build.PROJECT / path).read_text())[1])

    assert "(1u << 20)" in (DAEMON / "request.h").read_text() and limits["body"] == "1 MiB"
    assert limits["depth of JSON"] == str(number("daemon/fields.h", "FIELDS_DEPTH_MAX"))
    assert limits["connections"].startswith(
        f"{number('daemon/peers.h', 'PEERS_MAX')}, "
        f"{number('daemon/peers.h', 'PEERS_MAX_PER_ADDRESS')} from")
    assert limits["a connection on which nothing happens"] == \
        f"{number('daemon/http.h', 'HTTP_IDLE_SECONDS')} s"
    for field, path, name in (("top_k", "retrieve", "RETRIEVE_TOP_K"),
                              ("budget", "pack", "PACK_BUDGET"),
                              ("limit", "interaction", "INTERACTION_LIMIT")):
        header = f"lib/knowledge/{path}.h"
        assert re.findall(r"\d+", limits[field]) == [
            "1", str(number(header, f"{name}_MAX")), str(number(header, f"{name}_DEFAULT"))]
    assert limits["retrieval"] == \
        f"{number('lib/knowledge/retrieve.h', 'RETRIEVE_TIMEOUT_MS') // 1000} s"
