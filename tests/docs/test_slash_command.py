# SPDX-License-Identifier: LGPL-2.1-or-later
"""/atocore-context: its shell is run as it stands in the file, in each shell that it may meet, with
prompts that a shell or JSON would choke on."""

import http.server
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import threading

import pytest

from support import build
from support.api import FLAT, POLISHER, PROJECTS
from support.markdown import blocks
from support.wait import wait_until

COMMAND = build.PROJECT / ".claude" / "commands" / "atocore-context.md"
SHELLS = [shell for shell in ("bash", "dash", "zsh") if shutil.which(shell)]

NASTY = {
    "quotes": """it's "quoted" 'twice' and '"'"' thrice""",
    "substitution": "$(touch pwned) `touch pwned` ${HOME} $HOME $1 $@ !! <(touch pwned)",
    "lines": "first\nsecond\n\n\tindented\nlast",
    "heredoc": "EOF\nEND\nATOCORE\n'EOF'\n>>>>>>>> atocore-context prompt\n",
    "blanks": "  leading and trailing  ",
    "emoji": "naïve 🧪 ünïcödé 👩‍🔬 \u202e\u00a0",
    "option": "--output /dev/null",
    "dash": "-",
    "at": "@/etc/passwd",
    "backslashes": r"\n \\ \" \u0000 \x41 trailing\\",
    "percent": "100% %s %n %d %%",
    "json": '"}, {"prompt": "other", "project": "p06"}',
    "operators": "; touch pwned | cat & wait > pwned < /dev/null && touch pwned #",
    "control": "bell\a escape\x1b[2J tab\t return\r delete\x7f",
    "fts": 'NEAR(a b) AND "c* OR title:x -y ^z',
    "100 KB": "x" + "🧪" * 25_000,
    "100 KB of lines": "some words of a line\n" * 5_000,
}


def snippets():
    found = [block.text for block in blocks(COMMAND) if block.language == "sh"]
    assert len(found) == 2, "making a directory, and asking"
    return found


class Command:
    """What Claude does with the file, step by step."""

    def __init__(self, shell, base, scratch, **variables):
        self.shell = shell
        self.scratch = scratch
        self.environment = {**os.environ, "ATOCORE_API_BASE": base, **variables}
        for name in [n for n in self.environment if n.lower().endswith("_proxy")]:
            del self.environment[name]
        made = self.run(snippets()[0])
        self.directory = pathlib.Path(made.stdout.strip())

    def run(self, script):
        return subprocess.run([self.shell, "-c", script], cwd=self.scratch, env=self.environment,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120,
                              check=False)

    def act(self, action):
        script = snippets()[1].replace("DIRECTORY", str(self.directory))
        return self.run(script.replace("action=context", f"action={action}", 1))

    def ask(self, arguments):
        (self.directory / "arguments").write_bytes(arguments.encode() + b"\n")
        return self.act("context")

    def save(self, response):
        (self.directory / "response").write_bytes(response.encode() + b"\n")
        return self.act("capture")


@pytest.fixture(params=SHELLS)
def command(request, tmp_path):
    """command(base, VARIABLE=…) → Command, in each shell."""
    made = []
    scratch = tmp_path / "scratch"
    scratch.mkdir()

    def make(base, **variables):
        made.append(Command(request.param, base, scratch, **variables))
        return made[-1]

    yield make
    assert not list(scratch.iterdir()), "something was run, or written where it should not"
    for one in made:
        assert not (one.directory / "token").exists()
        shutil.rmtree(one.directory)


class Server:
    """Answers what it is told to, and keeps what it got."""

    def __init__(self):
        self.answers = {"/projects": (200, {}, json.dumps({"projects": PROJECTS}))}
        self.requests = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def answer(self):
                size = int(self.headers.get("Content-Length", 0))
                outer.requests.append((self.path, dict(self.headers), self.rfile.read(size)))
                status, headers, body = outer.answers[self.path]
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body.encode())

            do_GET = do_POST = answer

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def bodies(self, path):
        return [json.loads(body) for where, _, body in self.requests if where == path]


EMPTY = {"formatted_context": "", "full_prompt": "", "chunks_used": 0, "total_chars": 0,
         "budget": 3000, "budget_remaining": 3000, "duration_ms": 1, "project": None,
         "retrieval": {"mode": "lexical", "candidates": 0, "degraded": []}, "chunks": [],
         "dropped": []}


@pytest.fixture
def server():
    server = Server()
    server.answers["/context/build"] = (200, {}, json.dumps(EMPTY))
    yield server
    server.server.shutdown()
    server.server.server_close()


@pytest.fixture
def filled(root, run_op):
    root.write_registry(PROJECTS)
    root.write("sources/vault/projects/p05/flat.md", FLAT)
    root.write("sources/vault/projects/p06/polisher.md", POLISHER)
    run_op("atocore-ingest").expect(0)
    return root


def failed(result, *words):
    """It says so in one line that is for people, and nothing else."""
    assert result.returncode == 1, result
    assert result.stdout.startswith("**AtoCore:** ") and result.stdout.count("\n") == 1
    assert result.stderr == ""
    for word in words:
        assert word in result.stdout, result.stdout


# The file.

def test_front_matter_is_what_claude_code_reads():
    text = COMMAND.read_text()
    front, body = re.fullmatch(r"---\n(.*?)\n---\n(.*)", text, re.DOTALL).groups()
    fields = dict(line.split(": ", 1) for line in front.splitlines())
    assert set(fields) == {"description", "argument-hint", "allowed-tools"}
    assert all(fields.values())
    assert body.count("$ARGUMENTS") == 1


def test_nothing_in_the_file_is_replaced_or_run_before_it_is_read():
    """$1 would put words of the prompt into the shell, !`…` run them, @… read files."""
    text = COMMAND.read_text()
    assert not re.search(r"\$\{?[0-9]", text)
    assert not re.search(r"!\s*`", text)
    assert not re.search(r"(^|\s)@\S", text)
    assert "$ARGUMENTS" not in "".join(block.text for block in blocks(COMMAND))


def test_git_keeps_commands_and_nothing_else_of_that_directory():
    if not shutil.which("git") or not (build.PROJECT / ".git").exists():
        pytest.skip("no git checkout")

    def ignored(name):
        return subprocess.run(["git", "check-ignore", "-q", name], cwd=build.PROJECT,
                              check=False).returncode == 0

    assert not ignored(".claude/commands/atocore-context.md")
    assert not ignored(".claude/commands/another.md")
    assert ignored(".claude/settings.local.json")
    assert ignored(".claude/agents/one.md")


# The prompt.

@pytest.mark.parametrize("name", NASTY)
def test_prompt_arrives_byte_for_byte(command, server, name):
    prompt = NASTY[name]
    result = command(server.url).ask(prompt)
    assert result.returncode == 0, result
    assert server.bodies("/context/build") == [{"prompt": prompt}]


@pytest.mark.parametrize("given, project, rest", [
    ("clean the flat p05", "p05-interferometer", "clean the flat"),
    ("clean the flat P05-INTERFEROMETER", "p05-interferometer", "clean the flat"),
    ("clean the flat\ninterferometer\n", "p05-interferometer", "clean the flat"),
    ("clean the flat optical BENCH  ", "p07", "clean the flat"),
    ("felt pads ÄTZEN", "p07", "felt pads"),
    ("felt pads a.b", "p07", "felt pads"),
    ("felt pads axb", None, "felt pads axb"),
    ("p05 clean the flat", None, "p05 clean the flat"),
    ("clean the flat xp05", None, "clean the flat xp05"),
    ("clean the flat p05.", None, "clean the flat p05."),
    ("clean the flat p99", None, "clean the flat p99"),
    ("p05", None, "p05"),
])
def test_project_is_a_trailing_id_or_alias_in_any_case(command, server, given, project, rest):
    projects = PROJECTS + [
        {"id": "p07", "aliases": ["bench", "Optical bench", "ätzen", "a.b"], "ingest_roots": []}]
    server.answers["/projects"] = (200, {}, json.dumps({"projects": projects}))
    assert command(server.url).ask(given).returncode == 0
    expected = {"prompt": rest, "project": project} if project else {"prompt": rest}
    assert server.bodies("/context/build") == [expected]


# What is shown.

def test_pack_is_shown_with_numbers_and_a_source_for_each_chunk(command, filled, daemon):
    result = command(daemon.url).ask("reference flat isopropanol drawer p05")
    pack = daemon.post("/context/build", {"prompt": "reference flat isopropanol drawer",
                                          "project": "p05"}).expect(200).json
    assert result.returncode == 0 and result.stderr == "", result
    banner, rest = result.stdout.split("\n", 1)
    assert banner.startswith("**AtoCore** · project `p05-interferometer` · ")
    for number in (f"{pack['chunks_used']} chunks",
                   f"{pack['total_chars']} of {pack['budget']} characters",
                   f"{pack['retrieval']['candidates']} candidates"):
        assert number in banner
    assert rest.endswith(f"---\n\n{pack['formatted_context']}\n")
    sources = re.findall(r"^\d+\. (.*)$", rest.split("\n---\n")[0], re.MULTILINE)
    assert len(sources) == pack["chunks_used"] > 1
    for source, chunk in zip(sources, pack["chunks"]):
        assert source.startswith(" › ".join([chunk["source_file"], *chunk["heading_path"]]))
        assert f"(lines {chunk['start_line']}–{chunk['end_line']})" in source
        assert not source.endswith("cut")
    assert "polisher" not in result.stdout


def test_source_that_was_cut_says_so(command, server):
    chunk = {"chunk_id": 1, "chunk_ids": [1], "source_file": "sources/vault/a.md", "title": "A",
             "heading_path": [], "start_line": 1, "end_line": 2, "score": 1.5, "char_count": 9,
             "content": "x", "cut": True}
    server.answers["/context/build"] = (
        200, {}, json.dumps({**EMPTY, "chunks_used": 1, "chunks": [chunk]}))
    shown = command(server.url).ask("flat").stdout
    assert "1. sources/vault/a.md (lines 1–2) · score 1.5 · 9 characters · cut\n" in shown


@pytest.mark.parametrize("arguments, words", [
    ("zymurgy", ["Nothing that AtoCore knows", "all projects"]),
    ("zymurgy p05", ["Nothing in this project", "p05-interferometer", "without the project"]),
])
def test_empty_result_says_what_to_try(command, filled, daemon, arguments, words):
    result = command(daemon.url).ask(arguments)
    assert result.returncode == 0 and result.stderr == "", result
    for word in ["0 chunks", *words]:
        assert word in result.stdout


def test_pack_without_room_and_degraded_retrieval_are_told(command, server):
    pack = {**EMPTY, "dropped": [{"chunk_id": 7, "reason": "budget"}],
            "retrieval": {"mode": "lexical", "candidates": 1, "degraded": ["no\nvectors"]}}
    server.answers["/context/build"] = (200, {}, json.dumps(pack))
    shown = command(server.url).ask("flat").stdout
    assert "Nothing of what was found fits into 3000 characters" in shown
    assert "Dropped: 1 budget\nDegraded: no vectors\n" in shown


# What goes wrong.

def test_server_that_is_not_there(command):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    failed(command(f"http://127.0.0.1:{port}").ask("flat"), "Nothing answers", str(port))


def test_name_that_is_none(command):
    failed(command("http://nowhere.invalid:8100").ask("flat"), "no host of that name")


def test_server_that_hangs_up(command):
    with socket.create_server(("127.0.0.1", 0)) as rude:
        threading.Thread(target=lambda: rude.accept()[0].close(), daemon=True).start()
        failed(command(f"http://127.0.0.1:{rude.getsockname()[1]}").ask("flat"), "No connection")


def test_default_is_dalidou():
    assert "${ATOCORE_API_BASE:-http://dalidou:8100}" in snippets()[1]


@pytest.mark.parametrize("status, body, words", [
    (404, {"code": "project_unknown", "detail": "No project p05; known are: p06"},
     ["HTTP 404", "known are: p06", "one of these projects"]),
    (404, {"code": "path_unknown", "detail": "There is nothing at this path"}, ["HTTP 404"]),
    (404, "<html>not found</html>", ["HTTP 404", "ATOCORE_API_BASE"]),
    (400, {"code": "json_malformed", "detail": "no JSON"}, ["HTTP 400", "no JSON"]),
    (403, {"code": "host_foreign", "detail": "Foreign"}, ["HTTP 403", "allowed_hosts"]),
    (409, {"code": "lock_busy", "detail": "Busy"}, ["HTTP 409", "Busy (lock_busy)"]),
    (422, {"code": "field_range", "detail": "Too large"}, ["HTTP 422", "Too large"]),
    (500, {"code": "internal_error", "detail": "Oops"}, ["HTTP 500", "Oops", "journalctl"]),
    (502, "Bad gateway", ["HTTP 502", "journalctl"]),
    (503, {"code": "database_missing", "detail": "No database"},
     ["HTTP 503", "No database", "17 seconds", "/health"]),
    (507, {"code": "no_space", "detail": "Full"}, ["HTTP 507", "disk"]),
    (302, "elsewhere", ["HTTP 302", "ATOCORE_API_BASE"]),
    (200, "<html>a login page</html>", ["not JSON", "ATOCORE_API_BASE"]),
    (200, {"other": "object"}, ["not a context pack"]),
    (200, "", ["not JSON"]),
])
def test_each_answer_that_is_no_pack_has_its_message(command, server, status, body, words):
    text = body if isinstance(body, str) else json.dumps(body)
    server.answers["/context/build"] = (status, {"Retry-After": "17"}, text)
    failed(command(server.url).ask("flat p05"), *words)


def test_unknown_projects_are_no_search_over_everything(command, server):
    """Where it cannot be told whether the last word is a project, nothing is asked."""
    server.answers["/projects"] = (503, {"Retry-After": "5"}, json.dumps(
        {"code": "registry_missing", "detail": "There is no project registry"}))
    failed(command(server.url).ask("flat p05"), "no project registry", "5 seconds")
    assert server.bodies("/context/build") == []


def test_answer_that_is_no_list_of_projects(command, server):
    server.answers["/projects"] = (200, {}, '{"other": "object"}')
    failed(command(server.url).ask("flat p05"), "no list of projects")


def test_real_daemon_without_a_registry_is_503(command, daemon):
    failed(command(daemon.url).ask("flat"), "HTTP 503", "registry_missing")


def test_prompt_that_is_too_large_is_413(command, filled, daemon):
    failed(command(daemon.url).ask("word " * 300_000), "HTTP 413", "body_too_large", "1 MiB")


def test_steps_left_out_are_named(command, server):
    failed(command(server.url).act("context"), "arguments")
    asked = command(server.url)
    asked.ask("flat")
    failed(asked.act("capture"), "response")
    unasked = command(server.url)
    (unasked.directory / "arguments").write_text("flat\n")
    failed(unasked.save("answer"), "step 3")


# The token.

@pytest.fixture
def guarded(filled, start_daemon, tmp_path):
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "api-token").write_text("a-secret\n")
    return start_daemon(env={"CREDENTIALS_DIRECTORY": credentials})


def test_token_is_sent_where_it_is_set(command, guarded):
    failed(command(guarded.url).ask("flat"), "HTTP 401", "ATOCORE_API_TOKEN")
    failed(command(guarded.url, ATOCORE_API_TOKEN="wrong").ask("flat"), "HTTP 401")
    assert command(guarded.url, ATOCORE_API_TOKEN="a-secret").ask("flat p05").returncode == 0


def test_token_and_prompt_are_in_no_argument_of_a_process(command, server):
    """Seen from outside while the request is under way."""
    seen, arrived = [], threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as waiting:
        def serve():
            connection = waiting.accept()[0]
            arrived.set()
            wait_until(lambda: seen, "the processes to have been looked at")
            connection.close()

        threading.Thread(target=serve, daemon=True).start()
        asking = command(f"http://127.0.0.1:{waiting.getsockname()[1]}",
                         ATOCORE_API_TOKEN="a-secret")
        thread = threading.Thread(target=asking.ask, args=("confidential words",))
        thread.start()
        assert arrived.wait(60)
        seen += [path.read_bytes() for path in pathlib.Path("/proc").glob("[0-9]*/cmdline")
                 if path.exists()]
        thread.join()
    assert any(b"curl" in line for line in seen)
    assert not [line for line in seen if b"a-secret" in line or b"confidential" in line]


# Saving.

@pytest.mark.parametrize("name", NASTY)
def test_exchange_is_saved_byte_for_byte(command, filled, daemon, name):
    text = NASTY[name].rstrip()
    asking = command(daemon.url)
    assert asking.ask(f"{text} p05").returncode == 0
    saved = asking.save(NASTY[name])
    assert saved.returncode == 0, saved
    [record] = daemon.get("/interactions").expect(200).json["interactions"]
    assert saved.stdout == f"**AtoCore** · saved as interaction {record['id']}\n"
    assert record["prompt"] == text
    assert record["response"] == NASTY[name]
    assert record["project"] == "p05-interferometer" and record["client"] == "claude-code"


def test_saved_exchange_names_the_chunks_that_were_used(command, filled, daemon):
    asking = command(daemon.url)
    asking.ask("reference flat isopropanol")
    asking.save("Use isopropanol.")
    [record] = daemon.get("/interactions").json["interactions"]
    used = record["chunks_used"]
    assert all(chunk["chunk_id"] in chunk["chunk_ids"] for chunk in used)
    assert used and {chunk["source_file"] for chunk in used} <= {
        "sources/vault/projects/p05/flat.md", "sources/vault/projects/p06/polisher.md"}


def test_nothing_is_saved_unless_asked_for(command, filled, daemon):
    command(daemon.url).ask("reference flat p05")
    assert daemon.get("/interactions").json["interactions"] == []
