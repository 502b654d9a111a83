# SPDX-License-Identifier: LGPL-2.1-or-later
"""The manners that all programs share: options, configuration, what is refused and how."""

import json
import os
import re
import subprocess

import pytest

from support import build

OPERATIONS = ("atocore-ingest", "atocore-backup", "atocore-validate", "atocore-prune",
              "atocore-restore", "atocore-drill", "atocore-ship", "atocore-watch")
PROGRAMS = ("atocored", *OPERATIONS)
WITHOUT_ARGUMENTS = ("atocored", "atocore-backup", "atocore-prune", "atocore-watch")

COMMON = {"--root", "--config", "--json", "--quiet", "--verbose", "--help", "--version"}
OWN = {
    "atocored": {"--listen", "--idle-timeout"},
    "atocore-ingest": {"--list", "--allow-mass-removal", "--reembed"},
    "atocore-backup": {"--archive", "--include-chroma", "--pin", "--label", "--wait",
                       "--list", "--pin-snapshot", "--unpin-snapshot"},
    "atocore-validate": {"--all", "--deep", "--identity"},
    "atocore-prune": {"--dry-run", "--daily", "--weekly", "--monthly", "--now"},
    "atocore-drill": {"--query"},
    "atocore-restore": {"--to", "--dry-run", "--rollback", "--resume", "--force", "--query",
                        "--identity", "--wait"},
    "atocore-ship": {"--list", "--verify", "--fetch", "--dry-run"},
    "atocore-watch": set(),
}

BAD_FILES = {  # what is in it → (line, words of what is said about it)
    "unknown key": ("lock_wait=5\nretension_daily=7\n", 2, ["retension_daily"]),
    "bad number": ("# x\n\nretention_daily=seven\n", 3, ["retention_daily", "seven", "1000"]),
    "negative number": ("retention_weekly=-1\n", 1, ["retention_weekly", "-1"]),
    "number too large": ("lock_wait=86401\n", 1, ["lock_wait", "86401", "86400"]),
    "key given twice": ("lock_wait=5\nlock_wait=5\n", 2, ["lock_wait", "line 1"]),
    "section": ("[atocore]\nlock_wait=5\n", 1, ["[atocore]"]),
    "no assignment": ("lock_wait=5\nverbose\n", 2, ["key=value"]),
    "relative root": ("root=srv/atocore\n", 1, ["root", "absolute"]),
    "long line": (f"root=/{'a' * 300}\n", 1, ["longer"]),
    "NUL byte": ("lock_wait=5\0\n", 1, ["NUL"]),
}


@pytest.fixture
def call(run_op, tmp_path):
    """call(program, …) with nothing of this machine's configuration, and no --root."""
    config = tmp_path / "empty.conf"
    config.touch()

    def start(name, *arguments, config=config, **options):
        # It would say first that systemd gave it no sockets.
        listen = ["--listen", "127.0.0.1:0"] if name == "atocored" else []
        return run_op(name, "--config", config, *listen, *arguments, root=False, **options)

    return start


def listed_options(text):
    return set(re.findall(r"^  (?:-\w,|   ) (--[a-z-]+)", text, re.MULTILINE))


@pytest.mark.parametrize("program", PROGRAMS)
class TestEveryProgram:
    def test_help_lists_all_options_of_the_contract(self, call, program):
        result = call(program, "--help").expect(0)
        assert result.stderr == ""
        assert result.stdout.startswith(f"Usage: {program} [OPTION...]")
        assert listed_options(result.stdout) == COMMON | OWN[program]
        assert "ATOCORE_ROOT" in result.stdout
        assert max(map(len, result.stdout.splitlines())) <= 100
        assert call(program, "-h").expect(0).stdout == result.stdout

    def test_help_is_answered_whatever_else_is_wrong(self, call, program, tmp_path):
        broken = tmp_path / "broken.conf"
        broken.write_text("nonsense\n")
        for words in (["--bogus"], ["--root", "relative"], ["--json", "--version"]):
            result = call(program, *words, "--help", config=broken).expect(0)
            assert result.stdout.startswith("Usage: ")
            assert result.stderr == ""

    def test_version_is_that_of_the_project(self, call, program):
        project = json.loads(
            (build.build_dir() / "meson-info" / "intro-projectinfo.json").read_text())
        for option in ("--version", "-V"):
            assert call(program, option).expect(0).stdout == f"{program} {project['version']}\n"

    @pytest.mark.parametrize("words", (["--bogus"], ["--bogus=1"], ["-x"], ["--ver"], ["--root"],
                                       ["--json=yes"], ["--config"]), ids=" ".join)
    def test_a_wrong_option_is_named_and_is_64(self, call, program, words):
        result = call(program, *words).expect(64)
        assert result.codes == ["usage"]
        assert words[0].split("=")[0] in result.stderr
        assert f"try '{program} --help'" in result.stderr
        assert result.stdout == ""

    def test_what_is_shown_of_an_argument_cannot_forge_a_line(self, call, program):
        result = call(program, f"--x\n{program}: all is well [backup_done]\x1b[2J").expect(64)
        assert result.codes == ["usage"]
        assert result.stderr.count("\n") == 1
        assert "\x1b" not in result.stderr

    @pytest.mark.parametrize("output", ("full disk", "closed pipe", "nothing"))
    def test_output_that_is_lost_is_noticed(self, program, reports, output):
        reader, writer = os.pipe()
        os.close(reader)
        with open("/dev/full", "wb") as full, os.fdopen(writer, "wb") as closed:
            streams = {"full disk": full, "closed pipe": closed, "nothing": closed}
            closing = ">&-" if output == "nothing" else ""
            done = subprocess.run(
                ["sh", "-c", f'exec "$0" --help {closing}', build.program(program)], check=False,
                stdout=streams[output], stderr=subprocess.PIPE, text=True,
                env=build.environment(reports))
        assert done.returncode == 73, done.stderr
        assert done.stderr.endswith("[write_failed]\n")

    @pytest.mark.parametrize("bad", BAD_FILES)
    def test_a_wrong_line_of_the_configuration_is_named_and_is_78(
            self, call, program, tmp_path, bad):
        text, line, words = BAD_FILES[bad]
        config = tmp_path / "atocore.conf"
        config.write_text(text)
        result = call(program, config=config).expect(78)
        assert result.codes == ["config_invalid"]
        assert f"{config}:{line}: " in result.stderr
        for word in words:
            assert word in result.stderr

    def test_a_configuration_file_that_was_asked_for_must_be_there(self, call, program, tmp_path):
        for path in (tmp_path / "absent.conf", tmp_path):
            result = call(program, config=path).expect(78)
            assert result.codes == ["config_invalid"]
            assert str(path) in result.stderr

    def test_the_root_is_of_option_then_environment_then_file(self, call, program, tmp_path):
        config = tmp_path / "atocore.conf"
        config.write_text(f"root={tmp_path}/of-file\n")
        for arguments, variable, expected in (
                (["--root", f"{tmp_path}/of-option"], f"{tmp_path}/of-environment", "of-option"),
                ([], f"{tmp_path}/of-environment", "of-environment"),
                ([], "", "of-file"),
                ([], None, "of-file")):
            result = call(program, *arguments, config=config,
                          env={"ATOCORE_ROOT": variable}).expect(66)
            assert result.codes == ["storage_root_missing"]
            assert f"{tmp_path}/{expected}:" in result.stderr
        assert not list(tmp_path.glob("of-*"))

    def test_a_relative_root_is_refused(self, call, program):
        assert call(program, "--root", "here").expect(64).codes == ["usage"]
        result = call(program, env={"ATOCORE_ROOT": "here"}).expect(78)
        assert "ATOCORE_ROOT" in result.stderr

    def test_a_clock_that_stands_nowhere_is_refused(self, call, program, root):
        result = call(program, "--root", root.path, now="yesterday").expect(78)
        assert "ATOCORE_NOW" in result.stderr

    def test_an_error_is_told_once_even_with_quiet_and_json(self, call, program, tmp_path):
        result = call(program, "--quiet", "--json", "--root", tmp_path / "absent").expect(66)
        assert result.stdout == ""
        assert len(result.stderr.splitlines()) == 1
        assert re.fullmatch(rf"{program}: .* \[storage_root_missing\]\n", result.stderr)


@pytest.mark.parametrize("program", WITHOUT_ARGUMENTS)
def test_a_program_without_arguments_refuses_them(call, program, root):
    result = call(program, "--root", root.path, "surplus").expect(64)
    assert result.codes == ["usage"]
    assert "surplus" in result.stderr


@pytest.mark.parametrize("option, program, bad", [
    (option, program, bad)
    for program, options in {"atocore-prune": ["--daily", "--weekly", "--monthly"],
                             "atocore-backup": ["--wait"], "atocore-restore": ["--wait"],
                             "atocored": ["--idle-timeout"]}.items()
    for option in options
    for bad in ("", "-1", "seven", "1.5", "99999999999999999999")])
def test_a_bad_number_is_named_with_its_option(call, program, option, bad, root):
    result = call(program, "--root", root.path, f"{option}={bad}").expect(64)
    assert result.codes == ["usage"]
    assert option in result.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become the owner")
@pytest.mark.parametrize("program", OPERATIONS)  # the watcher ends: the database is not ours
def test_started_as_root_nothing_root_owned_is_left_behind(run_op, root, tmp_path, program):
    owner = 54321
    root.make_database()
    subprocess.run(["chown", "-R", f"{owner}:{owner}", root.path], check=True)
    for directory in (tmp_path, *tmp_path.parents[:-2]):
        directory.chmod(directory.stat().st_mode | 0o011)  # pytest's own is for root alone
    if program == "atocore-restore":
        run_op("atocore-backup").expect(0)
        run_op(program, "latest").expect(0)
    else:
        run_op(program)
    owners = {path: path.lstat().st_uid for path in root.path.rglob("*")}
    assert {path for path, uid in owners.items() if uid != owner} == set()
