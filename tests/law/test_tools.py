# SPDX-License-Identifier: LGPL-2.1-or-later
"""What tools of others say about the source."""

import re
import shutil

import pytest

from support import build
from support.run import run
from support.source import Tree

# Another version formats otherwise: 19 puts a space into `(struct x){`.
CLANG_FORMAT = "14"


def tool(name):
    path = shutil.which(name, path="/usr/bin:/usr/sbin:/bin:/sbin")
    if path is None:
        pytest.skip(f"{name} is not installed; ./run deps installs it")
    return path


def clang_format(*arguments):
    program = tool("clang-format")
    version = re.search(r"version (\d+)", run([program, "--version"]).stdout)[1]
    if version != CLANG_FORMAT:
        pytest.skip(f"the format is that of clang-format {CLANG_FORMAT}, this is {version}")
    return run([program, "--dry-run", "-Werror", "--style=file", *arguments], cwd=build.PROJECT)


def shell_scripts(tree):
    return [name for name in tree.files()
            if re.match(rb"#!/bin/(ba|da)?sh\b", tree.bytes(name)) or name.endswith(".bash")]


def test_c_is_formatted():
    files = Tree().files("lib", "daemon", "ops", "tests", suffixes=(".c", ".h"))
    assert len(files) > 50
    clang_format(*files).expect(0)


def test_c_that_is_not_formatted_is_found(tmp_path):
    (tmp_path / "a.c").write_text("int a( void ){return 1;}\n")
    shutil.copy(build.PROJECT / ".clang-format", tmp_path)
    assert clang_format(tmp_path / "a.c").status != 0


def test_shell_scripts_are_clean():
    scripts = shell_scripts(Tree())
    assert {"run", ".ci/run"} <= set(scripts)
    run([tool("shellcheck"), *scripts], cwd=build.PROJECT).expect(0)


def test_posix_scripts_parse_with_dash():
    for name in shell_scripts(Tree()):
        if Tree().bytes(name).startswith(b"#!/bin/sh"):
            run(["/bin/dash", "-n", build.PROJECT / name]).expect(0)
